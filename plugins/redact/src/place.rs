//! What each string of a body is, by its place: a text, a word of the API, or data.
//!
//! Everything is a text unless its place is known to have something else: the same name elsewhere, such as in what a tool gets or
//! returns or in metadata, is searched like any text.
//!
//! # Source
//! OpenAI's API reference: chat completions, completions, embeddings, models and responses, November 2026.

use std::borrow::Cow;

use sluicegate_plugin::json::{Document, Kind, Node, push_u64};

/// Messages have the same members wherever they stand: they are written `M` below.
const MESSAGES: [&str; 5] = [
    "messages[]",
    "choices[].message",
    "choices[].delta",
    "input[]",
    "output[]",
];
/// Words of the API: a name, and the places of the objects that it is structural in. The root is empty.
const NAMES: [(&str, &[&str]); 21] = [
    ("call_id", &["M"]),
    ("code", &["error"]),
    ("detail", &["M.content[].image_url", "M.content[]"]),
    ("effort", &["reasoning"]),
    ("encoding_format", &[""]),
    ("finish_reason", &["choices[]"]),
    ("format", &["", "audio", "M.content[].input_audio"]),
    (
        "id",
        &[
            "",
            "data[]",
            "M",
            "M.audio",
            "M.reasoning_details[]",
            "M.tool_calls[]",
        ],
    ),
    ("model", &[""]),
    (
        "name",
        &[
            "function_call",
            "functions[]",
            "response_format.json_schema",
            "text.format",
            "tool_choice",
            "tool_choice.custom",
            "tool_choice.function",
            "tools[]",
            "tools[].custom",
            "tools[].function",
            "M.function_call",
            "M.tool_calls[].custom",
            "M.tool_calls[].function",
        ],
    ),
    ("object", &["", "data[]"]),
    ("owned_by", &["data[]"]),
    ("param", &["error"]),
    ("reasoning_effort", &[""]),
    ("role", &["M"]),
    ("service_tier", &[""]),
    ("system_fingerprint", &[""]),
    ("tool_call_id", &["M"]),
    ("tool_choice", &[""]),
    ("type", &TYPED),
    ("voice", &["", "audio"]),
];
/// The places of the objects in which `type` is a word of the API.
const TYPED: [&str; 19] = [
    "",
    "error",
    "prediction",
    "prediction.content[]",
    "response_format",
    "text.format",
    "thinking",
    "tool_choice",
    "tool_choice.allowed_tools.tools[]",
    "tool_choice.custom",
    "tools[]",
    "tools[].custom.format",
    "web_search_options.user_location",
    "M",
    "M.annotations[]",
    "M.content[]",
    "M.images[]",
    "M.reasoning_details[]",
    "M.tool_calls[]",
];
/// Data in base 64, or an address that holds it.
const DATA: [(&str, &[&str]); 8] = [
    ("b64_json", &["data[]"]),
    (
        "data",
        &[
            "M.audio",
            "M.content[].input_audio",
            "M.content[].source",
            "M.reasoning_details[]",
        ],
    ),
    ("embedding", &["data[]"]),
    ("encrypted_content", &["M"]),
    ("file_data", &["M.content[]", "M.content[].file"]),
    ("image", &["", "M.content[]"]),
    ("image_url", &["M.content[]"]),
    (
        "url",
        &[
            "M.content[].audio_url",
            "M.content[].image_url",
            "M.content[].video_url",
            "M.images[].image_url",
        ],
    ),
];
/// JSON Schemas.
const SCHEMAS: [&str; 5] = [
    "functions[].parameters",
    "response_format.json_schema.schema",
    "text.format.schema",
    "tools[].function.parameters",
    "tools[].parameters",
];
/// Members of a schema whose values are words of it.
const OF_SCHEMAS: [&str; 4] = ["$ref", "format", "required", "type"];
/// Members of a schema that are schemas, or lists of them.
const SUBSCHEMAS: [&str; 11] = [
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "then",
];
/// Members of a schema that are objects of schemas.
const MAPS: [&str; 4] = ["$defs", "definitions", "patternProperties", "properties"];
/// Shorter data is not worth encoding. Arbitrary; longer than API keys are.
const DATA_LEAST: usize = 256;
/// Letters behind the `/` of a media type. Arbitrary; office documents have 60.
const MEDIA_TYPE_MAX: usize = 80;

/// What a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Text,
    /// JSON text.
    Arguments,
    /// A word of the API.
    Name,
    /// Data, if it is in base 64. In a delta it may be short.
    Data {
        is_streamed: bool,
    },
}

