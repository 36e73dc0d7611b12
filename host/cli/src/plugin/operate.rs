//! `plugin list`, `push`, `activate` and `rollback`: the plugins of a running gateway.

use std::path::Path;
use std::process::ExitCode;

use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use percent_encoding::{AsciiSet, utf8_percent_encode};
use serde_json::Value;
use sluicegate_plugin_host::load::MAX_BYTES;

use crate::admin::{Gateway, Said, complain, failed, outcome};
use crate::print;
use crate::table::Table;

/// What is encoded in a part of a path: all but what names can have.
const REST: &AsciiSet = &percent_encoding::NON_ALPHANUMERIC.remove(b'-');

/// Characters of a version's hash that are shown to people.
const SHORT: usize = 12;

pub(super) async fn list(gateway: &Gateway, as_json: bool) -> ExitCode {
    let asked = async { gateway.admin()?.get("/plugins").await };
    match asked.await {
        Ok(all) if as_json => print(&format!("{:#}\n", all["plugins"])),
        Ok(all) => print(&plugin_table(&all["plugins"]).to_string()),
        Err(code) => code,
    }
}

/// Puts a component into the plugin folder of a gateway, or only has it checked.
pub(super) async fn push(
    gateway: &Gateway,
    file: &Path,
    name: Option<&str>,
    dry: bool,
    as_json: bool,
) -> ExitCode {
    let name = name.or_else(|| file.file_stem().and_then(|stem| stem.to_str()));
    let Some(name) = name else {
        return failed("the file has no name that a plugin could have: give one with --name");
    };
    let said = match upload(gateway, file, name, dry).await {
        Ok(said) => said,
        Err(code) => return code,
    };
    if as_json {
        print(&format!("{:#}\n", said.value));
        return if said.status == StatusCode::OK {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    if said.status != StatusCode::OK {
        return refused(&said);
    }
    let version = short(&said.value["version_id"]);
    let done = if dry {
        "could be used".to_owned()
    } else {
        format!("is {}", said.value["state"].as_str().unwrap_or("written"))
    };
    print(&format!("{name}: version {version} {done}\n"))
}

/// Sends a component to a gateway, which responds when it is in force or refused.
///
/// # Errors
/// The reason was printed: the file cannot be read, or the gateway not be asked.
pub(super) async fn upload(
    gateway: &Gateway,
    file: &Path,
    name: &str,
    dry: bool,
) -> Result<Said, ExitCode> {
    let component = read(file)
        .map_err(|error| failed(&format!("{} cannot be read: {error}", file.display())))?;
    let dry_run = if dry { "?dry-run=1" } else { "" };
    let path = format!("/plugins/{}{dry_run}", encoded(name));
    gateway.admin()?.ask(Method::PUT, &path, component).await
}

/// Says why a component was refused.
pub(super) fn refused(said: &Said) -> ExitCode {
    complain(&said.value["config"]["refused"]["problems"]);
    complain(&said.value["config"]["kept"]);
    said.refused()
}

pub(super) async fn activate(gateway: &Gateway, name: &str) -> ExitCode {
    let asked = async {
        let path = format!("/plugins/{}/activate", encoded(name));
        gateway
            .admin()?
            .ask(Method::POST, &path, Bytes::new())
            .await
    };
    match asked.await {
        Ok(said) => outcome(&said),
        Err(code) => code,
    }
}

pub(super) async fn roll_back(gateway: &Gateway, name: &str) -> ExitCode {
    let asked = async {
        let path = format!("/plugins/{}/rollback", encoded(name));
        gateway
            .admin()?
            .ask(Method::POST, &path, Bytes::new())
            .await
    };
    match asked.await {
        Ok(said) if said.status == StatusCode::OK => {
            let version = short(&said.value["version_id"]);
            print(&format!("{name}: version {version} is live again\n"))
        }
        Ok(said) => said.refused(),
        Err(code) => code,
    }
}

/// Plugins with the version that is live, and below it others that matter: rejected ones, and those that still have exchanges.
pub(crate) fn plugin_table(plugins: &Value) -> Table {
    let mut table = Table::new(&[
        "PLUGIN",
        "STATE",
        "VERSION",
        "CALLS",
        "FAULTS",
        "EXCHANGES",
        "MS/CALL",
        "SOURCE",
    ]);
    for plugin in plugins.as_array().into_iter().flatten() {
        let name = plugin["name"].as_str().unwrap_or_default();
        let source = plugin["source"].as_str().unwrap_or_default();
        let versions = plugin["versions"].as_array();
        let versions: Vec<&Value> = versions.into_iter().flatten().collect();
        let is_live = |version: &&&Value| version["version_id"] == plugin["version_id"];
        let live = versions.iter().find(is_live);
        table.row(row(
            name,
            plugin["state"].as_str().unwrap_or_default(),
            live.copied().unwrap_or(plugin),
            source.to_owned(),
        ));
        for version in versions.iter().filter(|it| !is_live(it)) {
            let state = version["state"].as_str().unwrap_or_default();
            if state != "dropped" {
                table.row(row("", state, version, why(version)));
            }
        }
    }
    table
}

fn row(name: &str, state: &str, version: &Value, last: String) -> [String; 8] {
    let figures = &version["figures"];
    let count = |name: &str| {
        figures[name]
            .as_u64()
            .map_or_else(String::new, |it| it.to_string())
    };
    let per_call = match (figures["ms"].as_f64(), figures["calls"].as_f64()) {
        (Some(ms), Some(calls)) if calls > 0.0 => format!("{:.3}", ms / calls),
        _ => String::new(),
    };
    [
        name.to_owned(),
        state.to_owned(),
        short(&version["version_id"]),
        count("calls"),
        count("faults"),
        count("exchanges"),
        per_call,
        last,
    ]
}

fn why(version: &Value) -> String {
    let rejected = &version["rejected"];
    match (rejected["stage"].as_str(), rejected["reason"].as_str()) {
        (Some(stage), Some(reason)) => format!("{stage}: {reason}"),
        _ => String::new(),
    }
}

pub(super) fn short(version: &Value) -> String {
    let version = version.as_str().unwrap_or_default();
    version.chars().take(SHORT).collect()
}

/// At most one byte more than the gateway takes.
fn read(file: &Path) -> std::io::Result<Bytes> {
    use std::io::Read as _;
    let mut component = Vec::new();
    std::fs::File::open(file)?
        .take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut component)?;
    Ok(component.into())
}

/// A name as a part of a path; one with other characters is refused by the gateway, but must reach it.
fn encoded(name: &str) -> String {
    utf8_percent_encode(name, REST).to_string()
}
