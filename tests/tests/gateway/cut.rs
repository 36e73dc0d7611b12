//! Bodies that must be cut off because no error event can be sent: everything before the cut arrives first.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sluicegate_tests::client::Response;
use sluicegate_tests::{Client, Gateway, Script, Setup, Upstream, within};
use tokio::net::TcpStream;

/// What a body that is cut off may lose depends on how far two tasks have come, so each case is tried as often.
const RUNS: usize = 25;

async fn before(script: Script) -> (Upstream, Gateway) {
    let upstream = Upstream::always(script).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    (upstream, gateway)
}

fn clients(gateway: &Gateway) -> [Client; 2] {
    [gateway.client(), gateway.client().over_http2()]
}

#[track_caller]
fn assert_cut_behind(response: &Response, body: &str) {
    assert_eq!(response.status, 200);
    assert!(!response.complete, "the client is told that it is not all");
    assert_eq!(response.body.len(), body.len());
    assert!(response.body == body.as_bytes(), "byte for byte");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stream_that_breaks_inside_an_event_gives_all_that_came_before() {
    let event = |number| format!("data: {{\"token\":{number}}}\n\n");
    let mut chunks: Vec<String> = (0..200).map(event).collect();
    chunks.push("data: {\"token\":2".into());
    let body = chunks.concat();
    let (_upstream, gateway) = before(Script::sse_head().chunks(chunks).cut()).await;
    for client in clients(&gateway) {
        for _ in 0..RUNS {
            assert_cut_behind(&client.get("/x").await, &body);
        }
    }
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_document_that_breaks_gives_all_that_came_before_and_its_head() {
    for length in [1, 5_000, 60_000, 500_000] {
        let body = "x".repeat(length);
        let announced = Script::status(200).length(length + 1).chunk(body.clone());
        let chunked = Script::status(200).chunked().chunk(body.clone());
        for script in [announced.cut(), chunked.cut()] {
            let (_upstream, gateway) = before(script).await;
            for client in clients(&gateway) {
                for _ in 0..RUNS {
                    let response = client.request(Method::POST, "/x", "{}").await;
                    assert_cut_behind(&response, &body);
                }
            }
            gateway.shutdown().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_with_a_small_window_gets_all_that_came_before_too() {
    let body = "x".repeat(200_000);
    let script = Script::status(200).chunked().chunk(body.clone()).cut();
    let (_upstream, gateway) = before(script).await;
    for _ in 0..RUNS {
        let socket = TcpStream::connect(gateway.address())
            .await
            .expect("it listens");
        let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(1_000)
            .handshake(TokioIo::new(socket))
            .await
            .expect("HTTP/2");
        let driver = tokio::spawn(async move { drop(connection.await) });
        let request = Request::get(format!("http://{}/x", gateway.address()))
            .body(Empty::<Bytes>::new())
            .expect("legal");
        let response = within("the head", sender.send_request(request)).await;
        let mut incoming = response.expect("a head").into_body();
        let mut got = 0;
        let broken = loop {
            match within("more of the body", incoming.frame()).await {
                Some(Ok(frame)) => got += frame.into_data().unwrap_or_default().len(),
                Some(Err(_)) => break true,
                None => break false,
            }
        };
        assert_eq!((got, broken), (body.len(), true));
        driver.abort();
    }
    gateway.shutdown().await;
}
