//! The outcome of an exchange.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;
use sluicegate_contract::Context;

use super::request::UPSTREAM;
use crate::types::{Event, Fault, Field, Stop};

/// The request to the model server.
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
    /// The current request of an exchange.
    pub(super) fn of(context: &Context, body: &Bytes) -> Self {
        Self {
            method: context.method.to_string(),
            path: context.path.clone(),
            query: context.query.clone(),
            upstream: (&*context.upstream != UPSTREAM).then(|| context.upstream.to_string()),
            fields: Field::all_of(&context.request),
            body: body.to_vec(),
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

/// The outcome of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The request to the model server; `None` if none was sent.
    pub sent: Option<Sent>,
    /// The status that the client got; 0 if it left before there was a response head.
    pub status: u16,
    /// The header fields that the client got.
    pub fields: Vec<Field>,
    /// The events that the client got, if the response was a stream.
    pub events: Vec<Event>,
    /// The body that the client got; for a stream, its encoded events.
    pub body: Vec<u8>,
    /// Why the exchange failed. The client gets it as its response or, in mid-stream, as one last event; neither is in `body`
    /// or `events`, unless the stage rendered it.
    pub fault: Option<Fault>,
    /// Whether the stage was shown `fault` and replaced it: the end of `events` and `body`.
    pub rendered: bool,
    /// The label of the reply, if the stage sent one instead of the model server's response.
    pub reason: Option<String>,
    /// Whether the stage ended the body before the model server did.
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

    /// The data of the events.
    pub fn data(&self) -> Vec<String> {
        self.events.iter().map(|event| event.data.clone()).collect()
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

/// The decision of a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateOutcome {
    /// The decision.
    pub verdict: Result<(), Stop>,
    /// The request after the gate.
    pub request: Sent,
    /// Fields that any response gets.
    pub response_fields: Vec<Field>,
    /// The notes, as JSON text.
    pub notes: BTreeMap<String, String>,
}

fn header(fields: &[Field], name: &str) -> Option<String> {
    let field = fields.iter().find(|field| field.name == name)?;
    Some(String::from_utf8_lossy(&field.value).into_owned())
}
