//! What an observer learns about one exchange, field for field as in `wit/observer.wit`.

use serde::de::DeserializeOwned;

/// What is known about a finished exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The request id.
    pub id: String,
    /// The route's `path` as configured, or "" if none matched.
    pub route: String,
    /// The request method.
    pub method: String,
    /// The path that the client asked for, without the query.
    pub path: String,
    /// The client's address without its port.
    pub client: String,
    /// The status that the client got; 0 if it left before there was a response head.
    pub status: u16,
    /// "" if nothing went wrong; otherwise an error code, such as `client_closed` if the client left, or
    /// `upstream_idle_timeout`.
    pub error: String,
    /// The upstream of the attempt that decided the exchange, or "" if no model server was asked.
    pub upstream: String,
    /// The target of that attempt, or "".
    pub target: String,
    /// The number of attempts.
    pub attempts: u32,
    /// Bytes of the request body.
    pub request_bytes: u64,
    /// Bytes of the response body.
    pub response_bytes: u64,
    /// Events of the model server's streamed response; 0 if no stage looked at them.
    pub events: u64,
    /// Microseconds from the request head to the end.
    pub duration_us: u64,
    /// Microseconds from the request head to the first byte of the response body; 0 if there was none.
    pub first_byte_us: u64,
    /// Microseconds spent in the stages of the pipeline.
    pub overhead_us: u64,
    /// The notes of the exchange as pairs of name and JSON text, sorted by name. Later versions of the gateway may add facts
    /// under `sluicegate.*`.
    pub facts: Vec<(String, String)>,
}

impl Summary {
    /// A fact as JSON text.
    pub fn fact_json(&self, name: &str) -> Option<&str> {
        let (_, json) = self.facts.iter().find(|(key, _)| key == name)?;
        Some(json)
    }

    /// A fact as a value; `None` if there is none, or if it has another type.
    pub fn fact<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.fact_json(name)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_by_name_and_type() {
        let summary = Summary {
            facts: vec![
                ("model".into(), "\"m\"".into()),
                ("stream".into(), "true".into()),
            ],
            ..Summary::default()
        };
        assert_eq!(summary.fact::<String>("model").as_deref(), Some("m"));
        assert_eq!(summary.fact::<bool>("stream"), Some(true));
        assert_eq!(summary.fact::<u32>("stream"), None);
        assert_eq!(summary.fact_json("usage"), None);
    }
}
