//! Which targets are checked, with what question, and what looks wrong about their addresses.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hyper::header::HeaderValue;
use sluicegate_contract::Adapter;
use tokio_util::sync::DropGuard;

use super::members::{Member, follow};
use super::{Adapters, Snapshot, Workers, problem};
use sluicegate_config::{self as config, Config, Problem};
use sluicegate_plugin_host::Plugin;
use sluicegate_upstream::health::{self, Probe};
use sluicegate_upstream::{Upstream, Vendor, vendor};

/// The beginnings of such paths, which are taken for a part of the address by mistake.
const NO_BASES: [&str; 2] = ["/v1", "/api"];

/// A health check that runs as long as this exists.
#[derive(Debug)]
pub(super) struct Watch {
    member: Member,
    probe: Probe,
    _stop: DropGuard,
}

/// Starts the health checks of all targets that have one; those that run already for the `previous` snapshot go on.
pub(super) fn watch_all(
    config: &Config,
    upstreams: &HashMap<Arc<str>, Arc<Upstream>>,
    adapters: &Adapters,
    workers: &Workers,
    previous: Option<&Snapshot>,
) -> Vec<Arc<Watch>> {
    let mut watches = Vec::new();
    for configured in config.upstreams.values() {
        let name = configured.name.as_str();
        let adapter = adapters
            .get(name)
            .and_then(|it| it.manifest().adapter.as_ref());
        let Some(upstream) = upstreams.get(name) else {
            continue;
        };
        let Some(probe) = probe(configured, adapter, upstream.key.clone()) else {
            continue;
        };
        for member in Member::of(upstream) {
            let same = |watch: &&Arc<Watch>| watch.member == member && watch.probe == probe;
            let before = previous
                .iter()
                .flat_map(|previous| &previous.tasks.watches)
                .find(same);
            watches.push(match before {
                Some(before) => before.clone(),
                None => Arc::new(start(member, probe.clone(), workers)),
            });
        }
    }
    watches
}

fn start(member: Member, probe: Probe, workers: &Workers) -> Watch {
    let stop = workers.drain.child_token();
    let stopped = stop.clone();
    match member.clone() {
        Member::Target(target) => {
            let watch = health::watch(target, probe.clone());
            let watch = async move { stopped.run_until_cancelled(watch).await };
            workers.watching.spawn(watch);
        }
        Member::Name(name) => {
            let (probe, own) = (probe.clone(), workers.clone());
            let of_target = move |target| start(Member::Target(target), probe.clone(), &own);
            let follow = follow(name, of_target);
            let follow = async move { stopped.run_until_cancelled(follow).await };
            workers.watching.spawn(follow);
        }
    }
    Watch {
        member,
        probe,
        _stop: stop.drop_guard(),
    }
}

/// What is asked of the targets of an upstream; `None` if nothing is.
fn probe(
    upstream: &config::Upstream,
    adapter: Option<&Adapter>,
    key: Option<HeaderValue>,
) -> Option<Probe> {
    let health = upstream.health.as_ref()?;
    let named = adapter.and_then(|adapter| adapter.health.clone());
    Some(Probe {
        path: health.path.clone().or(named)?,
        interval: health.interval,
        connect: upstream.timeout.connect,
        key,
        info: adapter.and_then(|adapter| adapter.info.clone()),
        vendor: adapter.map_or(Vendor::Other, |adapter| Vendor::named(&adapter.vendor)),
    })
}

/// Adds the upstreams whose health check has no path, neither from the configuration nor from the adapter.
pub(super) fn check(
    config: &Config,
    plugins: &BTreeMap<String, Arc<Plugin>>,
    problems: &mut Vec<Problem>,
) {
    for upstream in config.upstreams.values() {
        let adapter = adapter(upstream, plugins);
        if upstream.health.is_some() && probe(upstream, adapter, None).is_none() {
            problems.push(problem(
                format!("upstream.{}.health", upstream.name),
                "names no path, and its adapter suggests none".into(),
                "add path = \"/health\", or the path that the model server answers".into(),
            ));
        }
    }
}

/// Targets whose address ends in the beginning of an API's paths: every request to them would be a 404.
pub(super) fn warnings(config: &Config, plugins: &BTreeMap<String, Arc<Plugin>>) -> Vec<Problem> {
    let mut warnings = Vec::new();
    for upstream in config.upstreams.values() {
        let vendor = adapter(upstream, plugins).map(|adapter| adapter.vendor.as_str());
        let Some(vendor) = vendor.filter(|vendor| vendor::takes_whole_paths(vendor)) else {
            continue;
        };
        for (at, target) in upstream.targets.iter().enumerate() {
            let url = target.to_string();
            let root = NO_BASES
                .iter()
                .find_map(|end| target.base.ends_with(end).then(|| url.strip_suffix(end))?);
            if let Some(root) = root {
                warnings.push(problem(
                    format!("upstream.{}.targets[{at}]", upstream.name),
                    format!(
                        "is {url}, but the adapter for {vendor} puts whole paths behind it: the model server would not know them"
                    ),
                    format!("write {root:?}"),
                ));
            }
        }
    }
    warnings
}

/// What kind of servers an upstream has.
pub(super) fn vendor(
    upstream: &config::Upstream,
    plugins: &BTreeMap<String, Arc<Plugin>>,
) -> Vendor {
    adapter(upstream, plugins).map_or(Vendor::Other, |adapter| Vendor::named(&adapter.vendor))
}

fn adapter<'p>(
    upstream: &config::Upstream,
    plugins: &'p BTreeMap<String, Arc<Plugin>>,
) -> Option<&'p Adapter> {
    let plugin = plugins.get(upstream.adapter.as_deref()?)?;
    plugin.manifest().adapter.as_ref()
}
