//! What holds for whatever a model server sends, and for whatever a client has made the gateway ask.

use bytes::BytesMut;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Uri};
use proptest::prelude::*;

use super::Body;
use super::content::Content;
use super::head::{self, Head, Sends};

/// `input` in parts of these sizes, which are repeated as often as needed.
fn cut<'a>(mut input: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    for size in sizes.iter().cycle() {
        if input.is_empty() {
            break;
        }
        let (part, rest) = input.split_at((*size).min(input.len()));
        parts.push(part);
        input = rest;
    }
    parts
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1_usize..9, 1..20)
}

/// Bytes in which the words of a grammar are more likely than chance would have them.
fn bytes(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec());
    let any = prop::collection::vec(any::<u8>(), 1..4);
    prop::collection::vec(prop_oneof![8 => word, 1 => any], 0..40).prop_map(|parts| parts.concat())
}

/// What a head says, and what is left behind it; or why there is none; or that more is needed.
type Read = Result<Option<(String, Content, bool, Vec<u8>)>, String>;

/// Reads a head from parts as a connection does.
fn read_head(parts: &[&[u8]]) -> Read {
    let mut buffer = BytesMut::new();
    let mut found: Option<Head> = None;
    for part in parts {
        buffer.extend_from_slice(part);
        if found.is_none() {
            found = head::take(&mut buffer).map_err(|broken| broken.to_string())?;
        }
    }
    Ok(found.map(|head| {
        let what = format!(
            "{:?} {} {:?}",
            head.parts.version, head.parts.status, head.parts.headers
        );
        (what, head.content, head.keep_alive, buffer.to_vec())
    }))
}

const HEAD_WORDS: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 200\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 204 \r\n",
    "HTTP/1.",
    "content-length: 5\r\n",
    "content-length: 6, 6\r\n",
    "Content-Length:",
    "transfer-encoding: chunked\r\n",
    "transfer-encoding: gzip, chunked\r\n",
    "connection: close, x\r\n",
    "connection: keep-alive\r\n",
    "x-a:",
    "a",
    ":",
    " ",
    "\t",
    "\r",
    "\n",
    "\r\n",
    "\r\n\r\n",
    "18446744073709551616",
    "\u{e4}",
    ",",
];

/// A name that is not one of those that frame a body.
fn name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}".prop_filter("of the framing", |name| {
        !matches!(
            name.to_ascii_lowercase().as_str(),
            "content-length" | "transfer-encoding" | "connection"
        )
    })
}

/// Bytes that a field's value may have, without blanks around them.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'\t'), 0x20_u8..0x7f, 0x80_u8..=0xff];
    prop::collection::vec(byte, 0..20).prop_map(|bytes| bytes.trim_ascii().to_vec())
}

fn fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    prop::collection::vec((name(), value()), 0..12)
}

/// All bytes of `part`, in this order, are in `whole`.
fn is_within(part: &[u8], whole: &[u8]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|byte| whole.any(|other| other == byte))
}

/// What became of a body: its own bytes, how many were taken in all, whether it is complete, and why not.
fn read_body(mut content: Content, parts: &[&[u8]]) -> (Vec<u8>, usize, bool, Option<String>) {
    let (mut body, mut all) = (Vec::new(), 0);
    for part in parts {
        let mut bytes = part.to_vec();
        let taken = content.take(&mut bytes);
        assert!(taken.kept <= taken.consumed && taken.consumed <= part.len());
        body.extend_from_slice(&bytes[..taken.kept]);
        all += taken.consumed;
        if let Some(broken) = taken.error {
            return (body, all, content.is_complete(), Some(broken.to_string()));
        }
    }
    (body, all, content.is_complete(), None)
}

const BODY_WORDS: &[&str] = &[
    "0\r\n",
    "5\r\nhello\r\n",
    "1;a=b\r\n",
    "\r\n",
    "\r",
    "\n",
    "0",
    "5",
    "a",
    "F",
    ";",
    " ",
    "x: y\r\n",
    "hello",
    "ffffffffffffffff",
    "10000000000000000\r\n",
];

fn contents() -> impl Strategy<Value = Content> {
    prop_oneof![
        4 => Just(Content::CHUNKED),
        1 => (0_u64..60).prop_map(Content::Length),
        1 => Just(Content::Length(u64::MAX)),
        1 => Just(Content::ToEnd),
    ]
}

/// A chunk as some server may write it: zeros before its size, any letter case, an extension.
fn chunk() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let data = prop::collection::vec(any::<u8>(), 1..40);
    let line = (
        0_usize..4,
        any::<bool>(),
        "(|[ \t]*;[ -~]{0,10}|[ \t]{1,3})",
    );
    (data, line).prop_map(|(data, (zeros, upper, after))| {
        let size = if upper {
            format!("{:X}", data.len())
        } else {
            format!("{:x}", data.len())
        };
        let mut bytes = format!("{}{size}{after}\r\n", "0".repeat(zeros)).into_bytes();
        bytes.extend_from_slice(&data);
        bytes.extend_from_slice(b"\r\n");
        (data, bytes)
    })
}

