//! TGI's own API, for models without a chat template: the prompt is made here, from a template of the configuration.
//!
//! # Source
//! TGI 3.3 source, `router/src/lib.rs` (`GenerateParameters`, `StreamResponse`, `GenerateResponse`).

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_openai_api::Translate;
use sluicegate_openai_api::request::{Body, elements, members, unsupported};
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use crate::request::{number, text};

mod response;

/// Where the text of a message goes.
const CONTENT: &str = "{content}";

/// Parameters with the same name and meaning, TGI's own among them.
const SAME: [&str; 8] = [
    "top_p",
    "top_k",
    "typical_p",
    "seed",
    "frequency_penalty",
    "repetition_penalty",
    "truncate",
    "watermark",
];

/// How a conversation becomes a prompt: a text for each role, with `{content}` in it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Template {
    #[serde(default)]
    begin: String,
    system: Option<String>,
    user: String,
    assistant: String,
    tool: Option<String>,
    start: String,
    #[serde(default)]
    stop: Vec<String>,
}

impl Template {
    /// Checks that every role has a place for its text.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn check(&self) -> Result<(), String> {
        for (role, pattern) in [
            ("system", self.system.as_ref()),
            ("user", Some(&self.user)),
            ("assistant", Some(&self.assistant)),
            ("tool", self.tool.as_ref()),
        ] {
            if pattern.is_some_and(|pattern| !pattern.contains(CONTENT)) {
                return Err(format!(
                    "`template.{role}` must have `{CONTENT}` where the text goes"
                ));
            }
        }
        Ok(())
    }

    /// Sequences that end a response.
    pub fn stops(&self) -> &[String] {
        &self.stop
    }

    /// Replaces a chat by a request for TGI's own API; returns what translates its response.
    ///
    /// # Errors
    /// 400 for what TGI's own API cannot do.
    pub fn ask(&self, body: &mut Body<'_>) -> Result<Translate, Fault> {
        if body.has("tools") {
            return Err(unsupported(
                "tools",
                "This model has no chat template, so that it cannot be shown any tools.",
            ));
        }
        let messages = body.text("messages").unwrap_or("[]").to_owned();
        let inputs = self.prompt(&messages)?;
        let logprobs = body.says("logprobs", true);
        let parameters = self.parameters(body, logprobs);
        let names: Vec<String> = body.names().map(str::to_owned).collect();
        for name in names {
            body.remove(&name);
        }
        let mut prompt = String::with_capacity(inputs.len() + 16);
        json::push_str(&mut prompt, &inputs);
        body.set("inputs", prompt);
        body.set("parameters", parameters);
        Ok(if logprobs {
            response::with_logprobs
        } else {
            response::without_logprobs
        })
    }

    fn prompt(&self, messages: &str) -> Result<String, Fault> {
        let raw: &RawValue = serde_json::from_str(messages)
            .map_err(|_| Fault::bad_request("`messages` cannot be read.").param("messages"))?;
        let mut prompt = self.begin.clone();
        for message in elements("messages", raw)? {
            let message = members("messages", message)?;
            let get = |wanted: &str| {
                message
                    .iter()
                    .find(|(name, _)| name == wanted)
                    .map(|(_, raw)| *raw)
            };
            let role = get("role").and_then(json::text);
            let pattern = match role.as_deref() {
                Some("system") => self.system.as_ref().unwrap_or(&self.user),
                Some("assistant") => &self.assistant,
                Some("tool") => self.tool.as_ref().unwrap_or(&self.user),
                Some(_) | None => &self.user,
            };
            let content = get("content").map_or_else(|| Ok(String::new()), content)?;
            prompt.push_str(&pattern.replace(CONTENT, &content));
        }
        prompt.push_str(&self.start);
        Ok(prompt)
    }

    fn parameters(&self, body: &Body<'_>, logprobs: bool) -> String {
        let mut out = String::from("{\"details\":true,\"return_full_text\":false");
        let mut push = |name: &str, json: &str| {
            out.push_str(",\"");
            out.push_str(name);
            out.push_str("\":");
            out.push_str(json);
        };
        // TGI does not take a temperature of 0.
        if number(body, "temperature") > Some(0.0)
            && let Some(temperature) = body.text("temperature")
        {
            push("temperature", temperature);
        }
        // Without it TGI takes the likeliest token; OpenAI does so only at temperature 0.
        let samples = number(body, "temperature") != Some(0.0);
        push("do_sample", if samples { "true" } else { "false" });
        for name in SAME {
            if let Some(value) = body.text(name) {
                push(name, value);
            }
        }
        if let Some(most) = body.text("max_tokens") {
            push("max_new_tokens", most);
        }
        if let Some(top) = body.text("top_logprobs").filter(|_| logprobs) {
            push("top_n_tokens", top);
        }
        if let Some(grammar) = body.text("response_format") {
            push("grammar", grammar);
        }
        let given: Vec<String> = body
            .text("stop")
            .and_then(|list| serde_json::from_str(list).ok())
            .unwrap_or_default();
        let stops: Vec<&String> = given.iter().chain(&self.stop).take(4).collect();
        if !stops.is_empty() {
            let mut list = String::new();
            for stop in stops {
                list.push(if list.is_empty() { '[' } else { ',' });
                json::push_str(&mut list, stop);
            }
            list.push(']');
            push("stop", &list);
        }
        out.push('}');
        out
    }
}

/// The text of a message; an image as TGI reads it in a prompt.
fn content(raw: &RawValue) -> Result<String, Fault> {
    if Kind::of(raw) != Kind::Array {
        return text("messages", raw);
    }
    let mut out = String::new();
    for part in elements("messages", raw)? {
        let part = members("messages", part)?;
        for (name, raw) in part {
            match &*name {
                "text" => out.push_str(&text("messages", raw)?),
                "image_url" => {
                    return Err(unsupported(
                        "messages",
                        "A model without a chat template takes no images.",
                    ));
                }
                _ => {}
            }
        }
    }
    Ok(out)
}
