//! The exchange as its stages see it, and the rules for what they may change in it, and when.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use serde::de::IgnoredAny;

pub use self::set_by_stage::SetByStage;

use crate::fields::strip_hop_by_hop;
use crate::illegal_change::IllegalChange;
use crate::notes::{self, Notes};
use crate::phase::Phase;
use crate::{canonical, fields, json};

mod set_by_stage;

/// Status and fields of a response.
pub type Head = (Option<StatusCode>, HeaderMap);

/// What identifies an exchange.
#[derive(Clone, Debug)]
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

/// The state of an exchange that its stages share; in an adapter, a copy of it for one attempt.
///
/// The public fields are for the gateway. The methods are what a stage may do.
#[derive(Clone, Debug)]
pub struct Context {
    /// Request id, time, route and client.
    pub identity: Identity,
    /// 0 in the stages of a route, else the number of the attempt.
    pub attempt: u32,
    /// The phase of the current call.
    pub phase: Phase,
    /// The request's method.
    pub method: Method,
    /// The path for the model server; always begins with `/`.
    pub path: String,
    /// The query without `?`.
    pub query: String,
    /// The name of the upstream; always a configured one.
    pub upstream: Arc<str>,
    /// Names that `set-upstream` accepts.
    pub upstreams: Arc<[Arc<str>]>,
    /// The request's fields, without those of the gateway.
    pub request: HeaderMap,
    /// Which of the guarded fields a stage has set; the others are dropped.
    pub set_by_stage: SetByStage,
    /// The request body as it stands, while it can be asked about.
    pub body: Option<Bytes>,
    /// The response's status, once there is one.
    pub status: Option<StatusCode>,
    /// The response's fields, without those of the gateway.
    pub response: HeaderMap,
    /// Fields that every response gets, whatever leads to it.
    pub response_fields: HeaderMap,
    /// Whether a response head has gone to the client: what is set now has no effect.
    pub head_sent: bool,
    /// The head of a response that was replaced by a failure in the middle of its body.
    pub replaced: Option<Head>,
    /// The notes.
    pub notes: Notes,
    /// Time spent in the stages so far.
    pub spent: Duration,
    ends_body: bool,
}

impl Context {
    /// A context at the beginning of the request phases.
    #[must_use]
    pub fn new(
        identity: Identity,
        parts: Parts,
        upstream: Arc<str>,
        upstreams: Arc<[Arc<str>]>,
    ) -> Self {
        let mut request = parts.headers;
        strip_hop_by_hop(&mut request);
        Self {
            identity,
            attempt: 0,
            phase: Phase::Gate,
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            upstream,
            upstreams,
            request,
            set_by_stage: SetByStage::default(),
            body: None,
            status: None,
            response: HeaderMap::new(),
            response_fields: HeaderMap::new(),
            head_sent: false,
            replaced: None,
            notes: Notes::default(),
            spent: Duration::ZERO,
            ends_body: false,
        }
    }

    /// A copy for one attempt, before its adapter's first phase. The response begins empty. Credentials that stages set are for
    /// the `chosen` upstream only, not for a fallback.
    #[must_use]
    pub fn attempt(&self, number: u32, upstream: Arc<str>, chosen: bool) -> Self {
        let (mut request, mut set_by_stage) = (self.request.clone(), self.set_by_stage);
        if !chosen {
            for name in &fields::GUARDED {
                request.remove(name);
            }
            set_by_stage = SetByStage::default();
        }
        Self {
            identity: self.identity.clone(),
            attempt: number,
            phase: Phase::RequestHead,
            method: self.method.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            upstream,
            upstreams: self.upstreams.clone(),
            request,
            set_by_stage,
            body: self.body.clone(),
            status: None,
            response: HeaderMap::new(),
            response_fields: HeaderMap::new(),
            head_sent: false,
            replaced: None,
            notes: self.notes.clone(),
            spent: Duration::ZERO,
            ends_body: false,
        }
    }

    /// Sets the method. Only in request phases.
    ///
    /// # Errors
    /// In another phase, or if it is not a method.
    pub fn set_method(&mut self, method: &str) -> Result<(), IllegalChange> {
        self.only_in_request("the method")?;
        let lower = method.bytes().any(|byte| byte.is_ascii_lowercase());
        self.method = method
            .parse()
            .ok()
            .filter(|_| !lower && !matches!(method, "CONNECT" | "HEAD" | "TRACE"))
            .ok_or_else(|| IllegalChange::new(format!("`{method}` is not a method to ask with")))?;
        Ok(())
    }

    /// Sets the path. Only in request phases.
    ///
    /// # Errors
    /// In another phase, or if it is not a path.
    pub fn set_path(&mut self, path: String) -> Result<(), IllegalChange> {
        self.only_in_request("the path")?;
        let legal = path.starts_with('/')
            && is_visible(&path)
            && !path.contains('?')
            && PathAndQuery::try_from(path.as_str()).is_ok();
        if !legal {
            return Err(IllegalChange::new(format!("`{path}` is not a path")));
        }
        self.path = path;
        Ok(())
    }

