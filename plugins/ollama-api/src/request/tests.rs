use serde_json::{Value, json};

use super::*;
use crate::settings::Config;

type Translate = fn(&str, &Settings) -> Result<Asked, Fault>;

fn settings() -> Settings {
    Config::default().into()
}

fn canonical(translate: Translate, request: &Value) -> (String, Value) {
    match translate(&request.to_string(), &settings()) {
        Ok(Asked::Canonical(canonical)) => {
            let body = canonical.body.unwrap_or_else(|| "null".to_owned());
            let body = serde_json::from_str(&body).expect("JSON");
            (canonical.path, body)
        }
        other => panic!("{request}: {other:?}"),
    }
}

fn known(translate: Translate, request: &Value) -> Known {
    match translate(&request.to_string(), &settings()) {
        Ok(Asked::Known(known)) => known,
        other => panic!("{request}: {other:?}"),
    }
}

/// A request with one message and these members.
fn asking(members: &Value) -> Value {
    let mut request =
        json!({"model": "m", "stream": false, "messages": [{"role": "user", "content": "Hi?"}]});
    for (name, value) in members.as_object().expect("an object") {
        request[name] = value.clone();
    }
    request
}

#[test]
fn a_model_is_kept_as_the_client_says_only_if_the_operator_lets_it() {
    let prompt = json!({"model": "m", "prompt": "Hi?"});
    let raw = json!({"model": "m", "prompt": "Hi?", "raw": true});
    for (translate, request) in [
        (chat as Translate, asking(&json!({}))),
        (generate, prompt),
        (generate, raw),
    ] {
        for keep_alive in [json!(0), json!(-1), json!("5m")] {
            let mut request = request.clone();
            request["keep_alive"] = keep_alive.clone();
            for (config, sent) in [
                (json!({}), None),
                (json!({"keep-alive": "ignore"}), None),
                (json!({"keep-alive": "pass"}), Some(&keep_alive)),
            ] {
                let config: Config = serde_json::from_value(config).expect("a configuration");
                let asked = translate(&request.to_string(), &config.into());
                let Ok(Asked::Canonical(canonical)) = asked else {
                    panic!("{request}: {asked:?}");
                };
                let body = canonical.body.expect("a body");
                let body: Value = serde_json::from_str(&body).expect("JSON");
                assert_eq!(body.get("keep_alive"), sent, "{request}");
            }
        }
    }
}

#[test]
fn a_chat_becomes_a_chat() {
    let request = json!({
        "model": "qwen3:32b",
        "messages": [{"role": "user", "content": "Hi?"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "options": {"temperature": 0, "num_predict": 5, "num_gpu": 1},
        "keep_alive": "5m", "truncate": true, "shift": true, "_debug_render_only": false, "x": 1,
    });
    let (path, body) = canonical(chat, &request);
    assert_eq!(path, "/v1/chat/completions");
    assert_eq!(
        body,
        json!({
            "model": "qwen3:32b",
            "messages": [{"role": "user", "content": "Hi?"}],
            "tools": request["tools"],
            "stream": true, "stream_options": {"include_usage": true},
            "temperature": 0, "max_tokens": 5,
        })
    );
}

#[test]
fn parameters_of_a_chat_get_their_canonical_form() {
    let schema = json!({"type": "object", "properties": {"b": {}, "a": {}}});
    for (members, expected) in [
        (json!({}), json!({})),
        (
            json!({"stream": null}),
            json!({"stream": true, "stream_options": {"include_usage": true}}),
        ),
        (
            json!({"tools": [], "format": "", "think": null, "options": null}),
            json!({}),
        ),
        (
            json!({"format": null, "keep_alive": null, "logprobs": false}),
            json!({}),
        ),
        (
            json!({"think": true}),
            json!({"reasoning": {"enabled": true}}),
        ),
        (json!({"think": false}), json!({"reasoning_effort": "none"})),
        (
            json!({"think": "high"}),
            json!({"reasoning_effort": "high"}),
        ),
        (json!({"think": "max"}), json!({"reasoning_effort": "max"})),
        (
            json!({"format": "json"}),
            json!({"response_format": {"type": "json_object"}}),
        ),
        (
            json!({"format": schema}),
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "format", "schema": schema}}}),
        ),
        (json!({"logprobs": true}), json!({"logprobs": true})),
        (
            json!({"logprobs": true, "top_logprobs": 3}),
            json!({"logprobs": true, "top_logprobs": 3}),
        ),
        (json!({"top_logprobs": 3}), json!({})),
        (json!({"keep_alive": -1}), json!({})),
    ] {
        let mut wanted = asking(&json!({}));
        for (name, value) in expected.as_object().expect("an object") {
            wanted[name] = value.clone();
        }
        let (_, body) = canonical(chat, &asking(&members));
        assert_eq!(body, wanted, "{members}");
    }
}

