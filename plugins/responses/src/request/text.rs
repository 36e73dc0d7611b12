//! `text`: the format of what the model says, and how much of it.

use sluicegate_openai_api::request::{Body, unsupported, wrong_type};
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::Kind;

use super::Chat;
use super::object::{Object, begin, missing};

/// Appends `response_format` and `verbosity`.
pub(super) fn write(chat: &mut Chat, body: &Body<'_>) -> Result<(), Fault> {
    let Some(raw) = body.get("text") else {
        return Ok(());
    };
    let text = Object::read("text".to_owned(), raw)?;
    chat.raw("verbosity", text.string("verbosity")?);
    let Some(raw) = text.get("format") else {
        return Ok(());
    };
    let format = Object::read(text.place("format"), raw)?;
    match &*format.kind()? {
        "text" => {}
        "json_object" => chat.member("response_format", "{\"type\":\"json_object\"}"),
        "json_schema" => chat.member("response_format", &schema(&format)?),
        other => {
            let message = format!(
                "`text.format` cannot be `{}`; it can be `text`, `json_object` or `json_schema`.",
                begin(other)
            );
            return Err(unsupported(&format.place("type"), message));
        }
    }
    Ok(())
}

/// In the chat API the members of the format are one level deeper.
fn schema(format: &Object<'_>) -> Result<String, Fault> {
    let at = format.place("schema");
    let schema = format.get("schema").ok_or_else(|| missing(&at))?;
    if Kind::of(schema) != Kind::Object {
        return Err(wrong_type(&at, "an object", schema));
    }
    let mut inner = Chat::default();
    inner.member("name", format.required("name")?.get());
    inner.raw("description", format.string("description")?);
    inner.member("schema", schema.get());
    inner.raw("strict", format.get("strict"));
    let mut outer = Chat::default();
    outer.member("type", "\"json_schema\"");
    outer.member("json_schema", &inner.end());
    Ok(outer.end())
}
