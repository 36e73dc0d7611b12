//! What the client may see of a message.

use std::borrow::Cow;

/// A part of the message as the client sees it.
#[derive(Debug)]
pub(super) enum Delta<'a> {
    /// A JSON string.
    Thoughts(Cow<'a, str>),
    /// A JSON string, with its log probabilities.
    Content(Cow<'a, str>, Option<String>),
    /// A call, or the beginning of one. `id` and `name` are JSON strings, `arguments` the inside of one.
    Call {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        arguments: Cow<'a, str>,
    },
    /// More arguments of the call at this place: the inside of a JSON string.
    Arguments(u64, String),
}
