//! Whether and how much a model thinks, and whether the client wants to see it: clients have many names for that.
//!
//! | name | from |
//! | --- | --- |
//! | `reasoning_effort` | OpenAI's chat API |
//! | `reasoning: {effort, enabled, exclude, max_tokens}` | OpenAI's Responses API, OpenRouter |
//! | `include_reasoning` | OpenRouter, vLLM |
//! | `thinking: {type, budget_tokens}` | Anthropic, DeepSeek |
//! | `enable_thinking`, `chat_template_kwargs: {enable_thinking, thinking}` | Qwen, vLLM, SGLang, llama.cpp |
//! | `think` | Ollama |

use std::borrow::Cow;

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::{Body, members, wrong_type};

/// How the model server is told whether and how much to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// As the client says it.
    AsSent,
    /// By `reasoning_effort`, as OpenAI's own models.
    Effort,
    /// By `chat_template_kwargs` whether, by `reasoning_effort` how much: vLLM, SGLang and llama.cpp.
    Template,
}

/// How much a model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amount {
    Off,
    On,
    Level(&'static str),
}

/// What a request says.
#[derive(Debug, Default)]
struct Said {
    effort: Option<Amount>,
    reasoning: Option<Amount>,
    others: Option<Amount>,
    budget: Option<String>,
    is_hidden: bool,
    /// Members of `chat_template_kwargs` that are about something else.
    kwargs: String,
}

/// Names that are replaced.
const NAMES: [&str; 7] = [
    "reasoning_effort",
    "reasoning",
    "include_reasoning",
    "thinking",
    "enable_thinking",
    "chat_template_kwargs",
    "think",
];

/// Translates all these names; `true` if the client does not want to see the thoughts.
///
/// # Errors
/// 400 for a wrong type.
pub fn translate(body: &mut Body<'_>, dialect: Dialect) -> Result<bool, Fault> {
    if dialect == Dialect::AsSent {
        let excluded = match body.get("reasoning") {
            Some(raw) if Kind::of(raw) == Kind::Object => members("reasoning", raw)?
                .iter()
                .any(|(name, raw)| name == "exclude" && raw.get() == "true"),
            Some(_) | None => false,
        };
        return Ok(excluded || body.says("include_reasoning", false));
    }
    let mut said = Said::default();
    for name in NAMES {
        if let Some(raw) = body.get(name) {
            said.take(name, raw)?;
            body.remove(name);
        }
    }
    said.write(body, dialect);
    Ok(said.is_hidden)
}

impl Said {
    fn take(&mut self, name: &str, raw: &RawValue) -> Result<(), Fault> {
        match name {
            "reasoning_effort" => self.effort = effort(name, raw)?,
            "reasoning" => {
                for (name, raw) in &members(name, raw)? {
                    let at = format!("reasoning.{name}");
                    match &**name {
                        "effort" => self.reasoning = effort(&at, raw)?,
                        "enabled" => {
                            self.reasoning = self.reasoning.or(Some(switch(&at, raw)?));
                        }
                        "exclude" => self.is_hidden |= boolean(&at, raw)?,
                        "max_tokens" => self.budget(raw),
                        // All thoughts are shown, so it is not a summary.
                        _ => {}
                    }
                }
            }
            "include_reasoning" => self.is_hidden |= !boolean(name, raw)?,
            "thinking" => {
                for (name, raw) in &members(name, raw)? {
                    match (&**name, raw.get()) {
                        ("type", "\"disabled\"") => self.others = Some(Amount::Off),
                        ("type", "\"enabled\"") => self.others = Some(Amount::On),
                        ("budget_tokens", _) => self.budget(raw),
                        _ => {}
                    }
                }
            }
            "enable_thinking" => self.others = Some(switch(name, raw)?),
            "chat_template_kwargs" => self.kwargs(raw)?,
            _ if Kind::of(raw) == Kind::Bool => self.others = Some(switch(name, raw)?),
            _ => self.others = effort(name, raw)?,
        }
        Ok(())
    }

    fn kwargs(&mut self, raw: &RawValue) -> Result<(), Fault> {
        for (name, raw) in &members("chat_template_kwargs", raw)? {
            if matches!(&**name, "enable_thinking" | "thinking") {
                let at = format!("chat_template_kwargs.{name}");
                self.others = Some(switch(&at, raw)?);
            } else {
                push(&mut self.kwargs, name, raw.get());
            }
        }
        Ok(())
    }

    fn budget(&mut self, raw: &RawValue) {
        if raw.get() == "0" {
            self.others = Some(Amount::Off);
        } else if Kind::of(raw) == Kind::Number {
            self.budget = Some(raw.get().to_owned());
        }
    }

    fn write(&mut self, body: &mut Body<'_>, dialect: Dialect) {
        let amount = self.effort.or(self.reasoning).or(self.others);
        let is_template = dialect == Dialect::Template;
        let quoted = |word: &str| format!("\"{word}\"");
        match amount {
            None => {}
            Some(Amount::Off) if !is_template => body.set("reasoning_effort", quoted("none")),
            Some(on @ (Amount::Off | Amount::On)) if is_template => {
                // Models differ in the name: Qwen's templates read the first, DeepSeek's the second.
                let word = if on == Amount::On { "true" } else { "false" };
                push(&mut self.kwargs, "enable_thinking", word);
                push(&mut self.kwargs, "thinking", word);
            }
            Some(Amount::Off | Amount::On) => {}
            Some(Amount::Level(level)) => body.set("reasoning_effort", quoted(level)),
        }
        if let Some(budget) = self.budget.take().filter(|_| is_template) {
            body.set("thinking_token_budget", budget);
        }
        if !self.kwargs.is_empty() {
            body.set("chat_template_kwargs", format!("{{{}}}", self.kwargs));
        }
    }
}

