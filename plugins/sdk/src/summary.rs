//! What an observer learns about one exchange, field for field as in `wit/observer.wit`.

use serde::de::DeserializeOwned;

/// What is known of one exchange when it is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The request id.
    pub id: String,
    /// The route's `path` as configured, or "" where none matched.
    pub route: String,
    /// The request method.
    pub method: String,
    /// The path that the client asked for, without the query.
    pub path: String,
    /// The client's address without its port.
    pub client: String,
    /// What the client got; 0 if it left before there was a response head.
    pub status: u16,
    /// "" where nothing went wrong; else an error code, such as `upstream_idle_timeout`.
    pub error: String,
    /// The client left before the end.
    pub cancelled: bool,
    /// The model server that was asked, or "".
    pub target: String,
    /// How often a model server was asked.
    pub attempts: u32,
    /// Octets of the request body.
    pub request_bytes: u64,
    /// Octets of the response body.
    pub response_bytes: u64,
    /// Records of the streamed response that came from the model server; 0 where it did not stream.
    pub events: u64,
    /// Microseconds from the request head to the end.
    pub duration_us: u64,
    /// Microseconds from the request head to the first octet of the response body; 0 if there was none.
    pub first_byte_us: u64,
    /// Microseconds spent in the stages of the pipeline.
    pub overhead_us: u64,
    /// The notes of the exchange as pairs of name and JSON text, in order of their names.
    pub notes: Vec<(String, String)>,
}

impl Summary {
    /// A note as JSON text.
    pub fn note_json(&self, name: &str) -> Option<&str> {
        let (_, json) = self.notes.iter().find(|(key, _)| key == name)?;
        Some(json)
    }

    /// A note as a value; `None` where there is none, or where it is of another type.
    pub fn note<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.note_json(name)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_by_name_and_type() {
        let summary = Summary {
            notes: vec![
                ("model".into(), "\"m\"".into()),
                ("stream".into(), "true".into()),
            ],
            ..Summary::default()
        };
        assert_eq!(summary.note::<String>("model").as_deref(), Some("m"));
        assert_eq!(summary.note::<bool>("stream"), Some(true));
        assert_eq!(summary.note::<u32>("stream"), None);
        assert_eq!(summary.note_json("usage"), None);
    }
}
