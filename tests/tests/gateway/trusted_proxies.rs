//! Who the client is behind proxies: what they say in fields and by PROXY protocol counts, what others say does not.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::json;
use sluicegate_tests::client::Raw;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Barrier, Client, Gateway, Script, Setup, Upstream, logs, within};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::common::{CHAT, assert_error, greets, question};
use crate::nginx::Nginx;

/// The one address that is a proxy's: that of [`proxy`].
const TRUSTED: &str = r#"trusted-proxies = ["127.0.0.9", "10.0.0.0/8"]"#;

/// Each client address may send two requests.
fn limited(upstream: &Upstream) -> Setup {
    let rule = r#"{ name = "r", by = ["client"], requests = { limit = 2, per = "1d" } }"#;
    Setup::before(upstream)
        .stages("", "")
        .plugin(
            "rate-limit",
            "builtin:rate-limit",
            &format!("grant = {{ rate = true }}\nconfig = {{ rules = [{rule}] }}"),
        )
        .route(
            CHAT,
            r#"["auth", "aggregate", "rate-limit"]"#,
            r#"observers = ["access-log", "observer"]"#,
        )
}

/// A client at the address of the trusted proxy.
fn proxy(gateway: &Gateway) -> Client {
    gateway.client().at(9)
}

/// The address that plugins get as the client's, for an exchange with this request id.
async fn client_of(id: &str) -> String {
    let seen = logs::seen(id).await;
    seen["client"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn what_a_stranger_says_of_itself_does_not_change_who_is_limited() {
    let upstream = greets().await;
    let gateway = limited(&upstream).server(TRUSTED).start().await;
    for (turn, spoofed) in ["192.0.2.1", "192.0.2.2", "192.0.2.3, 10.0.0.1"]
        .into_iter()
        .enumerate()
    {
        let id = logs::id();
        let client = gateway
            .client()
            .with("x-forwarded-for", spoofed)
            .with("forwarded", "for=192.0.2.4")
            .with("x-request-id", &id);
        let response = client.chat(&question()).await;
        assert_eq!(response.status == 200, turn < 2, "{spoofed}");
        assert_eq!(client_of(&id).await, "127.0.0.1");
    }
    // The model server is told from whom the gateway has it.
    let asked = upstream.next_request().await;
    assert_eq!(
        asked.fields.all("x-forwarded-for"),
        ["192.0.2.1, 127.0.0.1"]
    );
    assert_eq!(
        asked.fields.all("forwarded"),
        ["for=192.0.2.4, for=127.0.0.1"]
    );
    assert_eq!(upstream.requests().len(), 2);
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_clients_of_a_trusted_proxy_are_limited_each_by_itself() {
    let upstream = greets().await;
    let gateway = limited(&upstream).server(TRUSTED).start().await;
    let ask = async |field: &str, list: &str| {
        let id = logs::id();
        let client = proxy(&gateway).with(field, list).with("x-request-id", &id);
        let response = client.chat(&question()).await;
        (response.status, client_of(&id).await)
    };
    let by_list = async |list: &str| ask("x-forwarded-for", list).await;
    let of = |status: u16, client: &str| (status, client.to_owned());
    assert_eq!(by_list("192.0.2.1").await, of(200, "192.0.2.1"));
    assert_eq!(
        by_list("8.8.8.8, 192.0.2.1, 10.1.2.3").await,
        of(200, "192.0.2.1"),
        "what the client has invented stands in front"
    );
    assert_eq!(by_list("9.9.9.9, 192.0.2.1").await, of(429, "192.0.2.1"));
    assert_eq!(by_list("192.0.2.2").await, of(200, "192.0.2.2"));
    assert_eq!(
        ask("forwarded", "for=\"[2001:db8::7]:4711\"").await,
        of(200, "2001:db8::7")
    );
    assert_eq!(by_list("192.0.2.9, unknown").await, of(200, "127.0.0.9"));
    let asked = upstream.next_request().await;
    assert_eq!(
        asked.fields.all("x-forwarded-for"),
        ["192.0.2.1, 127.0.0.9"],
        "the client, and the proxy that the gateway has it from"
    );
    gateway.shutdown().await;
}

/// A header of version 2 with this IPv4 source.
fn v2(source: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(source);
    header.extend([198, 51, 100, 1, 0x12, 0x67, 1, 187]);
    header
}

fn v1(source: &str) -> Vec<u8> {
    format!("PROXY TCP4 {source} 198.51.100.1 4711 443\r\n").into_bytes()
}

/// A connection from 127.0.0.`last` that begins with these bytes.
async fn connect(address: SocketAddr, last: u8, begin: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let source = (Ipv4Addr::new(127, 0, 0, last), 0);
    socket.bind(source.into()).expect("a local address");
    let connecting = within("a connection", socket.connect(address));
    let mut stream = connecting.await.expect("the server listens");
    // All at once would be too easy.
    stream.set_nodelay(true).expect("an option of any socket");
    for bytes in begin.chunks(7) {
        // The gateway may have seen enough.
        if stream.write_all(bytes).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    stream
}

/// Sends a chat on a stream; gives the status and the address that plugins get as the client's.
async fn chat(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    is_http2: bool,
    field: Option<&str>,
) -> (u16, String) {
    let id = logs::id();
    let uri = if is_http2 { "http://localhost" } else { "" };
    let mut request = Request::post(format!("{uri}{CHAT}"))
        .header("content-type", "application/json")
        .header("x-request-id", &id);
    if !is_http2 {
        request = request.header("host", "localhost");
    }
    if let Some(field) = field {
        request = request.header("x-forwarded-for", field);
    }
    let body = Full::new(Bytes::from(question().to_string()));
    let request = request.body(body).expect("legal");
    let mut tasks = JoinSet::new();
    let io = TokioIo::new(stream);
    let response = if is_http2 {
        let handshake = http2::handshake(TokioExecutor::new(), io).await;
        let (mut sender, driver) = handshake.expect("HTTP/2");
        tasks.spawn(async { drop(driver.await) });
        within("a response", sender.send_request(request)).await
    } else {
        let (mut sender, driver) = http1::handshake(io).await.expect("HTTP/1.1");
        tasks.spawn(async { drop(driver.await) });
        within("a response", sender.send_request(request)).await
    };
    let response = response.expect("a response");
    let status = response.status().as_u16();
    let body = within("a body", response.into_body().collect()).await;
    body.expect("a whole body");
    (status, client_of(&id).await)
}

#[tokio::test]
async fn both_versions_of_proxy_protocol_name_the_client_over_both_versions_of_http() {
    let upstream = greets().await;
    let gateway = limited(&upstream)
        .server(TRUSTED)
        .listener("proxy-protocol = true")
        .start()
        .await;
    let ask = async |last: u8, begin: &[u8], is_http2: bool, field: Option<&str>| {
        chat(
            connect(gateway.address(), last, begin).await,
            is_http2,
            field,
        )
        .await
    };
    let of = |status: u16, client: &str| (status, client.to_owned());
    let one = v1("192.0.2.1");
    assert_eq!(ask(9, &one, false, None).await, of(200, "192.0.2.1"));
    let same = v2([192, 0, 2, 1]);
    assert_eq!(ask(9, &same, true, None).await, of(200, "192.0.2.1"));
    assert_eq!(
        ask(9, &same, false, Some("8.8.8.8")).await,
        of(429, "192.0.2.1"),
        "the client whom the proxy names is no proxy, so what it says of itself is nothing"
    );
    assert_eq!(
        ask(9, &v2([192, 0, 2, 2]), true, None).await,
        of(200, "192.0.2.2")
    );
    assert_eq!(
        ask(9, &v1("10.0.0.7"), false, Some("192.0.2.3")).await,
        of(200, "192.0.2.3"),
        "a proxy behind the balancer"
    );
    assert_eq!(
        ask(9, b"PROXY UNKNOWN\r\n", false, None).await,
        of(200, "127.0.0.9"),
        "the balancer's own check"
    );
    // Others are served as they are.
    assert_eq!(
        ask(1, b"", false, Some("8.8.8.8")).await,
        of(200, "127.0.0.1")
    );
    assert_eq!(ask(1, b"", true, None).await, of(200, "127.0.0.1"));
    let asked = upstream.requests();
    assert_eq!(
        asked[3].fields.all("x-forwarded-for"),
        ["192.0.2.3, 10.0.0.7"],
        "a balancer that passes connections on is no hop of HTTP"
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_header_of_proxy_protocol_comes_before_tls() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let (cert_file, key_file) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&cert_file, cert.pem()).expect("room for a certificate");
    std::fs::write(&key_file, signing_key.serialize_pem()).expect("room for a key");
    let upstream = greets().await;
    let gateway = limited(&upstream)
        .server(TRUSTED)
        .listener(&format!(
            "proxy-protocol = true\ntls = {{ cert = {cert_file:?}, key = {key_file:?} }}"
        ))
        .start()
        .await;
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from(cert.der().to_vec());
    roots.add(root).expect("a root");
    let ask = async |last: u8, begin: &[u8], protocol: &str| {
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let stream = connect(gateway.address(), last, begin).await;
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = TlsConnector::from(Arc::new(config));
        let stream = within("a TLS handshake", connector.connect(name, stream)).await;
        chat(stream.expect("TLS"), protocol == "h2", None).await
    };
    let of = |client: &str| (200, client.to_owned());
    assert_eq!(ask(9, &v1("192.0.2.1"), "http/1.1").await, of("192.0.2.1"));
    assert_eq!(ask(9, &v2([192, 0, 2, 2]), "h2").await, of("192.0.2.2"));
    assert_eq!(ask(1, b"", "h2").await, of("127.0.0.1"));
    gateway.shutdown().await;
}

/// Waits until the gateway has closed a connection without a response.
async fn refused(mut stream: TcpStream) {
    let mut byte = [0];
    let read = within("the end of the connection", stream.read(&mut byte)).await;
    // What the gateway has not read makes it a reset.
    assert!(!matches!(read, Ok(1..)), "{byte:?}");
}

#[tokio::test]
async fn a_bad_header_closes_its_connection_and_the_log_says_why() {
    let upstream = greets().await;
    let gateway = limited(&upstream)
        .server(TRUSTED)
        .listener("proxy-protocol = true")
        .start()
        .await;
    let plain = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec();
    let wrong = b"PROXY TCP4 here there 1 2\r\n".to_vec();
    let long = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", &[0; 8192][..]].concat();
    for (last, begin, why) in [
        (9, &plain, "it does not begin with a PROXY header"),
        (9, &wrong, "it does not begin"),
        (9, &long, "has more than 4096 bytes"),
        (2, &v1("192.0.2.1"), "does not come from one of `trusted-"),
    ] {
        let stream = connect(gateway.address(), last, begin).await;
        let from = stream.local_addr().expect("connected").to_string();
        refused(stream).await;
        logs::line(why, |line| {
            let says = |name: &str, what: &str| {
                line[name].as_str().is_some_and(|text| text.contains(what))
            };
            says("peer", &from) && says("error", why)
        })
        .await;
    }
    assert_eq!(upstream.requests().len(), 0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_slow_header_ends_in_time_and_holds_nobody_up() {
    let upstream = greets().await;
    let gateway = limited(&upstream)
        .server(TRUSTED)
        .limit("header-timeout = \"300ms\"")
        .listener("proxy-protocol = true")
        .start()
        .await;
    let header = v1("192.0.2.1");
    let mut slow = Vec::new();
    for length in [0, 1, 10, header.len() - 1] {
        slow.push(connect(gateway.address(), 9, &header[..length]).await);
    }
    let stream = connect(gateway.address(), 9, &header).await;
    assert_eq!(chat(stream, false, None).await.0, 200);
    for stream in slow {
        refused(stream).await;
    }
    logs::line("the line about a late header", |line| {
        let error = line["error"].as_str().unwrap_or_default();
        error.starts_with("no whole PROXY header within 300ms")
    })
    .await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_connection_without_its_header_does_not_delay_the_stop() {
    let upstream = greets().await;
    let gateway = limited(&upstream)
        .server(TRUSTED)
        .server("drain-timeout = \"1h\"")
        .limit("header-timeout = \"1h\"")
        .listener("proxy-protocol = true")
        .start()
        .await;
    let trusted = connect(gateway.address(), 9, b"PROXY ").await;
    let stranger = connect(gateway.address(), 1, b"").await;
    // Connections are accepted in their order.
    let last = connect(gateway.address(), 9, &v1("192.0.2.1")).await;
    assert_eq!(chat(last, false, None).await.0, 200);
    gateway.shutdown().await;
    refused(trusted).await;
    refused(stranger).await;
}

#[tokio::test]
async fn a_reload_changes_whom_later_requests_are_believed_from() {
    let upstream = greets().await;
    let setup = limited(&upstream);
    let gateway = setup.start().await;
    let seen = async || {
        let id = logs::id();
        let client = proxy(&gateway).with("x-forwarded-for", "192.0.2.5");
        let response = client.with("x-request-id", &id).chat(&question()).await;
        assert_eq!(response.status, 200);
        client_of(&id).await
    };
    assert_eq!(seen().await, "127.0.0.9");
    let text = setup.server(TRUSTED).toml();
    let config = sluicegate_config::parse(&text, std::path::Path::new("."), &|_| None);
    let applied = gateway.running().control().apply(config.expect("legal"));
    applied.await.expect("in force");
    assert_eq!(seen().await, "192.0.2.5");
    gateway.shutdown().await;
}

#[tokio::test]
async fn queues_give_turns_to_clients_and_not_to_their_proxy() {
    let barrier = Barrier::new();
    let waits = Script::ndjson_head()
        .wait(&barrier)
        .chunk(format!("{}\n", ollama::done("stop")));
    let upstream = Upstream::always(waits).await;
    let gateway = Setup::before(&upstream)
        .server(TRUSTED)
        .upstream("max-in-flight = 1")
        // Without `auth`, which would call all of them `anonymous`.
        .stages("", "")
        .route(CHAT, r#"["aggregate"]"#, "")
        .start()
        .await;
    let mut running = JoinSet::new();
    let mut ask = |client: &str, number: usize| {
        let client = proxy(&gateway)
            .with("x-forwarded-for", client)
            .with("x-request-id", &format!("turn-{number}"));
        running.spawn(async move { client.chat(&question()).await.status });
    };
    ask("192.0.2.1", 0);
    let first = upstream.next_request().await;
    assert_eq!(first.header("x-request-id"), Some("turn-0"));
    let waiting = async |count: usize| {
        sluicegate_tests::eventually("they wait", async || {
            let shown = gateway.admin().get("/upstreams").await.json();
            (shown["upstreams"][0]["targets"][0]["waiting"] == json!(count)).then_some(())
        })
        .await;
    };
    for number in 1..4 {
        ask("192.0.2.1", number);
        waiting(number).await;
    }
    ask("192.0.2.2", 4);
    waiting(4).await;
    barrier.open();
    let mut order = Vec::new();
    for _ in 1..5 {
        let asked = upstream.next_request().await;
        order.push(asked.header("x-request-id").unwrap_or_default().to_owned());
    }
    assert_eq!(order[1], "turn-4", "{order:?}");
    assert_eq!(running.join_all().await, [200; 5]);
    gateway.shutdown().await;
}

/// Sends a chat through nginx as this client, which claims to be somebody else; gives the status.
async fn through(nginx: &Nginx, client: &str) -> u16 {
    let stream = UnixStream::connect(nginx.socket()).await;
    let io = TokioIo::new(stream.expect("it listens"));
    let (mut sender, driver) = http1::handshake(io).await.expect("HTTP");
    let mut tasks = JoinSet::new();
    tasks.spawn(async { drop(driver.await) });
    let request = Request::post(CHAT)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("x-forwarded-for", "8.8.8.8")
        .header("x-test-client", client)
        .body(Full::new(Bytes::from(question().to_string())))
        .expect("legal");
    let response = within("a response", sender.send_request(request)).await;
    response.expect("a response").status().as_u16()
}

#[tokio::test]
async fn behind_a_real_nginx_its_clients_are_told_apart() {
    let upstream = greets().await;
    let gateway = limited(&upstream)
        .server("trusted-proxies = [\"127.0.0.1\"]")
        .start()
        .await;
    // Its clients come over a socket of the file system, so that they have to say who they are.
    let lines = "set_real_ip_from unix:;\nreal_ip_header x-test-client;\n\
                 proxy_set_header x-forwarded-for $proxy_add_x_forwarded_for;\n";
    let Some(nginx) = Nginx::with(&gateway, lines).await else {
        return;
    };
    for (client, status) in [("192.0.2.1", 200), ("192.0.2.2", 200), ("192.0.2.1", 200)] {
        assert_eq!(through(&nginx, client).await, status, "{client}");
    }
    assert_eq!(through(&nginx, "192.0.2.1").await, 429);
    assert_eq!(through(&nginx, "192.0.2.2").await, 200);
    let asked = upstream.next_request().await;
    assert_eq!(
        asked.fields.all("x-forwarded-for"),
        ["8.8.8.8, 192.0.2.1, 127.0.0.1"],
        "what the client invents, what nginx saw, and nginx"
    );
    let response = gateway.client().with("x-forwarded-for", "192.0.2.1");
    assert_error(
        &response.chat(&question()).await,
        429,
        "rate_limit_exceeded",
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn without_trusted_proxies_a_header_of_proxy_protocol_is_a_bad_request() {
    let upstream = greets().await;
    let gateway = limited(&upstream).start().await;
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(v1("192.0.2.1")).await;
    raw.post(CHAT, &question()).await;
    assert_eq!(raw.response().await.status, 400);
    assert_eq!(upstream.requests().len(), 0);
    gateway.shutdown().await;
}
