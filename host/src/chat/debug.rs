//! `/debug`: what is known of the chain, layer by layer, each value with a judgement. Never stored, never sent to a model.
//!
//! Of the proxy only that is known what its API and its admin interface tell. The latter may be out of reach: the card is
//! then shorter and says so.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::hub::Hub;
use super::request::Asker;
use super::session::store_failed;
use super::store;
use super::wire::ErrorBody;
use super::wire::debug::{
    Card, Debug, Hint, HintCode, LayerTime, Level, Row, Section, Trace, TraceLayer,
};
use super::wire::session::Reach;
use super::{clock, id};

/// How long the proxy's admin interface may take: the card should show at once.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// A probe that young is good enough.
const FRESH: Duration = Duration::from_secs(2);
/// Requests on the card.
const REQUESTS: usize = 5;
/// A store slower than that is worth a look, or broken.
const SLOW_STORE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// A traffic thread that comes so much too late is worth a look.
const LAG: Duration = Duration::from_millis(50);
/// Items of a list that the proxy gives.
const ITEMS: usize = 40;

/// The card for the arguments of `/debug`.
///
/// # Errors
/// The database's.
pub(crate) async fn card(asker: &Asker<'_>, args: &str) -> Result<Card, ErrorBody> {
    if args.starts_with("req_") && id::plausible(args) {
        return Ok(Card::Trace(Box::new(trace(asker, args).await?)));
    }
    let hub = asker.hub;
    hub.health.probe_if_older(hub, FRESH).await;
    if !asker.login.debug() {
        return Ok(Card::Debug(Box::new(brief(hub))));
    }
    let admin = Admin::ask(hub).await;
    let mut requests = hub.telemetry.recent_of(&asker.login.user.id, REQUESTS);
    for line in &mut requests {
        if let Some(time) = Admin::exchange(hub, &line.request_id)
            .await
            .as_ref()
            .and_then(layer_time)
        {
            line.layers.push(time);
        }
    }
    let sections = vec![
        gateway(hub),
        proxy(hub, &admin),
        model(hub, &admin),
        connection(asker),
    ];
    let (raw, watch) = (args == "json", args == "watch");
    Ok(Card::Debug(Box::new(Debug {
        at: clock::now_ms(),
        raw,
        watch,
        sections,
        requests,
    })))
}

/// What everybody may see: up or down.
fn brief(hub: &Hub) -> Debug {
    let (health, _) = hub.health.now();
    let sections = [("proxy", health.proxy), ("model", health.model)]
        .map(|(id, reach)| section(id, vec![reachable(reach, None)]))
        .into();
    Debug {
        at: clock::now_ms(),
        raw: false,
        watch: false,
        sections,
        requests: Vec::new(),
    }
}

fn gateway(hub: &Hub) -> Section {
    let gauges = hub.gauges();
    let lag = hub.health.lag.p95();
    let store = gauges.store_p95;
    let store_level = match store {
        slow if slow >= SLOW_STORE.1 => Level::Bad,
        slow if slow >= SLOW_STORE.0 => Level::Warn,
        _ => Level::Ok,
    };
    let slow = (store_level != Level::Ok).then(|| {
        hint(
            HintCode::StoreSlow,
            "SQLite",
            "the database writes slowly: is its disk busy or full?",
        )
    });
    let busy = (gauges.waiting > 0).then(|| {
        hint(
            HintCode::Busy,
            "slots",
            "all slots are taken: answers wait for their turn",
        )
    });
    let mut rows = vec![
        row("version", json!(env!("CARGO_PKG_VERSION")), None),
        row("uptime", json!(hub.started.elapsed().as_secs()), Some("s")),
        row("connections", json!(gauges.connections), Some("count")),
        row("sessions_live", json!(gauges.sessions), Some("count")),
        row("runs_active", json!(gauges.running), Some("count")),
        Row {
            level: if busy.is_some() {
                Level::Warn
            } else {
                Level::Ok
            },
            hint: busy,
            ..row("runs_waiting", json!(gauges.waiting), Some("count"))
        },
        judged(
            "loop_lag_p95",
            ms(lag),
            Some("ms"),
            if lag >= LAG { Level::Warn } else { Level::Ok },
        ),
        Row {
            level: store_level,
            hint: slow,
            ..row("store_write_p95", ms(store), Some("ms"))
        },
    ];
    if let Some(bytes) = resident() {
        rows.push(row("rss", json!(bytes), Some("bytes")));
    }
    section("gateway", rows)
}

