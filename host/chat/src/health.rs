//! Whether the proxy and the model server behind it answer, and which models there are.
//! The probe is `GET /v1/models` as any client sends it, which never runs a model. Probes are frequent while something is down,
//! so that the page recovers on its own, and rare while all is well.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::proxy::Client;
use super::wire::session::{Health as State, Model, Reach};

/// How long a probe waits.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The time between probes while all is well, and while something is down.
const WELL: Duration = Duration::from_secs(30);
const ILL: Duration = Duration::from_secs(3);
/// How many durations of probes are remembered.
const PINGS: usize = 32;
/// The most models that are offered. Arbitrary; a longer list does not fit a menu.
const MODELS: usize = 200;

/// The result of the last probe.
#[derive(Debug)]
pub(crate) struct Health {
    known: Mutex<Known>,
    /// One probe at a time: whoever asks meanwhile uses its result.
    probing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Known {
    state: State,
    models: Vec<Model>,
    at: Option<Instant>,
    pings: VecDeque<Duration>,
}

impl Default for Health {
    fn default() -> Self {
        let state = State {
            proxy: Reach::Unknown,
            model: Reach::Unknown,
        };
        let known = Known {
            state,
            models: Vec::new(),
            at: None,
            pings: VecDeque::new(),
        };
        Self {
            known: Mutex::new(known),
            probing: tokio::sync::Mutex::default(),
        }
    }
}

#[derive(Deserialize)]
struct List {
    data: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    /// What it can do, if the proxy knows. Of any type: other servers may have something else under this name.
    #[serde(default)]
    capabilities: serde_json::Value,
}

impl Named {
    /// Whether it can chat, as far as is known.
    fn can_chat(&self) -> bool {
        let words = self.capabilities.as_array();
        words.is_none_or(|words| words.iter().any(|it| it == "completion" || it == "chat"))
    }
}

impl Health {
    /// State and models as of the last probe.
    pub(crate) fn now(&self) -> (State, Vec<Model>) {
        let known = self.known();
        (known.state, known.models.clone())
    }

    /// The default model, if any is known.
    pub(crate) fn default_model(&self) -> Option<String> {
        self.known()
            .models
            .iter()
            .find(|model| model.default)
            .map(|model| model.id.clone())
    }

