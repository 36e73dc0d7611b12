//! What placeholders stand for, in one exchange.

use std::collections::{BTreeMap, BTreeSet};

use sluicegate_plugin::window::{Found, Hit, Input, folded};

/// The digits of a placeholder's number.
const DIGITS: usize = 9;

/// The placeholders of an exchange: `[EMAIL_1]` and what it stands for.
#[derive(Debug, Default)]
pub(crate) struct Vault {
    /// By rule and text: the number.
    numbers: BTreeMap<(usize, String), usize>,
    /// By placeholder: the text.
    texts: BTreeMap<String, String>,
    /// What looks like a placeholder in the request, and stands for itself.
    taken: BTreeSet<String>,
    last: BTreeMap<usize, usize>,
    longest: usize,
}

impl Vault {
    /// Notes what looks like a placeholder in a text of the request.
    pub(crate) fn look_at(&mut self, text: &str) {
        if !text.contains(['[', '\\']) {
            return;
        }
        // As the model may read it, or write it again.
        let text = folded(text);
        for (start, _) in text.match_indices('[') {
            let end = text[start..]
                .bytes()
                .take(MOST)
                .position(|byte| byte == b']');
            if let Some(end) = end {
                let name = &text[start..=start + end];
                let digits = name.trim_end_matches(']').rsplit('_').next();
                if digits.is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit())) {
                    self.taken.insert(name.to_owned());
                }
            }
        }
    }

    /// Appends the placeholder of a text, the same for the same text.
    pub(crate) fn put(&mut self, rule: usize, label: &str, text: &str, out: &mut String) {
        let known = self.numbers.get(&(rule, text.to_owned())).copied();
        let number = known.unwrap_or_else(|| self.add(rule, label, text));
        out.push_str(&placeholder(label, number));
    }

    fn add(&mut self, rule: usize, label: &str, text: &str) -> usize {
        let last = self.last.entry(rule).or_default();
        let name = loop {
            *last += 1;
            let name = placeholder(label, *last);
            if !self.taken.contains(&name) && !self.texts.contains_key(&name) {
                break name;
            }
        };
        self.longest = self.longest.max(name.len());
        self.texts.insert(name, text.to_owned());
        self.numbers.insert((rule, text.to_owned()), *last);
        *last
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The longest placeholder.
    pub(crate) fn limit(&self) -> usize {
        self.longest
    }

    /// What a placeholder stands for, however it is written.
    pub(crate) fn text(&self, placeholder: &str) -> Option<&str> {
        let text = self.texts.get(placeholder);
        let text = text.or_else(|| self.texts.get(&folded(placeholder)));
        text.map(String::as_str)
    }

    /// Finds the first placeholder that begins before `to`.
    pub(crate) fn find(&self, input: Input<'_>, to: usize, rule: usize) -> Found {
        if self.is_empty() {
            return Found::Nothing;
        }
        for (at, _) in input.text[input.from..to].match_indices('[') {
            let start = input.from + at;
            let rest = &input.text[start..];
            let end = rest
                .bytes()
                .take(self.longest)
                .position(|byte| byte == b']');
            match end {
                Some(end) if self.texts.contains_key(&rest[..=end]) => {
                    return Found::Match(Hit {
                        start,
                        end: start + end + 1,
                        rule,
                        open: None,
                    });
                }
                None if !input.last && self.begins(rest) => return Found::Maybe { start, rule },
                Some(_) | None => {}
            }
        }
        Found::Nothing
    }

    /// Whether a placeholder begins with this text.
    fn begins(&self, text: &str) -> bool {
        if text.len() > self.longest {
            return false;
        }
        let mut from = self.texts.range(text.to_owned()..);
        from.next().is_some_and(|(name, _)| name.starts_with(text))
    }
}

/// The most bytes of a placeholder: `[`, the longest label, `_`, the number, `]`.
const MOST: usize = LABEL + DIGITS + 3;
/// The longest label.
pub(crate) const LABEL: usize = 32;

fn placeholder(label: &str, number: usize) -> String {
    format!("[{label}_{number}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(text: &str) -> Input<'_> {
        Input {
            text,
            from: 0,
            last: false,
        }
    }

    #[test]
    fn numbers_follow_the_order_and_leave_out_what_is_taken() {
        let mut vault = Vault::default();
        vault.look_at("see [EMAIL_2] and [[EMAIL_3]], [x] [EMAIL_");
        let mut out = String::new();
        for (rule, label, text) in [
            (0, "EMAIL", "a"),
            (0, "EMAIL", "b"),
            (1, "PHONE", "a"),
            (0, "EMAIL", "a"),
            (2, "EMAIL", "c"),
        ] {
            vault.put(rule, label, text, &mut out);
        }
        assert_eq!(out, "[EMAIL_1][EMAIL_4][PHONE_1][EMAIL_1][EMAIL_5]");
        assert_eq!(vault.text("[EMAIL_4]"), Some("b"));
        assert_eq!(vault.text("[EMAIL_2]"), None);
    }

    #[test]
    fn a_placeholder_is_found_also_if_it_is_not_complete() {
        let mut vault = Vault::default();
        for text in ["a", "b"] {
            vault.put(0, "EMAIL", text, &mut String::new());
        }
        let found = |text: &str| vault.find(input(text), text.len(), 9);
        let hit = |start, end| {
            Found::Match(Hit {
                start,
                end,
                rule: 9,
                open: None,
            })
        };
        assert_eq!(found("x [EMAIL_1] y"), hit(2, 11));
        assert_eq!(found("[[EMAIL_2]"), hit(1, 10));
        for text in ["[", "[EM", "[EMAIL_2"] {
            assert_eq!(found(text), Found::Maybe { start: 0, rule: 9 });
        }
        for text in ["[EMAIL_3", "[EMAIL_3]", "[x", "EMAIL_1]"] {
            assert_eq!(found(text), Found::Nothing, "{text}");
        }
        let last = Input {
            last: true,
            ..input("[EM")
        };
        assert_eq!(vault.find(last, 3, 9), Found::Nothing);
    }
}
