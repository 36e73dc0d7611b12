//! The arguments of a tool call as they arrive: which of the text can be part of a JSON object, and when that is complete.
//!
//! The official clients parse what they have after each delta, and fail if no continuation could make it an object. A model
//! can write anything, so what does not fit is held back. It also tells when a call is complete, so that the next one can
//! begin before the response ends.

/// More layers are a mistake of the model's; readers of JSON have the same limit.
const MOST_LAYERS: usize = 127;

/// The arguments of one call, so far.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    /// What is open, from outside to inside: `true` for an object, `false` for an array.
    open: Vec<bool>,
    next: Next,
    token: Token,
    /// Whether there was anything but blanks.
    has_begun: bool,
    is_broken: bool,
}

/// What must come next, outside of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Beginning,
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    Nothing,
}

/// A token that has begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Token {
    #[default]
    None,
    Text {
        is_key: bool,
        escape: Escape,
    },
    Number(Number),
    /// The rest of `true`, `false` or `null`.
    Word(&'static [u8]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    Begun,
    /// Hexadecimal digits that are missing.
    Unicode(u8),
}

/// What a number ends with so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Arguments {
    /// Takes more text; gives the part of it that belongs to the object, without the blanks before it: the official clients
    /// fail on blanks alone.
    pub(crate) fn take<'a>(&mut self, text: &'a str) -> &'a str {
        let text = if self.has_begun {
            text
        } else {
            text.trim_ascii_start()
        };
        for (at, byte) in text.bytes().enumerate() {
            if self.is_broken || !self.byte(byte) {
                self.is_broken = true;
                return text.get(..at).unwrap_or_default();
            }
        }
        text
    }

    /// Whether the object is complete. A call without any arguments is none of an object.
    pub(crate) fn is_complete(&self) -> bool {
        self.next == Next::Nothing && !self.is_broken
    }

    /// Whether nothing but blanks came: a call of a tool without parameters.
    pub(crate) fn is_blank(&self) -> bool {
        !self.has_begun && !self.is_broken
    }

    fn byte(&mut self, byte: u8) -> bool {
        match self.token {
            Token::None => self.between(byte),
            Token::Text { is_key, escape } => self.text(byte, is_key, escape),
            Token::Word(rest) => match rest {
                [expected, rest @ ..] if *expected == byte => {
                    if rest.is_empty() {
                        self.after_value();
                    } else {
                        self.token = Token::Word(rest);
                    }
                    true
                }
                _ => false,
            },
            Token::Number(number) => match number.then(byte) {
                Some(next) => {
                    self.token = Token::Number(next);
                    true
                }
                None if number.can_end() => {
                    self.after_value();
                    self.between(byte)
                }
                None => false,
            },
        }
    }

    fn text(&mut self, byte: u8, is_key: bool, escape: Escape) -> bool {
        let escape = match (escape, byte) {
            (Escape::None, b'"') => {
                self.token = Token::None;
                if is_key {
                    self.next = Next::Colon;
                } else {
                    self.after_value();
                }
                return true;
            }
            (Escape::None, b'\\') => Escape::Begun,
            (Escape::None, ..0x20) => return false,
            (Escape::None, _) => return true,
            (Escape::Begun, b'u') => Escape::Unicode(4),
            (Escape::Begun, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Escape::None,
            (Escape::Begun, _) => return false,
            (Escape::Unicode(missing), byte) if byte.is_ascii_hexdigit() => match missing {
                ..=1 => Escape::None,
                missing => Escape::Unicode(missing - 1),
            },
            (Escape::Unicode(_), _) => return false,
        };
        self.token = Token::Text { is_key, escape };
        true
    }

    /// A byte outside of a token.
    fn between(&mut self, byte: u8) -> bool {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return true;
        }
        self.has_begun = true;
        let in_object = self.open.last() == Some(&true);
        match (self.next, byte) {
            (Next::Beginning, b'{') => self.enter(true),
            (Next::Value | Next::ValueOrEnd, _) if byte != b']' => self.value(byte),
            (Next::ValueOrEnd, b']') => self.leave(),
            (Next::Key | Next::KeyOrEnd, b'"') => self.begin(Token::Text {
                is_key: true,
                escape: Escape::None,
            }),
            (Next::KeyOrEnd, b'}') => self.leave(),
            (Next::CommaOrEnd, b'}') if in_object => self.leave(),
            (Next::CommaOrEnd, b']') if !in_object => self.leave(),
            (Next::CommaOrEnd, b',') => {
                self.next = if in_object { Next::Key } else { Next::Value };
                true
            }
            (Next::Colon, b':') => {
                self.next = Next::Value;
                true
            }
            (
                Next::Beginning
                | Next::Value
                | Next::ValueOrEnd
                | Next::Key
                | Next::KeyOrEnd
                | Next::Colon
                | Next::CommaOrEnd
                | Next::Nothing,
                _,
            ) => false,
        }
    }

    fn value(&mut self, byte: u8) -> bool {
        match byte {
            b'{' => self.enter(true),
            b'[' => self.enter(false),
            b'"' => self.begin(Token::Text {
                is_key: false,
                escape: Escape::None,
            }),
            b't' => self.begin(Token::Word(b"rue")),
            b'f' => self.begin(Token::Word(b"alse")),
            b'n' => self.begin(Token::Word(b"ull")),
            b'-' => self.begin(Token::Number(Number::Minus)),
            b'0' => self.begin(Token::Number(Number::Zero)),
            b'1'..=b'9' => self.begin(Token::Number(Number::Whole)),
            _ => false,
        }
    }

    fn begin(&mut self, token: Token) -> bool {
        self.token = token;
        true
    }

    fn enter(&mut self, is_object: bool) -> bool {
        self.open.push(is_object);
        self.next = if is_object {
            Next::KeyOrEnd
        } else {
            Next::ValueOrEnd
        };
        self.open.len() <= MOST_LAYERS
    }

    fn leave(&mut self) -> bool {
        self.open.pop();
        self.after_value();
        true
    }

    fn after_value(&mut self) {
        self.token = Token::None;
        self.next = if self.open.is_empty() {
            Next::Nothing
        } else {
            Next::CommaOrEnd
        };
    }
}

