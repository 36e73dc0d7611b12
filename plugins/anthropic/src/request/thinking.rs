//! Whether and how much the model thinks, and whether the client wants to see it.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::json::Kind;
use sluicegate_plugin::{Fault, log};

use super::check::{self, Path};
use super::member;
use crate::Thinking;

#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    budget_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    display: Option<&'a RawValue>,
}

/// Appends `reasoning`, what the model server is told; whether the client wants to see thoughts.
///
/// An effort without thinking says nothing of it, so it is left out.
pub(super) fn write(
    out: &mut String,
    asked: Option<&RawValue>,
    effort: Option<&RawValue>,
    thinking: Thinking,
) -> Result<bool, Fault> {
    let config = Path::of("output_config");
    let effort = match effort {
        Some(raw) => Some(check::kind(config.member("effort"), raw, Kind::String)?),
        None => None,
    };
    let Some(raw) = asked else {
        return Ok(false);
    };
    let at = Path::of("thinking");
    let asked: Asked<'_> = check::object(at, raw)?;
    let mut said: Vec<(&str, &str)> = Vec::new();
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
                    Thinking::AsAsked => {
                        log::debug("`thinking.budget_tokens` was left out").write()
                    }
                    Thinking::Ignore => {}
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
    if thinking != Thinking::Ignore && !said.is_empty() {
        out.push_str(",\"reasoning\":{");
        for (name, value) in said {
            member(out, name, value);
        }
        out.push('}');
    }
    let is_hidden = match asked.display {
        Some(raw) => check::text(at.member("display"), Some(raw))? == "omitted",
        None => false,
    };
    Ok(is_asked && !is_hidden)
}
