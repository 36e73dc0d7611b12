//! Why a message ended.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::chat::Choice;
use sluicegate_plugin::json::{self, Text};

/// Why a message ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ending {
    /// The canonical reason.
    pub(crate) reason: Reason,
    /// The stop sequence that was met, where the model server tells it.
    sequence: Option<String>,
    /// Whether it is that of a whole completion, behind which no end marker follows.
    pub(crate) is_whole: bool,
}

/// A canonical finish reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reason {
    /// `stop`, and whatever is not known.
    #[default]
    Stop,
    /// `length`
    Length,
    /// `tool_calls`
    Calls,
    /// `content_filter`
    Filter,
}

/// What the end of a completion says besides.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, default)]
    object: Option<Text<'a>>,
    #[serde(borrow)]
    choices: Vec<Extra<'a>>,
}

#[derive(Deserialize)]
struct Extra<'a> {
    /// vLLM's: the stop sequence, or the number of a token.
    #[serde(borrow, default)]
    stop_reason: Option<&'a RawValue>,
}

impl Ending {
    /// The ending that a choice tells; `None` if it goes on. `document` is the JSON that has it as its first choice.
    pub(crate) fn of(choice: &Choice<'_>, document: &str) -> Option<Self> {
        let Text(reason) = choice.finish_reason.as_ref()?;
        let reason = match &**reason {
            "length" => Reason::Length,
            "tool_calls" | "function_call" => Reason::Calls,
            "content_filter" => Reason::Filter,
            _ => Reason::Stop,
        };
        let document: Option<Document<'_>> = serde_json::from_str(document).ok();
        let object = document.as_ref().and_then(|it| it.object.as_ref());
        let choice = document.as_ref().and_then(|it| it.choices.first());
        let sequence = choice.and_then(|choice| json::text(choice.stop_reason?));
        Some(Self {
            reason,
            sequence: sequence.map(Cow::into_owned),
            is_whole: object.is_some_and(|Text(object)| object == "chat.completion"),
        })
    }

    /// Appends `"stop_reason":…,"stop_sequence":…`. `calls` says whether the message has calls of tools, `refuses` whether it
    /// is a refusal.
    pub(crate) fn write(&self, out: &mut String, calls: bool, refuses: bool) {
        let word = match self.reason {
            _ if refuses => "refusal",
            Reason::Filter => "refusal",
            Reason::Length => "max_tokens",
            // With a named tool the reason is `stop` in OpenAI's API.
            Reason::Calls | Reason::Stop if calls => "tool_use",
            Reason::Stop if self.sequence.is_some() => "stop_sequence",
            Reason::Calls | Reason::Stop => "end_turn",
        };
        out.push_str("\"stop_reason\":\"");
        out.push_str(word);
        out.push_str("\",\"stop_sequence\":");
        match self.sequence.as_deref().filter(|_| word == "stop_sequence") {
            Some(sequence) => json::push_str(out, sequence),
            None => out.push_str("null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluicegate_plugin::chat::Completion;

    #[test]
    fn every_reason_has_its_word() {
        for (choice, calls, expected) in [
            (r#""finish_reason":"stop""#, false, ("end_turn", "null")),
            (r#""finish_reason":"stop""#, true, ("tool_use", "null")),
            (
                r#""finish_reason":"tool_calls""#,
                true,
                ("tool_use", "null"),
            ),
            (
                r#""finish_reason":"tool_calls""#,
                false,
                ("end_turn", "null"),
            ),
            (r#""finish_reason":"length""#, true, ("max_tokens", "null")),
            (
                r#""finish_reason":"content_filter""#,
                false,
                ("refusal", "null"),
            ),
            (r#""finish_reason":"odd""#, false, ("end_turn", "null")),
            (
                r#""finish_reason":"stop","stop_reason":"\n\nH:""#,
                false,
                ("stop_sequence", "\"\\n\\nH:\""),
            ),
            (
                r#""finish_reason":"stop","stop_reason":128001"#,
                false,
                ("end_turn", "null"),
            ),
            (
                r#""finish_reason":"length","stop_reason":"x""#,
                false,
                ("max_tokens", "null"),
            ),
        ] {
            let json = format!(r#"{{"choices":[{{"index":0,"delta":{{}},{choice}}}]}}"#);
            let completion = Completion::read(&json).expect("a completion");
            let ending = Ending::of(&completion.choices[0], &json).expect("an ending");
            let mut out = String::new();
            ending.write(&mut out, calls, false);
            let (reason, sequence) = expected;
            let expected = format!(r#""stop_reason":"{reason}","stop_sequence":{sequence}"#);
            assert_eq!(out, expected, "{choice}");
            let mut out = String::new();
            ending.write(&mut out, calls, true);
            assert_eq!(out, r#""stop_reason":"refusal","stop_sequence":null"#);
        }
    }

    #[test]
    fn without_a_reason_it_goes_on() {
        let json = r#"{"choices":[{"delta":{},"finish_reason":null,"stop_reason":null}]}"#;
        let completion = Completion::read(json).expect("a completion");
        assert_eq!(Ending::of(&completion.choices[0], json), None);
    }
}
