//! Embeddings, of which only the model's name is changed.

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind, Members};

use crate::failure;

/// A response with the name that the client used, as JSON text, and its usage.
///
/// # Errors
/// The server's error; 502 `upstream_invalid` if it is no list.
pub fn named<'b>(body: &'b [u8], model: Option<&str>) -> Result<(Vec<u8>, Option<&'b str>), Fault> {
    let text = std::str::from_utf8(body).map_err(|_| failure::nonsense())?;
    let Members(members) = serde_json::from_str(text).map_err(|_| failure::nonsense())?;
    let find = |wanted: &str| {
        members
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, raw)| *raw)
    };
    if find("error").is_some_and(|raw| Kind::of(raw) != Kind::Null) {
        return Err(failure::of_event(text));
    }
    if find("data").is_none_or(|raw| Kind::of(raw) != Kind::Array) {
        return Err(failure::nonsense());
    }
    let mut out = String::with_capacity(text.len() + 64);
    for (name, raw) in &members {
        out.push(if out.is_empty() { '{' } else { ',' });
        json::push_str(&mut out, name);
        out.push(':');
        out.push_str(match model {
            Some(model) if name == "model" => model,
            Some(_) | None => raw.get(),
        });
    }
    out.push('}');
    let usage = find("usage").filter(|raw| Kind::of(raw) == Kind::Object);
    Ok((out.into_bytes(), usage.map(RawValue::get)))
}
