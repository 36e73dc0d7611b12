//! The section `[chat]`: the web gateway.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use super::reader::{Context, Table, Text};
use super::{CHAT_ENDPOINT, CHAT_PORT, Target, address};

/// The web gateway.
#[derive(Clone, PartialEq, Eq)]
pub struct Chat {
    /// Where it listens; default `127.0.0.1:18789`.
    pub listen: SocketAddr,
    /// The proxy that it asks, as a URL without a slash at its end; default `http://127.0.0.1:8080`.
    pub endpoint: String,
    /// Where sessions are kept: `sqlite:PATH` or `postgres://…`; default `sqlite:sluicegate.db` beside the file.
    pub store: String,
}

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address of a database has a password in it.
        let is_file = self.store.starts_with(SQLITE);
        f.debug_struct("Chat")
            .field("listen", &self.listen)
            .field("endpoint", &self.endpoint)
            .field("store", if is_file { &self.store } else { &"***" })
            .finish()
    }
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
    let endpoint = endpoint.map_or_else(
        || "http://127.0.0.1:8080".to_owned(),
        |text| read_endpoint(&text),
    );
    let store = table.text("store");
    let store = match &store {
        Some(text) => read_store(text),
        None => sqlite(table.cx, "sluicegate.db"),
    };
    table.finish();
    Some(Chat {
        listen: listen?,
        endpoint,
        store,
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

fn read_store(text: &Text<'_>) -> String {
    match text.text.strip_prefix(SQLITE) {
        Some(path) if !path.is_empty() => return sqlite(text.cx, path),
        None if text.text.starts_with("postgres://") => return text.text.clone(),
        // Not shown: it may be the address of a database with a password in it.
        Some(_) | None => text.problem(
            "is no store",
            r#"write "sqlite:PATH", such as "sqlite:sluicegate.db", or "postgres://…""#,
        ),
    }
    String::new()
}

/// A database in a file beside the configuration, or in memory.
fn sqlite(cx: &Context<'_>, path: &str) -> String {
    if path == ":memory:" {
        return format!("{SQLITE}{path}");
    }
    format!("{SQLITE}{}", cx.path(path).display())
}