fn push(out: &mut String, name: &str, json: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    json::push_str(out, name);
    out.push(':');
    out.push_str(json);
}

fn boolean(param: &str, raw: &RawValue) -> Result<bool, Fault> {
    match Kind::of(raw) {
        Kind::Bool => Ok(raw.get() == "true"),
        Kind::Null | Kind::Number | Kind::String | Kind::Array | Kind::Object => {
            Err(wrong_type(param, "a boolean", raw))
        }
    }
}

fn switch(param: &str, raw: &RawValue) -> Result<Amount, Fault> {
    Ok(if boolean(param, raw)? {
        Amount::On
    } else {
        Amount::Off
    })
}

/// An effort; `None` for the empty text.
fn effort(param: &str, raw: &RawValue) -> Result<Option<Amount>, Fault> {
    let text = json::text(raw).ok_or_else(|| wrong_type(param, "a string", raw))?;
    Ok(Some(match text {
        Cow::Borrowed("") => return Ok(None),
        Cow::Borrowed("none") => Amount::Off,
        Cow::Borrowed("minimal" | "low") => Amount::Level("low"),
        Cow::Borrowed("medium") => Amount::Level("medium"),
        // Servers behind these dialects know no more than this.
        Cow::Borrowed("high" | "xhigh" | "ultra" | "max") => Amount::Level("high"),
        Cow::Borrowed(_) | Cow::Owned(_) => {
            return Err(Fault::bad_request(format!(
                "`{param}` must be `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`."
            ))
            .param(param));
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a request becomes, and whether the thoughts are hidden.
    fn translated(text: &str, dialect: Dialect) -> (String, bool) {
        let mut body = Body::read(text.as_bytes()).expect("JSON");
        let hidden = translate(&mut body, dialect).expect("translates");
        (String::from_utf8(body.write()).expect("text"), hidden)
    }

    #[test]
    fn every_name_reaches_a_template() {
        let off = r#"{"chat_template_kwargs":{"enable_thinking":false,"thinking":false}}"#;
        let on = r#"{"chat_template_kwargs":{"enable_thinking":true,"thinking":true}}"#;
        for (text, expected) in [
            (r#"{"reasoning_effort":"none"}"#, off),
            (r#"{"reasoning":{"effort":"none"}}"#, off),
            (r#"{"reasoning":{"enabled":false}}"#, off),
            (r#"{"reasoning":{"max_tokens":0}}"#, off),
            (r#"{"enable_thinking":false}"#, off),
            (r#"{"chat_template_kwargs":{"thinking":false}}"#, off),
            (r#"{"thinking":{"type":"disabled"}}"#, off),
            (r#"{"think":false}"#, off),
            (r#"{"think":true}"#, on),
            (r#"{"reasoning":{"enabled":true}}"#, on),
            (r#"{"think":"max"}"#, r#"{"reasoning_effort":"high"}"#),
            (
                r#"{"reasoning_effort":"minimal","think":false}"#,
                r#"{"reasoning_effort":"low"}"#,
            ),
            (
                r#"{"reasoning":{"max_tokens":99}}"#,
                r#"{"thinking_token_budget":99}"#,
            ),
            (
                r#"{"chat_template_kwargs":{"a":1}}"#,
                r#"{"chat_template_kwargs":{"a":1}}"#,
            ),
            (
                r#"{"reasoning_effort":"none","chat_template_kwargs":{"a":1,"enable_thinking":true}}"#,
                r#"{"chat_template_kwargs":{"a":1,"enable_thinking":false,"thinking":false}}"#,
            ),
            ("{}", "{}"),
        ] {
            assert_eq!(
                translated(text, Dialect::Template),
                (expected.to_owned(), false),
                "{text}"
            );
        }
    }

    #[test]
    fn every_name_becomes_an_effort() {
        for (text, expected) in [
            (r#"{"think":false}"#, r#"{"reasoning_effort":"none"}"#),
            (r#"{"enable_thinking":true}"#, "{}"),
            (
                r#"{"reasoning":{"effort":"high"}}"#,
                r#"{"reasoning_effort":"high"}"#,
            ),
        ] {
            assert_eq!(
                translated(text, Dialect::Effort),
                (expected.to_owned(), false),
                "{text}"
            );
        }
    }

    #[test]
    fn thoughts_can_be_unwanted() {
        for dialect in [Dialect::AsSent, Dialect::Effort, Dialect::Template] {
            for text in [
                r#"{"include_reasoning":false}"#,
                r#"{"reasoning":{"exclude":true}}"#,
            ] {
                assert!(translated(text, dialect).1, "{text}");
            }
        }
        let sent = r#"{"reasoning":{"exclude":true},"think":1}"#;
        assert_eq!(translated(sent, Dialect::AsSent), (sent.to_owned(), true));
    }

    #[test]
    fn wrong_types_are_refused() {
        for text in [
            r#"{"reasoning_effort":1}"#,
            r#"{"reasoning_effort":"much"}"#,
            r#"{"reasoning":true}"#,
            r#"{"enable_thinking":"no"}"#,
        ] {
            let mut body = Body::read(text.as_bytes()).expect("JSON");
            let fault = translate(&mut body, Dialect::Template).expect_err(text);
            assert_eq!(fault.status, 400);
        }
    }
}