fn proxy(hub: &Hub, admin: &Admin) -> Section {
    let (health, _) = hub.health.now();
    let endpoint = hub.upstream.authority();
    let down = hint(
        HintCode::ProxyDown,
        endpoint,
        &format!("the proxy does not answer on {endpoint}: is it running?"),
    );
    let mut rows = vec![
        row("endpoint", json!(endpoint), None),
        reachable(health.proxy, Some(down)),
    ];
    if let Some((last, p50, p95)) = hub.health.pings() {
        rows.push(row("ping", ms(last), Some("ms")));
        rows.push(row("ping_p50", ms(p50), Some("ms")));
        rows.push(row("ping_p95", ms(p95), Some("ms")));
    }
    if let Some((p50, p95)) = hub.telemetry.ttft_percentiles() {
        rows.push(row("ttft_p50", json!(p50), Some("ms")));
        rows.push(row("ttft_p95", json!(p95), Some("ms")));
    }
    match &admin.ready {
        Some((status, ready)) => {
            rows.push(judged(
                "ready",
                json!(*status == 200),
                None,
                if *status == 200 {
                    Level::Ok
                } else {
                    Level::Warn
                },
            ));
            rows.extend(circuit(ready));
            for (id, path) in [("inflight", "/inflight"), ("error_rate", "/error_rate")] {
                if let Some(value) = ready.pointer(path).filter(|value| value.is_number()) {
                    rows.push(row(id, value.clone(), None));
                }
            }
        }
        None if hub.admin.is_some() && health.proxy == Reach::Up => {
            let address = hub.admin.as_ref().map_or("", |admin| admin.authority());
            let text = format!(
                "the proxy's admin interface does not answer on {address}, so less is known"
            );
            rows.push(Row {
                hint: Some(hint(HintCode::AdminUnreachable, address, &text)),
                ..row("ready", Value::Null, None)
            });
        }
        None => {}
    }
    if let Some(plugins) = &admin.plugins {
        rows.push(row("plugins", names(plugins), None));
    }
    section("proxy", rows)
}

/// The worst breaker that the proxy tells of, under whichever of these names.
fn circuit(ready: &Value) -> Option<Row> {
    let mut found: Vec<String> = Vec::new();
    gather(ready, &["circuit", "breaker"], &mut found, 0);
    let open = found
        .iter()
        .find(|state| matches!(state.as_str(), "open" | "half-open" | "half_open"));
    match (open, found.first()) {
        (Some(state), _) => {
            let text = "the proxy has stopped calling the model server for a while, because it failed often";
            Some(Row {
                hint: Some(hint(HintCode::CircuitOpen, "", text)),
                ..judged("circuit", json!(state), None, Level::Bad)
            })
        }
        (None, Some(state)) => Some(row("circuit", json!(state), None)),
        (None, None) => None,
    }
}

