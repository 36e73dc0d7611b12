//! The tokens that a model behind TGI writes. There is no parser: thinking stays in the text. Pure.

use crate::answer::{Chunk, Ending, Generation};
use crate::text;
use crate::tools::Call;

/// All that the model writes, and why it ends.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) tokens: Vec<String>,
    pub(super) ending: Ending,
    pub(super) finish: Finish,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// The model ended its turn, by a token of its own.
    End,
    Length,
    StopSequence,
}

/// The end of a turn, as the model writes it.
pub(super) const END: &str = "<|im_end|>";

/// TGI generates in runs of this many tokens and looks at the limit only between them.
const RUN: usize = 1024;

/// What ends a text.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits {
    /// `max_tokens`; `None`: no limit.
    pub(super) most: Option<usize>,
    pub(super) stop: Vec<String>,
}

impl Finish {
    /// In TGI's own words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::End => "eos_token",
            Self::Length => "length",
            Self::StopSequence => "stop_sequence",
        }
    }

    /// On the routes that are like OpenAI's; only one of the words is translated.
    pub(super) fn of_openai(self) -> &'static str {
        match self {
            Self::End => "stop",
            Self::Length => "length",
            Self::StopSequence => "stop_sequence",
        }
    }
}

impl Written {
    /// The text of a generation.
    pub(super) fn of(generation: Generation, limits: &Limits) -> Self {
        let mut tokens = Vec::with_capacity(generation.chunks.len() + 4);
        let mut thinks = false;
        for chunk in generation.chunks {
            let is_thought = matches!(chunk, Chunk::Thinking(_));
            if is_thought != thinks {
                tokens.push(
                    if is_thought {
                        "<think>\n"
                    } else {
                        "\n</think>\n\n"
                    }
                    .to_owned(),
                );
                thinks = is_thought;
            }
            match chunk {
                Chunk::Thinking(text) | Chunk::Content(text) => tokens.push(text),
                Chunk::Calls(calls) => {
                    tokens.extend(
                        calls
                            .first()
                            .map(call)
                            .iter()
                            .flat_map(|text| text::tokens(text)),
                    );
                }
                Chunk::Broken { name, arguments } => {
                    tokens.extend(text::tokens(&begun(&name, &arguments)));
                }
            }
        }
        if thinks {
            tokens.push("\n</think>\n\n".to_owned());
        }
        Self::limited(tokens, generation.ending, limits)
    }

    /// A text of a model that ends its turn behind it.
    pub(super) fn text(text: &str, limits: &Limits) -> Self {
        Self::limited(text::tokens(text), Ending::Done("stop"), limits)
    }

    fn limited(mut tokens: Vec<String>, ending: Ending, limits: &Limits) -> Self {
        let mut finish = Finish::End;
        let mut ending = ending;
        if let Some(count) = stopped(&tokens, &limits.stop) {
            tokens.truncate(count);
            finish = Finish::StopSequence;
            ending = Ending::Done("stop");
        }
        if let Some(most) = limits.most {
            let served = if most > RUN {
                most.div_ceil(RUN) * RUN
            } else {
                most
            };
            if tokens.len() > served {
                tokens.truncate(served);
                finish = Finish::Length;
                ending = Ending::Done("length");
            }
        }
        Self {
            tokens,
            ending,
            finish,
        }
    }

    /// The text, without the token that ends the model's turn.
    pub(super) fn said(&self) -> String {
        self.tokens.concat()
    }

    /// The tokens, with the one that ends the model's turn.
    pub(super) fn count(&self) -> usize {
        self.tokens.len() + usize::from(self.finish == Finish::End)
    }
}

/// How many tokens there are up to a stop sequence, which is only seen if a token ends with it.
fn stopped(tokens: &[String], stop: &[String]) -> Option<usize> {
    let longest = stop.iter().map(String::len).max()?;
    let mut said = String::new();
    for (at, token) in tokens.iter().enumerate() {
        said.push_str(token);
        if stop
            .iter()
            .any(|stop| !stop.is_empty() && said.ends_with(stop.as_str()))
        {
            return Some(at + 1);
        }
        let surplus = said.len().saturating_sub(longest + token.len());
        let surplus = (surplus..said.len()).find(|&at| said.is_char_boundary(at));
        said.drain(..surplus.unwrap_or(0));
    }
    None
}

/// A call as the grammar of tools makes the model write it.
pub(super) fn call(call: &Call) -> String {
    let arguments = call.arguments_text();
    // Without the brace that ends them, which is written as that of the object around them.
    let open = arguments.strip_suffix('}').unwrap_or(&arguments);
    format!("{}}}}}", begun(&call.name, open))
}

/// A call up to the end of these arguments.
fn begun(name: &str, arguments: &str) -> String {
    let members = arguments.strip_prefix('{').unwrap_or(arguments);
    let comma = if members.is_empty() { "" } else { ", " };
    format!("{{\"function\": {{\"_name\": \"{name}\"{comma}{members}")
}

/// What the grammar of tools makes a model write that calls none.
pub(super) fn no_call(text: &str) -> String {
    let text = serde_json::Value::from(text);
    format!("{{\"function\": {{\"_name\": \"no_tool\", \"content\": {text}}}}}")
}
