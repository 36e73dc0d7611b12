//! The sections `[plugin.NAME]`.
//!
//! Responsible for where a plugin comes from, what it may use, and its configuration with the secrets filled in. Not
//! responsible for whether the plugin accepts that configuration: its schema decides when it is loaded. A missing plugin file
//! is found then, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use toml::de::DeValue;

use super::problem::nearest;
use super::reader::{Place, Table, Value};
use super::{API_KEY, check_name, secret};

mod grant;
mod unconfigured;

pub use self::grant::{Grant, HttpGrant, Origin};
pub(super) use self::unconfigured::add_unconfigured;
pub use self::unconfigured::in_folder;

/// The plugins that are part of the gateway, as in `source = "builtin:auth"`.
pub const BUILTINS: [&str; 14] = [
    "auth",
    "jwt",
    "rewrite",
    "ollama",
    "vllm",
    "tgi",
    "openai",
    "anthropic",
    "ollama-api",
    "responses",
    "rate-limit",
    "redact",
    "aggregate",
    "access-log",
];

/// The most memory that a plugin can be given: 256 MiB, the address space that is reserved for each instance.
pub const MAX_MEMORY: u64 = 256 << 20;

/// A WASM component and how it is used.
#[derive(Clone, PartialEq)]
pub struct Plugin {
    /// Its name in the configuration: lower-case letters, digits and `-`.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// Whether an exchange goes on without it when it fails. Default: the exchange fails.
    pub fail_open: bool,
    /// The limits of a call that the configuration sets.
    pub limits: SetLimits,
    /// What it is given beyond log, clock and random numbers.
    pub grant: Grant,
    /// Its own configuration: an object in which references to secrets are replaced by the secrets.
    pub config: serde_json::Value,
    /// Where `config` referred to a secret, as JSON pointers such as `/keys/0/key`.
    pub secrets: BTreeSet<String>,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("source", &self.source)
            .field("fail_open", &self.fail_open)
            .field("limits", &self.limits)
            .field("grant", &self.grant)
            // `config` is left out: only the plugin's schema says which of its values are secrets.
            .field("config", &"***")
            .finish_non_exhaustive()
    }
}

/// Where a plugin comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// One of [`BUILTINS`].
    Builtin(String),
    /// A component in a file.
    File(PathBuf),
}

/// The limits that a configuration sets. For the others the plugin's suggestion is used, then the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetLimits {
    /// See [`PluginLimits::memory`].
    pub memory: Option<u64>,
    /// See [`PluginLimits::cpu`].
    pub cpu: Option<Duration>,
    /// See [`PluginLimits::output`].
    pub output: Option<u64>,
}

/// What one call of a plugin may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginLimits {
    /// Memory of an instance in bytes, at most [`MAX_MEMORY`]; default 16 MiB.
    pub memory: u64,
    /// CPU time; default 20 ms.
    pub cpu: Duration,
    /// Its output in bytes; default 64 MiB, twice the longest body: a plugin that rewrites a body may make it longer.
    pub output: u64,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            memory: 16 << 20,
            cpu: Duration::from_millis(20),
            output: 64 << 20,
        }
    }
}

/// The plugins.
pub(super) struct Plugins<'a> {
    pub(super) by_name: BTreeMap<String, Plugin>,
    /// The headings, for later checks.
    pub(super) headings: Vec<(&'a str, Place)>,
}

pub(super) fn plugins<'a>(root: &Table<'a>) -> Plugins<'a> {
    let mut plugins = Plugins {
        by_name: BTreeMap::new(),
        headings: Vec::new(),
    };
    for (name, value) in root.section("plugin").entries() {
        check_name(&value, name);
        let Some(table) = value.table() else { continue };
        plugins.headings.push((name, value.place.clone()));
        let plugin = plugin(name, &table);
        plugins.by_name.insert(name.to_owned(), plugin);
    }
    plugins
}

fn plugin(name: &str, table: &Table<'_>) -> Plugin {
    let mend = format!(
        "add source = \"builtin:{}\" or the path of a .wasm file",
        BUILTINS[0]
    );
    let source = table.required("source", &mend);
    let source = source.and_then(|value| read_source(&value));
    // A problem was noted for a missing source, so this placeholder is never used.
    let source = source.unwrap_or_else(|| Source::File(PathBuf::new()));
    if let Some(value) = table.get("grants") {
        check_grants(&value);
    }
    settings(name, source, table)
}

/// What a section says beside the source.
fn settings(name: &str, source: Source, table: &Table<'_>) -> Plugin {
    let fail_open = table
        .get("on-fault")
        .is_some_and(|value| fails_open(&value));
    let limits = limits(&table.section("limits"));
    let grant = grant::grant(&table.section("grant"));
    let config = table.get("config").filter(|value| value.table().is_some());
    table.finish();
    let mut secrets = BTreeSet::new();
    let json = config
        .as_ref()
        .map(|config| json_of(config, "", &mut secrets));
    Plugin {
        name: name.to_owned(),
        source,
        fail_open,
        limits,
        grant,
        config: json.unwrap_or_else(|| json!({})),
        secrets,
    }
}