/// Texts under keys of these names, anywhere in a small document.
fn gather(value: &Value, keys: &[&str], found: &mut Vec<String>, depth: usize) {
    if depth > 6 {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if keys.contains(&key.as_str()) => found.push(text.clone()),
                    other => gather(other, keys, found, depth + 1),
                }
            }
        }
        Value::Array(items) => items
            .iter()
            .take(ITEMS)
            .for_each(|item| gather(item, keys, found, depth + 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn model(hub: &Hub, admin: &Admin) -> Section {
    let (health, models) = hub.health.now();
    let targets: Vec<String> = admin.targets();
    let subject = targets.first().cloned().unwrap_or_default();
    let place = if subject.is_empty() {
        String::new()
    } else {
        format!(" on {subject}")
    };
    let down = hint(
        HintCode::ModelDown,
        &subject,
        &format!("the model server does not answer{place}: is it running?"),
    );
    let mut rows = vec![reachable(health.model, Some(down))];
    let list = models
        .iter()
        .take(ITEMS)
        .map(|model| json!(model.id))
        .collect();
    let mut models_row = row("models", Value::Array(list), None);
    if models.is_empty() && health.model == Reach::Up {
        models_row.level = Level::Warn;
        models_row.hint = Some(hint(
            HintCode::NoModels,
            "",
            "the model server has no model: pull one first",
        ));
    }
    rows.push(models_row);
    if !targets.is_empty() {
        rows.push(row("targets", json!(targets), None));
    }
    if let Some(ttft) = hub.telemetry.last_ttft() {
        rows.push(row("last_ttft", json!(ttft), Some("ms")));
    }
    section("model", rows)
}

fn connection(asker: &Asker<'_>) -> Section {
    let Some(conn) = asker.conn else {
        return section("connection", Vec::new());
    };
    let rtt = conn.rtt_us.load(Ordering::Relaxed);
    let (bytes, frames) = conn.outbox.backlog();
    let mut rows = vec![row("conn", json!(conn.outbox.conn), None)];
    if rtt > 0 {
        rows.push(row(
            "rtt",
            json!((rtt as f64 / 1000.0 * 10.0).round() / 10.0),
            Some("ms"),
        ));
    }
    rows.push(row(
        "resumes",
        json!(conn.resumes.load(Ordering::Relaxed)),
        Some("count"),
    ));
    rows.push(row("buffered", json!(bytes), Some("bytes")));
    rows.push(row("queued_frames", json!(frames), Some("count")));
    section("connection", rows)
}

/// One request, as each layer knows it.
async fn trace(asker: &Asker<'_>, request: &str) -> Result<Trace, ErrorBody> {
    let (hub, user, name) = (asker.hub, asker.login.user.id.clone(), request.to_owned());
    let found = hub
        .store
        .read(move |c| store::run::by_request(c, &user, &name))
        .await;
    let own = found.map_err(|error| store_failed(&error))?;
    let mut layers = vec![TraceLayer {
        layer: "gateway",
        found: own.is_some(),
        facts: own.as_ref().map_or(
            Value::Null,
            |(session, run)| json!({ "session": session, "run": run }),
        ),
    }];
    // The proxy knows everybody's requests, also those that never came through here: only for those who may debug.
    if asker.login.debug() {
        let exchange = Admin::exchange(hub, request).await;
        layers.push(TraceLayer {
            layer: "proxy",
            found: exchange.is_some(),
            facts: exchange.unwrap_or(Value::Null),
        });
    }
    let found = layers.iter().any(|layer| layer.found);
    Ok(Trace {
        request_id: request.to_owned(),
        found,
        layers,
    })
}

/// What the proxy's admin interface told.
struct Admin {
    ready: Option<(u16, Value)>,
    plugins: Option<Value>,
}

impl Admin {
    async fn ask(hub: &Hub) -> Self {
        let (ready, plugins) = tokio::join!(get(hub, "/readyz"), get(hub, "/plugins"));
        let plugins = plugins
            .filter(|(status, _)| *status == 200)
            .map(|(_, value)| value);
        Self { ready, plugins }
    }

    async fn exchange(hub: &Hub, request: &str) -> Option<Value> {
        let (status, value) = get(hub, &format!("/exchanges/{request}")).await?;
        (status == 200 && value.is_object()).then_some(value)
    }

    /// Addresses of model servers that the proxy tells.
    fn targets(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Some((_, ready)) = &self.ready {
            gather(ready, &["target", "address", "url"], &mut found, 0);
        }
        found.truncate(ITEMS);
        found
    }
}

async fn get(hub: &Hub, path: &str) -> Option<(u16, Value)> {
    let whole = hub.admin.as_ref()?.get(path, PATIENCE).await.ok()?;
    Some((
        whole.status,
        serde_json::from_slice(&whole.body).unwrap_or(Value::Null),
    ))
}

/// The times of an exchange, if the proxy names them so.
fn layer_time(exchange: &Value) -> Option<LayerTime> {
    let figure = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| exchange.get(*name)?.as_f64())
            .map(|ms| ms.max(0.0) as u64)
    };
    let (ttft_ms, ms) = (
        figure(&["ttft_ms"]),
        figure(&["ms", "duration_ms", "total_ms"]),
    );
    (ttft_ms.is_some() || ms.is_some()).then_some(LayerTime {
        layer: "proxy",
        ttft_ms,
        ms,
    })
}

