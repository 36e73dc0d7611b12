//! The text after a prompt, as `text_completion`s: the lines of a stream, or one object.
//!
//! Everything that the model writes is text here, its thoughts too.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_openai_api::response::Identity;
use sluicegate_plugin::json::{self, Kind};
use sluicegate_plugin::{Event, Fault};

use super::Shown;
use super::line::{Ending, Line};
use crate::failure;

/// The state of a completion's stream.
#[derive(Debug)]
pub struct Stream {
    /// Everything up to the choices.
    head: String,
    usage: bool,
    /// The prompt, until it has been sent.
    echo: Option<String>,
    logprobs: Logprobs,
    lines: u64,
    ending: Option<Ending>,
}

impl Stream {
    /// A stream at its beginning.
    pub fn new(identity: &Identity, shown: &Shown) -> Self {
        let mut head = String::with_capacity(192);
        identity.write_head(&mut head, true);
        Self {
            head,
            usage: shown.usage,
            echo: shown.echo.clone(),
            logprobs: Logprobs::default(),
            lines: 0,
            ending: None,
        }
    }

    /// Takes a line and appends its chunks.
    ///
    /// # Errors
    /// Ollama's own error in mid-stream, or 502 `upstream_invalid` for an invalid line.
    pub fn push(&mut self, data: &str, out: &mut Vec<Event>) -> Result<(), Fault> {
        if self.ending.is_some() || data.trim_ascii().is_empty() {
            return Ok(());
        }
        let line = Line::read(data)?;
        if let Some(echo) = self.echo.take() {
            out.push(self.chunk(&echo, None, None));
        }
        let logprobs = self.logprobs.of(&line)?;
        let text = line.text();
        self.lines += u64::from(text.is_some());
        if text.is_some() || logprobs.is_some() {
            out.push(self.chunk(text.unwrap_or("\"\""), logprobs.as_deref(), None));
        }
        if line.done {
            self.finish(line.ending(false), out);
        }
        Ok(())
    }

    /// How the response ended; `None` before its `done` line.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// The number of lines with text so far, about one per token.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    fn finish(&mut self, ending: Ending, out: &mut Vec<Event>) {
        self.ending = Some(ending);
        out.push(self.chunk("\"\"", None, Some(ending.finish)));
        if self.usage {
            let usage = ending.usage();
            out.push(Event::data(
                [&*self.head, "],\"usage\":", &usage, "}"].concat(),
            ));
        }
        out.push(Event::data("[DONE]"));
    }

    fn chunk(&self, text: &str, logprobs: Option<&str>, finish: Option<&str>) -> Event {
        let mut data = String::with_capacity(self.head.len() + text.len() + 128);
        data.push_str(&self.head);
        write_choice(&mut data, &[text], logprobs, finish);
        data.push_str("]}");
        Event::data(data)
    }
}

/// Translates a response to a `text_completion`.
///
/// # Errors
/// Ollama's own error, 502 `upstream_truncated` if the response is not complete, or 502 `upstream_invalid`.
pub(super) fn complete(
    identity: &Identity,
    shown: &Shown,
    data: &[u8],
) -> Result<(Vec<u8>, Ending), Fault> {
    let line = Line::read_whole(data)?;
    let ending = line.ending(false);
    let logprobs = Logprobs::default().of(&line)?;
    let echo = shown.echo.as_deref().unwrap_or("\"\"");
    let mut out = String::with_capacity(data.len() + echo.len() + 384);
    identity.write_head(&mut out, false);
    let texts = [echo, line.text().unwrap_or("\"\"")];
    write_choice(&mut out, &texts, logprobs.as_deref(), Some(ending.finish));
    out.push_str("],\"usage\":");
    out.push_str(&ending.usage());
    out.push('}');
    Ok((out.into_bytes(), ending))
}

/// Appends the only choice. `texts` are JSON strings with their quotes, which become one.
fn write_choice(out: &mut String, texts: &[&str], logprobs: Option<&str>, finish: Option<&str>) {
    out.push_str("{\"index\":0,\"text\":\"");
    for text in texts {
        out.push_str(&text[1..text.len() - 1]);
    }
    out.push_str("\",\"logprobs\":");
    out.push_str(logprobs.unwrap_or("null"));
    out.push_str(",\"finish_reason\":");
    match finish {
        Some(finish) => json::push_str(out, finish),
        None => out.push_str("null"),
    }
    out.push('}');
}

/// The log probabilities in the form of completions, which counts the characters before each token.
#[derive(Debug, Default)]
struct Logprobs {
    offset: u64,
}

#[derive(Deserialize)]
struct Token<'a> {
    #[serde(borrow)]
    token: &'a RawValue,
    #[serde(borrow)]
    logprob: &'a RawValue,
    #[serde(borrow, default)]
    top_logprobs: Option<Vec<Self>>,
}

impl Token<'_> {
    /// Whether it is a text, and the likely tokens in its place are.
    fn is_text(&self) -> bool {
        let tops = self.top_logprobs.as_deref().unwrap_or_default();
        Kind::of(self.token) == Kind::String && tops.iter().all(Self::is_text)
    }
}

impl Logprobs {
    /// The log probabilities of a line; `None` if it has none.
    ///
    /// # Errors
    /// 502 `upstream_invalid` if they are not a list of tokens.
    fn of(&mut self, line: &Line<'_>) -> Result<Option<String>, Fault> {
        let Some(raw) = line.logprobs else {
            return Ok(None);
        };
        let tokens: Vec<Token<'_>> =
            serde_json::from_str(raw.get()).map_err(|_| failure::nonsense())?;
        if tokens.is_empty() {
            return Ok(None);
        }
        let (mut texts, mut values) = (String::new(), String::new());
        let (mut tops, mut offsets) = (String::new(), String::new());
        if !tokens.iter().all(Token::is_text) {
            return Err(failure::nonsense());
        }
        for token in &tokens {
            for list in [&mut texts, &mut values, &mut tops, &mut offsets] {
                list.push(if list.is_empty() { '[' } else { ',' });
            }
            texts.push_str(token.token.get());
            values.push_str(token.logprob.get());
            write_top(&mut tops, token.top_logprobs.as_deref());
            json::push_u64(&mut offsets, self.offset);
            let text = json::text(token.token).unwrap_or_default();
            self.offset += text.chars().count() as u64;
        }
        Ok(Some(format!(
            "{{\"tokens\":{texts}],\"token_logprobs\":{values}],\"top_logprobs\":{tops}],\"text_offset\":{offsets}]}}"
        )))
    }
}

/// Appends the likely tokens of a place as an object.
fn write_top(out: &mut String, tokens: Option<&[Token<'_>]>) {
    let Some(tokens) = tokens else {
        return out.push_str("null");
    };
    out.push('{');
    for (at, token) in tokens.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(token.token.get());
        out.push(':');
        out.push_str(token.logprob.get());
    }
    out.push('}');
}
