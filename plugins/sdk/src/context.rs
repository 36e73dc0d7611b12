//! The exchange as a stage sees it, in the sandbox and in a native test.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::types::{Fault, Field};

#[cfg(not(target_family = "wasm"))]
pub(crate) mod native;
#[cfg(target_family = "wasm")]
mod sandbox;

#[cfg(not(target_family = "wasm"))]
type Exchange<'a> = &'a native::Exchange;
#[cfg(target_family = "wasm")]
type Exchange<'a> = sandbox::Exchange<'a>;

/// The exchange, borrowed for one call.
///
/// A setter that fails returns a fault with status 500 and code `illegal_change`, and changes nothing. The fault is a value:
/// a stage may ignore it, or return it as its own with `?`.
///
/// *Request phases* are `check`, `request_head` and `request_body`; *response phases* are `response_head`, `response_body`,
/// `chunk`, `events` and `end`. `closed` is neither.
#[derive(Debug)]
pub struct Context<'a>(Exchange<'a>);

#[cfg(not(target_family = "wasm"))]
impl<'a> Context<'a> {
    /// Only the test bench creates one.
    pub(crate) fn new(exchange: &'a native::Exchange) -> Self {
        Self(exchange)
    }
}

#[cfg(target_family = "wasm")]
impl Context<'_> {
    /// Only the code behind `export!` creates one.
    pub(crate) fn new() -> Self {
        Self(sandbox::Exchange::default())
    }
}

