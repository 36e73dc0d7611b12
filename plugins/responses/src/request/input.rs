//! The input: items, of which the messages of the chat API are made.
//!
//! What the model said in one turn is one message there: its thoughts, its text and its calls. Thoughts without text or calls,
//! such as those of a response that was cut, are left out.

use serde_json::value::RawValue;
use sluicegate_openai_api::request::{Body, unsupported, wrong_type};
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::content;
use super::object::{Object, begin, elements, invalid, missing};
use crate::reasoning;

/// The messages as a JSON array.
pub(super) fn messages(body: &Body<'_>) -> Result<String, Fault> {
    let mut messages = Messages::default();
    if let Some(raw) = body.get("instructions") {
        let text = json::string_inner(raw);
        let text = text.ok_or_else(|| wrong_type("instructions", "a string", raw))?;
        if !text.is_empty() {
            messages.begin("system").push_str(raw.get());
            messages.out.push('}');
        }
    }
    let input = body.get("input").ok_or_else(|| missing("input"))?;
    match Kind::of(input) {
        Kind::String => {
            messages.begin("user").push_str(input.get());
            messages.out.push('}');
        }
        Kind::Array => {
            let items = elements("input", input)?;
            if items.is_empty() {
                let expected = "a string, or an array of at least one item";
                return Err(invalid("input", expected));
            }
            for (index, raw) in items.into_iter().enumerate() {
                messages.item(&Object::read(format!("input[{index}]"), raw)?)?;
            }
        }
        Kind::Null | Kind::Bool | Kind::Number | Kind::Object => {
            return Err(wrong_type("input", "a string or an array of items", input));
        }
    }
    messages.end()
}

#[derive(Default)]
struct Messages {
    /// All before the model's turn.
    out: String,
    turn: Turn,
}

/// What the model said since somebody else did.
#[derive(Default)]
struct Turn {
    /// Without quotes.
    reasoning: String,
    /// Without quotes.
    text: Option<String>,
    /// With commas between them.
    calls: String,
}

impl Messages {
    fn item(&mut self, item: &Object<'_>) -> Result<(), Fault> {
        match item.text("type")?.as_deref() {
            Some("message") => self.message(item),
            Some("function_call") => self.call(item),
            Some("function_call_output") => self.output(item),
            Some("reasoning") => self.reasoning(item),
            None if item.get("role").is_some() => self.message(item),
            None if item.get("id").is_none() => Err(missing(&item.place("type"))),
            Some("item_reference") | None => {
                let message = "Items are not stored here, so none can be referred to. Send the item itself, and with it the \
                    whole conversation, with `store: false`.";
                Err(unsupported(&item.place("type"), message))
            }
            Some(other) => {
                let message = format!(
                    "Items of type `{}` are not supported here: only messages, calls of functions, their outputs, and \
                     reasoning are.",
                    begin(other)
                );
                Err(unsupported(&item.place("type"), message))
            }
        }
    }

    fn message(&mut self, item: &Object<'_>) -> Result<(), Fault> {
        let at = item.place("content");
        let content = item.get("content").ok_or_else(|| missing(&at))?;
        item.required("role")?;
        match item.text("role")?.as_deref() {
            Some("assistant") => {
                let text = self.turn.text.get_or_insert_default();
                if !text.is_empty() {
                    text.push_str("\\n\\n");
                }
                content::write_said(text, &at, content)
            }
            Some(role @ ("user" | "system" | "developer")) => {
                content::write(self.begin(role), &at, content)?;
                self.out.push('}');
                Ok(())
            }
            Some(_) | None => {
                let expected = "`user`, `assistant`, `system` or `developer`";
                Err(invalid(&item.place("role"), expected))
            }
        }
    }

    fn call(&mut self, item: &Object<'_>) -> Result<(), Fault> {
        let calls = &mut self.turn.calls;
        if !calls.is_empty() {
            calls.push(',');
        }
        calls.push_str("{\"id\":");
        calls.push_str(item.required("call_id")?.get());
        calls.push_str(",\"type\":\"function\",\"function\":{\"name\":");
        calls.push_str(item.required("name")?.get());
        calls.push_str(",\"arguments\":");
        calls.push_str(item.required("arguments")?.get());
        calls.push_str("}}");
        Ok(())
    }

    fn output(&mut self, item: &Object<'_>) -> Result<(), Fault> {
        let id = item.required("call_id")?;
        let at = item.place("output");
        let output = item.get("output").ok_or_else(|| missing(&at))?;
        content::write(self.begin("tool"), &at, output)?;
        self.out.push_str(",\"tool_call_id\":");
        self.out.push_str(id.get());
        self.out.push('}');
        Ok(())
    }

    fn reasoning(&mut self, item: &Object<'_>) -> Result<(), Fault> {
        let reasoning = &mut self.turn.reasoning;
        if push_texts(reasoning, item, "content")? {
            return Ok(());
        }
        let sealed = item.text("encrypted_content")?;
        if let Some(text) = sealed.and_then(|sealed| reasoning::open(&sealed)) {
            json::push_escaped(reasoning, &text);
            return Ok(());
        }
        push_texts(reasoning, item, "summary").map(drop)
    }

    /// Ends the model's turn and begins a message of somebody else; what follows is its content.
    fn begin(&mut self, role: &str) -> &mut String {
        self.end_turn();
        self.separate();
        self.out.push_str("{\"role\":\"");
        self.out.push_str(role);
        self.out.push_str("\",\"content\":");
        &mut self.out
    }

    fn end_turn(&mut self) {
        let Turn {
            reasoning,
            text,
            calls,
        } = std::mem::take(&mut self.turn);
        if text.is_none() && calls.is_empty() {
            return;
        }
        self.separate();
        let out = &mut self.out;
        out.push_str("{\"role\":\"assistant\",\"content\":");
        match text {
            Some(text) => {
                out.push('"');
                out.push_str(&text);
                out.push('"');
            }
            None => out.push_str("null"),
        }
        if !reasoning.is_empty() {
            out.push_str(",\"reasoning\":\"");
            out.push_str(&reasoning);
            out.push('"');
        }
        if !calls.is_empty() {
            out.push_str(",\"tool_calls\":[");
            out.push_str(&calls);
            out.push(']');
        }
        out.push('}');
    }

    fn separate(&mut self) {
        self.out.push(if self.out.is_empty() { '[' } else { ',' });
    }

    fn end(mut self) -> Result<String, Fault> {
        self.end_turn();
        if self.out.is_empty() {
            return Err(invalid("input", "more than reasoning"));
        }
        self.out.push(']');
        Ok(self.out)
    }
}

/// Appends the texts of a list of parts, without quotes; `false` if there are none.
fn push_texts(out: &mut String, item: &Object<'_>, name: &str) -> Result<bool, Fault> {
    let Some(raw) = item.get(name) else {
        return Ok(false);
    };
    let at = item.place(name);
    let before = out.len();
    for (index, raw) in elements(&at, raw)?.into_iter().enumerate() {
        let part: &RawValue = raw;
        let part = Object::read(format!("{at}[{index}]"), part)?;
        if out.len() > before {
            out.push_str("\\n\\n");
        }
        out.push_str(json::string_inner(part.required("text")?).unwrap_or_default());
    }
    Ok(out.len() > before)
}
