//! A strict reader of server-sent events: it reports everything on which official clients fail.

use serde_json::{Value, json};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The `event:` value, or "".
    pub name: String,
    /// The `data:` lines joined by LF.
    pub data: String,
}

impl Event {
    /// The data as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json(&self) -> Value {
        match serde_json::from_str(&self.data) {
            Ok(value) => value,
            Err(error) => panic!("an event's data is not JSON ({error}): {:?}", self.data),
        }
    }
}

/// Turns bytes into events, in chunks of any size.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    name: String,
    data: Option<String>,
    /// The comments so far, without the colon.
    pub comments: Vec<String>,
    /// What a chat stream must never have, because openai-python fails on it: `id` and `retry` fields, events without
    /// data, blank lines that end nothing, a byte order mark, unknown fields.
    pub offences: Vec<String>,
}

impl Parser {
    /// Takes bytes; gives the events that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let mut line = std::mem::take(&mut self.line);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            match String::from_utf8(line) {
                Ok(line) => events.extend(self.end_line(&line)),
                Err(error) => self.offences.push(format!("not UTF-8: {error}")),
            }
        }
        events
    }

    /// Whether the stream may end here: nothing is left over.
    pub fn is_finished(&self) -> bool {
        self.line.is_empty() && self.data.is_none() && self.name.is_empty()
    }

    fn end_line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => self.comments.push(value.to_owned()),
            "event" => value.clone_into(&mut self.name),
            "data" => {
                let data = self.data.get_or_insert_default();
                if !data.is_empty() {
                    data.push('\n');
                }
                data.push_str(value);
            }
            _ => self.offences.push(line.to_owned()),
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        match self.data.take() {
            Some(data) if data.is_empty() => self.offences.push("an empty data field".into()),
            Some(data) => return Some(Event { name, data }),
            None if name.is_empty() => self.offences.push("a blank line that ends nothing".into()),
            None => self.offences.push(format!("event {name:?} without data")),
        }
        None
    }
}

/// All events of a whole stream.
///
/// # Panics
/// If it has what no chat stream may have, or ends in the middle of an event.
pub fn events(body: &[u8]) -> Vec<Event> {
    let mut parser = Parser::default();
    let events = parser.push(body);
    assert_eq!(
        parser.offences,
        Vec::<String>::new(),
        "in {:?}",
        String::from_utf8_lossy(body)
    );
    assert!(
        parser.is_finished(),
        "an unfinished event at the end of {:?}",
        String::from_utf8_lossy(body)
    );
    events
}

/// The result of all chunks of one chat stream, for its choice 0.
#[derive(Debug, Default, PartialEq)]
pub struct Chat {
    /// All chunks, in order.
    pub chunks: Vec<Value>,
    /// The `role`s, in order: exactly one is right.
    pub roles: Vec<String>,
    /// The text.
    pub content: String,
    /// The `reasoning`.
    pub reasoning: String,
    /// The tool calls, their arguments joined.
    pub tool_calls: Vec<Value>,
    /// The last `finish_reason`.
    pub finish_reason: Option<String>,
    /// The `usage` of the last chunk that has one.
    pub usage: Option<Value>,
    /// The `error` of an error event.
    pub error: Option<Value>,
    /// Whether `[DONE]` came, as the last event.
    pub done: bool,
}

impl Chat {
    /// Adds up the events of a stream.
    ///
    /// # Panics
    /// If anything comes after `[DONE]`, or data is not JSON.
    pub fn of(events: &[Event]) -> Self {
        let mut chat = Self::default();
        for event in events {
            assert!(!chat.done, "after [DONE] came {event:?}");
            if event.data == "[DONE]" {
                chat.done = true;
                continue;
            }
            let chunk = event.json();
            if let Some(error) = chunk.get("error") {
                chat.error = Some(error.clone());
                continue;
            }
            if let Some(usage) = chunk.get("usage").filter(|usage| !usage.is_null()) {
                chat.usage = Some(usage.clone());
            }
            if let Some(choice) = chunk["choices"].get(0) {
                chat.add(choice);
            }
            chat.chunks.push(chunk);
        }
        chat
    }

