//! A whole message, from a canonical completion.

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::chat::{Call, Completion};
use sluicegate_plugin::json::{self, Kind, Text};

use crate::ending::{Ending, Reason};
use crate::{failure, wire};

/// What a message is called if the response does not say.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The id of the exchange.
    pub id: String,
    /// The model that the client asked for.
    pub model: String,
}

/// Translates a whole completion.
///
/// # Errors
/// 502 `upstream_invalid` if it is none, or has a call that no client could read.
pub fn whole(
    json: &str,
    shows_thoughts: bool,
    identity: impl Fn() -> Identity,
) -> Result<String, Fault> {
    let completion = Completion::read(json).ok_or_else(failure::nonsense)?;
    let choice = completion.choices.first().ok_or_else(failure::nonsense)?;
    let message = &choice.message;
    let ending = Ending::of(choice, json).unwrap_or_default();
    let is_cut = ending.reason == Reason::Length;
    let mut out = String::with_capacity(json.len() + 128);
    let id = open(&mut out, &completion, identity);
    let mut blocks = Blocks {
        id: &id,
        out: &mut out,
        count: 0,
    };
    if let Some(thoughts) = message.reasoning().filter(|_| shows_thoughts) {
        blocks.text("thinking", thoughts);
    }
    let text = |text: &Option<Text<'_>>| text.as_ref().map(|Text(text)| text.to_string());
    let refusal = text(&message.refusal).unwrap_or_default();
    let content = text(&message.content).unwrap_or_default() + &refusal;
    blocks.text("text", &content);
    for (at, call) in message.tool_calls.iter().enumerate() {
        blocks.call(at, call, is_cut)?;
    }
    out.push_str("],");
    ending.write(
        &mut out,
        !message.tool_calls.is_empty(),
        !refusal.is_empty(),
    );
    out.push_str(",\"usage\":");
    wire::push_usage(&mut out, completion.usage.unwrap_or_default());
    out.push('}');
    Ok(out)
}

/// Appends a message up to its content: `{"id":…,"content":[`. Gives its id without the `msg_`.
pub(crate) fn open(
    out: &mut String,
    completion: &Completion<'_>,
    identity: impl Fn() -> Identity,
) -> String {
    let given = |text: &Option<Text<'_>>| {
        let Text(text) = text.as_ref()?;
        (!text.is_empty()).then(|| text.to_string())
    };
    let id = given(&completion.id).unwrap_or_else(|| identity().id);
    let model = given(&completion.model).unwrap_or_else(|| identity().model);
    let id = id.strip_prefix("chatcmpl-").unwrap_or(&id);
    out.push_str("{\"id\":\"msg_");
    json::push_escaped(out, id);
    out.push_str("\",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    json::push_str(out, &model);
    out.push_str(",\"content\":[");
    id.to_owned()
}

/// The id of a call, for one that has none.
pub(crate) fn id_of_call(message: &str, at: usize) -> String {
    format!("toolu_{message}_{at}")
}

/// Any text: clients keep it with the thoughts and send it back, and nobody reads it.
pub(crate) const SIGNATURE: &str = "c2x1aWNlZ2F0ZQ==";

/// The content of a message.
struct Blocks<'o> {
    /// The id of the message.
    id: &'o str,
    out: &'o mut String,
    count: usize,
}

impl Blocks<'_> {
    fn begin(&mut self) {
        if self.count > 0 {
            self.out.push(',');
        }
        self.count += 1;
    }

    /// A block with a text of the same name, if there is any.
    fn text(&mut self, kind: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        self.begin();
        for part in ["{\"type\":\"", kind, "\",\"", kind, "\":"] {
            self.out.push_str(part);
        }
        json::push_str(self.out, text);
        if kind == "thinking" {
            self.out.push_str(",\"signature\":\"");
            self.out.push_str(SIGNATURE);
            self.out.push('"');
        }
        self.out.push('}');
    }

    /// A call of a tool. Arguments that were cut by the limit of tokens are left out, as the stop reason says why.
    fn call(&mut self, at: usize, call: &Call<'_>, is_cut: bool) -> Result<(), Fault> {
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|Text(text)| text.to_string());
        let name = text(&call.function.name).unwrap_or_default();
        let arguments = text(&call.function.arguments).unwrap_or_default();
        let input = match object(&arguments) {
            Some(input) => input,
            None if is_cut => "{}",
            None => return Err(failure::broken_call()),
        };
        if name.is_empty() {
            return Err(failure::broken_call());
        }
        self.begin();
        self.out.push_str("{\"type\":\"tool_use\",\"id\":");
        let id = text(&call.id).filter(|id| !id.is_empty());
        json::push_str(self.out, &id.unwrap_or_else(|| id_of_call(self.id, at)));
        self.out.push_str(",\"name\":");
        json::push_str(self.out, &name);
        self.out.push_str(",\"input\":");
        self.out.push_str(input);
        self.out.push('}');
        Ok(())
    }
}

/// Arguments as an object; those of a tool without parameters may be no text at all.
fn object(arguments: &str) -> Option<&str> {
    let arguments = arguments.trim_ascii();
    if arguments.is_empty() {
        return Some("{}");
    }
    let raw: &RawValue = serde_json::from_str(arguments).ok()?;
    (Kind::of(raw) == Kind::Object).then_some(arguments)
}
