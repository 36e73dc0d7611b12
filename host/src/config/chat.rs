//! The section `[chat]`: the web gateway.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::listener::{Tls, read_tls};
use super::reader::{Table, Text};
use super::{CHAT_ENDPOINT, CHAT_PORT, Secret, Target, address, secret};

/// The web gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// Where it listens; default `127.0.0.1:18789`.
    pub listen: SocketAddr,
    /// The proxy that it asks, as a URL without a slash at its end; without it, the first listener of this configuration.
    pub endpoint: Option<String>,
    /// The key that it sends to the proxy.
    pub key: Option<Secret>,
    /// Where sessions are kept; default `sluicegate.db` beside the file.
    pub store: PathBuf,
    /// With it the listener speaks TLS only.
    pub tls: Option<Tls>,
    /// It may listen off loopback without TLS, because something in front of it does TLS.
    pub allow_plain_remote: bool,
    /// Origins from which the page is used, besides this machine's own.
    pub origins: Vec<String>,
    /// Who may log in with a token; without any, one-time links let in the local user.
    pub users: Vec<User>,
    /// The model where none was chosen; otherwise the first that the proxy lists.
    pub model: Option<String>,
}

/// Someone who may log in with a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name; users are told apart by it.
    pub name: String,
    /// The secret.
    pub token: Secret,
    /// Whether the user may see all of `/debug`.
    pub debug: bool,
}

const SQLITE: &str = "sqlite:";

/// The web gateway, unless the file has no such section: the environment alone does not switch it on.
pub(super) fn chat(root: &Table<'_>) -> Option<Chat> {
    let table = root.section("chat");
    if !table.is_present() {
        return None;
    }
    let listen = listen(&table);
    let endpoint = table.text_or("endpoint", CHAT_ENDPOINT);
    let endpoint = endpoint.map(|text| read_endpoint(&text));
    let store = table.text("store");
    let store = match &store {
        Some(text) => read_store(text),
        None => table.cx.path("sluicegate.db"),
    };
    let tls = table.section("tls");
    let tls = if tls.is_present() {
        read_tls(&tls)
    } else {
        None
    };
    let key = table.get("key").and_then(|value| secret::read(&value));
    let users = table.get("users").map(|value| value.tables("users"));
    let origins = table.get("origins").and_then(|value| value.items());
    let allow_plain_remote = table.flag("allow-plain-remote").unwrap_or(false);
    let model = table.text("model").map(|text| text.text);
    table.finish();
    Some(Chat {
        listen: listen?,
        endpoint,
        key,
        store,
        tls,
        allow_plain_remote,
        origins: origins
            .iter()
            .flatten()
            .filter_map(|origin| origin.string().map(str::to_owned))
            .collect(),
        users: users.iter().flatten().filter_map(user).collect(),
        model,
    })
}

fn user(table: &Table<'_>) -> Option<User> {
    let mend = r#"write users = [{ name = "ann", token = { env = "ANN_TOKEN" } }]"#;
    let name = table.required("name", mend).and_then(|value| value.text());
    let token = table
        .required("token", mend)
        .and_then(|value| secret::read(&value));
    let debug = table.flag("debug").unwrap_or(false);
    table.finish();
    Some(User {
        name: name?.text,
        token: token?,
        debug,
    })
}

/// The address; the variable has a port only and leaves the rest as it is.
fn listen(table: &Table<'_>) -> Option<SocketAddr> {
    let from_file = table.text("listen");
    let port = table.cx.variable(CHAT_PORT);
    let Some(port) = port else {
        return match &from_file {
            Some(text) => address::listen(text),
            None => Some((Ipv4Addr::LOCALHOST, 18789).into()),
        };
    };
    let host = match &from_file {
        Some(text) => text.text.rsplit_once(':').map_or("", |(host, _)| host),
        None => "127.0.0.1",
    };
    let Ok(number) = port.text.trim().parse::<u16>() else {
        let message = format!("is not a port: {:?}", port.text);
        port.problem(message, "write a number from 1 to 65535");
        return None;
    };
    address::listen(&Text {
        text: format!("{host}:{number}"),
        ..port
    })
}

fn read_endpoint(text: &Text<'_>) -> String {
    match Target::parse(&text.text) {
        Ok(target) => target.to_string(),
        Err(error) => {
            let message = format!("is no address of the proxy: it {error}");
            text.problem(message, r#"write it as "http://127.0.0.1:8080""#);
            String::new()
        }
    }
}

/// The path of a database beside the configuration.
fn read_store(text: &Text<'_>) -> PathBuf {
    match text.text.strip_prefix(SQLITE) {
        Some(path) if !path.is_empty() => text.cx.path(path),
        Some(_) | None => {
            // Not shown: it may be the address of a database with a password in it.
            text.problem(
                "is no store",
                r#"write "sqlite:PATH", such as "sqlite:sluicegate.db""#,
            );
            PathBuf::new()
        }
    }
}
