//! `options`: how the model is run.
//!
//! | option | canonical |
//! | --- | --- |
//! | `temperature`, `top_p`, `presence_penalty`, `frequency_penalty`, `seed`, `stop` | the same |
//! | `num_predict` | `max_tokens`; negative numbers are no limit |
//! | `top_k`, `min_p`, `num_ctx` | the same, which are extensions |
//! | `repeat_penalty` | the extension `repetition_penalty` |
//!
//! All others are left out without an error, as Ollama does with names that it does not know: those that only concern how a model
//! is loaded (`num_gpu`, `num_thread`, `use_mmap`, `num_batch`, …), and those that no other model server has (`num_keep`,
//! `repeat_last_n`, `typical_p`, `mirostat`, …).

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::Kind;

use super::body::{Body, Place, integer};
use crate::write::Object;

/// No options.
const NONE: &str = "{}";

/// Writes the options of a request. `most` is the limit of tokens if it names none.
///
/// # Errors
/// 400 for an option of a wrong type.
pub(super) fn write(out: &mut Object, body: &Body<'_>, most: Option<i64>) -> Result<(), Fault> {
    let options = match body.get("options") {
        Some(raw) => Body::inner(Place::Member("options"), raw)?,
        None => Body::read(NONE)?,
    };
    for name in [
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "min_p",
    ] {
        if let Some(raw) = number(&options, name)? {
            out.raw(name, raw.get());
        }
    }
    if let Some(raw) = number(&options, "repeat_penalty")? {
        out.raw("repetition_penalty", raw.get());
    }
    if let Some(top) = whole(&options, "top_k")? {
        // All of them.
        out.raw("top_k", &top.max(0).to_string());
    }
    // -1 is any seed.
    if let Some(seed) = whole(&options, "seed")?.filter(|seed| *seed != -1) {
        out.raw("seed", &seed.to_string());
    }
    if let Some(length) = whole(&options, "num_ctx")?.filter(|length| *length > 0) {
        out.raw("num_ctx", &length.to_string());
    }
    let asked = whole(&options, "num_predict")?.filter(|most| *most >= 0);
    if let Some(most) = asked.or(most) {
        // Of 0 Ollama makes one token, too.
        out.raw("max_tokens", &most.max(1).to_string());
    }
    if let Some(stop) = options.get("stop") {
        stops(out, stop)?;
    }
    Ok(())
}

/// The sequences that end the text: a list, or a single one.
fn stops(out: &mut Object, raw: &RawValue) -> Result<(), Fault> {
    let list: Option<Vec<&RawValue>> = match Kind::of(raw) {
        Kind::String => Some(vec![raw]),
        Kind::Array => serde_json::from_str(raw.get()).ok(),
        Kind::Null | Kind::Bool | Kind::Number | Kind::Object => None,
    };
    let is_text = |raw: &&RawValue| Kind::of(raw) == Kind::String;
    let list = list.filter(|list| list.iter().all(is_text));
    let mut list = list.ok_or_else(|| wrong("stop", "array"))?;
    // An empty one would end every text at its beginning.
    list.retain(|raw| raw.get() != "\"\"");
    if !list.is_empty() {
        let list: Vec<&str> = list.into_iter().map(RawValue::get).collect();
        out.raw("stop", &format!("[{}]", list.join(",")));
    }
    Ok(())
}

fn number<'a>(options: &Body<'a>, name: &str) -> Result<Option<&'a RawValue>, Fault> {
    match options.get(name) {
        Some(raw) if Kind::of(raw) != Kind::Number => Err(wrong(name, "float32")),
        found => Ok(found),
    }
}

fn whole(options: &Body<'_>, name: &str) -> Result<Option<i64>, Fault> {
    let Some(raw) = options.get(name) else {
        return Ok(None);
    };
    let number = integer(raw).ok_or_else(|| wrong(name, "integer"))?;
    Ok(Some(number))
}

/// In Ollama's words.
fn wrong(name: &str, kind: &str) -> Fault {
    let message = format!("option \"{name}\" must be of type {kind}");
    Fault::bad_request(message).param(format!("options.{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(options: &str) -> Result<String, Fault> {
        let text = format!("{{\"options\":{options}}}");
        let body = Body::read(&text)?;
        let mut out = Object::new(0);
        write(&mut out, &body, None)?;
        Ok(out.end())
    }

    #[test]
    fn options_get_their_canonical_names() {
        for (options, expected) in [
            ("null", "{}"),
            ("{}", "{}"),
            (
                r#"{"temperature":0.50,"top_p":1,"presence_penalty":-1,"frequency_penalty":2,"min_p":0}"#,
                r#"{"temperature":0.50,"top_p":1,"presence_penalty":-1,"frequency_penalty":2,"min_p":0}"#,
            ),
            (r#"{"repeat_penalty":1.1}"#, r#"{"repetition_penalty":1.1}"#),
            (r#"{"top_k":40}"#, r#"{"top_k":40}"#),
            (r#"{"top_k":-1}"#, r#"{"top_k":0}"#),
            (r#"{"seed":42.0}"#, r#"{"seed":42}"#),
            (r#"{"seed":-1}"#, "{}"),
            (r#"{"num_ctx":4096}"#, r#"{"num_ctx":4096}"#),
            (r#"{"num_ctx":0}"#, "{}"),
            (r#"{"num_predict":128}"#, r#"{"max_tokens":128}"#),
            (r#"{"num_predict":0}"#, r#"{"max_tokens":1}"#),
            (r#"{"num_predict":-1}"#, "{}"),
            (r#"{"num_predict":-2}"#, "{}"),
            (r#"{"stop":["a","b\n",""]}"#, r#"{"stop":["a","b\n"]}"#),
            (r#"{"stop":"a"}"#, r#"{"stop":["a"]}"#),
            (r#"{"stop":[]}"#, "{}"),
            (r#"{"temperature":null,"stop":null}"#, "{}"),
            (
                r#"{"num_gpu":1,"num_thread":8,"use_mmap":true,"num_batch":512,"num_keep":5,"mirostat":1,"typical_p":0.7,
                    "repeat_last_n":64,"main_gpu":0,"penalize_newline":true,"numa":false,"x":"y"}"#,
                "{}",
            ),
        ] {
            assert_eq!(written(options).as_deref(), Ok(expected), "{options}");
        }
    }

    #[test]
    fn options_of_wrong_types_are_named_as_ollama_names_them() {
        for (options, message) in [
            (r#"{"stop":3}"#, "option \"stop\" must be of type array"),
            (r#"{"stop":[3]}"#, "option \"stop\" must be of type array"),
            (
                r#"{"num_ctx":"x"}"#,
                "option \"num_ctx\" must be of type integer",
            ),
            (
                r#"{"temperature":"hot"}"#,
                "option \"temperature\" must be of type float32",
            ),
        ] {
            let fault = written(options).expect_err(options);
            assert_eq!((fault.status, &*fault.message), (400, message));
        }
        assert_eq!(written("[]").expect_err("a list").status, 400);
    }
}
