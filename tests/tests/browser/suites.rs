//! The suites of `tests/browser`: the page's modules alone, their types, and the page in Chromium in front of the whole chain.
//!
//! They run in a copy, so that nothing is written beside the sources. A machine without Node.js or Chromium skips them,
//! loudly; in CI (`CI=true`) that is a failure.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use sluicegate_tests::web::{OTHER_TOKEN, TOKEN};
use sluicegate_tests::{Setup, Web, logs, program};
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio::process::Command;

/// Older ones are refused by playwright-core, and cannot mock the clock.
const NODE: u32 = 20;

/// The Markdown module, among the files of the page.
const MARKDOWN: &str = "markdown.wasm";

/// How long an installation may take; a slow mirror, on a busy machine.
const INSTALL_DEADLINE: Duration = Duration::from_mins(10);

/// How long what needs no browser may take.
const SHORT_DEADLINE: Duration = Duration::from_mins(2);

/// How long one suite in the browser may take, on a busy machine.
const SUITE_DEADLINE: Duration = Duration::from_mins(6);

/// Names the suites to run, separated by commas, for those who work on one of them; all where it is not set.
const CHOICE: &str = "SLUICE_SUITES";

/// What of a suite's output is shown where the summary of its failures is missing.
const TAIL: usize = 100;

#[tokio::test]
async fn the_modules_of_the_page_do_what_their_tests_promise() -> anyhow::Result<()> {
    if let Some(missing) = missing_node().await? {
        return program::skip(&format!(
            "{missing}, so the page's modules cannot be tested"
        ));
    }
    let copy = Copy::make()?;
    let markdown = copy.folder.path().join(MARKDOWN);
    let (_, module) = sluicegate_page::FILES
        .iter()
        .find(|(name, _)| *name == MARKDOWN)
        .context("the page has its Markdown module")?;
    fs::write(&markdown, module)?;
    let mut node = copy.node();
    node.arg("--test")
        .args(tests_in(&copy.suites().join("unit"))?);
    node.env("SLUICE_MARKDOWN_WASM", markdown);
    copy.run("unit", node, SHORT_DEADLINE).await
}

#[tokio::test]
async fn the_modules_of_the_page_agree_with_their_types() -> anyhow::Result<()> {
    if let Some(missing) = missing_node().await? {
        return program::skip(&format!("{missing}, so the page's types cannot be checked"));
    }
    let copy = Copy::make()?;
    copy.install().await?;
    let mut check = copy.node();
    check.args(["node_modules/typescript/bin/tsc", "--noEmit", "-p", "."]);
    copy.run("types", check, SHORT_DEADLINE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_in_the_browser_does_what_its_tests_promise() -> anyhow::Result<()> {
    let chromium = chromium();
    let missing = match &chromium {
        Some(_) => missing_node().await?,
        None => Some("chromium is not installed".to_owned()),
    };
    let (None, Some(chromium)) = (&missing, chromium) else {
        let missing = missing.unwrap_or_default();
        return program::skip(&format!("{missing}, so the page cannot be tested"));
    };
    let copy = Copy::make()?;
    copy.install().await?;
    let (_held, model_server) = shared_port()?;
    let (_held_too, pages) = shared_port()?;
    let listed = format!("http://listed.test:{}", pages.port());
    let gateway = Setup::before_url(&format!("http://{model_server}"))
        // The rule that a configuration without keys has by itself.
        .listener("hosts = []")
        .section(&format!("[server.cors]\norigins = [{listed:?}]"))
        // The suites come with a model server each: it must be found again soon.
        .upstream(r#"health = { path = "/api/version", interval = "1s" }"#)
        .chat()
        .start()
        .await;
    let web = Web::before(&gateway).await?;

    let mut failures = Vec::new();
    for suite in chosen(tests_in(&copy.suites())?)? {
        let name = name(&suite);
        let mut node = copy.node();
        node.args(["--test-reporter", "spec", "--test-reporter-destination"])
            .args(["stdout".as_ref(), suite.as_os_str()])
            .env("SLUICE_CHAT_URL", format!("http://{}", web.address()))
            .env("SLUICE_CHAT_TOKEN", TOKEN)
            .env("SLUICE_CHAT_OTHER_TOKEN", OTHER_TOKEN)
            .env("SLUICE_FAKE_PORT", model_server.port().to_string())
            .env(
                "SLUICE_GATEWAY_URL",
                format!("http://{}", gateway.address()),
            )
            .env("SLUICE_PAGES_PORT", pages.port().to_string())
            .env("CHROMIUM", &chromium);
        if let Err(error) = copy.run(&name, node, SUITE_DEADLINE).await {
            failures.push(format!("{error:#}"));
        }
    }
    web.shutdown().await;
    gateway.shutdown().await;
    let lines = logs::lines(|_| true);
    let lines: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(outputs().join("gateway.log"), lines.concat())?;
    // All suites in one report: a run is too slow to fix them one by one.
    anyhow::ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
    Ok(())
}

/// A copy of the suites and of the page's modules, laid out as in the sources.
struct Copy {
    folder: TempDir,
}

impl Copy {
    fn make() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the tests are a folder of the workspace")?;
        let copy = Self {
            folder: TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?,
        };
        copy_files(&root.join("tests/browser"), &copy.suites())?;
        copy_files(
            &root.join("host/chat/ui"),
            &copy.folder.path().join("host/chat/ui"),
        )?;
        // What the page loads as modules, Node.js shall take for modules too.
        fs::write(
            copy.folder.path().join("package.json"),
            r#"{"type":"module"}"#,
        )?;
        Ok(copy)
    }

    fn suites(&self) -> PathBuf {
        self.folder.path().join("tests/browser")
    }

    /// Puts the packages that the suites need beside them. They are fetched once for each state of the lock file.
    async fn install(&self) -> anyhow::Result<()> {
        let shared = outputs().join("packages");
        let pinned = fs::read(self.suites().join("package-lock.json"))?;
        program::install_once(&shared, &pinned, async || {
            for file in ["package.json", "package-lock.json"] {
                fs::copy(self.suites().join(file), shared.join(file))?;
            }
            let mut npm = Command::new(program::find("npm").context("npm is missing")?);
            npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
                .current_dir(&shared);
            program::finish(npm, INSTALL_DEADLINE).await.map(drop)
        })
        .await?;
        symlink(
            shared.join("node_modules"),
            self.suites().join("node_modules"),
        )?;
        Ok(())
    }

    fn node(&self) -> Command {
        let mut node = Command::new("node");
        node.current_dir(self.suites());
        // A proxy of the machine must not come between.
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            node.env_remove(name).env_remove(name.to_lowercase());
        }
        node
    }

    /// Runs a suite; the error has what failed in it.
    async fn run(&self, name: &str, command: Command, deadline: Duration) -> anyhow::Result<()> {
        let log = outputs().join(format!("{name}.log"));
        fs::create_dir_all(outputs())?;
        program::finish_into(&log, command, deadline)
            .await
            .with_context(|| {
                let output = fs::read(&log).unwrap_or_default();
                let output = String::from_utf8_lossy(&output);
                format!("{name}: {}\nall of it: {}", failed(&output), log.display())
            })
    }
}

/// Where the output of the last run stays, and what was fetched.
fn outputs() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser")
}

