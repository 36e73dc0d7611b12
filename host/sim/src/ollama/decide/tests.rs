use serde_json::json;

use super::*;
use crate::answer::{BEFORE_FAILURE, Chunk, Ending, Generation};
use crate::tools::Call;

fn request(value: &Value) -> Request {
    Request::parse(value.to_string().as_bytes()).expect("a legal request")
}

fn decide_on(value: &Value) -> Result<Decided, Error> {
    let request = request(value);
    decide(&request, model(&request.model)?, Form::Chat, 1)
}

fn generation(value: &Value) -> Generation {
    match decide_on(value) {
        Ok(Decided::Chat {
            decision: Decision::Text(generation),
            ..
        }) => generation,
        other => panic!("not a text: {other:?}"),
    }
}

fn ask(name: &str, question: &str) -> Generation {
    generation(&json!({"model": name, "messages": [{"role": "user", "content": question}]}))
}

fn said(generation: &Generation) -> String {
    let contents = generation.chunks.iter().filter_map(|chunk| match chunk {
        Chunk::Content(text) => Some(text.as_str()),
        Chunk::Thinking(_) | Chunk::Calls(_) | Chunk::Broken { .. } => None,
    });
    contents.collect()
}

fn thought(generation: &Generation) -> String {
    let thoughts = generation.chunks.iter().filter_map(|chunk| match chunk {
        Chunk::Thinking(text) => Some(text.as_str()),
        Chunk::Content(_) | Chunk::Calls(_) | Chunk::Broken { .. } => None,
    });
    thoughts.collect()
}

fn called(generation: &Generation) -> Vec<&Call> {
    let calls = generation.chunks.iter().filter_map(|chunk| match chunk {
        Chunk::Calls(calls) => Some(calls),
        Chunk::Content(_) | Chunk::Thinking(_) | Chunk::Broken { .. } => None,
    });
    calls.flatten().collect()
}

#[test]
fn an_ordinary_question_is_answered_in_its_language() {
    let english = ask("demo", "Hello");
    assert!(said(&english).contains("simulated answer"));
    assert_eq!(thought(&english), "");
    assert_eq!(english.ending, Ending::Done("stop"));
    assert_eq!(english.prompt_tokens, 5);
    let chinese = ask("qwen3:32b", "你好,请用一句话介绍你自己");
    assert!(said(&chinese).contains("模拟回答"));
    assert!(thought(&chinese).contains("模拟程序"));
}

#[test]
fn only_a_model_that_can_think_thinks_and_only_if_it_may() {
    let think = |model: &str, think: Value| {
        decide_on(
            &json!({"model": model, "think": think, "messages": [{"role": "user", "content": "hm"}]}),
        )
    };
    let Ok(Decided::Chat {
        decision: Decision::Text(quiet),
        ..
    }) = think("qwen3:32b", json!(false))
    else {
        panic!("thinking can be turned off");
    };
    assert_eq!(thought(&quiet), "");
    let refused = think("demo", json!(true)).expect_err("demo cannot think");
    assert_eq!(
        (refused.status(), refused.to_string()),
        (400, "\"demo\" does not support thinking".into())
    );
    assert!(think("demo", json!(false)).is_ok());
    let long = ask("qwen3:32b", "/think");
    assert!(thought(&long).len() > thought(&ask("qwen3:32b", "x")).len());
    assert!(said(&long).contains("reasoning"));
}

#[test]
fn refusals_have_the_words_and_statuses_of_ollama() {
    let user = json!([{"role": "user", "content": "x", "images": ["aGk="]}]);
    for (body, status, text) in [
        (json!({}), 400, "model is required"),
        (json!({"model": "gpt-5"}), 404, "model 'gpt-5' not found"),
        (
            json!({"model": "demo", "options": {"stop": "x"}}),
            500,
            "option \"stop\" must be of type array",
        ),
        (
            json!({"model": "demo", "messages": user, "format": "yaml"}),
            500,
            "invalid format: \"\\\"yaml\\\"\"; expected \"json\" or a valid JSON Schema object",
        ),
        (
            json!({"model": "qwen3:32b", "messages": user}),
            500,
            "this model is missing data required for image input",
        ),
    ] {
        let error = decide_on(&body).expect_err("a refusal");
        assert_eq!((error.status(), error.to_string()), (status, text.into()));
    }
}

#[test]
fn no_messages_load_the_model() {
    let body = json!({"model": "demo", "options": {"num_ctx": 9}});
    assert_eq!(decide_on(&body), Ok(Decided::Load { num_ctx: Some(9) }));
}

#[test]
fn images_are_counted_by_the_model_that_takes_them() {
    let body = json!({"model": "demo", "messages": [{"role": "user", "content": "what?", "images": ["aGk=", "aGk="]}]});
    assert!(said(&generation(&body)).starts_with("I received 2"));
}