impl Context<'_> {
    /// The request id, the same in every log, in the response and in the request to the model server.
    pub fn id(&self) -> String {
        self.0.id()
    }

    /// When the exchange began: milliseconds since 1970-01-01 UTC.
    pub fn received_ms(&self) -> u64 {
        self.0.received_ms()
    }

    /// The `path` of the route that matched, as written in the configuration.
    pub fn route(&self) -> String {
        self.0.route()
    }

    /// The client's address without its port.
    pub fn client(&self) -> String {
        self.0.client()
    }

    /// The number of the attempt in an adapter, from 1; 0 in the stages of a route.
    pub fn attempt(&self) -> u32 {
        self.0.attempt()
    }

    /// The request method in upper case. HEAD is shown as GET: the gateway omits the body.
    pub fn method(&self) -> String {
        self.0.method()
    }

    /// Sets the method.
    ///
    /// # Errors
    /// If it is not a legal HTTP method; outside request phases.
    pub fn set_method(&self, method: &str) -> Result<(), Fault> {
        self.0.set_method(method)
    }

    /// The path for the model server, percent-encoded, without the query.
    pub fn path(&self) -> String {
        self.0.path()
    }

    /// The query without its `?`, or "".
    pub fn query(&self) -> String {
        self.0.query()
    }

    /// Sets the path.
    ///
    /// # Errors
    /// If it does not begin with `/`, or is not visible ASCII without `?` and `#`; outside request phases.
    pub fn set_path(&self, path: &str) -> Result<(), Fault> {
        self.0.set_path(path)
    }

    /// Sets the query; "" removes it.
    ///
    /// # Errors
    /// If it is not visible ASCII without `#`; outside request phases.
    pub fn set_query(&self, query: &str) -> Result<(), Fault> {
        self.0.set_query(query)
    }

    /// Sends the exchange to another configured upstream.
    ///
    /// # Errors
    /// For an unknown name; in an adapter; outside request phases.
    pub fn set_upstream(&self, name: &str) -> Result<(), Fault> {
        self.0.set_upstream(name)
    }

    /// The status of the response; 0 until there is one. While an error in mid-stream is shown, the error's status. In
    /// `closed`, the status that the client got, 0 if it got none.
    pub fn status(&self) -> u16 {
        self.0.status()
    }

    /// Sets the status of the response, 200 to 599; without effect once the head has been sent to the client.
    ///
    /// # Errors
    /// For another number; outside response phases.
    pub fn set_status(&self, status: u16) -> Result<(), Fault> {
        self.0.set_status(status)
    }

    /// The header fields of the current direction, in order: in a request phase those of the request, later those of the
    /// response; while an error in mid-stream is shown, those of the error. The hop-by-hop fields, `content-length`,
    /// `transfer-encoding` and `expect` belong to the gateway and are not listed. This copies them: for a single name,
    /// [`Context::get`] is cheaper.
    pub fn fields(&self) -> Vec<Field> {
        self.0.fields()
    }

    /// The value of the first field of this name, in any letter case.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name)
    }

    /// The value of the first field of this name as text; `None` also if it is not UTF-8.
    pub fn get_str(&self, name: &str) -> Option<String> {
        String::from_utf8(self.0.get(name)?).ok()
    }

    /// Replaces all fields of this name by one. Blanks around the value are removed. Without effect once the head has been
    /// sent to the client.
    ///
    /// # Errors
    /// If name or value is not legal in HTTP, or the field belongs to the gateway; in `closed`.
    pub fn set(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Fault> {
        self.0.set(name, value.as_ref())
    }

    /// Adds a field and keeps those of the same name.
    ///
    /// # Errors
    /// As [`Context::set`].
    pub fn append(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Fault> {
        self.0.append(name, value.as_ref())
    }

    /// Removes all fields of this name. It is not an error if there are none.
    ///
    /// # Errors
    /// If the field belongs to the gateway; in `closed`.
    pub fn remove(&self, name: &str) -> Result<(), Fault> {
        self.0.remove(name)
    }

    /// Sets a header field of the response, whether that is the model server's, a stage's own or an error. In request phases
    /// it is kept until there is a response.
    ///
    /// # Errors
    /// As [`Context::set`].
    pub fn set_response_field(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Fault> {
        self.0.set_response_field(name, value.as_ref())
    }

    /// The value of the first request field of this name, in every phase.
    pub fn request_field(&self, name: &str) -> Option<Vec<u8>> {
        self.0.request_field(name)
    }

    /// The value of the first request field of this name as text; `None` also if it is not UTF-8.
    pub fn request_field_str(&self, name: &str) -> Option<String> {
        String::from_utf8(self.0.request_field(name)?).ok()
    }

    /// The JSON text at this JSON Pointer (RFC 6901) in the current request body. Available from `request_body` up to
    /// `response_head` of the same stage; `None` in other phases, and if there is nothing or the body is not JSON.
    pub fn request_json(&self, pointer: &str) -> Option<String> {
        self.0.request_json(pointer)
    }

    /// The size of the current request body in bytes, in the phases of [`Context::request_json`]; 0 in others.
    pub fn request_bytes(&self) -> u64 {
        self.0.request_bytes()
    }

    /// A note as JSON text. Notes are values that the stages of one exchange and its observers share. The gateway sets `model`
    /// and `stream` itself.
    pub fn note_json(&self, name: &str) -> Option<String> {
        self.0.note(name)
    }

    /// A note as a value; `None` if there is none, or if it has another type.
    pub fn note<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(&self.0.note(name)?).ok()
    }

    /// Sets a note from JSON text, in every phase.
    ///
    /// # Errors
    /// If `json` is not JSON; beyond 64 notes or 64 KiB of notes.
    pub fn set_note_json(&self, name: &str, json: &str) -> Result<(), Fault> {
        self.0.set_note(name, json)
    }

    /// Sets a note from a value.
    ///
    /// # Errors
    /// As [`Context::set_note_json`]; and if the value cannot be JSON (a map whose keys are not text).
    pub fn set_note<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), Fault> {
        let json = serde_json::to_string(value).map_err(|error| {
            let message = format!("the note `{name}` cannot be JSON: {error}");
            Fault::new(500, "illegal_change", message)
        })?;
        self.0.set_note(name, &json)
    }

    /// Ends the body: the events that this call of `events` returns are the last ones, and the connection to the model server
    /// is released. `end` is still called and may fail.
    ///
    /// # Errors
    /// Outside `events`.
    pub fn end_body(&self) -> Result<(), Fault> {
        self.0.end_body()
    }

    /// In an adapter, the upstream's name in the configuration; elsewhere "".
    pub fn upstream(&self) -> String {
        self.0.upstream()
    }

    /// In an adapter, the address of the model server of this attempt; elsewhere "".
    pub fn target(&self) -> String {
        self.0.target()
    }

    /// In an adapter, the JSON text at this JSON Pointer in the model server's last response to the path that the manifest
    /// names as [`info`](crate::Manifest::info).
    pub fn upstream_info(&self, pointer: &str) -> Option<String> {
        self.0.upstream_info(pointer)
    }
}