/// The part of a suite's output that tells what failed.
fn failed(output: &str) -> String {
    if let Some((_, failures)) = output.rsplit_once("failing tests:") {
        return failures.trim().to_owned();
    }
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

/// Copies the files of a folder and of those below it, but what is installed there.
fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            fs::copy(entry.path(), target)?;
        } else if entry.file_name() != "node_modules" {
            copy_files(&entry.path(), &target)?;
        }
    }
    Ok(())
}

/// The test files of a folder, in order.
fn tests_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".test.mjs") {
            found.push(path);
        }
    }
    found.sort();
    anyhow::ensure!(!found.is_empty(), "no tests in {}", folder.display());
    Ok(found)
}

/// A suite's name: that of its file without the endings.
fn name(suite: &Path) -> String {
    let file = suite.file_name().unwrap_or_default().to_string_lossy();
    file.trim_end_matches(".test.mjs").to_owned()
}

/// The suites that the environment asks for.
fn chosen(suites: Vec<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    let Ok(choice) = std::env::var(CHOICE) else {
        return Ok(suites);
    };
    let mut chosen = Vec::new();
    for wanted in choice.split(',') {
        let suite = suites.iter().find(|suite| name(suite) == wanted);
        chosen.push(
            suite
                .with_context(|| format!("{CHOICE}: there is no suite `{wanted}`"))?
                .clone(),
        );
    }
    Ok(chosen)
}

/// A port on loopback that nobody else takes as long as the socket lives, and on which one other process can listen: the
/// model server of each suite in turn. Both need `SO_REUSEADDR`, which Node.js sets.
fn shared_port() -> std::io::Result<(TcpSocket, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

/// The browser: `$CHROMIUM`, or where distributions have it.
fn chromium() -> Option<PathBuf> {
    match std::env::var_os("CHROMIUM") {
        Some(path) => Some(path.into()),
        None => program::find("chromium").or_else(|| program::find("chromium-browser")),
    }
}

/// What is missing of Node.js.
async fn missing_node() -> anyhow::Result<Option<String>> {
    for name in ["node", "npm"] {
        if program::find(name).is_none() {
            return Ok(Some(format!("{name} is not installed")));
        }
    }
    let mut node = Command::new("node");
    node.arg("--version");
    let version = program::finish(node, SHORT_DEADLINE).await?;
    let version = version.trim();
    let major = version.trim_start_matches('v').split('.').next();
    let major: u32 = major.unwrap_or_default().parse()?;
    Ok((major < NODE).then(|| format!("node is {version}, older than {NODE}")))
}
