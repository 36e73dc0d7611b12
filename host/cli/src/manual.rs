//! `completions` and `man`: what a shell and `man` know of the commands.

use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Command, print};

/// Prints completions for a shell.
pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Command::command(), "sluicegate", &mut text);
    print(&String::from_utf8_lossy(&text))
}

/// Writes a manual page for each command.
pub(super) fn pages(folder: &Path) -> ExitCode {
    match clap_mangen::generate_to(Command::command(), folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let folder = folder.display();
            eprintln!("sluicegate: manual pages cannot be written into {folder}: {error}");
            ExitCode::FAILURE
        }
    }
}
