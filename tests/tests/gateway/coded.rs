//! Request bodies with a content coding: decoded within the limits of any body, before stages and model servers see them.

use async_compression::tokio::bufread::{GzipEncoder, ZstdEncoder};
use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::client::Response;
use sluicegate_tests::{Client, Setup, guest};
use tokio::io::AsyncReadExt;

use crate::common::{CHAT, assert_error, question, says_hello, with};

async fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = GzipEncoder::new(bytes);
    encoder
        .read_to_end(&mut out)
        .await
        .expect("it is in memory");
    out
}

async fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = ZstdEncoder::new(bytes);
    encoder
        .read_to_end(&mut out)
        .await
        .expect("it is in memory");
    out
}

async fn post(client: &Client, coding: &str, body: Vec<u8>) -> Response {
    let client = client.clone().with("content-encoding", coding);
    client.request(Method::POST, CHAT, body).await
}

/// A question with a long text, in Chinese.
fn long() -> Value {
    let text = "请用一句话介绍你自己。".repeat(20_000);
    with(
        question(),
        "messages",
        json!([{"role": "user", "content": text}]),
    )
}

#[tokio::test]
async fn a_coded_body_is_decoded_and_nobody_behind_knows() {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for client in [gateway.client(), gateway.client().over_http2()] {
        for body in [question(), long()] {
            let text = body.to_string();
            let (gz, zst) = (gzip(text.as_bytes()).await, zstd(text.as_bytes()).await);
            // Two frames are one body.
            let (begin, end) = text.as_bytes().split_at(text.len() / 2);
            let frames = [zstd(begin).await, zstd(end).await].concat();
            for (coding, coded) in [
                ("gzip", gz.clone()),
                ("GZIP", gz.clone()),
                ("x-gzip", gz),
                ("zstd", zst),
                ("zstd", frames),
            ] {
                let response = post(&client, coding, coded).await;
                assert_eq!(response.status, 200, "{coding}: {}", response.text());
                let asked = upstream.next_request().await;
                let content = &body["messages"][0]["content"];
                assert_eq!(&asked.json()["messages"][0]["content"], content);
                assert_eq!(asked.header("content-encoding"), None);
            }
        }
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_bomb_is_refused_by_what_comes_out_of_it() {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream)
        .limit("request-body = \"1MiB\"")
        .chat()
        .start()
        .await;
    let client = gateway.client();
    // A gigabyte of blanks is a megabyte in gzip, so less will do: each is small enough to be accepted itself.
    let blanks = vec![b' '; 64 << 20];
    for (coding, bomb) in [("gzip", gzip(&blanks).await), ("zstd", zstd(&blanks).await)] {
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        assert_error(&post(&client, coding, bomb).await, 413, "body_too_large");
    }
    // At the limit, and one byte beyond it.
    let text = question().to_string();
    for (length, status) in [(1 << 20, 200), ((1 << 20) + 1, 413)] {
        let padded = text.clone() + &" ".repeat(length - text.len());
        for (coding, coded) in [
            ("gzip", gzip(padded.as_bytes()).await),
            ("zstd", zstd(padded.as_bytes()).await),
        ] {
            let response = post(&client, coding, coded).await;
            assert_eq!(response.status, status, "{coding}");
        }
    }
    // A window that nobody needs in HTTP: 2 GiB of memory, before anything comes out.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8];
    frame.extend([0x01, 0x00, 0x00]);
    assert_error(&post(&client, "zstd", frame).await, 400, "invalid_request");
    assert_eq!(client.chat(&question()).await.status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_is_not_of_its_coding_is_refused_and_the_gateway_goes_on() {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let client = gateway.client();
    let text = question().to_string();
    let (gz, zst) = (gzip(text.as_bytes()).await, zstd(text.as_bytes()).await);
    let cut = |bytes: &[u8]| bytes[..bytes.len() - 3].to_vec();
    for (coding, body) in [
        ("gzip", text.clone().into_bytes()),
        ("zstd", text.clone().into_bytes()),
        ("gzip", zst.clone()),
        ("zstd", gz.clone()),
        ("gzip", cut(&gz)),
        ("zstd", cut(&zst)),
        ("gzip", [gz.as_slice(), b"more"].concat()),
        ("gzip", [gz.as_slice(), &gz].concat()),
    ] {
        let response = post(&client, coding, body).await;
        assert_error(&response, 400, "invalid_request");
        let message = response.error()["message"].to_string();
        assert!(message.contains(coding), "{message}");
    }
    for coding in ["br", "deflate", "gzip, gzip", "gzip, identity", ""] {
        let response = post(&client, coding, gz.clone()).await;
        assert_error(&response, 415, "unsupported_coding");
        assert_eq!(response.header("accept-encoding"), "gzip, zstd");
    }
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn decoding_can_be_switched_off_and_refusals_come_before_it() {
    let upstream = says_hello().await;
    let gz = gzip(question().to_string().as_bytes()).await;
    let off = Setup::before(&upstream)
        .server("codings = []")
        .chat()
        .start()
        .await;
    let response = post(&off.client(), "gzip", gz.clone()).await;
    assert_error(&response, 415, "unsupported_coding");
    off.shutdown().await;

    // A client without a key costs no decoding, and is told about its key even if the body is none.
    let keys = "{ name = \"a\", key = \"sk-a\" }";
    let gateway = Setup::before(&upstream)
        .chat_with(keys, "")
        .plugin("guest", guest::GATE, "")
        .start()
        .await;
    let response = post(&gateway.client(), "gzip", b"nonsense".to_vec()).await;
    assert_eq!(response.status, 401);
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}
