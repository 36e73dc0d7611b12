//! The sections `[[listener]]`, and who may listen where.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::reader::{Context, Place, Table, Text, Value};
use super::{LISTEN, Plugin, Route, Source, address};

/// An address that takes requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The address; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// With it the listener speaks TLS only.
    pub tls: Option<Tls>,
    /// It takes requests without a key off loopback on purpose.
    pub open: bool,
    /// The names under which browsers may use it, besides addresses and those of loopback; `*` for all. `None`: whoever uses it
    /// needs a key, or everyone may.
    pub hosts: Option<Vec<String>>,
}

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain in PEM, the server's own first.
    pub cert: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
}

/// A listener with the place of its address, for what is checked later.
pub(super) struct Placed {
    pub(super) listener: Listener,
    pub(super) place: Place,
}

pub(super) fn listeners(root: &Table<'_>) -> Vec<Placed> {
    let tables = root.get("listener").map(|value| value.tables("listener"));
    let mut from_env = root.cx.variable(LISTEN);
    let mut listeners = Vec::new();
    for table in tables.unwrap_or_default() {
        listeners.extend(listener(&table, from_env.take()));
    }
    // Without a listener in the file the variable makes one.
    listeners.extend(from_env.and_then(|text| placed(&text, None, false, None)));
    listeners
}

fn listener(table: &Table<'_>, from_env: Option<Text<'_>>) -> Option<Placed> {
    let value = table.required("listen", r#"add listen = "127.0.0.1:8080""#);
    let from_file = value.and_then(|value| value.text());
    let tls = table.section("tls");
    let tls = if tls.is_present() {
        read_tls(&tls)
    } else {
        None
    };
    let open = table.flag("open").unwrap_or(false);
    let hosts = table.get("hosts").map(|value| hosts(&value));
    table.finish();
    placed(&from_env.or(from_file)?, tls, open, hosts)
}

/// Names without scheme and port.
pub(super) fn hosts(value: &Value<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for item in value.items().unwrap_or_default() {
        let Some(name) = item.string() else { continue };
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if name != "*" && (name.is_empty() || !name.bytes().all(legal)) {
            item.problem(
                format!("is not the name of a host: {name:?}"),
                r#"write the name alone, such as "llm.example.com", or "*" for all"#,
            );
        }
        names.push(name.to_owned());
    }
    names
}

fn placed(
    text: &Text<'_>,
    tls: Option<Tls>,
    open: bool,
    hosts: Option<Vec<String>>,
) -> Option<Placed> {
    let listener = Listener {
        listen: address::listen(text)?,
        tls,
        open,
        hosts,
    };
    Some(Placed {
        listener,
        place: text.place.clone(),
    })
}

pub(super) fn read_tls(table: &Table<'_>) -> Option<Tls> {
    let cert = pem(table, "cert");
    let key = pem(table, "key");
    table.finish();
    Some(Tls {
        cert: cert?,
        key: key?,
    })
}

/// The path of a file that can be opened; what is in it shows when it is used.
fn pem(table: &Table<'_>, name: &'static str) -> Option<PathBuf> {
    let mend = r#"write tls = { cert = "server.pem", key = "server.key" }"#;
    let text = table.required(name, mend)?.text()?;
    let path = table.cx.path(&text.text);
    if let Err(error) = File::open(&path) {
        text.problem(
            format!("names {}, which cannot be read: {error}", path.display()),
            "correct the path, or make the file readable for the gateway",
        );
    }
    Some(path)
}

/// What stands between a caller and a route.
enum Guard<'a> {
    /// A key, or a name that leads nowhere, which is a problem of its own.
    Key,
    /// A plugin from a file, of which only the operator knows what it asks for.
    Unknown(&'a str),
    Nothing,
}

/// Off loopback every route must ask for a key, unless the operator says otherwise. On loopback, where browsers can come in, a
/// listener gets its rule for hosts, unless every route asks for a key.
pub(super) fn check_exposure(
    cx: &Context<'_>,
    listeners: &mut [Placed],
    routes: &[Route],
    plugins: &BTreeMap<String, Plugin>,
) {
    let mut open = Vec::new();
    let mut unknown = BTreeSet::new();
    for route in routes {
        match guard(route, plugins) {
            Guard::Key => {}
            Guard::Unknown(name) => drop(unknown.insert(name)),
            Guard::Nothing => open.push(route.path.to_string()),
        }
    }
    for Placed { listener, place } in listeners {
        if listener.listen.ip().is_loopback() {
            if !open.is_empty() || !unknown.is_empty() {
                listener.hosts.get_or_insert_default();
            }
            continue;
        }
        if listener.open {
            continue;
        }
        if !open.is_empty() {
            cx.problem(
                place,
                format!("is off loopback, and needs no key for {}", open.join(", ")),
                "listen on 127.0.0.1, put a plugin of builtin:auth with keys into each pipeline (SLUICEGATE_API_KEY \
                 adds a key), or write open = true if everyone may use it",
            );
        }
        for name in &unknown {
            cx.warning(
                place,
                format!("is off loopback, and only the plugin `{name}` guards some routes"),
                "make sure that it refuses callers without a key, or add one of builtin:auth",
            );
        }
    }
}

fn guard<'a>(route: &'a Route, plugins: &BTreeMap<String, Plugin>) -> Guard<'a> {
    let mut guard = Guard::Nothing;
    for name in &route.pipeline {
        let Some(plugin) = plugins.get(name) else {
            return Guard::Key;
        };
        match &plugin.source {
            // One that fails open lets everyone in when it fails.
            Source::Builtin(_) if plugin.has_keys() && !plugin.fail_open => return Guard::Key,
            Source::Builtin(_) => {}
            Source::File(_) => guard = Guard::Unknown(name),
        }
    }
    guard
}
