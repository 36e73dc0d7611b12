//! Reads the content of an error, which the model runner may have wrapped in several layers of JSON.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::json::{self, Kind};

/// The most nested values that are read. Six have been seen; many more would be an attack on the stack.
const LAYERS: u8 = 8;

/// The innermost text of an error, and what was found around it.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The text; "" if there is none.
    pub(super) text: String,
    /// The runner's own status.
    pub(super) status: Option<u16>,
    /// The runner's own name for this kind of error, such as `exceed_context_size_error`.
    pub(super) kind: Option<String>,
}

/// The runner's error, or an error that is an object instead of a text.
#[derive(Deserialize)]
struct Detail<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
}

impl Said {
    /// Reads the value of a member `error`.
    pub(super) fn of(error: &RawValue) -> Self {
        Self::within(error, LAYERS)
    }

    fn within(error: &RawValue, layers: u8) -> Self {
        let Some(layers) = layers.checked_sub(1) else {
            return Self::default();
        };
        if Kind::of(error) == Kind::Object {
            return Self::of_object(error, layers);
        }
        let text = json::text(error).unwrap_or_default();
        if let Some(said) = Self::of_map(&text) {
            return said;
        }
        let inner = text
            .find('{')
            .and_then(|at| serde_json::from_str::<&RawValue>(text[at..].trim()).ok())
            .map(|inner| Self::within(inner, layers))
            .unwrap_or_default();
        if inner.text.is_empty() {
            return Self {
                text: text.into_owned(),
                ..inner
            };
        }
        inner
    }

    fn of_object(error: &RawValue, layers: u8) -> Self {
        let Ok(detail) = serde_json::from_str::<Detail<'_>>(error.get()) else {
            return Self::default();
        };
        let inner = detail
            .message
            .or(detail.error)
            .map(|next| Self::within(next, layers))
            .unwrap_or_default();
        let code = detail.code.and_then(|code| code.get().parse().ok());
        let kind = detail.r#type.and_then(json::text);
        Self {
            text: inner.text,
            status: inner.status.or(code),
            kind: inner.kind.or(kind.map(std::borrow::Cow::into_owned)),
        }
    }

    /// The runner's error as Go prints it: `… error: map[code:500 message:Some words type:server_error]`.
    fn of_map(text: &str) -> Option<Self> {
        let (_, map) = text.split_once(" error: map[code:")?;
        let (code, rest) = map.strip_suffix(']')?.split_once(" message:")?;
        let (message, kind) = rest.rsplit_once(" type:")?;
        Some(Self {
            text: message.to_owned(),
            status: code.parse().ok(),
            kind: Some(kind.to_owned()),
        })
    }
}