#[test]
fn wrong_parameters_are_refused_by_name() {
    for (translate, request, param) in [
        (chat as Translate, json!({"messages": []}), "model"),
        (chat, json!({"model": ""}), "model"),
        (chat, json!({"model": 3}), "model"),
        (chat, asking(&json!({"messages": "Hi?"})), "messages"),
        (chat, asking(&json!({"stream": "yes"})), "stream"),
        (chat, asking(&json!({"think": "none"})), "think"),
        (chat, asking(&json!({"think": 1})), "think"),
        (chat, asking(&json!({"format": "yaml"})), "format"),
        (chat, asking(&json!({"format": []})), "format"),
        (chat, asking(&json!({"tools": {}})), "tools"),
        (chat, asking(&json!({"top_logprobs": 21})), "top_logprobs"),
        (chat, asking(&json!({"top_logprobs": -1})), "top_logprobs"),
        (chat, asking(&json!({"logprobs": 1})), "logprobs"),
        (chat, asking(&json!({"keep_alive": {}})), "keep_alive"),
        (chat, asking(&json!({"options": []})), "options"),
        (generate, json!({"prompt": "x"}), "model"),
        (generate, json!({"model": "m", "prompt": ["x"]}), "prompt"),
        (
            generate,
            json!({"model": "m", "prompt": "x", "template": "{{ .Prompt }}"}),
            "template",
        ),
        (
            generate,
            json!({"model": "m", "prompt": "x", "context": [1, 2]}),
            "context",
        ),
        (
            generate,
            json!({"model": "m", "prompt": "x", "raw": true, "system": "s"}),
            "system",
        ),
        (
            generate,
            json!({"model": "m", "prompt": "x", "suffix": "y", "images": ["/9j/"]}),
            "images",
        ),
        (
            generate,
            json!({"model": "m", "prompt": "x", "images": ["%"]}),
            "images[0]",
        ),
        (embed, json!({"input": "x"}), "model"),
        (embed, json!({"model": "m", "input": 3}), "input"),
        (embed, json!({"model": "m", "input": ["x", 3]}), "input[1]"),
        (embed, json!({"model": "m", "input": [[1, 2]]}), "input[0]"),
        (
            embed,
            json!({"model": "m", "input": "x", "dimensions": "x"}),
            "dimensions",
        ),
        (embedding, json!({"model": "m", "prompt": ["x"]}), "prompt"),
        (show, json!({}), "model"),
    ] {
        let fault = translate(&request.to_string(), &settings()).expect_err(param);
        assert_eq!(
            (fault.status, fault.param.as_deref()),
            (400, Some(param)),
            "{request}"
        );
    }
}

#[test]
fn nothing_to_say_asks_nobody() {
    for (translate, request, is_unload) in [
        (chat as Translate, json!({"model": "m"}), false),
        (
            chat,
            json!({"model": "m", "messages": [], "keep_alive": "24h"}),
            false,
        ),
        (
            chat,
            json!({"model": "m", "messages": null, "keep_alive": 0}),
            true,
        ),
        (generate, json!({"model": "m"}), false),
        (
            generate,
            json!({"model": "m", "prompt": "", "keep_alive": "0s"}),
            true,
        ),
        (
            generate,
            json!({"model": "m", "prompt": "", "keep_alive": -1}),
            false,
        ),
        (
            generate,
            json!({"model": "m", "prompt": "", "keep_alive": 0.5}),
            false,
        ),
        (embed, json!({"model": "m"}), false),
        (embed, json!({"model": "m", "input": ""}), false),
        (embed, json!({"model": "m", "input": []}), false),
        (embedding, json!({"model": "m", "prompt": ""}), false),
    ] {
        assert_eq!(known(translate, &request).is_unload, is_unload, "{request}");
    }
}

#[test]
fn a_prompt_becomes_a_chat_of_one_message() {
    let image =
        json!({"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/4AAQ"}});
    for (members, messages) in [
        (json!({}), json!([{"role": "user", "content": "Hi?"}])),
        (
            json!({"system": "s", "template": "", "context": [], "suffix": "", "raw": false}),
            json!([{"role": "system", "content": "s"}, {"role": "user", "content": "Hi?"}]),
        ),
        (
            json!({"system": "", "images": ["/9j/4AAQ"]}),
            json!([{"role": "user", "content": [image, {"type": "text", "text": "Hi?"}]}]),
        ),
    ] {
        let mut request = json!({"model": "m", "prompt": "Hi?", "stream": false, "think": false});
        for (name, value) in members.as_object().expect("an object") {
            request[name] = value.clone();
        }
        let (path, body) = canonical(generate, &request);
        assert_eq!(path, "/v1/chat/completions");
        assert_eq!(
            body,
            json!({"model": "m", "messages": messages, "stream": false, "reasoning_effort": "none"})
        );
    }
}

