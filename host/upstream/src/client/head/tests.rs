use super::*;

fn read(text: &str) -> Result<Option<Head>, Error> {
    take(&mut BytesMut::from(text))
}

fn framing_of(fields: &str) -> (Content, bool) {
    let head = read(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
    let head = head.expect("legal").expect("whole");
    (head.content, head.keep_alive)
}

fn refused(text: &str) -> &'static str {
    match read(text) {
        Err(Error::Head(reason)) => reason,
        other => panic!("{text:?} gave {other:?}"),
    }
}

fn refused_fields(fields: &str) -> &'static str {
    refused(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"))
}

#[test]
fn a_head_is_whole_only_with_its_last_byte_and_takes_nothing_behind_it() {
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: \u{e4}\r\nx-a: 2\r\n\r\nhello";
    for end in 0..text.len() - 5 {
        if text.is_char_boundary(end) {
            assert!(
                read(&text[..end]).expect("legal so far").is_none(),
                "whole after {end}"
            );
        }
    }
    let mut buffer = BytesMut::from(text);
    let head = take(&mut buffer).expect("legal").expect("whole");
    assert_eq!(&buffer[..], b"hello");
    assert_eq!((head.content, head.keep_alive), (Content::Length(5), true));
    let values: Vec<_> = head
        .parts
        .headers
        .get_all("x-a")
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    assert_eq!(values, ["\u{e4}".as_bytes(), b"2"]);
}

#[test]
fn interim_responses_are_left_out() {
    let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    assert!(read(text).expect("legal").is_none());
    let head = read(&format!(
        "{text}HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
    ));
    let head = head.expect("legal").expect("whole");
    assert_eq!(head.parts.status, StatusCode::NOT_FOUND);
    assert!(!head.parts.headers.contains_key("link"));
    let reason = "it switches protocols without being asked";
    assert_eq!(refused("HTTP/1.1 101 Switching Protocols\r\n\r\n"), reason);
}

#[test]
fn the_framing_is_that_of_the_rfc() {
    assert_eq!(
        framing_of("content-length: 7\r\n"),
        (Content::Length(7), true)
    );
    assert_eq!(
        framing_of("content-length: 7\r\ncontent-length: 7, 7\r\n"),
        (Content::Length(7), true)
    );
    assert_eq!(
        framing_of("transfer-encoding: Chunked\r\n"),
        (Content::CHUNKED, true)
    );
    assert_eq!(
        framing_of("transfer-encoding: chunked\r\nconnection: x, CLOSE\r\n"),
        (Content::CHUNKED, false)
    );
    // The chunks count, but whoever goes by the length sees something else.
    assert_eq!(
        framing_of("transfer-encoding: chunked\r\ncontent-length: 3\r\n"),
        (Content::CHUNKED, false)
    );
    assert_eq!(framing_of(""), (Content::ToEnd, false));
    for status in ["204 No Content", "304 Not Modified"] {
        let head = read(&format!("HTTP/1.1 {status}\r\ncontent-length: 9\r\n\r\n"));
        let head = head.expect("legal").expect("whole");
        assert_eq!(
            (head.content, head.keep_alive),
            (Content::Length(0), true),
            "{status}"
        );
    }
}

#[test]
fn http_1_0_is_kept_only_if_it_says_so() {
    for (field, keep_alive) in [("", false), ("connection: keep-alive\r\n", true)] {
        let head = read(&format!(
            "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n{field}\r\n"
        ));
        let head = head.expect("legal").expect("whole");
        assert_eq!(
            (head.content, head.keep_alive),
            (Content::Length(2), keep_alive)
        );
    }
}

#[test]
fn heads_that_make_no_sense_are_refused() {
    let number = "its content-length is not a number";
    for length in [
        "-1",
        "+1",
        "",
        "1.5",
        "0x10",
        "99999999999999999999",
        "5,",
        "\u{e4}",
    ] {
        assert_eq!(
            refused_fields(&format!("content-length: {length}\r\n")),
            number,
            "{length:?}"
        );
    }
    assert_eq!(
        refused_fields("content-length: 5\r\ncontent-length: 6\r\n"),
        "it has two different content-lengths"
    );
    let coding = "it has a transfer coding that was not requested";
    for codings in [
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "identity",
        "\u{e4}",
    ] {
        assert_eq!(
            refused_fields(&format!("transfer-encoding: {codings}\r\n")),
            coding,
            "{codings:?}"
        );
    }
    assert_eq!(
        refused("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        coding
    );
    for text in [
        "<html>\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
    ] {
        assert_eq!(refused(text), "it is not HTTP/1", "{text:?}");
    }
    assert_eq!(
        refused("HTTP/1.1 000 X\r\n\r\n"),
        "its status code is invalid"
    );
}

#[test]
fn a_head_is_bounded() {
    let large = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_MAX));
    assert_eq!(refused(&large), "it is too large");
    assert_eq!(refused(&format!("{large}\r\n\r\n")), "it is too large");
    let many = "x: y\r\n".repeat(FIELDS_MAX);
    assert!(
        read(&format!("HTTP/1.1 200 OK\r\n{many}\r\n"))
            .expect("legal")
            .is_some()
    );
    assert_eq!(
        refused_fields(&format!("{many}x: y\r\n")),
        "it has too many fields"
    );
}

#[test]
fn a_request_says_how_its_body_is_framed() {
    let written = |method: Method, body: Body| {
        let mut request = hyper::Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = "/api/chat?x=1".parse().expect("a path");
        let host = HeaderValue::from_static("model:1");
        request.headers_mut().insert(header::HOST, host);
        let (head, sends) = write(&request.into_parts().0, &body);
        (String::from_utf8(head.to_vec()).expect("ASCII"), sends)
    };
    let begins = |method: &str| format!("{method} /api/chat?x=1 HTTP/1.1\r\nhost: model:1\r\n");
    let (head, sends) = written(Method::POST, Body::full("hello".into()));
    assert_eq!(head, begins("POST") + "content-length: 5\r\n\r\n");
    assert_eq!(sends, Sends::Plain);
    assert_eq!(
        written(Method::POST, Body::Full(None)).0,
        begins("POST") + "content-length: 0\r\n\r\n"
    );
    assert_eq!(
        written(Method::GET, Body::Full(None)).0,
        begins("GET") + "\r\n"
    );
}
