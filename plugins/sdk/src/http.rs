//! Requests to other servers, such as an identity provider. A capability: `grant = { http = ["https://idp.example"] }`.
//!
//! ```no_run
//! use std::time::Duration;
//! use sluicegate_plugin::http::Request;
//! use sluicegate_plugin::{CapabilityError, Fault, Stop};
//!
//! fn check(token: &str) -> Result<(), Stop> {
//!     let response = Request::post("https://idp.example/introspect")
//!         .header("content-type", "application/x-www-form-urlencoded")
//!         .body(format!("token={token}"))
//!         .timeout(Duration::from_secs(2))
//!         .send()?;
//!     match response.status {
//!         200 => Ok(()),
//!         _ => Err(Fault::unauthorized("The token is not valid.").into()),
//!     }
//! }
//! ```

use std::time::Duration;

use crate::capability::{CapabilityError, millis};
use crate::types::Field;

#[cfg(target_family = "wasm")]
use crate::bindings::granted::http as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::capabilities::http as host;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method, in upper case.
    pub method: String,
    /// An absolute URL.
    pub url: String,
    /// Header fields; the gateway sets `host` and `content-length`.
    pub fields: Vec<Field>,
    /// The body, at most 1 MiB.
    pub body: Vec<u8>,
    /// How long the response may take, in milliseconds; 0: 30 s, which is the most.
    pub timeout_ms: u32,
}

impl Request {
    /// A request without a body.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            fields: Vec::new(),
            body: Vec::new(),
            timeout_ms: 0,
        }
    }

    /// GET
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// POST
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push(Field::new(name, value));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets how long the response may take, at most 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout_ms = u32::try_from(millis(timeout)).unwrap_or(u32::MAX);
        self
    }

    /// Sends the request and waits for the whole response. Any status is a response; redirects are not followed.
    ///
    /// # Errors
    /// [`CapabilityError`]: [`Denied`](CapabilityError::Denied) if the operator does not list the host,
    /// [`Unavailable`](CapabilityError::Unavailable) if there is no response in time, [`OverLimit`](CapabilityError::OverLimit)
    /// for a response of more than 1 MiB, [`Invalid`](CapabilityError::Invalid) for a request that is not legal.
    #[cfg_attr(
        not(target_family = "wasm"),
        expect(clippy::use_self, reason = "in the sandbox it is another type")
    )]
    pub fn send(self) -> Result<Response, CapabilityError> {
        let Self {
            method,
            url,
            fields,
            body,
            timeout_ms,
        } = self;
        let response = host::send(&host::Request {
            method,
            url,
            fields,
            body,
            timeout_ms,
        })?;
        Ok(Response {
            status: response.status,
            fields: response.fields,
            body: response.body,
        })
    }
}

/// A response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Header fields.
    pub fields: Vec<Field>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of the first field of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let field = self.fields.iter().find(|field| field.name == name)?;
        Some(&field.value)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// If it is not, or has another form.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}
