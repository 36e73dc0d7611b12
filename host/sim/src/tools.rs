//! When a simulated model calls a tool, and with what. Pure.

use serde_json::{Map, Value};

use super::conversation::Tool;
use super::sample;
use super::text::{self, Language};

/// A tool call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    /// Another one for each call; the vendors make their ids of it.
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) arguments: Map<String, Value>,
}

impl Call {
    /// Tokens before the arguments: the mark of a call and its name. Arbitrary, near to what models write.
    pub(super) const TOKENS_BEFORE: usize = 8;

    /// The arguments as models write them: JSON with a space behind each colon and comma.
    pub(super) fn arguments_text(&self) -> String {
        let mut text = String::new();
        spaced(&mut text, &Value::Object(self.arguments.clone()));
        text
    }

    /// Tokens that the model wrote for it.
    pub(super) fn tokens(&self) -> usize {
        Self::TOKENS_BEFORE + text::tokens(&self.arguments_text()).len()
    }
}

fn spaced(text: &mut String, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                spaced(text, item);
            }
            text.push(']');
        }
        Value::Object(members) => {
            text.push('{');
            for (at, (name, value)) in members.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                text.push_str(&Value::String(name.clone()).to_string());
                text.push_str(": ");
                spaced(text, value);
            }
            text.push('}');
        }
    }
}

/// Words of tool names that do not tell the tool's purpose.
const FILLERS: [&str; 14] = [
    "get", "set", "the", "for", "fetch", "run", "call", "current", "create", "make", "find",
    "tool", "function", "list",
];

/// What to look for in a Chinese question, for a word of a tool's name.
const CHINESE: [(&str, &str); 12] = [
    ("weather", "天气"),
    ("time", "时间"),
    ("date", "日期"),
    ("search", "搜索"),
    ("calc", "计算"),
    ("add", "加"),
    ("stock", "股"),
    ("price", "价格"),
    ("mail", "邮件"),
    ("translate", "翻译"),
    ("file", "文件"),
    ("map", "地图"),
];

/// The calls that the question asks for, in the order of the tools: one for every tool that it mentions, or for the first one
/// if it only mentions tools in general.
pub(super) fn calls(tools: &[Tool], question: &str, language: Language, seed: u64) -> Vec<Call> {
    let lower = question.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();
    let mut wanted: Vec<&Tool> = tools
        .iter()
        .filter(|tool| mentions(&lower, &words, tool))
        .collect();
    if wanted.is_empty() && speaks_of_tools(&lower, &words) {
        wanted.extend(tools.first());
    }
    wanted
        .iter()
        // Halved, so that incrementing it cannot overflow.
        .zip((seed >> 1)..)
        .map(|(tool, number)| call(tool, question, language, number))
        .collect()
}

/// A call of this tool.
pub(super) fn call(tool: &Tool, question: &str, language: Language, number: u64) -> Call {
    Call {
        number,
        name: tool.name.clone(),
        arguments: arguments(tool, question, language),
    }
}

fn arguments(tool: &Tool, question: &str, language: Language) -> Map<String, Value> {
    match sample::instance(&tool.parameters, question, language) {
        Value::Object(arguments) => arguments,
        _ => Map::new(),
    }
}

fn mentions(lower: &str, words: &[&str], tool: &Tool) -> bool {
    if tool.name.is_empty() {
        return false;
    }
    words.contains(&tool.name.to_lowercase().as_str())
        || name_words(&tool.name).iter().any(|part| {
            words.contains(&part.as_str())
                || CHINESE
                    .iter()
                    .any(|(english, chinese)| part.contains(english) && lower.contains(chinese))
        })
}

fn speaks_of_tools(lower: &str, words: &[&str]) -> bool {
    ["tool", "tools", "function", "functions"]
        .iter()
        .any(|word| words.contains(word))
        || ["工具", "函数"].iter().any(|word| lower.contains(word))
}

/// The telling words of a name in snake, kebab or camel case.
fn name_words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if !c.is_alphanumeric() {
            words.push(String::new());
            continue;
        }
        if c.is_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| word.len() > 2 && !FILLERS.contains(&word.as_str()));
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(name: &str) -> Tool {
        Tool {
            name: name.into(),
            description: String::new(),
            parameters: json!({"type": "object", "properties": {"city": {"type": "string"}}}),
        }
    }

    fn names(question: &str) -> Vec<String> {
        let tools = [tool("get_weather"), tool("sendMail"), tool("x"), tool("")];
        calls(&tools, question, Language::English, 1)
            .into_iter()
            .map(|call| call.name)
            .collect()
    }

    #[test]
    fn tools_are_called_when_the_question_mentions_them() {
        assert_eq!(names("What is the weather in Oslo?"), ["get_weather"]);
        assert_eq!(names("call get_weather"), ["get_weather"]);
        assert_eq!(names("北京天气如何"), ["get_weather"]);
        assert_eq!(names("weather by mail"), ["get_weather", "sendMail"]);
        assert_eq!(names("use X now"), ["x"]);
        assert_eq!(names("Use a tool."), ["get_weather"]);
        assert_eq!(names("请用工具"), ["get_weather"]);
    }

    #[test]
    fn ordinary_questions_call_nothing() {
        for question in ["", "hello", "get the list", "stool", "whether or not"] {
            assert!(names(question).is_empty(), "{question}");
        }
        assert!(calls(&[], "use a tool", Language::English, 1).is_empty());
    }

    #[test]
    fn calls_have_arguments_from_the_question_and_numbers_of_their_own() {
        let made = calls(
            &[tool("weather"), tool("mail")],
            "weather in Rome by mail",
            Language::English,
            7,
        );
        assert_eq!(made[0].arguments["city"], "Rome");
        assert_ne!(made[0].number, made[1].number);
        assert_eq!(made[0].arguments_text(), r#"{"city": "Rome"}"#);
        let no_object = Tool {
            parameters: json!(null),
            ..tool("mail")
        };
        let made = calls(&[no_object], "mail", Language::English, 7);
        assert_eq!(made[0].arguments, Map::new());
    }
}
