//! `affinity` of an upstream: what requests have in common that should go to the same target.

use crate::reader::{Table, Value};

/// How much of a prompt counts by default, in bytes: a system prompt, or the beginning of one.
const PREFIX: usize = 1024;

/// The most of a prompt that can count, in bytes: it is looked at for every attempt.
const LONGEST: usize = 64 * 1024;

/// What requests have in common that should go to the same target, whose cache knows the beginning of their prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Affinity {
    /// The value of a header field, in lower case.
    Header(String),
    /// The client's user: the member `user` of the request, with the tenant.
    User,
    /// As many bytes of the prompt, with the tenant.
    Prompt(usize),
}

/// `None` if every request may go to any target.
pub(super) fn read(upstream: &Table<'_>) -> Option<Affinity> {
    let value = upstream.get("affinity")?;
    let mend = r#"write "user", "prompt", { prompt = "4KiB" } or { header = "x-session-id" }"#;
    match value.node.as_str() {
        Some("user") => Some(Affinity::User),
        Some("prompt") => Some(Affinity::Prompt(PREFIX)),
        Some(other) => {
            value.problem(format!("is not a kind of affinity: {other:?}"), mend);
            None
        }
        None => table(&value, mend),
    }
}

fn table(value: &Value<'_>, mend: &str) -> Option<Affinity> {
    let Some(table) = value.node.is_table().then(|| value.table()).flatten() else {
        value.problem("is not a kind of affinity", mend);
        return None;
    };
    let (header, prompt) = (table.get("header"), table.get("prompt"));
    table.finish();
    match (header, prompt) {
        (Some(header), None) => Some(Affinity::Header(name(&header)?)),
        (None, Some(prompt)) => {
            let size = prompt.size()?;
            let bytes = usize::try_from(size).unwrap_or(usize::MAX);
            if bytes > LONGEST {
                prompt.problem("is too much to look at", r#"write at most "64KiB""#);
            }
            Some(Affinity::Prompt(bytes))
        }
        (Some(_), Some(_)) | (None, None) => {
            value.problem("needs one of `header` and `prompt`", mend);
            None
        }
    }
}

/// The name of a header field in lower case.
fn name(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_token) {
        value.problem(
            format!("is not the name of a header field: {text:?}"),
            r#"write a name such as "x-session-id""#,
        );
        return None;
    }
    Some(text.to_ascii_lowercase())
}
