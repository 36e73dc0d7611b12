//! Responses that are no streams, errors, and what is answered without a model server.

use serde_json::{Value, json};
use sluicegate_ollama_api::OllamaApi;
use sluicegate_plugin::testing::{Bench, Outcome, Request, Response, set_clock, take_logs};

/// 2026-08-01T09:26:40.007Z
const NOW_MS: u64 = 1_785_576_400_007;
const JSON: &str = "application/json; charset=utf-8";

fn bench() -> Bench<OllamaApi> {
    set_clock(NOW_MS);
    Bench::load(json!({"version": "1.2.3", "capabilities": ["completion"]})).expect("loads")
}

fn chat(members: &Value) -> Request {
    let mut question =
        json!({"model": "m", "messages": [{"role": "user", "content": "Hi?"}], "stream": false});
    for (name, value) in members.as_object().expect("an object") {
        question[name] = value.clone();
    }
    Request::post("/api/chat").json(&question)
}

fn post(path: &str, body: &Value) -> Request {
    Request::post(path).json(body)
}

fn completion(message: &Value, reason: &str) -> Response {
    Response::json(&json!({
        "id": "c", "object": "chat.completion", "created": 7, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": null}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }))
}

#[track_caller]
fn good(outcome: &Outcome) -> Value {
    assert_eq!((outcome.status, &outcome.fault), (200, &None));
    assert_eq!(outcome.header("content-type").as_deref(), Some(JSON));
    outcome.json()
}

#[test]
fn a_whole_chat_is_one_object() {
    let call = |arguments: &str| json!([{"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}]);
    let outcome = bench().run(
        chat(&json!({})),
        &completion(
            &json!({"role": "assistant", "content": "Hello", "reasoning": "Let me", "tool_calls": call("{\"x\": 1}")}),
            "tool_calls",
        ),
    );
    let calls = json!([{"id": "a", "function": {"index": 0, "name": "f", "arguments": {"x": 1}}}]);
    assert_eq!(
        good(&outcome),
        json!({
            "model": "m", "created_at": "2026-08-01T09:26:40.007Z",
            "message": {"role": "assistant", "content": "Hello", "thinking": "Let me", "tool_calls": calls},
            "done": true, "done_reason": "stop",
            "total_duration": 0, "load_duration": 0, "prompt_eval_count": 11, "prompt_eval_duration": 0,
            "eval_count": 7, "eval_duration": 0,
        })
    );
    let sent = outcome.sent.expect("sent");
    assert_eq!(
        (&*sent.method, &*sent.path, sent.json()["stream"].as_bool()),
        ("POST", "/v1/chat/completions", Some(false))
    );
    assert_eq!(
        outcome.notes.get("model").map(String::as_str),
        Some("\"m\"")
    );
    assert_eq!(
        outcome.notes.get("stream").map(String::as_str),
        Some("false")
    );

    let two =
        json!({"role": "assistant", "content": null, "tool_calls": [call("")[0], call("{}")[0]]});
    let body = good(&bench().run(chat(&json!({})), &completion(&two, "tool_calls")));
    assert_eq!(body["message"]["content"], "");
    assert_eq!(body["message"]["tool_calls"][1]["function"]["index"], 1);

    let cut = json!({"role": "assistant", "content": null, "tool_calls": call("{")});
    let outcome = bench().run(chat(&json!({})), &completion(&cut, "length"));
    let fault = outcome.fault.as_ref().expect("a fault");
    assert_eq!((fault.status, &*fault.code), (502, "upstream_error"));

    let cut = json!({"role": "assistant", "content": "I look.", "tool_calls": call("{")});
    let body = good(&bench().run(chat(&json!({})), &completion(&cut, "length")));
    assert_eq!(
        (&body["message"], &body["done_reason"]),
        (
            &json!({"role": "assistant", "content": "I look."}),
            &json!("length")
        )
    );

    let refused = json!({"role": "assistant", "content": null, "refusal": "I cannot."});
    let body = good(&bench().run(chat(&json!({})), &completion(&refused, "stop")));
    assert_eq!(body["message"]["content"], "I cannot.");
}

#[test]
fn a_whole_response_to_a_prompt_has_its_text() {
    let ask = json!({"model": "m", "prompt": "Hi?", "stream": false});
    let message = json!({"role": "assistant", "content": "Hello", "reasoning_content": "Let me"});
    let body = good(&bench().run(post("/api/generate", &ask), &completion(&message, "length")));
    assert_eq!(
        (&body["response"], &body["thinking"], &body["done_reason"]),
        (&json!("Hello"), &json!("Let me"), &json!("length"))
    );
    assert!(body.get("message").is_none());

    let mut ask = ask;
    ask["raw"] = json!(true);
    let text = Response::json(
        &json!({"choices": [{"text": "Hello", "finish_reason": "stop", "logprobs": null}], "usage": null}),
    );
    let outcome = bench().run(post("/api/generate", &ask), &text);
    assert_eq!(
        outcome.sent.as_ref().map(|sent| &*sent.path),
        Some("/v1/completions")
    );
    let body = good(&outcome);
    assert_eq!(
        (&body["response"], body.get("eval_count")),
        (&json!("Hello"), None)
    );
}

#[test]
fn probabilities_of_a_whole_response_are_ollamas() {
    let token = json!({"token": "Hi", "logprob": -0.25, "bytes": [72, 105], "top_logprobs": []});
    let response = json!({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop", "logprobs": {"content": [token]}}]});
    let body = good(&bench().run(chat(&json!({"logprobs": true})), &Response::json(&response)));
    assert_eq!(
        body["logprobs"],
        json!([{"token": "Hi", "logprob": -0.25, "bytes": [72, 105]}])
    );
}

#[test]
fn embeddings_come_in_their_order() {
    let vectors = json!({
        "object": "list", "model": "m", "usage": {"prompt_tokens": 5, "total_tokens": 5},
        "data": [{"index": 1, "embedding": [0.5, -1]}, {"index": 0, "embedding": [0.25, 1e-7]}],
    });
    let ask = post("/api/embed", &json!({"model": "m", "input": ["a", "b"]}));
    assert_eq!(
        good(&bench().run(ask, &Response::json(&vectors))),
        json!({"model": "m", "embeddings": [[0.25, 1e-7], [0.5, -1]], "total_duration": 0, "load_duration": 0, "prompt_eval_count": 5})
    );
    let ask = post("/api/embeddings", &json!({"model": "m", "prompt": "a"}));
    assert_eq!(
        good(&bench().run(ask, &Response::json(&vectors))),
        json!({"embedding": [0.25, 1e-7]})
    );
}

#[test]
fn models_are_listed_loaded_and_shown() {
    let known = json!({"id": "Qwen/Qwen3-32B", "object": "model", "created": 1_785_578_400, "owned_by": "Qwen",
        "context_length": 32768, "capabilities": ["completion", "thinking"]});
    let bare = json!({"id": "m", "object": "model"});
    let list = Response::json(&json!({"object": "list", "data": [known, bare]}));

    let outcome = bench().run(Request::get("/api/tags?x=1"), &list);
    let sent = outcome.sent.clone().expect("sent");
    assert_eq!(
        (&*sent.method, &*sent.path, &*sent.query, sent.body.len()),
        ("GET", "/v1/models", "", 0)
    );
    let tags = good(&outcome)["models"].clone();
    let first = &tags[0];
    assert_eq!(
        (&first["name"], &first["model"], &first["size"]),
        (
            &json!("Qwen/Qwen3-32B"),
            &json!("Qwen/Qwen3-32B"),
            &json!(0)
        )
    );
    assert_eq!(first["modified_at"], "2026-08-01T10:00:00.000Z");
    assert_eq!(first["digest"].as_str().map(str::len), Some(64));
    assert_ne!(first["digest"], tags[1]["digest"]);
    assert_eq!(
        (&first["details"]["context_length"], &first["capabilities"]),
        (&json!(32768), &json!(["completion", "thinking"]))
    );
    assert_eq!(
        (&tags[1]["capabilities"], &tags[1]["modified_at"]),
        (&json!(["completion"]), &json!("1970-01-01T00:00:00.000Z"))
    );
    assert_eq!(
        tags,
        good(&bench().run(Request::new("HEAD", "/api/tags"), &list))["models"]
    );

    let loaded = good(&bench().run(Request::get("/api/ps"), &list))["models"].clone();
    assert_eq!(
        (&loaded[0]["digest"], &loaded[0]["context_length"]),
        (&first["digest"], &json!(32768))
    );
    assert_eq!(
        (&loaded[1]["name"], &loaded[1]["expires_at"]),
        (&json!("m"), &json!("2318-01-01T00:00:00Z"))
    );

    let outcome = bench().run(
        post("/api/show", &json!({"model": "Qwen/Qwen3-32B:latest"})),
        &Response::json(&known),
    );
    let sent = outcome.sent.clone().expect("sent");
    assert_eq!(
        (&*sent.method, &*sent.path, sent.body.len()),
        ("GET", "/v1/models/Qwen%2FQwen3-32B", 0)
    );
    assert_eq!(sent.header("content-type"), None);
    let shown = good(&outcome);
    let architecture = shown["model_info"]["general.architecture"]
        .as_str()
        .expect("a text");
    assert_eq!(
        shown["model_info"][format!("{architecture}.context_length")],
        32768
    );
    assert_eq!(
        (&shown["capabilities"], &shown["template"]),
        (&json!(["completion", "thinking"]), &json!(""))
    );
}

#[test]
fn what_needs_no_model_server_asks_none() {
    let chat = |members: Value| {
        let mut ask = json!({"model": "m:latest", "messages": []});
        for (name, value) in members.as_object().expect("an object") {
            ask[name] = value.clone();
        }
        post("/api/chat", &ask)
    };
    let at = "2026-08-01T09:26:40.007Z";
    let message = json!({"role": "assistant", "content": ""});
    for (request, expected) in [
        (Request::get("/api/version"), json!({"version": "1.2.3"})),
        (
            chat(json!({})),
            json!({"model": "m:latest", "created_at": at, "message": message, "done": true, "done_reason": "load"}),
        ),
        (
            chat(json!({"keep_alive": 0, "stream": true})),
            json!({"model": "m:latest", "created_at": at, "message": message, "done": true, "done_reason": "unload"}),
        ),
        (
            post("/api/generate", &json!({"model": "m", "prompt": ""})),
            json!({"model": "m", "created_at": at, "response": "", "done": true, "done_reason": "load"}),
        ),
        (
            post("/api/embed", &json!({"model": "m", "input": []})),
            json!({"model": "m", "embeddings": []}),
        ),
        (
            post("/api/embeddings", &json!({"model": "m", "prompt": ""})),
            json!({"embedding": []}),
        ),
    ] {
        let outcome = bench().run(request, &Response::new(500));
        assert_eq!(good(&outcome), expected);
        assert!(outcome.sent.is_none() && outcome.reason.is_some());
    }
    for request in [Request::get("/"), Request::new("HEAD", "/")] {
        let outcome = bench().run(request, &Response::new(500));
        assert_eq!(
            (outcome.status, &*outcome.body),
            (200, &b"Ollama is running"[..])
        );
        assert_eq!(
            outcome.header("content-type").as_deref(),
            Some("text/plain; charset=utf-8")
        );
    }
}

#[track_caller]
fn error(outcome: &Outcome, status: u16) -> String {
    assert_eq!(outcome.status, status);
    assert_eq!(outcome.header("content-type").as_deref(), Some(JSON));
    let body = outcome.json();
    assert_eq!(
        body.as_object().map(serde_json::Map::len),
        Some(1),
        "{body}"
    );
    body["error"].as_str().expect("a text").to_owned()
}

#[test]
fn its_own_refusals_are_in_ollamas_form() {
    for (request, status, part) in [
        (Request::post("/api/pull").body("{}"), 403, "manage"),
        (Request::new("DELETE", "/api/delete"), 403, "manage"),
        (Request::get("/api/chat"), 405, "POST"),
        (Request::get("/api/nothing"), 404, "/api/nothing"),
        (Request::post("/api/chat"), 400, "missing request body"),
        (
            Request::post("/api/chat").body("{\"model\":"),
            400,
            "not JSON",
        ),
        (Request::post("/api/chat").body("[]"), 400, "object"),
        (
            post("/api/chat", &json!({"messages": []})),
            400,
            "model is required",
        ),
        (
            chat(&json!({"options": {"stop": 3}})),
            400,
            "option \"stop\" must be of type array",
        ),
    ] {
        let outcome = bench().run(request, &Response::new(200));
        let text = error(&outcome, status);
        assert!(text.contains(part), "{text}");
        assert!(outcome.sent.is_none() && outcome.rendered);
    }
    assert_eq!(
        bench()
            .run(Request::get("/api/chat"), &Response::new(200))
            .header("allow")
            .as_deref(),
        Some("POST")
    );
}

#[test]
fn errors_from_behind_are_in_ollamas_form() {
    let canonical = |status: u16, code: &str| {
        let error = json!({"error": {"message": "No.", "type": "t", "param": null, "code": code}});
        Response::json(&error)
            .status(status)
            .header("retry-after", "3")
    };
    for (response, status, text) in [
        (canonical(401, "invalid_api_key"), 401, "No."),
        (
            canonical(404, "model_not_found"),
            404,
            "model 'm' not found",
        ),
        (canonical(429, "rate_limited"), 429, "No."),
        (canonical(503, "upstream_busy"), 503, "No."),
        (
            Response::new(502)
                .body("<html>")
                .header("content-type", "text/html"),
            502,
            "The request failed with status 502.",
        ),
    ] {
        for members in [json!({}), json!({"stream": true})] {
            let outcome = bench().run(chat(&members), &response);
            assert_eq!(error(&outcome, status), text);
        }
    }
    let outcome = bench().run(chat(&json!({})), &canonical(429, "x"));
    assert_eq!(outcome.header("retry-after").as_deref(), Some("3"));
}

#[test]
fn what_is_no_response_is_an_error() {
    let broken = json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]});
    for (request, response) in [
        (chat(&json!({})), completion(&broken, "tool_calls")),
        (
            chat(&json!({})),
            Response::json(&json!({"error": {"message": "No."}})),
        ),
        (chat(&json!({})), Response::json(&json!({}))),
        (chat(&json!({})), Response::new(200).body(b"\xff".to_vec())),
        (chat(&json!({})), Response::new(302).header("location", "/")),
        (
            post(
                "/api/generate",
                &json!({"model": "m", "prompt": "x", "raw": true}),
            ),
            Response::json(&json!({"object": "x"})),
        ),
        (
            post("/api/embed", &json!({"model": "m", "input": "x"})),
            Response::json(&json!({"data": [{"embedding": "AAAA"}]})),
        ),
        (
            post("/api/embeddings", &json!({"model": "m", "prompt": "x"})),
            Response::json(&json!({"data": []})),
        ),
        (
            post("/api/show", &json!({"model": "m"})),
            Response::json(&json!({"object": "model"})),
        ),
        (
            Request::get("/api/tags"),
            Response::json(&json!({"models": []})),
        ),
        (Request::get("/api/ps"), Response::new(200).body("Hello")),
    ] {
        let outcome = bench().run(request, &response);
        error(&outcome, 502);
        assert!(outcome.sent.is_some() && outcome.rendered);
    }
}

#[test]
fn a_whole_response_to_a_wanted_stream_is_its_only_line() {
    let message = json!({"role": "assistant", "content": "Hello"});
    let body = good(&bench().run(
        chat(&json!({"stream": true})),
        &completion(&message, "stop"),
    ));
    assert_eq!(
        (&body["message"]["content"], &body["done"]),
        (&json!("Hello"), &json!(true))
    );
}

#[test]
fn a_stream_that_nobody_made_one_response_of_is_an_error_and_says_what_is_missing() {
    take_logs();
    let outcome = bench().run(chat(&json!({})), &Response::sse(["{}", "[DONE]"]));
    error(&outcome, 502);
    let lines = take_logs();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].message.contains("`aggregate`"));
}
