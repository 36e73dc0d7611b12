//! From the configured plugins to loaded ones, and what is wrong with those that do not load.
//!
//! Where a new component cannot be used and only the file has changed, the plugin keeps the version that it had: one bad file
//! must not hold up the rest of a configuration.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::io::AsyncReadExt;

use super::{Snapshot, problem};
use crate::supply::{Supply, off_the_workers};
use crate::versions::Rejection;
use sluicegate_config::{self as config, Config, Problem, Problems, Source};
use sluicegate_plugin_host::{self as plugin_host, Builtins, Plugin, load, manifest};

/// A plugin that can be used.
pub(crate) struct Loaded {
    pub(crate) plugin: Arc<Plugin>,
    /// Its component, if it comes from a file and was not in use before.
    pub(crate) component: Option<Component>,
    /// Why it is not the version that is configured.
    pub(crate) kept: Option<Problem>,
}

/// A component and its SHA-256.
pub struct Component {
    /// In hexadecimal.
    pub hash: String,
    /// The component.
    pub bytes: Arc<[u8]>,
}

pub(super) async fn load_all(
    config: &Config,
    supply: &Supply,
    previous: Option<&Snapshot>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Loaded> {
    let loads = config.plugins.values().map(async |configured| {
        let bytes = component(configured, supply.builtins).await?;
        load_one(configured, bytes, supply, previous).await
    });
    let mut plugins = BTreeMap::new();
    for (configured, loaded) in config.plugins.values().zip(join_all(loads).await) {
        match loaded {
            Ok(plugin) => {
                plugins.insert(configured.name.clone(), plugin);
            }
            Err(found) => problems.extend(found),
        }
    }
    plugins
}

/// The bytes of a plugin's component.
async fn component(plugin: &config::Plugin, builtins: Builtins) -> Result<Arc<[u8]>, Vec<Problem>> {
    let key = format!("plugin.{}.source", plugin.name);
    match &plugin.source {
        Source::Builtin(name) => builtins.find(name).map(Arc::from).map_err(|error| {
            let mend = format!("use one of {}, or the path of a component", error.names);
            vec![problem(key, error.to_string(), mend)]
        }),
        Source::File(path) => read(path).await.map(Arc::from).map_err(|error| {
            let message = format!("{} cannot be read: {error}", path.display());
            vec![problem(key, message, "give the path of a component".into())]
        }),
    }
}

/// The version that is configured, or else one that can stand in for it.
async fn load_one(
    configured: &config::Plugin,
    bytes: Arc<[u8]>,
    supply: &Supply,
    previous: Option<&Snapshot>,
) -> Result<Loaded, Vec<Problem>> {
    let version = plugin_host::version(configured, &bytes);
    let before = previous.and_then(|previous| previous.plugins.get(&configured.name));
    let key = format!("plugin.{}", configured.name);
    let rejected = supply.versions.rejection(&configured.name, &version);
    let problems = match &rejected {
        Some(rejection) => vec![rejection.problem(format!("{key}.source"))],
        None => {
            let is_same =
                |it: &&Arc<Plugin>| it.made_with() == configured && it.version() == version;
            if let Some(before) = before.filter(is_same) {
                return Ok(unchanged(before));
            }
            match load_version(configured, &version, bytes.clone(), supply).await {
                Ok(loaded) => return Ok(loaded),
                Err(error) => explain(&key, error),
            }
        }
    };
    let instead = match previous {
        Some(_) => {
            let before = before.filter(|it| can_stay(it, configured, supply, rejected.as_ref()));
            before.map(unchanged)
        }
        None => at_the_start(configured, bytes, &version, rejected.is_some(), supply).await,
    };
    let Some(instead) = instead else {
        return Err(problems);
    };
    let why = problems.into_iter().next().map(|problem| {
        let used = instead.plugin.version();
        let message = if used == version {
            format!(
                "{}; it is used all the same, since there is no other",
                problem.message
            )
        } else {
            return used_instead(problem, &instead.plugin);
        };
        Problem { message, ..problem }
    });
    Ok(Loaded {
        kept: why,
        ..instead
    })
}

/// A problem because of which another version of a plugin is used, with that said.
pub(crate) fn used_instead(problem: Problem, plugin: &Plugin) -> Problem {
    let version = &plugin.version()[..12];
    Problem {
        message: format!("{}; version {version} is used instead", problem.message),
        ..problem
    }
}

fn unchanged(plugin: &Arc<Plugin>) -> Loaded {
    Loaded {
        plugin: plugin.clone(),
        component: None,
        kept: None,
    }
}

/// Whether the version in force can stay in place of another one: only the component's file has changed since, or the other one was
/// rolled back.
fn can_stay(
    plugin: &Plugin,
    configured: &config::Plugin,
    supply: &Supply,
    rejected: Option<&Rejection>,
) -> bool {
    let is_rejected = supply
        .versions
        .rejection(plugin.name(), plugin.version())
        .is_some();
    let was_rolled_back = rejected.is_some_and(Rejection::is_rollback);
    !is_rejected && (was_rolled_back || plugin.made_with() == configured)
}

/// At the start nothing is in force that could stay: the last component that has proved good, if it is another one. Or else what is
/// remembered as bad: a gateway that does not start cannot be told to try it again.
async fn at_the_start(
    configured: &config::Plugin,
    bytes: Arc<[u8]>,
    version: &str,
    was_rejected: bool,
    supply: &Supply,
) -> Option<Loaded> {
    let component = plugin_host::component(&bytes);
    let good = supply.versions.good(&configured.name);
    let good = good.into_iter().take(1).filter(|hash| *hash != component);
    if let Some(loaded) = load_first(configured, supply, good.collect()).await {
        return Some(loaded);
    }
    if !was_rejected {
        return None;
    }
    load_version(configured, version, bytes, supply).await.ok()
}

/// Loads the first of these components that can be used with this configuration; `None` if there is none.
pub(crate) async fn load_first(
    configured: &config::Plugin,
    supply: &Supply,
    components: Vec<String>,
) -> Option<Loaded> {
    if !is_file(configured) {
        return None;
    }
    for hash in components {
        let versions = supply.versions.clone();
        let Some(bytes) = off_the_workers(move || versions.component(&hash)).await else {
            continue;
        };
        let version = plugin_host::version(configured, &bytes);
        let rejected = supply.versions.rejection(&configured.name, &version);
        if rejected.is_some() {
            continue;
        }
        if let Ok(loaded) = load_version(configured, &version, bytes, supply).await {
            return Some(loaded);
        }
    }
    None
}

fn is_file(configured: &config::Plugin) -> bool {
    matches!(configured.source, Source::File(_))
}

/// Loads a version. One that cannot be used is rejected.
async fn load_version(
    configured: &config::Plugin,
    version: &str,
    bytes: Arc<[u8]>,
    supply: &Supply,
) -> Result<Loaded, load::Error> {
    let (name, versions) = (configured.name.clone(), supply.versions.clone());
    let hash = plugin_host::component(&bytes);
    versions.loading(&name, version, &hash);
    let services = supply.services.of(&name, supply.metrics.plugin(&name));
    match supply
        .loader
        .load(configured, bytes.clone(), services)
        .await
    {
        Ok(plugin) => Ok(Loaded {
            plugin,
            component: is_file(configured).then_some(Component { hash, bytes }),
            kept: None,
        }),
        Err(error) => {
            let version = version.to_owned();
            if error.is_lasting() {
                let rejection = Rejection::of(&error, &bytes);
                let reject = move || versions.reject(&name, &version, &hash, rejection);
                off_the_workers(reject).await;
            } else {
                versions.unused(&name, &version);
            }
            Err(error)
        }
    }
}

/// Rejects a version that loads, but does not fit where the configuration uses it, and says so.
pub(super) async fn does_not_fit(
    plugin: &Arc<Plugin>,
    problems: &Problems,
    supply: &Supply,
) -> Option<Problem> {
    let first = problems.0.first()?;
    let rejection = Rejection::by_place(&format!("{} {}", first.key, first.message), &first.mend);
    let problem = rejection.problem(format!("plugin.{}.source", plugin.name()));
    supply.reject(plugin, rejection).await;
    Some(problem)
}

/// Reads at most one byte more than a component may have, so that a larger file is recognised.
async fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // A pipe could block for ever.
    if !tokio::fs::metadata(path).await?.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    let file = tokio::fs::File::open(path).await?;
    let most = load::MAX_BYTES as u64 + 1;
    file.take(most).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// A load error as problems of the configuration.
fn explain(key: &str, error: load::Error) -> Vec<Problem> {
    match error {
        load::Error::Manifest(manifest::Error::Schema(deviations)) => deviations
            .into_iter()
            .map(|(path, text)| {
                let path = path.replace('/', ".");
                let mend = "see the schema with `sluicegate plugin inspect`".to_owned();
                problem(format!("{key}.config{path}"), text, mend)
            })
            .collect(),
        load::Error::Refused(text) => {
            vec![problem(
                format!("{key}.config"),
                text,
                "correct what the plugin reports".into(),
            )]
        }
        load::Error::OpenTransformer => {
            let mend = "remove `on-fault`, or set it to \"closed\"".to_owned();
            vec![problem(format!("{key}.on-fault"), error.to_string(), mend)]
        }
        load::Error::Compiler(error) => {
            let mend = "`sluicegate plugin inspect FILE` compiles it without limits".to_owned();
            vec![problem(format!("{key}.source"), error.to_string(), mend)]
        }
        error => {
            let mend = "`sluicegate plugin inspect FILE` shows what is in a component".to_owned();
            vec![problem(format!("{key}.source"), error.to_string(), mend)]
        }
    }
}
