//! Requests by `wasi:http`: what the capability `http` allows, and nothing else.

use std::time::Duration;

use sluicegate_tests::client::Raw;
use sluicegate_tests::{Barrier, Client, Gateway, Script, Setup, Upstream, guest, logs, within};

use super::model;

async fn origin(barrier: &Barrier) -> Upstream {
    let barrier = barrier.clone();
    Upstream::start(move |request| match request.path() {
        "/silent" => Script::silent(),
        "/slow" => Script::status(200)
            .chunked()
            .sleep(Duration::from_millis(200))
            .chunk("slow"),
        "/wait" => Script::status(200).length(2).wait(&barrier).chunk("ok"),
        "/huge" => Script::status(200).body(vec![b'x'; (1 << 20) + 1]),
        "/post" => Script::status(201).body(request.body.clone()),
        _ => Script::status(200).body("hello"),
    })
    .await
}

async fn gateway(origin: &Upstream, lines: &str) -> Gateway {
    let lines = format!("grant = {{ http = [\"{}\"] }}\n{lines}", origin.url());
    Setup::before(&model().await)
        .guest(guest::FETCHER, &lines)
        .plugin("poor", guest::FETCHER, "")
        .route("/poor", r#"["poor"]"#, "")
        .start()
        .await
}

async fn fetch(client: &Client, path: &str, urls: &[String]) -> Vec<String> {
    let client = client.clone().with("x-fetch", &urls.join(" "));
    let response = client.get(path).await;
    assert_eq!(response.status, 200, "{}", response.text());
    serde_json::from_str(&response.text()).expect("a list of texts")
}

#[tokio::test]
async fn requests_go_where_the_grant_says_and_their_waits_cost_nothing() {
    let origin = origin(&Barrier::new()).await;
    let other = model().await;
    let gateway = gateway(&origin, "limits = { cpu = \"50ms\" }").await;
    let client = gateway.client();
    let url = |path: &str| format!("{}{path}", origin.url());
    let id = logs::id();
    let urls = [
        url("/"),
        url("/slow"),
        url("/post"),
        url("/huge"),
        other.url(),
    ];
    let results = fetch(&client.clone().with("x-request-id", &id), "/x", &urls).await;
    let expected = [
        "200 hello",
        "200 slow",
        "201 a body",
        "ErrorCode::HttpResponseBodySize(None)",
        "ErrorCode::HttpRequestDenied",
    ];
    assert_eq!(results, expected);
    let mut asked: Vec<_> = origin
        .requests()
        .iter()
        .map(|it| format!("{} {}", it.method, it.target))
        .collect();
    asked.sort();
    assert_eq!(asked, ["GET /", "GET /huge", "GET /slow", "POST /post"]);
    assert_eq!(other.connections(), 0);
    let line = logs::line("why", |line| {
        let error = line["error"].as_str().unwrap_or_default();
        line["req"] == id.as_str() && error.contains("does not list")
    })
    .await;
    assert_eq!(line["plugin"], "guest");
    let results = fetch(&client, "/x", &[url("/post-1")]).await;
    assert_eq!(results, ["ErrorCode::HttpRequestBodySize(None)"]);
    let results = fetch(&client, "/poor", &[url("/")]).await;
    assert_eq!(results, ["ErrorCode::HttpRequestDenied"]);
    assert_eq!(origin.requests().len(), 4);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_call_has_no_more_requests_than_may_wait() {
    let barrier = Barrier::new();
    let origin = origin(&barrier).await;
    let gateway = gateway(&origin, "").await;
    let urls = vec![format!("{}/wait", origin.url()); 90];
    let client = gateway.client();
    let asked = fetch(&client, "/x", &urls);
    let opened = async {
        super::requests::waiting(&origin, 89).await;
        barrier.open();
    };
    let (results, ()) = tokio::join!(asked, opened);
    let (last, others) = results.split_last().expect("many");
    assert_eq!(last, "ErrorCode::ConnectionLimitReached");
    assert!(others.iter().all(|it| it == "200 ok"), "{others:?}");
    assert_eq!(fetch(&client, "/x", &urls[..1]).await, ["200 ok"]);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_requests_and_is_no_fault() {
    let origin = origin(&Barrier::new()).await;
    let gateway = gateway(&origin, "").await;
    let mut raw = Raw::connect(gateway.address()).await;
    let url = origin.url();
    let id = logs::id();
    raw.send(format!(
        "GET /x HTTP/1.1\r\nhost: x\r\nx-request-id: {id}\r\nx-fetch: {url}/silent {url}/silent\r\n\r\n"
    ))
    .await;
    let first = within("it is asked", origin.next_request()).await;
    let second = within("it is asked again", origin.next_request()).await;
    drop(raw);
    within("it is hung up on", first.disconnected()).await;
    within("and again", second.disconnected()).await;
    logs::line("the guest went on", |line| {
        let error = line["error"].as_str().unwrap_or_default();
        line["req"] == id.as_str() && error.contains("in time")
    })
    .await;
    let metrics = gateway.admin().get("/metrics").await.text();
    assert!(
        !metrics.contains("sluicegate_plugin_faults_total{plugin=\"guest\""),
        "{metrics}"
    );
    gateway.shutdown().await;
}
