//! Plugins and their versions.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Admin, Body, error, reloaded, respond};
use crate::reload::rollback;
use crate::supply::off_the_workers;
use crate::versions::Record;
use sluicegate_config::{Source, is_legal_name};
use sluicegate_plugin_host::Plugin;

/// The most files of the plugin folder that are listed. Arbitrary.
const LISTED: usize = 1000;

pub(super) async fn list(admin: &Admin) -> Response<Body> {
    respond(StatusCode::OK, &json!({"plugins": all(admin).await}))
}

pub(super) async fn one(admin: &Admin, name: &str) -> Response<Body> {
    match find(admin, name).await {
        Some(plugin) => respond(StatusCode::OK, &plugin),
        None => unknown(name),
    }
}

/// A plugin as it is shown.
pub(super) async fn find(admin: &Admin, name: &str) -> Option<Value> {
    let plugins = all(admin).await;
    plugins.into_iter().find(|plugin| plugin["name"] == name)
}

/// Everything that is rejected of this plugin may be tried again, now.
pub(super) async fn activate(admin: &Admin, name: &str) -> Response<Body> {
    if find(admin, name).await.is_none() {
        return unknown(name);
    }
    let result = admin.control.activate(name).await;
    reloaded(admin, &result)
}

pub(super) async fn roll_back(admin: &Admin, name: &str) -> Response<Body> {
    match admin.control.roll_back(name).await {
        Ok(()) => one(admin, name).await,
        Err(rollback::Error::Unknown) => unknown(name),
        Err(refused @ (rollback::Error::NoEarlier | rollback::Error::Replaced)) => {
            error(StatusCode::CONFLICT, refused.to_string())
        }
        Err(rollback::Error::Problems(problems)) => respond(
            StatusCode::UNPROCESSABLE_ENTITY,
            &json!({
                "error": "the earlier version does not fit the configuration",
                "problems": crate::reload::problems(&problems.0),
            }),
        ),
    }
}

pub(super) fn unknown(name: &str) -> Response<Body> {
    error(
        StatusCode::NOT_FOUND,
        format!("there is no plugin {name:?}; /plugins lists them"),
    )
}

/// The plugins in force, those of which something is known, and those that lie in the folder.
async fn all(admin: &Admin) -> Vec<Value> {
    let plugins = admin.core.snapshot.load().plugins.clone();
    let versions = &admin.control.supply().versions;
    let mut shown: Vec<Value> = plugins
        .values()
        .map(|plugin| in_force(admin, plugin, &versions.records(plugin.name())))
        .collect();
    let mut names: BTreeSet<String> = plugins.keys().cloned().collect();
    for name in versions.names() {
        let records = versions.records(&name);
        if !records.is_empty() && names.insert(name.clone()) {
            let state = records.first().map(Record::word);
            shown.push(json!({"name": name, "state": state, "versions": all_of(admin, &records)}));
        }
    }
    let folder = admin.control.plugin_folder().await;
    for (name, file) in off_the_workers(move || in_folder(folder)).await {
        if names.insert(name.clone()) {
            let source = file.display().to_string();
            shown.push(json!({"name": name, "state": "discovered", "source": source}));
        }
    }
    shown
}

fn in_force(admin: &Admin, plugin: &Arc<Plugin>, records: &[Record]) -> Value {
    let manifest = plugin.manifest();
    let source = match &plugin.made_with().source {
        Source::Builtin(name) => format!("builtin:{name}"),
        Source::File(path) => path.display().to_string(),
    };
    json!({
        "name": plugin.name(),
        "state": "live",
        "source": source,
        "plugin": manifest.name,
        "version": manifest.version,
        "version_id": plugin.version(),
        "summary": manifest.summary,
        "exports": plugin.exports().names().collect::<Vec<_>>(),
        "hash": plugin.hash(),
        "image": plugin.is_imaged(),
        "on_fault": if plugin.fails_open() { "open" } else { "closed" },
        "code_bytes": plugin.code_bytes(),
        "memory_limit_bytes": plugin.limits().memory,
        "granted": plugin.grant().to_string(),
        "versions": all_of(admin, records),
    })
}

fn all_of(admin: &Admin, records: &[Record]) -> Vec<Value> {
    let exchanges = |plugin: &Arc<Plugin>| admin.core.finishing.holding(plugin);
    records
        .iter()
        .map(|record| record.json(exchanges))
        .collect()
}

/// Components in the plugin folder, by the names that they would have.
fn in_folder(folder: Option<PathBuf>) -> Vec<(String, PathBuf)> {
    let files = folder.and_then(|folder| folder.read_dir().ok());
    let files = files.into_iter().flatten().filter_map(Result::ok);
    let named = files.filter_map(|file| {
        let path = file.path();
        let name = path.file_name()?.to_str()?.strip_suffix(".wasm")?;
        (is_legal_name(name) && path.is_file()).then(|| (name.to_owned(), path.clone()))
    });
    let mut named: Vec<_> = named.take(LISTED).collect();
    named.sort();
    named
}
