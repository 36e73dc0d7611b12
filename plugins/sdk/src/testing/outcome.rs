//! What an exchange came to.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::action::Verdict;
use crate::context::native;
use crate::types::{Event, Fault, Field};

/// What went to the model server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query, or "".
    pub query: String,
    /// The upstream that a stage chose, if one did.
    pub upstream: Option<String>,
    /// The header fields.
    pub fields: Vec<Field>,
    /// The body.
    pub body: Vec<u8>,
}

impl Sent {
    /// The request as it stands in an exchange.
    pub(super) fn of(exchange: &native::Exchange, body: Vec<u8>) -> Self {
        Self {
            method: exchange.method(),
            path: exchange.path(),
            query: exchange.query(),
            upstream: exchange.upstream.borrow().clone(),
            fields: exchange.request_fields.borrow().clone(),
            body,
        }
    }

    /// The first field of this name (in lower case) as text.
    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.fields, name)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the request body is JSON")
    }
}

/// What came out of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What went to the model server; `None` where it was not asked.
    pub sent: Option<Sent>,
    /// The status that the client got.
    pub status: u16,
    /// The header fields that the client got.
    pub fields: Vec<Field>,
    /// The events that the client got, where the response was a stream.
    pub events: Vec<Event>,
    /// The body that the client got; of a stream its encoded events.
    pub body: Vec<u8>,
    /// Why the exchange failed. If `events` is not empty, it came in mid-stream.
    pub fault: Option<Fault>,
    /// The label of the reply, where a stage gave one in place of the model server's answer.
    pub reason: Option<String>,
    /// The stage ended the body before the model server did.
    pub finished: bool,
    /// The notes, as JSON text.
    pub notes: BTreeMap<String, String>,
}

impl Outcome {
    /// The first field of this name (in lower case) as text.
    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.fields, name)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the response body is JSON")
    }

    /// The data of the events as text.
    pub fn data(&self) -> Vec<String> {
        let text = |event: &Event| String::from_utf8_lossy(&event.data).into_owned();
        self.events.iter().map(text).collect()
    }

    /// A note as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn note(&self, name: &str) -> Option<Value> {
        let json = self.notes.get(name)?;
        Some(serde_json::from_str(json).expect("notes are JSON"))
    }
}

/// What a gate decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateOutcome {
    /// The decision.
    pub verdict: Result<Verdict, Fault>,
    /// The request as it goes on.
    pub request: Sent,
    /// The notes, as JSON text.
    pub notes: BTreeMap<String, String>,
}

fn header(fields: &[Field], name: &str) -> Option<String> {
    let field = fields.iter().find(|field| field.name == name)?;
    Some(String::from_utf8_lossy(&field.value).into_owned())
}
