//! Metrics that plugins define: `sluicegate_plugin_PLUGIN__NAME`.
//!
//! Which names are legal, and how many there may be, is in the crate `contract`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use sluicegate_contract::capability::Error;
use sluicegate_contract::capability::metrics::{BUCKETS, NAMES, SERIES, check};

use super::PluginMetrics;
use super::handles::Handles;
use crate::names::metric::PLUGIN_PREFIX;

/// Labels by name, in the order of their names.
type CustomLabels = Vec<(String, String)>;

/// The metrics that one plugin has defined.
#[derive(Debug, Default)]
pub(super) struct Custom(Mutex<Families>);

#[derive(Debug, Default)]
struct Families {
    by_name: BTreeMap<String, Series>,
    /// How many series there are in all.
    count: usize,
}

/// The series of one name.
#[derive(Debug)]
enum Series {
    Counters(BTreeMap<CustomLabels, Counter>),
    Histograms(BTreeMap<CustomLabels, Histogram>),
}

impl Custom {
    pub(super) fn count(&self, name: &str, by: u64, labels: CustomLabels) -> Result<(), Error> {
        self.with(
            name,
            labels,
            || Series::Counters(BTreeMap::new()),
            |series, labels| match series {
                Series::Counters(counters) => found(counters, labels, Counter::default),
                Series::Histograms(_) => Err(Error::Invalid),
            },
            |counter| {
                counter.inc_by(by);
            },
        )
    }

    pub(super) fn observe(
        &self,
        name: &str,
        value: f64,
        labels: CustomLabels,
    ) -> Result<(), Error> {
        if !value.is_finite() {
            return Err(Error::Invalid);
        }
        self.with(
            name,
            labels,
            || Series::Histograms(BTreeMap::new()),
            |series, labels| match series {
                Series::Histograms(histograms) => {
                    found(histograms, labels, || Histogram::new(BUCKETS))
                }
                Series::Counters(_) => Err(Error::Invalid),
            },
            |histogram| histogram.observe(value),
        )
    }

    /// Uses the series of this name with these labels, which is made if there is room.
    fn with<T>(
        &self,
        name: &str,
        mut labels: CustomLabels,
        family: impl FnOnce() -> Series,
        find: impl FnOnce(&mut Series, CustomLabels) -> Result<(T, bool), Error>,
        use_it: impl FnOnce(T),
    ) -> Result<(), Error> {
        check(name, &mut labels)?;
        let mut families = self.0.lock().expect("no panic while the lock is held");
        let Families { by_name, count } = &mut *families;
        let full = *count >= SERIES;
        let names = by_name.len();
        let series = match by_name.get_mut(name) {
            Some(series) => series,
            None if full || names >= NAMES => return Err(Error::OverLimit),
            None => by_name.entry(name.to_owned()).or_insert_with(family),
        };
        if full && !series.has(&labels) {
            // A name of the other kind, or with other labels, is not legal whether there is room or not.
            return Err(series.fits(&labels).err().unwrap_or(Error::OverLimit));
        }
        let (metric, is_new) = find(series, labels)?;
        *count += usize::from(is_new);
        use_it(metric);
        Ok(())
    }

    fn encode(&self, plugin: &str, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let families = self.0.lock().expect("no panic while the lock is held");
        for (name, series) in &families.by_name {
            let full = format!("{PLUGIN_PREFIX}{}__{name}", plugin.replace('-', "_"));
            let help = "Defined by the plugin";
            match series {
                Series::Counters(counters) => {
                    let metrics =
                        encoder.encode_descriptor(&full, help, None, MetricType::Counter)?;
                    encode_all(counters, metrics)?;
                }
                Series::Histograms(histograms) => {
                    let metrics =
                        encoder.encode_descriptor(&full, help, None, MetricType::Histogram)?;
                    encode_all(histograms, metrics)?;
                }
            }
        }
        Ok(())
    }
}

impl Series {
    fn has(&self, labels: &CustomLabels) -> bool {
        match self {
            Self::Counters(counters) => counters.contains_key(labels),
            Self::Histograms(histograms) => histograms.contains_key(labels),
        }
    }

    fn fits(&self, labels: &CustomLabels) -> Result<(), Error> {
        match self {
            Self::Counters(counters) => fits(counters, labels),
            Self::Histograms(histograms) => fits(histograms, labels),
        }
    }
}

/// Whether a series with these labels has the names of those that are there.
fn fits<M>(series: &BTreeMap<CustomLabels, M>, labels: &CustomLabels) -> Result<(), Error> {
    let names = |labels: &CustomLabels| labels.iter().map(|it| it.0.clone()).collect::<Vec<_>>();
    match series.first_key_value() {
        Some((first, _)) if names(first) != names(labels) => Err(Error::Invalid),
        Some(_) | None => Ok(()),
    }
}

/// The metric with these labels, and whether it is new.
fn found<M: Clone>(
    series: &mut BTreeMap<CustomLabels, M>,
    labels: CustomLabels,
    make: impl FnOnce() -> M,
) -> Result<(M, bool), Error> {
    if let Some(metric) = series.get(&labels) {
        return Ok((metric.clone(), false));
    }
    fits(series, &labels)?;
    let metric = make();
    series.insert(labels, metric.clone());
    Ok((metric, true))
}

