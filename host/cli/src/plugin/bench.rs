//! `plugin bench`: what a component costs: an instance, each call, each event, and memory.
//!
//! It calls what an exchange would call: a phase that the plugin's own plan leaves out has no figure. With `--soak` it shows
//! whether many events leave anything behind.

pub(super) mod bodies;
mod exchange;
mod figures;
mod soak;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use self::bodies::Bodies;
use self::figures::Figures;
use super::case::{self, Case};
use super::{log, refusal, source};
use crate::{BAD_CONFIGURATION, print};
use sluicegate_plugin_host::instance::{self, Instance};
use sluicegate_plugin_host::{Engine, Loader, Plugin, Services, wit};

/// Instances that are made and given back, one after the other. Arbitrary: enough for a 99th percentile.
const INSTANCES: usize = 1_000;
/// Exchanges whose calls are measured; a quarter of them with each size of batch. Arbitrary, as above.
const EXCHANGES: usize = 1_000;
/// Instances that are made between two looks at the memory. Arbitrary: far more than the pages around them.
const LIVE: usize = 64;
/// Such looks. The median counts, since what was freed before may be given back at any time.
const LOOKS: usize = 9;
/// Summaries in one call of an observer: one, and as many as the contract allows.
const SUMMARIES: [usize; 2] = [1, 64];

/// What the command is to do.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) config: Option<String>,
    pub(super) case: Option<PathBuf>,
    /// Events of a soak, in place of the figures.
    pub(super) soak: Option<u64>,
    pub(super) json: bool,
}

/// Measures, and prints the figures.
pub(super) async fn bench(file: &Path, options: Options) -> ExitCode {
    if !options.json {
        log::show(false);
    }
    let prepared = prepare(file, &options);
    let (bytes, config, bodies, loader) = match prepared {
        Ok(prepared) => prepared,
        Err(message) => {
            eprintln!("sluicegate: {message}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    let plugin = match refusal::load(&loader, file, config, &bytes, &Services::default()).await {
        Ok(plugin) => plugin,
        Err(refused) => return refused,
    };
    let bodies = bodies.unwrap_or_else(|| bodies::built_in(plugin.manifest()));
    if let Some(events) = options.soak {
        let soak = soak::run(&plugin, &bodies, events).await;
        return soak.print(file, options.json);
    }
    let mut figures = Figures::new(&plugin, bytes.len());
    if let Err(message) = measure(&plugin, &bodies, &mut figures).await {
        eprintln!("sluicegate: {}: {message}", file.display());
        return ExitCode::FAILURE;
    }
    if options.json {
        print(&format!("{:#}\n", figures.json(file)))
    } else {
        print(&figures.text(file))
    }
}

/// Component, configuration, bodies if a case has them, and an engine.
type Prepared = (Arc<[u8]>, Option<Value>, Option<Vec<Bodies>>, Loader);

fn prepare(file: &Path, options: &Options) -> Result<Prepared, String> {
    let bytes = source::read(file)?;
    let given = options
        .config
        .as_deref()
        .map(source::configuration)
        .transpose()?;
    let loader = Loader::new(Engine::new().map_err(|error| error.to_string())?);
    let Some(folder) = &options.case else {
        return Ok((bytes, given, None, loader));
    };
    let [folder] = <[PathBuf; 1]>::try_from(case::find(folder)?)
        .map_err(|found| format!("there are {} cases there: name one of them", found.len()))?;
    let case = Case::read(&folder)?;
    let bodies = vec![Bodies::of(case.script)];
    Ok((bytes, given.or(case.config), Some(bodies), loader))
}

/// # Errors
/// What failed, in words.
async fn measure(
    plugin: &Arc<Plugin>,
    bodies: &[Bodies],
    figures: &mut Figures,
) -> Result<(), String> {
    // First, while the pool has no memory of instances before.
    figures.memory = live(plugin, bodies).await?;
    for _ in 0..INSTANCES {
        let began = Instant::now();
        drop(made(plugin).await?);
        figures.add(
            "an instance, made and given back".into(),
            began.elapsed(),
            1,
        );
    }
    if plugin.exports().is_stage() {
        for number in 0..EXCHANGES {
            for bodies in bodies {
                exchange::measure(plugin, bodies, number, figures).await?;
            }
        }
    }
    if plugin.exports().observer {
        observe(plugin, figures).await?;
    }
    Ok(())
}

/// Bytes of private memory of a live instance that has seen a request and the beginning of a response, or of an observer's that
/// has seen nothing yet; `None` where the system does not tell.
async fn live(plugin: &Arc<Plugin>, bodies: &[Bodies]) -> Result<Option<u64>, String> {
    let Some(bodies) = bodies.first() else {
        return Ok(None);
    };
    let is_stage = plugin.exports().is_stage();
    let mut live = Vec::with_capacity(LIVE * LOOKS);
    let mut seen = Vec::with_capacity(LOOKS + 1);
    seen.push(private_bytes());
    for _ in 0..LOOKS {
        for _ in 0..LIVE {
            live.push(if is_stage {
                exchange::begun(plugin, bodies).await?
            } else {
                made(plugin).await?
            });
        }
        seen.push(private_bytes());
    }
    let seen: Option<Vec<u64>> = seen.into_iter().collect();
    let more = |pair: &[u64]| pair[1].saturating_sub(pair[0]) / LIVE as u64;
    let mut each: Vec<u64> = seen.unwrap_or_default().windows(2).map(more).collect();
    each.sort_unstable();
    Ok(each.get(LOOKS / 2).copied())
}

async fn made(plugin: &Arc<Plugin>) -> Result<Instance, String> {
    let mut instance = Instance::new(plugin, None);
    let made = instance.make().await;
    made.map_err(|error| format!("no instance can be made: {error}"))?;
    Ok(instance)
}

/// Private memory of this process that was written to.
fn private_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Private_Dirty:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

async fn observe(plugin: &Arc<Plugin>, figures: &mut Figures) -> Result<(), String> {
    for count in SUMMARIES {
        let batch: Vec<wit::Summary<'_>> = (0..count).map(|_| bodies::summary()).collect();
        for _ in 0..INSTANCES / 10 {
            let began = Instant::now();
            let observed = instance::observe(plugin, &batch).await;
            observed.map_err(|error| format!("`observer.observe` failed: {error}"))?;
            let name = format!("observer.observe with its instance, {count} at a time, each");
            figures.add(name, began.elapsed(), count);
        }
    }
    Ok(())
}
