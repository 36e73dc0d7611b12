//! The official clients of Python and Node.js, OpenAI's and others, and frameworks that use them: installing them, and running the
//! scripts under `tests/clients`.
//!
//! The scripts ask the gateway and print, a line of JSON for each case, what their client made of the responses. They judge
//! nothing: the expected results are in the test, once for all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::program;

/// How long an installation may take; a slow mirror, on a busy machine.
const INSTALL_DEADLINE: Duration = Duration::from_mins(10);

/// How long a script may run: several run at once, on a busy machine.
const RUN_DEADLINE: Duration = Duration::from_mins(8);

/// Which client, by its language and by what is built on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// A vendor's own from PyPI.
    Python,
    /// From npm.
    Node,
    /// LangChain from PyPI.
    LangchainPython,
    /// LangChain from npm.
    LangchainNode,
    /// The Vercel AI SDK from npm.
    AiSdk,
}

/// An installed client with its script.
#[derive(Debug)]
pub struct Installed {
    client: Client,
    program: PathBuf,
    folder: PathBuf,
}

impl Client {
    /// The programs that the machine must have.
    pub const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Python | Self::LangchainPython => &["python3"],
            Self::Node | Self::LangchainNode | Self::AiSdk => &["node", "npm"],
        }
    }

    /// The first program that the machine lacks.
    pub fn missing_program(self) -> Option<&'static str> {
        self.programs()
            .iter()
            .copied()
            .find(|program| program::find(program).is_none())
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
            Self::LangchainPython => "frameworks/python",
            Self::LangchainNode | Self::AiSdk => "frameworks/node",
        }
    }

    /// The file that pins what is installed.
    const fn manifest(self) -> &'static str {
        match self {
            Self::Python | Self::LangchainPython => "requirements.txt",
            Self::Node | Self::LangchainNode | Self::AiSdk => "package.json",
        }
    }

    const fn script(self) -> &'static str {
        match self {
            Self::Python | Self::LangchainPython => "cases.py",
            Self::Node => "cases.mjs",
            Self::LangchainNode => "langchain.mjs",
            Self::AiSdk => "ai.mjs",
        }
    }

    /// Installs OpenAI's client below `target`, unless that has been done for the same pinned versions.
    ///
    /// # Errors
    /// A program is missing or fails, or the file system does.
    pub async fn install(self, target: &Path) -> anyhow::Result<Installed> {
        self.install_of("", target).await
    }

    /// As [`Client::install`], for the clients whose scripts are in the folder `suite` of `tests/clients`, such as `ollama`.
    ///
    /// # Errors
    /// As [`Client::install`].
    pub async fn install_of(self, suite: &str, target: &Path) -> anyhow::Result<Installed> {
        let place = Path::new("clients").join(suite).join(self.folder());
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join(&place);
        let folder = target.join(&place);
        let pinned = fs::read(sources.join(self.manifest()))?;
        program::install_once(&folder, &pinned, async || {
            fs::write(folder.join(self.manifest()), &pinned)?;
            self.fetch(&folder).await
        })
        .await?;
        fs::copy(sources.join(self.script()), folder.join(self.script()))?;
        let program = match self {
            Self::Python | Self::LangchainPython => python_of(&folder),
            Self::Node | Self::LangchainNode | Self::AiSdk => {
                program::find("node").context("node is missing")?
            }
        };
        Ok(Installed {
            client: self,
            program,
            folder,
        })
    }

    async fn fetch(self, folder: &Path) -> anyhow::Result<()> {
        match self {
            Self::Python | Self::LangchainPython => {
                let python = program::find("python3").context("python3 is missing")?;
                run(&python, &["-m", "venv", "--clear", "venv"], folder).await?;
                let pip = [
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "-r",
                    "requirements.txt",
                ];
                run(&python_of(folder), &pip, folder).await
            }
            Self::Node | Self::LangchainNode | Self::AiSdk => {
                let npm = program::find("npm").context("npm is missing")?;
                run(
                    &npm,
                    &["install", "--no-audit", "--no-fund", "--loglevel=error"],
                    folder,
                )
                .await
            }
        }
    }
}

impl Installed {
    /// Runs the script against the gateway at `url`; `key` is a key that it takes. Gives what each case found.
    ///
    /// # Errors
    /// The script fails as a whole, prints something else than JSON lines, or takes too long.
    pub async fn run(&self, url: &str, key: &str) -> anyhow::Result<BTreeMap<String, Value>> {
        self.run_over(&json!({}), url, key).await
    }

    /// As [`Installed::run`], over a model server that is no simulated one.
    ///
    /// # Shape
    /// What the script must know of `server`, where it has these fields: `words`, what stands for names and texts of the
    /// script; `parameters`, what every request has; `template`, where `{}` is the text of a completion; `left_out`, the names
    /// of cases.
    ///
    /// # Errors
    /// As [`Installed::run`].
    pub async fn run_over(
        &self,
        server: &Value,
        url: &str,
        key: &str,
    ) -> anyhow::Result<BTreeMap<String, Value>> {
        let mut command = Command::new(&self.program);
        command
            .arg(self.client.script())
            .current_dir(&self.folder)
            .env("GATEWAY_URL", url)
            .env("GATEWAY_KEY", key)
            .env("MODEL_SERVER", server.to_string())
            .env("PYTHONUTF8", "1");
        // A proxy of the machine must not come between.
        for name in [
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "http_proxy",
            "https_proxy",
            "all_proxy",
        ] {
            command.env_remove(name);
        }
        let printed = program::finish(command, RUN_DEADLINE).await?;
        let mut cases = BTreeMap::new();
        for line in printed.lines().filter(|line| !line.is_empty()) {
            let mut found: Value = serde_json::from_str(line)
                .with_context(|| format!("not a line of JSON: {line}"))?;
            let name = found["case"]
                .as_str()
                .context("a line without `case`")?
                .to_owned();
            cases.insert(name, found["found"].take());
        }
        Ok(cases)
    }
}

fn python_of(folder: &Path) -> PathBuf {
    folder.join("venv/bin/python")
}

async fn run(program: &Path, arguments: &[&str], folder: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    program::finish(command, INSTALL_DEADLINE).await.map(drop)
}
