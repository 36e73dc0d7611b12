//! HTTP/1.1 messages as they are on the wire, to the byte: for the scripted server and the raw client.
//!
//! Small on purpose, and strict: what it cannot read makes the test fail.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Header fields in the order and with the letter case in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, Vec<u8>)>);

impl Fields {
    /// The value of the first field of this name, in any letter case; `None` also where it is not UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    /// The values of all fields of this name, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self
            .0
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named
            .filter_map(|(_, value)| std::str::from_utf8(value).ok())
            .collect()
    }

    /// Whether there is a field of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    }
}

/// A start line and its fields.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// The three parts of the start line; the last one may hold blanks.
    pub(crate) start: [String; 3],
    pub(crate) fields: Fields,
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Known(usize),
    Chunked,
    UntilClose,
}

/// One direction of a connection, with what was read ahead.
#[derive(Debug)]
pub(crate) struct Source<R> {
    read: R,
    ahead: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Source<R> {
    pub(crate) fn new(read: R) -> Self {
        Self {
            read,
            ahead: Vec::new(),
        }
    }

    /// The next head; `None` if the connection ended before its first byte.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = find(&self.ahead, b"\r\n\r\n") {
                let head: Vec<u8> = self.ahead.drain(..end + 4).collect();
                return parse(&head[..end]).map(Some);
            }
            if !self.fill().await? {
                return match self.ahead.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// A body; `false` if the connection ended before the body did.
    pub(crate) async fn body(&mut self, length: Length) -> io::Result<(Vec<u8>, bool)> {
        let mut body = Vec::new();
        loop {
            match self.chunk(length, body.len()).await? {
                Chunk::Data(data) => body.extend(data),
                Chunk::End => return Ok((body, true)),
                Chunk::Cut(data) => {
                    body.extend(data);
                    return Ok((body, false));
                }
            }
        }
    }

    /// The next chunk of a body of which `so_far` bytes have been read: whatever is there, or one chunk.
    pub(crate) async fn chunk(&mut self, length: Length, so_far: usize) -> io::Result<Chunk> {
        match length {
            Length::Known(total) if so_far >= total => Ok(Chunk::End),
            Length::Known(total) => {
                if self.ahead.is_empty() && !self.more().await {
                    return Ok(Chunk::Cut(Vec::new()));
                }
                let count = self.ahead.len().min(total - so_far);
                Ok(Chunk::Data(self.ahead.drain(..count).collect()))
            }
            Length::UntilClose => {
                if self.ahead.is_empty() && !self.more().await {
                    return Ok(Chunk::End);
                }
                Ok(Chunk::Data(std::mem::take(&mut self.ahead)))
            }
            Length::Chunked => self.transfer_chunk().await,
        }
    }

    async fn transfer_chunk(&mut self) -> io::Result<Chunk> {
        let Some(line) = self.line().await else {
            return Ok(Chunk::Cut(Vec::new()));
        };
        let digits = line.split(';').next().unwrap_or_default();
        let size =
            usize::from_str_radix(digits.trim(), 16).map_err(|_| invalid("a chunk size", &line))?;
        if size == 0 {
            // Trailers, up to the empty line.
            loop {
                match self.line().await {
                    Some(line) if line.is_empty() => return Ok(Chunk::End),
                    Some(_) => {}
                    None => return Ok(Chunk::Cut(Vec::new())),
                }
            }
        }
        while self.ahead.len() < size + 2 {
            if !self.more().await {
                let count = size.min(self.ahead.len());
                return Ok(Chunk::Cut(self.ahead.drain(..count).collect()));
            }
        }
        let data = self.ahead.drain(..size).collect();
        self.ahead.drain(..2);
        Ok(Chunk::Data(data))
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.ahead, b"\r\n") {
                let line: Vec<u8> = self.ahead.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Comes back when the other side has closed, or broken, the connection.
    pub(crate) async fn gone(&mut self) {
        while self.more().await {}
    }

    /// Like `fill`, but a broken connection counts as a closed one.
    async fn more(&mut self) -> bool {
        self.fill().await.unwrap_or(false)
    }

    /// Reads on; `false` at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        Ok(self.read.read_buf(&mut self.ahead).await? > 0)
    }
}

/// A chunk of a body.
#[derive(Debug)]
pub(crate) enum Chunk {
    Data(Vec<u8>),
    End,
    /// The connection ended first; this had come.
    Cut(Vec<u8>),
}

impl Head {
    /// How long a request's body is.
    pub(crate) fn request_length(&self) -> io::Result<Length> {
        Ok(self.given_length()?.unwrap_or(Length::Known(0)))
    }

