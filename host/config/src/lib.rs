//! The configuration: turns TOML and the environment into types that the rest of the code can trust.
//!
//! Responsible for everything that can be checked from the file alone, and for reporting all problems at once, each with its
//! key path, its line and how to fix it. Not responsible for checks that need a loaded plugin (its role, its schema) or a
//! bound port.
//!
//! # Shape
//! The file is read by hand-written readers, one source file per section, from a parsed document with positions. The default
//! configuration is `default.toml` beside this file. Keys are in kebab case, durations and sizes are strings with a unit.
//!
//! # Environment
//! An empty value counts as unset. A variable wins over the file.
//!
//! | variable | does |
//! | --- | --- |
//! | `OLLAMA_HOST` | replaces the targets of the upstream with `adapter = "ollama"`, if there is one; in Ollama's own syntax |
//! | `SLUICEGATE_LISTEN` | replaces the address of the first listener, or makes one |
//! | `SLUICEGATE_ADMIN_LISTEN` | replaces the address of the admin API, or switches it on |
//! | `SLUICEGATE_LOG` | replaces `log.level` |
//! | `SLUICEGATE_LOG_FORMAT` | replaces `log.format` |
//! | `SLUICEGATE_API_KEY` | one more key, named `default`, in the list `keys` of the plugin `auth` |
//! | `CLAWDBOT_PORT` | replaces the port of `chat.listen`, if there is a `[chat]` |
//! | `CLAWDBOT_MODEL_ENDPOINT` | replaces `chat.endpoint`, if there is a `[chat]` |
//! | `CACHE_DIRECTORY`, `XDG_CACHE_HOME`, `HOME` | the first that is set says where the cache is, if `plugins.cache` does not |
//! | `STATE_DIRECTORY`, `XDG_STATE_HOME`, `HOME` | the first that is set says where the state is, if `state.dir` does not |
//!
//! In addition, `{ env = "NAME" }` takes a secret from any variable.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use self::plugin::Plugins;
use self::reader::{Context, Table, Value};

mod address;
mod browser;
mod chat;
mod folders;
mod listener;
mod model;
mod ollama;
mod otlp;
mod plugin;
mod problem;
mod reader;
mod route;
mod secret;
mod server;
mod swap;
pub mod units;
mod upstream;

pub use self::address::Target;
pub use self::browser::{Coding, Cors};
pub use self::chat::{Chat, ChatLimits, User};
pub use self::folders::Folders;
pub use self::listener::{Listener, Tls};
pub use self::model::{Model, NamePattern, ServedBy, Share};
pub use self::otlp::Otlp;
pub use self::plugin::{
    BUILTINS, Grant, HttpGrant, MAX_MEMORY, Origin, Plugin, PluginLimits, SetLimits, Source,
    in_folder,
};
pub use self::problem::{Position, Problem, Problems};
pub use self::route::{OnDisconnect, PathPattern, Route};
pub use self::secret::Secret;
pub use self::server::{Admin, Limits, Log, LogFormat, Server};
pub use self::swap::Swap;
pub use self::upstream::{Affinity, Breaker, Health, InFlight, Timeout, Upstream};

/// The configuration that is used where there is no file.
pub const DEFAULT: &str = include_str!("default.toml");

const LISTEN: &str = "SLUICEGATE_LISTEN";
const ADMIN_LISTEN: &str = "SLUICEGATE_ADMIN_LISTEN";
const LOG: &str = "SLUICEGATE_LOG";
const LOG_FORMAT: &str = "SLUICEGATE_LOG_FORMAT";
const API_KEY: &str = "SLUICEGATE_API_KEY";
const CHAT_PORT: &str = "CLAWDBOT_PORT";
const CHAT_ENDPOINT: &str = "CLAWDBOT_MODEL_ENDPOINT";