proptest! {
    #[test]
    fn any_bytes_are_a_head_or_an_error_however_they_are_cut(
        begins in prop::sample::select(vec!["HTTP/1.1 200 OK\r\n", "HTTP/1.0 404 \r\n", ""]),
        bytes in bytes(HEAD_WORDS),
        sizes in sizes(),
    ) {
        let bytes = [begins.as_bytes(), &bytes].concat();
        let whole = read_head(&[&bytes]);
        prop_assert_eq!(read_head(&cut(&bytes, &sizes)), whole);
    }

    #[test]
    fn a_head_is_read_as_it_was_written(
        status in 200_u16..1000,
        reason in "[ -~]{0,20}",
        fields in fields(),
        blanks in ("[ \t]{0,3}", "[ \t]{0,3}"),
        length in prop::option::of(any::<u64>()),
        body in prop::collection::vec(any::<u8>(), 0..20),
        sizes in sizes(),
    ) {
        let mut bytes = format!("HTTP/1.1 {status} {reason}\r\n").into_bytes();
        for (name, value) in &fields {
            bytes.extend_from_slice(format!("{name}:{}", blanks.0).as_bytes());
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(format!("{}\r\n", blanks.1).as_bytes());
        }
        if let Some(length) = length {
            bytes.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        let end = bytes.len();
        bytes.extend_from_slice(&body);

        let mut buffer = BytesMut::new();
        let mut found = None;
        for part in cut(&bytes, &sizes) {
            buffer.extend_from_slice(part);
            if found.is_none() {
                found = head::take(&mut buffer)?;
                let got = bytes.len() - buffer.len();
                prop_assert!(found.is_none() || got >= end, "whole before its end");
            }
        }
        let head = found.expect("it came whole");
        prop_assert_eq!(&buffer[..], &body[..]);
        prop_assert_eq!(head.parts.status.as_u16(), status);
        let expected = match (status, length) {
            (204 | 304, _) => Content::Length(0),
            (_, Some(length)) => Content::Length(length),
            (_, None) => Content::ToEnd,
        };
        prop_assert_eq!(head.content, expected);
        let mut read = head.parts.headers;
        read.remove(header::CONTENT_LENGTH);
        let mut written = HeaderMap::new();
        for (name, value) in &fields {
            written.append(HeaderName::try_from(name)?, HeaderValue::from_bytes(value)?);
        }
        prop_assert_eq!(read, written);
    }

    #[test]
    fn any_bytes_are_a_body_or_an_error_however_they_are_cut(
        content in contents(),
        bytes in bytes(BODY_WORDS),
        sizes in sizes(),
    ) {
        let whole = read_body(content, &[&bytes]);
        prop_assert!(is_within(&whole.0, &bytes), "a body of what was not sent");
        prop_assert_eq!(read_body(content, &cut(&bytes, &sizes)), whole);
    }

    #[test]
    fn chunks_are_read_as_they_were_written(
        chunks in prop::collection::vec(chunk(), 0..8),
        zeros in 1_usize..4,
        trailers in fields(),
        rest in prop::collection::vec(any::<u8>(), 0..20),
        sizes in sizes(),
    ) {
        let (data, bytes): (Vec<_>, Vec<_>) = chunks.into_iter().unzip();
        let mut bytes = bytes.concat();
        bytes.extend_from_slice(format!("{}\r\n", "0".repeat(zeros)).as_bytes());
        for (name, value) in &trailers {
            bytes.extend_from_slice(format!("{name}: ").as_bytes());
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        let end = bytes.len();
        bytes.extend_from_slice(&rest);
        let read = read_body(Content::CHUNKED, &cut(&bytes, &sizes));
        prop_assert_eq!(read, (data.concat(), end, true, None));
    }

    /// Nothing of a field, a path or a query can become another field, or frame the body.
    #[test]
    fn a_request_is_read_as_it_was_asked_for(
        fields in fields(),
        path in "/[!-\"$-;=?-Z_a-z|~]{0,20}",
        body in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        method in prop::sample::select(vec![Method::GET, Method::POST, Method::DELETE]),
    ) {
        let Ok(uri) = path.parse::<Uri>() else { return Ok(()) };
        let mut request = Request::new(());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        for (name, value) in &fields {
            let value = HeaderValue::from_bytes(value)?;
            request.headers_mut().append(HeaderName::try_from(name)?, value);
        }
        let wanted = request.headers().clone();
        let length = body.as_ref().map_or(0, Vec::len);
        let (bytes, sends) = head::write(&request.into_parts().0, &Body::Full(body.map(Into::into)));

        let mut places = [httparse::EMPTY_HEADER; 64];
        let mut read = httparse::Request::new(&mut places);
        prop_assert_eq!(read.parse(&bytes)?, httparse::Status::Complete(bytes.len()));
        prop_assert_eq!(read.method, Some(method.as_str()));
        prop_assert_eq!(read.path, Some(path.as_str()));
        let mut got = HeaderMap::new();
        for field in read.headers {
            got.append(HeaderName::try_from(field.name)?, HeaderValue::from_bytes(field.value)?);
        }
        let announced = got.remove(header::CONTENT_LENGTH);
        prop_assert_eq!(sends, Sends::Plain);
        match announced {
            Some(announced) => prop_assert_eq!(announced.to_str()?, length.to_string()),
            None => prop_assert!(length == 0 && method != Method::POST),
        }
        prop_assert_eq!(got, wanted);
    }
}
