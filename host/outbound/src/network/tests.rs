//! Requests to servers on this machine.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::RESPONSE_MAX;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: b\r\n\r\nhi";

struct Server {
    listener: TcpListener,
    origin: Origin,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let origin = Origin {
            tls: false,
            host: "127.0.0.1".into(),
            port,
        };
        Self { listener, origin }
    }

    fn client(&self) -> NetworkClient {
        client(std::slice::from_ref(&self.origin))
    }

    /// Takes one connection, and answers each request on it with the next of these.
    async fn respond(&self, responses: &[&[u8]]) -> Vec<String> {
        let (mut stream, _) = self.listener.accept().await.expect("a connection");
        let mut requests = Vec::new();
        for response in responses {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a request"));
            }
            requests.push(String::from_utf8(head).expect("ASCII"));
            stream.write_all(response).await.expect("a client");
        }
        requests
    }
}

fn client(origins: &[Origin]) -> NetworkClient {
    NetworkClient {
        grant: HttpGrant {
            origins: origins.to_vec(),
            networks: Vec::new(),
        },
        kept: Mutex::default(),
    }
}

fn get() -> Request<Bytes> {
    let request = Request::get("/path?query").header("x-own", "1");
    request.body(Bytes::new()).expect("legal")
}

#[tokio::test]
async fn a_request_goes_out_and_its_connection_is_used_again() {
    let server = Server::start().await;
    let client = server.client();
    let ask = async || {
        client
            .send(server.origin.clone(), get())
            .await
            .expect("a response")
    };
    let twice = async { [ask().await, ask().await] };
    let (requests, responses) = tokio::join!(server.respond(&[OK, OK]), twice);
    let expected = format!(
        "GET /path?query HTTP/1.1\r\nx-own: 1\r\nhost: 127.0.0.1:{}\r\n\r\n",
        server.origin.port
    );
    assert_eq!(requests, [expected.clone(), expected]);
    for response in responses {
        assert_eq!(
            (response.status().as_u16(), &response.body()[..]),
            (200, &b"hi"[..])
        );
        assert_eq!(response.headers()["x-a"], "b");
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_is_not_used_again() {
    let server = Server::start().await;
    let client = server.client();
    for _ in 0..2 {
        // The server closes each connection after its response.
        let asked = client.send(server.origin.clone(), get());
        let (_, response) = tokio::join!(server.respond(&[OK]), asked);
        assert!(response.is_ok());
    }
}

#[tokio::test]
async fn what_is_not_listed_is_not_connected_to() {
    let server = Server::start().await;
    let client = client(&[Origin {
        host: "localhost".into(),
        ..server.origin.clone()
    }]);
    let refused = client.send(server.origin.clone(), get()).await;
    assert!(matches!(refused, Err(Error::Origin(_))));
    let localhost = client.grant.origins[0].clone();
    let refused = client.send(localhost, get()).await;
    let Err(Error::Address { addresses, .. }) = refused else {
        panic!("loopback is not public");
    };
    assert!(addresses.contains("127.0.0.1"));
    let untouched = tokio::time::timeout(Duration::from_millis(1), server.listener.accept());
    assert!(untouched.await.is_err());
}

#[tokio::test]
async fn a_name_with_an_address_in_a_listed_network_is_connected_to() {
    let server = Server::start().await;
    let localhost = Origin {
        host: "localhost".into(),
        ..server.origin.clone()
    };
    let mut client = client(std::slice::from_ref(&localhost));
    client.grant.networks = vec!["127.0.0.0/8".parse().expect("a network")];
    let (requests, response) = tokio::join!(server.respond(&[OK]), client.send(localhost, get()));
    assert!(response.is_ok() && requests[0].contains("host: localhost:"));
}

#[tokio::test]
async fn responses_are_bounded() {
    let announced = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
        RESPONSE_MAX + 1
    );
    let streamed = [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec(),
        vec![b'x'; RESPONSE_MAX + 1],
    ]
    .concat();
    let head = format!(
        "HTTP/1.1 200 OK\r\nx-long: {}\r\n\r\n",
        "x".repeat(70 << 10)
    );
    let exactly = [
        format!("HTTP/1.1 200 OK\r\ncontent-length: {RESPONSE_MAX}\r\n\r\n").into_bytes(),
        vec![b'x'; RESPONSE_MAX],
    ]
    .concat();
    for (response, fits) in [
        (announced.into_bytes(), false),
        (streamed, false),
        (head.into_bytes(), false),
        (exactly, true),
    ] {
        let server = Server::start().await;
        let client = server.client();
        let asked = client.send(server.origin.clone(), get());
        let serving = async {
            let (mut stream, _) = server.listener.accept().await.expect("a connection");
            // The client hangs up when it has seen enough.
            let _ = stream.write_all(&response).await;
            stream
        };
        let (_, asked) = tokio::join!(serving, asked);
        match asked {
            Ok(response) => assert!(fits && response.body().len() == RESPONSE_MAX),
            Err(error) => assert!(!fits && matches!(error, Error::TooLarge(_)), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_or_breaks_off_is_told_apart() {
    let server = Server::start().await;
    let client = server.client();
    let half: [&[u8]; 1] = [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi"];
    let asked = client.send(server.origin.clone(), get());
    let (_, broken) = tokio::join!(server.respond(&half), asked);
    assert!(matches!(broken, Err(Error::Broken { .. })));
    let origin = server.origin.clone();
    drop(server);
    let refused = client.send(origin, get()).await;
    assert!(matches!(refused, Err(Error::Connect { .. })));
}

#[tokio::test]
async fn whoever_does_not_wait_any_more_closes_the_connection() {
    let server = Server::start().await;
    let client = server.client();
    let asked = client.send(server.origin.clone(), get());
    let serving = async {
        let (mut stream, _) = server.listener.accept().await.expect("a connection");
        stream.read_u8().await.expect("a request");
        stream
    };
    let mut stream = tokio::select! {
        stream = serving => stream,
        _ = asked => panic!("nobody has responded"),
    };
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("it ends");
}

#[test]
fn the_host_has_its_port_unless_it_is_the_usual_one() {
    let origin = |tls, name: &str, port| Origin {
        tls,
        host: name.into(),
        port,
    };
    for (origin, expected) in [
        (origin(true, "a.example", 443), "a.example"),
        (origin(true, "a.example", 80), "a.example:80"),
        (origin(false, "a.example", 80), "a.example"),
        (origin(false, "::1", 8080), "[::1]:8080"),
    ] {
        assert_eq!(host(&origin), expected);
    }
}
