//! What a simulated model says to a request that its vendor has checked. Pure: no IO, no clock; randomness is an argument.

use serde_json::{Value, json};

use super::command::{self, Command, Failing};
use super::conversation::{Message, Tool};
use super::text::{self, Language};
use super::tools::{self, Call};

/// What is asked of the model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) messages: &'a [Message],
    pub(super) tools: &'a [Tool],
    pub(super) choice: Choice<'a>,
    /// Whether the model reasons, and may.
    pub(super) thinks: bool,
    pub(super) format: Format<'a>,
    /// The most tokens; `None`: no limit.
    pub(super) limit: Option<usize>,
    pub(super) stop: &'a [String],
    /// Whether the text keeps the stop sequence that ended it.
    pub(super) keeps_stop: bool,
    /// Makes the numbers of tool calls.
    pub(super) seed: u64,
}

/// Which tools are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice<'a> {
    /// Those that the question mentions.
    Auto,
    /// At least one.
    Required,
    /// This one, whatever the question.
    Named(&'a str),
}

/// The form of the text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Format<'a> {
    Free,
    Json,
    Schema(&'a Value),
}

/// What the server does with a request.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    /// Generate.
    Text(Generation),
    /// An error document of this status.
    Status(u16),
    /// A 502 with an HTML page, as from a reverse proxy in front of a model server.
    Html,
    /// A 403 without a body, as Ollama sends to a foreign host.
    Empty,
}

/// A generation, from its first token to its end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Generation {
    pub(super) chunks: Vec<Chunk>,
    pub(super) ending: Ending,
    /// The stop sequence that ended it.
    pub(super) stopped_by: Option<String>,
    /// Tokens of the prompt, estimated.
    pub(super) prompt_tokens: u64,
    /// A slow model: 20 times the wait, one tenth of the pace.
    pub(super) slow: bool,
}

/// What a model generates in one step.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Chunk {
    Thinking(String),
    Content(String),
    Calls(Vec<Call>),
    /// A call that breaks off; `arguments` is the beginning of their JSON text.
    Broken {
        name: String,
        arguments: String,
    },
}

/// What follows the last chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The end of the answer, for this reason: `stop` or `length`.
    Done(&'static str),
    /// The model's process is stopped.
    Abort,
    /// An error in mid-stream.
    ErrorLine,
    /// The end of the body, without a proper last part.
    Truncate,
    /// The connection breaks.
    Reset,
    /// The stream stays open, without another line.
    Stall,
}

/// How many tokens precede a failure in mid-stream; arbitrary.
pub(super) const BEFORE_FAILURE: usize = 12;

/// Decides what to answer.
pub(super) fn answer(asked: &Asked<'_>) -> Decision {
    let question = Question::of(asked.messages);
    let command = question.command();
    let (mut chunks, ending) = match command {
        Some(Command::Error(Failing::Status(status))) => return Decision::Status(status),
        Some(Command::Error(Failing::Html)) => return Decision::Html,
        Some(Command::Error(Failing::Empty)) => return Decision::Empty,
        Some(command) => commanded(command, &question, asked),
        None => (ordinary(&question, asked), Ending::Done("stop")),
    };
    let (ending, stopped_by) = cut(&mut chunks, ending, asked);
    Decision::Text(Generation {
        chunks,
        ending,
        stopped_by,
        prompt_tokens: prompt_tokens(asked),
        slow: command == Some(Command::Slow),
    })
}

