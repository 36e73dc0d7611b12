//! Counts the tokens of a stream as they pass, and makes the end of a stream that is cut.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Event;
use sluicegate_plugin::chat::Usage;
use sluicegate_plugin::json;

/// Text of a choice in one event up to which it is one token: hardly any token is longer, and model servers send each token
/// when they have it.
const ONE_TOKEN: usize = 24;

/// Bytes of a token, on average, in longer texts.
const TOKEN: usize = 4;

/// The most choices that are remembered: OpenAI's most.
const CHOICES_MAX: usize = 128;

/// What has passed.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Counted from the texts.
    counted: u64,
    /// What the model server counts itself, where it does so in each event.
    usage: Option<Usage>,
    /// The choices that have begun, and whether they have ended.
    choices: Vec<(u32, bool)>,
    /// The members of every chunk, as JSON text: `"id":…,"object":…`.
    head: String,
    is_text: bool,
}

/// A chunk, as far as it is of interest.
#[derive(Deserialize)]
struct Seen<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    created: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    choices: Vec<SeenChoice<'a>>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct SeenChoice<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
}

/// What an event has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Has {
    /// More text of choices that go on.
    Text,
    /// Something else: an end, an error, a usage.
    Other,
}

impl Meter {
    /// Tokens of the response so far.
    pub(crate) fn completion(&self) -> u64 {
        self.usage
            .map_or(0, |it| it.completion_tokens)
            .max(self.counted)
    }

    /// Tokens of the prompt, where the model server has said it.
    pub(crate) fn prompt(&self) -> Option<u64> {
        self.usage.map(|it| it.prompt_tokens)
    }

    /// Counts an event.
    pub(crate) fn read(&mut self, event: &Event) -> Has {
        let Some(seen) = event.read::<Seen<'_>>() else {
            return Has::Other;
        };
        self.usage = seen.usage.or(self.usage);
        if self.head.is_empty() && !seen.choices.is_empty() {
            self.is_text = seen.choices.iter().any(|it| it.text.is_some());
            self.head = head(&seen);
        }
        let mut has = Has::Other;
        for choice in &seen.choices {
            let ended = choice.finish_reason.is_some_and(|it| it.get() != "null");
            let tokens = choice.tokens();
            self.counted += tokens;
            if tokens > 0 && !ended {
                has = Has::Text;
            }
            let has_room = self.choices.len() < CHOICES_MAX;
            match self.choices.iter_mut().find(|it| it.0 == choice.index) {
                Some(known) => known.1 |= ended,
                None if has_room => self.choices.push((choice.index, ended)),
                None => {}
            }
        }
        has
    }

    /// The events that end the stream here, with the finish reason `length`.
    pub(crate) fn cut(&self, usage: Option<(u64, u64)>) -> Vec<Event> {
        let mut events = Vec::with_capacity(3);
        let mut chunk = format!("{{{}\"choices\":[", self.head);
        let open = self.choices.iter().filter(|(_, ended)| !ended);
        for (at, (index, _)) in open.enumerate() {
            if at > 0 {
                chunk.push(',');
            }
            let text = if self.is_text {
                "\"text\":\"\""
            } else {
                "\"delta\":{}"
            };
            chunk.push_str("{\"index\":");
            json::push_u64(&mut chunk, u64::from(*index));
            chunk.push_str(&format!(
                ",{text},\"logprobs\":null,\"finish_reason\":\"length\"}}"
            ));
        }
        chunk.push_str("]}");
        events.push(Event::data(chunk));
        if let Some((prompt, completion)) = usage {
            let total = prompt + completion;
            events.push(Event::data(format!(
                "{{{}\"choices\":[],\"usage\":{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"total_tokens\":{total}}}}}",
                self.head
            )));
        }
        events.push(Event::done());
        events
    }
}

impl SeenChoice<'_> {
    fn tokens(&self) -> u64 {
        let text = self.text.map_or(0, |raw| raw.get().len().saturating_sub(2));
        let bytes = text + self.delta.map_or(0, texts);
        if bytes == 0 {
            0
        } else if bytes <= ONE_TOKEN {
            1
        } else {
            bytes.div_ceil(TOKEN) as u64
        }
    }
}

/// Bytes of what the model says in a delta.
fn texts(delta: &RawValue) -> usize {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow)]
        content: Option<&'a RawValue>,
        #[serde(borrow)]
        refusal: Option<&'a RawValue>,
        #[serde(borrow)]
        reasoning: Option<&'a RawValue>,
        #[serde(borrow)]
        reasoning_content: Option<&'a RawValue>,
        #[serde(borrow)]
        tool_calls: Option<&'a RawValue>,
    }
    let Ok(said) = serde_json::from_str::<Said<'_>>(delta.get()) else {
        return 0;
    };
    let inner = |raw: Option<&RawValue>| {
        let text = raw.and_then(json::string_inner);
        text.map_or(0, str::len)
    };
    // Both names of reasoning may come at once, with the same text.
    let reasoning = inner(said.reasoning).max(inner(said.reasoning_content));
    let calls = said.tool_calls.map_or(0, |raw| match raw.get() {
        "null" | "[]" => 0,
        _ => arguments(raw),
    });
    inner(said.content) + inner(said.refusal) + reasoning + calls
}

/// Bytes of names and arguments in calls of tools.
fn arguments(raw: &RawValue) -> usize {
    #[derive(Deserialize)]
    struct Call<'a> {
        #[serde(borrow)]
        function: Option<Function<'a>>,
    }
    #[derive(Deserialize)]
    struct Function<'a> {
        #[serde(borrow)]
        name: Option<&'a RawValue>,
        #[serde(borrow)]
        arguments: Option<&'a RawValue>,
    }
    let calls: Vec<Call<'_>> = serde_json::from_str(raw.get()).unwrap_or_default();
    let functions = calls.into_iter().filter_map(|call| call.function);
    let texts = functions.flat_map(|it| [it.name, it.arguments]);
    let texts = texts.flatten().filter_map(json::string_inner);
    texts.map(str::len).sum()
}

fn head(seen: &Seen<'_>) -> String {
    let mut head = String::new();
    for (name, raw) in [
        ("id", seen.id),
        ("object", seen.object),
        ("created", seen.created),
        ("model", seen.model),
    ] {
        if let Some(raw) = raw {
            head.push_str(&format!("\"{name}\":{},", raw.get()));
        }
    }
    head
}
