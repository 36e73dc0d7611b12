//! The content of messages: texts and images.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::check::{self, Path};

/// Between the texts of several blocks, inside of a JSON string. Clients put into a block what belongs together.
const BETWEEN: &str = "\\n\\n";

/// A block, whatever its type.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow)]
    pub(super) r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) text: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) source: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) name: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) tool_use_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) is_error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    media_type: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    url: Option<&'a RawValue>,
}

/// A part of a canonical content; all texts are the inside of a JSON string.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    Text(&'a str),
    /// Media type and base64.
    Image(&'a str, &'a str),
    /// An image by its address.
    Address(&'a str),
}

/// Refuses a block by the name of its type.
pub(super) fn refused(at: Path<'_>, kind: &str, accepted: &str) -> Fault {
    let message = match kind {
        "document" => format!(
            "models behind this gateway read no documents; send their text in a `text` block, or their pages as images. {accepted}"
        ),
        _ => format!("a block of the type `{kind}` cannot be used here. {accepted}"),
    };
    check::unsupported(at.member("type"), &message)
}

/// The text of content that may have nothing else: a string, or text blocks. `accepted` is what an error adds.
pub(super) fn texts<'a>(
    at: Path<'_>,
    raw: &'a RawValue,
    accepted: &str,
) -> Result<Vec<&'a str>, Fault> {
    if let Some(text) = json::string_inner(raw) {
        return Ok(vec![text]);
    }
    let mut texts = Vec::new();
    for (index, raw) in blocks(at, raw)?.into_iter().enumerate() {
        let at = at.index(index);
        let block: Block<'_> = check::object(at, raw)?;
        match &*check::text(at.member("type"), block.r#type)? {
            "text" => texts.push(check::inner(at.member("text"), block.text)?),
            other => return Err(refused(at, other, accepted)),
        }
    }
    Ok(texts)
}

/// The blocks of content that is no string.
pub(super) fn blocks<'a>(at: Path<'_>, raw: &'a RawValue) -> Result<Vec<&'a RawValue>, Fault> {
    if Kind::of(raw) != Kind::Array {
        return Err(check::wrong_type(at, "a string or an array of blocks", raw));
    }
    check::array(at, raw)
}

/// Appends texts as one JSON string, from `begin`, with blank lines between them.
pub(super) fn push_texts<'a>(
    out: &mut String,
    begin: &str,
    texts: impl IntoIterator<Item = &'a str>,
) {
    out.push('"');
    out.push_str(begin);
    for (index, text) in texts.into_iter().enumerate() {
        if index > 0 {
            out.push_str(BETWEEN);
        }
        out.push_str(text);
    }
    out.push('"');
}

/// The types of images that Anthropic's API has.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

fn is_base64(data: &str) -> bool {
    let digits = data.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    data.len().is_multiple_of(4)
        && data.len() - digits.len() <= 2
        && !digits.is_empty()
        && digits.bytes().all(is_digit)
}

/// An image.
pub(super) fn image<'a>(at: Path<'_>, source: Option<&'a RawValue>) -> Result<Part<'a>, Fault> {
    let at = at.member("source");
    let source: Source<'a> = check::object(at, check::required(at, source)?)?;
    match &*check::text(at.member("type"), source.r#type)? {
        "base64" => {
            let kind_at = at.member("media_type");
            let kind = check::text(kind_at, source.media_type)?;
            let kind = IMAGES.iter().find(|known| **known == kind).ok_or_else(|| {
                check::invalid(
                    kind_at,
                    "`image/jpeg`, `image/png`, `image/gif` or `image/webp`",
                )
            })?;
            let data_at = at.member("data");
            if !is_base64(&check::text(data_at, source.data)?) {
                return Err(check::invalid(
                    data_at,
                    "base64 with its padding, without line ends",
                ));
            }
            Ok(Part::Image(kind, check::inner(data_at, source.data)?))
        }
        "url" => {
            let at = at.member("url");
            let url = check::text(at, source.url)?.to_ascii_lowercase();
            if !(url.starts_with("https://") || url.starts_with("http://")) {
                return Err(check::invalid(
                    at,
                    "an address with `https://` or `http://`",
                ));
            }
            Ok(Part::Address(check::inner(at, source.url)?))
        }
        "file" => {
            let message = "this gateway keeps no files; send the image itself as `base64`.";
            Err(check::unsupported(at.member("type"), message))
        }
        _ => Err(check::invalid(at.member("type"), "`base64` or `url`")),
    }
}

/// Appends parts as canonical content: one string if all of them are texts.
pub(super) fn push_parts(out: &mut String, parts: &[Part<'_>]) {
    let texts: Option<Vec<&str>> = parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => Some(*text),
            Part::Image(..) | Part::Address(_) => None,
        })
        .collect();
    if let Some(texts) = texts {
        push_texts(out, "", texts);
        return;
    }
    for (index, part) in parts.iter().enumerate() {
        out.push(if index == 0 { '[' } else { ',' });
        match part {
            Part::Text(text) => push_all(out, &["{\"type\":\"text\",\"text\":\"", text, "\"}"]),
            Part::Image(kind, data) => {
                push_all(out, &[IMAGE, "data:", kind, ";base64,", data, "\"}}"]);
            }
            Part::Address(url) => push_all(out, &[IMAGE, url, "\"}}"]),
        }
    }
    out.push(']');
}

const IMAGE: &str = "{\"type\":\"image_url\",\"image_url\":{\"url\":\"";

fn push_all(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
}