impl Number {
    /// The number with another byte; `None` if that is no part of it.
    fn then(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Whole, b'0'..=b'9') => Some(Self::Whole),
            (Self::Zero | Self::Whole, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Whole | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::Sign),
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Some(Self::Power),
            _ => None,
        }
    }

    fn can_end(self) -> bool {
        match self {
            Self::Zero | Self::Whole | Self::Fraction | Self::Power => true,
            Self::Minus | Self::Point | Self::Exponent | Self::Sign => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: &str = r#" {"a": [1, -0.5e+3, {}, [], true, false, null, "x\"\u00e9漢\n"], "b" : {"c": 0}, "": 1e9 } "#;

    /// What is taken of a text in parts of a size, and whether it is complete.
    fn taken(text: &str, size: usize) -> (String, bool) {
        let mut arguments = Arguments::default();
        let chars: Vec<char> = text.chars().collect();
        let taken = chars
            .chunks(size)
            .map(|part| {
                let part: String = part.iter().collect();
                arguments.take(&part).to_owned()
            })
            .collect();
        (taken, arguments.is_complete())
    }

    #[test]
    fn an_object_is_taken_whole_and_known_to_be_complete_at_its_end() {
        for size in [1, 2, 7, 1000] {
            assert_eq!(taken(OBJECT, size), (OBJECT.trim_start().to_owned(), true));
        }
        let object = OBJECT.trim();
        for at in (1..object.len()).filter(|&at| object.is_char_boundary(at)) {
            assert_eq!(taken(&object[..at], 3), (object[..at].to_owned(), false));
        }
    }

    #[test]
    fn it_agrees_with_a_reader_of_json_on_every_text_that_is_one_byte_off() {
        let mut objects = 0;
        for at in (0..OBJECT.len()).filter(|&at| OBJECT.is_char_boundary(at)) {
            let rest = &OBJECT[at..];
            let width = rest.chars().next().map_or(0, char::len_utf8);
            for other in [
                "", "}", "]", "{", "[", ",", ":", "\"", "\\", "0", "e", ".", "\n", "t",
            ] {
                let text = [&OBJECT[..at], other, &rest[width..]].concat();
                let is_object = serde_json::from_str::<serde_json::Map<_, _>>(&text).is_ok();
                assert_eq!(taken(&text, 5).1, is_object, "{text}");
                objects += usize::from(is_object);
            }
        }
        assert!(objects > 50, "{objects}");
    }

    #[test]
    fn what_cannot_be_part_of_an_object_is_left_out() {
        for (text, expected) in [
            ("not an object", ""),
            ("[1]", ""),
            ("\"{}\"", ""),
            ("{'city': 'Oslo'}", "{"),
            (r#"{"city": Oslo}"#, r#"{"city": "#),
            ("{\"city\": \"Os\nlo\"}", "{\"city\": \"Os"),
            (r#"{"a": 1} {"a": 2}"#, r#"{"a": 1} "#),
            (r#"{"a": 01}"#, r#"{"a": 0"#),
            (r#"{"a": "\x"}"#, r#"{"a": "\"#),
            (r#"{"a": "\u00g"}"#, r#"{"a": "\u00"#),
            ("{\"a\": 漢}", "{\"a\": "),
            (r#"{"a": nul}"#, r#"{"a": nul"#),
            (r#"{"a": 1,}"#, r#"{"a": 1,"#),
        ] {
            for size in [1, 3, 100] {
                assert_eq!(taken(text, size), (expected.to_owned(), false), "{text}");
            }
        }
        let deep = format!("{{\"a\":{}", "[".repeat(1000));
        assert!(!taken(&deep, 1000).1);
        assert_eq!(taken(&deep, 1000).0.len(), 5 + MOST_LAYERS - 1);
    }

    #[test]
    fn blanks_are_a_call_without_parameters() {
        for (text, is_blank) in [("", true), (" \n", true), ("x", false), ("{", false)] {
            let mut arguments = Arguments::default();
            arguments.take(text);
            assert_eq!(arguments.is_blank(), is_blank, "{text:?}");
            assert!(!arguments.is_complete());
        }
    }
}
