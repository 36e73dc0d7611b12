//! The sections `[server]`, `[log]` and `[admin]`.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

use super::browser::{self, Coding, Cors};
use super::problem::nearest;
use super::reader::{Table, Text};
use super::secret::{self, Secret};
use super::{ADMIN_LISTEN, LOG, LOG_FORMAT, address, listener};

/// Settings of the whole proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// How long running exchanges may go on after the signal to stop; default 30 s.
    pub drain_timeout: Duration,
    /// After how long a silence a comment line is sent into a stream; default 15 s, `None`: never.
    pub heartbeat: Option<Duration>,
    /// How often the files of the configuration are looked at for changes of which no notification came; default 30 s, `None`: they
    /// are read again on request only.
    pub reload: Option<Duration>,
    /// The content codings of request bodies that are decoded; default all that are known.
    pub codings: Vec<Coding>,
    /// Proxies in front of the gateway, whose word for the client's address counts; default none.
    pub trusted_proxies: Vec<IpNet>,
    /// Which pages of other origins may use the gateway; `None`: none that needs to read a response.
    pub cors: Option<Cors>,
    /// What clients and model servers may cost.
    pub limits: Limits,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            drain_timeout: Duration::from_secs(30),
            heartbeat: Some(Duration::from_secs(15)),
            reload: Some(Duration::from_secs(30)),
            codings: Coding::ALL.to_vec(),
            trusted_proxies: Vec::new(),
            cors: None,
            limits: Limits::default(),
        }
    }
}

/// What clients and model servers may cost. No limit can be switched off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest request body in bytes; default 32 MiB.
    pub request_body: u64,
    /// The longest response in bytes that is collected for a stage that wants the whole body; default 32 MiB.
    pub response_body: u64,
    /// The longest event of a stream in bytes; default 8 MiB, as Ollama's own client reads.
    pub event: u64,
    /// The longest request head in bytes, at least 8 KiB (the HTTP library needs that); default 64 KiB.
    pub header_bytes: u64,
    /// The most header fields of a request; default 100.
    pub headers: usize,
    /// How long a client may take to send its request head; default 10 s.
    pub header_timeout: Duration,
    /// How long a client may pause between two chunks of its request body; default 30 s.
    pub body_timeout: Duration,
    /// How long a client may read nothing of its response; default 30 s.
    pub write_timeout: Duration,
    /// How long a connection may idle between two requests; default 75 s.
    pub keep_alive: Duration,
    /// The most client connections at once; default 20,000.
    pub connections: usize,
    /// The most exchanges at once; default 8,000. One eighth more is reserved for tenants that hold little.
    pub exchanges: usize,
    /// The most bytes of bodies that are held for all exchanges together, not counting the first 64 KiB of each; default 1
    /// GiB.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_body: 32 << 20,
            response_body: 32 << 20,
            event: 8 << 20,
            header_bytes: 64 << 10,
            headers: 100,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            connections: 20_000,
            exchanges: 8_000,
            memory: 1 << 30,
        }
    }
}

/// How and how much to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// A level, or directives such as `info,sluicegate_upstream=debug`; default `info`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Json,
            level: "info".to_owned(),
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for programs.
    Json,
    /// For people.
    Text,
}

/// The admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The token that a caller must send; required off loopback.
    pub token: Option<Secret>,
    /// As [`Listener::hosts`](super::Listener::hosts); set unless there is a token.
    pub hosts: Option<Vec<String>>,
}

pub(super) fn server(root: &Table<'_>) -> Server {
    let table = root.section("server");
    let default = Server::default();
    let server = Server {
        drain_timeout: table
            .duration("drain-timeout")
            .unwrap_or(default.drain_timeout),
        heartbeat: table
            .duration_or_off("heartbeat")
            .unwrap_or(default.heartbeat),
        reload: table.duration_or_off("reload").unwrap_or(default.reload),
        codings: browser::codings(&table),
        trusted_proxies: address::proxies(&table),
        cors: browser::cors(&table.section("cors")),
        limits: limits(&table.section("limits")),
    };
    table.finish();
    server
}

