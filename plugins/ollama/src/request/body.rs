//! Reads the body: its parameters as raw values, its messages one level deeper.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use sluicegate_openai_api::request;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{Kind, Members, Text};

use super::check::{self, Path};

/// A request body. A parameter that is `null` counts as absent and is not listed.
#[derive(Debug)]
pub(super) struct Body<'a> {
    /// Every parameter but the messages.
    pub(super) parameters: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// The messages.
    pub(super) messages: Option<Vec<Message<'a>>>,
    /// The length of the body in bytes.
    pub(super) length: usize,
}

/// A message as in the request.
#[derive(Debug, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) role: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) name: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) tool_call_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) function_call: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) reasoning_content: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Body<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Body<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body<'de>, A::Error> {
                let mut body = Body {
                    parameters: Vec::with_capacity(16),
                    messages: None,
                    length: 0,
                };
                while let Some(Text(name)) = map.next_key()? {
                    if name == "messages" {
                        // Collected in place: an `AnObject` is only its message.
                        let messages: Option<Vec<AnObject<'_>>> = map.next_value()?;
                        body.messages = messages.map(|list| {
                            list.into_iter().map(|AnObject(message)| message).collect()
                        });
                    } else if let Some(value) = map.next_value::<Option<&RawValue>>()? {
                        body.parameters.push((name, value));
                    }
                }
                Ok(body)
            }
        }

        deserializer.deserialize_map(Read)
    }
}

/// A message that is written as an object. (A derived implementation would also accept an array of values.)
struct AnObject<'a>(Message<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for AnObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Message<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Message<'de>, A::Error> {
                Message::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Read).map(Self)
    }
}

/// Reads a body.
///
/// # Errors
/// 400 that says whether the body is empty, not UTF-8, not JSON, or of the wrong shape, and where.
pub(super) fn read(bytes: &[u8]) -> Result<Body<'_>, Fault> {
    let text = request::text_of(bytes)?;
    let mut body: Body<'_> = serde_json::from_str(text)
        .map_err(|error| misshapen(text).unwrap_or_else(|| request::explain(text, &error)))?;
    body.length = text.len();
    Ok(body)
}

/// Checks the shape of the messages: an array of objects. `None` if nothing is wrong with it.
fn misshapen(text: &str) -> Option<Fault> {
    let Members(members) = serde_json::from_str(text).ok()?;
    let (_, messages) = members
        .into_iter()
        .rev()
        .find(|(name, _)| name == "messages")?;
    if Kind::of(messages) != Kind::Array {
        return Some(check::wrong_type(
            Path::of("messages"),
            "an array",
            messages,
        ));
    }
    let messages: Vec<&RawValue> = serde_json::from_str(messages.get()).ok()?;
    let at = messages
        .iter()
        .position(|message| Kind::of(message) != Kind::Object)?;
    Some(check::wrong_type(
        Path::of("messages").index(at),
        "an object",
        messages[at],
    ))
}
