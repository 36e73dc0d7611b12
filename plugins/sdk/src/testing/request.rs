//! What the client sends.

use std::cell::RefCell;

use serde::Serialize;

use crate::context::native;
use crate::types::Field;

/// A scripted request.
#[derive(Clone, Debug)]
pub struct Request {
    id: String,
    route: String,
    method: String,
    path: String,
    query: String,
    fields: Vec<Field>,
    body: Vec<u8>,
    upstreams: Vec<String>,
    notes: Vec<(String, String)>,
}

impl Request {
    /// A request with a method and a target: a path, or a path with `?` and a query.
    pub fn new(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            id: "req_aaaabbbbccccdddd".into(),
            route: path.into(),
            method: method.into(),
            path: path.into(),
            query: query.into(),
            fields: vec![Field::new("host", "gateway.test")],
            body: Vec::new(),
            upstreams: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// A GET request.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST request.
    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// Replaces the request id, `req_aaaabbbbccccdddd` where this is not called.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.id = id.into();
        self
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.fields
            .push(Field::new(name.to_ascii_lowercase(), value));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to a JSON value, with its content type.
    #[must_use]
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        let body = serde_json::to_vec(value).expect("a test's value is JSON");
        self.header("content-type", "application/json").body(body)
    }

    /// Makes an upstream known, so that `set_upstream` finds it.
    #[must_use]
    pub fn upstream(mut self, name: &str) -> Self {
        self.upstreams.push(name.into());
        self
    }

    /// Sets a note, as an earlier stage would have, from JSON text.
    #[must_use]
    pub fn note(mut self, name: &str, json: &str) -> Self {
        self.notes.push((name.into(), json.into()));
        self
    }

    /// The exchange that begins with this request, and the request's body.
    pub(super) fn begin(self) -> (native::Exchange, Vec<u8>) {
        let exchange = native::Exchange {
            id: self.id,
            received_ms: super::host::unix_ms(),
            route: self.route,
            client: "192.0.2.1".into(),
            method: self.method,
            path: RefCell::new(self.path),
            query: RefCell::new(self.query),
            upstreams: self.upstreams,
            request_fields: RefCell::new(self.fields),
            notes: RefCell::new(self.notes.into_iter().collect()),
            ..native::Exchange::default()
        };
        (exchange, self.body)
    }
}
