//! When a simulated model calls a tool, and with what. Pure.

use serde_json::{Map, Value};

use super::request::Tool;
use super::sample;
use super::text::Language;

/// A tool call, complete as Ollama gives it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: Map<String, Value>,
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
        .map(|(tool, seed)| Call {
            id: id(seed),
            name: tool.name.clone(),
            arguments: arguments(tool, question, language),
        })
        .collect()
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

/// `call_` and eight characters, as Ollama makes them.
fn id(seed: u64) -> String {
    const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut rest = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut id = String::from("call_");
    for _ in 0..8 {
        let digit = usize::try_from(rest % 36).unwrap_or_default();
        id.push(char::from(ALPHABET[digit]));
        rest /= 36;
    }
    id
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
    fn calls_have_arguments_from_the_question_and_ids_of_their_own() {
        let made = calls(
            &[tool("weather"), tool("mail")],
            "weather in Rome by mail",
            Language::English,
            7,
        );
        assert_eq!(made[0].arguments["city"], "Rome");
        assert_ne!(made[0].id, made[1].id);
        assert_eq!(made[0].id.len(), 13);
        let no_object = Tool {
            parameters: json!(null),
            ..tool("mail")
        };
        let made = calls(&[no_object], "mail", Language::English, 7);
        assert_eq!(made[0].arguments, Map::new());
    }
}
