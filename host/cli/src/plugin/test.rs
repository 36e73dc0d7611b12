//! `plugin test`: runs a component on cases, and compares what comes out with what is expected.
//!
//! A plugin runs alone, over the gateway's own stages and framing. Its clocks stand still and its random bytes are always the
//! same. The response arrives whole, byte by byte, and cut in two at every position (at most [`SPLITS`] of them): what comes out
//! must not depend on it.

mod compare;
pub(super) mod outcome;
pub(super) mod services;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

use self::compare::Verdict;
use self::outcome::{Arrivals, Observed, Split};
use self::services::CaseServices;
use super::case::{self, Case};
use super::refusal::Refusal;
use super::{log, source};
use crate::{BAD_CONFIGURATION, print};
use sluicegate_gateway::exchange::scripted::{self, Cut};
use sluicegate_plugin_host::{Engine, Loader, Plugin};
use sluicegate_telemetry::metrics::Metrics;

/// The most positions at which a response is cut in two; of a longer one, evenly spread ones. A cut takes about a tenth of a
/// millisecond.
const SPLITS: usize = 2_048;

/// What the command is to do.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) cases: Vec<PathBuf>,
    /// For cases without a configuration of their own.
    pub(super) config: Option<String>,
    pub(super) update: bool,
    /// Whether the component's log is shown.
    pub(super) log: bool,
    pub(super) json: bool,
}

/// Runs all cases and prints what differs.
pub(super) async fn test(file: &Path, options: Options) -> ExitCode {
    if options.log || !options.json {
        log::show(options.log);
    }
    match run(file, &options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(code) => code,
    }
}

/// Runs all cases, prints what differs, and says whether all have passed.
///
/// # Errors
/// The cases could not be run, and the reason was printed.
pub(super) async fn run(file: &Path, options: &Options) -> Result<bool, ExitCode> {
    match Tester::prepare(file, options) {
        Ok((mut tester, cases)) => tester.run(&cases, options).await,
        Err(message) => {
            eprintln!("sluicegate: {message}");
            Err(ExitCode::from(BAD_CONFIGURATION))
        }
    }
}

struct Tester<'a> {
    file: &'a Path,
    bytes: Arc<[u8]>,
    loader: Loader,
    config: Option<Value>,
    services: CaseServices,
    /// The plugin with the configuration of the last case.
    loaded: Option<(Option<Value>, Arc<Plugin>)>,
}

impl<'a> Tester<'a> {
    fn prepare(file: &'a Path, options: &Options) -> Result<(Self, Vec<Case>), String> {
        if options.cases.is_empty() {
            return Err("name the cases with --case, or a project that has some in cases/".into());
        }
        let mut cases = Vec::new();
        for folder in &options.cases {
            for found in case::find(folder)? {
                cases.push(Case::read(&found)?);
            }
        }
        let config = options.config.as_deref().map(source::configuration);
        let tester = Self {
            file,
            bytes: source::read(file)?,
            loader: Loader::new(Engine::repeatable().map_err(|error| error.to_string())?),
            config: config.transpose()?,
            services: CaseServices::new(),
            loaded: None,
        };
        Ok((tester, cases))
    }

    async fn run(&mut self, cases: &[Case], options: &Options) -> Result<bool, ExitCode> {
        let mut verdicts = Vec::new();
        for case in cases {
            let plugin = self.plugin(case).await?;
            log::show_lines(options.log);
            let begin = || self.services.begin(&case.answers);
            let (observed, arrivals) = outcome::observe(&plugin, &case.script, begin).await;
            let mut verdict = compare::compare(case, &observed, &arrivals);
            if options.update && verdict.is_stable() {
                match compare::update(case, &observed) {
                    Ok(()) => verdict.updated(),
                    Err(error) => {
                        eprintln!("sluicegate: {}: {error}", case.folder.display());
                        return Err(ExitCode::FAILURE);
                    }
                }
            }
            if !options.json {
                print(&verdict.text());
            }
            verdicts.push(verdict);
        }
        let failed = verdicts
            .iter()
            .filter(|verdict| verdict.has_failed())
            .count();
        let passed = verdicts.len() - failed;
        if options.json {
            let cases: Vec<Value> = verdicts.iter().map(Verdict::json).collect();
            print(&format!(
                "{:#}\n",
                json!({"passed": passed, "failed": failed, "cases": cases})
            ));
        } else {
            print(&format!("{passed} passed, {failed} failed\n"));
        }
        Ok(failed == 0)
    }

    /// The plugin with the configuration of a case.
    ///
    /// # Errors
    /// It cannot be loaded or run, which is printed.
    async fn plugin(&mut self, case: &Case) -> Result<Arc<Plugin>, ExitCode> {
        let config = case.config.clone().or_else(|| self.config.clone());
        if let Some((before, plugin)) = &self.loaded
            && *before == config
        {
            return Ok(plugin.clone());
        }
        let configured = source::plugin(self.file, config.clone());
        let metrics = Metrics::new().plugin(&configured.name);
        let services = self.services.services().of(&configured.name, metrics);
        let loaded = self
            .loader
            .load(&configured, self.bytes.clone(), services)
            .await;
        let plugin = loaded.map_err(|error| {
            eprintln!("in the case {}:", case.folder.display());
            Refusal::of(&error, &self.bytes).print(self.file);
            ExitCode::from(BAD_CONFIGURATION)
        })?;
        if !scripted::can_run(&plugin) {
            eprintln!(
                "sluicegate: {} only observes exchanges that are over. It changes neither request nor response, so there is nothing that a case could compare.",
                self.file.display()
            );
            return Err(ExitCode::from(BAD_CONFIGURATION));
        }
        self.loaded = Some((config, plugin.clone()));
        Ok(plugin)
    }
}

/// Where a body of so many bytes is cut, beside arriving whole.
fn cuts(bytes: usize) -> impl Iterator<Item = Cut> {
    let splits = bytes.min(SPLITS);
    let each_byte = (bytes > 0).then_some(Cut::Every(1));
    let behind = move |number| Cut::Behind(number * bytes / splits);
    each_byte.into_iter().chain((1..=splits).map(behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_cut_everywhere_and_a_long_one_evenly() {
        assert_eq!(cuts(0).count(), 0);
        let short: Vec<Cut> = cuts(3).collect();
        let behind = [1, 2, 3].map(Cut::Behind);
        assert_eq!(short, [&[Cut::Every(1)][..], &behind].concat());
        let long: Vec<Cut> = cuts(1 << 20).collect();
        assert_eq!(long.len(), 1 + SPLITS);
        assert_eq!(long.last(), Some(&Cut::Behind(1 << 20)));
        assert_eq!(long.get(1), Some(&Cut::Behind(512)));
    }
}
