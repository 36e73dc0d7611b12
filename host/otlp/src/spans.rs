//! The spans of an exchange: one for the server, one for each request to a model server.
//!
//! # Source
//! OpenTelemetry's semantic conventions 1.37: HTTP server spans, and spans of GenAI clients.

use std::borrow::Cow;
use std::time::Duration;

use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::exchange::{Attempt, Exchange, operation};

/// All spans of an exchange.
pub(super) fn of(exchange: &Exchange) -> Vec<SpanData> {
    let last = exchange.attempts.len() as u64;
    let attempts = exchange.attempts.iter().zip(1..);
    let attempts = attempts.map(|(it, nth)| attempt(exchange, it, nth, nth == last));
    std::iter::once(server(exchange)).chain(attempts).collect()
}

fn server(exchange: &Exchange) -> SpanData {
    let context = &exchange.context;
    let mut attributes = vec![
        text("http.request.method", exchange.method.clone()),
        text("url.path", exchange.path.clone()),
        text("client.address", exchange.client.to_string()),
        number("http.request.body.size", exchange.bytes[0]),
        number("http.response.body.size", exchange.bytes[1]),
        text("sluicegate.request.id", exchange.id.to_string()),
        number("sluicegate.attempts", exchange.attempts.len() as u64),
    ];
    if !exchange.route.is_empty() {
        attributes.push(text("http.route", exchange.route.to_string()));
    }
    if exchange.status != 0 {
        attributes.push(number("http.response.status_code", exchange.status.into()));
    }
    if let Some(first_byte) = exchange.first_byte {
        let seconds = KeyValue::new("sluicegate.time_to_first_byte", first_byte.as_secs_f64());
        attributes.push(seconds);
    }
    if !exchange.error.is_empty() {
        attributes.push(text("error.type", exchange.error.clone()));
    }
    // A client's own mistake is no error of the server.
    let is_error = exchange.status >= 500
        || (!exchange.error.is_empty() && !(400..500).contains(&exchange.status));
    let name = match &*exchange.route {
        "" => exchange.method.clone(),
        route => format!("{} {route}", exchange.method),
    };
    SpanData {
        parent_span_id: context.parent,
        parent_span_is_remote: context.parent != SpanId::INVALID,
        status: status(is_error, &exchange.error),
        ..span(exchange, context.span, SpanKind::Server, name, attributes)
    }
}

fn attempt(exchange: &Exchange, attempt: &Attempt, nth: u64, decided: bool) -> SpanData {
    let operation = operation(&exchange.path);
    let (host, port) = &attempt.server;
    let mut attributes = vec![
        text("server.address", host.to_string()),
        number("server.port", (*port).into()),
        text("sluicegate.upstream", attempt.upstream.to_string()),
    ];
    for (name, value) in [
        ("gen_ai.operation.name", operation),
        ("gen_ai.provider.name", &*attempt.vendor),
        ("gen_ai.request.model", &*attempt.model),
        ("error.type", &*attempt.error),
    ] {
        if !value.is_empty() {
            attributes.push(text(name, value.to_owned()));
        }
    }
    if let Some(status) = attempt.status {
        attributes.push(number("http.response.status_code", status.into()));
    }
    if nth > 1 {
        attributes.push(number("http.request.resend_count", nth - 1));
    }
    // What the others used is not known, and would count twice.
    if let Some(usage) = exchange.usage.filter(|_| decided) {
        attributes.push(number("gen_ai.usage.input_tokens", usage.input));
        attributes.push(number("gen_ai.usage.output_tokens", usage.output));
    }
    let name = match (operation, &*attempt.model) {
        ("", _) => exchange.method.clone(),
        (operation, "") => operation.to_owned(),
        (operation, model) => format!("{operation} {model}"),
    };
    let made = span(exchange, attempt.span.0, SpanKind::Client, name, attributes);
    let ended = attempt.ended.unwrap_or(exchange.took);
    SpanData {
        parent_span_id: exchange.context.span,
        start_time: exchange.began + attempt.began,
        end_time: exchange.began + ended.max(attempt.began),
        status: status(!attempt.error.is_empty(), &attempt.error),
        ..made
    }
}

/// A span as long as the exchange.
fn span(
    exchange: &Exchange,
    id: SpanId,
    span_kind: SpanKind,
    name: impl Into<Cow<'static, str>>,
    attributes: Vec<KeyValue>,
) -> SpanData {
    SpanData {
        span_context: exchange.context.span_context(id),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind,
        name: name.into(),
        start_time: exchange.began,
        end_time: exchange.began + exchange.took.max(Duration::from_nanos(1)),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("sluicegate").build(),
    }
}

fn status(is_error: bool, error: &str) -> Status {
    if is_error {
        Status::error(error.to_owned())
    } else {
        Status::Unset
    }
}

fn text(name: &'static str, value: impl Into<Value>) -> KeyValue {
    KeyValue::new(name, value)
}

fn number(name: &'static str, value: u64) -> KeyValue {
    KeyValue::new(name, i64::try_from(value).unwrap_or(i64::MAX))
}
