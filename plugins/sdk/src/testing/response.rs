//! Scripts what the model server sends back.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use sluicegate_contract::Framing;

use crate::types::{Event, Field};

/// A scripted response.
#[derive(Clone, Debug)]
pub struct Response {
    pub(super) status: u16,
    pub(super) fields: Vec<Field>,
    /// How the body is framed when it is shown as bytes.
    pub(super) framing: Framing,
    pub(super) records: Vec<Record>,
    pub(super) batches: Vec<usize>,
    pub(super) ending: Ending,
}

/// An event whose data may be invalid UTF-8.
#[derive(Clone, Debug)]
pub(super) struct Record {
    name: String,
    id: Option<String>,
    data: Vec<u8>,
}

/// How a response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Complete,
    /// The model server breaks off.
    Broken,
    /// The client leaves.
    Left,
}

impl Response {
    /// A response with a status and no body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            fields: Vec::new(),
            framing: Framing::Document,
            records: vec![Record::data("")],
            batches: vec![32],
            ending: Ending::Complete,
        }
    }

    /// 200 with a JSON value.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        let body = serde_json::to_vec(value).expect("a test's value is JSON");
        Self::new(200)
            .header("content-type", "application/json")
            .body(body)
    }

    /// 200 with lines of NDJSON.
    pub fn ndjson<T: Into<Vec<u8>>>(lines: impl IntoIterator<Item = T>) -> Self {
        let mut response = Self::new(200).header("content-type", "application/x-ndjson");
        response.framing = Framing::Ndjson;
        response.records = lines.into_iter().map(Record::data).collect();
        response
    }

    /// 200 with SSE events that have only data.
    pub fn sse<T: Into<Vec<u8>>>(data: impl IntoIterator<Item = T>) -> Self {
        Self::streamed(data.into_iter().map(Record::data).collect())
    }

    /// 200 with SSE events.
    pub fn events(events: impl IntoIterator<Item = Event>) -> Self {
        let record = |event: Event| Record {
            name: event.name,
            id: event.id,
            data: event.data.into(),
        };
        Self::streamed(events.into_iter().map(record).collect())
    }

    fn streamed(records: Vec<Record>) -> Self {
        let mut response = Self::new(200).header("content-type", "text/event-stream");
        response.framing = Framing::Sse;
        response.records = records;
        response
    }

    /// Replaces the status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a header field. The content type decides how the gateway treats the response; the scripted events stay the same.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.fields
            .push(Field::new(name.to_ascii_lowercase(), value));
        self
    }

    /// Sets a body that is not a stream: one event, with any content type.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.framing = Framing::Document;
        self.records = vec![Record::data(body)];
        self
    }

    /// Divides the events into batches of these sizes, repeatedly; 32 by default. A size of 0 counts as 1.
    #[must_use]
    pub fn batches(mut self, sizes: &[usize]) -> Self {
        self.batches = sizes.to_vec();
        self
    }

    /// The model server breaks off after the last event. A stage is shown that failure, `upstream_broken`; an adapter is not.
    #[must_use]
    pub fn broken(mut self) -> Self {
        self.ending = Ending::Broken;
        self
    }

    /// The client leaves after the last event and before the end: only `closed` follows, with `client_closed`.
    #[must_use]
    pub fn left(mut self) -> Self {
        self.ending = Ending::Left;
        self
    }

    /// The events in their batches.
    pub(super) fn in_batches(&self) -> Vec<&[Record]> {
        let mut sizes = self.batches.iter().cycle().map(|&size| size.max(1));
        let mut rest = self.records.as_slice();
        let mut batches = Vec::new();
        while !rest.is_empty() {
            let size = sizes.next().unwrap_or(1).min(rest.len());
            let (batch, tail) = rest.split_at(size);
            batches.push(batch);
            rest = tail;
        }
        batches
    }

    /// The body as bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for record in &self.records {
            record.encode(self.framing, &mut out);
        }
        out
    }
}

impl Record {
    fn data(data: impl Into<Vec<u8>>) -> Self {
        Self {
            name: String::new(),
            id: None,
            data: data.into(),
        }
    }

    /// The event as a stage sees it: invalid UTF-8 is replaced.
    pub(super) fn event(&self) -> Event {
        Event {
            name: self.name.clone(),
            data: String::from_utf8_lossy(&self.data).into_owned(),
            id: self.id.clone(),
        }
    }

    /// Appends the event as bytes of a body.
    pub(super) fn encode(&self, framing: Framing, out: &mut Vec<u8>) {
        encode(framing, &self.name, self.id.as_deref(), &self.data, out);
    }
}

/// Appends an event as bytes of a body.
pub(super) fn encode_event(framing: Framing, event: &Event, out: &mut Vec<u8>) {
    let data = event.data.as_bytes();
    encode(framing, &event.name, event.id.as_deref(), data, out);
}

fn encode(framing: Framing, name: &str, id: Option<&str>, data: &[u8], out: &mut Vec<u8>) {
    match framing {
        Framing::Document => out.extend_from_slice(data),
        Framing::Ndjson => {
            out.extend_from_slice(data);
            out.push(b'\n');
        }
        Framing::Sse => {
            if !name.is_empty() {
                out.extend_from_slice(format!("event: {name}\n").as_bytes());
            }
            if let Some(id) = id {
                out.extend_from_slice(format!("id: {id}\n").as_bytes());
            }
            for line in data.split(|&b| b == b'\n') {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(line);
                out.push(b'\n');
            }
            out.push(b'\n');
        }
    }
}

/// Scripted header fields.
pub(super) fn header_map(fields: &[Field]) -> HeaderMap {
    let pairs = fields.iter().map(|field| {
        let name: HeaderName = field.name.parse().expect("a test's field has a legal name");
        let value =
            HeaderValue::from_bytes(&field.value).expect("a test's field has a legal value");
        (name, value)
    });
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(name, value);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_the_sizes_asked_for() {
        let sizes = |response: Response| -> Vec<usize> {
            response
                .in_batches()
                .into_iter()
                .map(<[Record]>::len)
                .collect()
        };
        let lines = || Response::ndjson(["1", "2", "3", "4", "5"]);
        assert_eq!(sizes(lines()), [5]);
        assert_eq!(sizes(lines().batches(&[1, 3])), [1, 3, 1]);
        assert_eq!(sizes(lines().batches(&[0])), [1, 1, 1, 1, 1]);
        assert_eq!(sizes(lines().batches(&[])), [1, 1, 1, 1, 1]);
        assert!(sizes(Response::ndjson::<&str>([])).is_empty());
    }

    #[test]
    fn encoding_frames_every_line() {
        let named = Event {
            name: "n".into(),
            data: "a\nb".into(),
            id: Some("7".into()),
        };
        assert_eq!(
            Response::events([named]).bytes(),
            b"event: n\nid: 7\ndata: a\ndata: b\n\n"
        );
        assert_eq!(Response::ndjson(["{}"]).bytes(), b"{}\n");
        assert_eq!(Response::new(200).body("{}").bytes(), b"{}");
    }
}
