//! The plugin `rate-limit` in the usual pipeline: never more than its limits allow, and what an exchange used is settled however it
//! ends. Its own tests cover all rules.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};
use sluicegate_tests::client::Response;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Barrier, Client, Gateway, Script, Setup, Upstream, eventually};

use super::common::{CHAT, assert_error, question, with};

const KEYS: &str = r#"{ name = "a", key = "sk-a" }, { name = "b", key = "sk-b" }, { name = "c", key = "sk-c", tenant = "b" }"#;

/// The usual pipeline with these rules (TOML tables).
pub(crate) fn setup(upstream: &Upstream, rules: &str) -> Setup {
    Setup::before(upstream)
        .stages(KEYS, "")
        .plugin(
            "rate-limit",
            "builtin:rate-limit",
            &format!("grant = {{ rate = true }}\nconfig = {{ rules = [{rules}] }}"),
        )
        .route(
            CHAT,
            r#"["auth", "aggregate", "rate-limit"]"#,
            r#"observers = ["observer"]"#,
        )
}

async fn gateway(upstream: &Upstream, rules: &str) -> Gateway {
    setup(upstream, rules).start().await
}

/// A client with the key of this name.
pub(crate) fn client(gateway: &Gateway, key: &str) -> Client {
    let bearer = format!("Bearer sk-{key}");
    gateway.client().with("authorization", &bearer)
}

fn streamed(max_tokens: u64) -> Value {
    let body = with(question(), "stream", json!(true));
    with(body, "max_tokens", json!(max_tokens))
}

/// Tokens that a request is estimated at.
fn prompt(body: &Value) -> i64 {
    i64::try_from(body.to_string().len().div_ceil(4)).expect("a small body")
}

fn left(response: &Response, of: &str) -> i64 {
    let left = response.header(&format!("x-ratelimit-remaining-{of}"));
    left.parse().expect("a number")
}

/// Waits until so many tokens are left to this key. It asks for more than there ever are, which takes nothing.
async fn balance(gateway: &Gateway, key: &str, expected: i64) {
    let body = with(question(), "max_tokens", json!(1_000_000));
    eventually("the balance is as it should be", async || {
        let response = client(gateway, key).chat(&body).await;
        assert_error(&response, 429, "rate_limit_exceeded");
        assert_eq!(response.header("x-should-retry"), "false");
        let found = left(&response, "tokens");
        assert!(found <= expected, "{found} is more than {expected}");
        (found == expected).then_some(())
    })
    .await;
}

/// An Ollama that streams one word without counting anything.
async fn says_one_word() -> Upstream {
    Upstream::start(|_| Script::ndjson(&ollama::stream(&["Hello"]))).await
}

#[tokio::test]
async fn two_hundred_clients_at_once_get_no_more_requests_than_the_limit() {
    let upstream = says_one_word().await;
    let rules = r#"{ name = "r", by = ["tenant"], requests = { limit = 50, per = "1d" } }"#;
    let gateway = gateway(&upstream, rules).await;
    let ask = async |key: &str| client(&gateway, key).chat(&question()).await;
    // Two keys of one tenant share its limit; the other tenant has its own.
    let responses = join_all((0..200).map(|n| ask(["a", "b", "c"][n % 3]))).await;
    let granted = responses.iter().filter(|it| it.status == 200).count();
    assert_eq!(granted, 100);
    assert_eq!(upstream.requests().len(), 100);
    for refused in responses.iter().filter(|it| it.status != 200) {
        assert_error(refused, 429, "rate_limit_exceeded");
        let wait: u64 = refused.header("retry-after").parse().expect("seconds");
        assert!((1..=1728).contains(&wait), "{wait}");
        assert_eq!(refused.header("x-ratelimit-limit-requests"), "50");
        assert_eq!(left(refused, "requests"), 0);
    }
    let mut remaining: Vec<i64> = responses
        .iter()
        .filter(|it| it.status == 200)
        .map(|it| left(it, "requests"))
        .collect();
    remaining.sort_unstable();
    let expected: Vec<i64> = (0..50).flat_map(|n| [n, n]).collect();
    assert_eq!(remaining, expected, "each was told another number");
    gateway.shutdown().await;
}

