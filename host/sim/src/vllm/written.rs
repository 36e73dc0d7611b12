//! The tokens that a model behind vLLM writes, and what vLLM's parsers make of each. Pure.

use crate::answer::{Chunk, Ending, Generation};
use crate::text;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// `<think>` and `</think>`, which nobody sees but those who ask for log probabilities.
    Mark(&'static str),
    Reasoning(String),
    Content(String),
    /// The begin of a call.
    Name {
        index: usize,
        id: u64,
        name: String,
    },
    Arguments {
        index: usize,
        text: String,
    },
}

/// All that the model writes.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) tokens: Vec<Token>,
    pub(super) ending: Ending,
    pub(super) stopped_by: Option<String>,
    /// Whether the last call is not complete.
    pub(super) is_broken: bool,
}

/// How vLLM parses calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parser {
    /// By the marks that the model writes around them.
    Auto,
    /// Not at all: they stay in the text.
    None,
    /// The model can write nothing else: there is no text around them.
    Forced,
}

/// The end of a turn, as the model writes it.
pub(super) const END: &str = "<|im_end|>";

impl Token {
    /// The token's text, as log probabilities show it.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Mark(text) => text,
            Self::Reasoning(text) | Self::Content(text) | Self::Arguments { text, .. } => text,
            Self::Name { name, .. } => name,
        }
    }
}

impl Written {
    /// The tokens of a generation, at most `limit`.
    pub(super) fn of(generation: Generation, parser: Parser, limit: Option<usize>) -> Self {
        let mut tokens = Vec::with_capacity(generation.chunks.len() + 8);
        let mut is_broken = false;
        let mut thinks = false;
        let mut calls = 0;
        for chunk in generation.chunks {
            if let Chunk::Thinking(text) = chunk {
                if !thinks {
                    thinks = true;
                    tokens.push(Token::Mark("<think>"));
                    tokens.push(Token::Reasoning("\n".to_owned()));
                }
                tokens.push(Token::Reasoning(text));
                continue;
            }
            if thinks {
                thinks = false;
                end_thoughts(&mut tokens, parser);
            }
            match chunk {
                Chunk::Thinking(_) => {}
                Chunk::Content(text) => tokens.push(Token::Content(text)),
                Chunk::Calls(list) if parser == Parser::None => {
                    let raw: String = list
                        .iter()
                        .map(|call| raw(&call.name, &call.arguments_text()) + "}\n</tool_call>")
                        .collect();
                    tokens.extend(text::tokens(&raw).into_iter().map(Token::Content));
                }
                Chunk::Calls(list) => {
                    for call in list {
                        let arguments = call.arguments_text();
                        push_call(&mut tokens, calls, call.number, call.name, &arguments);
                        calls += 1;
                    }
                }
                Chunk::Broken { name, arguments } if parser == Parser::None => {
                    let raw = raw(&name, &arguments);
                    tokens.extend(text::tokens(&raw).into_iter().map(Token::Content));
                }
                Chunk::Broken { name, arguments } => {
                    push_call(&mut tokens, calls, 0, name, &arguments);
                    is_broken = true;
                }
            }
        }
        if thinks {
            end_thoughts(&mut tokens, parser);
        }
        let mut written = Self {
            tokens,
            ending: generation.ending,
            stopped_by: generation.stopped_by,
            is_broken,
        };
        if let Some(limit) = limit.filter(|&limit| written.tokens.len() > limit) {
            written.cut(limit);
        }
        written
    }

    fn cut(&mut self, limit: usize) {
        let is_in_call = matches!(self.tokens.get(limit), Some(Token::Arguments { .. }));
        self.is_broken = is_in_call;
        self.tokens.truncate(limit);
        self.ending = Ending::Done("length");
        self.stopped_by = None;
    }

    /// The tokens that the model wrote, with the one that ends its turn.
    pub(super) fn count(&self) -> usize {
        self.tokens.len() + usize::from(self.has_end())
    }

    /// Whether the model ended its turn.
    pub(super) fn has_end(&self) -> bool {
        self.ending == Ending::Done("stop") && self.stopped_by.is_none()
    }

    pub(super) fn reasoning_tokens(&self) -> usize {
        let is_reasoning = |token: &&Token| matches!(token, Token::Reasoning(_));
        self.tokens.iter().filter(is_reasoning).count()
    }

    pub(super) fn has_calls(&self) -> bool {
        self.tokens
            .iter()
            .any(|token| matches!(token, Token::Name { .. }))
    }
}

fn end_thoughts(tokens: &mut Vec<Token>, parser: Parser) {
    tokens.push(Token::Reasoning("\n".to_owned()));
    tokens.push(Token::Mark("</think>"));
    match parser {
        Parser::Auto | Parser::None => {
            tokens.push(Token::Content("\n".to_owned()));
            tokens.push(Token::Content("\n".to_owned()));
        }
        Parser::Forced => {}
    }
}

fn push_call(tokens: &mut Vec<Token>, index: usize, id: u64, name: String, arguments: &str) {
    tokens.push(Token::Name { index, id, name });
    let pieces = text::tokens(arguments);
    tokens.extend(
        pieces
            .into_iter()
            .map(|text| Token::Arguments { index, text }),
    );
}

/// A call as the model writes it, up to the end of its arguments.
pub(super) fn raw(name: &str, arguments: &str) -> String {
    format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {arguments}")
}

/// The id of a call.
pub(super) fn call_id(number: u64) -> String {
    // Spread, so that ids do not look like counters.
    let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("chatcmpl-tool-{spread:016x}")
}
