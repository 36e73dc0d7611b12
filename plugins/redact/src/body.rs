//! The texts of a body: which of its strings are texts, which are names, and which are neither.
//!
//! Everything is a text unless it is known not to be one: a member that nobody has heard of is searched too.

use sluicegate_plugin::json::{Document, Edits, Kind, Node};
use sluicegate_plugin::window::{JsonWindow, replaced};
use sluicegate_plugin::{Fault, chat::Rewrite};

use crate::rules::{Pass, Side};

/// Members whose value is a word of the API. Words of the operator must not change them.
const NAMES: [&str; 22] = [
    "$ref",
    "call_id",
    "code",
    "detail",
    "effort",
    "encoding_format",
    "finish_reason",
    "format",
    "id",
    "model",
    "object",
    "owned_by",
    "param",
    "reasoning_effort",
    "required",
    "role",
    "service_tier",
    "system_fingerprint",
    "tool_call_id",
    "tool_choice",
    "type",
    "voice",
];
/// Members whose value is encoded in base 64.
const ENCODED: [&str; 5] = [
    "b64_json",
    "data",
    "embedding",
    "encrypted_content",
    "file_data",
];
/// Members whose value may be an address that holds data itself.
const ADDRESSES: [&str; 4] = ["file_url", "image", "image_url", "url"];
/// A shorter value is not worth encoding. Arbitrary; longer than API keys are.
const ENCODED_LEAST: usize = 256;
/// Letters behind the `/` of a media type. Arbitrary; office documents have 60.
const MEDIA_TYPE_MAX: usize = 80;
/// Members of a response that have its text in the form of tokens. They come one by one, so nothing in them can be hidden.
const TOKENS: [&str; 5] = [
    "logprobs",
    "prompt_logprobs",
    "prompt_token_ids",
    "token_ids",
    "tokens",
];
/// A shorter name of lower-case letters cannot be anything that is hidden.
const NAME: usize = 19;

/// What a string is.
enum Place {
    Text,
    /// JSON text.
    Arguments,
    Name,
    Encoded,
}

impl Pass<'_> {
    /// Something that cannot be searched. It is refused: nothing passes unseen.
    pub(crate) fn unreadable(&self, what: &str) -> Fault {
        let message = format!("{what}, so it cannot be searched for what must be hidden.");
        let status = match self.side {
            Side::Request => 400,
            Side::Response => 502,
        };
        Fault::new(status, "redact_unreadable", message)
    }

    /// A body or an event that is not JSON although it should be.
    pub(crate) fn not_json(&self) -> Fault {
        self.unreadable(match self.side {
            Side::Request => "The request body is not JSON",
            Side::Response => "The response of the model server is not JSON",
        })
    }

    /// Rewrites the texts of a document; `None` if nothing changes.
    pub(crate) fn document(&mut self, document: &Document<'_>) -> Result<Option<String>, Fault> {
        let mut edits = Edits::default();
        self.rest(document, &[], &mut edits)?;
        Ok(edits.apply(document.source()))
    }

    fn string(
        &mut self,
        document: &Document<'_>,
        node: &Node,
        edits: &mut Edits,
    ) -> Result<(), Fault> {
        let Some(text) = document.text(node) else {
            return Err(self.unreadable("A text has half of a character"));
        };
        let new = match place(document, node, &text) {
            Place::Text if is_json(&text) => self.json(&text),
            Place::Text => replaced(&mut *self, &text),
            Place::Arguments => self.json(&text),
            Place::Name => self.name(&text),
            Place::Encoded => None,
        };
        if let Some(new) = new {
            edits.text(node.span(), &new);
        }
        Ok(())
    }

    /// Rewrites JSON text, such as what a tool returned: what is written with escapes is found too.
    fn json(&mut self, text: &str) -> Option<String> {
        let before = self.tally.hits();
        let mut window = JsonWindow::default();
        let mut out = String::with_capacity(text.len());
        window.feed(&mut *self, text, &mut out);
        window.pause(&mut *self, &mut out);
        // Escapes may come out in another way, which is no reason to change a text.
        (self.tally.hits() > before).then_some(out)
    }

    fn name(&mut self, text: &str) -> Option<String> {
        if text.len() < NAME && text.bytes().all(|it| it.is_ascii_lowercase() || it == b'_') {
            return None;
        }
        self.is_name = true;
        let new = replaced(&mut *self, text);
        self.is_name = false;
        new
    }
}

