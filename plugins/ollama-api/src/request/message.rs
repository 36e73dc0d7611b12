//! Messages of a chat.
//!
//! Ollama's calls have arguments as an object and often no id; canonical ones have a text and an id, which the response of the tool
//! names. A missing id is made of the place of the call, and the response of a tool finds its call by the tool's name.

use std::collections::BTreeSet;

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::body::{Body, Place, wrong};
use super::image;
use crate::write::{Object, push_text};

/// The calls of the last message with calls, in their order: id and name, until a tool has responded to one.
///
/// They are found by id and name without a look at all of them, as a conversation may have very many.
#[derive(Debug, Default)]
struct Calls {
    list: Vec<Option<(String, String)>>,
    by_id: BTreeSet<(String, usize)>,
    by_name: BTreeSet<(String, usize)>,
    /// All before this one have their response.
    first: usize,
}

impl Calls {
    fn push(&mut self, id: &str, name: &str) {
        let at = self.list.len();
        self.by_id.insert((id.to_owned(), at));
        self.by_name.insert((name.to_owned(), at));
        self.list.push(Some((id.to_owned(), name.to_owned())));
    }

    /// Takes out the first call with this id, or else with this name, or else the first of all. What is returned is its id.
    fn take(&mut self, id: Option<&str>, name: Option<&str>) -> Option<String> {
        let at = match (id, name) {
            (Some(id), _) => first_of(&self.by_id, id)?,
            (None, Some(name)) => first_of(&self.by_name, name)?,
            (None, None) => {
                while self.list.get(self.first)?.is_none() {
                    self.first += 1;
                }
                self.first
            }
        };
        let (id, name) = self.list.get_mut(at)?.take()?;
        self.by_name.remove(&(name, at));
        let found = (id, at);
        self.by_id.remove(&found);
        Some(found.0)
    }
}

fn first_of(known: &BTreeSet<(String, usize)>, text: &str) -> Option<usize> {
    let (found, at) = known.range((text.to_owned(), 0)..).next()?;
    (found == text).then_some(*at)
}

/// Writes all messages as an array.
///
/// # Errors
/// 400 with the place of the wrong value, such as `messages[2].images[0]`.
pub(super) fn push_all(out: &mut String, messages: &[&RawValue]) -> Result<(), Fault> {
    let mut calls = Calls::default();
    out.push('[');
    for (at, raw) in messages.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let message = Body::inner(Place::Message(at), raw)?;
        let mut object = Object::within(std::mem::take(out));
        one(&mut object, &message, at, &mut calls)?;
        *out = object.end();
    }
    out.push(']');
    Ok(())
}

fn one(out: &mut Object, message: &Body<'_>, at: usize, calls: &mut Calls) -> Result<(), Fault> {
    let role = message.text("role")?.ok_or_else(|| {
        let place = message.path("role");
        Fault::bad_request(format!("`{place}` is required.")).param(place)
    })?;
    let role = role.to_ascii_lowercase();
    out.text("role", &role);
    let content = message.string("content")?;
    push_content(out.member("content"), content, message)?;
    if let Some(thoughts) = message
        .string("thinking")?
        .filter(|raw| raw.get() != "\"\"")
    {
        out.raw("reasoning", thoughts.get());
    }
    if role == "tool" {
        respond(out, message, at, calls)?;
    }
    let called = message.list("tool_calls")?;
    if !called.is_empty() {
        *calls = Calls::default();
        let list = out.member("tool_calls");
        for (index, raw) in called.into_iter().enumerate() {
            list.push(if index == 0 { '[' } else { ',' });
            push_call(list, raw, (at, index), calls)?;
        }
        list.push(']');
    }
    Ok(())
}

