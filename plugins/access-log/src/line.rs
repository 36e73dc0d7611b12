//! The content of a line.
//!
//! A field without a value is left out of the line, for example if no model server was asked, nothing was streamed, or tokens
//! were not counted.

use serde::Deserialize;
use sluicegate_plugin::log::{self, Level, Line};
use sluicegate_plugin::{Summary, json};

/// The message of every line; what varies is in the fields.
const MESSAGE: &str = "exchange";
/// The error code of an exchange whose client left before its end.
const LEFT: &str = "client_closed";

/// A field of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The request id.
    Req,
    /// The route as configured.
    Route,
    /// The request method.
    Method,
    /// The path that the client asked for.
    Path,
    /// The client's address.
    Client,
    /// The tenant.
    Tenant,
    /// The model that the client asked for.
    Model,
    /// The upstream that was asked.
    Upstream,
    /// The model server that was asked. (The name `target` is taken in a log line.)
    UpstreamTarget,
    /// The status that the client got; 0 if it left before.
    Status,
    /// The error code; left out if the client left.
    Error,
    /// Whether the client left before the end; left out if it did not.
    Cancelled,
    /// The number of attempts.
    Attempts,
    /// Whether the client asked for a stream.
    Stream,
    /// The finish reason.
    Finish,
    /// Milliseconds from the request head to the end.
    DurationMs,
    /// Milliseconds from the request head to the first byte of the response body: with a stream, the first token.
    TtftMs,
    /// Milliseconds spent in the stages of the pipeline.
    OverheadMs,
    /// Tokens of the prompt.
    TokensIn,
    /// Tokens of the response.
    TokensOut,
    /// Whether the tokens were counted only up to a break of the stream; left out if not.
    TokensPartial,
    /// Bytes of the request body.
    RequestBytes,
    /// Bytes of the response body.
    ResponseBytes,
    /// Events of the streamed response.
    Events,
    /// How often something was hidden, by rule.
    Redacted,
}

/// The usage that a stage noted, in OpenAI's form.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    partial: bool,
}

impl Field {
    /// All fields, in the order of a line.
    pub const ALL: [Self; 25] = [
        Self::Req,
        Self::Route,
        Self::Method,
        Self::Path,
        Self::Client,
        Self::Tenant,
        Self::Model,
        Self::Upstream,
        Self::UpstreamTarget,
        Self::Status,
        Self::Error,
        Self::Cancelled,
        Self::Attempts,
        Self::Stream,
        Self::Finish,
        Self::DurationMs,
        Self::TtftMs,
        Self::OverheadMs,
        Self::TokensIn,
        Self::TokensOut,
        Self::TokensPartial,
        Self::RequestBytes,
        Self::ResponseBytes,
        Self::Events,
        Self::Redacted,
    ];

    /// The field's name in a line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Req => "req",
            Self::Route => "route",
            Self::Method => "method",
            Self::Path => "path",
            Self::Client => "client",
            Self::Tenant => "tenant",
            Self::Model => "model",
            Self::Upstream => "upstream",
            Self::UpstreamTarget => "upstream_target",
            Self::Status => "status",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::Attempts => "attempts",
            Self::Stream => "stream",
            Self::Finish => "finish",
            Self::DurationMs => "duration_ms",
            Self::TtftMs => "ttft_ms",
            Self::OverheadMs => "overhead_ms",
            Self::TokensIn => "tokens_in",
            Self::TokensOut => "tokens_out",
            Self::TokensPartial => "tokens_partial",
            Self::RequestBytes => "request_bytes",
            Self::ResponseBytes => "response_bytes",
            Self::Events => "events",
            Self::Redacted => "redacted",
        }
    }

    /// The field's value; `None` if the exchange has none.
    fn value<'a>(self, of: &'a Summary, usage: Option<&Usage>) -> Option<Shown<'a>> {
        match self {
            Self::Req => text(&of.id),
            Self::Route => text(&of.route),
            Self::Method => text(&of.method),
            Self::Path => text(&of.path),
            Self::Client => text(&of.client),
            Self::Upstream => text(&of.upstream),
            Self::UpstreamTarget => text(&of.target),
            Self::Error if of.error == LEFT => None,
            Self::Error => text(&of.error),
            Self::Tenant | Self::Model | Self::Stream | Self::Finish | Self::Redacted => {
                of.fact_json(self.name()).map(Shown::Json)
            }
            Self::Status => Some(Shown::Number(of.status.into())),
            Self::Cancelled => (of.error == LEFT).then_some(Shown::Json("true")),
            Self::Attempts => Some(Shown::Number(of.attempts.into())),
            Self::DurationMs => Some(Shown::Microseconds(of.duration_us)),
            Self::TtftMs if of.first_byte_us == 0 => None,
            Self::TtftMs => Some(Shown::Microseconds(of.first_byte_us)),
            Self::OverheadMs => Some(Shown::Microseconds(of.overhead_us)),
            Self::TokensIn => Some(Shown::Number(usage?.prompt_tokens)),
            Self::TokensOut => Some(Shown::Number(usage?.completion_tokens)),
            Self::TokensPartial => usage?.partial.then_some(Shown::Json("true")),
            Self::RequestBytes => Some(Shown::Number(of.request_bytes)),
            Self::ResponseBytes => Some(Shown::Number(of.response_bytes)),
            Self::Events if of.events == 0 => None,
            Self::Events => Some(Shown::Number(of.events)),
        }
    }
}

/// A value before it is written.
enum Shown<'a> {
    Text(&'a str),
    Json(&'a str),
    Number(u64),
    /// Microseconds, shown as milliseconds with a fraction.
    Microseconds(u64),
}

impl Shown<'_> {
    fn write(self, out: &mut String) {
        match self {
            Self::Text(text) => json::push_str(out, text),
            Self::Json(json) => out.push_str(json),
            Self::Number(number) => json::push_u64(out, number),
            Self::Microseconds(number) => {
                json::push_u64(out, number / 1000);
                out.push('.');
                for digit in [number / 100 % 10, number / 10 % 10, number % 10] {
                    json::push_u64(out, digit);
                }
            }
        }
    }
}

fn text(text: &str) -> Option<Shown<'_>> {
    (!text.is_empty()).then_some(Shown::Text(text))
}

/// The line of one exchange. An error that is not the client's is a warning, everything else is information.
pub fn of(summary: &Summary, fields: &[Field]) -> Line {
    let level = if summary.status >= 500 {
        Level::Warn
    } else {
        Level::Info
    };
    let usage: Option<Usage> = summary.fact("usage");
    let mut line = log::line(level, MESSAGE);
    for field in fields {
        if let Some(value) = field.value(summary, usage.as_ref()) {
            line.write_json(field.name(), |out| value.write(out));
        }
    }
    line
}

/// Whether an exchange succeeded.
pub fn is_uneventful(summary: &Summary) -> bool {
    summary.error.is_empty() && summary.status < 400
}
