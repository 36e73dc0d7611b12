//! The exchange as stages see it, and the rules for what they may change.
//!
//! Pure data: the exchange owns it and lends it to one instance at a time. What a guest may do with it is in
//! `host/exchange_context.rs`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{self, HeaderName};
use hyper::{HeaderMap, Method, StatusCode};

/// Notes an exchange can hold. Arbitrary; the shipped plugins use five.
const NOTES: usize = 64;
/// Octets of notes, names included, that an exchange can hold. Arbitrary.
const NOTE_BYTES: usize = 64 * 1024;

/// Fields that belong to one connection, not to the message (RFC 9110, section 7.6.1), and those of the body's framing,
/// which the gateway writes itself.
const OWNED_BY_HOST: [HeaderName; 11] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Whether a field is the gateway's own: stages neither see nor set it.
#[must_use]
pub fn is_owned_by_host(name: &HeaderName) -> bool {
    OWNED_BY_HOST.contains(name)
}

/// Removes the fields of [`is_owned_by_host`] and those that `connection` names.
pub fn strip_hop_by_hop(fields: &mut HeaderMap) {
    let named: Vec<HeaderName> = fields
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OWNED_BY_HOST) {
        fields.remove(name);
    }
}

/// Which half of the exchange is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the model server.
    Request,
    /// From the model server to the client.
    Response,
}

/// Fields of the request that the gateway drops unless a stage set them: they are the client's business with the gateway.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetByStage {
    /// `host` was set: it is sent in place of the model server's own authority.
    pub host: bool,
    /// `authorization` or `x-api-key` was set: it is a key for the model server.
    pub credentials: bool,
}

/// The state of an exchange that its stages share.
#[derive(Debug)]
pub struct Context {
    /// The request id.
    pub id: Arc<str>,
    /// Milliseconds since 1970-01-01 UTC.
    pub received_ms: u64,
    /// The route's `path` as configured.
    pub route: Arc<str>,
    /// The client's address.
    pub client: IpAddr,
    /// The client's method.
    pub method: Method,
    /// The path for the model server; always begins with `/`.
    pub path: String,
    /// The query without `?`.
    pub query: String,
    /// The name of the upstream; always a configured one.
    pub upstream: Arc<str>,
    /// Names that `set-upstream` accepts.
    pub upstreams: Arc<[Arc<str>]>,
    /// Which of the two header maps stages see.
    pub direction: Direction,
    /// The request's fields, without those of the host.
    pub request: HeaderMap,
    /// What stages did to the fields that are otherwise dropped.
    pub set_by_stage: SetByStage,
    /// The response's status, once there is one.
    pub status: Option<StatusCode>,
    /// The response's fields, without those of the host.
    pub response: HeaderMap,
    /// Time spent in the stages so far.
    pub spent: Duration,
    notes: Vec<(String, String)>,
    note_bytes: usize,
}

/// What identifies an exchange: the arguments of [`Context::new`].
#[derive(Debug)]
pub struct Identity {
    /// The request id.
    pub id: Arc<str>,
    /// Milliseconds since 1970-01-01 UTC.
    pub received_ms: u64,
    /// The route's `path` as configured.
    pub route: Arc<str>,
    /// The client's address.
    pub client: IpAddr,
}

impl Context {
    /// A context at the beginning of the request phases.
    #[must_use]
    pub fn new(
        identity: Identity,
        parts: hyper::http::request::Parts,
        upstream: Arc<str>,
        upstreams: Arc<[Arc<str>]>,
    ) -> Self {
        let mut request = parts.headers;
        strip_hop_by_hop(&mut request);
        Self {
            id: identity.id,
            received_ms: identity.received_ms,
            route: identity.route,
            client: identity.client,
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            upstream,
            upstreams,
            direction: Direction::Request,
            request,
            set_by_stage: SetByStage::default(),
            status: None,
            response: HeaderMap::new(),
            spent: Duration::ZERO,
            notes: Vec::new(),
            note_bytes: 0,
        }
    }

    /// The fields of the current direction.
    #[must_use]
    pub fn fields(&self) -> &HeaderMap {
        match self.direction {
            Direction::Request => &self.request,
            Direction::Response => &self.response,
        }
    }

    /// The fields of the current direction, to change.
    pub fn fields_mut(&mut self) -> &mut HeaderMap {
        match self.direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }

    /// A note's JSON text.
    #[must_use]
    pub fn note(&self, name: &str) -> Option<&str> {
        self.notes
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, json)| json.as_str())
    }

    /// Sets a note; `false` if it does not fit, and then nothing has changed. The text must be JSON.
    pub fn set_note(&mut self, name: String, json: String) -> bool {
        let at = self.notes.iter().position(|(have, _)| *have == name);
        let freed = at.map_or(0, |at| self.notes[at].0.len() + self.notes[at].1.len());
        let bytes = self.note_bytes - freed + name.len() + json.len();
        if bytes > NOTE_BYTES || (at.is_none() && self.notes.len() == NOTES) {
            return false;
        }
        self.note_bytes = bytes;
        match at {
            Some(at) => self.notes[at].1 = json,
            None => self.notes.push((name, json)),
        }
        true
    }

    /// All notes, in order of their names.
    #[must_use]
    pub fn take_notes(&mut self) -> Vec<(String, String)> {
        let mut notes = std::mem::take(&mut self.notes);
        notes.sort();
        notes
    }

    /// Whether the client asked for a stream, as far as a stage has said so.
    #[must_use]
    pub fn wants_stream(&self) -> bool {
        self.note("stream") == Some("true")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn context() -> Context {
        let (parts, ()) = hyper::Request::builder()
            .uri("/v1/models?limit=2")
            .header("connection", "close, X-Private")
            .header("x-private", "1")
            .header("x-kept", "1")
            .header("content-length", "3")
            .body(())
            .expect("a request")
            .into_parts();
        let identity = Identity {
            id: "req_1".into(),
            received_ms: 0,
            route: "/v1/models".into(),
            client: IpAddr::from([127, 0, 0, 1]),
        };
        Context::new(identity, parts, "ollama".into(), ["ollama".into()].into())
    }

    #[test]
    fn connection_and_what_it_names_never_reach_a_stage() {
        let context = context();
        let names: Vec<_> = context.request.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-kept"]);
        assert_eq!(
            (context.path.as_str(), context.query.as_str()),
            ("/v1/models", "limit=2")
        );
    }

    #[test]
    fn fields_are_those_of_the_direction() {
        let mut context = context();
        context.direction = Direction::Response;
        context
            .fields_mut()
            .insert("x-answer", HeaderValue::from_static("1"));
        assert!(
            context.response.contains_key("x-answer") && !context.request.contains_key("x-answer")
        );
    }

    #[test]
    fn notes_are_bounded_and_replaceable() {
        let mut context = context();
        for at in 0..NOTES {
            assert!(context.set_note(format!("note-{at}"), "1".into()));
        }
        assert!(!context.set_note("one-more".into(), "1".into()));
        assert!(context.set_note("note-0".into(), "2".into()));
        assert!(!context.set_note("note-0".into(), "x".repeat(NOTE_BYTES)));
        assert_eq!(context.note("note-0"), Some("2"));
        assert_eq!(context.take_notes().len(), NOTES);
    }
}
