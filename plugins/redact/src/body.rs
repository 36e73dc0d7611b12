//! The texts of a body, searched and rewritten; [`place`](crate::place) says what each of its strings is.

use sluicegate_plugin::json::{Document, Edits, Kind, Node};
use sluicegate_plugin::window::{JsonWindow, replaced};
use sluicegate_plugin::{Fault, chat::Rewrite};

use crate::place::{Place, is_data, path, place};
use crate::rules::{Pass, STEPS, Side};

/// Members of a response that have its text in the form of tokens. They come one by one, so nothing in them can be hidden.
const TOKENS: [&str; 5] = [
    "logprobs",
    "prompt_logprobs",
    "prompt_token_ids",
    "token_ids",
    "tokens",
];
/// Places of a stream besides the deltas that may have texts. Arbitrary; a list of sources has some hundred.
const LOOSE: usize = 1024;
/// A shorter name of lower-case letters cannot be anything that is hidden.
const NAME: usize = 19;

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

    /// A text whose search takes too long.
    pub(crate) fn too_large(&self) -> Fault {
        let (status, whose, mend) = match self.side {
            Side::Request => (413, "request", "Send less text at once"),
            Side::Response => (502, "response", "Ask for less text at once"),
        };
        let message = format!(
            "Searching the texts of the {whose} for what must be hidden takes more than {STEPS} steps. {mend}, or configure `redact` with \
             fewer rules, and with regular expressions that are decided within fewer characters."
        );
        Fault::new(status, "redact_too_large", message)
    }

    /// A body or an event that is not JSON although it should be.
    pub(crate) fn not_json(&self) -> Fault {
        self.unreadable(match self.side {
            Side::Request => "The request body is not JSON, or is nested deeper than 128 levels, or has more than 500,000 values",
            Side::Response => "The response of the model server is not JSON, or is nested deeper than 128 levels, or has more than 500,000 values",
        })
    }

    /// Rewrites the texts of a document; `None` if nothing changes.
    pub(crate) fn document(&mut self, document: &Document<'_>) -> Result<Option<String>, Fault> {
        let mut edits = Edits::default();
        self.rest(document, &[], &mut edits)?;
        if self.is_exhausted() {
            return Err(self.too_large());
        }
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
        let place = place(document, node);
        let new = match place {
            Place::Data { is_streamed } if is_data(&text, is_streamed) => return Ok(()),
            Place::Text | Place::Data { .. } if !is_json(&text) => replaced(&mut *self, &text),
            Place::Text | Place::Data { .. } | Place::Arguments => self.json(&text),
            Place::Name => self.name(&text),
        };
        let shown = new.as_deref().unwrap_or(&text);
        let across = match place {
            Place::Text | Place::Data { .. } | Place::Arguments => {
                self.across(document, node, shown)?
            }
            Place::Name => None,
        };
        let new = across.or(new);
        if let Some(new) = new {
            edits.text(node.span(), &new);
        }
        Ok(())
    }

    /// Rewrites the rest of a match that began in an earlier event at the same place. Nobody knows whether a client joins such texts, so
    /// nothing is held back.
    fn across(
        &mut self,
        document: &Document<'_>,
        node: &Node,
        text: &str,
    ) -> Result<Option<String>, Fault> {
        let Some(loose) = self.loose.take() else {
            return Ok(None);
        };
        let path = path(document, node);
        if loose.len() == LOOSE && !loose.contains_key(&path) {
            return Err(self.unreadable("The stream has too many texts besides its deltas"));
        }
        let window = loose.entry(path).or_default();
        let before = self.tally.hits();
        let mut out = String::with_capacity(text.len());
        window.feed(&mut *self, text, &mut out);
        window.pause(&mut *self, &mut out);
        self.loose = Some(loose);
        Ok((self.tally.hits() > before).then_some(out))
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
            if self.is_exhausted() {
                return Err(self.too_large());
            }
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

    fn is_text(&self, document: &Document<'_>, node: &Node) -> bool {
        match place(document, node) {
            Place::Text | Place::Arguments => true,
            Place::Name | Place::Data { .. } => false,
        }
    }

    fn unknown(&mut self, data: &str) -> Result<Option<String>, Fault> {
        let Some(document) = Document::read(data) else {
            return Err(self.not_json());
        };
        let mut strings = document
            .values()
            .iter()
            .filter(|it| it.kind() == Kind::String);
        if strings.any(|node| place(&document, node) != Place::Name) {
            return Err(self.unreadable("An event of the model server is not in OpenAI's form"));
        }
        self.document(&document)
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

fn is_one_of(document: &Document<'_>, node: &Node, names: &[&str]) -> bool {
    let name = document.name(node);
    name.is_some_and(|name| names.contains(&&*name))
}

/// Whether this is the prompt of a completion or the input of embeddings, or one of several.
fn is_prompt(document: &Document<'_>, array: &Node) -> bool {
    let names = ["prompt", "input"];
    let parent = document.parent(array);
    let is_in = |node: &Node| is_one_of(document, node, &names);
    is_in(array) || (array.name_span().is_none() && parent.is_some_and(is_in))
}
