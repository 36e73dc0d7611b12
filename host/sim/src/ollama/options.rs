//! The `options` object of a request: Ollama's type rules, and the three options that change a canned answer. Pure.
//!
//! # Source
//! Ollama, `api/types.go` (`Options.FromMap`), read in 2026. A wrong type is a 500 there, not a 400.

use serde_json::{Map, Value};

/// The options that the simulation obeys.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Options {
    /// Stop after this many tokens; `None`: no limit.
    pub(super) num_predict: Option<usize>,
    /// Cut the text before the first of these.
    pub(super) stop: Vec<String>,
    /// Shown by `/api/ps`.
    pub(super) num_ctx: Option<u64>,
}

/// An option of the wrong type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("option \"{name}\" must be of type {expected}")]
    Type { name: String, expected: Kind },
    #[error("option \"{name}\" must be of an array of strings")]
    Item { name: String },
}

/// The Go type of an option, by the name that Ollama's error uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Float,
    Boolean,
    Array,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Integer => "integer",
            Self::Float => "float32",
            Self::Boolean => "boolean",
            Self::Array => "array",
        })
    }
}

const KINDS: [(&str, Kind); 20] = [
    ("num_keep", Kind::Integer),
    ("seed", Kind::Integer),
    ("num_predict", Kind::Integer),
    ("top_k", Kind::Integer),
    ("top_p", Kind::Float),
    ("min_p", Kind::Float),
    ("typical_p", Kind::Float),
    ("repeat_last_n", Kind::Integer),
    ("temperature", Kind::Float),
    ("repeat_penalty", Kind::Float),
    ("presence_penalty", Kind::Float),
    ("frequency_penalty", Kind::Float),
    ("stop", Kind::Array),
    ("num_ctx", Kind::Integer),
    ("num_batch", Kind::Integer),
    ("num_gpu", Kind::Integer),
    ("main_gpu", Kind::Integer),
    ("use_mmap", Kind::Boolean),
    ("num_thread", Kind::Integer),
    ("draft_num_predict", Kind::Integer),
];

/// Checks all options and returns those that matter. Unknown names are ignored and `null` is skipped, as Ollama does.
pub(super) fn read(options: &Map<String, Value>) -> Result<Options, Error> {
    let mut read = Options::default();
    for (name, value) in options {
        let Some((_, kind)) = KINDS.iter().find(|(known, _)| known == name) else {
            continue;
        };
        if value.is_null() {
            continue;
        }
        let fits = match kind {
            Kind::Integer | Kind::Float => value.is_number(),
            Kind::Boolean => value.is_boolean(),
            Kind::Array => value.is_array(),
        };
        if !fits {
            return Err(Error::Type {
                name: name.clone(),
                expected: *kind,
            });
        }
        match name.as_str() {
            "num_predict" => read.num_predict = positive(value),
            "num_ctx" => read.num_ctx = value.as_u64(),
            "stop" => read.stop = strings(name, value)?,
            _ => {}
        }
    }
    Ok(read)
}

/// Zero and below mean "no limit"; a fraction is cut off, as Go's conversion does.
fn positive(value: &Value) -> Option<usize> {
    let number = value.as_f64().filter(|number| *number >= 1.0)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and negative numbers are filtered out"
    )]
    Some(number as usize)
}

fn strings(name: &str, value: &Value) -> Result<Vec<String>, Error> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| {
            item.as_str().map(str::to_owned).ok_or_else(|| Error::Item {
                name: name.to_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(value: &Value) -> Result<Options, Error> {
        read(value.as_object().expect("an object"))
    }

    #[test]
    fn known_options_are_kept_and_the_rest_ignored() {
        let read = options(
            &json!({"num_predict": 7.9, "num_ctx": 8192, "stop": ["a", "b"], "seed": null,
            "mirostat": "yes", "temperature": 0, "use_mmap": true}),
        );
        assert_eq!(
            read,
            Ok(Options {
                num_predict: Some(7),
                stop: vec!["a".into(), "b".into()],
                num_ctx: Some(8192)
            })
        );
        assert_eq!(
            options(&json!({"num_predict": -1})).map(|o| o.num_predict),
            Ok(None)
        );
    }

    #[test]
    fn wrong_types_are_named_as_ollama_names_them() {
        for (value, text) in [
            (
                json!({"stop": "x"}),
                "option \"stop\" must be of type array",
            ),
            (
                json!({"stop": [1]}),
                "option \"stop\" must be of an array of strings",
            ),
            (
                json!({"num_ctx": "8k"}),
                "option \"num_ctx\" must be of type integer",
            ),
            (
                json!({"top_p": "x"}),
                "option \"top_p\" must be of type float32",
            ),
            (
                json!({"use_mmap": 1}),
                "option \"use_mmap\" must be of type boolean",
            ),
        ] {
            assert_eq!(options(&value).map_err(|e| e.to_string()), Err(text.into()));
        }
    }
}
