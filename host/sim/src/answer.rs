//! Decides how a checked request is answered. Pure: no IO, no clock; randomness is an argument.

use serde_json::{Value, json};

use super::catalog::{self, Model};
use super::command::{self, Command, Failing};
use super::options::{self, Options};
use super::request::{Message, Request};
use super::text::{self, Language};
use super::tools::{self, Call};

/// What the server does with a request.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    /// Generate.
    Text(Generation),
    /// No messages: only load the model, or unload it with `keep_alive: 0`. Never a stream.
    Load { num_ctx: Option<u64> },
    /// An error document of this status.
    Status(u16),
    /// A 502 with an HTML page, as from a reverse proxy in front of a model server.
    Html,
    /// A 403 without a body, as Ollama sends to a foreign host.
    Empty,
}

/// A generation, from its first token to its end.
#[derive(Debug, PartialEq)]
pub(super) struct Generation {
    pub(super) chunks: Vec<Chunk>,
    pub(super) ending: Ending,
    /// Tokens of the prompt, estimated.
    pub(super) prompt_tokens: u64,
    /// How many alternatives each token gets; `None` without `logprobs`.
    pub(super) logprobs: Option<usize>,
    pub(super) num_ctx: Option<u64>,
    /// A slow model: 20 times the wait, one tenth of the pace.
    pub(super) slow: bool,
}

/// One line of the stream: what a model generates in one step.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Chunk {
    Thinking(String),
    Content(String),
    Calls(Vec<Call>),
}

/// What follows the last chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The last line, with this `done_reason`.
    Done(&'static str),
    /// An error line.
    ErrorLine,
    /// The end of the body, without a last line.
    Truncate,
    /// The connection breaks.
    Reset,
    /// The stream stays open, without another line.
    Stall,
}

/// Why Ollama refuses a request after decoding it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("model is required")]
    ModelRequired,
    #[error("model '{name}' not found")]
    ModelNotFound { name: String },
    #[error("\"{name}\" does not support thinking")]
    NoThinking { name: String },
    #[error("this model is missing data required for image input")]
    NoVision,
    #[error("invalid format: {format:?}; expected \"json\" or a valid JSON Schema object")]
    Format { format: String },
    #[error(transparent)]
    Options(#[from] options::Error),
}

impl Error {
    /// The HTTP status. As with Ollama, a mistake of the client is not always a 4xx.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::ModelRequired | Self::NoThinking { .. } => 400,
            Self::ModelNotFound { .. } => 404,
            Self::NoVision | Self::Format { .. } | Self::Options(_) => 500,
        }
    }
}

/// How many tokens precede a failure in mid-stream; arbitrary.
const BEFORE_FAILURE: usize = 12;

/// The model that a request names.
///
/// # Errors
/// `ModelRequired`, `ModelNotFound`.
pub(super) fn model(name: &str) -> Result<&'static Model, Error> {
    if name.is_empty() {
        return Err(Error::ModelRequired);
    }
    catalog::find(name).ok_or_else(|| Error::ModelNotFound {
        name: name.to_owned(),
    })
}

/// Decides what to answer; `seed` makes the ids of tool calls.
///
/// # Errors
/// See [`Error`], in the order in which Ollama checks.
pub(super) fn decide(request: &Request, model: &Model, seed: u64) -> Result<Decision, Error> {
    if request.think == Some(true) && !model.can("thinking") {
        let name = request.model.clone();
        return Err(Error::NoThinking { name });
    }
    let options = options::read(&request.options)?;
    if request.messages.is_empty() {
        let num_ctx = options.num_ctx;
        return Ok(Decision::Load { num_ctx });
    }
    let format = Format::of(&request.format)?;
    let images = request.messages.last().map_or(0, |message| message.images);
    if images > 0 && !model.can("vision") {
        return Err(Error::NoVision);
    }
    let asked = Question::of(&request.messages);
    let command = asked.command();
    let (mut chunks, ending) = match command {
        Some(Command::Error(Failing::Status(status))) => return Ok(Decision::Status(status)),
        Some(Command::Error(Failing::Html)) => return Ok(Decision::Html),
        Some(Command::Error(Failing::Empty)) => return Ok(Decision::Empty),
        Some(command) => commanded(command, &asked, request, model),
        None => (
            ordinary(&asked, request, model, format, images, seed),
            Ending::Done("stop"),
        ),
    };
    let ending = cut(&mut chunks, ending, &options);
    Ok(Decision::Text(Generation {
        chunks,
        ending,
        prompt_tokens: prompt_tokens(request),
        logprobs: request.logprobs,
        num_ctx: options.num_ctx,
        slow: command == Some(Command::Slow),
    }))
}

/// What the request's `format` asks for.
#[derive(Debug, Clone, Copy)]
enum Format<'a> {
    Free,
    Json,
    Schema(&'a Value),
}

impl<'a> Format<'a> {
    fn of(value: &'a Value) -> Result<Self, Error> {
        match value {
            Value::Null => Ok(Self::Free),
            Value::String(name) if name.is_empty() => Ok(Self::Free),
            Value::String(name) if name == "json" => Ok(Self::Json),
            Value::Object(_) => Ok(Self::Schema(value)),
            Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                let format = value.to_string();
                Err(Error::Format { format })
            }
        }
    }
}

/// The question in a conversation.
struct Question<'a> {
    /// The last message of the user or, without one, the last message.
    text: &'a str,
    language: Language,
    /// The number of the user's messages.
    turn: usize,
    /// The results of tools at the end of the conversation.
    results: Vec<(&'a str, &'a str)>,
}

