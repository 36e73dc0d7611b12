//! Requests and responses as text in files: a head, an empty line, and the body as it is.

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};

/// The most fields of a head in a file. Arbitrary; twice what a gateway accepts of a client.
const FIELDS: usize = 256;

/// A request or a response, as it is compared and shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    start: String,
    /// Sorted by their names.
    fields: Vec<(String, Bytes)>,
    body: Bytes,
}

impl Message {
    pub(super) fn of_request(request: &Request<Bytes>) -> Self {
        let start = format!("{} {} HTTP/1.1", request.method(), request.uri());
        Self::new(start, request.headers(), request.body())
    }

    pub(super) fn of_response(response: &Response<Bytes>) -> Self {
        let status = response.status();
        let reason = status.canonical_reason().unwrap_or_default();
        let start = format!("HTTP/1.1 {} {reason}", status.as_u16());
        Self::new(
            start.trim_end().to_owned(),
            response.headers(),
            response.body(),
        )
    }

    fn new(start: String, fields: &HeaderMap, body: &Bytes) -> Self {
        let field = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), Bytes::copy_from_slice(value.as_bytes()))
        };
        let mut fields: Vec<_> = fields.iter().map(field).collect();
        // Stable: fields of the same name keep their order.
        fields.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self {
            start,
            fields,
            body: body.clone(),
        }
    }

    /// Whether both say the same. Line ends at the end of the body do not count, since editors add and remove them.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        (&self.start, &self.fields) == (&other.start, &other.fields)
            && without_last_line_ends(&self.body) == without_last_line_ends(&other.body)
    }

    /// As a file. It ends with a line end.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\n", self.start).into_bytes();
        for (name, value) in &self.fields {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        }
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        if !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        bytes
    }

    /// As text for people: what is not UTF-8 is escaped.
    pub(super) fn to_text(&self) -> String {
        let bytes = self.to_bytes();
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            text.push_str(&chunk.invalid().escape_ascii().to_string());
        }
        text
    }
}

fn without_last_line_ends(body: &[u8]) -> &[u8] {
    let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let end = body.iter().rposition(|byte| !is_line_end(byte));
    &body[..end.map_or(0, |at| at + 1)]
}

/// Reads a request.
///
/// # Errors
/// What is wrong with it.
pub(super) fn request(file: &Bytes) -> Result<Request<Bytes>, String> {
    let wrong = "it must begin as a request does, such as `POST /v1/chat/completions HTTP/1.1`";
    parsed(file, |file| {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut head = httparse::Request::new(&mut fields);
        let at = end_of_head(head.parse(file), wrong)?;
        let method = head.method.unwrap_or_default().parse::<Method>();
        let uri = head.path.unwrap_or_default().parse::<Uri>();
        let mut request = Request::new(file.slice(at..));
        *request.method_mut() = method.map_err(|error| error.to_string())?;
        *request.uri_mut() = uri.map_err(|error| format!("its path: {error}"))?;
        *request.headers_mut() = map(head.headers)?;
        Ok(request)
    })
}

/// Reads a response.
///
/// # Errors
/// What is wrong with it.
pub(super) fn response(file: &Bytes) -> Result<Response<Bytes>, String> {
    let wrong = "it must begin as a response does, such as `HTTP/1.1 200 OK`";
    parsed(file, |file| {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        let at = end_of_head(head.parse(file), wrong)?;
        let status = StatusCode::from_u16(head.code.unwrap_or_default());
        let mut response = Response::new(file.slice(at..));
        *response.status_mut() = status.map_err(|error| error.to_string())?;
        *response.headers_mut() = map(head.headers)?;
        Ok(response)
    })
}

/// Parses a file; if its head has no empty line behind it, as if it had one.
fn parsed<T>(file: &Bytes, parse: impl Fn(&Bytes) -> Result<T, String>) -> Result<T, String> {
    let has_end = [&b"\n\n"[..], b"\n\r\n"];
    let has_end = has_end
        .iter()
        .any(|end| file.windows(end.len()).any(|part| part == *end));
    if has_end {
        parse(file)
    } else {
        let end: &[u8] = if file.ends_with(b"\n") {
            b"\n"
        } else {
            b"\n\n"
        };
        parse(&[file, end].concat().into())
    }
}

fn end_of_head(
    parsed: Result<httparse::Status<usize>, httparse::Error>,
    wrong: &str,
) -> Result<usize, String> {
    match parsed {
        Ok(httparse::Status::Complete(at)) => Ok(at),
        Ok(httparse::Status::Partial) => Err(wrong.to_owned()),
        Err(error) => Err(format!("{error}; {wrong}")),
    }
}

fn map(fields: &[httparse::Header<'_>]) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    for field in fields {
        let name = field.name.parse::<HeaderName>();
        let value = HeaderValue::from_bytes(field.value);
        let wrong = |error: String| format!("the field `{}`: {error}", field.name);
        map.append(
            name.map_err(|error| wrong(error.to_string()))?,
            value.map_err(|error| wrong(error.to_string()))?,
        );
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_with_either_line_end_and_its_body_kept() {
        for file in [
            "POST /a?b HTTP/1.1\nB: 2\nA: 1\n\n{\"x\":\r\n1}\n",
            "POST /a?b HTTP/1.1\r\nb: 2\r\na: 1\r\n\r\n{\"x\":\r\n1}\n",
        ] {
            let request = request(&file.into()).expect("a request");
            assert_eq!(request.body(), "{\"x\":\r\n1}\n");
            let text = "POST /a?b HTTP/1.1\na: 1\nb: 2\n\n{\"x\":\r\n1}\n";
            assert_eq!(Message::of_request(&request).to_text(), text);
        }
    }

    #[test]
    fn a_head_alone_needs_no_empty_line() {
        for file in [
            "GET /v1/models HTTP/1.1",
            "GET /v1/models HTTP/1.1\nhost: x\n",
        ] {
            let request = request(&file.into()).expect("a request");
            assert_eq!(
                (request.uri().path(), request.body().len()),
                ("/v1/models", 0)
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (file, words) in [
            ("", "begin as a request"),
            ("HTTP/1.1 200 OK\n\n", "begin as a request"),
            ("GET /\u{0} HTTP/1.1\n\n", "begin as a request"),
        ] {
            let error = request(&file.into()).expect_err(file);
            assert!(error.contains(words), "{file:?}: {error}");
        }
        let error = response(&"GET / HTTP/1.1\n\n".into()).expect_err("a request");
        assert!(error.contains("begin as a response"), "{error}");
    }

    #[test]
    fn reason_field_order_and_last_line_ends_do_not_count() {
        let read =
            |file: &'static str| Message::of_response(&response(&file.into()).expect("a response"));
        let one = read("HTTP/1.1 200 Fine\nb: 1\na: 2\n\nbody\n\n");
        let other = read("HTTP/1.1 200\nA: 2\nB: 1\n\nbody");
        assert!(one.says_the_same(&other) && one != other);
        for different in [
            "HTTP/1.1 201\nA: 2\nB: 1\n\nbody",
            "HTTP/1.1 200\nA: 2\n\nbody",
            "HTTP/1.1 200\nA: 2\nB: 1\n\nbod",
        ] {
            assert!(!one.says_the_same(&read(different)), "{different}");
        }
        assert!(one.to_text().starts_with("HTTP/1.1 200 OK\na: 2\n"));
    }
}