impl Rewrite for Pass<'_> {
    fn rest(
        &mut self,
        document: &Document<'_>,
        streamed: &[usize],
        edits: &mut Edits,
    ) -> Result<(), Fault> {
        let mut skipped = 0;
        for node in document.values() {
            if node.span().start < skipped {
                continue;
            }
            if let Some(span) = node.name_span() {
                let Some(name) = document.name(node) else {
                    return Err(self.unreadable("The name of a member has half of a character"));
                };
                if let Some(new) = self.name(&name) {
                    edits.text(span, &new);
                }
            }
            match node.kind() {
                Kind::String if streamed.contains(&node.number()) => {}
                Kind::String => self.string(document, node, edits)?,
                Kind::Array | Kind::Object if self.side == Side::Response => {
                    if is_one_of(document, node, &TOKENS) {
                        edits.replace(node.span(), "null");
                        skipped = node.span().end;
                    }
                }
                Kind::Array if node.has_numbers() && is_prompt(document, node) => {
                    return Err(self.unreadable("A prompt is a list of tokens"));
                }
                Kind::Array | Kind::Object | Kind::Null | Kind::Bool | Kind::Number => {}
            }
        }
        Ok(())
    }

    fn unknown(&mut self, data: &str) -> Result<Option<String>, Fault> {
        let Some(document) = Document::read(data) else {
            return Err(self.not_json());
        };
        let is_text = |node: &&Node| {
            let text = document.text(node).unwrap_or_default();
            matches!(
                place(&document, node, &text),
                Place::Text | Place::Arguments
            )
        };
        let mut strings = document
            .values()
            .iter()
            .filter(|it| it.kind() == Kind::String);
        if strings.any(|node| is_text(&node)) {
            return Err(self.unreadable("An event of the model server is not in OpenAI's form"));
        }
        self.document(&document)
    }
}

fn place(document: &Document<'_>, node: &Node, text: &str) -> Place {
    let named = |names: &[&str]| is_one_of(document, node, names);
    if named(&["arguments"]) {
        Place::Arguments
    } else if is_encoded(text, named(&ADDRESSES), named(&ENCODED)) {
        Place::Encoded
    } else if named(&NAMES) || is_name_within(document, node) {
        Place::Name
    } else {
        Place::Text
    }
}

/// Whether a text is searched as JSON: an object, even a broken one, or a whole list. A text may begin with `[` and be none.
fn is_json(text: &str) -> bool {
    match text.trim_ascii_start().as_bytes().first() {
        Some(b'{') => true,
        Some(b'[') => Document::read(text).is_some(),
        Some(_) | None => false,
    }
}

/// Whether a string is a name because of what it is in: one of a schema's list, or a function.
fn is_name_within(document: &Document<'_>, node: &Node) -> bool {
    let Some(parent) = document.parent(node) else {
        return false;
    };
    match node.name_span() {
        None => is_one_of(document, parent, &["required", "type"]),
        Some(_) => is_one_of(document, node, &["name"]) && is_function(document, parent),
    }
}

fn is_one_of(document: &Document<'_>, node: &Node, names: &[&str]) -> bool {
    let name = document.name(node);
    name.is_some_and(|name| names.contains(&&*name))
}

/// Whether an object describes or calls a function, or a schema: then its name is no text.
fn is_function(document: &Document<'_>, object: &Node) -> bool {
    let list = ["functions", "tools"];
    let parent = document.parent(object);
    is_one_of(
        document,
        object,
        &["function", "function_call", "custom", "json_schema"],
    ) || parent.is_some_and(|it| is_one_of(document, it, &list))
}

/// Whether this is the prompt of a completion or the input of embeddings, or one of several.
fn is_prompt(document: &Document<'_>, array: &Node) -> bool {
    let names = ["prompt", "input"];
    let parent = document.parent(array);
    let is_in = |node: &Node| is_one_of(document, node, &names);
    is_in(array) || (array.name_span().is_none() && parent.is_some_and(is_in))
}

/// Whether a text is nothing but data in base 64: an address that holds it, or a member that has such data. Short ones are
/// searched like any text: an API key has letters of base 64 only, too.
fn is_encoded(text: &str, is_address: bool, is_member: bool) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte);
    let address = text
        .strip_prefix("data:")
        .and_then(|it| it.split_once(";base64,"))
        .filter(|_| is_address || is_member);
    match address {
        Some((media, data)) => is_media_type(media) && data.bytes().all(is_base64),
        None => is_member && text.len() >= ENCODED_LEAST && text.bytes().all(is_base64),
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
