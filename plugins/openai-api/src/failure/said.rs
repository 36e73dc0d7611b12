//! Reads an error of any form: OpenAI's object, a text, a flat object, a framework's `detail`, or plain text.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sluicegate_plugin::json::{self, Kind, Members};

/// The most errors in errors that are read; two have been seen.
const LAYERS: u8 = 4;

/// No server's code or parameter is longer.
const WORD_BYTES: usize = 128;

/// What an error says.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The text; "" if there is none.
    pub(super) text: String,
    /// The server's word for the error, if it is one that OpenAI's clients may know.
    pub(super) code: Option<String>,
    /// The parameter, in OpenAI's notation.
    pub(super) param: Option<String>,
    /// The server's class of errors, in lower case.
    pub(super) kind: String,
    /// The status in the error.
    pub(super) status: Option<u16>,
    /// Whether it has the form of a model server's error instead of a framework's or a proxy's.
    pub(super) is_own: bool,
}

impl Said {
    /// Reads a body.
    pub(super) fn of(status: u16, body: &str) -> Self {
        let mut said = Self::default();
        let body = body.trim();
        match serde_json::from_str::<&RawValue>(body) {
            Ok(raw) => said.read(raw, LAYERS),
            // What is not JSON is a framework's word about the request, or a page.
            Err(_) if (400..500).contains(&status) && !body.starts_with('<') => {
                body.clone_into(&mut said.text);
            }
            Err(_) => {}
        }
        said.tidy();
        said
    }

    fn read(&mut self, raw: &RawValue, layers: u8) {
        if Kind::of(raw) == Kind::String {
            self.text = json::text(raw).unwrap_or_default().into_owned();
        }
        let Ok(Members(members)) = serde_json::from_str(raw.get()) else {
            return;
        };
        for (name, raw) in members {
            match &*name {
                "error" | "detail" | "message" => {
                    self.is_own |= name == "error" || layers < LAYERS;
                    if let Some(layers) = layers.checked_sub(1) {
                        self.read(first(raw), layers);
                    }
                }
                "msg" => self.text = json::text(raw).unwrap_or_default().into_owned(),
                "object" => self.is_own |= raw.get() == "\"error\"",
                "type" | "error_type" => self.kind = word(raw).unwrap_or_default().to_lowercase(),
                "param" => self.param = word(raw),
                "code" | "http_status_code" => match raw.get().parse() {
                    Ok(status) => self.status = Some(status).filter(|it| (400..600).contains(it)),
                    Err(_) => self.code = word(raw).filter(|code| is_code(code)),
                },
                _ => {}
            }
        }
    }

    /// Makes a sentence of a framework's list of mistakes, and a parameter of its place.
    fn tidy(&mut self) {
        if let Some((text, at)) = first_mistake(&self.text) {
            let at = at.map(|at| place(&at)).filter(|at| !at.is_empty());
            self.text = match &at {
                Some(at) => format!("`{at}`: {text}."),
                None => text,
            };
            self.param = at.or(self.param.take());
        }
        if let Some(text) = self.text.strip_prefix("Input validation error: ") {
            let mut parts = text.split('`');
            self.param = parts.nth(1).filter(|_| text.starts_with('`')).map(own_name);
            self.text = in_own_names(text);
        }
        if let Some(text) = self.text.strip_prefix(MISREAD) {
            let (text, _) = text.rsplit_once(" at line ").unwrap_or((text, ""));
            let place = text.split_once(": ").map(|(place, _)| place);
            let is_place = |place: &&str| !place.contains(' ');
            let own = |place: &str| own_name(place.strip_prefix("parameters.").unwrap_or(place));
            self.param = place.filter(is_place).map(own);
            self.text = text.to_owned();
        }
        if let Some((text, _)) = self.text.split_once(" (parameter=") {
            self.text = text.to_owned();
        }
        self.param = self
            .param
            .take()
            .map(|param| place(&param))
            .filter(|param| !param.is_empty());
    }

    /// Whether it says that something is wrong with the model's name.
    pub(super) fn is_about_a_model(&self) -> bool {
        let is_named = self.param.as_deref() == Some("model")
            || self.code.as_deref() == Some("model_not_found");
        is_named || self.kind == "notfounderror" || self.text.to_lowercase().contains("model")
    }

    /// The status of an event, which has none of its own.
    pub(super) fn status_of_event(&self) -> u16 {
        let by_kind = match &*self.kind {
            "validation" | "template_error" | "tool_error" => 422,
            "overloaded" => 429,
            _ => 500,
        };
        self.status.unwrap_or(by_kind)
    }

    /// The code of a client's mistake.
    pub(super) fn kind_of_mistake(&self) -> &'static str {
        if self.text.ends_with(": Field required.") && self.param.is_some() {
            "missing_required_parameter"
        } else if self.param.is_some() {
            "invalid_value"
        } else {
            "invalid_request"
        }
    }
}

/// How servers in Rust begin to say what they cannot read; the place follows.
const MISREAD: &str = "Failed to deserialize the JSON body into the target type: ";

/// TGI's names of parameters, and OpenAI's.
const NAMES: [(&str, &str); 3] = [
    ("inputs", "messages"),
    ("max_new_tokens", "max_tokens"),
    ("top_n_tokens", "top_logprobs"),
];

