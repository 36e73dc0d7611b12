//! The gateway as a program of its own, as an operator runs it.

use std::process::Stdio;

use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::{Client, within};

/// The program at `path`, with an environment that cannot change its behaviour.
pub fn program(path: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for name in [
        "OLLAMA_HOST",
        "SLUICEGATE_LISTEN",
        "SLUICEGATE_ADMIN_LISTEN",
        "SLUICEGATE_LOG",
        "SLUICEGATE_LOG_FORMAT",
        "SLUICEGATE_API_KEY",
        "CLAWDBOT_PORT",
        "CLAWDBOT_MODEL_ENDPOINT",
        // A test has no part in this user's cache.
        "CACHE_DIRECTORY",
        "XDG_CACHE_HOME",
        "STATE_DIRECTORY",
        "XDG_STATE_HOME",
        "HOME",
    ] {
        command.env_remove(name);
    }
    command
}

/// A gateway that runs.
#[derive(Debug)]
pub struct Served {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Its configuration, if the test does not keep it.
    _file: Option<NamedTempFile>,
}

impl Served {
    /// Starts a command that serves.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let out = child.stdout.take().expect("it is piped");
        Self {
            child,
            lines: BufReader::new(out).lines(),
            _file: None,
        }
    }

    /// Starts the program at `path` with this configuration.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_with(path: &str, configuration: &str) -> Self {
        let file = NamedTempFile::with_suffix(".toml").expect("a file");
        std::fs::write(file.path(), configuration).expect("room for a file");
        let name = file.path().to_str().expect("a path in UTF-8");
        let served = Self::start(program(path, &["serve", "--config", name]));
        Self {
            _file: Some(file),
            ..served
        }
    }

    /// The next line, log line or not.
    ///
    /// # Panics
    /// If the program has ended, or nothing comes within the deadline.
    pub async fn text(&mut self, what: &str) -> String {
        let line = within(what, self.lines.next_line()).await;
        line.expect("text").expect("the program runs")
    }

    /// The next log line for which `wanted` holds.
    ///
    /// # Panics
    /// If there is none within the deadline.
    pub async fn line(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        within(what, async {
            loop {
                let line = self
                    .lines
                    .next_line()
                    .await
                    .expect("text")
                    .expect("the program runs");
                match serde_json::from_str::<Value>(&line) {
                    Ok(line) if wanted(&line) => return line,
                    Ok(_) | Err(_) => {}
                }
            }
        })
        .await
    }

    /// Where the proxy and the admin interface listen.
    ///
    /// # Panics
    /// If the program does not say so within the deadline.
    pub async fn addresses(&mut self) -> (Client, Client) {
        let line = self
            .line("the line that it serves", |line| line["msg"] == "serving")
            .await;
        let client = |name: &str| {
            Client::new(
                line[name]
                    .as_str()
                    .expect("an address")
                    .parse()
                    .expect("an address"),
            )
        };
        (client("listen"), client("admin"))
    }

    /// Sends a signal, as an operator does.
    ///
    /// # Panics
    /// If the program has ended.
    pub async fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().await;
        assert!(status.expect("`kill` is there").success());
    }

    /// The number of its process.
    ///
    /// # Panics
    /// If it has ended.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// All that it writes to standard error, to its end. Once.
    ///
    /// # Panics
    /// If it does not end within the deadline.
    pub async fn complaints(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut err) = self.child.stderr.take() {
            let read = within("the end of standard error", err.read_to_string(&mut text));
            read.await.expect("text");
        }
        text
    }

    /// Reads its output to the end and gives its exit code.
    ///
    /// # Panics
    /// If it does not end within the deadline.
    pub async fn ended(mut self) -> Option<i32> {
        let status = within("the end of the program", async {
            while let Ok(Some(_)) = self.lines.next_line().await {}
            self.child.wait().await
        });
        status.await.expect("it ran").code()
    }

    /// Its exit code, while nobody reads its output.
    ///
    /// # Panics
    /// If it does not end within the deadline.
    pub async fn ended_unread(mut self) -> Option<i32> {
        let status = within("the end of the program", self.child.wait()).await;
        status.expect("it ran").code()
    }
}
