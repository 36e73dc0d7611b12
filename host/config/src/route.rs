//! The sections `[[route]]`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use sluicegate_contract::path;

use super::problem::nearest;
use super::reader::{Table, Value};
use super::{Plugin, Upstream};

mod disconnect;

pub use self::disconnect::OnDisconnect;

/// Which requests to match, which stages they go through, and where they are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The paths that it matches.
    pub path: PathPattern,
    /// The methods that it matches, in upper case; empty: all.
    pub methods: Vec<String>,
    /// Names of plugins, the client's side first. At least one, and each only once.
    pub pipeline: Vec<String>,
    /// Names of plugins that see the exchange after its end.
    pub observers: Vec<String>,
    /// The name of the upstream.
    pub upstream: String,
    /// Names of upstreams that are tried in this order when the first one fails.
    pub fallback: Vec<String>,
    /// What happens to an exchange whose client leaves while the model server is at work.
    pub on_disconnect: OnDisconnect,
}

/// A path, or all paths below one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// Only this path.
    Exact(String),
    /// Every path with this prefix, which ends with `/`; written with a `*` after it.
    Prefix(String),
}

impl PathPattern {
    /// Whether a request path, without its query, matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()),
        }
    }
}

impl fmt::Display for PathPattern {
    /// As written in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => f.write_str(path),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// The names that a route can refer to.
pub(super) struct Known<'a> {
    pub(super) plugins: &'a BTreeMap<String, Plugin>,
    pub(super) upstreams: &'a BTreeMap<String, Upstream>,
}

pub(super) fn routes(root: &Table<'_>, known: &Known<'_>) -> Vec<Route> {
    let tables = root.get("route").map(|value| value.tables("route"));
    let mut routes: Vec<Route> = Vec::new();
    for table in tables.unwrap_or_default() {
        let (cx, place) = (table.cx, &table.place);
        let Some(route) = route(&table, known) else {
            continue;
        };
        let twin = routes.iter().position(|other| overlap(other, &route));
        if let Some(twin) = twin {
            let message = format!(
                "matches requests for {} that route[{twin}] matches, too",
                route.path
            );
            cx.problem(
                place,
                message,
                "remove one of them, or give them different methods",
            );
        }
        routes.push(route);
    }
    routes
}

/// Finds two routes for the same path and method: one of them would never be used.
fn overlap(a: &Route, b: &Route) -> bool {
    let common = a.methods.iter().any(|method| b.methods.contains(method));
    a.path == b.path && (common || a.methods.is_empty() || b.methods.is_empty())
}

fn route(table: &Table<'_>, known: &Known<'_>) -> Option<Route> {
    let path = table.required("path", r#"add path = "/v1/chat/completions""#);
    let path = path.and_then(|value| path_pattern(&value));
    let methods = table.get("methods").map(|value| methods(&value));
    let pipeline = table.required("pipeline", "add pipeline = [ … ] with names of plugins");
    let pipeline = pipeline.map(|value| {
        let names = plugin_names(&value, known);
        (value, names)
    });
    let observers = table
        .get("observers")
        .map(|value| plugin_names(&value, known));
    let upstream = table.required("upstream", "add upstream = … with the name of an upstream");
    let upstream = upstream.and_then(|value| {
        let name = value.string()?;
        reference(&value, name, "upstream", known.upstreams.keys());
        Some(name.to_owned())
    });
    let adapts = |name: &str| {
        known
            .upstreams
            .get(name)
            .is_some_and(|it| it.adapter.is_some())
    };
    if let Some((value, names)) = &pipeline
        && names.is_empty()
        && value.node.as_array().is_some_and(|items| items.is_empty())
        && !upstream.as_deref().is_some_and(adapts)
    {
        value.problem("is empty", "name at least one plugin");
    }
    let fallback = table
        .get("fallback")
        .map(|value| fallback(&value, upstream.as_deref(), known));
    let on_disconnect = disconnect::read(table);
    table.finish();
    Some(Route {
        path: path?,
        methods: methods.unwrap_or_default(),
        pipeline: pipeline.map(|(_, names)| names).unwrap_or_default(),
        observers: observers.unwrap_or_default(),
        upstream: upstream.unwrap_or_default(),
        fallback: fallback.unwrap_or_default(),
        on_disconnect,
    })
}

fn fallback(value: &Value<'_>, first: Option<&str>, known: &Known<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for item in value.items().unwrap_or_default() {
        let Some(name) = item.string() else { continue };
        if first == Some(name) || names.iter().any(|other| other == name) {
            item.problem(format!("names `{name}` again"), "remove it");
            continue;
        }
        reference(&item, name, "upstream", known.upstreams.keys());
        names.push(name.to_owned());
    }
    names
}

