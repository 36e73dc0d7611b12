//! Splits a text into thoughts and content, where the model server leaves `<think>…</think>` in the content.
//!
//! Only a text that begins with the mark has thoughts. The marks may be cut anywhere by the stream. Line feeds and blanks
//! between the thoughts and the content belong to neither, whoever split them.

use std::borrow::Cow;

use sluicegate_plugin::json;

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// The state of one text.
#[derive(Debug)]
pub struct Split {
    state: State,
    /// What may be a part of a mark.
    held: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but blanks and a part of the opening mark has come.
    Start,
    /// After the opening mark, before any thought.
    Opened,
    Thinking,
    /// Between the thoughts and the content.
    After,
    /// The rest is content.
    Content,
}

/// What follows the text that is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Perhaps more text.
    More,
    /// The end of the response.
    End,
    /// The end of a response that was cut: a part of a mark is none of its text.
    Cut,
}

/// Texts as JSON strings; `None` if there is nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Texts<'a> {
    /// What the model thinks.
    pub thoughts: Option<Cow<'a, str>>,
    /// What it says.
    pub content: Option<Cow<'a, str>>,
}

impl Texts<'_> {
    /// The same texts, not borrowed.
    pub(super) fn into_owned(self) -> Texts<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Texts {
            thoughts: self.thoughts.map(owned),
            content: self.content.map(owned),
        }
    }
}

impl Split {
    /// `marks` says whether marks in the text are looked for.
    pub fn new(marks: bool) -> Self {
        Self {
            state: if marks { State::Start } else { State::Content },
            held: String::new(),
        }
    }

    /// Takes note that the model server sent thoughts apart from the content.
    pub(super) fn saw_thoughts(&mut self) {
        if self.state == State::Start {
            self.state = State::After;
            self.held.clear();
        }
    }

    /// Looks for no mark any more, unless the text has begun with a part of one.
    pub fn leave(&mut self) {
        if self.state == State::Start && self.held.is_empty() {
            self.state = State::Content;
        }
    }

    /// Whether the rest is content.
    pub fn is_over(&self) -> bool {
        self.state == State::Content
    }

    /// Whether what comes is thoughts.
    pub fn is_thinking(&self) -> bool {
        matches!(self.state, State::Opened | State::Thinking)
    }

    /// Takes the next part of the text, a JSON string.
    pub fn push<'a>(&mut self, raw: &'a str, next: Next) -> Texts<'a> {
        if self.state == State::Content {
            return Texts {
                thoughts: None,
                content: (raw != "\"\"").then_some(Cow::Borrowed(raw)),
            };
        }
        let Ok(text) = serde_json::from_str::<String>(raw) else {
            // Half of a surrogate pair: no mark, and not to be decoded.
            self.state = State::Content;
            let mut joined = String::from("\"");
            json::push_escaped(&mut joined, &std::mem::take(&mut self.held));
            joined.push_str(&raw[1..]);
            return Texts {
                thoughts: None,
                content: Some(Cow::Owned(joined)),
            };
        };
        let text = std::mem::take(&mut self.held) + &text;
        let (mut thoughts, mut content) = (String::new(), String::new());
        self.run(&text, &mut thoughts, &mut content);
        match (next, self.state) {
            (Next::More, _) => {}
            (Next::End, State::Thinking) => thoughts.push_str(&self.held),
            (Next::End, _) => content.push_str(&self.held),
            (Next::Cut, _) => {}
        }
        let string = |text: String| {
            let mut out = String::with_capacity(text.len() + 8);
            json::push_str(&mut out, &text);
            (!text.is_empty()).then_some(Cow::Owned(out))
        };
        Texts {
            thoughts: string(thoughts),
            content: string(content),
        }
    }

    fn run(&mut self, mut text: &str, thoughts: &mut String, content: &mut String) {
        loop {
            match self.state {
                State::Start => {
                    let begun = text.trim_start();
                    if let Some(rest) = begun.strip_prefix(OPEN) {
                        self.state = State::Opened;
                        text = rest;
                    } else if OPEN.starts_with(begun) {
                        return self.held.push_str(text);
                    } else {
                        self.state = State::Content;
                    }
                }
                State::Opened => {
                    text = text.trim_start();
                    if text.is_empty() {
                        return;
                    }
                    self.state = State::Thinking;
                }
                State::Thinking => {
                    let Some((before, after)) = text.split_once(CLOSE) else {
                        let (sure, perhaps) = text.split_at(text.len() - part_of_close(text));
                        thoughts.push_str(sure);
                        return self.held.push_str(perhaps);
                    };
                    thoughts.push_str(before);
                    text = after;
                    self.state = State::After;
                }
                State::After => {
                    text = text.trim_start();
                    if text.is_empty() {
                        return;
                    }
                    self.state = State::Content;
                }
                State::Content => return content.push_str(text),
            }
        }
    }
}