#[test]
fn tools_are_called_and_their_results_repeated() {
    let tools = json!([{"type": "function", "function": {"name": "get_weather", "description": "Weather now",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]);
    let question = json!({"role": "user", "content": "What is the weather in Oslo?"});
    let first = generation(&json!({"model": "qwen3:32b", "messages": [question], "tools": tools}));
    assert_eq!(called(&first)[0].name, "get_weather");
    assert_eq!(called(&first)[0].arguments["city"], "Oslo");
    assert_eq!(said(&first), "");
    assert_ne!(thought(&first), "");
    let then = json!({"model": "demo", "tools": tools, "messages": [question,
        {"role": "assistant", "tool_calls": [{"function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}]},
        {"role": "tool", "tool_name": "get_weather", "content": "12 degrees"}]});
    let second = generation(&then);
    assert!(said(&second).starts_with("According to get_weather: 12 degrees"));
    assert!(called(&second).is_empty());
}

#[test]
fn a_format_gives_json() {
    let body = |format: Value| json!({"model": "demo", "format": format, "messages": [{"role": "user", "content": "你好"}]});
    let parsed = |format: Value| -> Value {
        serde_json::from_str(&said(&generation(&body(format)))).expect("JSON")
    };
    assert_eq!(parsed(json!("json"))["language"], "zh");
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 7}}});
    assert_eq!(parsed(schema), json!({"n": 7}));
    assert!(said(&generation(&body(json!("")))).starts_with("你好"));
    assert!(matches!(
        decide_on(&body(json!([]))),
        Err(Error::Format { .. })
    ));
}

#[test]
fn commands_do_as_documented() {
    assert_eq!(said(&ask("qwen3:32b", "/echo a  b")), "a  b");
    assert_eq!(ask("demo", "/echo").chunks, []);
    assert_eq!(ask("demo", "/long 1000").chunks.len(), 1000);
    assert_eq!(said(&ask("demo", "/help")), crate::HINTS);
    assert!(said(&ask("demo", "/code")).contains("```rust"));
    assert!(said(&ask("demo", "/markdown")).contains("| stage |"));
    assert!(ask("demo", "/slow").slow);
    for (word, ending) in [
        ("mid", Ending::ErrorLine),
        ("truncate", Ending::Truncate),
        ("reset", Ending::Reset),
        ("stall", Ending::Stall),
    ] {
        let failing = ask("demo", &format!("/error {word}"));
        assert_eq!(failing.ending, ending);
        assert_eq!(failing.chunks.len(), BEFORE_FAILURE);
    }
    let answer = |question: &str| {
        let asked = json!({"model": "demo", "messages": [{"role": "user", "content": question}]});
        match decide_on(&asked) {
            Ok(Decided::Chat { decision, .. }) => Ok(decision),
            other => Err(other),
        }
    };
    assert_eq!(answer("/error 429"), Ok(Decision::Status(429)));
    assert_eq!(answer("/error html"), Ok(Decision::Html));
    assert_eq!(answer("/error empty"), Ok(Decision::Empty));
}

#[test]
fn stop_and_num_predict_cut_the_answer() {
    let with = |options: Value| {
        generation(&json!({"model": "demo", "options": options,
            "messages": [{"role": "user", "content": "/echo one two three four"}]}))
    };
    let stopped = with(json!({"stop": ["", "thr", "four"]}));
    assert_eq!(
        (said(&stopped).as_str(), stopped.ending),
        ("one two ", Ending::Done("stop"))
    );
    let short = with(json!({"num_predict": 2}));
    assert_eq!(
        (said(&short).as_str(), short.ending),
        ("one two", Ending::Done("length"))
    );
    let enough = with(json!({"num_predict": 4, "stop": ["x"]}));
    assert_eq!(
        (said(&enough).as_str(), enough.ending),
        ("one two three four", Ending::Done("stop"))
    );
    assert_eq!(said(&with(json!({"stop": ["one"]}))), "");
    let failing = generation(&json!({"model": "qwen3:32b", "options": {"num_predict": 3},
        "messages": [{"role": "user", "content": "/error mid"}]}));
    assert_eq!(failing.ending, Ending::Done("length"));
    let thinking = generation(
        &json!({"model": "qwen3:32b", "options": {"stop": ["simulat"]},
        "messages": [{"role": "user", "content": "hello"}]}),
    );
    assert!(thought(&thinking).contains("simulat"));
}

#[test]
fn a_conversation_without_a_user_is_answered_too() {
    let body = json!({"model": "demo", "messages": [{"role": "system", "content": "be brief"}]});
    assert!(said(&generation(&body)).contains("be brief"));
    assert_ne!(format(&json!(1)).map(|_| ()), Ok(()));
}

#[test]
fn a_limit_cuts_a_call_too() {
    let asked = |limit: u64| {
        generation(&json!({"model": "demo", "options": {"num_predict": limit},
            "tools": [{"function": {"name": "get_weather"}}, {"function": {"name": "send_mail"}}],
            "messages": [{"role": "user", "content": "the weather by mail"}]}))
    };
    let whole = asked(1000);
    assert_eq!(
        (called(&whole).len(), whole.ending),
        (2, Ending::Done("stop"))
    );
    let tokens = u64::try_from(whole.tokens()).expect("a small number");
    let cut = asked(tokens - 1);
    assert_eq!(
        (called(&cut).len(), cut.ending),
        (1, Ending::Done("length"))
    );
    assert!(matches!(cut.chunks.last(), Some(Chunk::Broken { name, .. }) if name == "send_mail"));
    let early = asked(1);
    assert!(called(&early).is_empty());
    assert!(matches!(early.chunks[..], [Chunk::Broken { .. }]));
}

#[test]
fn a_call_that_breaks_off_has_no_end() {
    let broken = generation(
        &json!({"model": "demo", "tools": [{"function": {"name": "get_weather",
        "parameters": {"properties": {"city": {"type": "string"}}}}}],
        "messages": [{"role": "user", "content": "/error call"}]}),
    );
    let [Chunk::Broken { name, arguments }] = &broken.chunks[..] else {
        panic!("not a broken call: {broken:?}");
    };
    assert_eq!(name, "get_weather");
    assert!(serde_json::from_str::<Value>(arguments).is_err());
    assert!(said(&ask("demo", "/error call")).contains("Offer a tool"));
}
