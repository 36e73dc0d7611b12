//! Reasoning that a model server left in the text: `<think>…</think>` at the very start of an answer.

/// What marks the beginning and the end.
const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Bytes of white space that may come before the mark. Arbitrary; models send a few line ends. Text with more is an answer: a
/// confused model sends endless line ends, and they must not gather here, where no limit counts them.
pub(super) const BLANKS: usize = 256;

/// Separates reasoning from the answer, however the text is cut.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    state: State,
    /// Text that may become a mark together with the next text.
    held: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    /// Only white space and a part of the mark so far.
    #[default]
    Start,
    Inside,
    /// The white space between the mark and the answer is dropped.
    After,
    Answer,
}

/// Texts to be added, reasoning first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    pub reasoning: String,
    pub text: String,
}

impl Splitter {
    /// A splitter for a stream without such reasoning: all of it is the answer.
    pub(super) fn off() -> Self {
        Self {
            state: State::Answer,
            held: String::new(),
        }
    }

    /// Takes text.
    pub(super) fn push(&mut self, text: &str) -> Split {
        let mut split = Split::default();
        self.held.push_str(text);
        loop {
            match self.state {
                State::Start => {
                    let trimmed = self.held.trim_start();
                    if self.held.len() - trimmed.len() > BLANKS {
                        self.state = State::Answer;
                    } else if let Some(rest) = trimmed.strip_prefix(OPEN) {
                        self.held = rest.to_owned();
                        self.state = State::Inside;
                    } else if OPEN.starts_with(trimmed) {
                        return split;
                    } else {
                        self.state = State::Answer;
                    }
                }
                State::Inside => match self.held.find(CLOSE) {
                    Some(at) => {
                        split.reasoning.push_str(&self.held[..at]);
                        self.held.drain(..at + CLOSE.len());
                        self.state = State::After;
                    }
                    None => {
                        let keep = partial(&self.held, CLOSE);
                        split
                            .reasoning
                            .push_str(&self.held[..self.held.len() - keep]);
                        self.held.drain(..self.held.len() - keep);
                        return split;
                    }
                },
                State::After => {
                    let rest = self.held.trim_start();
                    if rest.is_empty() {
                        self.held.clear();
                        return split;
                    }
                    self.held = rest.to_owned();
                    self.state = State::Answer;
                }
                State::Answer => {
                    split.text.push_str(&self.held);
                    self.held.clear();
                    return split;
                }
            }
        }
    }

    /// The text that was held back, at the end of the stream.
    pub(super) fn end(&mut self) -> Split {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Inside => Split {
                reasoning: held,
                text: String::new(),
            },
            State::Start | State::After | State::Answer => Split {
                reasoning: String::new(),
                text: held,
            },
        }
    }
}

/// The length of the longest suffix of `text` that is a prefix of `mark`.
fn partial(text: &str, mark: &str) -> usize {
    (1..mark.len())
        .rev()
        .find(|&length| text.ends_with(&mark[..length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&str]) -> (String, String) {
        let mut splitter = Splitter::default();
        let mut all = Split::default();
        let mut add = |split: Split| {
            all.reasoning.push_str(&split.reasoning);
            all.text.push_str(&split.text);
        };
        for chunk in chunks {
            add(splitter.push(chunk));
        }
        add(splitter.end());
        (all.reasoning, all.text)
    }

    #[test]
    fn reasoning_is_found_wherever_the_text_is_cut() {
        let whole = "\n<think>why </thin 你</think>\n\nanswer <think>kept</think>";
        let expected = (
            "why </thin 你".to_owned(),
            "answer <think>kept</think>".to_owned(),
        );
        for at in (0..=whole.len()).filter(|at| whole.is_char_boundary(*at)) {
            assert_eq!(
                split(&[&whole[..at], &whole[at..]]),
                expected,
                "cut at {at}"
            );
        }
    }

    #[test]
    fn text_without_the_mark_is_untouched() {
        for text in ["<thinner>", "a <think>b</think>", "  indented", "<thi", ""] {
            assert_eq!(split(&[text]), (String::new(), text.to_owned()));
        }
    }

    #[test]
    fn endless_white_space_is_an_answer() {
        let mut splitter = Splitter::default();
        let got: String = (0..1000).map(|_| splitter.push("\n").text).collect();
        assert_eq!(got.len(), 1000);
        assert_eq!(splitter.push("<think>").text, "<think>");
        let few = "\n".repeat(BLANKS) + "<think>a";
        assert_eq!(split(&[&few]), ("a".to_owned(), String::new()));
    }

    #[test]
    fn reasoning_that_never_ends_stays_reasoning() {
        assert_eq!(
            split(&["<think>on and on</thi"]),
            ("on and on</thi".to_owned(), String::new())
        );
    }

    #[test]
    fn switched_off_it_changes_nothing() {
        let mut off = Splitter::off();
        assert_eq!(off.push("<think>a").text, "<think>a");
        assert_eq!(off.end(), Split::default());
    }
}
