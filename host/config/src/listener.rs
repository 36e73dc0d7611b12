//! The sections `[[listener]]`.
//!
//! Not responsible for who may listen where: that depends on the plugins, which are not loaded yet.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::reader::{Context, Table, Text, Value};
use super::{LISTEN, Position, address};

/// An address that takes requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The address; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// If set, the listener speaks TLS only.
    pub tls: Option<Tls>,
    /// The proxies that begin each connection with a header of PROXY protocol; `None`: nobody does.
    pub proxies: Option<Vec<IpNet>>,
    /// Accepts requests without a key off loopback, on purpose.
    pub open: bool,
    /// The host names under which browsers may use it, in addition to addresses and the names of loopback; `*` for all.
    /// `None`: no rule, because every route needs a key or everybody may use it.
    pub hosts: Option<Vec<String>>,
    /// Where its address is in the configuration.
    pub position: Position,
}

impl Listener {
    /// A listener that does not come from a configuration: without TLS and PROXY protocol, and without rules for
    /// who may use it.
    #[must_use]
    pub fn at(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls: None,
            proxies: None,
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

pub(super) fn listeners(root: &Table<'_>, trusted_proxies: &[IpNet]) -> Vec<Listener> {
    let tables = root.get("listener").map(|value| value.tables("listener"));
    let mut from_env = root.cx.variable(LISTEN);
    let mut listeners = Vec::new();
    for table in tables.unwrap_or_default() {
        listeners.extend(listener(&table, from_env.take(), trusted_proxies));
    }
    // Without a listener in the file the variable makes one.
    listeners.extend(from_env.and_then(|text| at(root.cx, &text)));
    listeners
}

fn listener(
    table: &Table<'_>,
    from_env: Option<Text<'_>>,
    trusted_proxies: &[IpNet],
) -> Option<Listener> {
    let value = table.required("listen", r#"add listen = "127.0.0.1:8080""#);
    let from_file = value.and_then(|value| value.text());
    let tls = table.section("tls");
    let tls = if tls.is_present() {
        read_tls(&tls)
    } else {
        None
    };
    let proxies = proxies(table, trusted_proxies);
    let open = table.flag("open").unwrap_or(false);
    let hosts = table.get("hosts").map(|value| hosts(&value));
    table.finish();
    Some(Listener {
        tls,
        proxies,
        open,
        hosts,
        ..at(table.cx, &from_env.or(from_file)?)?
    })
}

/// Who begins each connection with a header of PROXY protocol.
fn proxies(table: &Table<'_>, trusted: &[IpNet]) -> Option<Vec<IpNet>> {
    let value = table.get("proxy-protocol")?;
    if !value.flag()? {
        return None;
    }
    if trusted.is_empty() {
        value.problem(
            "is set, but no proxy is trusted to send such a header",
            r#"add trusted-proxies = ["10.0.0.0/8"] with the addresses of the proxies to [server]"#,
        );
    }
    Some(trusted.to_vec())
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

/// A listener with nothing but its address.
fn at(cx: &Context<'_>, text: &Text<'_>) -> Option<Listener> {
    Some(Listener {
        position: cx.position(&text.place),
        ..Listener::at(address::listen(text)?)
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
