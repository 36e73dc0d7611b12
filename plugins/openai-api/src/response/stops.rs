//! Stop sequences that a server leaves in the text, or runs over.
//!
//! OpenAI ends a text before the first stop sequence in it. TGI keeps the sequence, and sees only one that ends with a token. So
//! the text is searched here, and what may become a sequence is held back.

use std::borrow::Cow;

use sluicegate_plugin::json;

/// The search in one text.
#[derive(Debug)]
pub(super) struct Stops {
    sequences: Vec<String>,
    held: String,
}

impl Stops {
    pub(super) fn new(sequences: &[String]) -> Self {
        Self {
            sequences: sequences.to_vec(),
            held: String::new(),
        }
    }

    /// Takes the next part of the text, a JSON string; returns what is sure of it, and whether a sequence has come. `last` says
    /// whether it is the last part.
    pub(super) fn push<'a>(
        &mut self,
        raw: Option<Cow<'a, str>>,
        last: bool,
    ) -> (Option<Cow<'a, str>>, bool) {
        if self.sequences.is_empty() || raw.is_none() && !last {
            return (raw, false);
        }
        let text = match raw.as_deref().map(serde_json::from_str::<String>) {
            Some(Ok(text)) => text,
            None => String::new(),
            // Half of a surrogate pair: not to be decoded.
            Some(Err(_)) => return (raw, false),
        };
        let text = std::mem::take(&mut self.held) + &text;
        let found = self
            .sequences
            .iter()
            .filter_map(|stop| text.find(stop.as_str()))
            .min();
        let sure = match found {
            Some(at) => at,
            None if last => text.len(),
            None => text.len() - self.part_of_a_sequence(&text),
        };
        if found.is_none() {
            text[sure..].clone_into(&mut self.held);
        }
        let mut out = String::with_capacity(sure + 8);
        json::push_str(&mut out, &text[..sure]);
        ((sure > 0).then_some(Cow::Owned(out)), found.is_some())
    }

    /// The length of the longest end of `text` that begins a sequence.
    fn part_of_a_sequence(&self, text: &str) -> usize {
        let longest = |stop: &String| {
            let ends = stop.char_indices().map(|(at, _)| at).skip(1);
            ends.filter(|&at| text.ends_with(&stop[..at])).max()
        };
        self.sequences.iter().filter_map(longest).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn searched(parts: &[&str], stops: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(|&stop| stop.to_owned()).collect();
        let mut search = Stops::new(&stops);
        let mut out = String::new();
        for (at, part) in parts.iter().enumerate() {
            let raw = serde_json::to_string(part).expect("JSON");
            let (text, found) = search.push(Some(Cow::Owned(raw)), at + 1 == parts.len());
            let text = text.map(|raw| serde_json::from_str::<String>(&raw).expect("a string"));
            out += &text.unwrap_or_default();
            if found {
                return (out, true);
            }
        }
        (out, false)
    }

    #[test]
    fn a_text_ends_before_its_first_sequence_wherever_it_is_cut() {
        for (text, stops, expected, found) in [
            ("It is 42.\nUser: more", &["\nUser:"][..], "It is 42.", true),
            ("It is 42.\nUs", &["\nUser:"], "It is 42.\nUs", false),
            ("aab", &["ab"], "a", true),
            ("你好吗", &["好吗", "x"], "你", true),
            ("one two", &["two", "one t"], "", true),
            ("abc", &[], "abc", false),
        ] {
            let expected = (expected.to_owned(), found);
            let ends: Vec<usize> = (0..=text.len())
                .filter(|&at| text.is_char_boundary(at))
                .collect();
            for &one in &ends {
                for &two in ends.iter().filter(|&&two| two >= one) {
                    let parts = [&text[..one], &text[one..two], &text[two..]];
                    assert_eq!(searched(&parts, stops), expected, "{parts:?}");
                }
            }
        }
    }
}