#[tokio::test]
async fn two_hundred_clients_at_once_have_no_more_exchanges_than_the_limit() {
    let barrier = Barrier::new();
    let waits = Script::ndjson_head()
        .wait(&barrier)
        .chunk(format!("{}\n", ollama::done("stop")));
    let upstream = Upstream::always(waits).await;
    let gateway = gateway(&upstream, r#"{ name = "slots", concurrent = 5 }"#).await;
    let refused = AtomicUsize::new(0);
    let ask = async |n: usize| {
        let response = client(&gateway, ["a", "b"][n % 2]).chat(&question()).await;
        refused.fetch_add(usize::from(response.status == 429), Ordering::Relaxed);
        response
    };
    let all = async { join_all((0..200).map(ask)).await };
    let release = async {
        eventually("all others are refused", async || {
            (refused.load(Ordering::Relaxed) == 195).then_some(())
        })
        .await;
        assert_eq!(upstream.requests().len(), 5);
        barrier.open();
    };
    let (responses, ()) = tokio::join!(all, release);
    let refused = responses.iter().filter(|it| it.status == 429);
    assert_eq!(refused.count(), 195);
    assert_eq!(upstream.requests().len(), 5);
    eventually("the slots are free again", async || {
        (client(&gateway, "a").chat(&question()).await.status == 200).then_some(())
    })
    .await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn two_hundred_clients_at_once_reserve_no_more_tokens_than_the_limit() {
    let barrier = Barrier::new();
    let waits = Script::ndjson_head()
        .wait(&barrier)
        .chunk(format!("{}\n", ollama::done("stop")));
    let upstream = Upstream::always(waits).await;
    let body = streamed(100);
    let each = prompt(&body) + 100;
    let rules = format!(
        "{{ name = \"t\", tokens = {{ limit = {}, per = \"366d\" }} }}",
        each * 10 + 99
    );
    let gateway = gateway(&upstream, &rules).await;
    let refused = AtomicUsize::new(0);
    let ask = async |n: usize| {
        let response = client(&gateway, ["a", "b"][n % 2]).chat(&body).await;
        refused.fetch_add(usize::from(response.status == 429), Ordering::Relaxed);
        response
    };
    let all = async { join_all((0..200).map(ask)).await };
    let release = async {
        eventually("all others are refused", async || {
            (refused.load(Ordering::Relaxed) == 190).then_some(())
        })
        .await;
        assert_eq!(upstream.requests().len(), 10);
        barrier.open();
    };
    let (responses, ()) = tokio::join!(all, release);
    let granted = responses.iter().filter(|it| it.status == 200);
    assert_eq!(granted.count(), 10);
    assert_eq!(upstream.requests().len(), 10);
    gateway.shutdown().await;
}

const TOKENS: &str = r#"{ name = "t", by = ["tenant"], tokens = { limit = 10000, per = "366d" } }"#;

#[tokio::test]
async fn a_response_settles_what_its_model_server_counted() {
    let upstream = says_one_word().await;
    let counted = ollama::done("stop");
    let count = |name: &str| counted[name].as_i64().expect("a number");
    let used = count("prompt_eval_count") + count("eval_count");
    for stream in [true, false] {
        let gateway = gateway(&upstream, TOKENS).await;
        let body = with(streamed(5000), "stream", json!(stream));
        let response = client(&gateway, "a").chat(&body).await;
        assert_eq!(response.status, 200);
        assert_eq!(left(&response, "tokens"), 10_000 - 5000 - prompt(&body));
        balance(&gateway, "a", 10_000 - used).await;
        balance(&gateway, "b", 10_000).await;
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_failed_exchange_costs_nothing() {
    let upstream = Upstream::always(Script::json(400, &ollama::error("no"))).await;
    let gateway = gateway(&upstream, TOKENS).await;
    for stream in [true, false] {
        let body = with(streamed(5000), "stream", json!(stream));
        assert_eq!(client(&gateway, "a").chat(&body).await.status, 400);
        balance(&gateway, "a", 10_000).await;
    }
    gateway.shutdown().await;
}

/// Three words and no end.
fn three_words() -> Script {
    let line = |text: &str| format!("{}\n", ollama::content(text));
    Script::ndjson_head().chunks(["one", " two", " three"].map(line))
}

#[tokio::test]
async fn a_stream_that_breaks_off_and_a_client_that_leaves_pay_for_what_came() {
    let upstream = Upstream::always(three_words().cut()).await;
    let broken = gateway(&upstream, TOKENS).await;
    let body = streamed(5000);
    let response = client(&broken, "a").chat(&body).await;
    assert_eq!(response.streamed_chat().content, "one two three");
    balance(&broken, "a", 10_000 - prompt(&body) - 3).await;
    broken.shutdown().await;

    let upstream = Upstream::always(three_words().hang()).await;
    let left = gateway(&upstream, TOKENS).await;
    let mut stream = client(&left, "a").open_chat(&body).await;
    let mut content = String::new();
    while content != "one two three" {
        let chunk = stream.event().await.expect("an event").json();
        let text = chunk["choices"][0]["delta"]["content"].as_str();
        content.push_str(text.unwrap_or_default());
    }
    balance(&left, "a", 5000 - prompt(&body)).await;
    stream.hang_up().await;
    balance(&left, "a", 10_000 - prompt(&body) - 3).await;
    // One that leaves before the first token pays for its prompt.
    let upstream = Upstream::always(Script::silent()).await;
    let silent = gateway(&upstream, TOKENS).await;
    let asked = client(&silent, "a");
    let waiting = tokio::spawn(async move { asked.chat(&streamed(5000)).await });
    upstream.next_request().await;
    waiting.abort();
    balance(&silent, "a", 10_000 - prompt(&body)).await;
    silent.shutdown().await;
    left.shutdown().await;
}

#[tokio::test]
async fn a_hard_limit_cuts_with_a_finish_reason_in_streams_and_in_json() {
    let line = format!("{}\n", ollama::content("x"));
    let endless = Script::ndjson_head()
        .chunks((0..200).map(|_| line.clone()))
        .hang();
    let upstream = Upstream::always(endless).await;
    for stream in [true, false] {
        let body = with(question(), "stream", json!(stream));
        let limit = prompt(&body) + 100;
        let rules = format!(
            r#"{{ name = "t", tokens = {{ limit = {limit}, per = "366d", assume = 10, hard = true }} }}"#
        );
        let gateway = gateway(&upstream, &rules).await;
        let response = client(&gateway, "a").chat(&body).await;
        assert_eq!(response.status, 200);
        assert!(response.complete);
        if stream {
            let chat = response.streamed_chat();
            assert_eq!((chat.content, chat.done), ("x".repeat(100), true));
            assert_eq!(chat.finish_reason.as_deref(), Some("length"));
        } else {
            let whole = response.json();
            let choice = &whole["choices"][0];
            assert_eq!(choice["message"]["content"], "x".repeat(100));
            assert_eq!(choice["finish_reason"], "length");
            assert_eq!(whole["usage"]["prompt_tokens"], prompt(&body));
            assert_eq!(whole["usage"]["completion_tokens"], 101);
        }
        let refused = client(&gateway, "a").chat(&body).await;
        assert_error(&refused, 429, "rate_limit_exceeded");
        gateway.shutdown().await;
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn the_example_does_what_its_readme_says() {
    let upstream = says_one_word().await;
    let toml = include_str!("../../../examples/rate-limit/sluicegate.toml");
    let toml = toml
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9180", "127.0.0.1:0")
        .replace("http://127.0.0.1:11434", &upstream.url());
    let gateway = Gateway::start(&toml).await.expect("a legal configuration");
    let body = with(question(), "max_tokens", json!(20));
    let ask = async |key| client(&gateway, key).chat(&body).await;
    for remaining in [1, 0] {
        let response = ask("small").await;
        assert_eq!(response.status, 200);
        assert_eq!(left(&response, "requests"), remaining);
    }
    assert_error(&ask("small").await, 429, "rate_limit_exceeded");
    let other = ask("large").await;
    assert_eq!((other.status, left(&other, "requests")), (200, 599));
    gateway.shutdown().await;
}
