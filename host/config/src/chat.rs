//! The section `[chat]`: the web gateway.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::listener::{Tls, read_tls};
use super::reader::{Table, Text, Value};
use super::{CHAT_ENDPOINT, CHAT_PORT, Secret, Target, address, secret};

/// The web gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// Where it listens; default `127.0.0.1:18789`.
    pub listen: SocketAddr,
    /// The URL of the proxy that it calls, without a trailing slash, with or without `/v1`. `None`: the first listener of
    /// this configuration.
    pub endpoint: Option<String>,
    /// The API key that it sends to the proxy.
    pub key: Option<Secret>,
    /// Where sessions are kept; default `sluicegate.db` beside the file.
    pub store: PathBuf,
    /// If set, the listener speaks TLS only.
    pub tls: Option<Tls>,
    /// Allows listening off loopback without TLS, because a proxy in front terminates TLS.
    pub allow_plain_remote: bool,
    /// Origins from which the page is used, in addition to this machine's own.
    pub origins: Vec<String>,
    /// Proxies in front of it, whose `X-Forwarded-For` names the client.
    pub trusted_proxies: Vec<IpNet>,
    /// Who may log in with a token. If empty, one-time links let in the local user.
    pub users: Vec<User>,
    /// The model for sessions without a choice of their own. `None`: the first one that the proxy lists.
    pub model: Option<String>,
    /// After how long an answer that nobody watches is stopped; default 15 min, `None`: never.
    pub orphan_timeout: Option<Duration>,
    /// What one user or one address may use.
    pub limits: ChatLimits,
}

/// What one user or one address may use of the web gateway. No limit can be switched off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatLimits {
    /// Messages of one user per minute; default 20.
    pub sends_per_minute: u32,
    /// Answers of one user at a time; default 2. Others wait.
    pub runs_per_user: usize,
    /// Answers of all users at a time; default 32. Others wait.
    pub runs: usize,
    /// Answers of one user that can wait for their turn; default 10.
    pub waiting_per_user: usize,
    /// Messages that can wait for the answer before them in one session; default 10.
    pub queue: usize,
    /// Characters of one message, at most 250,000; default 100,000.
    pub message_chars: usize,
    /// Bytes of one answer with its reasoning, at most 8 MiB; default 4 MiB.
    pub answer: usize,
    /// Connections of browsers at a time; default 2,000.
    pub connections: usize,
    /// Connections from one address at a time; default 128.
    pub connections_per_address: usize,
    /// Failed logins per minute, with one token or from one address; default 10. After that, logins are refused for five
    /// minutes.
    pub login_failures: u32,
}

impl Default for ChatLimits {
    fn default() -> Self {
        Self {
            sends_per_minute: 20,
            runs_per_user: 2,
            runs: 32,
            waiting_per_user: 10,
            queue: 10,
            message_chars: 100_000,
            answer: 4 << 20,
            connections: 2_000,
            connections_per_address: 128,
            login_failures: 10,
        }
    }
}

/// The upper limit of `message_chars`: at four bytes a character, such a message fits into a frame of 1 MiB.
const MESSAGE_CHARS: usize = 250_000;

/// The upper limit of `answer` in bytes: a longer answer could be exported, but not imported again.
const ANSWER: usize = 8 << 20;

/// How long an answer that nobody watches goes on by default.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Someone who may log in with a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name; it identifies the user.
    pub name: String,
    /// The token.
    pub token: Secret,
    /// Whether the user may see all of `/debug`.
    pub debug: bool,
}

const SQLITE: &str = "sqlite:";

/// Reads the web gateway's section, if the file has one: the environment alone does not switch it on.
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
    let trusted_proxies = address::proxies(&table);
    let allow_plain_remote = table.flag("allow-plain-remote").unwrap_or(false);
    let model = table.text("model").map(|text| text.text);
    let orphan_timeout = table.duration_or_off("orphan-timeout");
    let limits = limits(&table.section("limits"));
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
        trusted_proxies,
        users: users.iter().flatten().filter_map(user).collect(),
        model,
        orphan_timeout: orphan_timeout.unwrap_or(Some(ORPHAN_TIMEOUT)),
        limits,
    })
}

fn limits(table: &Table<'_>) -> ChatLimits {
    let default = ChatLimits::default();
    let count = |name, default| table.count(name).unwrap_or(default);
    let limits = ChatLimits {
        sends_per_minute: rate(table.get("sends-per-minute")).unwrap_or(default.sends_per_minute),
        runs_per_user: count("runs-per-user", default.runs_per_user),
        runs: count("runs", default.runs),
        waiting_per_user: count("waiting-per-user", default.waiting_per_user),
        queue: count("queue", default.queue),
        message_chars: message_chars(table).unwrap_or(default.message_chars),
        answer: answer(table).unwrap_or(default.answer),
        connections: count("connections", default.connections),
        connections_per_address: count("connections-per-address", default.connections_per_address),
        login_failures: rate(table.get("login-failures")).unwrap_or(default.login_failures),
    };
    table.finish();
    limits
}

/// A number of events per minute.
fn rate(value: Option<Value<'_>>) -> Option<u32> {
    let value = value?;
    let rate = u32::try_from(value.count()?).ok();
    if rate.is_none() {
        value.problem("is out of range", "write a smaller number");
    }
    rate
}

fn message_chars(table: &Table<'_>) -> Option<usize> {
    let value = table.get("message-chars")?;
    let count = value.count()?;
    if count > MESSAGE_CHARS {
        value.problem("is too large", format!("write {MESSAGE_CHARS} or less"));
    }
    Some(count)
}

fn answer(table: &Table<'_>) -> Option<usize> {
    let value = table.get("answer")?;
    let size = usize::try_from(value.size()?).unwrap_or(usize::MAX);
    if size > ANSWER {
        value.problem("is too large", r#"write "8MiB" or less"#);
    }
    Some(size)
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

/// The address. The variable holds a port only, and leaves the host as it is.
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
            let message = format!("is not an address of a proxy: it {error}");
            text.problem(message, r#"write it as "http://127.0.0.1:8080""#);
            String::new()
        }
    }
}

/// The path of a database, relative to the configuration's file.
fn read_store(text: &Text<'_>) -> PathBuf {
    match text.text.strip_prefix(SQLITE) {
        Some(path) if !path.is_empty() => text.cx.path(path),
        Some(_) | None => {
            // The value is not shown: it may be the address of a database, with a password.
            text.problem(
                "is not a store",
                r#"write "sqlite:PATH", such as "sqlite:sluicegate.db""#,
            );
            PathBuf::new()
        }
    }
}
