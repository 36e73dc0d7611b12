//! The exchange as a stage sees it, the same in the sandbox and in a native test.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::types::{Fault, Field};

#[cfg(not(target_family = "wasm"))]
pub(crate) mod native;

#[cfg(not(target_family = "wasm"))]
type Inner = native::Exchange;
#[cfg(target_family = "wasm")]
type Inner = crate::bindings::imports::exchange_context::Context;

/// The exchange, lent for the length of one call.
///
/// Header functions work on the fields of the current direction: in a request phase those of the request, in a response
/// phase those of the response. The hop-by-hop fields, `content-length`, `transfer-encoding` and `expect` belong to the
/// gateway: they are not listed, and setting one fails.
#[derive(Debug)]
pub struct Context<'a> {
    inner: &'a Inner,
    // Ties the context to its call, whatever `Inner` is.
    _call: PhantomData<&'a ()>,
}

impl<'a> Context<'a> {
    // In a native build only the test harness makes a context, in the sandbox only the glue.
    pub(crate) fn new(inner: &'a Inner) -> Self {
        Self {
            inner,
            _call: PhantomData,
        }
    }

    /// The request id, the same in every log, in the answer and in the request to the model server.
    pub fn id(&self) -> String {
        self.inner.id()
    }

    /// When the exchange began: milliseconds since 1970-01-01 UTC.
    pub fn received_ms(&self) -> u64 {
        self.inner.received_ms()
    }

    /// The `path` of the route that matched, as written in the configuration.
    pub fn route(&self) -> String {
        self.inner.route()
    }

    /// The client's address without its port.
    pub fn client(&self) -> String {
        self.inner.client()
    }

    /// The request method, upper-case.
    pub fn method(&self) -> String {
        self.inner.method()
    }

    /// The path that goes to the model server, still percent-encoded, without the query.
    pub fn path(&self) -> String {
        self.inner.path()
    }

    /// The query without its `?`, or "".
    pub fn query(&self) -> String {
        self.inner.query()
    }

    /// Sets the path.
    ///
    /// # Errors
    /// Unless it begins with `/` and is a legal path; outside request phases.
    pub fn set_path(&self, path: &str) -> Result<(), Fault> {
        self.inner.set_path(path)
    }

    /// Sets the query; "" removes it.
    ///
    /// # Errors
    /// If it is not a legal query; outside request phases.
    pub fn set_query(&self, query: &str) -> Result<(), Fault> {
        self.inner.set_query(query)
    }

    /// Sends the exchange to another configured upstream.
    ///
    /// # Errors
    /// For an unknown name; outside request phases.
    pub fn set_upstream(&self, name: &str) -> Result<(), Fault> {
        self.inner.set_upstream(name)
    }

    /// The status of the response; 0 until there is a response head.
    pub fn status(&self) -> u16 {
        self.inner.status()
    }

    /// Sets the status of the response, 200 to 599; without effect once the head has gone to the client.
    ///
    /// # Errors
    /// For another number; outside response phases.
    pub fn set_status(&self, status: u16) -> Result<(), Fault> {
        self.inner.set_status(status)
    }

    /// All header fields, in order. Copies them: where one name will do, [`Context::get`] is cheaper.
    pub fn fields(&self) -> Vec<Field> {
        self.inner.fields()
    }

    /// The value of the first field of this name, in any letter case.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.inner.get(name)
    }

    /// The value of the first field of this name as text; `None` also where it is not UTF-8.
    pub fn get_str(&self, name: &str) -> Option<String> {
        String::from_utf8(self.inner.get(name)?).ok()
    }

    /// Replaces all fields of this name by one.
    ///
    /// # Errors
    /// If name or value is not legal in HTTP, or the field belongs to the gateway.
    pub fn set(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Fault> {
        self.inner.set(name, value.as_ref())
    }

    /// Adds a field and keeps those of the same name.
    ///
    /// # Errors
    /// As [`Context::set`].
    pub fn append(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Fault> {
        self.inner.append(name, value.as_ref())
    }

    /// Removes all fields of this name; none is not an error.
    ///
    /// # Errors
    /// If the field belongs to the gateway.
    pub fn remove(&self, name: &str) -> Result<(), Fault> {
        self.inner.remove(name)
    }

    /// A note as JSON text. Notes are values that the stages of one exchange and its observers share.
    pub fn note_json(&self, name: &str) -> Option<String> {
        self.inner.note(name)
    }

    /// A note as a value; `None` where there is none, or where it is of another type.
    pub fn note<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(&self.inner.note(name)?).ok()
    }

    /// Sets a note from JSON text.
    ///
    /// # Errors
    /// If `json` is not JSON, or past 64 notes or 64 KiB of them.
    pub fn set_note_json(&self, name: &str, json: &str) -> Result<(), Fault> {
        self.inner.set_note(name, json)
    }

    /// Sets a note from a value.
    ///
    /// # Errors
    /// As [`Context::set_note_json`]; also if the value cannot be JSON (a map whose keys are not text).
    pub fn set_note<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), Fault> {
        let json = serde_json::to_string(value).map_err(|error| {
            Fault::upstream(
                "plugin_fault",
                format!("the note `{name}` cannot be JSON: {error}"),
            )
        })?;
        self.inner.set_note(name, &json)
    }
}
