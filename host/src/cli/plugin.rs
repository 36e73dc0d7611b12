//! `plugin`: for authors and operators, what is in a component.

mod check;
mod inspect;
mod refusal;
mod source;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Loads a component and shows what it says of itself. A name like `builtin:auth` shows a plugin that ships.
    Inspect {
        /// The component.
        file: PathBuf,
        /// Its configuration: JSON, or a file with JSON or TOML.
        #[arg(long, default_value = "{}", value_name = "JSON|FILE")]
        config: String,
    },
    /// Checks a component before it is shipped: contract, imports, manifest, configuration, size, budgets, and the trial that
    /// the gateway makes. Exit code 2 if the gateway would refuse it.
    Check {
        /// The component, or a name like `builtin:auth`.
        file: PathBuf,
        /// Its configuration: JSON, or a file with JSON or TOML. Without it an empty one is tried.
        #[arg(long, value_name = "JSON|FILE")]
        config: Option<String>,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Command {
    pub(super) async fn run(self) -> ExitCode {
        match self {
            Self::Check { file, config, json } => {
                check::check(&file, config.as_deref(), json).await
            }
            Self::Inspect { file, config } => inspect::inspect(&file, &config).await,
        }
    }
}
