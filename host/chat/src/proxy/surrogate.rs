//! Characters that a model server has cut in half: one UTF-16 surrogate at the end of a chunk, the other in the next one.
//! Such a chunk is not valid JSON. Each half becomes a character of private use, and two halves in a row become the original
//! character.

use std::borrow::Cow;

/// The first of the private characters, in the last plane; no known software uses them. There are as many as surrogates.
const PRIVATE: u32 = 0x10_f800;
/// The surrogates, first halves before second ones.
const FIRST: u32 = 0xd800;
const SECOND: u32 = 0xdc00;
const END: u32 = 0xe000;

/// The JSON text with a private character for each lone half; `None` if there is none.
pub(super) fn mend(json: &str) -> Option<String> {
    if !json.contains("\\ud") && !json.contains("\\uD") {
        return None;
    }
    let mut found = false;
    let mut mended = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        mended.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match half(rest) {
            Some(unit) if unit < SECOND && half(&rest[6..]).is_some_and(|next| next >= SECOND) => {
                12
            }
            Some(unit) => {
                found = true;
                mended.extend(char::from_u32(PRIVATE + unit - FIRST));
                rest = &rest[6..];
                continue;
            }
            // The character after a backslash is a part of the escape, even if it is a backslash.
            None => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        mended.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    mended.push_str(rest);
    found.then_some(mended)
}

/// The surrogate whose escape a text begins with.
fn half(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let unit = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let unit = unit.then(|| u32::from_str_radix(digits, 16).ok())??;
    (FIRST..END).contains(&unit).then_some(unit)
}

/// Joins the halves of one text.
#[derive(Debug, Default)]
pub(super) struct Halves {
    first: Option<u32>,
}

impl Halves {
    /// The text with whole characters. A half at its end waits for the next text; a lone half becomes U+FFFD. `mended` says that
    /// the text has halves: otherwise private characters stay as they are.
    pub(super) fn join<'a>(&mut self, text: &'a str, mended: bool) -> Cow<'a, str> {
        if !mended && (self.first.is_none() || text.is_empty()) {
            return Cow::Borrowed(text);
        }
        let mut joined = String::with_capacity(text.len() + 4);
        for c in text.chars() {
            let code = u32::from(c);
            let unit = code
                .checked_sub(PRIVATE)
                .map(|offset| FIRST + offset)
                .filter(|unit| mended && *unit < END);
            match (unit, self.first.take()) {
                (Some(second), Some(first)) if second >= SECOND => {
                    let code = 0x1_0000 + ((first - FIRST) << 10) + (second - SECOND);
                    joined.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                (unit, before) => {
                    joined.extend(before.map(|_| char::REPLACEMENT_CHARACTER));
                    match unit {
                        Some(first) if first < SECOND => self.first = Some(first),
                        Some(_) => joined.push(char::REPLACEMENT_CHARACTER),
                        None => joined.push(c),
                    }
                }
            }
        }
        Cow::Owned(joined)
    }

    /// What is left at the end of the text.
    pub(super) fn end(&mut self) -> String {
        let left = self.first.take();
        left.map(|_| char::REPLACEMENT_CHARACTER)
            .into_iter()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(halves: &mut Halves, json: &str) -> String {
        let mended = mend(json);
        let text: String =
            serde_json::from_str(mended.as_deref().unwrap_or(json)).expect("a string");
        halves.join(&text, mended.is_some()).into_owned()
    }

    #[test]
    fn what_is_whole_stays() {
        for json in [
            r#""a\n\\ud83d""#,
            r#""\\\\ude00""#,
            r#""\ud83d\ude00""#,
            r#""\uD83D\uDE00\u00e4""#,
            r#""\ud7ff\ue000""#,
        ] {
            assert_eq!(mend(json), None, "{json}");
        }
    }

    #[test]
    fn two_halves_of_two_chunks_are_one_character() {
        let mut halves = Halves::default();
        assert_eq!(read(&mut halves, r#""a\ud83d""#), "a");
        assert_eq!(read(&mut halves, r#""""#), "");
        assert_eq!(read(&mut halves, r#""\ude00b""#), "😀b");
        assert_eq!(halves.end(), "");
    }

    #[test]
    fn a_half_that_stays_alone_is_replaced() {
        let mut halves = Halves::default();
        assert_eq!(
            read(&mut halves, r#""\ude00a\ud83db\ud83d""#),
            "\u{fffd}a\u{fffd}b"
        );
        assert_eq!(read(&mut halves, r#""\ud83d""#), "\u{fffd}");
        assert_eq!(halves.end(), "\u{fffd}");
        assert_eq!(halves.end(), "");
    }

    proptest::proptest! {
        #[test]
        fn a_text_is_the_same_wherever_its_units_are_cut(text in "[a😀\\\\你\u{10f7ff}\"]{0,12}", at in 0_usize..24) {
            let units: Vec<u16> = text.encode_utf16().collect();
            let (a, b) = units.split_at(at.min(units.len()));
            let json = |units: &[u16]| {
                let escaped: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
                format!("\"{escaped}\"")
            };
            let mut halves = Halves::default();
            let joined = read(&mut halves, &json(a)) + &read(&mut halves, &json(b)) + &halves.end();
            proptest::prop_assert_eq!(joined, text);
        }

        #[test]
        fn any_text_can_be_mended(text in "(\\\\|\\\\u|d83d|dE00|u|\\PC){0,12}") {
            if let Some(mended) = mend(&text) {
                proptest::prop_assert!(mended.len() < text.len());
            }
        }
    }
}