/// Looks up an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A valid configuration: every name that it refers to is defined.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Settings of the whole proxy.
    pub server: Server,
    /// What happens around the replacement of plugin versions.
    pub swap: Swap,
    /// How and how much to log.
    pub log: Log,
    /// Where traces and metrics are sent; `None`: nowhere.
    pub otlp: Option<Otlp>,
    /// The admin API; `None`: off.
    pub admin: Option<Admin>,
    /// Where requests arrive; no two share an address. Empty only if there is a `chat`.
    pub listeners: Vec<Listener>,
    /// The upstreams by name.
    pub upstreams: BTreeMap<String, Upstream>,
    /// Which upstreams serve which models; empty: the route's upstream serves all.
    pub models: Vec<Model>,
    /// The plugins by name.
    pub plugins: BTreeMap<String, Plugin>,
    /// The plugins that have a section of their own.
    pub plugin_sections: BTreeSet<String>,
    /// The folders that the gateway has for itself.
    pub folders: Folders,
    /// The routes in the order of the file; at least one if there is a listener.
    pub routes: Vec<Route>,
    /// The web gateway; `None`: off.
    pub chat: Option<Chat>,
    /// What is legal but looks wrong, for the log and for `check`.
    pub warnings: Vec<Problem>,
}

/// Reads a configuration. Relative paths in it are resolved against `base`.
///
/// The files of secrets are read, those of certificates only opened, those of plugins not touched.
///
/// # Errors
/// All problems, in the order of the file. If the file is not TOML, only its first syntax error.
pub fn parse(text: &str, base: &Path, env: Env<'_>) -> Result<Config, Problems> {
    parse_with_files(text, base, env).0
}

/// Reads a configuration from a file, or the default one. Relative paths are resolved against the file's folder, or against
/// the current folder.
///
/// # Errors
/// Those of [`parse`]; and a file that cannot be read.
pub fn load(file: Option<&Path>, env: Env<'_>) -> Result<Config, Problems> {
    load_with_files(file, env).0
}

