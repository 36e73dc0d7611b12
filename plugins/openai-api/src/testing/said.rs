//! Puts a chat together as a client does, and checks on the way what clients rely on.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sluicegate_plugin::testing::Outcome;

/// OpenAI's finish reasons.
const REASONS: [&str; 5] = [
    "stop",
    "length",
    "tool_calls",
    "content_filter",
    "function_call",
];

/// A choice of a response, put together as a client does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// The content.
    pub content: String,
    /// The thoughts.
    pub thoughts: String,
    /// Id, name and arguments of each call.
    pub calls: Vec<[String; 3]>,
    /// The finish reason.
    pub finish: String,
    /// The tokens of the log probabilities.
    pub tokens: Vec<String>,
    has_role: bool,
}

/// Checks a streamed chat and puts it together: the choices by index, and the usage.
///
/// # Errors
/// What a client could not cope with.
pub fn streamed(outcome: &Outcome) -> Result<(BTreeMap<u64, Said>, Option<Value>), String> {
    let mut choices: BTreeMap<u64, Said> = BTreeMap::new();
    let mut usage = None;
    let mut identities = BTreeSet::new();
    let mut done = false;
    for event in &outcome.events {
        if done {
            return Err("an event after [DONE]".into());
        }
        if !event.name.is_empty() || event.id.is_some() {
            return Err(format!("an event with more than data: {event:?}"));
        }
        if event.data == "[DONE]" {
            done = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(&event.data)
            .map_err(|error| format!("{error}: {}", event.data))?;
        if chunk["object"] != "chat.completion.chunk" {
            return Err(format!("not a chunk: {chunk}"));
        }
        identities.insert(format!(
            "{} {} {}",
            chunk["id"], chunk["created"], chunk["model"]
        ));
        if usage.is_some() {
            return Err("an event after the usage".into());
        }
        for choice in chunk["choices"].as_array().ok_or("no choices")? {
            let index = choice["index"].as_u64().ok_or("no index")?;
            choices.entry(index).or_default().delta(choice)?;
        }
        if let Some(found) = chunk.get("usage") {
            usage = Some(total(found)?);
        }
    }
    if identities.len() > 1 {
        return Err(format!("several identities: {identities:?}"));
    }
    match (&outcome.fault, done) {
        (Some(_), true) => return Err("an end marker and an error".into()),
        (None, false) => return Err("neither an end marker nor an error".into()),
        (Some(_), false) => return Ok((choices, usage)),
        (None, true) => {}
    }
    for choice in choices.values() {
        choice.check()?;
    }
    match choices.first_key_value() {
        Some((0, _)) => Ok((choices, usage)),
        Some(_) | None => Err("no first choice".into()),
    }
}

/// Checks a whole chat: the choices by index, and the usage.
///
/// # Errors
/// What a client could not cope with.
pub fn whole(outcome: &Outcome) -> Result<(BTreeMap<u64, Said>, Option<Value>), String> {
    let body: Value = serde_json::from_slice(&outcome.body).map_err(|error| error.to_string())?;
    if body["object"] != "chat.completion" || !body["id"].is_string() || !body["created"].is_u64() {
        return Err(format!("not a completion: {body}"));
    }
    let mut choices = BTreeMap::new();
    for choice in body["choices"].as_array().ok_or("no choices")? {
        let mut said = Said::default();
        said.message(choice)?;
        said.check()?;
        choices.insert(choice["index"].as_u64().ok_or("no index")?, said);
    }
    let usage = body.get("usage").map(total).transpose()?;
    Ok((choices, usage))
}

fn total(usage: &Value) -> Result<Value, String> {
    let number = |name: &str| usage[name].as_u64().ok_or(format!("usage {usage}"));
    if number("total_tokens")? != number("prompt_tokens")? + number("completion_tokens")? {
        return Err(format!("usage {usage}"));
    }
    Ok(usage.clone())
}

impl Said {
    /// The parts that are there, as in a fixture; of a call its name and its arguments.
    pub fn to_json(&self) -> Value {
        let mut json = json!({"finish": self.finish});
        for (name, text) in [("content", &self.content), ("thoughts", &self.thoughts)] {
            if !text.is_empty() {
                json[name] = json!(text);
            }
        }
        if !self.calls.is_empty() {
            json["calls"] = self
                .calls
                .iter()
                .map(|[_, name, arguments]| json!([name, arguments]))
                .collect();
        }
        if !self.tokens.is_empty() {
            json["tokens"] = json!(self.tokens);
        }
        json
    }

    fn delta(&mut self, choice: &Value) -> Result<(), String> {
        if !self.finish.is_empty() {
            return Err("a delta after the finish reason".into());
        }
        let delta = &choice["delta"];
        match (delta.get("role"), self.has_role) {
            (Some(_), true) => return Err("the role twice".into()),
            (None, false) => return Err("a delta before the role".into()),
            (Some(_), false) => self.has_role = true,
            (None, true) => {}
        }
        self.texts(delta, choice);
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let at = call["index"].as_u64().ok_or("a call without an index")?;
            let at = usize::try_from(at).map_err(|error| error.to_string())?;
            let arguments = call["function"]["arguments"]
                .as_str()
                .ok_or("a call without arguments")?;
            let begins = call.get("id").is_some();
            if begins != (at == self.calls.len()) {
                return Err(format!("a call that begins twice, or not at all: {call}"));
            }
            if begins {
                self.call(call)?;
            } else if call["function"].get("name").is_some() || call.get("type").is_some() {
                return Err(format!("the name or type of a call twice: {call}"));
            } else {
                self.calls[at][2].push_str(arguments);
            }
        }
        Ok(())
    }

    fn message(&mut self, choice: &Value) -> Result<(), String> {
        let message = &choice["message"];
        if message["role"] != "assistant" {
            return Err("no role".into());
        }
        for name in ["content", "refusal"] {
            message.get(name).ok_or(format!("no {name}"))?;
        }
        choice.get("logprobs").ok_or("no logprobs")?;
        self.texts(message, choice);
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            self.call(call)?;
        }
        Ok(())
    }

    fn texts(&mut self, message: &Value, choice: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.content += &text(&message["content"]);
        self.thoughts += &text(&message["reasoning"]);
        self.finish = text(&choice["finish_reason"]);
        for token in choice["logprobs"]["content"]
            .as_array()
            .into_iter()
            .flatten()
        {
            self.tokens.push(text(&token["token"]));
        }
    }

    fn call(&mut self, call: &Value) -> Result<(), String> {
        let text = |value: &Value| {
            value
                .as_str()
                .map(str::to_owned)
                .ok_or(format!("call {call}"))
        };
        if call["type"] != "function" || call["id"] == "" || call["function"]["name"] == "" {
            return Err(format!("call {call}"));
        }
        let function = &call["function"];
        let call = [
            text(&call["id"])?,
            text(&function["name"])?,
            text(&function["arguments"])?,
        ];
        self.calls.push(call);
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        if !REASONS.contains(&&*self.finish) {
            return Err(format!("finish reason {:?}", self.finish));
        }
        let ids: BTreeSet<&str> = self.calls.iter().map(|[id, ..]| &**id).collect();
        if ids.len() < self.calls.len() {
            return Err(format!("the same id twice: {:?}", self.calls));
        }
        let finished = !self.calls.is_empty() && self.finish == "stop";
        if finished || self.calls.is_empty() && self.finish == "tool_calls" {
            return Err(format!(
                "{} calls that finish with {}",
                self.calls.len(),
                self.finish
            ));
        }
        for [_, _, arguments] in &self.calls {
            if serde_json::from_str::<Value>(arguments).is_err() && self.finish != "length" {
                return Err(format!("arguments that are no JSON: {arguments}"));
            }
        }
        Ok(())
    }
}