fn limits(table: &Table<'_>) -> Limits {
    let default = Limits::default();
    let size = |name, default| table.size(name).unwrap_or(default);
    let count = |name, default| table.count(name).unwrap_or(default);
    let duration = |name, default| table.duration(name).unwrap_or(default);
    let limits = Limits {
        request_body: size("request-body", default.request_body),
        response_body: size("response-body", default.response_body),
        event: size("event", default.event),
        header_bytes: header_bytes(table).unwrap_or(default.header_bytes),
        headers: count("headers", default.headers),
        header_timeout: duration("header-timeout", default.header_timeout),
        body_timeout: duration("body-timeout", default.body_timeout),
        write_timeout: duration("write-timeout", default.write_timeout),
        keep_alive: duration("keep-alive", default.keep_alive),
        connections: count("connections", default.connections),
        exchanges: count("exchanges", default.exchanges),
        memory: size("memory", default.memory),
    };
    table.finish();
    limits
}

fn header_bytes(table: &Table<'_>) -> Option<u64> {
    let value = table.get("header-bytes")?;
    let size = value.size()?;
    if size < 8 << 10 {
        value.problem("is too small", r#"write "8KiB" or more"#);
    }
    Some(size)
}

pub(super) fn log(root: &Table<'_>) -> Log {
    let table = root.section("log");
    let default = Log::default();
    let format = table.text_or("format", LOG_FORMAT);
    let level = table.text_or("level", LOG);
    table.finish();
    Log {
        format: format.map_or(default.format, |text| log_format(&text)),
        level: level.map_or(default.level, log_level),
    }
}

fn log_format(text: &Text<'_>) -> LogFormat {
    match text.text.as_str() {
        "json" => LogFormat::Json,
        "text" => LogFormat::Text,
        other => {
            let message = format!("is not a log format: {other:?}");
            text.problem(message, r#"write "json" or "text""#);
            LogFormat::Json
        }
    }
}

fn log_level(text: Text<'_>) -> String {
    const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "off"];
    // A bare word that is not a level would be read as the name of a module, and nothing would be logged.
    let is_level = |word: &&str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let mut words = text.text.split(',').map(str::trim);
    let stray = words.find(|word| !word.contains(['=', '[']) && !is_level(word));
    if let Some(word) = stray {
        let mend = match nearest(word, LEVELS) {
            Some(level) => format!("did you mean `{level}`?"),
            None => format!("write one of {}, or module=level", LEVELS.join(", ")),
        };
        text.problem(format!("has the unknown level {word:?}"), mend);
    } else if let Err(error) = EnvFilter::builder().parse(&text.text) {
        let mend = r#"write a level, or directives such as "info,sluicegate_upstream=debug""#;
        text.problem(format!("is not a log filter: {error}"), mend);
    }
    text.text
}

/// The admin API, if the file or the environment asks for it.
pub(super) fn admin(root: &Table<'_>) -> Option<Admin> {
    let table = root.section("admin");
    let from_env = root.cx.variable(ADMIN_LISTEN);
    if !table.is_present() && from_env.is_none() {
        return None;
    }
    let from_file = match from_env {
        Some(_) => table.text("listen"),
        None => {
            let value = table.required("listen", r#"add listen = "127.0.0.1:9180""#);
            value.and_then(|value| value.text())
        }
    };
    let token = table.get("token").map(|value| secret::read(&value));
    let mut hosts = table.get("hosts").map(|value| listener::hosts(&value));
    if token.is_none() {
        hosts.get_or_insert_default();
    }
    table.finish();
    let listen = from_env.or(from_file)?;
    let address = address::listen(&listen)?;
    if !address.ip().is_loopback() && token.is_none() {
        listen.problem(
            format!("is off loopback ({address}), and there is no token"),
            r#"listen on 127.0.0.1, or add token = { env = "SLUICEGATE_ADMIN_TOKEN" }"#,
        );
    }
    Some(Admin {
        listen: address,
        token: token.flatten(),
        hosts,
    })
}