    /// The last, the median and the 95th percentile of the response times of the proxy.
    pub(crate) fn pings(&self) -> Option<(Duration, Duration, Duration)> {
        let known = self.known();
        let last = *known.pings.back()?;
        let mut sorted: Vec<_> = known.pings.iter().copied().collect();
        sorted.sort_unstable();
        let at = |percent: usize| sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)];
        Some((last, at(50), at(95)))
    }

    /// Probes the proxy, unless somebody else has done so since the call. `default` is the configured default model.
    pub(crate) async fn probe(&self, proxy: &Client, default: Option<&str>) {
        let asked = Instant::now();
        let _alone = self.probing.lock().await;
        if self.known().at.is_some_and(|at| at >= asked) {
            return;
        }
        let response = proxy.get("/v1/models", TIMEOUT).await;
        let mut known = self.known();
        known.at = Some(Instant::now());
        match response {
            Ok(whole) => {
                known.pings.push_back(whole.took);
                if known.pings.len() > PINGS {
                    known.pings.pop_front();
                }
                let (state, models) = read(whole.status, &whole.body, default);
                known.state = state;
                // A list that is no longer served is better than none: names change rarely.
                if let Some(models) = models {
                    known.models = models;
                }
            }
            Err(_) => {
                known.state = State {
                    proxy: Reach::Down,
                    model: Reach::Unknown,
                }
            }
        }
        if known.models.is_empty()
            && let Some(id) = default
        {
            known.models = vec![Model {
                id: id.to_owned(),
                default: true,
            }];
        }
    }

    /// Whether the last probe is older than `age`, or there was none.
    pub(crate) fn older_than(&self, age: Duration) -> bool {
        self.known().at.is_none_or(|at| at.elapsed() >= age)
    }

    /// The last result may be outdated: the next probe is due at once.
    pub(crate) fn mark_stale(&self) {
        self.known().at = None;
    }

    /// Whether it is time for the next probe.
    pub(crate) fn due(&self) -> bool {
        let known = self.known();
        let well = known.state
            == State {
                proxy: Reach::Up,
                model: Reach::Up,
            };
        known
            .at
            .is_none_or(|at| at.elapsed() >= if well { WELL } else { ILL })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a response of the proxy says about both layers, and the models if it is a list.
fn read(status: u16, body: &[u8], default: Option<&str>) -> (State, Option<Vec<Model>>) {
    let proxy = Reach::Up;
    match (status, serde_json::from_slice::<List>(body)) {
        (200, Ok(list)) => {
            let mut models: Vec<Model> = list
                .data
                .into_iter()
                .filter(Named::can_chat)
                .take(MODELS)
                .map(|named| Model {
                    id: named.id,
                    default: false,
                })
                .collect();
            match default {
                Some(id) if models.iter().any(|model| model.id == id) => {}
                Some(id) => models.insert(
                    0,
                    Model {
                        id: id.to_owned(),
                        default: false,
                    },
                ),
                None => {}
            }
            let at = default
                .and_then(|id| models.iter().position(|model| model.id == id))
                .unwrap_or(0);
            if let Some(model) = models.get_mut(at) {
                model.default = true;
            }
            (
                State {
                    proxy,
                    model: Reach::Up,
                },
                Some(models),
            )
        }
        (502..=504, _) => (
            State {
                proxy,
                model: Reach::Down,
            },
            None,
        ),
        (_, _) => (
            State {
                proxy,
                model: Reach::Unknown,
            },
            None,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = br#"{"object":"list","data":[{"id":"a:7b","object":"model"},{"id":"b"}]}"#;

    fn names(models: Option<Vec<Model>>) -> Vec<(String, bool)> {
        models
            .unwrap_or_default()
            .into_iter()
            .map(|model| (model.id, model.default))
            .collect()
    }

    #[test]
    fn the_first_model_is_the_default_unless_one_is_set() {
        assert_eq!(
            names(read(200, LIST, None).1),
            [("a:7b".into(), true), ("b".into(), false)]
        );
        assert_eq!(
            names(read(200, LIST, Some("b")).1),
            [("a:7b".into(), false), ("b".into(), true)]
        );
        assert_eq!(names(read(200, LIST, Some("c")).1)[0], ("c".into(), true));
    }

    #[test]
    fn a_model_that_cannot_chat_is_not_offered() {
        let list = br#"{"data":[{"id":"e","capabilities":["embedding"]},{"id":"c","capabilities":["completion","vision"]},
            {"id":"o","capabilities":{"embedding":true}},{"id":"n","capabilities":[]}]}"#;
        assert_eq!(
            names(read(200, list, None).1),
            [("c".into(), true), ("o".into(), false)]
        );
    }

    #[test]
    fn the_status_tells_which_layer_is_down() {
        let of = |status, body: &[u8]| read(status, body, None).0;
        assert_eq!(
            of(200, LIST),
            State {
                proxy: Reach::Up,
                model: Reach::Up
            }
        );
        assert_eq!(
            of(502, b""),
            State {
                proxy: Reach::Up,
                model: Reach::Down
            }
        );
        assert_eq!(
            of(504, b"{}"),
            State {
                proxy: Reach::Up,
                model: Reach::Down
            }
        );
        for (status, body) in [(401, b"{}".as_slice()), (200, b"<html>"), (404, b"")] {
            assert_eq!(
                of(status, body),
                State {
                    proxy: Reach::Up,
                    model: Reach::Unknown
                }
            );
        }
    }
}
