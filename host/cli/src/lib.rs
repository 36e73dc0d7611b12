//! The command line. One file per command; the work is done in the other crates.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command's output goes to the terminal"
)]

mod admin;
mod chat;
mod check;
mod compile;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod manual;
mod plugin;
mod process;
mod reload;
mod serve;
mod status;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tokio::runtime::Runtime;

use sluicegate_config::{Config, Problem, Problems};
use sluicegate_plugin_host::Builtins;
use sluicegate_telemetry::log;

/// A gateway for language-model traffic whose pipeline is made of sandboxed WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "sluicegate", version, about)]
pub struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Runs the gateway. Without a file it serves 127.0.0.1:8080 and expects Ollama on 127.0.0.1:11434, or where
    /// OLLAMA_HOST says.
    Serve(Configured),
    /// Runs the gateway with a simulated model server inside: everything works on a bare machine.
    #[cfg(feature = "demo")]
    Demo(demo::Demo),
    /// Validates a configuration, loads its plugins, and reports all problems.
    Check {
        /// The configuration to check.
        file: PathBuf,
    },
    /// Makes the running gateway read its configuration again. Ends when it is in force, or with 1 if it is refused.
    Reload(admin::Gateway),
    /// Shows how the running gateway is: what is in force, upstreams, plugins. Exit code 1 if it is not ready, or has something else
    /// in force than what is on disk.
    Status {
        #[command(flatten)]
        gateway: admin::Gateway,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Checks a running deployment: each model server, the gateway with one real question, the chat page. Says what to mend; exit
    /// code 1 if something fails.
    Doctor(doctor::Doctor),
    /// Prints completions for a shell, such as `source <(sluicegate completions bash)`.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Writes manual pages, one for each command, into a folder: `man -l FOLDER/sluicegate.1` shows the first.
    Man {
        /// The folder, which must exist.
        folder: PathBuf,
    },
    /// Compiles one plugin for a gateway that serves, which starts this command itself.
    #[command(name = compile::NAME, hide = true)]
    CompilePlugin,
    /// Prints the contract that plugins implement, as one WIT file.
    Wit,
    /// Works with plugins.
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Runs the chat page alone, in front of a gateway that runs elsewhere; or works with its database.
    Chat {
        #[command(flatten)]
        configured: Configured,
        #[command(subcommand)]
        what: Option<Database>,
    },
}

#[derive(Debug, Args)]
struct Configured {
    /// The configuration file; without it, the default configuration, which the README names.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Database {
    /// Prints a link that logs a browser in, once, within ten minutes.
    Login,
    /// Prints all sessions of a user as JSON.
    Export {
        /// The user.
        #[arg(long, default_value = "local")]
        user: String,
    },
    /// Adds the sessions of an exported file to those of a user.
    Import {
        /// The file; `-` for standard input.
        file: PathBuf,
        /// The user.
        #[arg(long, default_value = "local")]
        user: String,
    },
    /// Copies the database to a file, even while it is in use.
    Backup {
        /// The new file.
        to: PathBuf,
    },
}

/// What is built into the program. Whoever builds it decides that.
#[derive(Clone, Copy, Debug, Default)]
pub struct Embedded {
    /// The plugins that ship.
    pub plugins: Builtins,
    /// The files of the chat page.
    pub page: sluicegate_chat::Files,
}

/// Set before any command runs.
static EMBEDDED: OnceLock<Embedded> = OnceLock::new();

fn embedded() -> Embedded {
    EMBEDDED.get().copied().unwrap_or_default()
}

/// How long the program waits at its end for its last log lines to be read. Arbitrary.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Exit code for a configuration that cannot be used.
const BAD_CONFIGURATION: u8 = 2;

impl Command {
    /// Runs the command to its end.
    #[must_use]
    pub fn run(self, embedded: Embedded) -> ExitCode {
        EMBEDDED.get_or_init(|| embedded);
        // It needs few threads, and makes them itself.
        if matches!(self.what, What::CompilePlugin) {
            return compile::compile();
        }
        let runtime = match Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("sluicegate: the runtime cannot start: {error}");
                return ExitCode::FAILURE;
            }
        };
        let code = runtime.block_on(async {
            match self.what {
                What::Serve(configured) => serve::serve(configured.config.as_deref()).await,
                #[cfg(feature = "demo")]
                What::Demo(demo) => demo.run().await,
                What::Check { file } => check::check(&file).await,
                What::Reload(gateway) => reload::reload(&gateway).await,
                What::Status { gateway, json } => status::status(&gateway, json).await,
                What::Doctor(doctor) => doctor.run().await,
                What::Completions { shell } => manual::completions(shell),
                What::Man { folder } => manual::pages(&folder),
                What::CompilePlugin => compile::compile(),
                What::Wit => print(&wit()),
                What::Chat { configured, what } => {
                    chat::chat(configured.config.as_deref(), what).await
                }
                What::Plugin(command) => command.run().await,
            }
        });
        // The program does not wait for a compilation whose result is not needed any more.
        runtime.shutdown_background();
        log::flush(LAST_LINES);
        code
    }
}

/// The process's environment.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn load(file: Option<&Path>) -> Result<Config, ExitCode> {
    sluicegate_config::load(file, &environment).map_err(|problems| report(&problems))
}

/// Prints problems for a person.
fn report(problems: &Problems) -> ExitCode {
    for problem in &problems.0 {
        eprintln!("error: {problem}\n");
    }
    let count = problems.0.len();
    eprintln!(
        "{count} {}",
        if count == 1 { "problem" } else { "problems" }
    );
    ExitCode::from(BAD_CONFIGURATION)
}

fn warn(warnings: &[Problem]) {
    for warning in warnings {
        eprintln!("warning: {warning}\n");
    }
}

/// Prints to standard output; a closed pipe is not an error.
fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

/// The files of `wit/` as one: the package is declared once.
fn wit() -> String {
    const FILES: [&str; 9] = [
        include_str!("../../../wit/types.wit"),
        include_str!("../../../wit/host.wit"),
        include_str!("../../../wit/capabilities.wit"),
        include_str!("../../../wit/gate.wit"),
        include_str!("../../../wit/request.wit"),
        include_str!("../../../wit/response.wit"),
        include_str!("../../../wit/closing.wit"),
        include_str!("../../../wit/observer.wit"),
        include_str!("../../../wit/world.wit"),
    ];
    let (package, _) = FILES[0]
        .split_once('\n')
        .expect("the first line declares the package");
    let bodies = FILES.map(|file| {
        file.strip_prefix(package)
            .unwrap_or(file)
            .trim_start_matches('\n')
    });
    format!("{package}\n\n{}", bodies.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }

    #[test]
    fn the_printed_contract_declares_its_package_once() {
        let wit = wit();
        assert_eq!(wit.matches("package sluicegate:plugin@").count(), 1);
        assert!(wit.contains("world filter-plugin") && wit.contains("interface exchange {"));
    }
}
