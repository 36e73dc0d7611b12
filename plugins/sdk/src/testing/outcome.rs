//! What an exchange came to.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;
use sluicegate_contract::Context;

use super::request::UPSTREAM;
use crate::types::{Event, Fault, Field, Stop};

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

/// What came out of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What went to the model server; `None` where it was not asked.
    pub sent: Option<Sent>,
    /// The status that the client got; 0 if it left before there was a response head.
    pub status: u16,
    /// The header fields that the client got.
    pub fields: Vec<Field>,
    /// The events that the client got, where the response was a stream.
    pub events: Vec<Event>,
    /// The body that the client got; of a stream its encoded events.
    pub body: Vec<u8>,
    /// Why the exchange failed. The client gets it as its response or, in mid-stream, as one last event; neither is in `body` or
    /// `events`, unless the stage has rendered it.
    pub fault: Option<Fault>,
    /// The stage was shown `fault` and put something in its place: the end of `events` and `body`.
    pub rendered: bool,
    /// The label of the reply, where a stage gave one in place of the model server's response.
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

/// What a gate decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateOutcome {
    /// The decision.
    pub verdict: Result<(), Stop>,
    /// The request as it goes on.
    pub request: Sent,
    /// Fields that the response gets, whichever it will be.
    pub response_fields: Vec<Field>,
    /// The notes, as JSON text.
    pub notes: BTreeMap<String, String>,
}

fn header(fields: &[Field], name: &str) -> Option<String> {
    let field = fields.iter().find(|field| field.name == name)?;
    Some(String::from_utf8_lossy(&field.value).into_owned())
}
