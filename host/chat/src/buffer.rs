//! The growing text of one run.
//!
//! The run appends; each connection that watches reads from its own position and at its own pace. The run never waits for a
//! reader, and a reader never holds text of its own: a slow one costs a position, not a queue.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::wire::event::Channel;
use super::wire::message::Position;

/// Text and reasoning of a run, from the start of its message.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// `run_…`.
    pub run: String,
    /// The message that the run writes.
    pub message: String,
    /// Where the run begins: not zero when an answer is continued.
    pub base: Position,
    texts: Mutex<Texts>,
    /// The readers to wake.
    watchers: Mutex<Vec<Weak<Notify>>>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Texts {
    text: String,
    reasoning: String,
}

impl Texts {
    fn channel(&self, channel: Channel) -> &str {
        match channel {
            Channel::Text => &self.text,
            Channel::Reasoning => &self.reasoning,
        }
    }

    fn end(&self) -> Position {
        Position {
            text: self.text.len(),
            reasoning: self.reasoning.len(),
        }
    }
}

impl Buffer {
    /// A buffer that begins with the text that the message already has.
    ///
    /// # Units
    /// `limit` is in bytes of both texts together.
    pub(crate) fn new(
        run: &str,
        message: &str,
        text: String,
        reasoning: String,
        limit: usize,
    ) -> Arc<Self> {
        let texts = Texts { text, reasoning };
        Arc::new(Self {
            run: run.to_owned(),
            message: message.to_owned(),
            base: texts.end(),
            texts: Mutex::new(texts),
            watchers: Mutex::default(),
            limit,
        })
    }

    /// Adds text and wakes all readers. Returns `false`, and adds nothing, if the limit would be exceeded.
    pub(crate) fn append(&self, channel: Channel, text: &str) -> bool {
        {
            let mut texts = self.texts();
            let end = texts.end();
            if end.text + end.reasoning + text.len() > self.limit {
                return false;
            }
            match channel {
                Channel::Text => texts.text.push_str(text),
                Channel::Reasoning => texts.reasoning.push_str(text),
            }
        }
        self.watchers().retain(|watcher| {
            watcher
                .upgrade()
                .map(|reader| reader.notify_one())
                .is_some()
        });
        true
    }

    /// Where both texts end.
    pub(crate) fn end(&self) -> Position {
        self.texts().end()
    }

    /// Copies of both texts.
    pub(crate) fn texts_now(&self) -> (String, String) {
        let texts = self.texts();
        (texts.text.clone(), texts.reasoning.clone())
    }

    /// The ends of both texts after a position.
    pub(crate) fn since(&self, from: Position) -> (String, String) {
        let texts = self.texts();
        let tail = |text: &str, from: usize| text.get(from..).unwrap_or_default().to_owned();
        (
            tail(&texts.text, from.text),
            tail(&texts.reasoning, from.reasoning),
        )
    }

    /// Whether this buffer can continue from a position.
    pub(crate) fn reaches(&self, position: Position) -> bool {
        let texts = self.texts();
        texts.text.is_char_boundary(position.text)
            && texts.reasoning.is_char_boundary(position.reasoning)
    }

    /// Calls `take` with the next chunk of a text, of at most `most` bytes and at least one character; `None` if there is none.
    pub(crate) fn chunk<T>(
        &self,
        channel: Channel,
        from: usize,
        most: usize,
        take: impl FnOnce(&str) -> T,
    ) -> Option<T> {
        let texts = self.texts();
        let rest = texts
            .channel(channel)
            .get(from..)
            .filter(|rest| !rest.is_empty())?;
        // At least one character, or a limit smaller than it would never advance.
        let first = rest.chars().next().map_or(0, char::len_utf8);
        Some(take(&rest[..rest.floor_char_boundary(most).max(first)]))
    }

    /// Wakes this reader whenever text comes.
    pub(crate) fn watch(&self, reader: &Arc<Notify>) {
        let mut watchers = self.watchers();
        watchers.retain(|watcher| watcher.strong_count() > 0);
        if !watchers
            .iter()
            .any(|watcher| std::ptr::eq(watcher.as_ptr(), Arc::as_ptr(reader)))
        {
            watchers.push(Arc::downgrade(reader));
        }
    }

    fn texts(&self) -> MutexGuard<'_, Texts> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watchers(&self) -> MutexGuard<'_, Vec<Weak<Notify>>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(text: &str) -> Arc<Buffer> {
        Buffer::new("run_1", "msg_1", text.to_owned(), String::new(), 64)
    }

    #[test]
    fn chunks_never_cut_a_character_and_always_advance() {
        let buffer = buffer("");
        assert!(buffer.append(Channel::Text, "你好a"));
        let chunk = |from, most| buffer.chunk(Channel::Text, from, most, str::to_owned);
        assert_eq!(chunk(0, 100).as_deref(), Some("你好a"));
        assert_eq!(chunk(0, 4).as_deref(), Some("你"));
        assert_eq!(chunk(0, 1).as_deref(), Some("你"));
        assert_eq!(chunk(6, 4).as_deref(), Some("a"));
        assert_eq!(chunk(7, 4), None);
        assert_eq!(
            chunk(1, 4),
            None,
            "a position inside a character gives nothing"
        );
        assert_eq!(chunk(99, 4), None);
    }

    #[test]
    fn the_limit_holds_for_both_texts_together() {
        let buffer = buffer("");
        assert!(buffer.append(Channel::Text, &"x".repeat(40)));
        assert!(!buffer.append(Channel::Reasoning, &"y".repeat(25)));
        assert!(buffer.append(Channel::Reasoning, &"y".repeat(24)));
        assert_eq!(
            buffer.end(),
            Position {
                text: 40,
                reasoning: 24
            }
        );
    }

    #[test]
    fn a_continued_answer_counts_from_the_start_of_its_message() {
        let buffer = buffer("half");
        assert_eq!(
            buffer.base,
            Position {
                text: 4,
                reasoning: 0
            }
        );
        buffer.append(Channel::Text, " whole");
        assert_eq!(
            buffer.since(buffer.base),
            (" whole".to_owned(), String::new())
        );
        assert!(buffer.reaches(Position {
            text: 10,
            reasoning: 0
        }));
        assert!(!buffer.reaches(Position {
            text: 11,
            reasoning: 0
        }));
        assert!(!buffer.reaches(Position {
            text: 0,
            reasoning: 1
        }));
    }
}
