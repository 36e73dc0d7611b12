//! Scripts what the client sends.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderMap;
use serde::Serialize;
use sluicegate_contract::{Context, Identity};

use super::response::header_map;
use crate::context::native::Asked;
use crate::types::Field;

/// The default upstream of the route.
pub(super) const UPSTREAM: &str = "main";
/// The default model server of an adapter's attempt.
const TARGET: &str = "http://model.test:80";

/// A scripted request.
#[derive(Clone, Debug)]
pub struct Request {
    id: String,
    route: String,
    method: String,
    target: String,
    fields: Vec<Field>,
    body: Vec<u8>,
    upstreams: Vec<String>,
    notes: Vec<(String, String)>,
    info: Option<Vec<u8>>,
    model_server: String,
}

/// Makes the context of an exchange.
pub(super) struct Begun {
    pub(super) context: Context,
    pub(super) body: Bytes,
    pub(super) asked: Asked,
}

impl Request {
    /// A request with a method and a target: a path, or a path with `?` and a query. HEAD is shown as GET, as in the gateway.
    pub fn new(method: &str, target: &str) -> Self {
        let path = target.split('?').next().unwrap_or_default();
        Self {
            id: "req_aaaabbbbccccdddd".into(),
            route: path.into(),
            method: method.into(),
            target: target.into(),
            fields: vec![Field::new("host", "gateway.test")],
            body: Vec::new(),
            upstreams: Vec::new(),
            notes: Vec::new(),
            info: None,
            model_server: TARGET.into(),
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

    /// Replaces the request id, `req_aaaabbbbccccdddd` by default.
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

    /// Adds an upstream for `set_upstream`. The exchange begins with the upstream `main`.
    #[must_use]
    pub fn upstream(mut self, name: &str) -> Self {
        self.upstreams.push(name.into());
        self
    }

    /// Sets a note from JSON text, as an earlier stage would.
    ///
    /// In an adapter's exchange the note `model` is the name that the client asked for; by default it is the body's.
    #[must_use]
    pub fn note(mut self, name: &str, json: &str) -> Self {
        self.notes.push((name.into(), json.into()));
        self
    }

    /// Replaces the address of the model server that an adapter's attempt uses, `http://model.test:80` by default.
    #[must_use]
    pub fn model_server(mut self, address: &str) -> Self {
        self.model_server = address.into();
        self
    }

    /// What the model server reports about itself, for an adapter's `upstream_info`.
    #[must_use]
    pub fn info<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        self.info = Some(serde_json::to_vec(value).expect("a test's value is JSON"));
        self
    }

    /// The exchange that begins with this request.
    pub(super) fn begin(self) -> Begun {
        let method = match self.method.as_str() {
            "HEAD" => "GET",
            method => method,
        };
        let (mut parts, ()) = http::Request::builder()
            .method(method)
            .uri(self.target)
            .body(())
            .expect("a test's method and target are legal")
            .into_parts();
        parts.headers = header_map(&self.fields);
        let identity = Identity {
            id: self.id.into(),
            received_ms: super::host::unix_ms(),
            route: self.route.into(),
            client: Ipv4Addr::new(192, 0, 2, 1).into(),
        };
        let upstreams: Arc<[Arc<str>]> = std::iter::once(UPSTREAM.into())
            .chain(self.upstreams.into_iter().map(Into::into))
            .collect();
        let mut context = Context::new(identity, parts, UPSTREAM.into(), upstreams);
        for (name, json) in self.notes {
            context
                .set_note(&name, json)
                .expect("a test's notes are JSON");
        }
        Begun {
            context,
            body: self.body.into(),
            asked: Asked {
                target: self.model_server,
                info: self.info,
            },
        }
    }
}

/// The value of a field.
pub(super) fn content_type(fields: &HeaderMap) -> Option<&[u8]> {
    fields
        .get(http::header::CONTENT_TYPE)
        .map(http::HeaderValue::as_bytes)
}
