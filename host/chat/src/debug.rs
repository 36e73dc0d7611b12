//! `/debug`: what is known about the chain, layer by layer, each value with a judgement. Never stored, never sent to a model.
//! About the proxy only its API and its admin interface are asked. If the admin interface cannot be reached, the card is shorter
//! and says so.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::caller::Caller;
use super::core::Core;
use super::id;
use super::store;
use super::wire::ErrorBody;
use super::wire::debug::{Card, Debug, Hint, HintCode, Level, Row, Section, Trace, TraceLayer};
use super::wire::session::Reach;
use sluicegate_telemetry::clock;

mod admin;

use admin::{Admin, Target, layer_times};

/// The card uses the last probe if it is younger than this.
const FRESH: Duration = Duration::from_secs(2);
/// Requests on the card.
const REQUESTS: usize = 5;
/// From these times on, a write to the database is slow, or too slow.
const SLOW_STORE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// From this delay of timers on, the gateway is busy.
const LAG: Duration = Duration::from_millis(50);
/// Models in the list.
const ITEMS: usize = 40;

/// The card for the arguments of `/debug`.
///
/// # Errors
/// Those of the database.
pub(crate) async fn card(caller: &Caller<'_>, args: &str) -> Result<Card, ErrorBody> {
    if args.starts_with("req_") && id::plausible(args) {
        return Ok(Card::Trace(Box::new(trace(caller, args).await?)));
    }
    let core = caller.core;
    if core.health.older_than(FRESH) {
        core.probe().await;
    }
    if !caller.login.debug() {
        return Ok(Card::Debug(Box::new(brief(core))));
    }
    let admin = Admin::ask(core).await;
    let mut requests = core.telemetry.recent_of(&caller.login.user.id, REQUESTS);
    for line in &mut requests {
        if let Some(exchange) = Admin::exchange(core, &line.request_id).await {
            line.layers.extend(layer_times(&exchange));
        }
    }
    let sections = vec![
        gateway(core),
        proxy(core, &admin),
        model(core, &admin),
        connection(caller),
    ];
    let (raw, watch) = (args == "json", args == "watch");
    Ok(Card::Debug(Box::new(Debug {
        at: clock::unix_ms(),
        raw,
        watch,
        sections,
        requests,
    })))
}

/// What everybody may see: up or down.
fn brief(core: &Core) -> Debug {
    let (health, _) = core.health.now();
    let sections = [("proxy", health.proxy), ("model", health.model)]
        .map(|(id, reach)| section(id, vec![reachable(reach, None)]))
        .into();
    Debug {
        at: clock::unix_ms(),
        raw: false,
        watch: false,
        sections,
        requests: Vec::new(),
    }
}

fn gateway(core: &Core) -> Section {
    let gauges = core.gauges();
    let lag = core.lag.p95();
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
        row("uptime", json!(core.started.elapsed().as_secs()), Some("s")),
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

fn proxy(core: &Core, admin: &Admin) -> Section {
    let (health, _) = core.health.now();
    let endpoint = core.proxy.authority();
    let down = hint(
        HintCode::ProxyDown,
        endpoint,
        &format!("the proxy does not answer on {endpoint}: is it running?"),
    );
    let mut rows = vec![
        row("endpoint", json!(endpoint), None),
        reachable(health.proxy, Some(down)),
    ];
    if let Some((last, p50, p95)) = core.health.pings() {
        rows.push(row("ping", ms(last), Some("ms")));
        rows.push(row("ping_p50", ms(p50), Some("ms")));
        rows.push(row("ping_p95", ms(p95), Some("ms")));
    }
    if let Some((p50, p95)) = core.telemetry.ttft_percentiles() {
        rows.push(row("ttft_p50", json!(p50), Some("ms")));
        rows.push(row("ttft_p95", json!(p95), Some("ms")));
    }
    match &admin.ready {
        Some(status) => {
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
        }
        None if core.admin.is_some() && health.proxy == Reach::Up => {
            let address = core.admin.as_ref().map_or("", |admin| admin.authority());
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
    rows.extend(admin.circuit().as_deref().map(circuit));
    if let Some(plugins) = admin.plugins() {
        rows.push(row("plugins", json!(plugins), None));
    }
    section("proxy", rows)
}

fn circuit(state: &str) -> Row {
    if state == "closed" {
        return row("circuit", json!(state), None);
    }
    let text =
        "the proxy has stopped calling the model server for a while, because it failed often";
    Row {
        hint: Some(hint(HintCode::CircuitOpen, "", text)),
        ..judged("circuit", json!(state), None, Level::Bad)
    }
}

fn model(core: &Core, admin: &Admin) -> Section {
    let (health, models) = core.health.now();
    let targets = admin.targets();
    let down = targets
        .iter()
        .find(|target| target.state == "down")
        .or(targets.first());
    let mut rows = vec![reachable(health.model, Some(model_down(down)))];
    let list = models
        .iter()
        .take(ITEMS)
        .map(|model| json!(model.id))
        .collect();
    let mut models_row = row("models", Value::Array(list), None);
    if models.is_empty() && health.model == Reach::Up {
        models_row.level = Level::Warn;
        let text = "the model server has no model: pull one first";
        models_row.hint = Some(hint(HintCode::NoModels, "", text));
    }
    rows.push(models_row);
    for target in &targets {
        rows.push(address(target, health.model));
        if let Some(version) = &target.version {
            rows.push(row("version", json!(version), None));
        }
        // An empty list matters: the next answer has to wait until its model is loaded.
        if let Some(loaded) = &target.loaded {
            rows.push(row("loaded", json!(loaded), None));
        }
    }
    if let Some(ttft) = core.telemetry.last_ttft() {
        rows.push(row("last_ttft", json!(ttft), Some("ms")));
    }
    section("model", rows)
}

/// One of the model servers; `model` is the state of all of them together.
fn address(target: &Target, model: Reach) -> Row {
    let down = target.state == "down";
    let level = match target.state.as_str() {
        "up" => Level::Ok,
        "down" => Level::Bad,
        _ => Level::Warn,
    };
    Row {
        // If all are down, the first row says so already.
        hint: (down && model != Reach::Down).then(|| model_down(Some(target))),
        ..judged("target", json!(target.address), None, level)
    }
}

fn model_down(target: Option<&Target>) -> Hint {
    let Some(target) = target else {
        return hint(
            HintCode::ModelDown,
            "",
            "the model server does not answer: is it running?",
        );
    };
    let (address, reason) = (
        &target.address,
        target.reason.as_deref().unwrap_or("no answer"),
    );
    let text = format!("the model server does not answer on {address} ({reason}): is it running?");
    hint(HintCode::ModelDown, address, &text)
}

fn connection(caller: &Caller<'_>) -> Section {
    let Some(conn) = caller.conn else {
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

/// What each layer knows about one request.
async fn trace(caller: &Caller<'_>, request: &str) -> Result<Trace, ErrorBody> {
    let (core, user, name) = (
        caller.core,
        caller.login.user.id.clone(),
        request.to_owned(),
    );
    let own = core
        .store
        .read(move |c| store::run::by_request(c, &user, &name))
        .await?;
    let mut layers = vec![TraceLayer {
        layer: "gateway",
        found: own.is_some(),
        facts: own.as_ref().map_or(
            Value::Null,
            |(session, run)| json!({ "session": session, "run": run }),
        ),
    }];
    // The proxy knows everybody's requests, even those that did not come from here: they are for users who may debug.
    if caller.login.debug() {
        let exchange = Admin::exchange(core, request).await;
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

/// The resident memory of this process.
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
