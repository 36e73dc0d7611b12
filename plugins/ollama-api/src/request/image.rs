//! Images: base64 without a word about their type, which the first bytes tell.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json;

use super::body::wrong;

/// The types by the begin of their base64 text.
///
/// # Source
/// The signatures of PNG (specification, 5.2), JPEG (SOI and the next marker), GIF (GIF89a) and BMP (`BM`).
const TYPES: [(&str, &str); 4] = [
    ("iVBORw0K", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lG", "image/gif"),
    ("Qk", "image/bmp"),
];

/// WebP: `RIFF`, four bytes of length, `WEBP`; the text of its bytes 0 to 2 and 9 to 11.
const WEBP: (&str, &str) = ("UklG", "RUJQ");

/// Appends a content part with an image. `param` is its place.
///
/// # Errors
/// 400 if it is not base64, or its type is unknown.
pub(super) fn push(
    out: &mut String,
    raw: &RawValue,
    place: impl Fn() -> String,
) -> Result<(), Fault> {
    let text = json::text(raw).ok_or_else(|| wrong(&place(), "a string of base64", raw))?;
    out.push_str("{\"type\":\"image_url\",\"image_url\":{\"url\":\"");
    let data = match text.strip_prefix("data:") {
        // Some clients send what they send to others.
        Some(rest) => rest.split_once(";base64,").map(|(_, data)| data),
        None => Some(&*text),
    };
    // Encoders for mail break lines, and Ollama reads that.
    let data = data.map(str::trim_ascii).map(without_line_ends);
    let data = data.filter(|data| is_base64(data)).ok_or_else(|| {
        let param = place();
        let message = format!(
            "`{param}` is not base64; an image is sent as base64 without anything before it."
        );
        Fault::bad_request(message).param(param)
    })?;
    let kind = kind(&data).ok_or_else(|| {
        let param = place();
        let message = format!("`{param}` is no image in PNG, JPEG, WebP, GIF or BMP.");
        Fault::bad_request(message).param(param)
    })?;
    out.reserve(data.len() + 64);
    for part in ["data:", kind, ";base64,", &data, "\"}}"] {
        out.push_str(part);
    }
    Ok(())
}

fn kind(data: &str) -> Option<&'static str> {
    let known = TYPES.iter().find(|(begin, _)| data.starts_with(begin));
    if let Some((_, kind)) = known {
        return Some(kind);
    }
    let is_webp = data.starts_with(WEBP.0) && data.get(12..16) == Some(WEBP.1);
    is_webp.then_some("image/webp")
}

fn without_line_ends(data: &str) -> Cow<'_, str> {
    if data.contains(['\r', '\n']) {
        data.replace(['\r', '\n'], "").into()
    } else {
        data.into()
    }
}

/// Whether it is base64, and so can be in another JSON string as it is. It may have no padding, but no wrong one.
fn is_base64(data: &str) -> bool {
    let digits = data.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let is_whole = match data.len() - digits.len() {
        0 => data.len() % 4 != 1,
        1 | 2 => data.len().is_multiple_of(4),
        _ => false,
    };
    is_whole && !digits.is_empty() && digits.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(json: &str) -> Result<String, Fault> {
        let mut out = String::new();
        push(&mut out, serde_json::from_str(json).expect("JSON"), || {
            "images[0]".to_owned()
        })?;
        Ok(out)
    }

    #[test]
    fn the_first_bytes_tell_the_type() {
        for (data, kind) in [
            ("iVBORw0KGgoAAAANSUhEUg==", "image/png"),
            ("/9j/4AAQSkZJRgABAQ==", "image/jpeg"),
            ("R0lGODlhAQABAIAAAP", "image/gif"),
            ("UklGRiQAAABXRUJQVlA4", "image/webp"),
            ("Qk06AAAAAAAAADYA", "image/bmp"),
        ] {
            let url = format!("data:{kind};base64,{data}");
            let part = format!(r#"{{"type":"image_url","image_url":{{"url":"{url}"}}}}"#);
            assert_eq!(pushed(&format!("\"{data}\"")), Ok(part.clone()));
            assert_eq!(pushed(&format!("\"{url}\"")), Ok(part));
        }
        let part = pushed(r#""\niVBORw0K\r\nGgo\n=\n""#).expect("an image");
        assert!(part.contains("base64,iVBORw0KGgo=\""), "{part}");
        // Some clients escape every slash.
        let part = pushed(r#""\/9j\/4AAQ""#).expect("an image");
        assert!(part.contains("data:image/jpeg;base64,/9j/4AAQ\""), "{part}");
    }

    #[test]
    fn what_is_no_image_is_refused() {
        for json in [
            "3",
            "\"\"",
            "\"%%%\"",
            "\"http://images.test/a.png\"",
            "\"data:image/png,x\"",
            "\"UklGRiQAAABXQVZFZm10\"",
            "\"aGVsbG8=\"",
            r#""iVBORw0K\"x""#,
            "\"iVBORw0KGgoA=\"",
            "\"iVBORw0KG\"",
            "\"/9j/4AAQ====\"",
            "\"iVBORw0K GgoA\"",
        ] {
            let fault = pushed(json).expect_err(json);
            assert_eq!(fault.param.as_deref(), Some("images[0]"));
        }
    }
}
