//! The content of a message, or the output of a function: a text, or a list of parts.

use serde_json::value::RawValue;
use sluicegate_openai_api::request::{unsupported, wrong_type};
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::Chat;
use super::object::{Object, begin, elements, invalid, unsupported as unsupported_parameter};

/// Appends the content of a message that the model did not write.
pub(super) fn write(out: &mut String, at: &str, raw: &RawValue) -> Result<(), Fault> {
    if Kind::of(raw) == Kind::String {
        out.push_str(raw.get());
        return Ok(());
    }
    let parts = parts(at, raw)?;
    let parts = parts.iter().map(part).collect::<Result<Vec<_>, _>>()?;
    match parts.as_slice() {
        [] => return Err(invalid(at, "a string, or an array of at least one part")),
        // Some templates take only a text.
        [Part::Text(text)] => out.push_str(text.get()),
        parts => {
            for (index, part) in parts.iter().enumerate() {
                out.push(if index == 0 { '[' } else { ',' });
                part.write(out);
            }
            out.push(']');
        }
    }
    Ok(())
}

/// Appends the text of a message that the model wrote, without its quotes.
pub(super) fn write_said(out: &mut String, at: &str, raw: &RawValue) -> Result<(), Fault> {
    if let Some(text) = json::string_inner(raw) {
        out.push_str(text);
        return Ok(());
    }
    for part in &parts(at, raw)? {
        let text = match &*part.kind()? {
            "output_text" | "input_text" | "text" => part.required("text")?,
            // It is what the model said, under another name.
            "refusal" => part.required("refusal")?,
            other => return Err(refused(part, other, "of an assistant's message")),
        };
        out.push_str(json::string_inner(text).unwrap_or_default());
    }
    Ok(())
}

fn parts<'a>(at: &str, raw: &'a RawValue) -> Result<Vec<Object<'a>>, Fault> {
    if Kind::of(raw) != Kind::Array {
        return Err(wrong_type(at, "a string or an array of parts", raw));
    }
    let parts = elements(at, raw)?.into_iter().enumerate();
    parts
        .map(|(index, raw)| Object::read(format!("{at}[{index}]"), raw))
        .collect()
}

/// A part of content.
enum Part<'a> {
    /// A text, as it is in the request.
    Text(&'a RawValue),
    /// An image: the members of `image_url` in the chat API.
    Image(String),
}

impl Part<'_> {
    fn write(&self, out: &mut String) {
        let (kind, json) = match self {
            Self::Text(text) => ("text", text.get()),
            Self::Image(json) => ("image_url", json.as_str()),
        };
        let mut part = Chat::default();
        part.member("type", &["\"", kind, "\""].concat());
        part.member(kind, json);
        out.push_str(&part.end());
    }
}

fn part<'a>(part: &Object<'a>) -> Result<Part<'a>, Fault> {
    match &*part.kind()? {
        "input_text" | "output_text" | "text" => Ok(Part::Text(part.required("text")?)),
        "input_image" => {
            if part.get("file_id").is_some() {
                let message = "Files are not stored here. Send the image as `image_url`: a `data:` address, or one that the \
                    model server can fetch.";
                return Err(unsupported_parameter(&part.place("file_id"), message));
            }
            let mut image = Chat::default();
            image.member("url", part.required("image_url")?.get());
            image.raw("detail", part.string("detail")?);
            Ok(Part::Image(image.end()))
        }
        "input_file" => {
            let message = "Files are not read here. Send their text as `input_text`, or their pages as `input_image`.";
            Err(unsupported(&part.place("type"), message))
        }
        other => Err(refused(part, other, "here")),
    }
}

fn refused(part: &Object<'_>, kind: &str, place: &str) -> Fault {
    let message = format!("Parts of type `{}` are not supported {place}.", begin(kind));
    unsupported(&part.place("type"), message)
}