fn encode_all<M: EncodeMetric>(
    series: &BTreeMap<CustomLabels, M>,
    mut metrics: MetricEncoder<'_>,
) -> fmt::Result {
    if let Some(only) = series.get(&CustomLabels::new()) {
        return only.encode(metrics);
    }
    for (labels, metric) in series {
        metric.encode(metrics.encode_family(labels)?)?;
    }
    Ok(())
}

impl PluginMetrics {
    /// Adds to a counter of the plugin's own.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::OverLimit`] as in `wit/capabilities.wit`.
    pub fn count(&self, name: &str, by: u64, labels: Vec<(String, String)>) -> Result<(), Error> {
        self.custom.count(name, by, labels)
    }

    /// Adds a value to a histogram of the plugin's own.
    ///
    /// # Errors
    /// As [`PluginMetrics::count`].
    pub fn observe(
        &self,
        name: &str,
        value: f64,
        labels: Vec<(String, String)>,
    ) -> Result<(), Error> {
        self.custom.observe(name, value, labels)
    }
}

/// Writes out the metrics of all plugins that are in use.
#[derive(Debug)]
pub(super) struct CustomCollector(pub(super) Handles<Arc<str>, PluginMetrics>);

impl Collector for CustomCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // The handles are not locked meanwhile: the last user of one may go, which locks them.
        let mut plugins = self.0.in_use();
        plugins.sort_by(|one, other| one.name.cmp(&other.name));
        for plugin in plugins {
            plugin.custom.encode(&plugin.name, &mut encoder)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    fn labels(of: &[(&str, &str)]) -> CustomLabels {
        let of = of.iter();
        of.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_plugins_metrics_stand_under_its_name_as_long_as_it_is_in_use() {
        let metrics = Metrics::new();
        let plugin = metrics.plugin("my-door");
        for by in [1, 2] {
            let of = labels(&[("tenant", "a\"b"), ("kind", "x")]);
            assert_eq!(plugin.count("hits", by, of), Ok(()));
        }
        assert_eq!(plugin.observe("wait_seconds", 0.3, labels(&[])), Ok(()));
        let text = metrics.encode();
        for line in [
            "# TYPE sluicegate_plugin_my_door__hits counter\n",
            "sluicegate_plugin_my_door__hits_total{kind=\"x\",tenant=\"a\\\"b\"} 3\n",
            "# TYPE sluicegate_plugin_my_door__wait_seconds histogram\n",
            "sluicegate_plugin_my_door__wait_seconds_sum 0.3\n",
            "sluicegate_plugin_my_door__wait_seconds_bucket{le=\"0.25\"} 0\n",
            "sluicegate_plugin_my_door__wait_seconds_bucket{le=\"0.5\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        // The next version of the plugin goes on with the same.
        let next = metrics.plugin("my-door");
        drop(plugin);
        assert_eq!(
            next.count("hits", 1, labels(&[("kind", "x"), ("tenant", "c")])),
            Ok(())
        );
        assert!(metrics.encode().contains("tenant=\"c\"} 1\n"));
        assert!(metrics.encode().contains("tenant=\"a\\\"b\"} 3\n"));
        drop(next);
        assert!(!metrics.encode().contains("my_door"));
    }

    #[test]
    fn one_name_has_one_kind_and_the_same_labels() {
        let plugin = Metrics::new().plugin("p");
        assert_eq!(plugin.count("a", 1, labels(&[("x", "1")])), Ok(()));
        for of in [&[][..], &[("y", "1")], &[("x", "1"), ("y", "1")]] {
            assert_eq!(plugin.count("a", 1, labels(of)), Err(Error::Invalid));
        }
        assert_eq!(
            plugin.observe("a", 1.0, labels(&[("x", "1")])),
            Err(Error::Invalid)
        );
        assert_eq!(
            plugin.observe("b", f64::NAN, labels(&[])),
            Err(Error::Invalid)
        );
        assert_eq!(
            plugin.count("le", 1, labels(&[("le", "1")])),
            Err(Error::Invalid)
        );
    }

    #[test]
    fn names_and_series_are_bounded_and_those_that_are_there_go_on() {
        let plugin = Metrics::new().plugin("p");
        for name in 0..NAMES {
            assert_eq!(plugin.count(&format!("n{name}"), 1, labels(&[])), Ok(()));
        }
        assert_eq!(plugin.count("more", 1, labels(&[])), Err(Error::OverLimit));
        assert_eq!(
            plugin.observe("more", 1.0, labels(&[])),
            Err(Error::OverLimit)
        );
        assert_eq!(plugin.count("n0", 1, labels(&[])), Ok(()));

        let plugin = Metrics::new().plugin("q");
        let with = |value: usize| labels(&[("x", &value.to_string())]);
        for value in 0..SERIES {
            assert_eq!(plugin.observe("n", 1.0, with(value)), Ok(()));
        }
        assert_eq!(
            plugin.observe("n", 1.0, with(SERIES)),
            Err(Error::OverLimit)
        );
        assert_eq!(plugin.count("other", 1, labels(&[])), Err(Error::OverLimit));
        assert_eq!(plugin.observe("n", 1.0, labels(&[])), Err(Error::Invalid));
        assert_eq!(plugin.observe("n", 1.0, with(0)), Ok(()));
    }
}
