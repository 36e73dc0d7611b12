//! Errors at every moment.

use serde_json::{Value, json};
use sluicegate_plugin::testing::{BATCHINGS, Request, Response};

use super::running::{
    bench, chunk, completion, consistent, data, request, steps, stream, streamed,
};

#[test]
fn an_error_in_mid_stream_ends_the_response_as_failed() {
    let error = json!({"error": {"message": "The model server broke off.", "type": "server_error", "param": null, "code": "upstream_broken"}});
    let failed = json!({"code": "upstream_broken", "message": "The model server broke off."});
    let deltas = [
        json!({"reasoning": "I"}),
        json!({"content": "Ye"}),
        json!({"content": "s"}),
    ];
    let chunks = stream(&deltas, "stop");
    let bench = bench();
    for cut in 1..chunks.len() {
        for sizes in BATCHINGS {
            let response = Response::sse(chunks[..cut].to_vec())
                .batches(sizes)
                .broken();
            let outcome = bench.run(streamed(&json!({})), &response);
            assert!(outcome.rendered && outcome.status == 200, "{outcome:?}");
            let events = data(&outcome.events);
            let last = events.last().expect("an event");
            assert_eq!(last["type"], "response.failed");
            let response = consistent(&events);
            assert_eq!(
                (&response["status"], &response["error"]),
                (&json!("failed"), &failed)
            );
            assert_eq!(response["completed_at"], Value::Null);
            // What was written stays, and says that it is not complete.
            let output = response["output"].as_array().expect("items");
            assert_eq!(output.len(), cut.saturating_sub(1).min(2));
            assert!(output.iter().all(|item| item["status"] != "in_progress"));
            if cut == 3 {
                assert_eq!(
                    (&output[0]["status"], &output[1]["status"]),
                    (&json!("completed"), &json!("incomplete"))
                );
            }
        }
    }
    // Before the first event it has to do as the body of a response too.
    let outcome = bench.run(
        streamed(&json!({})),
        &Response::sse(Vec::<String>::new()).broken(),
    );
    let events = data(&outcome.events);
    assert_eq!(steps(&events), ["error"]);
    assert_eq!(
        (&events[0]["error"], &events[0]["code"]),
        (&error["error"], &json!("upstream_broken"))
    );
}

#[test]
fn what_cannot_be_translated_is_an_error_behind_what_can() {
    let begun = [chunk(&json!({"content": "Hel"}))];
    for (rest, code) in [
        (vec!["nonsense".to_owned()], "upstream_invalid"),
        (
            vec!["{}".to_owned(), "[DONE]".to_owned()],
            "upstream_invalid",
        ),
        (vec![], "upstream_truncated"),
        (
            vec![json!({"error": {"message": "Dead.", "code": "dead"}}).to_string()],
            "dead",
        ),
    ] {
        let chunks: Vec<String> = begun.iter().cloned().chain(rest).collect();
        for sizes in BATCHINGS {
            let outcome = bench().run(
                streamed(&json!({})),
                &Response::sse(chunks.clone()).batches(sizes),
            );
            let events = data(&outcome.events);
            assert_eq!(
                steps(&events)[4..],
                ["output_text.delta 0", "failed"],
                "{code}"
            );
            assert_eq!(consistent(&events)["error"]["code"], code);
            assert_eq!(outcome.fault.map(|fault| fault.code).as_deref(), Some(code));
        }
        // As one object it has a status.
        let outcome = bench().run(request(&json!({})), &Response::sse(chunks));
        assert_eq!(
            (outcome.status, &outcome.json()["error"]["code"]),
            (502, &json!(code))
        );
    }
    for odd in [
        json!({"choices": "none"}),
        json!({"object": "list"}),
        json!([]),
    ] {
        let outcome = bench().run(request(&json!({})), &Response::json(&odd));
        assert_eq!(
            (outcome.status, &outcome.json()["error"]["code"]),
            (502, &json!("upstream_invalid"))
        );
    }
    let cut = completion(&json!({"content": "Hel"}), "stop")
        .to_string()
        .replace("\"stop\"", "null");
    let outcome = bench().run(
        request(&json!({})),
        &Response::json(&serde_json::from_str::<Value>(&cut).expect("JSON")),
    );
    assert_eq!(outcome.json()["error"]["code"], "upstream_truncated");
    let outcome = bench().run(
        request(&json!({})),
        &Response::new(307).header("location", "/x"),
    );
    assert_eq!(
        (outcome.status, &outcome.json()["error"]["code"]),
        (502, &json!("upstream_invalid"))
    );
}

#[test]
fn behind_an_early_head_an_error_is_a_failed_response() {
    let error = json!({"error": {"message": "No such model.", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}});
    let outcome = bench().run(
        streamed(&json!({})),
        &Response::sse([error.to_string()]).status(404),
    );
    let events = data(&outcome.events);
    assert_eq!(steps(&events), ["created", "in_progress", "failed"]);
    assert_eq!(
        consistent(&events)["error"],
        json!({"code": "model_not_found", "message": "No such model."})
    );
}

#[test]
fn errors_before_the_stream_pass_as_they_are() {
    let error = json!({"error": {"message": "No.", "type": "invalid_request_error", "param": "temperature", "code": "invalid_value"}});
    for asked in [streamed(&json!({})), request(&json!({}))] {
        let response = Response::json(&error)
            .status(400)
            .header("retry-after", "3");
        let outcome = bench().run(asked.clone(), &response);
        assert_eq!((outcome.status, outcome.json()), (400, error.clone()));
        assert_eq!(outcome.header("retry-after").as_deref(), Some("3"));
        assert_eq!(
            outcome.header("content-type").as_deref(),
            Some("application/json")
        );
        let page = Response::new(503)
            .header("content-type", "text/html")
            .body("<html>");
        let outcome = bench().run(asked, &page);
        assert_eq!(
            (outcome.status, &outcome.json()["error"]["code"]),
            (503, &json!("upstream_error"))
        );
    }
}

#[test]
fn a_request_that_is_refused_is_an_error_of_openai_s_form() {
    let outcome = bench().run(
        request(&json!({"previous_response_id": "resp_1"})),
        &Response::new(200),
    );
    assert_eq!((outcome.status, &outcome.sent), (400, &None));
    let error = &outcome.json()["error"];
    assert_eq!(
        (&error["type"], &error["code"], &error["param"]),
        (
            &json!("invalid_request_error"),
            &json!("unsupported_parameter"),
            &json!("previous_response_id")
        )
    );
}

#[test]
fn there_is_nothing_but_the_creation_of_responses() {
    for (method, target, status) in [
        ("GET", "/v1/responses/resp_1", 404),
        ("DELETE", "/v1/responses/resp_1", 404),
        ("POST", "/v1/responses/resp_1/cancel", 404),
        ("GET", "/v1/responses/resp_1/input_items?limit=3", 404),
        ("POST", "/v1/responses/compact", 404),
        ("POST", "/v1/files/v1/responses", 404),
        ("POST", "/other/v1/responses", 404),
        ("POST", "/v1/responses/", 404),
        ("GET", "/v1/responses", 405),
        ("DELETE", "/v1/responses/input_tokens", 405),
    ] {
        let outcome = bench().run(Request::new(method, target), &Response::new(200));
        assert_eq!(
            (outcome.status, &outcome.sent),
            (status, &None),
            "{method} {target}"
        );
        let allow = (status == 405).then_some("POST");
        assert_eq!(outcome.header("allow").as_deref(), allow, "{target}");
        let message = outcome.json()["error"]["message"].to_string();
        assert!(message.contains("not stored"), "{message}");
    }
}
