//! Embeddings: what is asked, what is refused, and a response that is not looked at.

use serde_json::{Value, json};
use sluicegate_ollama::Ollama;
use sluicegate_plugin::testing::{Bench, Request, Response};

fn bench() -> Bench<Ollama> {
    Bench::load(json!({})).expect("loads")
}

fn ask(body: &Value) -> Request {
    Request::post("/v1/embeddings").json(body)
}

#[test]
fn a_request_goes_on_as_it_is() {
    for input in [json!("x"), json!(["x"]), json!(["x", " ", "你"])] {
        let asked = json!({"model": "m", "input": input, "dimensions": 4, "encoding_format": "base64", "user": "u"});
        let sent = bench().send(ask(&asked)).expect("sent");
        assert_eq!((sent.path.as_str(), sent.json()), ("/v1/embeddings", asked));
    }
    let marked = Request::post("/v1/embeddings").body("\u{feff}{\"model\":\"m\",\"input\":\"x\"}");
    let sent = bench().send(marked).expect("sent").json();
    assert_eq!(sent, json!({"model": "m", "input": "x"}));
}

#[test]
fn what_ollama_would_misread_is_refused() {
    for (body, code, param) in [
        (json!({"input": ""}), "invalid_value", "input"),
        (json!({"input": []}), "invalid_value", "input"),
        (json!({"input": [""]}), "invalid_value", "input[0]"),
        (json!({"input": ["x", ""]}), "invalid_value", "input[1]"),
        (
            json!({"input": null}),
            "missing_required_parameter",
            "input",
        ),
        (json!({}), "missing_required_parameter", "input"),
        (json!({"input": {}}), "invalid_type", "input"),
        (json!({"input": [true]}), "invalid_type", "input[0]"),
        (json!({"input": [1, 2]}), "unsupported_value", "input[0]"),
        (json!({"input": [[1, 2]]}), "unsupported_value", "input[0]"),
        (
            json!({"input": "x", "model": null}),
            "missing_required_parameter",
            "model",
        ),
        (json!({"input": "x", "model": 1}), "invalid_type", "model"),
    ] {
        let mut asked = json!({"model": "m"});
        for (name, value) in body.as_object().expect("an object") {
            asked[name] = value.clone();
        }
        let refused = bench().send(ask(&asked)).expect_err("refused");
        let fault = refused.fault.expect("a fault");
        let found = (fault.status, &*fault.code, fault.param.as_deref());
        assert_eq!(found, (400, code, Some(param)), "{asked}: {fault}");
        if code == "unsupported_value" {
            let mend = "check_embedding_ctx_length=False";
            assert!(fault.message.contains(mend), "{fault}");
        }
    }
    let refused = bench()
        .send(Request::post("/v1/embeddings").body("["))
        .expect_err("refused");
    assert_eq!(refused.fault.expect("a fault").code, "invalid_json");
}

#[test]
fn the_response_is_looked_at_only_to_name_the_model() {
    let answer = json!({"object": "list", "data": [{"embedding": "AAAA", "index": 0}], "model": "own", "usage": {"prompt_tokens": 2, "total_tokens": 2}});
    let outcome = bench().run(
        ask(&json!({"model": "own", "input": "x"})),
        &Response::json(&answer),
    );
    assert_eq!(
        (outcome.fault.clone(), outcome.json()),
        (None, answer.clone())
    );
    // It would be noted if the response had been read.
    assert_eq!(outcome.note("usage"), None);

    let aliased = ask(&json!({"model": "own", "input": "x"})).note("model", "\"asked\"");
    let outcome = bench().run(aliased, &Response::json(&answer));
    assert_eq!(outcome.json()["model"], "asked");
    assert_eq!(outcome.json()["data"], answer["data"]);
    assert_eq!(outcome.note("usage"), Some(answer["usage"].clone()));
}

#[test]
fn errors_say_what_to_mend() {
    let of_v1 = |message: &str| json!({"error": {"message": message, "type": "api_error", "param": null, "code": null}});
    let runner = "{\"error\":{\"code\":501,\"message\":\"This server does not support embeddings. Start it with `--embeddings`\",\"type\":\"not_supported_error\"}}";
    for (status, body, expected, code, param) in [
        (501, of_v1(runner), 400, "unsupported_value", "model"),
        (
            501,
            of_v1("This server does not support embeddings. Start it with `--embeddings`"),
            400,
            "unsupported_value",
            "model",
        ),
        (
            400,
            of_v1("invalid input type"),
            400,
            "invalid_value",
            "input",
        ),
        (
            400,
            of_v1("the input length exceeds the context length"),
            400,
            "context_length_exceeded",
            "input",
        ),
        (
            404,
            of_v1("model \"x\" not found, try pulling it first"),
            404,
            "model_not_found",
            "model",
        ),
    ] {
        let asked = ask(&json!({"model": "m", "input": "x"}));
        let outcome = bench().run(asked, &Response::new(status).body(body.to_string()));
        let fault = outcome.fault.expect("a fault");
        let found = (fault.status, &*fault.code, fault.param.as_deref());
        assert_eq!(found, (expected, code, Some(param)), "{body}");
        assert!(!fault.message.contains("--embeddings"), "{fault}");
    }
    let page = Response::new(200)
        .header("content-type", "text/html")
        .body("<html>");
    let outcome = bench().run(ask(&json!({"model": "m", "input": "x"})), &page);
    assert_eq!(outcome.fault.expect("a fault").code, "upstream_invalid");
}
