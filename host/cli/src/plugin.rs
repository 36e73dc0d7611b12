//! `plugin`: for authors, what is in a component; for operators, the plugins of a running gateway.

mod bench;
mod build;
mod case;
mod check;
mod conformance;
mod dev;
mod inspect;
mod log;
mod message;
mod new;
pub(super) mod operate;
mod project;
mod refusal;
mod sample;
mod source;
mod test;
mod warning;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use sluicegate_author::template::New;

use self::project::Given;
use super::admin::Gateway;
use crate::BAD_CONFIGURATION;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Makes a new project in a folder of its name: source with an example rule, build files, a case, a README.
    New {
        /// The plugin's name, such as `block-words`.
        name: String,
        /// The language.
        #[arg(long)]
        lang: String,
        /// Where the plugin takes part in an exchange.
        #[arg(long, value_delimiter = ',', required = true, value_name = "EXPORT,…")]
        exports: Vec<String>,
        /// What it asks of the gateway beside what every plugin has.
        #[arg(long, value_delimiter = ',', value_name = "IMPORT,…")]
        imports: Vec<String>,
        /// The project's folder.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Builds the component of a project by the language's own tools. Exit code 1 if they fail or are missing.
    Build {
        /// The project's folder.
        #[arg(default_value = ".", value_name = "DIR")]
        dir: PathBuf,
    },
    /// Builds a project, runs its cases and pushes it into a running gateway, now and at every save, and shows the first exchange
    /// that it serves. A version that does not build or does not pass is not pushed. Ends on Ctrl-C.
    Dev {
        /// The project's folder.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Loads a component and shows what it says of itself. A name like `builtin:auth` shows a plugin that ships.
    Inspect {
        /// The component, or the folder of its project.
        file: PathBuf,
        /// Its configuration: JSON, or a file with JSON or TOML. Without it that of a project's first case, or an empty one.
        #[arg(long, value_name = "JSON|FILE")]
        config: Option<String>,
    },
    /// Checks a component before it is shipped: contract, imports, manifest, configuration, size, budgets, and the trial that
    /// the gateway makes. Exit code 2 if the gateway would refuse it.
    Check {
        /// The component, the folder of its project, or a name like `builtin:auth`.
        file: PathBuf,
        /// Its configuration: JSON, or a file with JSON or TOML. Without it that of a project's first case, or an empty
        /// one, is tried.
        #[arg(long, value_name = "JSON|FILE")]
        config: Option<String>,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Runs a component on cases: folders with a request, a response, and what is expected to come out at both ends. The
    /// response arrives whole, byte by byte and cut in two everywhere; clocks and randomness are fixed. Exit code 1 if
    /// something differs. With `--conformance`: whether it keeps what the contract promises of any component.
    Test {
        /// The component, the folder of its project, or a name like `builtin:auth`.
        file: PathBuf,
        /// A case, or a folder of cases; without it those of the project.
        #[arg(long = "case", value_name = "DIR")]
        cases: Vec<PathBuf>,
        /// Runs it on what the contract lets come to any component: all methods, statuses and framings, bodies that are odd,
        /// empty or huge, 10,000 events, clients that leave, failures everywhere. What cases have takes the place of the
        /// ordinary request and response, so that phases behind credentials or in another dialect are reached.
        #[arg(long, conflicts_with = "update")]
        conformance: bool,
        /// The configuration for cases without one: JSON, or a file with JSON or TOML.
        #[arg(long, value_name = "JSON|FILE")]
        config: Option<String>,
        /// Writes what comes out as what is expected.
        #[arg(long)]
        update: bool,
        /// Shows what the component logs, while each case's response arrives whole.
        #[arg(long)]
        log: bool,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measures what a component costs: an instance, each call, each event in batches of 1 to 32, memory and code.
    Bench {
        /// The component, the folder of its project, or a name like `builtin:auth`.
        file: PathBuf,
        /// Its configuration: JSON, or a file with JSON or TOML. Without it that of a project's first case, or an empty one.
        #[arg(long, value_name = "JSON|FILE")]
        config: Option<String>,
        /// A case whose bodies are used in place of built-in ones.
        #[arg(long, value_name = "DIR")]
        case: Option<PathBuf>,
        /// Sends so many events through it instead, in one exchange and in many, and shows what is left of them in memory.
        /// Exit code 1 if a call fails, with the event at which it did.
        #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
        soak: Option<u64>,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists the plugins of the running gateway with their versions.
    List {
        #[command(flatten)]
        gateway: Gateway,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Puts a component into the plugin folder of the running gateway, once it has been checked there. Ends when it is in force, or
    /// with 1 if it is rejected.
    Push {
        /// The component, or the folder of its project.
        file: PathBuf,
        /// The plugin's name; without it, the file's.
        #[arg(long)]
        name: Option<String>,
        /// Only has it checked.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        gateway: Gateway,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lets the running gateway try what it has rejected of a plugin, or what was rolled back.
    Activate {
        /// The plugin.
        name: String,
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Rolls a plugin of the running gateway back to the version before, which stays until something of the plugin changes.
    Rollback {
        /// The plugin.
        name: String,
        #[command(flatten)]
        gateway: Gateway,
    },
}

impl Command {
    pub(super) async fn run(self) -> ExitCode {
        self.outcome().await.unwrap_or_else(|code| code)
    }

    /// # Errors
    /// As the exit code: a project is not as the command needs it, and the reason was printed.
    async fn outcome(self) -> Result<ExitCode, ExitCode> {
        Ok(match self {
            Self::New {
                name,
                lang,
                exports,
                imports,
                dir,
            } => {
                let folder = dir.unwrap_or_else(|| PathBuf::from(&name));
                new::new(&New {
                    name: &name,
                    language: &lang,
                    exports: &exports,
                    imports: &imports,
                    folder: &folder,
                })
            }
            Self::Build { dir } => build::build(dir).await,
            Self::Dev { dir, gateway } => dev::dev(&dir, &gateway).await,
            Self::List { gateway, json } => operate::list(&gateway, json).await,
            Self::Push {
                gateway,
                file,
                name,
                dry_run,
                json,
            } => {
                let file = given(file)?.file;
                operate::push(&gateway, &file, name.as_deref(), dry_run, json).await
            }
            Self::Activate { gateway, name } => operate::activate(&gateway, &name).await,
            Self::Rollback { gateway, name } => operate::roll_back(&gateway, &name).await,
            Self::Check { file, config, json } => {
                let given = given(file)?;
                let config = given.config(config);
                check::check(&given.file, config.as_deref(), json).await
            }
            Self::Test {
                file,
                mut cases,
                config,
                conformance,
                update,
                log,
                json,
            } => {
                let given = given(file)?;
                if conformance {
                    let config = given.config(config);
                    let options = conformance::Options {
                        cases,
                        config,
                        log,
                        json,
                    };
                    return Ok(conformance::run(&given.file, options).await);
                }
                if cases.is_empty() {
                    cases.extend(given.cases);
                }
                let options = test::Options {
                    cases,
                    config,
                    update,
                    log,
                    json,
                };
                test::test(&given.file, options).await
            }
            Self::Bench {
                file,
                config,
                case,
                soak,
                json,
            } => {
                let given = given(file)?;
                // A case that is named has a configuration of its own.
                let config = if case.is_some() {
                    config
                } else {
                    given.config(config)
                };
                let options = bench::Options {
                    config,
                    case,
                    soak,
                    json,
                };
                bench::bench(&given.file, options).await
            }
            Self::Inspect { file, config } => {
                let given = given(file)?;
                let config = given.config(config).unwrap_or_else(|| "{}".to_owned());
                inspect::inspect(&given.file, &config).await
            }
        })
    }
}

/// # Errors
/// There is no such project, or it is not built yet; the reason was printed.
fn given(file: PathBuf) -> Result<Given, ExitCode> {
    Given::of(file).map_err(|message| {
        eprintln!("sluicegate: {message}");
        ExitCode::from(BAD_CONFIGURATION)
    })
}
