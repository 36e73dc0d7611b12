//! The sections `[upstream.NAME]`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::address::is_path;
use super::reader::{Table, Value};
use super::{Secret, Target, check_name, ollama, secret};

mod affinity;
mod breaker;
mod in_flight;

pub use affinity::Affinity;
pub use breaker::Breaker;
pub use in_flight::InFlight;

/// How many model servers are tried for one exchange by default: the first one and two others.
const ATTEMPTS: u32 = 3;

/// How many attempts more than exchanges there may be by default, in percent.
const BUDGET: u32 = 20;

/// How long a server that is back is given less than its share by default: long enough to load a model from the disk's cache.
const SLOW_START: Duration = Duration::from_secs(10);

/// A named group of model servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its name in the configuration.
    pub name: String,
    /// Its servers: at least one, each only once.
    pub targets: Vec<Target>,
    /// The plugin that translates for these servers; `None` if they speak OpenAI's API.
    pub adapter: Option<String>,
    /// The servers' API key, sent as `authorization: Bearer`.
    pub key: Option<Secret>,
    /// The most servers that are tried for one exchange; default 3, at least 1.
    pub attempts: u32,
    /// How many attempts more than exchanges there may be, in percent; default 20.
    pub budget: u32,
    /// When a server that fails is left alone.
    pub breaker: Breaker,
    /// How long a server that is back is given less than its share; default 10 s, `None`: not at all.
    pub slow_start: Option<Duration>,
    /// How much one server is given at a time; `None`: whatever comes.
    pub in_flight: Option<InFlight>,
    /// Which requests should go to the same server; `None`: each goes to the one with the least to do.
    pub affinity: Option<Affinity>,
    /// How the servers' health is checked; `None`: not at all.
    pub health: Option<Health>,
    /// The timeouts of a request to a model server.
    pub timeout: Timeout,
}

/// How a server's health is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The path of the request, which has the upstream's key. A status below 500 other than 401, 403, 404 and 407 is healthy.
    /// `None`: the path that the adapter names.
    pub path: Option<String>,
    /// How often; default 5 s.
    pub interval: Duration,
}

/// The timeouts of a request to a model server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeout {
    /// For connecting; default 2 s.
    pub connect: Duration,
    /// For the response head; default 300 s, because a cold model of 32B takes minutes.
    pub first_byte: Duration,
    /// For the first byte from a loaded model that has been inactive since a client left; default 30 s, `None`: no detection
    /// of stalls.
    pub stall: Option<Duration>,
    /// For the next chunk of the response; default 60 s.
    pub idle: Duration,
    /// For the whole exchange; default `None`, no limit, because a stream may run long.
    pub total: Option<Duration>,
}

impl Default for Timeout {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            first_byte: Duration::from_secs(300),
            stall: Some(Duration::from_secs(30)),
            idle: Duration::from_secs(60),
            total: None,
        }
    }
}

pub(super) fn upstreams(root: &Table<'_>) -> BTreeMap<String, Upstream> {
    let table = root.section("upstream");
    let upstreams = table.entries().filter_map(|(name, value)| {
        check_name(&value, name);
        Some((name.to_owned(), upstream(name, &value.table()?)))
    });
    let upstreams: BTreeMap<_, _> = upstreams.collect();
    ollama::check(root, &upstreams);
    upstreams
}

fn upstream(name: &str, table: &Table<'_>) -> Upstream {
    let value = table.required("targets", r#"add targets = ["http://127.0.0.1:11434"]"#);
    let from_file = value.map(|value| targets(&value)).unwrap_or_default();
    let adapter = table.text("adapter").map(|text| text.text.to_owned());
    let from_env = ollama::target(table, adapter.as_deref());
    let key = table.get("key").and_then(|value| secret::read(&value));
    let (attempts, budget) = attempts(&table.section("attempts"));
    let breaker = breaker::read(&table.section("breaker"));
    let slow_start = table.duration_or_off("slow-start");
    let in_flight = in_flight::read(table);
    let affinity = affinity::read(table);
    let health = table.section("health");
    let health = if health.is_present() {
        read_health(&health)
    } else {
        None
    };
    if adapter.is_none() && health.as_ref().is_some_and(|health| health.path.is_none()) {
        let section = table.section("health");
        table.cx.problem(
            &section.place,
            "names no path, and there is no adapter that names one",
            r#"add path = "/health""#,
        );
    }
    let timeout = timeout(&table.section("timeout"));
    table.finish();
    Upstream {
        name: name.to_owned(),
        targets: from_env.map_or(from_file, |target| vec![target]),
        adapter,
        key,
        attempts,
        budget,
        breaker,
        slow_start: slow_start.unwrap_or(Some(SLOW_START)),
        in_flight,
        affinity,
        health,
        timeout,
    }
}

/// The most servers for one exchange, and the budget of all.
fn attempts(table: &Table<'_>) -> (u32, u32) {
    let max = table.count("max");
    let budget = table.get("budget").and_then(|value| value.percent());
    if max == Some(0)
        && let Some(value) = table.get("max")
    {
        value.problem("is 0, so no model server would be tried", "write 1 or more");
    }
    table.finish();
    let max = max.map_or(ATTEMPTS, |max| u32::try_from(max).unwrap_or(u32::MAX));
    (max, budget.unwrap_or(BUDGET))
}

fn targets(value: &Value<'_>) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    let Some(items) = value.items() else {
        return targets;
    };
    if items.is_empty() {
        value.problem("is empty", "name at least one model server");
    }
    for item in items {
        let Some(text) = item.string() else { continue };
        match Target::parse_with_dns(text) {
            Err(error) => item.problem(
                format!("is not an address of a model server: it {error}"),
                r#"write it as "http://host:port" or "https://host:port/base", or as "dns+http://name:port" for all addresses of a name"#,
            ),
            Ok(target) if targets.contains(&target) => {
                item.problem(format!("names {target} again"), "remove it");
            }
            Ok(target) => targets.push(target),
        }
    }
    targets
}

fn read_health(table: &Table<'_>) -> Option<Health> {
    let path = table.get("path");
    let interval = table.duration("interval");
    table.finish();
    let interval = interval.unwrap_or(Duration::from_secs(5));
    let Some(path) = path else {
        return Some(Health {
            path: None,
            interval,
        });
    };
    let text = path.string()?;
    if !is_path(text) {
        let message = format!("is not a path: {text:?}");
        path.problem(
            message,
            r#"write a path that begins with /, such as "/health""#,
        );
    }
    Some(Health {
        path: Some(text.to_owned()),
        interval,
    })
}

fn timeout(table: &Table<'_>) -> Timeout {
    let default = Timeout::default();
    let timeout = Timeout {
        connect: table.duration("connect").unwrap_or(default.connect),
        first_byte: table.duration("first-byte").unwrap_or(default.first_byte),
        stall: table.duration_or_off("stall").unwrap_or(default.stall),
        idle: table.duration("idle").unwrap_or(default.idle),
        total: table.duration_or_off("total").unwrap_or(default.total),
    };
    table.finish();
    timeout
}