/// OpenAI's name for a parameter of TGI's.
fn own_name(name: &str) -> String {
    let known = NAMES.iter().find(|(known, _)| *known == name);
    known.map_or(name, |(_, own)| own).to_owned()
}

/// A text of TGI's with OpenAI's names of parameters.
fn in_own_names(text: &str) -> String {
    NAMES.iter().fold(text.to_owned(), |text, (name, own)| {
        text.replace(&format!("`{name}`"), &format!("`{own}`"))
    })
}

/// The value, or the first of a list of mistakes.
fn first(raw: &RawValue) -> &RawValue {
    match Kind::of(raw) {
        Kind::Array => serde_json::from_str::<Vec<&RawValue>>(raw.get())
            .ok()
            .and_then(|list| list.first().copied())
            .unwrap_or(raw),
        Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Object => raw,
    }
}

fn word(raw: &RawValue) -> Option<String> {
    let word = json::text(raw).map(Cow::into_owned)?;
    (!word.is_empty() && word.len() <= WORD_BYTES).then_some(word)
}

fn is_code(word: &str) -> bool {
    word.bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The first of the mistakes in a text of pydantic's, as a sentence, and its place.
///
/// # Source
/// vLLM source, `vllm/entrypoints/openai/server_utils.py` (`validation_exception_handler`): `N validation errors:`, then one
/// line for each mistake, a dictionary in Python's notation. Errors of a later check are pydantic's own text: the place in a
/// line, the mistake in the next one, its details in brackets.
fn first_mistake(text: &str) -> Option<(String, Option<String>)> {
    let (count, rest) = text.split_once(" validation error")?;
    count.parse::<u32>().ok()?;
    let mut lines = rest.lines().skip(1);
    let first = lines.next()?.trim();
    let Some(message) = after(first, "'msg': ") else {
        let (message, _) = lines
            .next()
            .unwrap_or(first)
            .trim()
            .split_once(" [type=")
            .unwrap_or((first, ""));
        return Some((message.to_owned(), Some("messages".to_owned())));
    };
    Some((
        message.to_owned(),
        after(first, "'loc': ").map(str::to_owned),
    ))
}

/// The quoted text after a key in Python's notation.
fn after<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(key)?;
    let quote = rest
        .chars()
        .next()
        .filter(|quote| matches!(quote, '\'' | '"'))?;
    let (inner, _) = rest[1..].split_once(&format!("{quote}, '"))?;
    Some(inner)
}

/// `body.messages.0.ChatCompletionUserMessageParam.content` as `messages[0].content`.
fn place(text: &str) -> String {
    let mut out = String::new();
    for step in text.split('.') {
        if step == "body" || step.ends_with("Param") {
            continue;
        }
        if step.parse::<u32>().is_ok() {
            // What is checked one by one are the messages.
            let list = if out.is_empty() { "messages" } else { "" };
            out.push_str(&format!("{list}[{step}]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(step);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_mistakes_become_a_sentence_and_a_parameter() {
        let dictionary = r#"{"error":{"message":"2 validation errors:\n  {'type': 'literal_error', 'loc': 'body.tools.0.type', 'msg': \"Input should be 'function'\", 'input': 'custom'}\n  {'type': 'missing'}","type":"Bad Request","param":"body.tools.0.type","code":400}}"#;
        let own = r#"{"error":{"message":"7 validation errors for ValidatorIterator\n0.ChatCompletionContentPartTextParam.type\n  Input should be 'text' [type=literal_error, input_value='x']\n    For further information visit https://errors.pydantic.dev/2.14/v/literal_error","code":400}}"#;
        let list = r#"{"detail":[{"loc":["body","n"],"msg":"must be 1","type":"value_error"}]}"#;
        for (body, text, param) in [
            (
                dictionary,
                "`tools[0].type`: Input should be 'function'.",
                Some("tools[0].type"),
            ),
            (own, "`messages`: Input should be 'text'.", Some("messages")),
            (list, "must be 1", None),
        ] {
            let said = Said::of(400, body);
            assert_eq!((said.text.as_str(), said.param.as_deref()), (text, param));
        }
    }

    #[test]
    fn places_are_in_openais_notation() {
        for (text, expected) in [
            (
                "body.messages.0.ChatCompletionUserMessageParam.content",
                "messages[0].content",
            ),
            (
                "body.2.ChatCompletionMessageToolCallParam.function",
                "messages[2].function",
            ),
            ("body.max_tokens", "max_tokens"),
            ("body", ""),
            ("messages[0].role", "messages[0].role"),
        ] {
            assert_eq!(place(text), expected);
        }
    }

    #[test]
    fn every_form_is_read() {
        for (body, text, is_own) in [
            (r#"{"error":{"message":"a","code":400}}"#, "a", true),
            (r#"{"error":"a"}"#, "a", true),
            (r#"{"error":"a","error_type":"validation"}"#, "a", true),
            (r#"{"object":"error","message":"a","code":400}"#, "a", true),
            (r#"{"detail":"a"}"#, "a", false),
            (r#"{"message":"a"}"#, "a", false),
            ("a", "a", false),
            ("<html>a</html>", "", false),
            ("", "", false),
            ("[1]", "", false),
        ] {
            let said = Said::of(400, body);
            assert_eq!((said.text.as_str(), said.is_own), (text, is_own), "{body}");
        }
        assert_eq!(Said::of(500, "a page").text, "");
    }
}
