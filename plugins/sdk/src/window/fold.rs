//! Characters that mean the same for a search: wide letters and digits, all kinds of blanks, and those that nobody sees.
//!
//! # Source
//! Unicode Standard Annex 15: what these characters are in NFKC, and Annex 44, `Default_Ignorable_Code_Point`. Only what people and
//! models write in place of ASCII is here; a whole table would be larger than a plugin.

/// Backslashes before an escape: JSON in a string of JSON doubles them each time. Longer runs mean nothing.
const BACKSLASHES: usize = 16;

/// What a character counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    /// Itself.
    Same,
    /// Another one.
    Other(char),
    /// Nothing.
    Nothing,
}

/// What a backslash begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// So many bytes that mean this character.
    Means(usize, char),
    /// So many backslashes that mean themselves.
    Plain(usize),
    /// What follows decides.
    Cut,
}

/// What a character counts as for a matcher that [folds](super::Matcher::folds); `None` for one that it does not see.
#[must_use]
pub fn folded_char(char: char) -> Option<char> {
    match fold(char) {
        Fold::Same => Some(char),
        Fold::Other(other) => Some(other),
        Fold::Nothing => None,
    }
}

pub(super) fn fold(char: char) -> Fold {
    match char {
        // Most texts have no others, Chinese ones included.
        '\0'..='\u{9f}' | '\u{3001}'..='\u{fdff}' => Fold::Same,
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            Fold::Other(' ')
        }
        // Soft hyphens, joiners, marks of direction, selectors of variants, and tags.
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e0fff}' => Fold::Nothing,
        '\u{2010}'..='\u{2013}' | '\u{2212}' | '\u{fe63}' | '\u{ff0d}' => Fold::Other('-'),
        '\u{fe62}' | '\u{ff0b}' => Fold::Other('+'),
        '\u{fe52}' | '\u{ff0e}' => Fold::Other('.'),
        '\u{fe6b}' | '\u{ff20}' => Fold::Other('@'),
        '\u{ff3f}' => Fold::Other('_'),
        '\u{ff10}'..='\u{ff19}' | '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}' => {
            ascii(u32::from(char) - 0xfee0)
        }
        '\u{660}'..='\u{669}' => digit(char, 0x660),
        '\u{6f0}'..='\u{6f9}' => digit(char, 0x6f0),
        '\u{966}'..='\u{96f}' => digit(char, 0x966),
        '\u{9e6}'..='\u{9ef}' => digit(char, 0x9e6),
        '\u{2102}'..='\u{2134}' => letter(char),
        '\u{1d400}'..='\u{1d6a3}' => match (u32::from(char) - 0x1d400) % 52 {
            upper @ ..26 => ascii(u32::from(b'A') + upper),
            lower => ascii(u32::from(b'a') + lower - 26),
        },
        '\u{1d7ce}'..='\u{1d7ff}' => digit(char, 0x1d7ce),
        _ => Fold::Same,
    }
}

fn ascii(code: u32) -> Fold {
    char::from_u32(code).map_or(Fold::Same, Fold::Other)
}

fn digit(char: char, zero: u32) -> Fold {
    ascii(u32::from(b'0') + (u32::from(char) - zero) % 10)
}

/// Mathematical letters that have a place of their own.
fn letter(char: char) -> Fold {
    Fold::Other(match char {
        'ℬ' => 'B',
        'ℂ' | 'ℭ' => 'C',
        'ℰ' => 'E',
        'ℱ' => 'F',
        'ℋ' | 'ℌ' | 'ℍ' => 'H',
        'ℐ' | 'ℑ' => 'I',
        'ℒ' => 'L',
        'ℳ' => 'M',
        'ℕ' => 'N',
        'ℙ' => 'P',
        'ℚ' => 'Q',
        'ℛ' | 'ℜ' | 'ℝ' => 'R',
        'ℤ' | 'ℨ' => 'Z',
        'ℯ' => 'e',
        'ℊ' => 'g',
        'ℎ' => 'h',
        'ℴ' => 'o',
        _ => return Fold::Same,
    })
}

