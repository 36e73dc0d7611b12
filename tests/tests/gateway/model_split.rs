//! A model that several upstreams serve, each its part.

use serde_json::{Value, json};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Gateway, Script, Setup, Upstream, logs};

use crate::common::{CHAT, obliging};

fn question() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "Hi?"}]})
}

async fn says(text: &'static str) -> Upstream {
    let chat = obliging(ollama::stream(&[text]), ollama::document(text));
    Upstream::start(move |request| match request.path() {
        "/api/tags" => Script::json(200, &json!({"models": []})),
        _ => chat(request),
    })
    .await
}

/// The upstreams `ollama` and `second`.
fn setup(first: &Upstream, second: &Upstream, model: &str) -> Setup {
    let url = second.url();
    Setup::before(first)
        .section(&format!(
            "[upstream.second]\nadapter = \"ollama\"\ntargets = [\"{url}\"]\n[[model]]\nname = \"m\"\n{model}\n"
        ))
        .chat()
}

/// What was said to one request, and the upstream that the log names; the client sees its own name of the model.
async fn ask(gateway: &Gateway, id: &str) -> (String, String) {
    let client = gateway.client().with("x-request-id", id);
    let response = client.post(CHAT, &question()).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let json = response.json();
    assert_eq!(json["model"], "m");
    let logged = logs::seen(id).await;
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (
        text(&json["choices"][0]["message"]["content"]),
        text(&logged["upstream"]),
    )
}

/// The names under which a server was asked for its model.
fn asked(upstream: &Upstream) -> Vec<Value> {
    let requests = upstream.requests();
    let chats = requests.iter().filter(|it| it.path() == "/api/chat");
    chats.map(|chat| chat.json()["model"].clone()).collect()
}

#[tokio::test]
async fn each_is_asked_its_part_under_its_own_name_and_shows_in_the_log() {
    let (first, second) = (says("first").await, says("second").await);
    let split = "split = [{ upstream = \"ollama\", as = \"m1\", weight = 1 }, { upstream = \"second\", as = \"m2\", weight = 1 }]";
    let gateway = setup(&first, &second, split).start().await;
    let mut counts = [0, 0];
    // That one of two is drawn 60 times in a row happens once in 10^18 runs.
    for _ in 0..60 {
        let (said, upstream) = ask(&gateway, &logs::id()).await;
        let at = usize::from(said == "second");
        assert_eq!(upstream, ["ollama", "second"][at]);
        counts[at] += 1;
    }
    assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
    assert_eq!(asked(&first), vec![json!("m1"); counts[0]]);
    assert_eq!(asked(&second), vec![json!("m2"); counts[1]]);
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_a_client_sends_does_not_decide() {
    let (first, second) = (says("first").await, says("second").await);
    let split =
        "split = [{ upstream = \"ollama\", weight = 1 }, { upstream = \"second\", weight = 1 }]";
    let gateway = setup(&first, &second, split).start().await;
    // The same request each time, down to its id.
    let client = gateway.client().with("x-request-id", &logs::id());
    for _ in 0..60 {
        assert_eq!(client.post(CHAT, &question()).await.status, 200);
    }
    let counts = [asked(&first).len(), asked(&second).len()];
    assert_eq!(counts[0] + counts[1], 60);
    assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn who_has_the_weight_0_is_not_asked_and_not_listed_for() {
    let (first, second) = (says("first").await, says("second").await);
    let split = "split = [{ upstream = \"ollama\", weight = 0 }, { upstream = \"second\", as = \"m2\", weight = 7 }]";
    let gateway = setup(&first, &second, split).start().await;
    for _ in 0..20 {
        let (said, upstream) = ask(&gateway, &logs::id()).await;
        assert_eq!((&*said, &*upstream), ("second", "second"));
    }
    assert_eq!((asked(&first).len(), asked(&second).len()), (0, 20));
    let list = gateway.client().get("/v1/models").await.json();
    assert_eq!(list["data"][0]["id"], "m");
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_fallback_is_asked_after_the_one_that_was_drawn() {
    // It may be asked again at once, so that each draw meets it.
    let busy = Script::status(503)
        .field("content-type", "application/json")
        .field("retry-after", "0")
        .body(json!({"error": "busy"}).to_string());
    let (busy, spare) = (Upstream::always(busy).await, says("spare").await);
    let split = "split = [{ upstream = \"ollama\", as = \"m1\", weight = 1 }, { upstream = \"second\", as = \"m2\", weight = 1 }]\n\
                 fallback = [{ upstream = \"second\", as = \"m2\" }]";
    let upstream = "breaker = { open = \"0s\" }";
    let gateway = setup(&busy, &spare, split).upstream(upstream).start().await;
    for _ in 0..40 {
        let id = logs::id();
        let (said, upstream) = ask(&gateway, &id).await;
        assert_eq!((&*said, &*upstream), ("spare", "second"));
        let attempts = logs::seen(&id).await["attempts"].clone();
        assert!(attempts == 1 || attempts == 2, "{attempts}");
    }
    let drawn = asked(&busy);
    assert!(!drawn.is_empty() && drawn.len() < 40, "{}", drawn.len());
    assert!(drawn.iter().all(|model| model == "m1"));
    assert_eq!(asked(&spare), vec![json!("m2"); 40]);
    gateway.shutdown().await;
}