/// The section `[admin]` of a file, or of the default configuration, whatever is wrong with the rest of it.
///
/// # Errors
/// Problems of this section; and a file that cannot be read or is not TOML.
pub fn load_admin(file: Option<&Path>, env: Env<'_>) -> Result<Option<Admin>, Problems> {
    let (text, base) = match file {
        None => (DEFAULT.to_owned(), Path::new("")),
        Some(file) => {
            let text = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
            (text, file.parent().unwrap_or(Path::new("")))
        }
    };
    let document = DeTable::parse(&text).map_err(|error| Problems(vec![syntax(&text, &error)]))?;
    let cx = Context::new(&text, base, env);
    let admin = server::admin(&Table::root(&cx, document.get_ref()));
    let (problems, _, _) = cx.into_notes();
    if problems.is_empty() {
        Ok(admin)
    } else {
        Err(Problems(problems))
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> Problems {
    Problems(vec![Problem {
        key: file.display().to_string(),
        line: None,
        message: format!("cannot be read: {error}"),
        mend: "correct the path, or make the file readable".to_owned(),
    }])
}

/// As [`load`], and all files that the result depends on, also where it is an error: the configuration itself, secrets,
/// certificates and plugins. A change of one of them may change the result.
pub fn load_with_files(
    file: Option<&Path>,
    env: Env<'_>,
) -> (Result<Config, Problems>, BTreeSet<PathBuf>) {
    let Some(file) = file else {
        return parse_with_files(DEFAULT, Path::new(""), env);
    };
    let (result, mut files) = match fs::read_to_string(file) {
        Ok(text) => parse_with_files(&text, file.parent().unwrap_or(Path::new("")), env),
        Err(error) => (Err(unreadable(file, &error)), BTreeSet::new()),
    };
    files.insert(file.to_owned());
    (result, files)
}

fn parse_with_files(
    text: &str,
    base: &Path,
    env: Env<'_>,
) -> (Result<Config, Problems>, BTreeSet<PathBuf>) {
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => return (Err(Problems(vec![syntax(text, &error)])), BTreeSet::new()),
    };
    let cx = Context::new(text, base, env);
    let config = read(&Table::root(&cx, document.get_ref()));
    let (mut problems, mut warnings, files) = cx.into_notes();
    problem::sort(&mut problems);
    problem::sort(&mut warnings);
    let result = if problems.is_empty() {
        Ok(Config { warnings, ..config })
    } else {
        Err(Problems(problems))
    };
    (result, files)
}

fn syntax(text: &str, error: &toml::de::Error) -> Problem {
    let line = error.span().map(|span| reader::line_of(text, span.start));
    Problem {
        key: String::new(),
        line,
        message: format!("not TOML: {}", error.message()),
        mend: "correct the syntax; other problems show when the file can be parsed".to_owned(),
    }
}

/// Reads the sections, then checks them against each other. If no problem was noted, the result is valid.
fn read(root: &Table<'_>) -> Config {
    let server = server::server(root);
    let swap = swap::swap(root);
    let log = server::log(root);
    let otlp = otlp::otlp(root);
    let listeners = listener::listeners(root, &server.trusted_proxies);
    let admin = server::admin(root);
    let upstreams = upstream::upstreams(root);
    let models = model::models(root, &upstreams);
    let folders = folders::folders(root);
    let mut plugins = plugin::plugins(root);
    plugin::add_unconfigured(root, &folders, &mut plugins);
    plugin::add_key_from_env(root, &mut plugins.by_name);
    let known = route::Known {
        plugins: &plugins.by_name,
        upstreams: &upstreams,
    };
    let routes = route::routes(root, &known);
    let chat = chat::chat(root);

    check_completeness(root, &listeners, &routes, chat.as_ref());
    warn_of_unused(root, &routes, &upstreams, &plugins);
    root.finish();
    Config {
        server,
        swap,
        log,
        otlp,
        admin,
        listeners,
        upstreams,
        models,
        plugin_sections: plugins
            .headings
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect(),
        plugins: plugins.by_name,
        folders,
        routes,
        chat,
        warnings: Vec::new(),
    }
}

/// The most characters of a name. Arbitrary; it becomes a part of file names.
const NAME: usize = 64;

/// Whether a plugin or an upstream can have this name.
#[must_use]
pub fn is_legal_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=NAME).contains(&name.len()) && name.chars().all(legal)
}

/// Checks the name of a plugin or an upstream: it becomes a label of metrics and a part of file names.
fn check_name(value: &Value<'_>, name: &str) {
    if !is_legal_name(name) {
        value.problem(
            "is not a legal name",
            "use lower-case letters, digits and -, at most 64 of them",
        );
    }
}

fn check_completeness(
    root: &Table<'_>,
    listeners: &[Listener],
    routes: &[Route],
    chat: Option<&Chat>,
) {
    let (cx, place) = (root.cx, &root.place);
    if root.get("listener").is_none() && listeners.is_empty() && chat.is_none() {
        let mend = "add [[listener]] with listen = \"127.0.0.1:8080\"";
        cx.problem(place, "nothing listens", mend);
    }
    if root.get("route").is_none() && routes.is_empty() && !listeners.is_empty() {
        let mend = "add a [[route]] with path, pipeline and upstream";
        cx.problem(place, "there is no route for incoming requests", mend);
    }
}

fn warn_of_unused(
    root: &Table<'_>,
    routes: &[Route],
    upstreams: &BTreeMap<String, Upstream>,
    plugins: &Plugins<'_>,
) {
    for (name, place) in &plugins.headings {
        let adapts = |upstream: &Upstream| upstream.adapter.as_deref() == Some(name);
        let uses = |route: &Route| {
            let mut names = route.pipeline.iter().chain(&route.observers);
            names.any(|other| other == name)
        };
        if !routes.iter().any(uses) && !upstreams.values().any(adapts) {
            let mend = "put it into a route, or remove it";
            root.cx.warning(place, "is in no route", mend);
        }
    }
}

#[cfg(test)]
mod tests;