/// What stands at a place.
pub(crate) fn place(document: &Document<'_>, node: &Node) -> Place {
    let Some(name) = document.name(node) else {
        let list = document.parent(node);
        let is_word = |list: &Node| {
            let name = document.name(list);
            name.is_some_and(|name| matches!(&*name, "required" | "type"))
                && is_schema(&path_of_parent(document, list))
        };
        return if list.is_some_and(is_word) {
            Place::Name
        } else {
            Place::Text
        };
    };
    if name == "arguments" {
        return Place::Arguments;
    }
    let (names, data) = (places(&NAMES, &name), places(&DATA, &name));
    let is_of_schemas = OF_SCHEMAS.contains(&&*name);
    if names.is_empty() && data.is_empty() && !is_of_schemas {
        return Place::Text;
    }
    let path = path_of_parent(document, node);
    let short = shortened(&path);
    if names.contains(&&*short) || (is_of_schemas && is_schema(&path)) {
        Place::Name
    } else if data.contains(&&*short) {
        Place::Data {
            is_streamed: path.starts_with("choices[].delta"),
        }
    } else {
        Place::Text
    }
}

/// Whether a text at a place for data is nothing but data in base 64, or an address that holds it.
pub(crate) fn is_data(text: &str, is_streamed: bool) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte);
    let address = text
        .strip_prefix("data:")
        .and_then(|it| it.split_once(";base64,"));
    match address {
        Some((media, data)) => is_media_type(media) && data.bytes().all(is_base64),
        // Short data is searched like any text: an API key has letters of base64 only, too.
        None => (is_streamed || text.len() >= DATA_LEAST) && text.bytes().all(is_base64),
    }
}

/// Whether this is a media type and nothing else, such as `image/png`. Those of text are not data.
fn is_media_type(text: &str) -> bool {
    let Some((kind, subtype)) = text.split_once('/') else {
        return false;
    };
    let is_part = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'+' | b'-');
    ["application", "audio", "font", "image", "model", "video"].contains(&kind)
        && (1..=MEDIA_TYPE_MAX).contains(&subtype.len())
        && subtype.bytes().all(is_part)
}

fn places(of: &[(&str, &'static [&'static str])], name: &str) -> &'static [&'static str] {
    let found = of.iter().find(|(it, _)| *it == name);
    found.map_or(&[], |(_, places)| places)
}

/// The place of the object or list that a value is in, such as `messages[].content[]`.
fn path_of_parent(document: &Document<'_>, node: &Node) -> String {
    let mut steps = Vec::with_capacity(8);
    let mut at = document.parent(node);
    while let Some(node) = at {
        at = document.parent(node);
        if at.is_some() {
            steps.push(document.name(node));
        }
    }
    let mut path = String::with_capacity(32);
    for step in steps.iter().rev() {
        match step {
            None => path.push_str("[]"),
            Some(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                // A name that looks like a path is none.
                let is_plain = !name.is_empty() && !name.contains(['.', '[']);
                path.push_str(if is_plain { name } else { "?" });
            }
        }
    }
    path
}

/// The place of a value of a stream, with the number of each element.
pub(crate) fn path(document: &Document<'_>, node: &Node) -> String {
    let mut steps = Vec::with_capacity(8);
    let mut at = node;
    while let Some(parent) = document.parent(at) {
        steps.push(at);
        at = parent;
    }
    let mut path = String::with_capacity(32);
    for step in steps.iter().rev() {
        let number = match document.name(step) {
            Some(name) => {
                path.push('.');
                path.push_str(&name);
                continue;
            }
            None if step.kind() == Kind::Object => document.member(step, "index"),
            None => None,
        };
        match number {
            Some(number) => path.push_str(document.raw(number)),
            None => push_u64(&mut path, step.position() as u64),
        }
        path.push('#');
    }
    path
}

/// The path with `M` in place of a message.
fn shortened(path: &str) -> Cow<'_, str> {
    let rest = MESSAGES.iter().find_map(|it| path.strip_prefix(it));
    match rest {
        Some(rest) if rest.is_empty() || rest.starts_with(['.', '[']) => {
            Cow::Owned(format!("M{rest}"))
        }
        Some(_) | None => Cow::Borrowed(path),
    }
}

/// Whether this is the place of a schema or of one within it, and not of a value in it, such as an example.
fn is_schema(path: &str) -> bool {
    let Some(rest) = SCHEMAS.iter().find_map(|it| path.strip_prefix(it)) else {
        return false;
    };
    if !(rest.is_empty() || rest.starts_with('.')) {
        return false;
    }
    let mut steps = rest.split('.').skip(1);
    while let Some(step) = steps.next() {
        let is_one = if MAPS.contains(&step) {
            steps.next().is_some()
        } else {
            SUBSCHEMAS.contains(&step.trim_end_matches("[]"))
        };
        if !is_one {
            return false;
        }
    }
    true
}
