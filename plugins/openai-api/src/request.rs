//! The request: where it goes, and its body, of which only what must differ is changed.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind, Members};

use crate::config::Unsupported;
use dropped::Dropped;

pub mod dropped;
pub mod history;
pub mod media;
pub mod stop;
pub(crate) mod stream_options;
pub mod thinking;
pub mod tools;

/// What a client may ask. Everything else at a model server is for those who run it: files, adapters, other people's batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `chat/completions`
    Chat,
    /// `completions`
    Completions,
    /// `embeddings`
    Embeddings,
}

impl Endpoint {
    /// The endpoint of a path behind `/v1/`.
    pub fn of(path: &str) -> Option<Self> {
        [Self::Chat, Self::Completions, Self::Embeddings]
            .into_iter()
            .find(|endpoint| endpoint.path() == path)
    }

    /// The path behind `/v1/`.
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "chat/completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
        }
    }

    /// The parameter with the text for the model.
    pub fn of_text(endpoint: Option<Self>) -> &'static str {
        match endpoint {
            Some(Self::Chat) | None => "messages",
            Some(Self::Completions) => "prompt",
            Some(Self::Embeddings) => "input",
        }
    }
}

/// The most members of a body. No API has a tenth of it, and each is compared with every other one.
const MOST_MEMBERS: usize = 512;

/// A request body: its members in their order. Those that are `null` count as absent.
#[derive(Debug)]
pub struct Body<'a> {
    members: Vec<(Cow<'a, str>, Member<'a>)>,
    length: usize,
    /// Parameters that were left out because the model server cannot do them.
    pub dropped: Dropped,
}

#[derive(Debug)]
enum Member<'a> {
    Given(&'a RawValue),
    Made(String),
}

impl<'a> Body<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// 400 `invalid_json`, which says what is wrong and where.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let text = text_of(bytes)?;
        let Members(members) = serde_json::from_str(text).map_err(|error| explain(text, &error))?;
        if members.len() > MOST_MEMBERS {
            let most = format!("The request body has more than {MOST_MEMBERS} members.");
            return Err(Fault::bad_request(most));
        }
        let mut body = Self {
            members: Vec::with_capacity(members.len() + 4),
            length: text.len(),
            dropped: Dropped::default(),
        };
        for (name, raw) in members {
            // The last one counts, as in Python.
            body.remove(&name);
            if Kind::of(raw) != Kind::Null {
                body.members.push((name, Member::Given(raw)));
            }
        }
        Ok(body)
    }

    /// The same body under a policy for what the model server cannot do.
    pub fn under(mut self, policy: Unsupported) -> Self {
        self.dropped = Dropped::new(policy);
        self
    }

    /// Leaves out a parameter that the model server cannot do.
    ///
    /// # Errors
    /// 400 `unsupported_value` with this message, unless such parameters are dropped.
    pub fn unsupported(
        &mut self,
        param: &'static str,
        message: impl Into<String>,
    ) -> Result<(), Fault> {
        self.dropped.unsupported(param, message)?;
        self.remove(param);
        Ok(())
    }

    /// A member as the client sent it; `None` also if it has been changed.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.members
            .iter()
            .find_map(|(known, member)| match member {
                Member::Given(raw) if known == name => Some(*raw),
                Member::Given(_) | Member::Made(_) => None,
            })
    }

    /// The JSON text of a member, whether it has been changed or not.
    pub fn text(&self, name: &str) -> Option<&str> {
        let (_, member) = self.members.iter().find(|(known, _)| known == name)?;
        Some(match member {
            Member::Given(raw) => raw.get(),
            Member::Made(json) => json,
        })
    }

    /// Whether there is such a member.
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(known, _)| known == name)
    }

    /// Whether a member is a boolean of this value.
    pub fn says(&self, name: &str, value: bool) -> bool {
        self.text(name) == Some(if value { "true" } else { "false" })
    }

    /// Sets a member to JSON text.
    pub fn set(&mut self, name: &'static str, json: impl Into<String>) {
        let made = Member::Made(json.into());
        match self.members.iter_mut().find(|(known, _)| known == name) {
            Some((_, member)) => *member = made,
            None => self.members.push((Cow::Borrowed(name), made)),
        }
    }

    /// Changes the JSON text of every member for which there is another one.
    pub fn change_all(&mut self, change: impl Fn(&str) -> Option<String>) {
        for (_, member) in &mut self.members {
            let changed = change(match member {
                Member::Given(raw) => raw.get(),
                Member::Made(json) => json,
            });
            if let Some(json) = changed {
                *member = Member::Made(json);
            }
        }
    }

    /// Removes a member; `false` if there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.members.len();
        self.members.retain(|(known, _)| known != name);
        self.members.len() < before
    }

    /// The names of the members.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| &**name)
    }

    /// The body as JSON text.
    pub fn write(&self) -> Vec<u8> {
        let mut out = String::with_capacity(self.length + 256);
        out.push('{');
        for (at, (name, member)) in self.members.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            json::push_str(&mut out, name);
            out.push(':');
            out.push_str(match member {
                Member::Given(raw) => raw.get(),
                Member::Made(json) => json,
            });
        }
        out.push('}');
        out.into_bytes()
    }
}

