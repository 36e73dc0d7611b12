//! A chat request, to read and to change.

use std::borrow::Cow;

use crate::json::{Document, Edits, Kind, Node, push_str};
use crate::types::Fault;

/// A chat request, to read and to change. Whatever is not changed stays as it is written, members that nobody knows included.
///
/// # Shape
/// Reading shows the request as it came: changes show only in [`Request::into_body`].
///
/// ```
/// use sluicegate_plugin::chat::Request;
/// let body = br#"{"model":"a","x":1.50,"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}"#;
/// let mut request = Request::read(body).unwrap();
/// assert_eq!((request.model().as_deref(), request.stream()), (Some("a"), false));
/// let texts: Vec<_> = request.messages().flat_map(|it| it.texts()).collect();
/// for text in texts {
///     request.set_text(&text, &format!("{} there", text.text));
/// }
/// request.set("temperature", "0");
/// request.prepend_message("system", "Be brief.");
/// let expected = r#"{"temperature":0,"model":"a","x":1.50,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"Hi there"}]}]}"#;
/// assert_eq!(request.into_body().as_deref(), Some(expected.as_bytes()));
/// ```
#[derive(Clone, Debug)]
pub struct Request<'a> {
    document: Document<'a>,
    edits: Edits,
}

/// A message of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestMessage<'r, 'a> {
    document: &'r Document<'a>,
    node: &'r Node,
}

/// A text of a message, and where it stands.
#[derive(Clone, Debug)]
pub struct RequestText<'a> {
    /// The text.
    pub text: Cow<'a, str>,
    span: std::ops::Range<usize>,
}

/// A tool that the model may call.
#[derive(Clone, Debug)]
pub struct Tool<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it does.
    pub description: Option<Cow<'a, str>>,
    /// The JSON Schema of its arguments, as JSON text.
    pub parameters: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Reads a request body.
    ///
    /// # Errors
    /// 400 if it is not a JSON object.
    pub fn read(body: &'a [u8]) -> Result<Self, Fault> {
        let text = std::str::from_utf8(body).ok();
        let document = text.and_then(Document::read);
        let document = document.filter(|it| it.root().kind() == Kind::Object);
        let document =
            document.ok_or_else(|| Fault::bad_request("The request body is not a JSON object."))?;
        Ok(Self {
            document,
            edits: Edits::default(),
        })
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> Option<Cow<'a, str>> {
        self.text("model")
    }

    /// Whether the client wants a stream.
    #[must_use]
    pub fn stream(&self) -> bool {
        self.get("stream") == Some("true")
    }

    /// A member as JSON text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let value = self.document.member(self.document.root(), name)?;
        Some(self.document.raw(value))
    }

    /// A member that is a string.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        let value = self.document.member(self.document.root(), name)?;
        self.document.text(value)
    }

    /// Sets a member to JSON text.
    pub fn set(&mut self, name: &str, json: &str) {
        self.edits
            .set(&self.document, self.document.root(), name, json);
    }

    /// Sets a member to a string.
    pub fn set_member_text(&mut self, name: &str, text: &str) {
        let mut json = String::with_capacity(text.len() + 2);
        push_str(&mut json, text);
        self.set(name, &json);
    }

    /// Removes a member.
    pub fn remove(&mut self, name: &str) {
        if let Some(value) = self.document.member(self.document.root(), name) {
            self.edits.remove(&self.document, value);
        }
    }

    /// The messages.
    pub fn messages(&self) -> impl Iterator<Item = RequestMessage<'_, 'a>> {
        let document = &self.document;
        self.list("messages")
            .map(move |node| RequestMessage { document, node })
    }

    /// The tools that are functions.
    pub fn tools(&self) -> impl Iterator<Item = Tool<'a>> {
        let document = &self.document;
        self.list("tools").filter_map(move |tool| {
            let function = document.member(tool, "function")?;
            let text = |name| document.text(document.member(function, name)?);
            Some(Tool {
                name: text("name")?,
                description: text("description"),
                parameters: document
                    .member(function, "parameters")
                    .map(|it| document.raw(it)),
            })
        })
    }

    /// Replaces a text.
    pub fn set_text(&mut self, place: &RequestText<'_>, text: &str) {
        self.edits.text(place.span.clone(), text);
    }

    /// Puts a message before all others.
    pub fn prepend_message(&mut self, role: &str, text: &str) {
        if let Some(list) = self.document.member(self.document.root(), "messages") {
            self.edits
                .prepend(&self.document, list, &message(role, text));
        }
    }

    /// Puts a message behind all others.
    pub fn append_message(&mut self, role: &str, text: &str) {
        if let Some(list) = self.document.member(self.document.root(), "messages") {
            self.edits
                .append(&self.document, list, &message(role, text));
        }
    }

    /// The document, for what is not here, and its changes so far.
    pub fn parts(&mut self) -> (&Document<'a>, &mut Edits) {
        (&self.document, &mut self.edits)
    }

    /// The new body; `None` if nothing changes: what `request_body` returns.
    #[must_use]
    pub fn into_body(self) -> Option<Vec<u8>> {
        let text = self.edits.apply(self.document.source())?;
        Some(text.into_bytes())
    }

    /// The objects of a member that is a list.
    fn list(&self, name: &str) -> impl Iterator<Item = &Node> {
        let list = self.document.member(self.document.root(), name);
        let list = list.filter(|it| it.kind() == Kind::Array);
        let items = list.into_iter().flat_map(|it| self.document.children(it));
        items.filter(|it| it.kind() == Kind::Object)
    }
}

