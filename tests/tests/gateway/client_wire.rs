//! Bytes that are not a valid HTTP request: each gets a proper error, and nothing is misread.

use hyper::Method;
use serde_json::json;
use sluicegate_tests::client::Raw;
use sluicegate_tests::{Script, Setup, Upstream, guest, logs};

use crate::common::{CHAT, assert_error, assert_raw_error, question, says_hello};

/// A megabyte of a body.
const MEGABYTE: usize = 1 << 20;

#[tokio::test]
async fn a_body_of_33_mib_is_a_413_announced_or_not() {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
    // Announced, and the client waits for a go-ahead: the response comes at once.
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(format!(
        "{head}content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        33 * MEGABYTE
    ))
    .await;
    assert_raw_error(&raw.response().await, 413, "body_too_large");
    // Announced, and sent all the same: the response is not lost in a reset connection.
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(format!("{head}content-length: {}\r\n\r\n", 33 * MEGABYTE))
        .await;
    for _ in 0..33 {
        raw.send(vec![b'x'; MEGABYTE]).await;
    }
    assert_raw_error(&raw.response().await, 413, "body_too_large");
    // Not announced.
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(format!("{head}transfer-encoding: chunked\r\n\r\n"))
        .await;
    for _ in 0..33 {
        raw.send(format!("{MEGABYTE:x}\r\n")).await;
        raw.send(vec![b'x'; MEGABYTE]).await;
        raw.send("\r\n").await;
    }
    raw.send("0\r\n\r\n").await;
    assert_raw_error(&raw.response().await, 413, "body_too_large");
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_body_that_no_stage_reads_has_the_same_limit() {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream)
        .limit("request-body = \"64KiB\"")
        .filter()
        .start()
        .await;
    let id = logs::id();
    let client = gateway.client().with("x-request-id", &id);
    let response = client
        .request(Method::POST, "/x", vec![b'x'; 100_000])
        .await;
    assert_error(&response, 413, "body_too_large");
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send("POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    for _ in 0..10 {
        raw.send(format!("2710\r\n{}\r\n", "y".repeat(10_000)))
            .await;
    }
    raw.send("0\r\n\r\n").await;
    assert_raw_error(&raw.response().await, 413, "body_too_large");
    // Exactly the limit passes.
    let response = gateway
        .client()
        .request(Method::POST, "/x", vec![b'z'; 64 << 10])
        .await;
    assert_eq!(response.status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_waits_for_a_go_ahead_gets_one_only_if_its_body_is_wanted() {
    let upstream = says_hello().await;
    let keys = r#"{ name = "a", key = "sk-a" }"#;
    let gateway = Setup::before(&upstream).chat_with(keys, "").start().await;
    let body = question().to_string();
    let head = |key: &str| {
        format!(
            "POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
    };
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(head("sk-a")).await;
    assert_eq!(raw.response().await.status, 100);
    raw.send(&body).await;
    assert_eq!(raw.response().await.status, 200);
    let asked = upstream.next_request().await;
    assert!(!asked.fields.has("expect"));
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(head("wrong")).await;
    assert_raw_error(&raw.response().await, 401, "invalid_api_key");
    gateway.shutdown().await;
}

#[tokio::test]
async fn too_many_and_too_large_header_fields_are_a_431() {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let send = async |fields: String| {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(format!(
            "GET /v1/models HTTP/1.1\r\nhost: x\r\n{fields}\r\n"
        ))
        .await;
        raw.response().await
    };
    let many = |count: usize| {
        (0..count)
            .map(|n| format!("x-{n}: 1\r\n"))
            .collect::<String>()
    };
    assert_eq!(send(many(99)).await.status, 200);
    assert_raw_error(&send(many(100)).await, 431, "head_too_large");
    assert_raw_error(
        &send(format!("x-large: {}\r\n", "y".repeat(70_000))).await,
        431,
        "head_too_large",
    );
    // One name very often is as many fields.
    assert_raw_error(
        &send("x-same: 1\r\n".repeat(200)).await,
        431,
        "head_too_large",
    );
    // Far past what the parser takes, there is no request to answer properly, but still the status.
    assert_eq!(send(many(3000)).await.status, 431);
    assert_eq!(
        send(format!("x-large: {}\r\n", "y".repeat(2 << 20)))
            .await
            .status,
        431
    );
    // Over HTTP/2 too.
    let client = gateway
        .client()
        .over_http2()
        .with("x-large", &"y".repeat(70_000));
    assert_error(&client.get("/v1/models").await, 431, "head_too_large");
    gateway.shutdown().await;
}

#[tokio::test]
async fn duplicated_fields_are_passed_on_in_order_and_the_first_key_counts() {
    let upstream = says_hello().await;
    let keys = r#"{ name = "a", key = "sk-a" }"#;
    let gateway = Setup::before(&upstream).chat_with(keys, "").start().await;
    let send = async |fields: &str| {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(format!(
            "GET /v1/models HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\n"
        ))
        .await;
        raw.response().await
    };
    assert_eq!(
        send("x-api-key: sk-a\r\nx-twice: 1\r\nX-Twice: 2")
            .await
            .status,
        200
    );
    let asked = upstream.next_request().await;
    assert_eq!(asked.fields.all("x-twice"), ["1", "2"]);
    assert_eq!(
        send("x-api-key: wrong\r\nx-api-key: sk-a").await.status,
        401
    );
    assert_eq!(
        send("x-api-key: sk-a\r\nx-api-key: wrong").await.status,
        200
    );
    assert!(
        !upstream.next_request().await.fields.has("x-api-key"),
        "all of them are stripped"
    );
    let response = send("x-api-key: sk-a\r\nx-request-id: one\r\nx-request-id: two").await;
    assert_eq!(response.fields.all("x-request-id"), ["one"]);
    assert_eq!(
        upstream.next_request().await.fields.all("x-request-id"),
        ["one"]
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn two_lengths_in_one_request_smuggle_nothing() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    for fields in [
        format!(
            "content-length: {}\r\ntransfer-encoding: chunked",
            chunked.len() + smuggled.len()
        ),
        format!(
            "transfer-encoding: chunked\r\ncontent-length: {}",
            chunked.len() + smuggled.len()
        ),
        "content-length: 5\r\ncontent-length: 6".to_owned(),
        "content-length: 5, 6".to_owned(),
        "content-length: +5".to_owned(),
        "content-length: -5".to_owned(),
        "transfer-encoding: xchunked".to_owned(),
        "transfer-encoding: chunked, identity".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: identity".to_owned(),
        "transfer-encoding : chunked".to_owned(),
        "content-length: 5\r\n folded: 1".to_owned(),
    ] {
        let before = upstream.requests().len();
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(format!(
            "POST /x HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\n{chunked}{smuggled}"
        ))
        .await;
        let response = raw.response().await;
        assert!(
            matches!(response.status, 200 | 400),
            "{fields}: {}",
            response.status
        );
        drop(raw);
        // What came through came as one message with one length, and its body is what the winning length says.
        for request in &upstream.requests()[before..] {
            if request.path() == "/smuggled" {
                // The client's own second request on its connection, where chunked framing won: no smuggling.
                assert!(fields.contains("transfer-encoding: chunked"), "{fields}");
                continue;
            }
            assert_eq!(request.body, b"hello", "{fields}");
            let lengths = request.fields.all("content-length").len()
                + request.fields.all("transfer-encoding").len();
            assert_eq!(lengths, 1, "{fields}");
        }
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_request_body_that_breaks_its_framing_is_refused() {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for rest in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "-1\r\n\r\n",
        "fffffffffffffffff\r\nx",
    ] {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(format!(
            "POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{rest}"
        ))
        .await;
        assert_raw_error(&raw.response().await, 400, "invalid_request");
    }
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn clients_of_http_1_0_get_bodies_that_end_with_the_connection() {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for stream in [false, true] {
        let mut body = question();
        body["stream"] = json!(stream);
        let body = body.to_string();
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(format!(
            "POST {CHAT} HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        let response = raw.response().await;
        assert_eq!(response.status, 200);
        assert!(
            !response.fields.has("transfer-encoding"),
            "HTTP/1.0 knows no chunks"
        );
        assert!(response.text().contains("Hello"));
        raw.closed().await;
        assert_eq!(upstream.next_request().await.version, "HTTP/1.1");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_is_no_http_is_closed_and_harms_nobody() {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for junk in [
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /a b HTTP/1.1\r\nhost: x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ] {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(junk).await;
        raw.send("\r\n\r\n").await;
        raw.closed().await;
        assert_eq!(
            gateway.client().get("/v1/models").await.status,
            200,
            "after {junk:?}"
        );
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn paths_that_could_be_read_in_two_ways_are_refused() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    let send = async |target: &str| {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n"))
            .await;
        raw.response().await
    };
    for target in [
        "/v1/../api/delete",
        "/v1/%2e%2e/api",
        "/v1/.%2E/api",
        "/..",
        "/a/./b",
        "/v1/..%2fapi",
        "/v1/%2e%2e%2fapi/delete",
        "/v1/..\\api",
    ] {
        let response = send(target).await;
        assert_eq!(response.status, 400, "{target}");
        assert_raw_error(&response, 400, "invalid_request");
    }
    assert!(upstream.requests().is_empty());
    for (target, sent) in [
        ("/v1/a..b", "/v1/a..b"),
        ("/v1/.well-known", "/v1/.well-known"),
        ("/v1/%e4%bd%a0", "/v1/%E4%BD%A0"),
        ("/a//b", "/a/b"),
        ("/v1/models/Qwen%2FQwen3-32B", "/v1/models/Qwen/Qwen3-32B"),
        ("/?q=../x", "/?q=../x"),
    ] {
        assert_eq!(send(target).await.status, 200, "{target}");
        assert_eq!(upstream.next_request().await.target, sent);
    }
    // With a scheme and a host before it, as proxies are asked.
    assert_eq!(send("http://elsewhere.example/x?y=1").await.status, 200);
    let asked = upstream.next_request().await;
    assert_eq!(
        (asked.target.as_str(), asked.header("host")),
        ("/x?y=1", Some(upstream.address().to_string().as_str()))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn no_spelling_of_a_path_gets_past_the_route_that_guards_it() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .stages(r#"{ name = "a", key = "sk-a" }"#, "")
        .adapter("")
        .plugin("guest", guest::FILTER, "")
        .route("/raw/*", r#"["guest"]"#, "")
        .route("/raw/admin/*", r#"["auth", "guest"]"#, "")
        .start()
        .await;
    for http2 in [false, true] {
        for target in [
            "/raw/admin/x",
            "/raw/%61dmin/x",
            "/raw//admin/x",
            "//raw/admin/x",
            "/raw/admin%2fx",
            "/raw/admin%2Fx",
            "/raw%2F%61dmin//x",
        ] {
            let client = gateway.client();
            let client = if http2 { client.over_http2() } else { client };
            assert_eq!(client.get(target).await.status, 401, "{target}");
            let client = client.with("x-api-key", "sk-a");
            assert_eq!(client.get(target).await.status, 200, "{target}");
            assert_eq!(
                upstream.next_request().await.target,
                "/raw/admin/x",
                "{target}"
            );
        }
    }
    for target in [
        "/raw/%",
        "/raw/%4",
        "/raw/%zz",
        "/raw/a%5cb",
        "/raw/admin/..;/x",
    ] {
        assert_error(&gateway.client().get(target).await, 400, "invalid_request");
    }
    assert_eq!(gateway.client().get("/raw/administrator").await.status, 200);
    assert_eq!(upstream.next_request().await.target, "/raw/administrator");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_request_names_its_host_once_and_no_coding_but_chunked() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for (fields, status, code) in [
        ("", 400, "invalid_request"),
        ("host: a\r\nhost: a\r\n", 400, "invalid_request"),
        ("host: a\r\nHost: b\r\n", 400, "invalid_request"),
        (
            "host: a\r\ntransfer-encoding: gzip, chunked\r\n",
            400,
            "invalid_request",
        ),
        (
            "host: a\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
            400,
            "invalid_request",
        ),
        (
            "host: a\r\ncontent-encoding: identity\r\ncontent-encoding: gzip\r\n",
            415,
            "unsupported_coding",
        ),
        (
            "host: a\r\ncontent-encoding: identity, gzip\r\n",
            415,
            "unsupported_coding",
        ),
    ] {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(format!("POST /x HTTP/1.1\r\n{fields}\r\n0\r\n\r\n"))
            .await;
        assert_raw_error(&raw.response().await, status, code);
    }
    assert!(upstream.requests().is_empty());
    for method in ["TRACE /x", "CONNECT example.com:443"] {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(format!("{method} HTTP/1.1\r\nhost: x\r\n\r\n"))
            .await;
        let response = raw.response().await;
        assert!(
            matches!(response.status, 404 | 405),
            "{method}: {}",
            response.status
        );
    }
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}
