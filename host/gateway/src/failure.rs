//! What went wrong in an exchange, as the client, the log and the metrics see it.
//!
//! A [`Kind`] decides status, error code and metric label; the message is for the client's user and contains no internals; the
//! cause is for the log only. Nothing here knows what led to the failure.

use std::borrow::Cow;
use std::error::Error as StdError;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use sluicegate_contract::error_body;

/// The closed list of reasons why an exchange ends with an error.
///
/// # Source
/// The table of bad input in the README ("Errors"); each kind is one error code there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request breaks a rule of the gateway itself.
    InvalidRequest,
    /// The request comes from a web page that may not use the gateway, or names a host that is not the gateway's.
    Foreign,
    /// No route has this path.
    NotFound,
    /// A route has this path, but not for this method.
    MethodNotAllowed,
    /// The client took too long to send its body.
    RequestTimeout,
    /// The request body is larger than the limit.
    BodyTooLarge,
    /// The request body has a content coding.
    UnsupportedCoding,
    /// The request head is larger than the limit.
    HeadTooLarge,
    /// Too many exchanges, or no free sandbox.
    Overloaded,
    /// The gateway is stopping, and has waited long enough for the exchange to end.
    ShuttingDown,
    /// A plugin of the exchange was replaced, and the version that it began with is not kept any longer.
    VersionDrained,
    /// The model server cannot be connected to.
    UpstreamUnreachable,
    /// Connecting to the model server took too long.
    UpstreamConnectTimeout,
    /// The model server took too long to begin its response.
    UpstreamFirstByteTimeout,
    /// The model server is up but does nothing, and unloading the model did not help or is not possible.
    UpstreamStalled,
    /// All model servers have as much to do as they may, and too many requests wait for them, or this one did for too long.
    UpstreamBusy,
    /// The model server stopped sending in the middle of its response.
    UpstreamIdleTimeout,
    /// The whole exchange took too long.
    UpstreamTotalTimeout,
    /// The model server broke off its response.
    UpstreamBroken,
    /// The model server's response is invalid.
    UpstreamInvalid,
    /// A stage trapped, overran a budget or broke the contract.
    PluginFault,
    /// A stage refused the exchange; status and code are the stage's.
    Refused,
    /// A bug in the gateway.
    Internal,
}