    fn add(&mut self, choice: &Value) {
        let delta = &choice["delta"];
        self.roles.extend(delta["role"].as_str().map(str::to_owned));
        self.content
            .push_str(delta["content"].as_str().unwrap_or_default());
        self.reasoning
            .push_str(delta["reasoning"].as_str().unwrap_or_default());
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            self.add_call(call);
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.finish_reason = Some(reason.to_owned());
        }
    }

    fn add_call(&mut self, call: &Value) {
        let index = call["index"]
            .as_u64()
            .expect("every tool call has an index");
        let index = usize::try_from(index).expect("a small index");
        assert!(
            index <= self.tool_calls.len(),
            "a gap before tool call {index}"
        );
        if index == self.tool_calls.len() {
            self.tool_calls.push(call.clone());
            return;
        }
        let more = call["function"]["arguments"].as_str().unwrap_or_default();
        let arguments = &mut self.tool_calls[index]["function"]["arguments"];
        let joined = arguments.as_str().unwrap_or_default().to_owned() + more;
        *arguments = json!(joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_in_any_chunks() {
        let stream = b": ping\nevent: e\r\ndata: a\ndata:b\n\ndata: {}\n\n";
        let wanted = [
            Event {
                name: "e".into(),
                data: "a\nb".into(),
            },
            Event {
                name: String::new(),
                data: "{}".into(),
            },
        ];
        for size in 1..stream.len() {
            let mut parser = Parser::default();
            let mut read = Vec::new();
            for chunk in stream.chunks(size) {
                read.extend(parser.push(chunk));
            }
            assert_eq!(read, wanted);
            assert_eq!(
                (parser.comments.as_slice(), parser.is_finished()),
                (&["ping".to_owned()][..], true)
            );
            assert!(parser.offences.is_empty());
        }
    }

    #[test]
    fn what_clients_fail_on_is_reported() {
        for stream in [
            "id: 1\n",
            "retry: 5\n",
            "\n",
            "event: x\n\n",
            "data:\n\n",
            "\u{feff}data: 1\n",
            "data: 1\n\n\n",
        ] {
            let mut parser = Parser::default();
            parser.push(stream.as_bytes());
            assert_eq!(parser.offences.len(), 1, "{stream:?}");
        }
        let mut parser = Parser::default();
        parser.push(b"data: \xff\n");
        assert_eq!(parser.offences.len(), 1);
        for rest in ["data: 1\n", "data", "event: x\n"] {
            let mut parser = Parser::default();
            parser.push(rest.as_bytes());
            assert!(!parser.is_finished(), "{rest:?}");
        }
    }

    #[test]
    fn chunks_add_up() {
        let chunk = |delta: Value, finish: Value| {
            let data = json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
            format!("data: {data}\n\n")
        };
        let call = |index: u64, arguments: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]});
        let stream = [
            chunk(json!({"role": "assistant", "content": ""}), json!(null)),
            chunk(json!({"reasoning": "hm"}), json!(null)),
            chunk(json!({"content": "Hi"}), json!(null)),
            chunk(call(0, "{"), json!(null)),
            chunk(call(0, "}"), json!(null)),
            chunk(json!({}), json!("stop")),
            "data: {\"choices\":[],\"usage\":{\"total_tokens\":3}}\n\ndata: [DONE]\n\n".into(),
        ]
        .concat();
        let chat = Chat::of(&events(stream.as_bytes()));
        assert_eq!(chat.roles, ["assistant"]);
        assert_eq!(
            (chat.content.as_str(), chat.reasoning.as_str()),
            ("Hi", "hm")
        );
        assert_eq!(chat.tool_calls[0]["function"]["arguments"], "{}");
        assert_eq!(chat.finish_reason.as_deref(), Some("stop"));
        assert_eq!(chat.usage, Some(json!({"total_tokens": 3})));
        assert!(chat.done && chat.error.is_none());
        let failed = Chat::of(&events(b"data: {\"error\":{\"code\":\"x\"}}\n\n"));
        assert_eq!(
            (failed.error, failed.done),
            (Some(json!({"code": "x"})), false)
        );
    }
}