    /// Sets the query; "" removes it. Only in request phases.
    ///
    /// # Errors
    /// In another phase, or if it is not a query.
    pub fn set_query(&mut self, query: String) -> Result<(), IllegalChange> {
        self.only_in_request("the query")?;
        if !is_visible(&query) || PathAndQuery::try_from(format!("/?{query}")).is_err() {
            return Err(IllegalChange::new(format!("`{query}` is not a query")));
        }
        self.query = query;
        Ok(())
    }

    /// Chooses another upstream. Only in request phases of a route's stages.
    ///
    /// # Errors
    /// In another phase, in an adapter, or for an unknown name.
    pub fn set_upstream(&mut self, name: &str) -> Result<(), IllegalChange> {
        self.only_in_request("the upstream")?;
        if self.attempt > 0 {
            return Err(IllegalChange::new(
                "an adapter cannot choose the upstream".into(),
            ));
        }
        let Some(upstream) = self.upstreams.iter().find(|have| ***have == *name) else {
            return Err(IllegalChange::new(format!("there is no upstream `{name}`")));
        };
        self.upstream = upstream.clone();
        Ok(())
    }

    /// The status of the response; 0 until there is one.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status.map_or(0, |status| status.as_u16())
    }

    /// Sets the status, 200 to 599. Only in response phases; without effect once the head has gone to the client.
    ///
    /// # Errors
    /// In another phase, or for another number.
    pub fn set_status(&mut self, status: u16) -> Result<(), IllegalChange> {
        if !self.phase.is_response() {
            return Err(IllegalChange::new(
                "the status can only be set in a response phase".into(),
            ));
        }
        let legal = (200..=599).contains(&status);
        let code = StatusCode::from_u16(status)
            .ok()
            .filter(|_| legal)
            .ok_or_else(|| {
                IllegalChange::new(format!("{status} is not a status from 200 to 599"))
            })?;
        if !self.head_sent {
            self.status = Some(code);
        }
        Ok(())
    }

    /// A failure in the middle of the body replaces the response: stages see its status and, while the client has no head, can
    /// set its status and fields.
    pub fn fail(&mut self, (status, fields): Head) {
        let status = std::mem::replace(&mut self.status, status);
        let fields = std::mem::replace(&mut self.response, fields);
        self.replaced.get_or_insert((status, fields));
    }

    /// Data of the body comes before the failure: the head is that of the response again. Returns the failure's head.
    pub fn restore(&mut self) -> Option<Head> {
        let (status, fields) = self.replaced.take()?;
        let status = std::mem::replace(&mut self.status, status);
        Some((status, std::mem::replace(&mut self.response, fields)))
    }

    /// The fields of the current direction: the request's in request phases, otherwise the response's.
    #[must_use]
    pub fn fields(&self) -> &HeaderMap {
        if self.phase.is_request() {
            &self.request
        } else {
            &self.response
        }
    }

    /// Replaces all fields of this name by one.
    ///
    /// # Errors
    /// In `closing`, if name or value is not legal, or if there is no room for it.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), IllegalChange> {
        self.only_before_closing()?;
        let name = fields::name(name)?;
        let value = fields::value(&name, value)?;
        let Some(fields) = self.changing() else {
            return Ok(());
        };
        // The old values are removed first, to make room.
        let old = fields.remove(&name);
        if !fields::has_room(fields, &name, &value) {
            if let Some(old) = old {
                fields.insert(name, old);
            }
            return Err(no_room());
        }
        fields.insert(name.clone(), value);
        self.note_set(&name, true);
        Ok(())
    }

    /// Adds a field and keeps those of the same name, except for what the client sent in a guarded field.
    ///
    /// # Errors
    /// As [`Context::set`].
    pub fn append(&mut self, name: &str, value: &[u8]) -> Result<(), IllegalChange> {
        self.only_before_closing()?;
        let name = fields::name(name)?;
        let value = fields::value(&name, value)?;
        let replaces = self.phase.is_request()
            && fields::GUARDED.contains(&name)
            && !self.set_by_stage.has(&name);
        let Some(fields) = self.changing() else {
            return Ok(());
        };
        if !fields::has_room(fields, &name, &value) {
            return Err(no_room());
        }
        if replaces {
            fields.insert(name.clone(), value);
        } else {
            fields.append(name.clone(), value);
        }
        self.note_set(&name, true);
        Ok(())
    }

    /// Removes all fields of this name; none is not an error.
    ///
    /// # Errors
    /// In `closing`, or if the name is not legal.
    pub fn remove(&mut self, name: &str) -> Result<(), IllegalChange> {
        self.only_before_closing()?;
        let name = fields::name(name)?;
        if let Some(fields) = self.changing() {
            fields.remove(&name);
            self.note_set(&name, false);
        }
        Ok(())
    }

    /// The fields that a change applies to; `None` if it has no effect because the head has gone out.
    fn changing(&mut self) -> Option<&mut HeaderMap> {
        if self.phase.is_request() {
            Some(&mut self.request)
        } else if self.head_sent {
            None
        } else {
            Some(&mut self.response)
        }
    }

    fn note_set(&mut self, name: &HeaderName, set: bool) {
        if self.phase.is_request() {
            self.set_by_stage.note(name, set);
        }
    }

    fn only_before_closing(&self) -> Result<(), IllegalChange> {
        if self.phase == Phase::Closing {
            return Err(IllegalChange::new(
                "in `closing` only notes can be set".into(),
            ));
        }
        Ok(())
    }

    /// Sets a field that every response gets. Only in request and response phases.
    ///
    /// # Errors
    /// In `closing`, or if name or value is not legal.
    pub fn set_response_field(&mut self, name: &str, value: &[u8]) -> Result<(), IllegalChange> {
        self.only_before_closing()?;
        let name = fields::name(name)?;
        let value = fields::value(&name, value)?;
        if !fields::has_room(&self.response_fields, &name, &value) {
            return Err(no_room());
        }
        self.response_fields.insert(name, value);
        Ok(())
    }

    /// The first request field of this name, in every phase.
    #[must_use]
    pub fn request_field(&self, name: &str) -> Option<&HeaderValue> {
        self.request.get(name)
    }

    /// The JSON text at a JSON Pointer in the request body, in the phases that may ask.
    #[must_use]
    pub fn request_json(&self, pointer: &str) -> Option<&str> {
        json::at(self.known_body()?, pointer)
    }

    /// Bytes of the request body, in the phases that may ask.
    #[must_use]
    pub fn request_bytes(&self) -> u64 {
        self.known_body().map_or(0, |body| body.len() as u64)
    }

    fn known_body(&self) -> Option<&Bytes> {
        self.body.as_ref().filter(|_| self.phase.knows_body())
    }

    /// A note's JSON text.
    #[must_use]
    pub fn note(&self, name: &str) -> Option<&str> {
        self.notes.get(name)
    }

    /// Sets a note.
    ///
    /// # Errors
    /// If the text is not JSON, or exceeds the limits of notes.
    pub fn set_note(&mut self, name: &str, json: String) -> Result<(), IllegalChange> {
        let no_room = || {
            let message = "the notes of one exchange are limited to 64 and to 64 KiB";
            IllegalChange::new(message.into())
        };
        // Before it is read.
        if name.len() + json.len() > notes::BYTES {
            return Err(no_room());
        }
        if serde_json::from_str::<IgnoredAny>(&json).is_err() {
            return Err(IllegalChange::new(format!("the note `{name}` is not JSON")));
        }
        if self.notes.set(name, json) {
            Ok(())
        } else {
            Err(no_room())
        }
    }

    /// Ends the body after this call. Only in `events.batch`.
    ///
    /// # Errors
    /// In another phase.
    pub fn end_body(&mut self) -> Result<(), IllegalChange> {
        if self.phase != Phase::Events {
            return Err(IllegalChange::new(
                "the body can only be ended in `events.batch`".into(),
            ));
        }
        self.ends_body = true;
        Ok(())
    }

    /// Whether the call that has just returned ended the body; resets that.
    pub fn take_end_body(&mut self) -> bool {
        std::mem::take(&mut self.ends_body)
    }

    /// Sets the notes `model` and `stream` from the body of a complete canonical request.
    ///
    /// # Errors
    /// [`canonical::Duplicate`], for a 400.
    pub fn freeze(&mut self) -> Result<(), canonical::Duplicate> {
        if !canonical::is_canonical(&self.method, &self.path) {
            return Ok(());
        }
        let Some(body) = &self.body else {
            return Ok(());
        };
        let Some(top) = canonical::top(body)? else {
            return Ok(());
        };
        // They are JSON by construction. A model's name that is too long for a note is left out.
        if let Some(model) = top.model {
            self.notes.set("model", model);
        }
        let stream = if top.stream { "true" } else { "false" };
        self.notes.set("stream", stream.to_owned());
        Ok(())
    }

    /// Whether the client asked for a stream of chunks.
    #[must_use]
    pub fn wants_stream(&self) -> bool {
        self.note("stream") == Some("true") && canonical::can_stream(&self.method, &self.path)
    }

    fn only_in_request(&self, what: &str) -> Result<(), IllegalChange> {
        if self.phase.is_request() {
            return Ok(());
        }
        Err(IllegalChange::new(format!(
            "{what} can only be set in a request phase"
        )))
    }
}

fn is_visible(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

fn no_room() -> IllegalChange {
    IllegalChange::new("the header fields of one head are limited to 512 and to 256 KiB".into())
}

#[cfg(test)]
mod tests;
