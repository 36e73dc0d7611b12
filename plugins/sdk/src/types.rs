//! The values that a plugin and the gateway hand to each other, field for field as in `wit/types.wit`.
//!
//! In the sandbox the generated bindings use these very types, so handing over an event copies nothing.

use std::fmt;

use crate::json;

/// One header field.
///
/// # Shape
/// `name` is lower-case ASCII; `value` is raw octets without leading or trailing blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The field's name.
    pub name: String,
    /// The field's value.
    pub value: Vec<u8>,
}

impl Field {
    /// A field of this name and value.
    pub fn new(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

/// One record of a streamed body, without its framing: one SSE event, or one line of NDJSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The SSE `event:` value, or "" where there is none (always "" for NDJSON).
    pub name: String,
    /// The SSE `data:` lines joined by LF, or the NDJSON line without its end.
    pub data: Vec<u8>,
}

impl Event {
    /// An event without a name.
    pub fn data(data: impl Into<Vec<u8>>) -> Self {
        Self {
            name: String::new(),
            data: data.into(),
        }
    }
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Framing {
    /// `text/event-stream`
    Sse,
    /// `application/x-ndjson`: one JSON document a line
    Ndjson,
    /// Not a stream: one body. As input it arrives as one event; as output it is given whole at the end.
    Document,
}

/// An answer that a stage gives in place of the model server. It goes to the client as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub status: u16,
    /// Header fields; those that belong to the gateway (`content-length`, `connection`, …) are dropped.
    pub fields: Vec<Field>,
    /// The body.
    pub body: Vec<u8>,
    /// A short dotted label for logs, such as `cache.hit`. Never shown to the client.
    pub reason: String,
}

impl Reply {
    /// An empty answer with this status; `reason` is a short dotted label for the gateway's logs.
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            fields: Vec::new(),
            body: Vec::new(),
            reason: reason.into(),
        }
    }

    /// Adds a header field.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push(Field::new(name, value));
        self
    }

    /// Sets the body to JSON text and says so in `content-type`.
    #[must_use]
    pub fn json(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.field("content-type", "application/json")
    }
}

impl From<&Fault> for Reply {
    /// The answer that the gateway makes of a fault before the response has begun. Only needed where the answer is to have
    /// header fields of its own, such as `retry-after`; otherwise return the fault.
    fn from(fault: &Fault) -> Self {
        let kind = match fault.status {
            403 => "permission_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        };
        let mut body = Vec::with_capacity(128 + fault.message.len());
        body.extend_from_slice(b"{\"error\":{\"message\":");
        json::push_str(&mut body, &fault.message);
        body.extend_from_slice(b",\"type\":");
        json::push_str(&mut body, kind);
        body.extend_from_slice(b",\"param\":");
        match &fault.param {
            Some(param) => json::push_str(&mut body, param),
            None => body.extend_from_slice(b"null"),
        }
        body.extend_from_slice(b",\"code\":");
        json::push_str(&mut body, &fault.code);
        body.extend_from_slice(b"}}");
        Self::new(fault.status, fault.code.clone()).json(body)
    }
}

/// Why a stage could not, or would not, do its work.
///
/// The gateway renders it as `{"error":{"message","type","param","code"}}`, or, once a stream has begun, as one error
/// event after which the body ends without its normal end marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The HTTP status, 400 to 599; it also decides the `type` in the body.
    pub status: u16,
    /// A stable word for programs, such as `invalid_api_key`.
    pub code: String,
    /// A sentence for the person behind the client. No internals.
    pub message: String,
    /// The request parameter at fault, such as `messages[0].role`.
    pub param: Option<String>,
}

impl Fault {
    /// A fault with this status, code and message.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            param: None,
        }
    }

    /// 400 `invalid_value`: the client's request cannot be served as it is. Name the parameter with [`Fault::param`].
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_value", message)
    }

    /// 401 `invalid_api_key`: no key, or a wrong one.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(401, "invalid_api_key", message)
    }

    /// 404 with the given code.
    pub fn not_found(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(404, code, message)
    }

    /// 502 with the given code: the model server, not the client, is at fault.
    pub fn upstream(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(502, code, message)
    }

    /// Names the request parameter at fault.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Replaces the code.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = code.into();
        self
    }

    /// Replaces the status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.message)?;
        match &self.param {
            Some(param) => write!(f, " ({param})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_made_from_a_fault_has_the_clients_error_format() {
        let fault = Fault::new(503, "upstream_busy", "Try \"later\".").param("model");
        let reply = Reply::from(&fault).field("retry-after", "1");
        let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({"error": {
                "message": "Try \"later\".", "type": "server_error", "param": "model", "code": "upstream_busy"
            }})
        );
        assert_eq!(reply.status, 503);
        assert_eq!(reply.fields.len(), 2);
        let kind = |status| {
            let reply = Reply::from(&Fault::new(status, "c", "m"));
            let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
            assert_eq!(body["error"]["param"], serde_json::Value::Null);
            body["error"]["type"].clone()
        };
        assert_eq!(kind(404), "invalid_request_error");
        assert_eq!(kind(403), "permission_error");
        assert_eq!(kind(429), "rate_limit_error");
        assert_eq!(kind(502), "server_error");
    }

    #[test]
    fn builders_fill_every_part_of_a_fault() {
        let fault = Fault::bad_request("no")
            .param("n")
            .code("unsupported_value")
            .status(422);
        assert_eq!(fault.to_string(), "422 unsupported_value: no (n)");
        assert_eq!(
            Fault::unauthorized("no").to_string(),
            "401 invalid_api_key: no"
        );
        assert_eq!(Fault::not_found("model_not_found", "no").status, 404);
        assert_eq!(Fault::upstream("broken", "no").status, 502);
    }
}
