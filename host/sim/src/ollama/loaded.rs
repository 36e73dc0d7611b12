//! Which simulated models are loaded, and until when. Pure: time is an argument.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::catalog;
use super::go_duration::KeepAlive;
use super::wire;
use crate::catalog::Model;

/// The end of "for ever": the largest `time.Duration` of Go, which Ollama shows in this case.
const FOREVER: Duration = Duration::from_hours(292 * 365 * 24);

/// The models in memory.
///
/// The time to keep a model counts from the request, not from the end of its response as in Ollama. The difference does not
/// matter here.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    model: &'static Model,
    expires: SystemTime,
    num_ctx: Option<u64>,
}

impl Loaded {
    /// Records a use of `model`; returns whether it must be loaded first, because it was not in memory or had another context
    /// size.
    pub(super) fn touch(
        &mut self,
        model: &'static Model,
        keep_alive: KeepAlive,
        num_ctx: Option<u64>,
        now: SystemTime,
    ) -> bool {
        let known = self
            .entries
            .iter()
            .position(|entry| entry.model == model)
            .map(|at| self.entries.remove(at));
        let warm = known.is_some_and(|entry| entry.expires > now && entry.num_ctx == num_ctx);
        let keep = match keep_alive {
            KeepAlive::For(time) => time.min(FOREVER),
            KeepAlive::Forever => FOREVER,
        };
        self.entries.push(Entry {
            model,
            expires: now + keep,
            num_ctx,
        });
        !warm
    }

    /// What `/api/ps` says: sorted by expiry, latest first.
    pub(super) fn list(&mut self, now: SystemTime) -> Value {
        self.entries.retain(|entry| entry.expires > now);
        self.entries
            .sort_by_key(|entry| std::cmp::Reverse(entry.expires));
        let models: Vec<Value> = self
            .entries
            .iter()
            .map(|entry| {
                let expires = wire::timestamp(entry.expires);
                catalog::running(entry.model, &expires, entry.num_ctx)
            })
            .collect();
        json!({ "models": models })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::MODELS;

    fn names(loaded: &mut Loaded, now: SystemTime) -> Vec<String> {
        let list = loaded.list(now);
        let models = list["models"].as_array().expect("a list");
        models
            .iter()
            .map(|m| m["name"].as_str().expect("a name").to_owned())
            .collect()
    }

    #[test]
    fn a_model_stays_for_its_time_and_then_loads_again() {
        let mut loaded = Loaded::default();
        let now = SystemTime::UNIX_EPOCH;
        let minute = KeepAlive::For(Duration::from_mins(1));
        assert!(loaded.touch(&MODELS[0], minute, None, now));
        assert!(!loaded.touch(&MODELS[0], minute, None, now + Duration::from_secs(30)));
        assert_eq!(names(&mut loaded, now + Duration::from_secs(80)), ["demo"]);
        assert!(names(&mut loaded, now + Duration::from_secs(90)).is_empty());
        assert!(loaded.touch(&MODELS[0], minute, None, now + Duration::from_secs(90)));
    }

    #[test]
    fn another_context_size_loads_again() {
        let mut loaded = Loaded::default();
        let now = SystemTime::UNIX_EPOCH;
        loaded.touch(&MODELS[0], KeepAlive::default(), None, now);
        assert!(loaded.touch(&MODELS[0], KeepAlive::default(), Some(1024), now));
    }

    #[test]
    fn the_list_is_sorted_by_expiry_latest_first_and_zero_unloads() {
        let mut loaded = Loaded::default();
        let now = SystemTime::UNIX_EPOCH;
        loaded.touch(&MODELS[0], KeepAlive::default(), None, now);
        loaded.touch(&MODELS[1], KeepAlive::Forever, None, now);
        assert_eq!(names(&mut loaded, now), ["qwen3:32b", "demo"]);
        loaded.touch(&MODELS[1], KeepAlive::For(Duration::ZERO), None, now);
        assert_eq!(names(&mut loaded, now), ["demo"]);
        loaded.touch(&MODELS[1], KeepAlive::For(Duration::MAX), None, now);
        assert_eq!(names(&mut loaded, now).len(), 2);
    }
}