fn read_source(value: &Value<'_>) -> Option<Source> {
    let text = value.string()?;
    if let Some(name) = text.strip_prefix("builtin:") {
        if BUILTINS.contains(&name) {
            return Some(Source::Builtin(name.to_owned()));
        }
        let mend = match nearest(name, BUILTINS) {
            Some(near) => format!("did you mean `builtin:{near}`?"),
            None => format!("choose one of {}", BUILTINS.join(", ")),
        };
        value.problem(format!("names no builtin plugin: {name:?}"), mend);
    } else if BUILTINS.contains(&text) {
        value.problem(
            "is not the path of a plugin",
            format!("write \"builtin:{text}\""),
        );
    } else if text.is_empty() || text.contains("://") {
        let message = format!("is not the path of a plugin: {text:?}");
        value.problem(
            message,
            "write \"builtin:NAME\" or the path of a .wasm file",
        );
    } else {
        return Some(Source::File(value.cx.file(text)));
    }
    None
}

fn fails_open(value: &Value<'_>) -> bool {
    match value.string() {
        Some("open") => true,
        Some("closed") | None => false,
        Some(other) => {
            let message = format!("is not a known value: {other:?}");
            value.problem(message, r#"write "closed" or "open""#);
            false
        }
    }
}

fn limits(table: &Table<'_>) -> SetLimits {
    let memory = table.get("memory").and_then(|value| {
        let size = value.size()?;
        if size > MAX_MEMORY {
            value.problem("is too large", r#"write "256MiB" or less"#);
        }
        Some(size)
    });
    let limits = SetLimits {
        memory,
        cpu: table.duration("cpu"),
        output: table.size("output"),
    };
    table.finish();
    limits
}

/// A list of names cannot say what they cover.
fn check_grants(value: &Value<'_>) {
    for item in value.items().unwrap_or_default() {
        let Some(grant) = item.string() else { continue };
        let mend = "write grant = { … } with what it may use: http = [\"https://idp.example\"], kv = true, rate = true, metrics = true";
        item.problem(format!("asks for {grant:?} in a list"), mend);
    }
}

/// The configuration as JSON. References to secrets are replaced by the secrets, and their JSON pointers are noted.
fn json_of(value: &Value<'_>, pointer: &str, secrets: &mut BTreeSet<String>) -> serde_json::Value {
    if let Some(found) = secret::referenced(value) {
        secrets.insert(pointer.to_owned());
        return json!(found.as_ref().map_or("", |found| found.expose()));
    }
    match value.node {
        DeValue::String(text) => json!(text),
        DeValue::Boolean(flag) => json!(flag),
        // JSON has no dates: a plugin gets the text.
        DeValue::Datetime(date) => json!(date.to_string()),
        DeValue::Integer(integer) => {
            let number = i64::from_str_radix(integer.as_str(), integer.radix());
            number.map_or_else(|_| out_of_range(value), |number| json!(number))
        }
        DeValue::Float(float) => {
            let number = float.as_str().parse::<f64>().ok();
            let number = number.and_then(serde_json::Number::from_f64);
            number.map_or_else(|| out_of_range(value), serde_json::Value::Number)
        }
        DeValue::Array(_) => {
            let items = value.items().unwrap_or_default();
            let items = items.iter().enumerate();
            let items =
                items.map(|(index, item)| json_of(item, &format!("{pointer}/{index}"), secrets));
            serde_json::Value::Array(items.collect())
        }
        DeValue::Table(_) => {
            let table = value.table();
            let entries = table.iter().flat_map(Table::entries);
            let entries = entries.map(|(name, entry)| {
                let pointer = format!("{pointer}/{}", escape(name));
                (name.to_owned(), json_of(&entry, &pointer, secrets))
            });
            serde_json::Value::Object(entries.collect())
        }
    }
}

/// A name, escaped for a JSON pointer (RFC 6901, section 3).
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn out_of_range(value: &Value<'_>) -> serde_json::Value {
    value.problem(
        "is a number that JSON cannot represent",
        "write a smaller one, or a string",
    );
    serde_json::Value::Null
}

/// `SLUICEGATE_API_KEY` becomes one of the `keys` of the plugin `auth`.
pub(super) fn add_key_from_env(root: &Table<'_>, plugins: &mut BTreeMap<String, Plugin>) {
    let Some(text) = root.cx.variable(API_KEY) else {
        return;
    };
    let auth = plugins.get_mut("auth");
    let added = auth.and_then(|plugin| {
        let object = plugin.config.as_object_mut()?;
        let keys = object.entry("keys").or_insert_with(|| json!([]));
        // If it is not a list, the plugin's schema refuses it.
        if let Some(keys) = keys.as_array_mut() {
            plugin.secrets.insert(format!("/keys/{}/key", keys.len()));
            keys.push(json!({ "name": "default", "key": text.text }));
        }
        Some(())
    });
    if added.is_none() {
        // Otherwise the operator would believe that the gateway needs a key.
        let mend = "add [plugin.auth] with source = \"builtin:auth\", or unset it";
        text.problem(
            "is set, but there is no plugin `auth` that could use it",
            mend,
        );
    }
}
