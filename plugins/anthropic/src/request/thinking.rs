//! Whether and how much the model thinks, and whether the client wants to see it.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::Kind;

use super::check::{self, Path};
use super::member;
use crate::Thinking;

#[derive(Deserialize)]
struct Parameter<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    budget_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    display: Option<&'a RawValue>,
}

/// What the rest of the exchange depends on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    /// Whether the client wants to see thoughts.
    pub(super) shows_thoughts: bool,
    /// Whether its limit of thoughts was left out.
    pub(super) drops_budget: bool,
}

/// Appends `reasoning`, what the model server is told.
///
/// An effort counts with or without `thinking`: absent, the model thinks as it does by default, as hard as it says.
pub(super) fn write(
    out: &mut String,
    asked: Option<&RawValue>,
    effort: Option<&RawValue>,
    thinking: Thinking,
) -> Result<Asked, Fault> {
    let config = Path::of("output_config");
    let effort = match effort {
        Some(raw) => Some(check::kind(config.member("effort"), raw, Kind::String)?),
        None => None,
    };
    let at = Path::of("thinking");
    let Some(raw) = asked else {
        let said: Vec<(&str, &str)> = effort
            .map(|effort| ("effort", effort))
            .into_iter()
            .collect();
        push(out, &said, thinking);
        return Ok(Asked::default());
    };
    let asked: Parameter<'_> = check::object(at, raw)?;
    let mut said: Vec<(&str, &str)> = Vec::new();
    let mut drops_budget = false;
    let is_asked = match &*check::text(at.member("type"), asked.r#type)? {
        "disabled" => {
            said.push(("enabled", "false"));
            false
        }
        "enabled" => {
            said.push(("enabled", "true"));
            if let Some(raw) = asked.budget_tokens {
                let budget = check::positive(at.member("budget_tokens"), raw)?;
                match thinking {
                    Thinking::WithBudget => said.push(("max_tokens", budget)),
                    // `max_tokens` of the request limits thoughts and text together.
                    Thinking::AsAsked | Thinking::Ignore => drops_budget = true,
                }
            }
            true
        }
        "adaptive" => true,
        _ => {
            let expected = "`enabled`, `disabled` or `adaptive`";
            return Err(check::invalid(at.member("type"), expected));
        }
    };
    if let Some(effort) = effort.filter(|_| is_asked) {
        said.push(("effort", effort));
    }
    push(out, &said, thinking);
    let is_hidden = match asked.display {
        Some(raw) => check::text(at.member("display"), Some(raw))? == "omitted",
        None => false,
    };
    Ok(Asked {
        shows_thoughts: is_asked && !is_hidden,
        drops_budget,
    })
}

/// Appends what is said, unless the operator wants nothing said.
fn push(out: &mut String, said: &[(&str, &str)], thinking: Thinking) {
    if thinking == Thinking::Ignore || said.is_empty() {
        return;
    }
    out.push_str(",\"reasoning\":{");
    for (name, value) in said {
        member(out, name, value);
    }
    out.push('}');
}
