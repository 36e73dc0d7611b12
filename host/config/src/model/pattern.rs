//! Patterns of names: of models and of tenants.

use std::fmt;

/// A name in which each `*` stands for any characters, also for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

impl NamePattern {
    /// As written: without a `*`, it is one name.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, if it is one.
    #[must_use]
    pub fn exact(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(&*self.0)
    }

    /// How many characters are no `*`: of two patterns that match, the one with more of them is meant.
    #[must_use]
    pub fn literals(&self) -> usize {
        self.0.chars().filter(|c| *c != '*').count()
    }

    /// Whether a name matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let Some((begin, rest)) = self.0.split_once('*') else {
            return self.0 == name;
        };
        let Some(mut left) = name.strip_prefix(begin) else {
            return false;
        };
        let mut parts: Vec<&str> = rest.split('*').collect();
        let end = parts.pop().unwrap_or_default();
        for part in parts {
            // The first place is the best one: it leaves the most for what follows.
            let Some(place) = left.find(part) else {
                return false;
            };
            left = &left[place + part.len()..];
        }
        left.ends_with(end)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("qwen3", "qwen3", true),
            ("qwen3", "qwen3:32b", false),
            ("qwen3*", "qwen3", true),
            ("qwen3*", "qwen3:32b", true),
            ("qwen3*", "my-qwen3", false),
            ("*-instruct", "a-instruct", true),
            ("*-instruct", "a-instruct-2", false),
            ("*", "", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-bb-c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a**", "ab", true),
            ("*模型*", "大模型7b", true),
        ] {
            let matches = NamePattern::new(pattern).matches(name);
            assert_eq!(matches, expected, "{pattern} {name}");
        }
    }
}