/// The length of the longest end of `text` that begins the closing mark.
fn part_of_close(text: &str) -> usize {
    let lengths = (1..CLOSE.len()).rev();
    lengths
        .into_iter()
        .find(|&length| text.ends_with(&CLOSE[..length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The thoughts and the content of a text that is cut into parts.
    fn split(parts: &[&str], next: Next) -> (String, String) {
        let mut split = Split::new(true);
        let (mut thoughts, mut content) = (String::new(), String::new());
        for (at, part) in parts.iter().enumerate() {
            let raw = serde_json::to_string(part).expect("JSON");
            let next = if at + 1 == parts.len() {
                next
            } else {
                Next::More
            };
            let texts = split.push(&raw, next);
            let text = |raw: Option<Cow<'_, str>>| {
                raw.map(|raw| serde_json::from_str::<String>(&raw).expect("a string"))
            };
            thoughts += &text(texts.thoughts).unwrap_or_default();
            content += &text(texts.content).unwrap_or_default();
        }
        (thoughts, content)
    }

    #[test]
    fn thoughts_are_split_off_wherever_the_stream_is_cut() {
        for (text, thoughts, content) in [
            ("<think>\nHm é.\n</think>\n\nYes", "Hm é.\n", "Yes"),
            ("\n <think></think>Yes", "", "Yes"),
            ("<think>a < b </thin> </think>\n", "a < b </thin> ", ""),
            ("<thinking>no", "", "<thinking>no"),
            ("Yes <think>no</think>", "", "Yes <think>no</think>"),
            ("\n Yes", "", "\n Yes"),
            ("<think>never ends", "never ends", ""),
            ("<think>a</think>b</think>c", "a", "b</think>c"),
        ] {
            let expected = (thoughts.to_owned(), content.to_owned());
            assert_eq!(split(&[text], Next::End), expected, "{text:?}");
            let ends: Vec<usize> = (0..=text.len())
                .filter(|&at| text.is_char_boundary(at))
                .collect();
            for &one in &ends {
                for &two in ends.iter().filter(|&&two| two >= one) {
                    let parts = [&text[..one], &text[one..two], &text[two..]];
                    assert_eq!(split(&parts, Next::End), expected, "{parts:?}");
                }
            }
        }
    }

    #[test]
    fn a_cut_leaves_no_part_of_a_mark() {
        for (text, thoughts, content) in [
            ("<thi", "", ""),
            ("<think>\n", "", ""),
            ("<think>Hm</th", "Hm", ""),
            ("Yes", "", "Yes"),
        ] {
            let expected = (thoughts.to_owned(), content.to_owned());
            assert_eq!(split(&[text], Next::Cut), expected, "{text:?}");
        }
        assert_eq!(split(&["<thi"], Next::End).1, "<thi");
    }

    #[test]
    fn blanks_after_thoughts_of_the_server_are_left_out() {
        let mut split = Split::new(true);
        split.saw_thoughts();
        assert_eq!(split.push(r#""\n\n""#, Next::More), Texts::default());
        let texts = split.push(r#""\nYes""#, Next::More);
        assert_eq!(texts.content.as_deref(), Some("\"Yes\""));
    }

    #[test]
    fn half_of_a_surrogate_pair_passes_as_it_is() {
        let mut split = Split::new(true);
        assert_eq!(split.push("\" <\"", Next::More), Texts::default());
        let texts = split.push(r#""\ud83d""#, Next::More);
        assert_eq!(texts.content.as_deref(), Some(r#"" <\ud83d""#));
    }
}