    /// How long the body of a response to a request of this method is.
    pub(crate) fn response_length(&self, method: &str) -> io::Result<Length> {
        let status = self.start[1].as_str();
        if method == "HEAD" || status.starts_with('1') || status == "204" || status == "304" {
            return Ok(Length::Known(0));
        }
        Ok(self.given_length()?.unwrap_or(Length::UntilClose))
    }

    fn given_length(&self) -> io::Result<Option<Length>> {
        let chunked = |value: &str| value.to_ascii_lowercase().ends_with("chunked");
        if self.fields.get("transfer-encoding").is_some_and(chunked) {
            return Ok(Some(Length::Chunked));
        }
        match self.fields.get("content-length") {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(length) => Ok(Some(Length::Known(length))),
                Err(_) => Err(invalid("a content-length", text)),
            },
        }
    }
}

fn parse(head: &[u8]) -> io::Result<Head> {
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let start = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let mut parts = start.splitn(3, ' ').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    let fields = lines
        .map(|line| {
            let colon = find(line, b":")
                .ok_or_else(|| invalid("a field", &String::from_utf8_lossy(line)))?;
            let name = String::from_utf8_lossy(&line[..colon]).into_owned();
            Ok((name, line[colon + 1..].trim_ascii().to_vec()))
        })
        .collect::<io::Result<_>>()?;
    Ok(Head {
        start: [part(), part(), part()],
        fields: Fields(fields),
    })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

fn invalid(what: &str, found: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not {what}: {found:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> (Head, Vec<u8>, bool) {
        let mut source = Source::new(bytes);
        let head = source.head().await.expect("legal").expect("a head");
        let length = head.response_length("GET").expect("a length");
        let (body, complete) = source.body(length).await.expect("a body");
        (head, body, complete)
    }

    #[tokio::test]
    async fn bodies_are_read_by_each_kind_of_length() {
        for (bytes, body, complete) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi there"[..], "hi", true),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi", "hi", false),
            (b"HTTP/1.1 200 OK\r\n\r\nhi", "hi", true),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\nt: 1\r\n\r\n", "hi", true),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n", "hi", false),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhi", "hi", false),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "", false),
            (b"HTTP/1.1 204 No Content\r\n\r\n", "", true),
        ] {
            let (_, read, ended) = read(bytes).await;
            assert_eq!((String::from_utf8_lossy(&read).as_ref(), ended), (body, complete));
        }
    }

    #[tokio::test]
    async fn fields_keep_their_order_and_case() {
        let (head, ..) = read(
            b"HTTP/1.1 200 All Right\r\nX-A:  1 \r\nx-a: 2\r\nb:\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
        assert_eq!(head.start, ["HTTP/1.1", "200", "All Right"]);
        assert_eq!(head.fields.0[0].0, "X-A");
        assert_eq!(head.fields.get("x-A"), Some("1"));
        assert_eq!(head.fields.all("x-a"), ["1", "2"]);
        assert!(head.fields.has("B") && !head.fields.has("c"));
    }

    #[tokio::test]
    async fn a_connection_that_ends_in_a_head_is_an_error_and_before_it_is_not() {
        assert!(
            Source::new(&b""[..])
                .head()
                .await
                .is_ok_and(|head| head.is_none())
        );
        assert!(Source::new(&b"GET / HT"[..]).head().await.is_err());
        assert!(
            Source::new(&b"GET / HTTP/1.1\r\nno colon\r\n\r\n"[..])
                .head()
                .await
                .is_err()
        );
        let mut source = Source::new(&b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n"[..]);
        let head = source.head().await.expect("legal").expect("a head");
        assert!(head.request_length().is_err());
    }
}
