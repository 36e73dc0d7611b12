//! Replaces words in text that arrives in chunks.

/// The end of the text so far, if it could be the beginning of a word.
#[derive(Debug, Default)]
pub(crate) struct Tail(String);

/// The words to replace.
#[derive(Debug)]
pub(crate) struct Words {
    words: Vec<String>,
    by: String,
}

impl Words {
    /// # Errors
    /// A sentence for the operator, if a word is empty.
    pub(crate) fn new(words: Vec<String>, by: String) -> Result<Self, String> {
        if words.iter().any(String::is_empty) {
            return Err("a word must not be empty".into());
        }
        Ok(Self { words, by })
    }

    /// Replaces words in a complete text.
    pub(crate) fn replace(&self, text: &str) -> String {
        self.words
            .iter()
            .fold(text.to_owned(), |text, word| text.replace(word, &self.by))
    }

    /// Takes the next part of a text; returns what can be sent, and keeps the rest.
    pub(crate) fn feed(&self, tail: &mut Tail, text: &str) -> String {
        tail.0.push_str(text);
        let text = self.replace(&tail.0);
        let keep = self
            .words
            .iter()
            .map(|word| begun(&text, word))
            .max()
            .unwrap_or(0);
        let (done, rest) = text.split_at(text.len() - keep);
        tail.0 = rest.to_owned();
        done.to_owned()
    }

    /// Returns what was kept, at the end of the text.
    pub(crate) fn finish(&self, tail: &mut Tail) -> Option<String> {
        (!tail.0.is_empty()).then(|| std::mem::take(&mut tail.0))
    }
}

/// The number of bytes at the end of the text that are the beginning of the word.
fn begun(text: &str, word: &str) -> usize {
    word.char_indices()
        .map(|(at, _)| at)
        .rev()
        .find(|&at| text.ends_with(&word[..at]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_could_be_a_word_is_held_back() {
        let words = Words::new(vec!["秘密".into(), "top".into()], "x".into()).expect("words");
        let mut tail = Tail::default();
        assert_eq!(words.feed(&mut tail, "这是秘"), "这是");
        assert_eq!(words.feed(&mut tail, "密, to"), "x, ");
        assert_eq!(words.feed(&mut tail, "day"), "today");
        assert_eq!(words.finish(&mut tail), None);
        assert_eq!(words.feed(&mut tail, "st"), "s");
        assert_eq!(words.feed(&mut tail, "to"), "t");
        assert_eq!(words.finish(&mut tail).as_deref(), Some("to"));
    }
}
