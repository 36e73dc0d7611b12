//! One version of a plugin, and what became of it.

use std::sync::{Arc, Weak};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sluicegate_config::Problem;
use sluicegate_plugin_host::{Figures, Plugin, Toolchain, load};
use sluicegate_telemetry::clock::unix_ms;

/// Why a version may not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Where it failed: a stage of loading, `place` for one that does not fit where it is used, `traffic` for one that was rolled
    /// back by itself, `operator` for one that was rolled back by hand.
    pub stage: String,
    /// Why.
    pub reason: String,
    /// What to do about it.
    pub mend: String,
}

impl Rejection {
    /// A version that does not load, made of this component.
    #[must_use]
    pub fn of(error: &load::Error, component: &[u8]) -> Self {
        Self {
            stage: error.stage().to_owned(),
            reason: cut(error.to_string()),
            mend: error.mend(Toolchain::of(component)).into_owned(),
        }
    }

    /// A version that loads, but does not fit where the configuration uses it.
    #[must_use]
    pub fn by_place(reason: &str, mend: &str) -> Self {
        Self {
            stage: "place".to_owned(),
            reason: cut(reason.to_owned()),
            mend: mend.to_owned(),
        }
    }

    /// A version that faulted after it went live.
    #[must_use]
    pub fn by_traffic(reason: String) -> Self {
        Self {
            stage: "traffic".to_owned(),
            reason,
            mend: "mend the plugin or its configuration, or `sluicegate plugin activate` it"
                .to_owned(),
        }
    }

    /// A version that the operator does not want.
    #[must_use]
    pub fn by_operator() -> Self {
        Self {
            stage: "operator".to_owned(),
            reason: "it was rolled back by hand".to_owned(),
            mend: "change the plugin or its configuration, or `sluicegate plugin activate` it"
                .to_owned(),
        }
    }

    /// Whether the version could be loaded, and was rolled back.
    #[must_use]
    pub fn is_rollback(&self) -> bool {
        matches!(&*self.stage, "traffic" | "operator")
    }

    /// It as a problem of a configuration.
    #[must_use]
    pub fn problem(&self, key: String) -> Problem {
        Problem {
            key,
            line: None,
            message: format!("was rejected ({}): {}", self.stage, self.reason),
            mend: self.mend.clone(),
        }
    }

    /// It as the admin interface shows it.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({"stage": self.stage, "reason": self.reason, "mend": self.mend})
    }
}

/// What has become of a version.
#[derive(Clone, Debug)]
pub enum State {
    /// It is compiled and tried.
    Loading,
    /// New exchanges get it.
    Live,
    /// It was live; exchanges that began with it may still have it.
    Retired,
    /// It may not be used.
    Rejected(Rejection),
}

/// A version.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its hash: see [`version`](sluicegate_plugin_host::version).
    pub version: String,
    /// The SHA-256 of its component.
    pub component: String,
    /// What has become of it.
    pub state: State,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// The generation of the configuration with which it went live; `None` if it never did.
    pub generation: Option<u64>,
    /// Itself, as long as somebody has it.
    plugin: Weak<Plugin>,
}

impl Record {
    pub(super) fn new(version: &str, component: &str, state: State) -> Self {
        Self {
            version: version.to_owned(),
            component: component.to_owned(),
            state,
            since_ms: unix_ms(),
            generation: None,
            plugin: Weak::new(),
        }
    }

    pub(super) fn set(&mut self, state: State) {
        self.state = state;
        self.since_ms = unix_ms();
    }

    /// It is live from now on, if it was not before.
    pub(super) fn lives(&mut self, plugin: &Arc<Plugin>, generation: u64) {
        self.plugin = Arc::downgrade(plugin);
        if !matches!(self.state, State::Live) {
            self.generation = Some(generation);
            self.set(State::Live);
        }
    }

    /// Itself, as long as somebody has it.
    #[must_use]
    pub fn plugin(&self) -> Option<Arc<Plugin>> {
        self.plugin.upgrade()
    }

    /// The word for its state: `loading`, `live`, `draining`, `dropped` or `rejected`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.state {
            State::Loading => "loading",
            State::Live => "live",
            State::Retired if self.plugin.strong_count() > 0 => "draining",
            State::Retired => "dropped",
            State::Rejected(_) => "rejected",
        }
    }

    /// Why it was rejected, if it was.
    #[must_use]
    pub fn rejection(&self) -> Option<&Rejection> {
        match &self.state {
            State::Rejected(rejection) => Some(rejection),
            State::Loading | State::Live | State::Retired => None,
        }
    }

    /// As the admin interface shows it; `exchanges` counts those that hold a version. Times are in milliseconds.
    #[must_use]
    pub fn json(&self, exchanges: impl Fn(&Arc<Plugin>) -> usize) -> Value {
        let figures = self
            .plugin()
            .map(|plugin| figures(&plugin, exchanges(&plugin)));
        json!({
            "version_id": self.version,
            "component": self.component,
            "state": self.word(),
            "since_ms": self.since_ms,
            "generation": self.generation,
            "rejected": self.rejection().map(Rejection::json),
            "figures": figures,
        })
    }
}

/// The most bytes of a reason: it may be a plugin's own text.
const REASON: usize = 2 << 10;

fn cut(mut text: String) -> String {
    if text.len() > REASON {
        text.truncate(text.floor_char_boundary(REASON));
        text.push('…');
    }
    text
}

fn figures(plugin: &Plugin, exchanges: usize) -> Value {
    let Figures {
        calls,
        time,
        faults,
        instances,
    } = plugin.figures();
    let ms = (time.as_secs_f64() * 1e6).round() / 1e3;
    json!({
        "exchanges": exchanges,
        "calls": calls,
        "faults": faults,
        "instances": instances,
        "ms": ms,
        "instance_bytes": plugin.instance_bytes(),
        "code_bytes": plugin.code_bytes(),
    })
}
