//! Lists of words.

use super::{Found, Hit, Input, Matched, Matcher};

/// Words, and what stands in their place. Of several words that begin at one place, the longest counts.
///
/// ```
/// use sluicegate_plugin::window::{Words, replaced};
/// let words = Words::ignoring_case(["straße", "蓝鸟"], "…").unwrap();
/// assert_eq!(replaced(&words, "STRASSE, Straße und 蓝鸟").as_deref(), Some("STRASSE, … und …"));
/// assert_eq!(replaced(&words, "nothing"), None);
/// ```
#[derive(Clone, Debug)]
pub struct Words {
    /// A tree of characters; the first node is its root.
    nodes: Vec<Node>,
    ignores_case: bool,
    is_whole: bool,
    longest: usize,
    by: String,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// Sorted by character.
    next: Vec<(char, u32)>,
    is_end: bool,
}

impl Words {
    /// Words as they are written.
    ///
    /// # Errors
    /// A sentence for the operator, if a word is empty.
    pub fn new(
        words: impl IntoIterator<Item: AsRef<str>>,
        by: impl Into<String>,
    ) -> Result<Self, String> {
        Self::of(words, by.into(), false)
    }

    /// Words in upper and lower case, of any script.
    ///
    /// # Errors
    /// As [`Words::new`].
    pub fn ignoring_case(
        words: impl IntoIterator<Item: AsRef<str>>,
        by: impl Into<String>,
    ) -> Result<Self, String> {
        Self::of(words, by.into(), true)
    }

    /// Only where no letter and no digit stands next to the word.
    #[must_use]
    pub fn whole(mut self) -> Self {
        self.is_whole = true;
        self
    }

    fn of(
        words: impl IntoIterator<Item: AsRef<str>>,
        by: String,
        ignores_case: bool,
    ) -> Result<Self, String> {
        let mut tree = Self {
            nodes: vec![Node::default()],
            ignores_case,
            is_whole: false,
            longest: 0,
            by,
        };
        for word in words {
            let word = word.as_ref();
            if word.is_empty() {
                return Err("a word must not be empty".into());
            }
            tree.longest = tree.longest.max(word.chars().count());
            let mut at = 0;
            for char in word.chars() {
                at = tree.grown(at, tree.folded(char));
            }
            tree.nodes[at].is_end = true;
        }
        Ok(tree)
    }

    /// The node behind a character, made if there is none.
    fn grown(&mut self, at: usize, char: char) -> usize {
        let new = self.nodes.len();
        let next = &mut self.nodes[at].next;
        match next.binary_search_by_key(&char, |(char, _)| *char) {
            Ok(found) => next[found].1 as usize,
            Err(place) => {
                next.insert(place, (char, u32::try_from(new).unwrap_or(u32::MAX)));
                self.nodes.push(Node::default());
                new
            }
        }
    }

    /// The longest word.
    #[must_use]
    pub fn longest(&self) -> usize {
        // Whether a word is whole shows behind it.
        self.longest + usize::from(self.is_whole)
    }

    /// Finds the first word that begins before `to`, a boundary of characters; its rule is 0.
    #[must_use]
    pub fn find_before(&self, input: Input<'_>, to: usize) -> Found {
        for (at, char) in input.text[input.from..to].char_indices() {
            let start = input.from + at;
            if !self.begins(char) || !self.is_free(input.before(start)) {
                continue;
            }
            match self.at(input, start) {
                Found::Nothing => {}
                found @ (Found::Maybe { .. } | Found::Match(_)) => return found,
            }
        }
        Found::Nothing
    }

    fn at(&self, input: Input<'_>, start: usize) -> Found {
        let maybe = Found::Maybe { start, rule: 0 };
        let (mut node, mut end) = (&self.nodes[0], None);
        let mut at = start;
        for char in input.text[start..].chars() {
            if node.is_end && self.is_free(Some(char)) {
                end = Some(at);
            }
            match self.behind(node, char) {
                Some(next) => node = next,
                None => return found(start, end),
            }
            at += char.len_utf8();
        }
        // The text ends inside of a word, or at its end.
        if !input.last && (self.is_whole || !node.next.is_empty()) {
            return maybe;
        }
        found(start, if node.is_end { Some(at) } else { end })
    }

    fn begins(&self, char: char) -> bool {
        self.behind(&self.nodes[0], char).is_some()
    }

    fn behind(&self, node: &Node, char: char) -> Option<&Node> {
        let char = self.folded(char);
        let found = node.next.binary_search_by_key(&char, |(char, _)| *char);
        Some(&self.nodes[node.next[found.ok()?].1 as usize])
    }

    /// Whether a word may stand next to this character.
    fn is_free(&self, char: Option<char>) -> bool {
        !(self.is_whole && char.is_some_and(char::is_alphanumeric))
    }

    fn folded(&self, char: char) -> char {
        if !self.ignores_case {
            return char;
        }
        if char.is_ascii() {
            return char.to_ascii_lowercase();
        }
        let mut lower = char.to_lowercase();
        match (lower.next(), lower.next()) {
            // The last letter of a Greek word.
            (Some('ς'), None) => 'σ',
            (Some(lower), None) => lower,
            _ => char,
        }
    }
}

fn found(start: usize, end: Option<usize>) -> Found {
    end.map_or(Found::Nothing, |end| {
        Found::Match(Hit {
            start,
            end,
            rule: 0,
            open: None,
        })
    })
}

impl Matcher for &Words {
    fn limit(&self) -> usize {
        self.longest()
    }
    fn find(&self, input: Input<'_>) -> Found {
        self.find_before(input, input.text.len())
    }
    fn replace(&mut self, _: usize, _: Matched<'_>, out: &mut String) {
        out.push_str(&self.by);
    }
}
