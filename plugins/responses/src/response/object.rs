//! The response as an object, and the one that says how many tokens a request has.

use serde::Deserialize;
use sluicegate_plugin::chat::Usage;
use sluicegate_plugin::json::push_u64;
use sluicegate_plugin::{Fault, clock};

use super::{Assembly, Ending, State};
use crate::failure;
use crate::request::Echo;

impl Assembly {
    /// Appends it with this status. What has no value is there too, as `null`.
    pub(super) fn write(&self, out: &mut String, state: &State<'_>) {
        out.push_str("{\"id\":\"resp_");
        out.push_str(&self.id);
        out.push_str("\",\"object\":\"response\",\"created_at\":");
        push_u64(out, self.created);
        out.push_str(",\"status\":\"");
        out.push_str(match state {
            State::Created | State::InProgress => "in_progress",
            State::Ended(Ending::Complete) => "completed",
            State::Ended(Ending::Incomplete(_)) => "incomplete",
            State::Failed(..) => "failed",
        });
        out.push_str("\",\"completed_at\":");
        match state {
            State::Ended(Ending::Complete) => push_u64(out, clock::unix_ms() / 1000),
            State::Created
            | State::InProgress
            | State::Ended(Ending::Incomplete(_))
            | State::Failed(..) => {
                out.push_str("null");
            }
        }
        out.push_str(",\"error\":");
        match state {
            State::Failed(status, error) => failure::push_failed(out, *status, error),
            State::Created | State::InProgress | State::Ended(_) => out.push_str("null"),
        }
        out.push_str(",\"incomplete_details\":");
        match state {
            State::Ended(Ending::Incomplete(reason)) => {
                out.push_str("{\"reason\":\"");
                out.push_str(reason);
                out.push_str("\"}");
            }
            State::Created
            | State::InProgress
            | State::Ended(Ending::Complete)
            | State::Failed(..) => {
                out.push_str("null");
            }
        }
        out.push_str(",\"output\":[");
        for (at, item) in self.items.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            item.write(out, &self.id, at);
        }
        out.push_str("],\"usage\":");
        push_usage(out, self.usage);
        let Echo { json, instructions } = &self.echo;
        match state {
            // Between the first event and the last one they would only take room.
            State::InProgress => {
                out.push_str(&json[..instructions.start]);
                out.push_str("null");
                out.push_str(&json[instructions.end..]);
            }
            State::Created | State::Ended(_) | State::Failed(..) => out.push_str(json),
        }
        out.push('}');
    }
}

fn push_usage(out: &mut String, usage: Option<Usage>) {
    let Some(usage) = usage else {
        out.push_str("null");
        return;
    };
    let total = usage.prompt_tokens.saturating_add(usage.completion_tokens);
    for (before, tokens) in [
        ("{\"input_tokens\":", usage.prompt_tokens),
        (
            ",\"input_tokens_details\":{\"cached_tokens\":",
            usage.cached_tokens(),
        ),
        (",\"cache_write_tokens\":", 0),
        ("},\"output_tokens\":", usage.completion_tokens),
        (
            ",\"output_tokens_details\":{\"reasoning_tokens\":",
            usage.reasoning_tokens(),
        ),
        ("},\"total_tokens\":", total),
    ] {
        out.push_str(before);
        push_u64(out, tokens);
    }
    out.push('}');
}

/// The number of tokens of a request, from that of a chat.
///
/// # Errors
/// 502 `upstream_invalid` if there is none.
pub fn counted(json: &str) -> Result<String, Fault> {
    #[derive(Deserialize)]
    struct Counted {
        input_tokens: u64,
    }
    let counted: Counted = serde_json::from_str(json).map_err(|_| failure::nonsense())?;
    let mut out = "{\"object\":\"response.input_tokens\",\"input_tokens\":".to_owned();
    push_u64(&mut out, counted.input_tokens);
    out.push('}');
    Ok(out)
}
