//! Stop sequences.

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::{Body, elements, wrong_type};

/// OpenAI's limit, which most servers have too.
pub const MOST: usize = 4;

/// Makes a list of them without empty ones, which servers refuse, and returns it.
///
/// # Errors
/// 400 for more than `most`, and for a wrong type.
pub fn mend(body: &mut Body<'_>, most: usize) -> Result<Vec<String>, Fault> {
    let Some(raw) = body.get("stop") else {
        return Ok(Vec::new());
    };
    let given = match Kind::of(raw) {
        Kind::Array => elements("stop", raw)?,
        Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Object => vec![raw],
    };
    let filled: Vec<&RawValue> = given
        .into_iter()
        .filter(|raw| raw.get() != "\"\"")
        .collect();
    if filled.len() > most {
        let message = format!("`stop` must have at most {most} sequences.");
        return Err(Fault::bad_request(message).param("stop"));
    }
    let sequences = filled.iter().map(|raw| match json::text(raw) {
        Some(text) => Ok(text.into_owned()),
        None => Err(wrong_type("stop", "a string or an array of strings", raw)),
    });
    let sequences = sequences.collect::<Result<Vec<_>, _>>()?;
    if filled.is_empty() {
        body.remove("stop");
    } else {
        let list: Vec<&str> = filled.iter().map(|raw| raw.get()).collect();
        body.set("stop", format!("[{}]", list.join(",")));
    }
    Ok(sequences)
}
