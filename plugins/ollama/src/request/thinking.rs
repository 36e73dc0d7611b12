//! Whether and how much a model thinks, and whether the client wants to see it: clients have many names for that.
//!
//! If such a parameter were ignored, a model would think for minutes although the client asked it not to. So each of them is
//! honoured, or is a 400 unless the operator wants it dropped.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sluicegate_openai_api::request::dropped::Dropped;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{Kind, Members};

use super::check::{self, Path, boolean, integer, kind};

/// Ollama's `think` for a model that must not think.
const OFF: &str = "false";
const ON: &str = "true";

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Thinking {
    /// `reasoning_effort`
    effort: Option<&'static str>,
    /// `reasoning`
    reasoning: Option<&'static str>,
    /// From the dialects of other servers.
    others: Option<&'static str>,
    /// Whether the thoughts are left out of the response.
    pub(super) is_hidden: bool,
}

impl Thinking {
    /// Takes one of these parameters; `false` if it is not one of them. Unknown members are added to `ignored`.
    ///
    /// # Errors
    /// 400 for a wrong type, or for something that Ollama cannot do.
    pub(super) fn take(
        &mut self,
        name: &str,
        raw: &RawValue,
        ignored: &mut Vec<String>,
        dropped: &mut Dropped,
    ) -> Result<bool, Fault> {
        let at = Path::of(name);
        match name {
            "reasoning_effort" => self.effort = effort(at, raw)?,
            "reasoning" => self.reasoning(at, raw, ignored, dropped)?,
            "include_reasoning" => self.is_hidden |= !boolean(at, raw)?,
            "enable_thinking" => self.others = Some(switch(at, raw)?),
            "chat_template_kwargs" => {
                for (name, raw) in &members(at, raw)? {
                    match &**name {
                        "enable_thinking" | "thinking" => {
                            self.others = Some(switch(at.member(name), raw)?);
                        }
                        "reasoning_effort" => self.others = effort(at.member(name), raw)?,
                        _ => ignored.push(format!("chat_template_kwargs.{name}")),
                    }
                }
            }
            "thinking" => self.thinking(at, raw, ignored, dropped)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Ollama's `think`; `None` if nothing is said.
    pub(super) fn think(&self) -> Option<&'static str> {
        self.effort.or(self.reasoning).or(self.others)
    }

    /// In the form of the Responses API and OpenRouter.
    fn reasoning(
        &mut self,
        at: Path<'_>,
        raw: &RawValue,
        ignored: &mut Vec<String>,
        dropped: &mut Dropped,
    ) -> Result<(), Fault> {
        let (mut effort_said, mut enabled, mut without_tokens) = (None, None, false);
        for (name, raw) in &members(at, raw)? {
            let here = at.member(name);
            match &**name {
                "effort" => effort_said = effort(here, raw)?,
                "enabled" => enabled = Some(boolean(here, raw)?),
                "exclude" => self.is_hidden |= boolean(here, raw)?,
                "max_tokens" => {
                    if is_budget(here, raw)? {
                        dropped.unsupported(
                            "reasoning.max_tokens",
                            "Ollama cannot limit the tokens that a model thinks; `reasoning.max_tokens` must be 0 or absent, use \
                             `reasoning.effort`.",
                        )?;
                    } else {
                        without_tokens = true;
                    }
                }
                // All thoughts are shown, so it is not a summary.
                "summary" | "generate_summary" => kind(here, raw, Kind::String)?,
                _ => ignored.push(format!("reasoning.{name}")),
            }
        }
        let said = [
            effort_said,
            enabled.map(word),
            without_tokens.then_some(OFF),
        ];
        let mut said = said.into_iter().flatten();
        self.reasoning = said.next();
        let is_off = self.reasoning == Some(OFF);
        if said.any(|other| (other == OFF) != is_off) {
            return Err(check::invalid(
                at,
                "either a model that thinks or one that does not, not both at once",
            ));
        }
        Ok(())
    }

    /// In the form of Anthropic, DeepSeek and others.
    fn thinking(
        &mut self,
        at: Path<'_>,
        raw: &RawValue,
        ignored: &mut Vec<String>,
        dropped: &mut Dropped,
    ) -> Result<(), Fault> {
        for (name, raw) in &members(at, raw)? {
            let here = at.member(name);
            match &**name {
                "type" => match &*check::text(here, raw)? {
                    "disabled" => self.others = Some(OFF),
                    "enabled" => self.others = Some(ON),
                    "adaptive" | "auto" => {}
                    _ => return Err(check::invalid(here, "`enabled`, `disabled` or `adaptive`")),
                },
                "budget_tokens" => {
                    if is_budget(here, raw)? {
                        dropped.unsupported(
                            "thinking.budget_tokens",
                            "Ollama cannot limit the tokens that a model thinks; `thinking.budget_tokens` must be 0 or absent, use \
                             `reasoning_effort`.",
                        )?;
                    }
                }
                _ => ignored.push(format!("thinking.{name}")),
            }
        }
        Ok(())
    }
}

/// Members that are not `null`, which counts as absent.
fn members<'a>(
    at: Path<'_>,
    raw: &'a RawValue,
) -> Result<Vec<(Cow<'a, str>, &'a RawValue)>, Fault> {
    let Members(mut members) = check::object(at, raw)?;
    members.retain(|(_, raw)| Kind::of(raw) != Kind::Null);
    Ok(members)
}

/// Whether a number of tokens is a budget for thoughts: zero is none at all.
fn is_budget(at: Path<'_>, raw: &RawValue) -> Result<bool, Fault> {
    Ok(integer(at, raw, 0..=i64::MAX)? != "0")
}

fn switch(at: Path<'_>, raw: &RawValue) -> Result<&'static str, Fault> {
    boolean(at, raw).map(word)
}

fn word(on: bool) -> &'static str {
    if on { ON } else { OFF }
}

/// Ollama's `think` for an effort; `None` for the empty text.
///
/// # Source
/// Ollama source, `openai/openai.go`: the same words for the same effort.
fn effort(at: Path<'_>, raw: &RawValue) -> Result<Option<&'static str>, Fault> {
    Ok(match &*check::text(at, raw)? {
        "" => None,
        "none" => Some(OFF),
        "minimal" | "low" => Some("\"low\""),
        "medium" => Some("\"medium\""),
        "high" => Some("\"high\""),
        "xhigh" | "ultra" | "max" => Some("\"max\""),
        _ => {
            return Err(check::invalid(
                at,
                "`none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`",
            ));
        }
    })
}
