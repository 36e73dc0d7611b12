use serde_json::json;

use super::*;

fn parse(value: &Value) -> Result<Request, Error> {
    Request::parse(value.to_string().as_bytes())
}

fn refusal(value: &Value) -> String {
    parse(value).expect_err("a refusal").to_string()
}

#[test]
fn absent_and_null_fields_have_go_zero_values_but_stream_is_on() {
    let empty = Request {
        stream: true,
        ..Request::default()
    };
    assert_eq!(parse(&json!({})), Ok(empty));
    let nulls = parse(
        &json!({"model": null, "messages": null, "stream": null, "format": null, "keep_alive": null,
        "tools": null, "options": null, "think": null, "logprobs": null, "top_logprobs": null, "x": 1}),
    );
    assert_eq!(nulls, parse(&json!({})));
    assert_eq!(Request::parse(b"null"), parse(&json!({})));
}

#[test]
fn a_full_request_is_read() {
    let request = parse(&json!({
        "model": "demo", "stream": false, "format": "json", "keep_alive": "1m", "think": "high",
        "logprobs": true, "top_logprobs": 2, "options": {"seed": 1},
        "messages": [
            {"role": "User", "content": "hi", "images": ["aGk="]},
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
            {"role": "tool", "content": "1", "tool_name": "f"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}, {}],
    }))
    .expect("a legal request");
    assert_eq!(request.messages[0].role, "user");
    assert_eq!(request.messages[0].images, 1);
    assert_eq!(request.messages[2].tool_name, "f");
    assert_eq!(request.tools[0].parameters, json!({"type": "object"}));
    assert_eq!(request.tools[1], Tool::default());
    assert_eq!(request.logprobs, Some(2));
    assert_eq!(request.think, Some(true));
    assert!(!request.stream);
    assert_eq!(
        parse(&json!({"think": false})).map(|r| r.think),
        Ok(Some(false))
    );
}

#[test]
fn a_body_that_is_not_json_gets_the_error_of_go() {
    assert_eq!(Request::parse(b""), Err(Error::Empty));
    assert_eq!(Request::parse(b"{\"model\":"), Err(Error::UnexpectedEnd));
    assert_eq!(Request::parse(b"hello"), Err(Error::Syntax { found: 'h' }));
    assert!(matches!(
        Request::parse(b"{\"a\":\"\xff\"}"),
        Err(Error::Syntax { .. })
    ));
    assert_eq!(
        Request::parse(b"[]").map_err(|e| e.to_string()),
        Err("json: cannot unmarshal array into Go value of type api.ChatRequest".into())
    );
}

#[test]
fn wrong_types_name_the_field() {
    for (body, field, expected) in [
        (json!({"model": 1}), "model", "string"),
        (json!({"messages": "x"}), "messages", "[]api.Message"),
        (json!({"messages": [1]}), "messages", "api.Message"),
        (json!({"messages": [{"content": []}]}), "content", "string"),
        (
            json!({"messages": [{"images": [1]}]}),
            "messages.images",
            "api.ImageData",
        ),
        (
            json!({"messages": [{"tool_calls": [{"function": {"arguments": "{}"}}]}]}),
            "messages.tool_calls.function.arguments",
            "map[string]interface {}",
        ),
        (json!({"stream": "yes"}), "stream", "bool"),
        (json!({"logprobs": 1}), "logprobs", "bool"),
        (json!({"top_logprobs": true}), "top_logprobs", "int"),
        (json!({"options": []}), "options", "map[string]interface {}"),
        (json!({"tools": {}}), "tools", "api.Tools"),
        (json!({"tools": [1]}), "tools", "api.Tool"),
        (
            json!({"tools": [{"function": 1}]}),
            "tools.function",
            "api.ToolFunction",
        ),
    ] {
        let Err(Error::Type {
            place,
            expected: found,
            ..
        }) = parse(&body)
        else {
            panic!("{body} must be refused for its type");
        };
        assert_eq!(
            (place.as_str(), found),
            (
                format!("struct field ChatRequest.{field}").as_str(),
                expected
            )
        );
    }
    assert_eq!(kind(&Value::Null), "null");
}

#[test]
fn values_out_of_range_are_refused() {
    assert_eq!(parse(&json!({"top_logprobs": 21})), Err(Error::TopLogprobs));
    assert_eq!(parse(&json!({"top_logprobs": -1})), Err(Error::TopLogprobs));
    assert_eq!(
        refusal(&json!({"keep_alive": "soon"})),
        "time: invalid duration \"soon\""
    );
    for think in [json!("deep"), json!(3)] {
        assert!(matches!(
            parse(&json!({"think": think})),
            Err(Error::Think { .. })
        ));
    }
}

#[test]
fn images_must_be_plain_base64() {
    let image = |text: &str| parse(&json!({"messages": [{"images": [text]}]}));
    assert_eq!(
        image("data:image/png;base64,aGk="),
        Err(Error::Image { at: 4 })
    );
    assert_eq!(image("aGk"), Err(Error::Image { at: 3 }));
    assert_eq!(image("a==="), Err(Error::Image { at: 4 }));
    assert!(image("").is_ok());
}
