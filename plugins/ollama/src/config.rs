//! The configuration, and the settings made from it once: JSON that only needs to be put into a request.

use serde::Deserialize;
use serde_json::{Map, Value};
use sluicegate_openai_api::config::{ReasoningField, Streaming, Unsupported};

use crate::keep_alive;

/// The operator's configuration as in the file; `config.schema.json` says what each key means.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    stream: Streaming,
    sampling: Sampling,
    context_overflow: Overflow,
    reasoning_field: ReasoningField,
    think_tags: bool,
    extensions: bool,
    unsupported: Unsupported,
    keep_alive: Option<Value>,
    num_ctx: Option<u64>,
    think: Option<Value>,
    options: Map<String, Value>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stream: Streaming::Always,
            sampling: Sampling::Openai,
            context_overflow: Overflow::Error,
            reasoning_field: ReasoningField::Reasoning,
            think_tags: true,
            extensions: true,
            unsupported: Unsupported::Refuse,
            keep_alive: None,
            num_ctx: None,
            think: None,
            options: Map::new(),
        }
    }
}

/// The default of `temperature` and `top_p`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// OpenAI's default, 1.
    Openai,
    /// The values of the model's file, or else Ollama's defaults.
    Model,
}

/// What happens to a conversation that is longer than the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// 400 `context_length_exceeded`.
    Error,
    /// Ollama drops the oldest messages.
    Truncate,
}

/// The settings made from the configuration.
#[derive(Debug)]
pub struct Settings {
    /// Whether Ollama is asked to stream.
    pub stream: Streaming,
    /// The default of `temperature` and `top_p`.
    pub sampling: Sampling,
    /// What happens to a conversation that is too long.
    pub overflow: Overflow,
    /// The member that carries a model's thoughts.
    pub reasoning_field: ReasoningField,
    /// Whether thoughts between `<think>` and `</think>` are split off the content.
    pub think_tags: bool,
    /// Whether a request may use Ollama's own parameters.
    pub extensions: bool,
    /// What becomes of a parameter that Ollama cannot do.
    pub unsupported: Unsupported,
    /// The default of `keep_alive` as JSON.
    pub keep_alive: Option<String>,
    /// The default of `think` as JSON.
    pub think: Option<String>,
    /// The defaults of Ollama's options as pairs of name and JSON.
    pub options: Vec<(String, String)>,
}

impl Settings {
    /// Makes the settings.
    ///
    /// # Errors
    /// If a default has a type that Ollama does not accept.
    pub fn new(config: Config) -> Result<Self, String> {
        let keep_alive = config.keep_alive.map(|value| match &value {
            Value::Number(_) => Ok(value.to_string()),
            Value::String(text) if keep_alive::is_duration(text) => Ok(value.to_string()),
            Value::String(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Array(_)
            | Value::Object(_) => Err(format!("`keep-alive` must be {}", keep_alive::EXPECTED)),
        });
        let think = config.think.map(|value| match value {
            Value::Bool(_) | Value::String(_) => Ok(value.to_string()),
            Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => Err(
                "`think` must be a boolean or one of \"low\", \"medium\", \"high\", \"max\""
                    .to_owned(),
            ),
        });
        let mut options: Vec<_> = config
            .options
            .into_iter()
            .map(|(name, value)| (name, value.to_string()))
            .collect();
        if let Some(num_ctx) = config.num_ctx {
            options.retain(|(name, _)| name != "num_ctx");
            options.push(("num_ctx".to_owned(), num_ctx.to_string()));
        }
        Ok(Self {
            stream: config.stream,
            sampling: config.sampling,
            overflow: config.context_overflow,
            reasoning_field: config.reasoning_field,
            think_tags: config.think_tags,
            extensions: config.extensions,
            unsupported: config.unsupported,
            keep_alive: keep_alive.transpose()?,
            think: think.transpose()?,
            options,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(config: Value) -> Result<Settings, String> {
        Settings::new(serde_json::from_value(config).map_err(|error| error.to_string())?)
    }

    #[test]
    fn defaults_are_ready_json() {
        let settings = settings(json!({
            "keep-alive": "10m", "num-ctx": 8192, "think": false,
            "options": {"num_ctx": 1, "num_gpu": 2}
        }))
        .expect("good");
        assert_eq!(settings.keep_alive.as_deref(), Some("\"10m\""));
        assert_eq!(settings.think.as_deref(), Some("false"));
        let options = [
            ("num_gpu".into(), "2".into()),
            ("num_ctx".into(), "8192".into()),
        ];
        assert_eq!(settings.options, options);
    }

    #[test]
    fn an_empty_configuration_has_the_documented_defaults() {
        let settings = settings(json!({})).expect("good");
        assert_eq!(settings.stream, Streaming::Always);
        assert_eq!(settings.sampling, Sampling::Openai);
        assert_eq!(settings.overflow, Overflow::Error);
        assert_eq!(settings.reasoning_field.names(), ["reasoning"]);
        assert!(settings.extensions && settings.think_tags);
        assert_eq!(settings.unsupported, Unsupported::Refuse);
        assert_eq!((settings.keep_alive, settings.think), (None, None));
    }

    #[test]
    fn wrong_types_and_unknown_keys_are_refused() {
        let cases = [
            (json!({"keep-alive": [1]}), "keep-alive"),
            (json!({"keep-alive": "-1"}), "keep-alive"),
            (json!({"keep-alive": "24"}), "keep-alive"),
            (json!({"keep-alive": "forever"}), "keep-alive"),
            (json!({"keep-alive": "5 m"}), "keep-alive"),
            (json!({"think": 1}), "think"),
            (json!({"streem": "always"}), "streem"),
            (json!({"stream": "sometimes"}), "sometimes"),
        ];
        for (config, part) in cases {
            let error = settings(config).expect_err("refused");
            assert!(error.contains(part), "{error}");
        }
    }
}