/// What a text that begins with a backslash begins with, in JSON of any depth: `\u0061` is an `a`, and so is `\\u0061`. Escapes of
/// two letters, such as `\n`, are left alone: outside of JSON they are the beginning of a word, as in `C:\notes`.
pub(super) fn escape(text: &str, last: bool) -> Escape {
    let bytes = text.as_bytes();
    let run = bytes.iter().take(BACKSLASHES);
    let run = run.take_while(|&&byte| byte == b'\\').count();
    let plain = Escape::Plain(run);
    let unknown = if last { plain } else { Escape::Cut };
    match bytes.get(run) {
        None if run == BACKSLASHES => plain,
        None => unknown,
        Some(byte @ (b'/' | b'"')) => Escape::Means(run + 1, char::from(*byte)),
        Some(b'u') => match unit(&bytes[run + 1..]) {
            Unit::No => plain,
            Unit::Cut => unknown,
            Unit::Is(unit) => {
                let end = run + 5;
                match char::from_u32(unit) {
                    Some(char) => Escape::Means(end, char),
                    None if unit < 0xdc00 => second(&bytes[end..], unit, end, plain, unknown),
                    None => plain,
                }
            }
        },
        Some(_) => plain,
    }
}

/// The second half of a character beyond U+FFFF.
fn second(bytes: &[u8], first: u32, end: usize, plain: Escape, unknown: Escape) -> Escape {
    let run = bytes.iter().take(BACKSLASHES);
    let run = run.take_while(|&&byte| byte == b'\\').count();
    match bytes.get(run) {
        None => unknown,
        Some(b'u') if run > 0 => match unit(&bytes[run + 1..]) {
            Unit::Cut => unknown,
            Unit::Is(unit @ 0xdc00..0xe000) => {
                let code = 0x10000 + ((first - 0xd800) << 10) + (unit - 0xdc00);
                char::from_u32(code).map_or(plain, |char| Escape::Means(end + run + 5, char))
            }
            Unit::Is(_) | Unit::No => plain,
        },
        Some(_) => plain,
    }
}

enum Unit {
    Is(u32),
    No,
    Cut,
}

/// Four digits of an escape.
fn unit(bytes: &[u8]) -> Unit {
    let mut unit = 0;
    for at in 0..4 {
        let Some(&byte) = bytes.get(at) else {
            return Unit::Cut;
        };
        match char::from(byte).to_digit(16) {
            Some(digit) => unit = unit << 4 | digit,
            None => return Unit::No,
        }
    }
    Unit::Is(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_and_invisible_characters_count_as_those_of_ascii() {
        for (text, expected) in [
            ("ａｌｉｃｅ＠ｅｘａｍｐｌｅ．ｃｏｍ", "alice@example.com"),
            ("１３８\u{a0}1234\u{202f}5678\u{2007}", "138 1234 5678 "),
            ("٠١٢ ۹ ९", "012 9 9"),
            ("a\u{ad}l\u{200b}i\u{2060}c\u{fe0f}e\u{feff}", "alice"),
            ("𝐀𝐛𝒄𝕯 ℋℯ 𝟏𝟚𝟹", "AbcD He 123"),
            ("555‑1234–5", "555-1234-5"),
            ("你好，（世界）。é ² ①", "你好，（世界）。é ² ①"),
        ] {
            let folded: String = text.chars().filter_map(folded_char).collect();
            assert_eq!(folded, expected);
        }
    }

    #[test]
    fn escapes_are_told_from_what_only_begins_like_one() {
        for (text, expected) in [
            (r"\u0061b", Escape::Means(6, 'a')),
            (r"\\\u0061", Escape::Means(8, 'a')),
            (r"\ud83d\ude00", Escape::Means(12, '😀')),
            (r"\/", Escape::Means(2, '/')),
            (r#"\""#, Escape::Means(2, '"')),
            (r"\users", Escape::Plain(1)),
            (r"\n", Escape::Plain(1)),
            (r"\ude00", Escape::Plain(1)),
            (r"\ud83dx", Escape::Plain(1)),
            (r"\ud83d\u0061", Escape::Plain(1)),
        ] {
            for last in [false, true] {
                assert_eq!(escape(text, last), expected, "{text}");
            }
            // Every beginning of it is cut, or is decided as the whole.
            for at in 1..text.len() {
                let part = escape(&text[..at], false);
                assert!(part == expected || part == Escape::Cut, "{text} {at}");
            }
        }
        assert_eq!(escape(r"\u00", true), Escape::Plain(1));
        assert_eq!(escape(&"\\".repeat(99), false), Escape::Plain(16));
    }
}