impl<'a> Question<'a> {
    fn of(messages: &'a [Message]) -> Self {
        let users = || messages.iter().filter(|message| message.role == "user");
        let text = users()
            .next_back()
            .or(messages.last())
            .map_or("", |message| &message.content);
        let mut results: Vec<_> = messages
            .iter()
            .rev()
            .take_while(|message| message.role == "tool")
            .map(|message| (message.tool_name.as_str(), message.content.as_str()))
            .collect();
        results.reverse();
        Self {
            text,
            language: Language::of(text),
            turn: users().count().max(1),
            results,
        }
    }

    /// The command in it; none once tools have answered.
    fn command(&self) -> Option<Command<'a>> {
        command::parse(self.text).filter(|_| self.results.is_empty())
    }
}

fn commanded(
    command: Command<'_>,
    asked: &Question<'_>,
    request: &Request,
    model: &Model,
) -> (Vec<Chunk>, Ending) {
    let language = asked.language;
    let stop = Ending::Done("stop");
    match command {
        Command::Help => (content(super::HINTS), stop),
        Command::Echo(text) => (content(text), stop),
        Command::Long(count) => (long(count), stop),
        Command::Code => (content(text::CODE), stop),
        Command::Markdown => (content(text::MARKDOWN), stop),
        Command::Slow => (content(&text::slow(language)), stop),
        Command::Think => {
            let mut chunks = thinking(asked, request, model, true);
            chunks.extend(content(&text::after_thinking(language)));
            (chunks, stop)
        }
        Command::Error(failing) => {
            let mut chunks = content(text::failing(language));
            chunks.truncate(BEFORE_FAILURE);
            let ending = match failing {
                Failing::Mid => Ending::ErrorLine,
                Failing::Reset => Ending::Reset,
                Failing::Stall => Ending::Stall,
                // The first three never get here: they need no generation.
                Failing::Status(_) | Failing::Html | Failing::Empty | Failing::Truncate => {
                    Ending::Truncate
                }
            };
            (chunks, ending)
        }
    }
}

fn ordinary(
    asked: &Question<'_>,
    request: &Request,
    model: &Model,
    format: Format<'_>,
    images: usize,
    seed: u64,
) -> Vec<Chunk> {
    let language = asked.language;
    let mut chunks = thinking(asked, request, model, false);
    if asked.results.is_empty() {
        let calls = tools::calls(&request.tools, asked.text, language, seed);
        if !calls.is_empty() {
            chunks.push(Chunk::Calls(calls));
            return chunks;
        }
    }
    let answer = || {
        if asked.results.is_empty() {
            text::answer(asked.text, asked.turn, images, language)
        } else {
            text::tool_answer(&asked.results, language)
        }
    };
    let text = match format {
        Format::Free => answer(),
        Format::Json => {
            json!({"simulated": true, "language": language.code(), "answer": answer()}).to_string()
        }
        Format::Schema(schema) => super::sample::instance(schema, asked.text, language).to_string(),
    };
    chunks.extend(content(&text));
    chunks
}

/// Reasoning, if the model can reason and the request does not forbid it.
fn thinking(asked: &Question<'_>, request: &Request, model: &Model, long: bool) -> Vec<Chunk> {
    if !model.can("thinking") || request.think == Some(false) {
        return Vec::new();
    }
    let text = text::thinking(asked.text, long, asked.language);
    text::tokens(&text)
        .into_iter()
        .map(Chunk::Thinking)
        .collect()
}

fn content(text: &str) -> Vec<Chunk> {
    text::tokens(text).into_iter().map(Chunk::Content).collect()
}

fn long(count: usize) -> Vec<Chunk> {
    (0..count)
        .map(|index| {
            let blank = if index == 0 { "" } else { " " };
            Chunk::Content(format!("{blank}{}", text::filler(index)))
        })
        .collect()
}

/// Applies `stop` and `num_predict`. A failure after the point where they cut does not happen.
fn cut(chunks: &mut Vec<Chunk>, ending: Ending, options: &Options) -> Ending {
    let stopped = stop_at(chunks, &options.stop);
    match options.num_predict {
        Some(limit) if chunks.len() > limit => {
            chunks.truncate(limit);
            Ending::Done("length")
        }
        _ if stopped => Ending::Done("stop"),
        _ => ending,
    }
}

/// Cuts the content before the first stop text; returns whether there was one.
fn stop_at(chunks: &mut Vec<Chunk>, stop: &[String]) -> bool {
    let whole: String = chunks
        .iter()
        .filter_map(|chunk| match chunk {
            Chunk::Content(text) => Some(text.as_str()),
            Chunk::Thinking(_) | Chunk::Calls(_) => None,
        })
        .collect();
    let found = stop.iter().filter(|stop| !stop.is_empty());
    let Some(end) = found.filter_map(|stop| whole.find(stop.as_str())).min() else {
        return false;
    };
    let mut left = end;
    chunks.retain_mut(|chunk| {
        let Chunk::Content(text) = chunk else {
            return true;
        };
        let kept = left.min(text.len());
        // `end` is a character boundary of the whole, so `kept` is one of this chunk.
        text.truncate(kept);
        left -= kept;
        kept > 0
    });
    true
}

fn prompt_tokens(request: &Request) -> u64 {
    // A few tokens of template around each message, and the tools in the prompt; both arbitrary.
    let messages: usize = request
        .messages
        .iter()
        .map(|message| text::tokens(&message.content).len() + 4)
        .sum();
    let tools: usize = request
        .tools
        .iter()
        .map(|tool| text::tokens(&tool.description).len() + 30)
        .sum();
    (messages + tools) as u64
}

#[cfg(test)]
mod tests;