/// The names of the plugins in whatever list the admin interface gives.
fn names(plugins: &Value) -> Value {
    let mut found = Vec::new();
    gather(plugins, &["name"], &mut found, 0);
    found.truncate(ITEMS);
    json!(found)
}

fn reachable(reach: Reach, down: Option<Hint>) -> Row {
    match reach {
        Reach::Up => row("reachable", json!(true), None),
        Reach::Down => Row {
            hint: down,
            ..judged("reachable", json!(false), None, Level::Bad)
        },
        Reach::Unknown => judged("reachable", Value::Null, None, Level::Warn),
    }
}

fn section(id: &'static str, rows: Vec<Row>) -> Section {
    Section {
        id,
        level: rows.iter().map(|row| row.level).max().unwrap_or(Level::Ok),
        rows,
    }
}

fn row(id: &'static str, value: Value, unit: Option<&'static str>) -> Row {
    judged(id, value, unit, Level::Ok)
}

fn judged(id: &'static str, value: Value, unit: Option<&'static str>, level: Level) -> Row {
    Row {
        id,
        value,
        unit,
        level,
        hint: None,
    }
}

fn hint(code: HintCode, subject: &str, text: &str) -> Hint {
    Hint {
        code,
        subject: subject.to_owned(),
        text: text.to_owned(),
    }
}

fn ms(duration: Duration) -> Value {
    json!((duration.as_secs_f64() * 10_000.0).round() / 10.0)
}

/// The memory that this process has in RAM.
///
/// # Source
/// Linux `proc_pid_status(5)`, `VmRSS` in kibibytes. Other systems have no such file and the row is left out.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace()
        .next()?
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}

/// How late timers fire: the traffic threads' load as a user feels it.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    samples: Mutex<VecDeque<Duration>>,
}

impl Lag {
    /// Time between two samples.
    const EVERY: Duration = Duration::from_millis(250);
    /// Samples that are remembered.
    const KEPT: usize = 120;

    /// Measures until the gateway closes.
    pub(crate) async fn measure(hub: Arc<Hub>) {
        while !hub.closed.is_cancelled() {
            let started = Instant::now();
            tokio::select! {
                () = hub.closed.cancelled() => return,
                () = tokio::time::sleep(Self::EVERY) => {}
            }
            let late = started.elapsed().saturating_sub(Self::EVERY);
            let mut samples = hub
                .health
                .lag
                .samples
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            samples.push_back(late);
            if samples.len() > Self::KEPT {
                samples.pop_front();
            }
        }
    }

    fn p95(&self) -> Duration {
        let mut sorted: Vec<_> = self
            .samples
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .copied()
            .collect();
        sorted.sort_unstable();
        sorted
            .get(sorted.len() * 95 / 100)
            .copied()
            .unwrap_or_default()
    }
}
