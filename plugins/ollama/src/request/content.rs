//! A message's content: a text, or parts that become one text and a list of images.
//!
//! Ollama's own OpenAI layer makes one message of each part, which templates render as separate turns. But the client wrote
//! one message.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::check::{self, Path, unsupported};

/// Image types that Ollama accepts in a data URI (Ollama source, `openai/openai.go`); with the empty one it detects the type.
const IMAGE_TYPES: [&str; 5] = ["image/jpeg", "image/jpg", "image/png", "image/webp", ""];

/// What to do with a message that has no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// The empty text: an assistant that only called tools.
    IsEmpty,
    /// 400.
    Fails,
}

/// A part of any type; which members it has depends on the type.
#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    image_url: Option<&'a RawValue>,
    #[serde(borrow)]
    input_audio: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ImageUrl<'a> {
    #[serde(borrow)]
    url: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct InputAudio<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// Appends the members `content` and, if there are any, `images`, each with a comma before it. `at` is the place of the
/// content.
pub(super) fn write(
    out: &mut String,
    at: Path<'_>,
    raw: Option<&RawValue>,
    absent: Absent,
) -> Result<(), Fault> {
    out.push_str(",\"content\":");
    match raw.map(|raw| (Kind::of(raw), raw)) {
        Some((Kind::String, raw)) => out.push_str(raw.get()),
        Some((Kind::Array, raw)) => write_parts(out, at, raw, absent)?,
        Some((Kind::Null | Kind::Bool | Kind::Number | Kind::Object, raw)) => {
            return Err(check::wrong_type(at, "a string or an array of parts", raw));
        }
        None if absent == Absent::IsEmpty => out.push_str("\"\""),
        None => return Err(check::missing(at)),
    }
    Ok(())
}

fn write_parts(
    out: &mut String,
    list: Path<'_>,
    raw: &RawValue,
    absent: Absent,
) -> Result<(), Fault> {
    let parts = check::array(list, raw)?;
    if parts.is_empty() && absent == Absent::Fails {
        return Err(check::invalid(
            list,
            "a string or an array of at least one part",
        ));
    }
    let mut images: Vec<Cow<'_, str>> = Vec::new();
    out.push('"');
    for (index, part) in parts.into_iter().enumerate() {
        let at = list.index(index);
        let part: Part<'_> = check::object(at, part)?;
        let kind = part
            .r#type
            .ok_or_else(|| check::missing(at.member("type")))?;
        match &*check::text(at.member("type"), kind)? {
            "text" => push_text(out, part.text, at.member("text"))?,
            "refusal" => push_text(out, part.refusal, at.member("refusal"))?,
            "image_url" => images.push(image(part.image_url, at.member("image_url"))?),
            "input_audio" => images.push(audio(part.input_audio, at.member("input_audio"))?),
            other => {
                let message = format!(
                    "Ollama accepts text, images and audio, but no part of the type `{other}`."
                );
                return Err(unsupported(at.member("type"), &message));
            }
        }
    }
    out.push('"');
    for (index, image) in images.iter().enumerate() {
        out.push_str(if index == 0 { ",\"images\":[\"" } else { ",\"" });
        match image {
            // Borrowed from a JSON string without escapes, so it can go into another one as it is.
            Cow::Borrowed(data) => out.push_str(data),
            Cow::Owned(data) => json::push_escaped(out, data),
        }
        out.push('"');
    }
    if !images.is_empty() {
        out.push(']');
    }
    Ok(())
}

fn push_text(out: &mut String, raw: Option<&RawValue>, at: Path<'_>) -> Result<(), Fault> {
    let raw = raw.ok_or_else(|| check::missing(at))?;
    let inner = json::string_inner(raw).ok_or_else(|| check::wrong_type(at, "a string", raw))?;
    out.push_str(inner);
    Ok(())
}

/// The base64 text of an image. `image_url` is an object with `url`, or, from some clients, the URL itself.
fn image<'a>(raw: Option<&'a RawValue>, at: Path<'_>) -> Result<Cow<'a, str>, Fault> {
    let raw = raw.ok_or_else(|| check::missing(at))?;
    let url = if Kind::of(raw) == Kind::String {
        raw
    } else {
        let image: ImageUrl<'_> = check::object(at, raw)?;
        image.url.ok_or_else(|| check::missing(at.member("url")))?
    };
    let url = check::text(at, url)?;
    let Some((kind, data)) = data_uri(&url) else {
        return Err(unsupported(
            at,
            "Ollama does not fetch images; send them as `data:image/png;base64,…`.",
        ));
    };
    if !IMAGE_TYPES
        .iter()
        .any(|known| kind.eq_ignore_ascii_case(known))
    {
        return Err(unsupported(
            at,
            "Ollama reads images of the types image/jpeg, image/png and image/webp.",
        ));
    }
    let start = url.len() - data.len();
    Ok(match url {
        Cow::Borrowed(url) => Cow::Borrowed(&url[start..]),
        Cow::Owned(url) => Cow::Owned(url[start..].to_owned()),
    })
}

/// Media type and data of a base64 data URI; parameters of the type do not matter.
fn data_uri(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("data") {
        return None;
    }
    let (head, data) = rest.split_once(',')?;
    let (kind, coding) = head.rsplit_once(';')?;
    if !coding.eq_ignore_ascii_case("base64") {
        return None;
    }
    Some((kind.split(';').next().unwrap_or(""), data))
}

/// The base64 text of a recording; Ollama takes it among the images (Ollama source, `openai/openai.go`).
fn audio<'a>(raw: Option<&'a RawValue>, at: Path<'_>) -> Result<Cow<'a, str>, Fault> {
    let raw = raw.ok_or_else(|| check::missing(at))?;
    let audio: InputAudio<'_> = check::object(at, raw)?;
    let data = audio
        .data
        .ok_or_else(|| check::missing(at.member("data")))?;
    check::text(at.member("data"), data)
}
