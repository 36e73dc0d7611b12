//! The card that `/debug` shows.

use serde::Serialize;

use super::message::Finish;

/// The result of a command. Never stored, never sent to the model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Card {
    /// The state of the whole chain.
    Debug(Box<Debug>),
    /// One request, through the layers.
    Trace(Box<Trace>),
}

/// How good a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be, or merely information.
    Ok,
    /// Worth a look.
    Warn,
    /// Broken.
    Bad,
}

/// The state of the chain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Debug {
    /// When it was collected, in milliseconds since 1970.
    pub at: u64,
    /// Whether to show it as JSON (`/debug json`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
    /// Whether to ask again every two seconds for a minute (`/debug watch`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub watch: bool,
    /// `gateway`, `proxy`, `model`, `connection`, in this order.
    pub sections: Vec<Section>,
    /// The last requests, latest first, at most five.
    pub requests: Vec<RequestLine>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Section {
    /// Which layer.
    pub id: &'static str,
    /// The worst of its rows.
    pub level: Level,
    /// What is known about it.
    pub rows: Vec<Row>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    /// Its name, for the page's catalog.
    pub id: &'static str,
    /// A number, a text, a boolean or a list.
    pub value: serde_json::Value,
    /// `ms`, `s`, `bytes`, `count`, `percent`, or absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
    /// How good it is.
    pub level: Level,
    /// One line of advice in English.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Hint>,
}

/// Advice.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Hint {
    /// For the page's catalog.
    pub code: HintCode,
    /// What the advice is about, such as an address.
    pub subject: String,
    /// The advice in English.
    pub text: String,
}

/// All kinds of advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HintCode {
    /// The proxy does not answer.
    ProxyDown,
    /// The proxy responds, the model server behind it does not.
    ModelDown,
    /// The proxy has stopped calling the model server for a while.
    CircuitOpen,
    /// The proxy's admin address does not answer, so less is known.
    AdminUnreachable,
    /// The database is slow or broken.
    StoreSlow,
    /// All slots are taken.
    Busy,
    /// There is no model.
    NoModels,
}

/// One of the last requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct RequestLine {
    /// `req_…`.
    pub request_id: String,
    /// `ses_…`.
    pub session: String,
    /// The model.
    pub model: String,
    /// Absent while it is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish: Option<Finish>,
    /// Milliseconds since 1970.
    pub at: u64,
    /// Time per layer.
    pub layers: Vec<LayerTime>,
}

/// Time spent in a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct LayerTime {
    /// `gateway` (all of it, as this gateway saw it), `proxy` or `model`.
    pub layer: &'static str,
    /// Milliseconds to the first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<u64>,
    /// Milliseconds to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
}

/// One request through the layers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Trace {
    /// `req_…`.
    pub request_id: String,
    /// Whether any layer knows it.
    pub found: bool,
    /// What each layer knows, in the order `gateway`, `proxy`.
    pub layers: Vec<TraceLayer>,
}

/// What a layer knows about a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct TraceLayer {
    /// Which layer.
    pub layer: &'static str,
    /// Whether it knows the request.
    pub found: bool,
    /// What it knows, in its own words; names and figures only, no text of messages.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub facts: serde_json::Value,
}
