//! `plugin`: for authors and operators, what is in a component.

mod inspect;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{BAD_CONFIGURATION, print};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Loads a component and shows what it says of itself. A name like `builtin:auth` shows a plugin that ships.
    Inspect {
        /// The component.
        file: PathBuf,
        /// Its configuration as JSON.
        #[arg(long, default_value = "{}")]
        config: String,
    },
}

impl Command {
    pub(super) async fn run(self) -> ExitCode {
        match self {
            Self::Inspect { file, config } => inspect::inspect(&file, &config).await,
        }
    }
}
