//! A request body: its members, and values of the expected types.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind, Members};

/// The most members of a request. Ollama's API has not a tenth of it, and each look-up goes through all of them.
const MOST_MEMBERS: usize = 512;

/// The most elements of a list: each takes more room in the canonical request than the few bytes that it has at least here.
const MOST_ELEMENTS: usize = 100_000;

/// Where an object is in the request. It becomes text only in an error.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// The request itself.
    Request,
    /// A member of it.
    Member(&'static str),
    /// A message.
    Message(usize),
    /// A call of a tool in a message.
    Call(usize, usize),
    /// The function of a call.
    Function(usize, usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => Ok(()),
            Self::Member(name) => f.write_str(name),
            Self::Message(at) => write!(f, "messages[{at}]"),
            Self::Call(at, index) => write!(f, "messages[{at}].tool_calls[{index}]"),
            Self::Function(at, index) => write!(f, "messages[{at}].tool_calls[{index}].function"),
        }
    }
}

/// The members of an object. One that is `null` counts as absent; of several with the same name the last one counts.
#[derive(Debug)]
pub struct Body<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    place: Place,
}

impl<'a> Body<'a> {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// 400 that says what is wrong with it.
    pub fn read(text: &'a str) -> Result<Self, Fault> {
        let text = text.trim_start_matches('\u{feff}');
        if text.trim_ascii().is_empty() {
            return Err(Fault::bad_request("missing request body"));
        }
        match serde_json::from_str(text) {
            Ok(Members(members)) if members.len() > MOST_MEMBERS => {
                let most = format!("The request body has more than {MOST_MEMBERS} members.");
                Err(Fault::bad_request(most))
            }
            Ok(Members(members)) => Ok(Self {
                members,
                place: Place::Request,
            }),
            Err(error) if error.is_data() => Err(Fault::bad_request(
                "The request body must be a JSON object.",
            )),
            Err(error) => Err(Fault::bad_request(format!(
                "The request body is not JSON: {error}."
            ))),
        }
    }

    /// Reads an object inside of a request.
    ///
    /// # Errors
    /// 400 if it is no object.
    pub fn inner(place: Place, raw: &'a RawValue) -> Result<Self, Fault> {
        let Ok(Members(members)) = serde_json::from_str(raw.get()) else {
            return Err(wrong(&place.to_string(), "an object", raw));
        };
        Ok(Self { members, place })
    }

    /// The members with their names.
    pub fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        let members = self.members.iter().map(|(name, raw)| (&**name, *raw));
        members.filter(|(_, raw)| Kind::of(raw) != Kind::Null)
    }

    /// A member.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        let (_, raw) = self.members.iter().rev().find(|(known, _)| known == name)?;
        Some(*raw).filter(|raw| Kind::of(raw) != Kind::Null)
    }

    /// A text, as raw JSON.
    ///
    /// # Errors
    /// 400 for another type.
    pub fn string(&self, name: &str) -> Result<Option<&'a RawValue>, Fault> {
        self.kind(name, Kind::String, "a string")
    }

    /// A text that is not empty.
    ///
    /// # Errors
    /// As [`Body::string`].
    pub fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Fault> {
        let Some(raw) = self.string(name)? else {
            return Ok(None);
        };
        let text = json::text(raw)
            .ok_or_else(|| wrong(&self.path(name), "a string of whole characters", raw))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// A switch.
    ///
    /// # Errors
    /// 400 for another type.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Fault> {
        let raw = self.kind(name, Kind::Bool, "a boolean")?;
        Ok(raw.map(|raw| raw.get() == "true"))
    }

    /// The elements of a list; none if it is absent.
    ///
    /// # Errors
    /// 400 for another type, and for more than a request can have.
    pub fn list(&self, name: &str) -> Result<Vec<&'a RawValue>, Fault> {
        let raw = self.kind(name, Kind::Array, "an array")?;
        let list = raw.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let list: Vec<&RawValue> = list.unwrap_or_default();
        if list.len() > MOST_ELEMENTS {
            let path = self.path(name);
            let message = format!("`{path}` has more than {MOST_ELEMENTS} elements.");
            return Err(Fault::bad_request(message).param(path));
        }
        Ok(list)
    }

    fn kind(&self, name: &str, kind: Kind, expected: &str) -> Result<Option<&'a RawValue>, Fault> {
        match self.get(name) {
            Some(raw) if Kind::of(raw) != kind => Err(wrong(&self.path(name), expected, raw)),
            found => Ok(found),
        }
    }

    /// Where a member is in the request.
    pub fn path(&self, name: &str) -> String {
        match self.place {
            Place::Request => name.to_owned(),
            place => format!("{place}.{name}"),
        }
    }
}

