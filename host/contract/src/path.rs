//! Paths: one spelling for each, so that a route, a stage and a model server read the same.

use std::borrow::Cow;

/// Why a path cannot be normalized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ambiguous {
    /// Servers resolve it, each in its own way.
    DotSegment,
    /// It cannot be decoded.
    Escape,
    /// Some servers read it as `/`.
    Backslash,
}

impl Ambiguous {
    /// A sentence for the client.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::DotSegment => "The path has a `.` or `..` segment.",
            Self::Escape => "The path has a `%` that two hexadecimal digits do not follow.",
            Self::Backslash => "The path has a backslash.",
        }
    }
}

/// The path in its one spelling.
///
/// # Shape
/// Escaped characters that need no escape are decoded, an escaped `/` too; all others keep their escape, in capitals. Slashes
/// in a row become one. A path in this form is returned as it is, and so is anything that is not a path, such as `*`.
///
/// # Errors
/// [`Ambiguous`]: whatever route it matched, some model server would read it in another way.
///
/// # Source
/// RFC 3986, sections 3.3 (the characters of a path) and 6.2.2 (normalization). Beyond it `%2F` is read as `/`, since model
/// servers decode a path before they look at it (Go's `net/http`, Starlette).
pub fn normalize(path: &str) -> Result<Cow<'_, str>, Ambiguous> {
    if !path.starts_with('/') {
        return Ok(Cow::Borrowed(path));
    }
    let normal = if path.bytes().all(stands_as_it_is) && !path.contains("//") {
        Cow::Borrowed(path)
    } else {
        let respelled = respelled(path)?;
        if respelled == path {
            Cow::Borrowed(path)
        } else {
            Cow::Owned(respelled)
        }
    };
    // Almost no path has such a segment.
    if normal.contains("/.") && normal.split('/').any(is_dot_segment) {
        return Err(Ambiguous::DotSegment);
    }
    Ok(normal)
}

fn respelled(path: &str) -> Result<String, Ambiguous> {
    let mut normal = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let (Some(high), Some(low)) = (hex(bytes.next()), hex(bytes.next())) else {
                    return Err(Ambiguous::Escape);
                };
                high << 4 | low
            }
            byte => byte,
        };
        match byte {
            b'/' if normal.ends_with('/') => {}
            b'\\' => return Err(Ambiguous::Backslash),
            byte if stands_as_it_is(byte) => normal.push(char::from(byte)),
            byte => {
                normal.push('%');
                normal.push(digit(byte >> 4));
                normal.push(digit(byte & 15));
            }
        }
    }
    Ok(normal)
}

/// The characters of a path that need no escape: `pchar` of RFC 3986, and the separator.
fn stands_as_it_is(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte)
}

/// `.` or `..`, also with parameters, which some servers remove first.
fn is_dot_segment(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    name == "." || name == ".."
}

fn hex(digit: Option<u8>) -> Option<u8> {
    let digit = char::from(digit?).to_digit(16)?;
    u8::try_from(digit).ok()
}

fn digit(value: u8) -> char {
    char::from_digit(value.into(), 16)
        .expect("four bits")
        .to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_path_becomes_the_same() {
        for (path, normal) in [
            ("/raw/admin/x", "/raw/admin/x"),
            ("/raw/%61dmin/x", "/raw/admin/x"),
            ("/raw//admin///x", "/raw/admin/x"),
            ("//raw/admin/x", "/raw/admin/x"),
            ("/raw/admin%2fx", "/raw/admin/x"),
            ("/raw/admin%2F%2fx", "/raw/admin/x"),
            ("/v1/models/Qwen%2FQwen3-32B", "/v1/models/Qwen/Qwen3-32B"),
            ("/v1/models/qwen3%3A32b", "/v1/models/qwen3:32b"),
            ("/a%20b/%e4%bd%a0", "/a%20b/%E4%BD%A0"),
            ("/100%25/%2561", "/100%25/%2561"),
            ("/a%00%0d", "/a%00%0D"),
            ("/ü|<>", "/%C3%BC%7C%3C%3E"),
            ("/v1/a..b/.well-known/...", "/v1/a..b/.well-known/..."),
            ("/v1/models/", "/v1/models/"),
            ("/", "/"),
            ("*", "*"),
            ("", ""),
        ] {
            let once = normalize(path).expect(path);
            assert_eq!(once, normal, "{path}");
            assert!(matches!(normalize(&once), Ok(Cow::Borrowed(again)) if again == normal));
        }
    }

    #[test]
    fn what_servers_read_in_several_ways_is_refused() {
        for (path, why) in [
            ("/v1/../api/delete", Ambiguous::DotSegment),
            ("/v1/.%2e/x", Ambiguous::DotSegment),
            ("/%2E%2e", Ambiguous::DotSegment),
            ("/a/./b", Ambiguous::DotSegment),
            ("/a%2f..%2fb", Ambiguous::DotSegment),
            ("/a/..;x=1/b", Ambiguous::DotSegment),
            ("/a/..", Ambiguous::DotSegment),
            ("/a\\b", Ambiguous::Backslash),
            ("/a%5cb", Ambiguous::Backslash),
            ("/a%", Ambiguous::Escape),
            ("/a%4", Ambiguous::Escape),
            ("/a%zz", Ambiguous::Escape),
            ("/a%+1", Ambiguous::Escape),
        ] {
            assert_eq!(normalize(path), Err(why), "{path}");
        }
    }
}
