//! The values that a plugin and the gateway exchange, field for field as in `wit/types.wit`.
//!
//! In the sandbox the generated bindings use these types, so passing an event copies nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One header field.
///
/// # Shape
/// `name` is lower-case ASCII; `value` is raw bytes without leading or trailing blanks.
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

    /// All fields of a message, in order.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn all_of(fields: &http::HeaderMap) -> Vec<Self> {
        let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            Self::new(name.as_str(), value.as_bytes())
        };
        fields.iter().map(field).collect()
    }
}

/// One record of a streamed body, without its framing: one SSE event, or one line of NDJSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The SSE `event:` value, or "" if there is none (always "" for NDJSON).
    pub name: String,
    /// The SSE `data:` lines joined by LF, or the NDJSON line without its end. Invalid UTF-8 has been replaced.
    pub data: String,
    /// The SSE `id:` value; `None` if the event has no `id:` line (always for NDJSON).
    pub id: Option<String>,
}

impl Event {
    /// An event with only data.
    pub fn data(data: impl Into<String>) -> Self {
        Self {
            name: String::new(),
            data: data.into(),
            id: None,
        }
    }

    /// An event with a value as its data.
    ///
    /// ```
    /// use sluicegate_plugin::Event;
    /// let event = Event::json(&serde_json::json!({"choices": []})).unwrap();
    /// assert_eq!(event.data, r#"{"choices":[]}"#);
    /// ```
    ///
    /// # Errors
    /// A fault with status 500 if the value cannot be JSON: a map whose keys are not text.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Fault> {
        let data = serde_json::to_string(value);
        let data = data.map_err(|error| Fault::internal(format!("not JSON: {error}")))?;
        Ok(Self::data(data))
    }

    /// The end of a canonical stream, `[DONE]`.
    #[must_use]
    pub fn done() -> Self {
        Self::data("[DONE]")
    }

    /// Whether this is the end of a canonical stream.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.data.trim_ascii() == "[DONE]"
    }

    /// The same event with other data.
    #[must_use]
    pub fn with_data(self, data: impl Into<String>) -> Self {
        Self {
            data: data.into(),
            ..self
        }
    }

    /// The data as a value; `None` if it is not JSON, or of another form.
    ///
    /// ```
    /// use sluicegate_plugin::Event;
    /// assert_eq!(Event::data("[1]").read::<Vec<u32>>(), Some(vec![1]));
    /// assert_eq!(Event::done().read::<Vec<u32>>(), None);
    /// ```
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_str(&self.data).ok()
    }
}

/// A stage's own response, instead of the model server's. The stages before this one (client side) see it like any other
/// response.
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
    /// An empty response with this status; `reason` is a short dotted label for the gateway's logs.
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

    /// Sets the body to JSON text, and `content-type` accordingly.
    #[must_use]
    pub fn json(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.field("content-type", "application/json")
    }
}

/// Why an exchange does not go on to the next stage. A reply and a fault convert into it, so `?` works on a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The stage sends its own response.
    Reply(Reply),
    /// The stage refuses or fails the exchange.
    Fault(Fault),
}

impl From<Reply> for Stop {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Why a stage fails or refuses an exchange.
///
/// The gateway renders it as `{"error":{"message","type","param","code"}}`: as a response or, once a stream has begun, as one
/// last event after which there is no normal end marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The HTTP status, 400 to 599; it also decides the `type` in the body.
    pub status: u16,
    /// A stable word for programs, such as `invalid_api_key`.
    pub code: String,
    /// A sentence for the person behind the client. No internals.
    pub message: String,
    /// The request parameter that caused it, such as `messages[0].role`.
    pub param: Option<String>,
    /// Header fields of the error response, such as `retry-after`; those that belong to the gateway are dropped.
    pub fields: Option<Vec<Field>>,
}

impl Fault {
    /// A fault with this status, code and message.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            param: None,
            fields: None,
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

    /// 403 `forbidden`: this client may not do that.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(403, "forbidden", message)
    }

    /// 429 `rate_limit_exceeded`, with the seconds after which the client may try again.
    pub fn too_many_requests(message: impl Into<String>, retry_after: u64) -> Self {
        Self::new(429, "rate_limit_exceeded", message).field("retry-after", retry_after.to_string())
    }

    /// 500 `internal`: the plugin itself is at fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "internal", message)
    }

    /// Names the request parameter that caused it.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Adds a header field to the error response.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.fields
            .get_or_insert_default()
            .push(Field::new(name, value));
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
    fn builders_fill_every_part_of_a_fault() {
        let fault = Fault::bad_request("no")
            .param("n")
            .code("unsupported_value")
            .status(422)
            .field("retry-after", "1")
            .field("x-hint", "2");
        assert_eq!(fault.to_string(), "422 unsupported_value: no (n)");
        let fields = [Field::new("retry-after", "1"), Field::new("x-hint", "2")];
        assert_eq!(fault.fields.as_deref(), Some(fields.as_slice()));
        assert_eq!(
            Fault::unauthorized("no").to_string(),
            "401 invalid_api_key: no"
        );
        assert_eq!(Fault::not_found("model_not_found", "no").status, 404);
        assert_eq!(Fault::upstream("broken", "no").status, 502);
        assert_eq!(Fault::upstream("broken", "no").fields, None);
        assert_eq!(Fault::forbidden("no").status, 403);
        assert_eq!(Fault::internal("no").status, 500);
        let busy = Fault::too_many_requests("no", 7);
        let fields = [Field::new("retry-after", "7")];
        assert_eq!(
            (busy.status, busy.fields.as_deref()),
            (429, Some(&fields[..]))
        );
    }

    #[test]
    fn an_event_is_made_of_a_value_and_read_as_one() {
        let event = Event::json(&[1]).expect("JSON");
        assert_eq!((event.data.as_str(), event.is_done()), ("[1]", false));
        let named = Event {
            name: "n".into(),
            ..Event::done()
        };
        assert!(named.is_done() && named.with_data("x").name == "n");
        let keys = std::collections::BTreeMap::from([([1], 2)]);
        assert_eq!(Event::json(&keys).expect_err("no JSON").status, 500);
    }

    #[test]
    fn a_stop_is_made_of_either() {
        let fault = || -> Result<(), Stop> { Err(Fault::bad_request("no"))? };
        assert!(matches!(fault(), Err(Stop::Fault(fault)) if fault.status == 400));
        let reply = || -> Result<(), Stop> { Err(Reply::new(204, "test"))? };
        assert!(matches!(reply(), Err(Stop::Reply(reply)) if reply.status == 204));
    }
}
