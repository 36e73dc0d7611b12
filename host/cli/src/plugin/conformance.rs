//! `plugin test --conformance`: runs a component on what the contract lets come to it, and checks what the contract promises of
//! any component, whatever it is for.
//!
//! That is: no trap, no exceeded limit, no result that is not allowed there; the same result however a response arrives, and the
//! same when an exchange comes again. What a component decides (to refuse, to reply, to change) is its own affair.

mod corpus;
mod observed;
mod report;
mod trial;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::Value;

use self::report::{Report, Verdict};
use self::trial::Reached;
use super::case::{self, Case};
use super::test::services::CaseServices;
use super::warning::Warning;
use super::{log, refusal, source};
use crate::{BAD_CONFIGURATION, print};
use sluicegate_contract::Exports;
use sluicegate_plugin_host::{Engine, Loader, Plugin};

/// What the command is to do.
#[derive(Debug)]
pub(super) struct Options {
    /// Cases whose requests and responses take the place of the ordinary ones.
    pub(super) cases: Vec<PathBuf>,
    pub(super) config: Option<String>,
    /// Whether the component's log is shown.
    pub(super) log: bool,
    pub(super) json: bool,
}

/// Runs the corpus, and prints what it has shown.
pub(super) async fn run(file: &Path, options: Options) -> ExitCode {
    // What went wrong is in the report.
    if options.log {
        log::show(true);
    }
    let (bytes, config, cases, loader) = match prepare(file, &options) {
        Ok(prepared) => prepared,
        Err(message) => {
            eprintln!("sluicegate: {message}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    let state = CaseServices::new();
    let loaded = refusal::load(&loader, file, config, &bytes, &state.services()).await;
    let plugin = match loaded {
        Ok(plugin) => plugin,
        Err(refused) => return refused,
    };
    let report = tried((&plugin, &state), file, &cases, &options).await;
    if options.json {
        print(&format!("{:#}\n", report.json()));
    } else {
        print(&report.text());
        for warning in &report.warnings {
            warning.print();
        }
    }
    if report.failed() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Component, configuration, cases, and an engine whose clocks and randomness are fixed.
type Prepared = (Arc<[u8]>, Option<Value>, Vec<Case>, Loader);

fn prepare(file: &Path, options: &Options) -> Result<Prepared, String> {
    let mut cases = Vec::new();
    for folder in &options.cases {
        for found in case::find(folder)? {
            cases.push(Case::read(&found)?);
        }
    }
    let given = options.config.as_deref().map(source::configuration);
    // A component is loaded once.
    let config = match given.transpose()? {
        Some(config) => Some(config),
        None => cases.iter().find_map(|case| case.config.clone()),
    };
    let engine = Engine::repeatable().map_err(|error| error.to_string())?;
    Ok((source::read(file)?, config, cases, Loader::new(engine)))
}

async fn tried<'a>(
    (plugin, state): (&Arc<Plugin>, &CaseServices),
    file: &'a Path,
    cases: &[Case],
    options: &Options,
) -> Report<'a> {
    let (manifest, exports) = (plugin.manifest(), plugin.exports());
    let mut verdicts: Vec<Verdict> = Vec::new();
    let mut reached = Reached::default();
    if exports.is_stage() {
        for (number, ground) in corpus::grounds(manifest, cases).iter().enumerate() {
            for group in corpus::groups(ground, manifest, exports, number == 0) {
                let at = verdicts.iter().position(|it| it.name == group.name);
                let at = at.unwrap_or_else(|| {
                    verdicts.push(Verdict::new(group.name));
                    verdicts.len() - 1
                });
                for scenario in group.scenarios {
                    let shown = trial::run((plugin, state), &scenario, &mut reached).await;
                    let name = format!("\"{}\" ({})", scenario.name, ground.name);
                    verdicts[at].add(&name, shown);
                }
            }
        }
    }
    if exports.observer {
        verdicts.push(observed::run(plugin, &mut reached).await);
    }
    if !options.json {
        for verdict in &verdicts {
            print(&verdict.text());
        }
    }
    let warnings = unreached(exports, &reached, cases.is_empty());
    Report {
        file,
        verdicts,
        reached,
        memory: plugin.limits().memory,
        warnings,
    }
}

/// Interfaces that the component exports and that no scenario has called.
fn unreached(exports: Exports, reached: &Reached, is_without_cases: bool) -> Vec<Warning> {
    let is_called = |interface: &str| {
        let mut phases = reached.phases.keys();
        phases.any(|phase| phase.split('.').next() == Some(interface))
    };
    let missing: Vec<&str> = exports.names().filter(|name| !is_called(name)).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    vec![Warning {
        reason: format!("never called: {}", missing.join(", ")),
        mend: if is_without_cases {
            "give requests that it lets pass (with credentials, in its own dialect) with --case, and the responses that it expects"
        } else {
            "let the cases' requests pass its earlier phases, and give them the responses that it expects"
        },
    }]
}
