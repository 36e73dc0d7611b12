//! Notes: JSON values that the stages of one exchange and its observers share.

/// The most notes of an exchange. Arbitrary; the shipped plugins use five.
const COUNT: usize = 64;
/// The most bytes of notes, names included, of an exchange. Arbitrary.
pub(crate) const BYTES: usize = 64 * 1024;

/// The notes of one exchange, each a name and JSON text.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    list: Vec<(String, String)>,
    bytes: usize,
}

impl Notes {
    /// A note's JSON text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.list
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, json)| json.as_str())
    }

    /// Sets a note, whose text must be JSON; `false` if it does not fit, and then nothing has changed.
    pub fn set(&mut self, name: &str, json: String) -> bool {
        let at = self.list.iter().position(|(have, _)| have == name);
        let freed = at.map_or(0, |at| self.list[at].0.len() + self.list[at].1.len());
        let bytes = self.bytes - freed + name.len() + json.len();
        if bytes > BYTES || (at.is_none() && self.list.len() == COUNT) {
            return false;
        }
        self.bytes = bytes;
        match at {
            Some(at) => self.list[at].1 = json,
            None => self.list.push((name.to_owned(), json)),
        }
        true
    }

    /// Takes all notes, in order of their names.
    #[must_use]
    pub fn take(&mut self) -> Vec<(String, String)> {
        self.bytes = 0;
        let mut list = std::mem::take(&mut self.list);
        list.sort();
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_replace_each_other_and_come_out_sorted() {
        let mut notes = Notes::default();
        assert!(notes.set("b", "1".into()) && notes.set("a", "2".into()));
        assert!(notes.set("b", "3".into()));
        assert_eq!(notes.get("b"), Some("3"));
        assert_eq!(
            notes.take(),
            [("a".into(), "2".into()), ("b".into(), "3".into())]
        );
    }

    #[test]
    fn notes_are_bounded_in_count_and_size() {
        let mut notes = Notes::default();
        for index in 0..COUNT {
            assert!(notes.set(&index.to_string(), "1".into()));
        }
        assert!(!notes.set("one more", "1".into()));
        assert!(notes.set("0", "2".into()), "replacing is no new note");
        let mut notes = Notes::default();
        assert!(notes.set("a", "x".repeat(BYTES - 1)));
        assert!(!notes.set("b", "1".into()));
        assert!(
            notes.set("a", "short".into()) && notes.set("b", "1".into()),
            "a shorter value gives its room back"
        );
    }
}