fn path_pattern(value: &Value<'_>) -> Option<PathPattern> {
    let text = value.string()?;
    let stem = text.strip_suffix('*').unwrap_or(text);
    let legal = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'*');
    let message = if !stem.starts_with('/') {
        "does not begin with /"
    } else if stem != text && !stem.ends_with('/') {
        "has a * that does not follow a /"
    } else if stem.contains('*') {
        "has a * before its end"
    } else if !stem.bytes().all(legal) {
        "has characters that a path cannot have"
    } else if !is_normal(stem) {
        "is not written in the normalized form in which request paths are matched"
    } else if stem != text {
        return Some(PathPattern::Prefix(stem.to_owned()));
    } else {
        return Some(PathPattern::Exact(stem.to_owned()));
    };
    value.problem(
        message,
        r#"write a path such as "/v1/models", or "/v1/*" for all below"#,
    );
    None
}

fn is_normal(path: &str) -> bool {
    matches!(path::normalize(path), Ok(Cow::Borrowed(_)))
}

fn methods(value: &Value<'_>) -> Vec<String> {
    let mut methods: Vec<String> = Vec::new();
    let items = value.items();
    if items.as_ref().is_some_and(Vec::is_empty) {
        value.problem(
            "is empty",
            "name a method, or leave `methods` out to take all",
        );
    }
    for item in items.unwrap_or_default() {
        let Some(text) = item.string() else { continue };
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_uppercase()) {
            let upper = text.to_ascii_uppercase();
            let plain = !upper.is_empty() && upper.bytes().all(|byte| byte.is_ascii_uppercase());
            let mend = if plain {
                format!("write {upper:?}")
            } else {
                r#"write "GET", "POST" or the like"#.to_owned()
            };
            item.problem(format!("is not a method: {text:?}"), mend);
        } else if matches!(text, "CONNECT" | "TRACE") {
            item.problem(
                format!("names {text}, which is never forwarded"),
                "remove it",
            );
        } else if methods.iter().any(|method| method == text) {
            item.problem(format!("names {text} again"), "remove it");
        } else {
            methods.push(text.to_owned());
        }
    }
    methods
}

fn plugin_names(value: &Value<'_>, known: &Known<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for item in value.items().unwrap_or_default() {
        let Some(name) = item.string() else { continue };
        if names.iter().any(|other| other == name) {
            let mend = "remove it, or give the second use a [plugin] section of its own";
            item.problem(format!("names `{name}` again"), mend);
            continue;
        }
        reference(&item, name, "plugin", known.plugins.keys());
        names.push(name.to_owned());
    }
    names
}

/// Notes a problem unless the name is known.
fn reference<'k>(
    value: &Value<'_>,
    name: &str,
    kind: &str,
    mut known: impl Iterator<Item = &'k String> + Clone,
) {
    if known.clone().any(|other| other == name) {
        return;
    }
    let mend = match nearest(name, known.by_ref().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`? If not, add [{kind}.{name}]"),
        None => format!("add [{kind}.{name}], or correct the name"),
    };
    value.problem(format!("names no {kind}: `{name}`"), mend);
}
