//! `GET /v1/models` and `GET /v1/models/{id}` from Ollama's `GET /api/tags`.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_openai_api::models::decoded;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Text};

use crate::failure;

/// The tag of a name without one.
const DEFAULT_TAG: &str = "latest";

/// The parts that Ollama omits from a name.
const DEFAULT_HOST: &str = "registry.ollama.ai/";
const DEFAULT_NAMESPACE: &str = "library/";

#[derive(Deserialize)]
struct Tags<'a> {
    /// `null` if there are no models.
    #[serde(borrow)]
    models: Option<Vec<Tag<'a>>>,
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    modified_at: Option<&'a RawValue>,
    #[serde(borrow)]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow)]
    details: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Details {
    context_length: Option<u64>,
}

impl Tag<'_> {
    fn id(&self) -> Option<&str> {
        let Text(name) = self.name.as_ref().or(self.model.as_ref())?;
        Some(name)
    }
}

/// All models as OpenAI's list.
///
/// # Errors
/// 502 `upstream_invalid`.
pub fn list(tags: &[u8]) -> Result<Vec<u8>, Fault> {
    let tags = read(tags)?;
    let mut out = String::with_capacity(1024);
    out.push_str("{\"object\":\"list\",\"data\":[");
    let mut first = true;
    for tag in tags.models.iter().flatten() {
        if let Some(id) = tag.id() {
            if !first {
                out.push(',');
            }
            first = false;
            write(&mut out, id, tag);
        }
    }
    out.push_str("]}");
    Ok(out.into_bytes())
}

/// One model, by any name that Ollama accepts. `id` is the rest of the path, percent-encoded.
///
/// # Errors
/// 404 `model_not_found`, or 502 `upstream_invalid`.
pub fn find(tags: &[u8], id: &str) -> Result<Vec<u8>, Fault> {
    let wanted = decoded(id);
    let tags = read(tags)?;
    let find = |is_wanted: &dyn Fn(&str) -> bool| {
        let mut tags = tags.models.iter().flatten();
        tags.find(|tag| tag.id().is_some_and(is_wanted))
    };
    let name = full(&wanted);
    let tag = find(&|id| id == wanted)
        .or_else(|| find(&|id| full(id) == name))
        .ok_or_else(|| {
            let shown: String = wanted.chars().take(200).collect();
            Fault::not_found(
                "model_not_found",
                format!("The model `{shown}` does not exist."),
            )
            .param("model")
        })?;
    let mut out = String::with_capacity(128);
    write(&mut out, tag.id().unwrap_or_default(), tag);
    Ok(out.into_bytes())
}

/// A name as Ollama compares it: in lower case, with a tag, without the parts that it omits.
///
/// # Source
/// Ollama source, `types/model/name.go` (`ParseName`, `EqualFold`).
fn full(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix(DEFAULT_HOST).unwrap_or(&name);
    let short = name.strip_prefix(DEFAULT_NAMESPACE);
    let name = short.filter(|short| !short.contains('/')).unwrap_or(name);
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') {
        name.to_owned()
    } else {
        format!("{name}:{DEFAULT_TAG}")
    }
}

fn read(tags: &[u8]) -> Result<Tags<'_>, Fault> {
    serde_json::from_slice(tags).map_err(|_| failure::nonsense())
}

fn write(out: &mut String, id: &str, tag: &Tag<'_>) {
    out.push_str("{\"id\":");
    json::push_str(out, id);
    out.push_str(",\"object\":\"model\",\"created\":");
    let modified = tag.modified_at.and_then(json::text);
    json::push_u64(
        out,
        modified.and_then(|text| unix_seconds(&text)).unwrap_or(0),
    );
    out.push_str(",\"owned_by\":");
    json::push_str(out, owner(id));
    let details = tag.details.map(|raw| serde_json::from_str(raw.get()));
    if let Some(Ok(Details {
        context_length: Some(length),
    })) = details
    {
        out.push_str(",\"context_length\":");
        json::push_u64(out, length);
    }
    if let Some(capabilities) = capabilities(tag) {
        out.push_str(",\"capabilities\":");
        out.push_str(capabilities);
    }
    out.push('}');
}

/// What a model can do, in Ollama's words, as JSON. Its list says `completion` alone of models that can do more too, which would
/// be wrong; so only a list that says something else counts, such as `embedding`.
fn capabilities<'a>(tag: &Tag<'a>) -> Option<&'a str> {
    let list = tag.capabilities?.get();
    let words: Vec<String> = serde_json::from_str(list).ok()?;
    let says_more = words.iter().any(|word| word != "completion");
    says_more.then_some(list)
}

/// The namespace of a name: `library` for `qwen3:32b`, `someone` for `someone/model` and `hf.co/someone/model`.
fn owner(id: &str) -> &str {
    id.rsplit('/')
        .nth(1)
        .filter(|owner| !owner.is_empty())
        .unwrap_or("library")
}

/// RFC 3339 to seconds since 1970: `2026-08-01T10:00:00.123Z`, with or without a fraction, with `Z` or an offset.
fn unix_seconds(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let rest = text
        .get(19..)?
        .trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset = match rest.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign @ ("+" | "-"), clock) => {
            let (hours, minutes) = clock.split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            if sign == "-" { -minutes } else { minutes }
        }
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    u64::try_from(seconds - offset * 60).ok()
}

/// Days from 1970-01-01 in the Gregorian calendar. Years begin in March here, so that the leap day is the last day of a year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // Days before each month of a year that begins in March: 31, 30, 31, 30, 31 and again.
    let month_days = (153 * month + 2) / 5;
    // 719468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + leap_days + month_days + day - 1 - 719_468
}

#[cfg(test)]
mod tests;
