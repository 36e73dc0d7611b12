//! What the admin interface responds with.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

/// A body as a whole, or events that go on until the client leaves or the gateway drains.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(super) fn respond(status: StatusCode, value: &Value) -> Response<Body> {
    whole(status, "application/json", value.to_string() + "\n")
}

pub(super) fn whole(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Full::from(text).boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Why a request is not granted.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// What is wrong, and what else there is to say.
    pub(super) value: Value,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        let value = json!({"error": text.into()});
        Self { status, value }
    }

    pub(super) fn respond(&self) -> Response<Body> {
        respond(self.status, &self.value)
    }
}

pub(super) fn error(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    Refusal::new(status, text).respond()
}

pub(super) fn not_allowed(allowed: &[Method]) -> Response<Body> {
    let allowed: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    let allowed = allowed.join(", ");
    let mut response = error(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("this takes {allowed}"),
    );
    if let Ok(allowed) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}
