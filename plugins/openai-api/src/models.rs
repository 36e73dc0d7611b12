//! `GET /v1/models` and `GET /v1/models/{id}` from a server's list.
//!
//! Entries have OpenAI's members, and `context_length` if the server tells it under any name. Everything else, such as the
//! path of the model's files, is for the operator.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind, Members};

use crate::failure;

/// Names of the context's length: OpenRouter and Together, vLLM and SGLang, Groq, Mistral.
const LENGTHS: [&str; 4] = [
    "context_length",
    "max_model_len",
    "context_window",
    "max_context_length",
];

/// What llama.cpp calls it, in `meta`.
const META_LENGTHS: [&str; 2] = ["n_ctx", "n_ctx_train"];

/// Owners that only name the server's software.
const SOFTWARE: [&str; 5] = ["vllm", "llamacpp", "sglang", "tgi", "library"];

/// All models as OpenAI's list. `length` is the length of the context where an entry has none.
///
/// # Errors
/// 502 `upstream_invalid`.
pub fn list(body: &[u8], length: Option<u64>) -> Result<Vec<u8>, Fault> {
    let mut out = String::from("{\"object\":\"list\",\"data\":[");
    for (at, entry) in read(body)?.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        entry.write(&mut out, length);
    }
    out.push_str("]}");
    Ok(out.into_bytes())
}

/// One model. `id` is the rest of the path, percent-encoded; `length` as in [`list`].
///
/// # Errors
/// 404 `model_not_found`, or 502 `upstream_invalid`.
pub fn find(body: &[u8], id: &str, length: Option<u64>) -> Result<Vec<u8>, Fault> {
    let wanted = decoded(id);
    let entries = read(body)?;
    let Some(entry) = entries.iter().find(|entry| entry.id == wanted) else {
        let shown: String = wanted.chars().take(200).collect();
        let message = format!("The model `{shown}` does not exist.");
        return Err(Fault::not_found("model_not_found", message).param("model"));
    };
    let mut out = String::with_capacity(128);
    entry.write(&mut out, length);
    Ok(out.into_bytes())
}

/// Decodes percent-encoding, of a name in a path. Text that is malformed, or not UTF-8, stays as it is.
pub fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            Some(_) | None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

struct Entry<'a> {
    id: Cow<'a, str>,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// The models. Most servers send a list in an object, some the list alone.
fn read(body: &[u8]) -> Result<Vec<Entry<'_>>, Fault> {
    let nonsense = |_| failure::nonsense();
    let raw: &RawValue = serde_json::from_slice(body).map_err(nonsense)?;
    let list = match Kind::of(raw) {
        Kind::Object => {
            let Members(members) = serde_json::from_str(raw.get()).map_err(nonsense)?;
            let data = members.into_iter().find(|(name, _)| name == "data");
            data.ok_or_else(failure::nonsense)?.1
        }
        Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Array => raw,
    };
    let list: Option<Vec<Members<'_>>> = serde_json::from_str(list.get()).map_err(nonsense)?;
    let entries = list.into_iter().flatten().filter_map(|Members(members)| {
        let (_, id) = members.iter().find(|(name, _)| name == "id")?;
        Some(Entry {
            id: json::text(id)?,
            members,
        })
    });
    Ok(entries.collect())
}

impl<'a> Entry<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        let (_, raw) = self.members.iter().find(|(known, _)| known == name)?;
        Some(raw)
    }

    fn write(&self, out: &mut String, length: Option<u64>) {
        out.push_str("{\"id\":");
        json::push_str(out, &self.id);
        out.push_str(",\"object\":\"model\",\"created\":");
        let created = self
            .get("created")
            .filter(|raw| Kind::of(raw) == Kind::Number);
        out.push_str(created.map_or("0", RawValue::get));
        out.push_str(",\"owned_by\":");
        let owner = self.get("owned_by").and_then(json::text);
        let owner = owner.filter(|owner| !owner.is_empty() && !SOFTWARE.contains(&&**owner));
        // TGI names the model.
        let owner = owner.filter(|owner| **owner != *self.id);
        let space = self.id.rsplit('/').nth(1).filter(|space| !space.is_empty());
        json::push_str(out, owner.as_deref().or(space).unwrap_or("library"));
        if let Some(length) = self.context_length().or(length) {
            out.push_str(",\"context_length\":");
            json::push_u64(out, length);
        }
        out.push('}');
    }

    fn context_length(&self) -> Option<u64> {
        let number = |raw: &RawValue| raw.get().parse::<u64>().ok();
        let known = LENGTHS.iter().find_map(|name| number(self.get(name)?));
        known.or_else(|| {
            let Members(meta) = serde_json::from_str(self.get("meta")?.get()).ok()?;
            META_LENGTHS.iter().find_map(|wanted| {
                let (_, raw) = meta.iter().find(|(name, _)| name == wanted)?;
                number(raw)
            })
        })
    }
}