impl<'r, 'a> RequestMessage<'r, 'a> {
    /// Who says it.
    #[must_use]
    pub fn role(&self) -> Cow<'a, str> {
        self.member("role").unwrap_or_default()
    }

    /// A member that is a string.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Cow<'a, str>> {
        self.document.text(self.document.member(self.node, name)?)
    }

    /// Its texts: the content, or the parts of it that are text.
    #[must_use]
    pub fn texts(&self) -> Vec<RequestText<'a>> {
        let document = self.document;
        let Some(content) = document.member(self.node, "content") else {
            return Vec::new();
        };
        let text = |node: &Node| {
            Some(RequestText {
                text: document.text(node)?,
                span: node.span(),
            })
        };
        match content.kind() {
            Kind::String => text(content).into_iter().collect(),
            Kind::Array => document
                .children(content)
                .filter(|part| part.kind() == Kind::Object)
                .filter_map(|part| text(document.member(part, "text")?))
                .collect(),
            Kind::Null | Kind::Bool | Kind::Number | Kind::Object => Vec::new(),
        }
    }

    /// Where it stands in the document.
    #[must_use]
    pub fn node(&self) -> &'r Node {
        self.node
    }
}

/// A message as JSON text.
fn message(role: &str, text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 40);
    out.push_str("{\"role\":");
    push_str(&mut out, role);
    out.push_str(",\"content\":");
    push_str(&mut out, text);
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"model":"m","stream":true,"seed":1e2,"messages":[{"role":"system","content":"a"},
        {"role":"user","content":[{"type":"text","text":"b"},{"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"c\n"}]},
        {"role":"assistant","content":null}, 7],
        "tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type": "object"}}},{"type":"other"}]}"#;

    #[test]
    fn a_request_is_read_with_what_it_has() {
        let request = Request::read(BODY).expect("a request");
        assert_eq!(request.model().as_deref(), Some("m"));
        assert!(request.stream());
        assert_eq!(request.get("seed"), Some("1e2"));
        let found: Vec<_> = request
            .messages()
            .map(|it| {
                let texts = it.texts().into_iter().map(|it| it.text.into_owned());
                (it.role().into_owned(), texts.collect::<Vec<_>>().join("|"))
            })
            .collect();
        let pair = |role: &str, text: &str| (role.to_owned(), text.to_owned());
        let expected = [
            pair("system", "a"),
            pair("user", "b|c\n"),
            pair("assistant", ""),
        ];
        assert_eq!(found, expected);
        let tools: Vec<_> = request.tools().collect();
        assert_eq!(tools.len(), 1);
        let tool = (&*tools[0].name, tools[0].description.as_deref());
        assert_eq!(tool, ("f", Some("d")));
        assert_eq!(tools[0].parameters, Some(r#"{"type": "object"}"#));
    }

    #[test]
    fn only_what_is_changed_changes() {
        assert_eq!(Request::read(BODY).expect("a request").into_body(), None);
        let mut request = Request::read(BODY).expect("a request");
        let text = request.messages().flat_map(|it| it.texts()).nth(2);
        request.set_text(&text.expect("a text"), "\"C\"");
        request.set_member_text("model", "n");
        request.remove("seed");
        request.append_message("user", "d");
        let body = request.into_body().expect("a body");
        let expected = String::from_utf8_lossy(BODY)
            .replace("\"c\\n\"", "\"\\\"C\\\"\"")
            .replace("\"m\"", "\"n\"")
            .replace("\"seed\":1e2,", "")
            .replace(", 7]", ", 7,{\"role\":\"user\",\"content\":\"d\"}]");
        assert_eq!(String::from_utf8_lossy(&body), expected);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in [&b""[..], b"[]", b"{", b"\xff"] {
            let fault = Request::read(body).expect_err("it is refused");
            assert_eq!(fault.status, 400);
        }
    }
}
