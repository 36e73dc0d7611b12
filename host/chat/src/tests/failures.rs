//! Runs that fail: which layer is named, and what is kept.

use std::time::Duration;

use serde_json::json;

use super::fake::Fake;
use super::{World, answered, eventually, running};

#[tokio::test]
async fn failures_name_their_layer_and_keep_what_came() {
    let world = World::new().await;
    let cases = [
        (404, "model_not_found", "MODEL_NOT_FOUND", "model"),
        (400, "context_length_exceeded", "CONTEXT_OVERFLOW", "model"),
        (503, "circuit_open", "CIRCUIT_OPEN", "proxy"),
        (502, "upstream_unreachable", "UPSTREAM_UNREACHABLE", "model"),
        (
            504,
            "upstream_first_byte_timeout",
            "UPSTREAM_TIMEOUT",
            "model",
        ),
        (302, "", "UPSTREAM_CONFIGURATION", "proxy"),
        (502, "upstream_error", "UPSTREAM_ERROR", "model"),
        (
            502,
            "upstream_unauthorized",
            "UPSTREAM_UNAUTHORIZED",
            "model",
        ),
    ];
    for (status, code, expected, layer) in cases {
        let (mut ann, session, sent, call) = running(&world).await;
        call.refuse(status, code).await;
        let end = ann
            .ended(&session, sent["run"].as_str().expect("a run"))
            .await;
        assert_eq!(end["finish"], "error");
        assert_eq!(
            (
                end["error"]["code"].as_str(),
                end["error"]["layer"].as_str()
            ),
            (Some(expected), Some(layer)),
            "{end}"
        );
        assert_eq!(end["error"]["request_id"], sent["request_id"]);
    }
    let (mut ann, session, sent, mut call) = running(&world).await;
    call.begin().await;
    call.text("half").await;
    drop(call);
    let end = ann
        .ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    assert_eq!(
        (end["error"]["code"].as_str(), end["to"]["text"].as_u64()),
        (Some("STREAM_TRUNCATED"), Some(4))
    );
    let (mut ann, session, sent, mut call) = running(&world).await;
    call.begin().await;
    call.text("half").await;
    call.event(&json!({ "error": { "message": "x", "code": "upstream_idle_timeout" } }))
        .await;
    let end = ann
        .ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    assert_eq!(end["error"]["code"], "UPSTREAM_TIMEOUT");
    assert_eq!(
        ann.view(&session).texts[sent["reply"].as_str().expect("a message")],
        "half"
    );
}

#[tokio::test]
async fn an_endpoint_may_be_given_as_to_openai_s_clients() {
    let world = World::with(|settings| settings.endpoint.push_str("/v1")).await;
    let (_, session) = answered(&world, "question", "answer").await;
    assert!(session.starts_with("ses_"));
}

#[tokio::test]
async fn a_redirect_is_an_error_and_never_followed() {
    let world = World::new().await;
    let elsewhere = Fake::start().await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    let target = elsewhere.url();
    call.raw(&format!("HTTP/1.1 307 X\r\nlocation: {target}/v1/chat/completions\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))
        .await;
    let end = ann
        .ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    assert_eq!(end["error"]["code"], "UPSTREAM_CONFIGURATION");
    assert!(elsewhere.idle().await);
}

#[tokio::test]
async fn a_stall_is_a_timeout() {
    let world = World::with(|settings| settings.timeouts.idle = Duration::from_millis(50)).await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    call.begin().await;
    call.text("half").await;
    let end = ann
        .ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    assert_eq!(
        (
            end["error"]["code"].as_str(),
            end["error"]["layer"].as_str()
        ),
        (Some("UPSTREAM_TIMEOUT"), Some("model"))
    );
    assert!(call.hung_up().await < Duration::from_secs(1));
}

#[tokio::test]
async fn an_answer_beyond_the_limit_ends_with_length() {
    let world = World::with(|settings| settings.limits.answer = 10).await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    call.begin().await;
    call.text("12345678").await;
    call.text("90123").await;
    let end = ann
        .ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    assert_eq!(
        (end["finish"].as_str(), end["to"]["text"].as_u64()),
        (Some("length"), Some(8))
    );
    call.hung_up().await;
}

#[tokio::test]
async fn with_the_proxy_down_everything_else_works_and_the_page_learns_when_it_is_back() {
    let nobody = Fake::start().await;
    let address = nobody.address;
    drop(nobody);
    let world = World::with(|settings| settings.endpoint = format!("http://{address}")).await;
    let mut ann = world.ann().await;
    let sent = ann.send(None, "question").await;
    let session = sent["session"].as_str().expect("a session").to_owned();
    ann.sub(&session).await;
    eventually("the run has ended", async || {
        ann.sub(&session).await["messages"][1]["status"] == "error"
    })
    .await;
    let failed = &ann.view(&session).snapshot["messages"][1];
    assert_eq!(failed["run"]["error"]["code"], "UPSTREAM_UNREACHABLE");
    assert_eq!(failed["run"]["error"]["layer"], "proxy");
    assert_eq!(
        ann.ok("models.list", &json!({})).await["health"]["proxy"],
        "down"
    );
    let fake = Fake::at(address).await;
    ann.notice(|notice| notice["type"] == "system" && notice["health"]["proxy"] == "up")
        .await;
    let again = json!({ "session": session, "message": failed_id(&ann, &session), "cid": "again" });
    let sent = ann.ok("chat.regenerate", &again).await;
    fake.call().await.answer("here").await;
    ann.ended(&session, sent["run"].as_str().expect("a run"))
        .await;
}

#[tokio::test]
async fn a_run_that_fails_below_makes_the_gateway_look_again_at_once() {
    let world = World::new().await;
    let (mut ann, _, _, call) = running(&world).await;
    eventually("all is well", async || {
        ann.ok("models.list", &json!({})).await["health"]["model"] == "up"
    })
    .await;
    world.fake.page("/v1/models", 502, &json!({}));
    drop(call);
    // Long before it would look by itself.
    ann.notice(|notice| notice["type"] == "system" && notice["health"]["model"] == "down")
        .await;
}

fn failed_id(client: &super::Client, session: &str) -> String {
    client.view(session).snapshot["messages"][1]["id"]
        .as_str()
        .expect("an id")
        .to_owned()
}
