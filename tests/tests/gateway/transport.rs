//! HTTP/2 and TLS towards clients.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::header::HeaderMap;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use sluicegate_tests::sse::{Chat, events};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Gateway, Script, Setup, Upstream, logs, within};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

fn question(stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hi?"}]})
}

async fn greets() -> Upstream {
    Upstream::always(Script::ndjson(&ollama::stream(&["Hello ", "world"]))).await
}

#[tokio::test]
async fn chat_and_stream_over_http2_without_tls() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let client = gateway.client().over_http2();
    let id = logs::id();
    let response = client
        .clone()
        .with("x-request-id", &id)
        .chat(&question(false))
        .await;
    assert_eq!(
        (response.status, response.header("x-request-id")),
        (200, id.as_str())
    );
    assert_eq!(
        response.json()["choices"][0]["message"]["content"],
        "Hello world"
    );
    let asked = upstream.next_request().await;
    assert_eq!(asked.fields.all("host"), [upstream.address().to_string()]);
    assert_eq!(asked.version, "HTTP/1.1");
    let response = client.chat(&question(true)).await;
    let chat = response.streamed_chat();
    assert_eq!(
        (chat.content.as_str(), chat.done, response.complete),
        ("Hello world", true, true)
    );
    assert_eq!(client.chat(&json!({})).await.status, 400);
    assert_eq!(client.get("/nowhere").await.error()["code"], "not_found");
    assert_eq!(
        client
            .request(Method::HEAD, "/v1/models", "")
            .await
            .body
            .len(),
        0
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_response_to_head_is_the_head_of_the_response_to_get_in_both_versions_of_http() {
    let scripts = [
        Script::json(200, &json!({"a": 1})),
        Script::sse_head().chunk("data: one\n\n"),
        Script::empty(200),
        Script::raw("HTTP/1.1 204 No Content\r\n\r\n"),
        Script::raw("HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n"),
        Script::status(200)
            .length(1 << 20)
            .chunk(vec![b'x'; 1 << 20]),
    ];
    for script in scripts {
        let what = format!("{:.120?}", script);
        let upstream = Upstream::always(script).await;
        let gateway = Setup::before(&upstream).filter().start().await;
        for client in [gateway.client(), gateway.client().over_http2()] {
            let get = client.get("/x").await;
            let head = client.request(Method::HEAD, "/x", "").await;
            assert_eq!(
                (head.status, head.complete, head.body.len()),
                (get.status, true, 0),
                "{what}"
            );
            for name in ["content-type", "etag", "x-exchange"] {
                assert_eq!(head.header(name), get.header(name), "{what}");
            }
            if !get.body.is_empty() {
                assert_eq!(
                    head.header("content-length"),
                    get.header("content-length"),
                    "{what}"
                );
            }
            if get.status != 200 {
                assert_eq!(head.header("content-length"), "", "{what}");
            }
            let asked = upstream.requests();
            assert!(
                asked.iter().all(|request| request.method == "GET"),
                "{what}"
            );
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_its_error_over_http2() {
    let chunk = format!("{}\n", ollama::content("so far"));
    let upstream = Upstream::always(Script::ndjson_head().chunk(chunk).cut()).await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let response = gateway.client().over_http2().chat(&question(true)).await;
    let chat = response.streamed_chat();
    assert_eq!(
        (chat.content.as_str(), chat.done, response.complete),
        ("so far", false, true)
    );
    assert_eq!(
        chat.error.expect("an error event")["code"],
        "upstream_broken"
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn many_streams_share_one_http2_connection() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let socket = TcpStream::connect(gateway.address())
        .await
        .expect("it listens");
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
        .await
        .expect("a handshake");
    let connection = tokio::spawn(connection);
    let mut running = JoinSet::new();
    for _ in 0..50 {
        let mut sender = sender.clone();
        let request = request(format!("http://{}", gateway.address()), &question(true));
        running.spawn(async move {
            read(sender.send_request(request).await.expect("a response")).await
        });
    }
    while let Some(done) = within("a stream of many", running.join_next()).await {
        let (_, body) = done.expect("no panic");
        let chat = Chat::of(&events(&body));
        assert_eq!((chat.content.as_str(), chat.done), ("Hello world", true));
    }
    drop(sender);
    connection.abort();
    gateway.shutdown().await;
}

fn request(base: String, body: &Value) -> Request<Full<Bytes>> {
    Request::post(base + "/v1/chat/completions")
        .header("host", "localhost")
        .body(Full::new(body.to_string().into()))
        .expect("a legal request")
}

async fn read(response: Response<hyper::body::Incoming>) -> (HeaderMap, Bytes) {
    let (head, body) = response.into_parts();
    let body = within("a body", body.collect())
        .await
        .expect("a whole body");
    (head.headers, body.to_bytes())
}

/// A gateway that speaks TLS, and the settings of a client that trusts it.
async fn with_tls(setup: Setup) -> (Gateway, ClientConfig, TempDir) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let (cert_file, key_file) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&cert_file, cert.pem()).expect("room for a certificate");
    std::fs::write(&key_file, signing_key.serialize_pem()).expect("room for a key");
    let gateway = setup
        .listener(&format!(
            "tls = {{ cert = {cert_file:?}, key = {key_file:?} }}"
        ))
        .start()
        .await;
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(cert.der().to_vec()))
        .expect("a root");
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (gateway, client, folder)
}

async fn connect(
    address: SocketAddr,
    mut config: ClientConfig,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let socket = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    within(
        "a TLS handshake",
        TlsConnector::from(Arc::new(config)).connect(name, socket),
    )
    .await
}

#[tokio::test]
async fn chat_and_stream_over_tls_in_both_versions_of_http() {
    let upstream = greets().await;
    let (gateway, config, _folder) = with_tls(Setup::before(&upstream).chat()).await;
    for stream in [false, true] {
        for protocol in ["h2", "http/1.1"] {
            let socket = connect(gateway.address(), config.clone(), &[protocol])
                .await
                .expect("a handshake");
            assert_eq!(
                socket.get_ref().1.alpn_protocol(),
                Some(protocol.as_bytes())
            );
            let socket = TokioIo::new(socket);
            let response = if protocol == "h2" {
                let (mut sender, connection) = http2::handshake(TokioExecutor::new(), socket)
                    .await
                    .expect("HTTP/2");
                tokio::spawn(connection);
                sender
                    .send_request(request("https://localhost".into(), &question(stream)))
                    .await
            } else {
                let (mut sender, connection) = http1::handshake(socket).await.expect("HTTP/1.1");
                tokio::spawn(connection);
                sender
                    .send_request(request(String::new(), &question(stream)))
                    .await
            };
            let (_, body) = read(response.expect("a response")).await;
            let content = if stream {
                let chat = Chat::of(&events(&body));
                assert!(chat.done);
                chat.content
            } else {
                let completion: Value = serde_json::from_slice(&body).expect("JSON");
                completion["choices"][0]["message"]["content"]
                    .as_str()
                    .expect("a text")
                    .to_owned()
            };
            assert_eq!(content, "Hello world", "{protocol}");
        }
    }
    // A client that offers nothing gets HTTP/1.1, one that offers both HTTP/2.
    let socket = connect(gateway.address(), config.clone(), &[])
        .await
        .expect("a handshake");
    assert_eq!(socket.get_ref().1.alpn_protocol(), None);
    let socket = connect(gateway.address(), config, &["http/1.1", "h2"])
        .await
        .expect("a handshake");
    assert_eq!(socket.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    gateway.shutdown().await;
}

// As in `cut`: how far the connection's task has come decides what is lost, so several threads, and several tries.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_body_that_is_cut_off_over_tls_gives_all_that_came_before() {
    let chunks: Vec<String> = (0..200)
        .map(|number| format!("data: {number}\n\n"))
        .collect();
    let body = chunks.concat() + "data: 2";
    let script = Script::sse_head().chunks(chunks).chunk("data: 2").cut();
    let upstream = Upstream::always(script).await;
    let (gateway, config, _folder) = with_tls(Setup::before(&upstream).filter()).await;
    for protocol in ["h2", "http/1.1"] {
        for _ in 0..25 {
            let socket = connect(gateway.address(), config.clone(), &[protocol])
                .await
                .expect("a handshake");
            let socket = TokioIo::new(socket);
            let mut tasks = JoinSet::new();
            let response = if protocol == "h2" {
                let handshake = http2::handshake(TokioExecutor::new(), socket).await;
                let (mut sender, connection) = handshake.expect("HTTP/2");
                tasks.spawn(async { drop(connection.await) });
                let request = request("https://localhost".into(), &question(true));
                sender.send_request(request).await
            } else {
                let (mut sender, connection) = http1::handshake(socket).await.expect("HTTP/1.1");
                tasks.spawn(async { drop(connection.await) });
                sender
                    .send_request(request(String::new(), &question(true)))
                    .await
            };
            let mut response = response.expect("a head").into_body();
            let mut got = Vec::new();
            let broken = loop {
                match within("more of the body", response.frame()).await {
                    Some(Ok(frame)) => got.extend(frame.into_data().unwrap_or_default()),
                    Some(Err(_)) => break true,
                    None => break false,
                }
            };
            assert!(broken, "{protocol}: the client is told that it is not all");
            assert_eq!(String::from_utf8_lossy(&got), body, "{protocol}");
        }
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_leaves_over_tls_is_seen_by_the_model_server() {
    let upstream = Upstream::always(Script::silent()).await;
    let (gateway, config, _folder) = with_tls(Setup::before(&upstream).chat()).await;
    let socket = connect(gateway.address(), config, &["http/1.1"])
        .await
        .expect("a handshake");
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket))
        .await
        .expect("HTTP/1.1");
    let connection = tokio::spawn(connection);
    let asking = tokio::spawn(async move {
        sender
            .send_request(request(String::new(), &question(true)))
            .await
    });
    let asked = upstream.next_request().await;
    connection.abort();
    asking.abort();
    asked.disconnected().await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_without_tls_on_a_listener_with_tls_gets_nothing_and_harms_nobody() {
    let upstream = greets().await;
    let (gateway, config, _folder) = with_tls(Setup::before(&upstream).chat()).await;
    let mut plain = sluicegate_tests::client::Raw::connect(gateway.address()).await;
    plain
        .send("GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    plain.closed().await;
    assert!(connect(gateway.address(), config, &["h2"]).await.is_ok());
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_unusable_certificate_is_reported_with_its_file() {
    let upstream = greets().await;
    let CertifiedKey { cert, .. } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let CertifiedKey {
        signing_key: other, ..
    } = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("room for a file");
        path
    };
    let cert = write("cert.pem", &cert.pem());
    let other = write("other.pem", &other.serialize_pem());
    let rubbish = write("rubbish.pem", "no PEM at all");
    for (cert, key, culprit) in [
        (&cert, &other, "cert.pem"),
        (&cert, &rubbish, "rubbish.pem"),
        (&rubbish, &other, "rubbish.pem"),
    ] {
        let tls = format!("tls = {{ cert = {cert:?}, key = {key:?} }}");
        let error = Setup::before(&upstream)
            .listener(&tls)
            .chat()
            .try_start()
            .await
            .err()
            .expect("it does not start");
        assert!(format!("{error:#}").contains(culprit), "{error:#}");
    }
}