/// 400: a value of a wrong type.
pub fn wrong(param: &str, expected: &str, raw: &RawValue) -> Fault {
    let kind = Kind::of(raw).with_article();
    Fault::bad_request(format!("`{param}` must be {expected}, not {kind}.")).param(param)
}

/// 400: something that cannot be done here.
pub fn unsupported(param: &str, message: impl Into<String>) -> Fault {
    Fault::bad_request(message)
        .code("unsupported_parameter")
        .param(param)
}

/// A whole number. As in Ollama, the fraction of another number is cut off.
pub fn integer(raw: &RawValue) -> Option<i64> {
    let text = raw.get();
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        #[expect(clippy::cast_possible_truncation, reason = "that is what is wanted")]
        number.is_finite().then_some(number as i64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_is_refused() {
        for (text, part) in [
            ("", "missing"),
            (" \n", "missing"),
            ("[]", "object"),
            ("\"x\"", "object"),
            ("{\"a\":", "not JSON"),
            ("{} {}", "not JSON"),
        ] {
            let fault = Body::read(text).expect_err(text);
            assert_eq!(fault.status, 400);
            assert!(fault.message.contains(part), "{}", fault.message);
        }
    }

    #[test]
    fn members_are_found_by_their_types() {
        let text = "\u{feff}{\"a\":1,\"a\":\"x\",\"n\":null,\"b\":true,\"l\":[1,2],\"e\":\"\"}";
        let body = Body::read(text).expect("an object");
        assert_eq!(body.text("a").expect("a text").as_deref(), Some("x"));
        assert_eq!(body.text("e").expect("a text"), None);
        assert_eq!(body.flag("b"), Ok(Some(true)));
        assert_eq!(body.flag("n"), Ok(None));
        assert_eq!(body.list("l").expect("a list").len(), 2);
        assert_eq!(body.members().count(), 5);
        let fault = body.flag("a").expect_err("a string");
        assert_eq!(fault.message, "`a` must be a boolean, not a string.");
        let raw: &RawValue = serde_json::from_str("{\"x\":{}}").expect("JSON");
        let inner = Body::inner(Place::Member("options"), raw).expect("an object");
        let fault = inner.list("x").expect_err("an object");
        assert_eq!(fault.param.as_deref(), Some("options.x"));
        assert!(inner.text("y").expect("nothing").is_none());
    }

    #[test]
    fn members_and_elements_are_bounded() {
        let members = |count: usize| {
            let list: Vec<String> = (0..count).map(|at| format!("\"m{at}\":1")).collect();
            format!("{{{}}}", list.join(","))
        };
        assert!(Body::read(&members(512)).is_ok());
        let fault = Body::read(&members(513)).expect_err("too many");
        assert_eq!(fault.status, 400);
        assert!(fault.message.contains("512 members"), "{fault}");
        let list = |count: usize| format!("{{\"l\":[{}]}}", vec!["1"; count].join(","));
        let text = list(100_000);
        let body = Body::read(&text).expect("an object");
        assert_eq!(body.list("l").expect("a list").len(), 100_000);
        let text = list(100_001);
        let body = Body::read(&text).expect("an object");
        let fault = body.list("l").expect_err("too many");
        assert_eq!((fault.status, fault.param.as_deref()), (400, Some("l")));
    }

    #[test]
    fn fractions_are_cut_off() {
        for (text, number) in [
            ("7", Some(7)),
            ("-1", Some(-1)),
            ("7.9", Some(7)),
            ("1e2", Some(100)),
            ("\"7\"", None),
            ("true", None),
        ] {
            assert_eq!(integer(serde_json::from_str(text).expect("JSON")), number);
        }
    }
}
