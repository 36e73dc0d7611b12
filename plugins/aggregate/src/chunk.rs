//! One `chat.completion.chunk` or `text_completion`, with raw values, including any members that a vendor adds.
//!
//! # Source
//! OpenAI API reference (document 2.3.0), "Chat completion chunk object", "Completion object".

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use sluicegate_plugin::json::Text;

/// Members without a field of their own, in their order.
pub(crate) type Extra<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// A value that is `null` if there is nothing.
type Raw<'a> = Option<&'a RawValue>;

#[derive(Debug, Default)]
pub(crate) struct Chunk<'a> {
    pub(crate) id: Raw<'a>,
    pub(crate) object: Raw<'a>,
    pub(crate) created: Raw<'a>,
    pub(crate) model: Raw<'a>,
    pub(crate) choices: Vec<Choice<'a>>,
    pub(crate) usage: Raw<'a>,
    pub(crate) error: Raw<'a>,
    pub(crate) extra: Extra<'a>,
}

#[derive(Debug, Default)]
pub(crate) struct Choice<'a> {
    pub(crate) index: u32,
    pub(crate) delta: Option<Delta<'a>>,
    /// In a `text_completion`.
    pub(crate) text: Raw<'a>,
    pub(crate) finish_reason: Raw<'a>,
    pub(crate) logprobs: Raw<'a>,
    pub(crate) token_ids: Raw<'a>,
    pub(crate) extra: Extra<'a>,
}

#[derive(Debug, Default)]
pub(crate) struct Delta<'a> {
    pub(crate) content: Raw<'a>,
    pub(crate) refusal: Raw<'a>,
    pub(crate) tool_calls: Option<Vec<CallDelta<'a>>>,
    pub(crate) extra: Extra<'a>,
}

/// A fragment of a tool call.
#[derive(Debug, Deserialize)]
pub(crate) struct CallDelta<'a> {
    pub(crate) index: Option<u32>,
    #[serde(borrow)]
    pub(crate) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) function: Option<FunctionDelta<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct FunctionDelta<'a> {
    #[serde(borrow)]
    pub(crate) name: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) arguments: Option<&'a RawValue>,
}

/// An object whose members are read one by one. (A derived struct with a flattened map would copy every chunk into a tree
/// first.)
trait Object<'de>: Default {
    fn member<A: MapAccess<'de>>(
        &mut self,
        name: Cow<'de, str>,
        map: &mut A,
    ) -> Result<(), A::Error>;
}

impl<'de> Object<'de> for Chunk<'de> {
    fn member<A: MapAccess<'de>>(
        &mut self,
        name: Cow<'de, str>,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match &*name {
            "id" => self.id = map.next_value()?,
            "object" => self.object = map.next_value()?,
            "created" => self.created = map.next_value()?,
            "model" => self.model = map.next_value()?,
            "choices" => {
                self.choices = map.next_value::<Option<Vec<_>>>()?.unwrap_or_default();
            }
            "usage" => self.usage = map.next_value()?,
            "error" => self.error = map.next_value()?,
            // Padding is not content.
            "obfuscation" => {
                map.next_value::<serde::de::IgnoredAny>()?;
            }
            _ => self.extra.push((name, map.next_value()?)),
        }
        Ok(())
    }
}

impl<'de> Object<'de> for Choice<'de> {
    fn member<A: MapAccess<'de>>(
        &mut self,
        name: Cow<'de, str>,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match &*name {
            "index" => self.index = map.next_value::<Option<u32>>()?.unwrap_or(0),
            "delta" => self.delta = map.next_value()?,
            "text" => self.text = map.next_value()?,
            "finish_reason" => self.finish_reason = map.next_value()?,
            "logprobs" => self.logprobs = map.next_value()?,
            // `null` included: it says that there could be some.
            "token_ids" => self.token_ids = Some(map.next_value()?),
            _ => self.extra.push((name, map.next_value()?)),
        }
        Ok(())
    }
}

impl<'de> Object<'de> for Delta<'de> {
    fn member<A: MapAccess<'de>>(
        &mut self,
        name: Cow<'de, str>,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match &*name {
            "content" => self.content = map.next_value()?,
            "refusal" => self.refusal = map.next_value()?,
            "tool_calls" => self.tool_calls = map.next_value()?,
            // Always the assistant; some servers repeat it in every chunk.
            "role" => {
                map.next_value::<serde::de::IgnoredAny>()?;
            }
            _ => self.extra.push((name, map.next_value()?)),
        }
        Ok(())
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Object<'de>> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut object = T::default();
        while let Some(Text(name)) = map.next_key()? {
            object.member(name, &mut map)?;
        }
        Ok(object)
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::default())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Chunk<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData::<Chunk<'de>>))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Choice<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData::<Choice<'de>>))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Delta<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData::<Delta<'de>>))
    }
}
