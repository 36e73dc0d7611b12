//! A proxy between the gateway and Ollama: its own responses are mapped by their status.

use serde_json::{Value, json};
use sluicegate_tests::{Script, Setup, Upstream};

use crate::common::{assert_error, greets, question, with};

/// A proxy's response: what it is called, status, `retry-after` or "", and body. What begins with `<` is a page.
const PROXIES: [(&str, u16, &str, &str); 14] = [
    ("too large, a page", 413, "", "<html>413</html>"),
    (
        "too large, JSON",
        413,
        "",
        r#"{"message":"Request size limit exceeded"}"#,
    ),
    ("no key, a page", 401, "", "<html>401</html>"),
    ("no key, JSON", 401, "", r#"{"detail":"Not authenticated"}"#),
    ("no key, Ollama's form", 403, "", r#"{"error":"forbidden"}"#),
    (
        "a key that may not",
        403,
        "",
        r#"{"message":"You cannot consume this service"}"#,
    ),
    ("no such path, a page", 404, "", "<html>404</html>"),
    ("no such path, JSON", 404, "", r#"{"detail":"Not Found"}"#),
    (
        "too many",
        429,
        "17",
        r#"{"message":"API rate limit exceeded"}"#,
    ),
    ("too many, a page", 429, "", "<html>429</html>"),
    ("maintenance", 503, "120", "<html>back soon</html>"),
    ("nothing behind it", 503, "", "no available server"),
    ("a broken server behind it", 502, "", "<html>502</html>"),
    (
        "a slow server behind it",
        504,
        "",
        r#"{"message":"The upstream server is timing out"}"#,
    ),
];

/// Status, code, `retry-after` and `x-should-retry` that the client gets.
fn expected(status: u16, hint: &str) -> (u16, &'static str, &str, &'static str) {
    match status {
        413 => (413, "body_too_large", "", ""),
        401 | 403 => (502, "upstream_unauthorized", "", "false"),
        404 => (502, "upstream_configuration", "", "false"),
        429 => (429, "rate_limit_exceeded", hint, ""),
        _ if hint.is_empty() => (503, "upstream_unavailable", "2", ""),
        _ => (503, "upstream_unavailable", hint, ""),
    }
}

fn script(status: u16, hint: &str, body: &str) -> Script {
    let kind = if body.starts_with('<') {
        "text/html"
    } else {
        "application/json"
    };
    let head = Script::status(status).field("content-type", kind);
    match hint {
        "" => head.body(body),
        seconds => head.field("retry-after", seconds).body(body),
    }
}

/// A proxy that answers everything like this.
async fn proxy(status: u16, hint: &str, body: &str) -> Upstream {
    Upstream::always(script(status, hint, body)).await
}

#[tokio::test]
async fn the_status_of_a_proxy_decides_and_its_hint_is_kept() {
    for (what, status, hint, body) in PROXIES {
        let upstream = proxy(status, hint, body).await;
        let gateway = Setup::before(&upstream).chat().start().await;
        let (told, code, after, again) = expected(status, hint);
        for stream in [false, true] {
            let request = with(question(), "stream", json!(stream));
            let response = gateway.client().chat(&request).await;
            assert_error(&response, told, code);
            assert_eq!(response.header("retry-after"), after, "{what}");
            assert_eq!(response.header("x-should-retry"), again, "{what}");
            assert!(!response.text().contains('<'), "{what}: no page");
        }
        let list = gateway.client().get("/v1/models").await;
        assert_error(&list, told, code);
        let asked: Vec<Value> = upstream.requests()[..2]
            .iter()
            .map(|request| request.json()["model"].clone())
            .collect();
        assert_eq!(asked, ["qwen3:32b", "qwen3:32b"], "{what}: once each");
        assert_eq!(upstream.requests().len(), 3, "{what}");
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn another_server_is_asked_where_a_proxy_has_nothing_behind_it_or_refuses_the_key() {
    for (what, status, hint, body) in PROXIES {
        let (first, second) = (proxy(status, hint, body).await, greets().await);
        let gateway = Setup::before_urls(&[first.url(), second.url()])
            .chat()
            .start()
            .await;
        let is_mended = matches!(status, 401 | 403 | 429 | 502..=504);
        let mut statuses = Vec::new();
        // Each of the two is the first one once.
        for _ in 0..2 {
            statuses.push(gateway.client().chat(&question()).await.status);
        }
        let (other, _, _, _) = expected(status, hint);
        statuses.sort_unstable();
        assert_eq!(
            statuses,
            [200, if is_mended { 200 } else { other }],
            "{what}"
        );
        assert_eq!(first.requests().len(), 1, "{what}");
        assert_eq!(
            second.requests().len(),
            1 + usize::from(is_mended),
            "{what}"
        );
        gateway.shutdown().await;
    }
}