#[test]
fn a_raw_prompt_or_one_with_a_suffix_becomes_a_completion() {
    for (members, expected) in [
        (json!({"raw": true}), json!({"max_tokens": 2048})),
        (
            json!({"suffix": "end", "options": {"num_predict": 9}}),
            json!({"suffix": "end", "max_tokens": 9}),
        ),
        (
            json!({"raw": true, "logprobs": true, "top_logprobs": 2, "think": true, "format": "json"}),
            json!({"max_tokens": 2048, "logprobs": 2, "response_format": {"type": "json_object"}}),
        ),
        (
            json!({"raw": true, "logprobs": true}),
            json!({"max_tokens": 2048, "logprobs": 0}),
        ),
    ] {
        let mut request = json!({"model": "m", "prompt": "Hi?", "stream": false});
        let mut wanted = request.clone();
        for (made, members) in [(&mut request, &members), (&mut wanted, &expected)] {
            for (name, value) in members.as_object().expect("an object") {
                made[name] = value.clone();
            }
        }
        let (path, body) = canonical(generate, &request);
        assert_eq!((&*path, body), ("/v1/completions", wanted));
    }
}

#[test]
fn texts_become_embeddings() {
    for (translate, request, expected) in [
        (
            embed as Translate,
            json!({"model": "m", "input": "x", "keep_alive": 1, "options": {"num_ctx": 1}}),
            json!({"input": "x"}),
        ),
        (
            embed,
            json!({"model": "m", "input": ["x", ""], "dimensions": 64, "truncate": true}),
            json!({"input": ["x", ""], "dimensions": 64, "truncate_prompt_tokens": -1}),
        ),
        (
            embed,
            json!({"model": "m", "input": ["x"], "dimensions": 0, "truncate": false}),
            json!({"input": ["x"]}),
        ),
        (
            embedding,
            json!({"model": "m", "prompt": "x"}),
            json!({"input": "x"}),
        ),
    ] {
        let (path, mut body) = canonical(translate, &request);
        assert_eq!(path, "/v1/embeddings");
        let members = body.as_object_mut().expect("an object");
        assert_eq!(members.remove("model"), Some(json!("m")));
        assert_eq!(members.remove("encoding_format"), Some(json!("float")));
        assert_eq!(body, expected, "{request}");
    }
}

#[test]
fn a_name_is_taken_without_the_tag_that_clients_add() {
    for (name, stripped) in [
        ("m", "m"),
        ("m:latest", "m"),
        ("m:32b", "m:32b"),
        ("a/m:latest", "a/m"),
        (":latest", ":latest"),
    ] {
        let text = asking(&json!({"model": name})).to_string();
        for (strip_latest, expected) in [(true, stripped), (false, name)] {
            let settings = Settings {
                strip_latest,
                ..settings()
            };
            let asked = chat(&text, &settings).expect("a chat");
            let Asked::Canonical(canonical) = asked else {
                panic!("{name}");
            };
            let body: Value = serde_json::from_str(&canonical.body.expect("a body")).expect("JSON");
            assert_eq!(
                (&*canonical.model, &body["model"]),
                (name, &json!(expected))
            );
        }
    }
}

#[test]
fn a_model_is_shown_by_its_path_and_no_other_path_can_be_asked() {
    for (name, path) in [
        ("m", "/v1/models/m"),
        ("qwen3:32b", "/v1/models/qwen3:32b"),
        ("m:latest", "/v1/models/m"),
        ("Qwen/Qwen3-32B", "/v1/models/Qwen%2FQwen3-32B"),
        ("../x?y#z é", "/v1/models/..%2Fx%3Fy%23z%20%C3%A9"),
    ] {
        for member in ["model", "name"] {
            assert_eq!(
                canonical(show, &json!({member: name})),
                (path.to_owned(), Value::Null)
            );
        }
    }
    for name in [".", ".."] {
        let fault = show(&json!({"model": name}).to_string(), &settings()).expect_err(name);
        assert_eq!(fault.status, 404);
    }
}

#[test]
fn a_body_that_breaks_off_is_refused_wherever_that_is() {
    let text = json!({
        "model": "m", "stream": true, "format": {"type": "object"}, "options": {"stop": ["é"]}, "think": "low",
        "messages": [{"role": "user", "content": "Hi \"\u{2028}", "images": ["/9j/"]},
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, null]}}}]}],
    })
    .to_string();
    assert!(chat(&text, &settings()).is_ok());
    for at in (0..text.len()).filter(|&at| text.is_char_boundary(at)) {
        for translate in [chat as Translate, generate, embed, embedding, show] {
            let fault = translate(&text[..at], &settings()).expect_err(&text[..at]);
            assert_eq!(fault.status, 400);
        }
    }
}