/// The JSON text of a body.
///
/// # Errors
/// 400 `invalid_json` if it is empty, or not UTF-8.
pub fn text_of(bytes: &[u8]) -> Result<&str, Fault> {
    if bytes.trim_ascii().is_empty() {
        return Err(invalid_json(
            "The request has no body; a JSON object is expected.",
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        invalid_json(format!(
            "The request body is not UTF-8: byte {at} is not text."
        ))
    })?;
    // Some tools put a byte order mark before JSON.
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The fault of a body that could not be read: 400 `invalid_json`, which says what is wrong and where.
pub fn explain(text: &str, error: &serde_json::Error) -> Fault {
    match serde_json::from_str::<&RawValue>(text) {
        Err(_) => invalid_json(format!("The request body is not JSON: {error}.")),
        Ok(raw) if Kind::of(raw) == Kind::Object => {
            invalid_json(format!("The request body cannot be read: {error}."))
        }
        Ok(raw) => {
            let kind = Kind::of(raw).with_article();
            invalid_json(format!("The request body must be an object, not {kind}."))
        }
    }
}

fn invalid_json(message: impl Into<String>) -> Fault {
    Fault::bad_request(message).code("invalid_json")
}

/// 400 `invalid_type`.
pub fn wrong_type(param: &str, expected: &str, raw: &RawValue) -> Fault {
    let kind = Kind::of(raw).with_article();
    Fault::bad_request(format!("`{param}` must be {expected}, not {kind}."))
        .code("invalid_type")
        .param(param)
}

/// 400 `unsupported_value`.
pub fn unsupported(param: &str, message: impl Into<String>) -> Fault {
    Fault::bad_request(message)
        .code("unsupported_value")
        .param(param)
}

/// The members of an object; those that are `null` count as absent.
///
/// # Errors
/// 400 `invalid_type` for anything else.
pub fn members<'a>(
    param: &str,
    raw: &'a RawValue,
) -> Result<Vec<(Cow<'a, str>, &'a RawValue)>, Fault> {
    let Members(mut members) =
        serde_json::from_str(raw.get()).map_err(|_| wrong_type(param, "an object", raw))?;
    members.retain(|(_, raw)| Kind::of(raw) != Kind::Null);
    Ok(members)
}

/// The elements of an array.
///
/// # Errors
/// 400 `invalid_type` for anything else.
pub fn elements<'a>(param: &str, raw: &'a RawValue) -> Result<Vec<&'a RawValue>, Fault> {
    serde_json::from_str(raw.get()).map_err(|_| wrong_type(param, "an array", raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_keeps_what_is_not_changed() {
        let text = r#" {"a": 1.50, "b": null, "\u0063": [ 1 ], "a": "x", "d": {}} "#;
        let mut body = Body::read(text.as_bytes()).expect("JSON");
        assert_eq!(body.names().collect::<Vec<_>>(), ["c", "a", "d"]);
        body.set("a", "2");
        body.set("e", "true");
        assert!(body.remove("d") && !body.remove("d") && !body.has("b"));
        assert_eq!(body.get("a").map(RawValue::get), None);
        assert_eq!(body.write(), br#"{"c":[ 1 ],"a":2,"e":true}"#);
    }

    #[test]
    fn what_is_no_body_is_explained() {
        for (body, part) in [
            (b"".as_slice(), "no body"),
            (b"[]", "not an array"),
            (b"{\"a\":", "line 1 column 5"),
            (b"{\"a\":\"\xff\"}", "byte 6"),
            (b"{}{}", "not JSON"),
        ] {
            let fault = Body::read(body).expect_err("refused");
            assert_eq!((fault.status, &*fault.code), (400, "invalid_json"));
            assert!(fault.message.contains(part), "{fault}");
        }
    }
}
