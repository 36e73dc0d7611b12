//! The forms that messages and events share.

use sluicegate_plugin::Event;
use sluicegate_plugin::chat::Usage;
use sluicegate_plugin::json;

/// An event with its name, by which the official clients tell what it is.
pub(crate) fn named(name: &str, data: String) -> Event {
    Event {
        name: name.to_owned(),
        ..Event::data(data)
    }
}

/// An event whose data has its name as `type`; `members` follow, each with a comma before it.
pub(crate) fn event(name: &str, members: &[&str]) -> Event {
    let length: usize = members.iter().map(|part| part.len()).sum();
    // Exactly as large as needed, for a buffer with room to spare is copied when it leaves the sandbox.
    let mut data = String::with_capacity("{\"type\":\"\"}".len() + name.len() + length);
    data.push_str("{\"type\":\"");
    data.push_str(name);
    data.push('"');
    for part in members {
        data.push_str(part);
    }
    data.push('}');
    named(name, data)
}

/// `usage`: the tokens of a prompt without those from a cache, which have a member of their own.
pub(crate) fn push_usage(out: &mut String, usage: Usage) {
    let cached = usage.cached_tokens();
    out.push_str("{\"input_tokens\":");
    json::push_u64(out, usage.prompt_tokens.saturating_sub(cached));
    if cached > 0 {
        out.push_str(",\"cache_read_input_tokens\":");
        json::push_u64(out, cached);
    }
    out.push_str(",\"output_tokens\":");
    json::push_u64(out, usage.completion_tokens);
    out.push('}');
}