impl Kind {
    /// Status and error code, in this order.
    ///
    /// # Shape
    /// The code is also the metric label. For [`Kind::Refused`] they are defaults: the stage's own apply.
    #[must_use]
    pub const fn status_and_code(self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::Foreign => (StatusCode::FORBIDDEN, "forbidden_host_or_origin"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::UnsupportedCoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_coding"),
            Self::HeadTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head_too_large",
            ),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
            Self::VersionDrained => (StatusCode::SERVICE_UNAVAILABLE, "version_drained"),
            Self::UpstreamUnreachable => (StatusCode::BAD_GATEWAY, "upstream_unreachable"),
            Self::UpstreamConnectTimeout => {
                (StatusCode::GATEWAY_TIMEOUT, "upstream_connect_timeout")
            }
            Self::UpstreamFirstByteTimeout => {
                (StatusCode::GATEWAY_TIMEOUT, "upstream_first_byte_timeout")
            }
            Self::UpstreamStalled => (StatusCode::GATEWAY_TIMEOUT, "upstream_stalled"),
            Self::UpstreamBusy => (StatusCode::SERVICE_UNAVAILABLE, "upstream_busy"),
            Self::UpstreamIdleTimeout => (StatusCode::GATEWAY_TIMEOUT, "upstream_idle_timeout"),
            Self::UpstreamTotalTimeout => (StatusCode::GATEWAY_TIMEOUT, "upstream_total_timeout"),
            Self::UpstreamBroken => (StatusCode::BAD_GATEWAY, "upstream_broken"),
            Self::UpstreamInvalid => (StatusCode::BAD_GATEWAY, "upstream_invalid"),
            Self::PluginFault => (StatusCode::BAD_GATEWAY, "plugin_fault"),
            Self::Refused => (StatusCode::FORBIDDEN, "refused"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// The metric label: a member of a closed set.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.status_and_code().1
    }

    /// Whether the official clients should be told not to repeat the request.
    ///
    /// # Source
    /// The clients retry 408, 409, 429 and every 5xx twice unless `x-should-retry` says otherwise (openai-python
    /// `_base_client.py`, `_should_retry`). A stage that traps on a request will trap on it again.
    const fn is_useless_to_repeat(self) -> bool {
        matches!(
            self,
            Self::PluginFault
                | Self::UpstreamInvalid
                | Self::UpstreamFirstByteTimeout
                | Self::UpstreamStalled
        )
    }
}

/// Why an exchange ended with an error.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    status: StatusCode,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    param: Option<String>,
    /// Header fields that belong to the error, such as `allow` or `retry-after`.
    fields: Option<Box<HeaderMap>>,
    /// Whether clients are told not to repeat the request.
    not_to_repeat: bool,
    /// Whether it was reported to the log and to the record of the exchange.
    reported: bool,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    /// A failure of this kind with a message for the client.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        let (status, code) = kind.status_and_code();
        Self {
            kind,
            status,
            code: Cow::Borrowed(code),
            message: message.into(),
            param: None,
            fields: None,
            not_to_repeat: kind.is_useless_to_repeat(),
            reported: false,
            cause: None,
        }
    }

    /// A stage's refusal, with the stage's own status and code.
    #[must_use]
    pub fn refused(
        status: StatusCode,
        code: String,
        message: String,
        param: Option<String>,
    ) -> Self {
        Self {
            status,
            code: Cow::Owned(code),
            param,
            ..Self::new(Kind::Refused, message)
        }
    }

    /// Adds what the log should show and the client must not see.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds a header field to the error's response.
    #[must_use]
    pub fn with_field(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.fields.get_or_insert_default().insert(name, value);
        }
        self
    }

    /// Adds header fields to the error's response.
    #[must_use]
    pub fn with_fields(mut self, fields: HeaderMap) -> Self {
        if !fields.is_empty() {
            self.fields.get_or_insert_default().extend(fields);
        }
        self
    }

    /// Tells clients not to repeat the request.
    #[must_use]
    pub fn not_to_repeat(mut self) -> Self {
        self.not_to_repeat = true;
        self
    }

    /// Marks it as reported; true if it was not yet.
    pub fn mark_reported(&mut self) -> bool {
        !std::mem::replace(&mut self.reported, true)
    }

    /// The kind, for metrics and for decisions.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The status that the client gets, if no head has been sent.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The error code: one of the closed list, or what a stage chose.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The message for the client.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The chain of causes in one line, for the log; "" if there is none.
    #[must_use]
    pub fn cause(&self) -> String {
        let mut text = String::new();
        let mut next = self.cause.as_deref().map(|cause| cause as &dyn StdError);
        while let Some(cause) = next {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }

    /// The value of one of the error's header fields.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&HeaderValue> {
        self.fields.as_ref()?.get(name)
    }

    /// The header fields of the error's response, without the body's length.
    #[must_use]
    pub fn head(&self) -> HeaderMap {
        let mut fields = self.fields.as_deref().cloned().unwrap_or_default();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.not_to_repeat {
            let name = HeaderName::from_static("x-should-retry");
            fields.insert(name, HeaderValue::from_static("false"));
        }
        fields
    }

    /// The error as a JSON document; see [`error_body`].
    #[must_use]
    pub fn body(&self) -> Bytes {
        let status = self.status.as_u16();
        error_body(status, &self.code, &self.message, self.param.as_deref()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_has_all_four_members_and_no_cause() {
        let failure = Failure::new(Kind::NotFound, "no such path").caused_by("secret detail");
        let body: serde_json::Value = serde_json::from_slice(&failure.body()).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({"error": {
                "message": "no such path", "type": "invalid_request_error", "param": null, "code": "not_found"
            }})
        );
        assert_eq!(failure.cause(), "secret detail");
    }

    #[test]
    fn refusal_keeps_the_stage_s_own_status_and_code() {
        let failure = Failure::refused(
            StatusCode::UNAUTHORIZED,
            "invalid_api_key".into(),
            "wrong key".into(),
            Some("authorization".into()),
        );
        assert_eq!(failure.status(), 401);
        assert_eq!(failure.code(), "invalid_api_key");
        assert_eq!(failure.kind().label(), "refused");
    }

    #[test]
    fn a_plugin_fault_tells_clients_not_to_repeat() {
        let failure = Failure::new(Kind::PluginFault, "stage");
        assert_eq!(failure.head()["x-should-retry"], "false");
        let other = Failure::new(Kind::UpstreamBroken, "broke");
        assert!(!other.head().contains_key("x-should-retry"));
        assert_eq!(other.not_to_repeat().head()["x-should-retry"], "false");
    }
}