/// Writes a content: a text, or a list of parts if there are `images` beside it.
///
/// # Errors
/// 400 for an image that is none.
pub(super) fn push_content(
    out: &mut String,
    text: Option<&RawValue>,
    beside: &Body<'_>,
) -> Result<(), Fault> {
    let text = text.map_or("\"\"", RawValue::get);
    let images = beside.list("images")?;
    if images.is_empty() {
        out.push_str(text);
        return Ok(());
    }
    // Ollama puts them before the text.
    for (index, raw) in images.iter().enumerate() {
        out.push(if index == 0 { '[' } else { ',' });
        let place = || format!("{}[{index}]", beside.path("images"));
        image::push(out, raw, place)?;
    }
    if text != "\"\"" {
        out.push_str(",{\"type\":\"text\",\"text\":");
        out.push_str(text);
        out.push('}');
    }
    out.push(']');
    Ok(())
}

/// Names the call that a tool responds to.
fn respond(
    out: &mut Object,
    message: &Body<'_>,
    at: usize,
    calls: &mut Calls,
) -> Result<(), Fault> {
    let (id, name) = (message.text("tool_call_id")?, message.text("tool_name")?);
    let call = calls.take(id.as_deref(), name.as_deref());
    let is_known = call.is_some();
    match (id, call) {
        (Some(id), _) => out.text("tool_call_id", &id),
        (None, Some(id)) => out.text("tool_call_id", &id),
        (None, None) => out.text("tool_call_id", &format!("call_{at}")),
    }
    if !is_known && let Some(name) = name {
        out.text("name", &name);
    }
    Ok(())
}

