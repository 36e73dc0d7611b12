//! What is known of the configuration in force, and of attempts to replace it: remembered for the admin interface, and told to log,
//! metrics and journal.

use std::sync::{MutexGuard, PoisonError};

use serde_json::{Value, json};
use sluicegate_config::{Problem, Problems};
use sluicegate_telemetry::clock::unix_ms;

use super::Control;

/// What is known about the configuration in force, and about the last attempt to replace it.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// How many configurations have been put into force; the one at the start is the first.
    pub generation: u64,
    /// Since when the one in force is, in milliseconds since 1970.
    pub since_ms: u64,
    /// The last attempt that was refused, if none has succeeded since.
    pub refused: Option<Refused>,
    /// Why plugins have another version than the one that is configured.
    pub kept: Vec<Problem>,
}

impl Status {
    fn keep(&mut self, problem: Problem) {
        self.kept.retain(|it| it.key != problem.key);
        self.kept.push(problem);
    }
}

/// A configuration that was not put into force.
#[derive(Clone, Debug)]
pub struct Refused {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Why.
    pub problems: Problems,
}

impl Control {
    /// What is in force, and what was refused.
    #[must_use]
    pub fn current(&self) -> Status {
        self.status().clone()
    }

    /// Remembers that a configuration is in force, and why plugins have another version than the one that is configured.
    pub(super) fn note_applied(&self, kept: &[Problem]) {
        let now = unix_ms();
        self.supply.metrics.reloaded(kept.is_empty(), now);
        let mut status = self.status();
        *status = Status {
            generation: status.generation + 1,
            since_ms: now,
            refused: None,
            kept: kept.to_vec(),
        };
        let generation = status.generation;
        for problem in kept {
            complain("another version is used", problem);
        }
        tracing::info!(generation, "the configuration is in force");
        self.applied.notify_one();
        self.tell(json!({"state": "in_force", "generation": generation, "kept": problems(kept)}));
    }

    /// Remembers that a configuration was refused.
    pub(super) fn refused(&self, refused: Problems) -> Problems {
        let now = unix_ms();
        self.supply.metrics.reloaded(false, now);
        let mut status = self.status();
        for problem in &refused.0 {
            complain("configuration refused", problem);
        }
        let generation = status.generation;
        tracing::error!(generation, "the current configuration remains in force");
        status.refused = Some(Refused {
            at_ms: now,
            problems: refused.clone(),
        });
        self.tell(json!({
            "state": "refused",
            "generation": generation,
            "problems": problems(&refused.0),
        }));
        refused
    }

    /// Remembers that a plugin has another version than the one that is configured, because of a rollback.
    pub(super) fn note_rollback(&self, problem: Problem) {
        let now = unix_ms();
        self.supply.metrics.reloaded(false, now);
        let mut status = self.status();
        status.generation += 1;
        status.since_ms = now;
        let generation = status.generation;
        complain("rolled back", &problem);
        self.tell(json!({
            "state": "rolled_back",
            "generation": generation,
            "kept": problems(std::slice::from_ref(&problem)),
        }));
        status.keep(problem);
    }

    /// Remembers something about a plugin in force that the operator must see to.
    pub(super) fn note_kept(&self, problem: Problem) {
        self.supply.metrics.reloaded(false, unix_ms());
        let mut status = self.status();
        complain("a plugin is not as it should be", &problem);
        self.tell(json!({
            "state": "faulty",
            "generation": status.generation,
            "kept": problems(std::slice::from_ref(&problem)),
        }));
        status.keep(problem);
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, data: Value) {
        self.supply.versions.journal().add("config", data);
    }
}

/// Problems as the admin interface shows them.
#[must_use]
pub fn problems(problems: &[Problem]) -> Value {
    let problem = |problem: &Problem| json!({"key": problem.key, "line": problem.line, "message": problem.message, "mend": problem.mend});
    problems.iter().map(problem).collect()
}

fn complain(what: &str, problem: &Problem) {
    let Problem {
        key,
        message,
        mend,
        line,
    } = problem;
    tracing::error!(key, line, mend, "{what}: {key} {message}");
}
