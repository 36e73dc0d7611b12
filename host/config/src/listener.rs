//! The sections `[[listener]]`.
//!
//! Not responsible for who may listen where: that depends on the plugins, which are not loaded yet.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::reader::{Context, Table, Text, Value};
use super::{LISTEN, Position, address};

/// An address that takes requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The address; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// If set, the listener speaks TLS only.
    pub tls: Option<Tls>,
    /// Accepts requests without a key off loopback, on purpose.
    pub open: bool,
    /// The host names under which browsers may use it, in addition to addresses and the names of loopback; `*` for all.
    /// `None`: no rule, because every route needs a key or everybody may use it.
    pub hosts: Option<Vec<String>>,
    /// Where its address is in the configuration.
    pub position: Position,
}

impl Listener {
    /// A listener that does not come from a configuration: without TLS, and without rules for who may use it.
    #[must_use]
    pub fn at(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls: None,
            open: false,
            hosts: None,
            position: Position::default(),
        }
    }
}

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain in PEM, the server's own first.
    pub cert: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
}

pub(super) fn listeners(root: &Table<'_>) -> Vec<Listener> {
    let tables = root.get("listener").map(|value| value.tables("listener"));
    let mut from_env = root.cx.variable(LISTEN);
    let mut listeners = Vec::new();
    for table in tables.unwrap_or_default() {
        listeners.extend(listener(&table, from_env.take()));
    }
    // Without a listener in the file the variable makes one.
    listeners.extend(from_env.and_then(|text| at(root.cx, &text, None, false, None)));
    listeners
}

fn listener(table: &Table<'_>, from_env: Option<Text<'_>>) -> Option<Listener> {
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
    at(table.cx, &from_env.or(from_file)?, tls, open, hosts)
}

/// Host names without scheme and port.
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

fn at(
    cx: &Context<'_>,
    text: &Text<'_>,
    tls: Option<Tls>,
    open: bool,
    hosts: Option<Vec<String>>,
) -> Option<Listener> {
    Some(Listener {
        listen: address::listen(text)?,
        tls,
        open,
        hosts,
        position: cx.position(&text.place),
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

/// The path of a file that can be opened. Its content is checked when it is used.
fn pem(table: &Table<'_>, name: &'static str) -> Option<PathBuf> {
    let mend = r#"write tls = { cert = "server.pem", key = "server.key" }"#;
    let text = table.required(name, mend)?.text()?;
    let path = table.cx.file(&text.text);
    if let Err(error) = File::open(&path) {
        text.problem(
            format!("names {}, which cannot be read: {error}", path.display()),
            "correct the path, or make the file readable for the gateway",
        );
    }
    Some(path)
}