/// Writes a call, the one at `index` in the message at `at`.
fn push_call(
    out: &mut String,
    raw: &RawValue,
    (at, index): (usize, usize),
    calls: &mut Calls,
) -> Result<(), Fault> {
    let call = Body::inner(Place::Call(at, index), raw)?;
    let missing =
        |place: String| Fault::bad_request(format!("`{place}` is required.")).param(place);
    let function = call
        .get("function")
        .ok_or_else(|| missing(call.path("function")))?;
    let function = Body::inner(Place::Function(at, index), function)?;
    let name = function
        .text("name")?
        .ok_or_else(|| missing(function.path("name")))?;
    let id = match call.text("id")? {
        Some(id) => id,
        None => format!("call_{at}_{index}").into(),
    };
    out.push_str("{\"id\":");
    push_text(out, &id);
    out.push_str(",\"type\":\"function\",\"function\":{\"name\":");
    push_text(out, &name);
    out.push_str(",\"arguments\":");
    match function.get("arguments") {
        None => out.push_str("\"{}\""),
        Some(raw) if Kind::of(raw) == Kind::Object => json::push_str(out, raw.get()),
        Some(raw) => return Err(wrong(&function.path("arguments"), "an object", raw)),
    }
    out.push_str("}}");
    calls.push(&id, &name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(messages: &Value) -> Result<Value, Fault> {
        let text = messages.to_string();
        let list: Vec<&RawValue> = serde_json::from_str(&text).expect("a list");
        let mut out = String::new();
        push_all(&mut out, &list)?;
        Ok(serde_json::from_str(&out).expect("JSON"))
    }

    #[test]
    fn texts_thoughts_and_images_are_carried_over() {
        let png = "iVBORw0KGgo=";
        let image = json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{png}")}});
        let messages = json!([
            {"role": "System", "content": "s"},
            {"role": "user", "content": "u\n\u{2028}", "images": [png, png], "x": 1},
            {"role": "user", "images": [png]},
            {"role": "assistant", "content": null, "thinking": "t", "images": []},
            {"role": "assistant", "content": "a", "thinking": ""},
            {"role": "control", "content": "c"},
        ]);
        assert_eq!(
            written(&messages).expect("messages"),
            json!([
                {"role": "system", "content": "s"},
                {"role": "user", "content": [image, image, {"type": "text", "text": "u\n\u{2028}"}]},
                {"role": "user", "content": [image]},
                {"role": "assistant", "content": "", "reasoning": "t"},
                {"role": "assistant", "content": "a"},
                {"role": "control", "content": "c"},
            ])
        );
    }

    #[test]
    fn calls_get_texts_and_ids_and_their_responses_find_them() {
        let call = |name: &str, arguments: Value| json!({"function": {"index": 0, "name": name, "arguments": arguments}});
        let named = |id: &str| json!({"id": id, "function": {"name": "f"}});
        let messages = json!([
            {"role": "assistant", "content": "", "tool_calls": [call("f", json!({"a": [1, "é"]})), call("g", json!(null))]},
            {"role": "tool", "content": "of g", "tool_name": "g"},
            {"role": "tool", "content": "of f"},
            {"role": "tool", "content": "of nobody", "tool_name": "h"},
            {"role": "assistant", "tool_calls": [named("call_x"), named("call_y")]},
            {"role": "tool", "content": "of y", "tool_call_id": "call_y", "tool_name": "f"},
            {"role": "tool", "content": "of x", "tool_name": "f"},
        ]);
        let written = written(&messages).expect("messages");
        assert_eq!(
            written[0]["tool_calls"],
            json!([
                {"id": "call_0_0", "type": "function", "function": {"name": "f", "arguments": "{\"a\":[1,\"é\"]}"}},
                {"id": "call_0_1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ])
        );
        let ids: Vec<&Value> = [1, 2, 3, 5, 6]
            .iter()
            .map(|&at| &written[at]["tool_call_id"])
            .collect();
        assert_eq!(ids, ["call_0_1", "call_0_0", "call_3", "call_y", "call_x"]);
        assert_eq!(written[3]["name"], "h");
        assert!(written[1].get("name").is_none());
    }

    #[test]
    fn responses_of_very_many_calls_find_them_in_any_order() {
        const COUNT: usize = 5_000;
        let calls: Vec<Value> = (0..COUNT)
            .map(|at| json!({"function": {"name": format!("f{at}")}}))
            .collect();
        let mut messages = vec![json!({"role": "assistant", "tool_calls": calls})];
        messages.extend(
            (0..COUNT)
                .rev()
                .map(|at| json!({"role": "tool", "content": "x", "tool_name": format!("f{at}")})),
        );
        messages.push(json!({"role": "tool", "content": "of none"}));
        let written = written(&json!(messages)).expect("messages");
        assert_eq!(written[1]["tool_call_id"], format!("call_0_{}", COUNT - 1));
        assert_eq!(written[COUNT]["tool_call_id"], "call_0_0");
        assert_eq!(
            written[COUNT + 1]["tool_call_id"],
            format!("call_{}", COUNT + 1)
        );
    }

    #[test]
    fn equal_names_and_ids_are_taken_in_their_order() {
        let mut calls = Calls::default();
        for (id, name) in [("a", "f"), ("b", "f"), ("a", "g"), ("c", "g")] {
            calls.push(id, name);
        }
        for (id, name, found) in [
            (None, Some("f"), Some("a")),
            (Some("a"), Some("f"), Some("a")),
            (Some("a"), None, None),
            (None, None, Some("b")),
            (None, Some("f"), None),
            (None, None, Some("c")),
            (None, None, None),
        ] {
            assert_eq!(calls.take(id, name).as_deref(), found, "{id:?} {name:?}");
        }
    }

    #[test]
    fn a_wrong_value_is_named_with_its_place() {
        for (message, param) in [
            (json!(3), "messages[1]"),
            (json!({"content": "x"}), "messages[1].role"),
            (json!({"role": "user", "content": 3}), "messages[1].content"),
            (
                json!({"role": "user", "content": [{"type": "text", "text": "x"}]}),
                "messages[1].content",
            ),
            (
                json!({"role": "user", "content": "x", "images": ["%"]}),
                "messages[1].images[0]",
            ),
            (
                json!({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}),
                "messages[1].tool_calls[0].function.arguments",
            ),
            (
                json!({"role": "assistant", "tool_calls": [{"function": {}}]}),
                "messages[1].tool_calls[0].function.name",
            ),
            (
                json!({"role": "assistant", "tool_calls": [{}]}),
                "messages[1].tool_calls[0].function",
            ),
        ] {
            let messages = json!([{"role": "user", "content": "x"}, message]);
            let fault = written(&messages).expect_err(param);
            assert_eq!((fault.status, fault.param.as_deref()), (400, Some(param)));
            assert!(fault.message.contains(param), "{}", fault.message);
        }
    }
}