/// The question in a conversation.
struct Question<'a> {
    /// The last message of the user or, without one, the last message.
    text: &'a str,
    language: Language,
    /// The number of the user's messages.
    turn: usize,
    /// The images of the last message.
    images: usize,
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
            images: messages.last().map_or(0, |message| message.images),
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
    question: &Question<'_>,
    asked: &Asked<'_>,
) -> (Vec<Chunk>, Ending) {
    let language = question.language;
    let stop = Ending::Done("stop");
    match command {
        Command::Help => (content(super::HINTS), stop),
        Command::Echo(text) => (content(text), stop),
        Command::Long(count) => (long(count), stop),
        Command::Code => (content(text::CODE), stop),
        Command::Markdown => (content(text::MARKDOWN), stop),
        Command::Slow => (content(&text::slow(language)), stop),
        Command::Think => {
            let mut chunks = thinking(question, asked, true);
            chunks.extend(content(&text::after_thinking(language)));
            (chunks, stop)
        }
        Command::Error(failing) => {
            let mut chunks = content(text::failing(language));
            chunks.truncate(BEFORE_FAILURE);
            let ending = match failing {
                Failing::Call => return (broken_call(question, asked), stop),
                Failing::Abort => Ending::Abort,
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

fn ordinary(question: &Question<'_>, asked: &Asked<'_>) -> Vec<Chunk> {
    let language = question.language;
    let mut chunks = thinking(question, asked, false);
    let calls = called(question, asked);
    if !calls.is_empty() {
        chunks.push(Chunk::Calls(calls));
        return chunks;
    }
    let answer = || {
        if question.results.is_empty() {
            text::answer(question.text, question.turn, question.images, language)
        } else {
            text::tool_answer(&question.results, language)
        }
    };
    let text = match asked.format {
        Format::Free => answer(),
        Format::Json => {
            json!({"simulated": true, "language": language.code(), "answer": answer()}).to_string()
        }
        Format::Schema(schema) => {
            super::sample::instance(schema, question.text, language).to_string()
        }
    };
    chunks.extend(content(&text));
    chunks
}

/// The calls of tools; a model that must call one does so even after a result.
fn called(question: &Question<'_>, asked: &Asked<'_>) -> Vec<Call> {
    let call = |tools: &[Tool]| tools::calls(tools, question.text, question.language, asked.seed);
    let made = || {
        if question.results.is_empty() {
            call(asked.tools)
        } else {
            Vec::new()
        }
    };
    let forced = |tool: Option<&Tool>| {
        let tool = tool.map(|tool| tools::call(tool, question.text, question.language, asked.seed));
        tool.into_iter().collect()
    };
    match asked.choice {
        Choice::Auto => made(),
        Choice::Required => {
            let calls = made();
            if calls.is_empty() {
                return forced(asked.tools.first());
            }
            calls
        }
        Choice::Named(name) => forced(asked.tools.iter().find(|tool| tool.name == name)),
    }
}

/// A call of the first tool that breaks off in its arguments.
fn broken_call(question: &Question<'_>, asked: &Asked<'_>) -> Vec<Chunk> {
    let Some(tool) = asked.tools.first() else {
        return content("Offer a tool for a call that breaks off.");
    };
    let call = tools::call(tool, question.text, question.language, asked.seed);
    let mut arguments = call.arguments_text();
    // At least the closing brace is missing.
    let end = (1..arguments.len() * 3 / 4).rev();
    let end = end.into_iter().find(|&end| arguments.is_char_boundary(end));
    arguments.truncate(end.unwrap_or(1));
    vec![Chunk::Broken {
        name: call.name,
        arguments,
    }]
}

/// Reasoning, if there is any.
fn thinking(question: &Question<'_>, asked: &Asked<'_>, long: bool) -> Vec<Chunk> {
    if !asked.thinks {
        return Vec::new();
    }
    let text = text::thinking(question.text, long, question.language);
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

/// Applies the stop sequences and the limit. A failure after the point where they cut does not happen.
fn cut(chunks: &mut Vec<Chunk>, ending: Ending, asked: &Asked<'_>) -> (Ending, Option<String>) {
    let stopped_by = stop_at(chunks, asked.stop, asked.keeps_stop);
    if asked.limit.is_some_and(|limit| cut_at(chunks, limit)) {
        return (Ending::Done("length"), None);
    }
    let ending = stopped_by.as_ref().map_or(ending, |_| Ending::Done("stop"));
    (ending, stopped_by)
}

/// Cuts the content before or behind the first stop sequence; returns the one that was found.
fn stop_at(chunks: &mut Vec<Chunk>, stop: &[String], keeps: bool) -> Option<String> {
    let whole: String = chunks
        .iter()
        .filter_map(|chunk| match chunk {
            Chunk::Content(text) => Some(text.as_str()),
            Chunk::Thinking(_) | Chunk::Calls(_) | Chunk::Broken { .. } => None,
        })
        .collect();
    let given = stop.iter().filter(|stop| !stop.is_empty());
    let found = given.filter_map(|stop| Some((whole.find(stop.as_str())?, stop)));
    let (start, stop) = found.min_by_key(|(start, _)| *start)?;
    let mut left = if keeps { start + stop.len() } else { start };
    chunks.retain_mut(|chunk| {
        let Chunk::Content(text) = chunk else {
            return true;
        };
        let kept = left.min(text.len());
        // The end is a character boundary of the whole, so `kept` is one of this chunk.
        text.truncate(kept);
        left -= kept;
        kept > 0
    });
    Some(stop.clone())
}

/// Cuts behind this many tokens, also inside of a call; returns whether there were more.
fn cut_at(chunks: &mut Vec<Chunk>, limit: usize) -> bool {
    let mut left = limit;
    for at in 0..chunks.len() {
        let tokens = chunks[at].tokens();
        if tokens <= left {
            left -= tokens;
            continue;
        }
        let parts = match &chunks[at] {
            Chunk::Calls(calls) => broken_off(calls, left),
            Chunk::Broken { .. } | Chunk::Thinking(_) | Chunk::Content(_) => Vec::new(),
        };
        chunks.truncate(at);
        chunks.extend(parts);
        return true;
    }
    false
}

/// The calls that fit, and the beginning of the next one.
fn broken_off(calls: &[Call], limit: usize) -> Vec<Chunk> {
    let mut left = limit;
    let mut fitting = Vec::new();
    for call in calls {
        let tokens = call.tokens();
        if tokens <= left {
            left -= tokens;
            fitting.push(call.clone());
            continue;
        }
        let mut chunks = Vec::new();
        if !fitting.is_empty() {
            chunks.push(Chunk::Calls(fitting));
        }
        if left > 0 {
            let arguments = text::tokens(&call.arguments_text());
            let shown = left.saturating_sub(Call::TOKENS_BEFORE);
            chunks.push(Chunk::Broken {
                name: call.name.clone(),
                arguments: arguments.into_iter().take(shown).collect(),
            });
        }
        return chunks;
    }
    vec![Chunk::Calls(fitting)]
}

impl Chunk {
    /// Tokens that the model wrote for it.
    pub(super) fn tokens(&self) -> usize {
        match self {
            Self::Thinking(_) | Self::Content(_) => 1,
            Self::Calls(calls) => calls.iter().map(Call::tokens).sum(),
            Self::Broken { arguments, .. } => Call::TOKENS_BEFORE + text::tokens(arguments).len(),
        }
    }
}

impl Generation {
    /// Tokens that the model wrote.
    pub(super) fn tokens(&self) -> usize {
        self.chunks.iter().map(Chunk::tokens).sum()
    }
}

fn prompt_tokens(asked: &Asked<'_>) -> u64 {
    // A few tokens of template around each message, and the tools in the prompt; both arbitrary.
    let messages: usize = asked
        .messages
        .iter()
        .map(|message| text::tokens(&message.content).len() + 4)
        .sum();
    let tools: usize = asked
        .tools
        .iter()
        .map(|tool| text::tokens(&tool.description).len() + 30)
        .sum();
    (messages + tools) as u64
}
