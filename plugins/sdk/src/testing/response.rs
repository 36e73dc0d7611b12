//! What the model server answers.

use serde::Serialize;

use crate::types::{Event, Field, Framing};

/// A scripted response.
#[derive(Clone, Debug)]
pub struct Response {
    pub(super) status: u16,
    pub(super) fields: Vec<Field>,
    pub(super) framing: Framing,
    pub(super) events: Vec<Event>,
    pub(super) batches: Vec<usize>,
    pub(super) broken: bool,
}

impl Response {
    /// A response with a status and no body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            fields: Vec::new(),
            framing: Framing::Document,
            events: vec![Event::data("")],
            batches: vec![32],
            broken: false,
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
        response.events = lines.into_iter().map(Event::data).collect();
        response
    }

    /// 200 with SSE events that have data and no name.
    pub fn sse<T: Into<Vec<u8>>>(data: impl IntoIterator<Item = T>) -> Self {
        Self::events(data.into_iter().map(Event::data))
    }

    /// 200 with SSE events.
    pub fn events(events: impl IntoIterator<Item = Event>) -> Self {
        let mut response = Self::new(200).header("content-type", "text/event-stream");
        response.framing = Framing::Sse;
        response.events = events.into_iter().collect();
        response
    }

    /// Replaces the status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a header field. It does not change how the body is framed.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.fields
            .push(Field::new(name.to_ascii_lowercase(), value));
        self
    }

    /// Sets a body that is no stream.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.framing = Framing::Document;
        self.events = vec![Event::data(body)];
        self
    }

    /// Cuts the events into batches of these sizes, over and over; 32 where this is not called. A size of 0 counts as 1.
    #[must_use]
    pub fn batches(mut self, sizes: &[usize]) -> Self {
        self.batches = sizes.to_vec();
        self
    }

    /// The model server breaks off after the last event: `response_end` is not called.
    #[must_use]
    pub fn broken(mut self) -> Self {
        self.broken = true;
        self
    }

    /// The events in their batches.
    pub(super) fn in_batches(&self) -> Vec<Vec<Event>> {
        let mut sizes = self.batches.iter().cycle().map(|&size| size.max(1));
        let mut rest = self.events.as_slice();
        let mut batches = Vec::new();
        while !rest.is_empty() {
            let size = sizes.next().unwrap_or(1).min(rest.len());
            let (batch, tail) = rest.split_at(size);
            batches.push(batch.to_vec());
            rest = tail;
        }
        batches
    }
}

/// Events as the octets of a body.
pub(super) fn encode(framing: Framing, events: &[Event]) -> Vec<u8> {
    let mut out = Vec::new();
    for event in events {
        match framing {
            Framing::Document => out.extend_from_slice(&event.data),
            Framing::Ndjson => {
                out.extend_from_slice(&event.data);
                out.push(b'\n');
            }
            Framing::Sse => {
                if !event.name.is_empty() {
                    out.extend_from_slice(format!("event: {}\n", event.name).as_bytes());
                }
                for line in event.data.split(|&b| b == b'\n') {
                    out.extend_from_slice(b"data: ");
                    out.extend_from_slice(line);
                    out.push(b'\n');
                }
                out.push(b'\n');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_the_sizes_asked_for() {
        let sizes = |response: Response| -> Vec<usize> {
            response.in_batches().iter().map(Vec::len).collect()
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
            data: b"a\nb".to_vec(),
        };
        assert_eq!(
            encode(Framing::Sse, &[named]),
            b"event: n\ndata: a\ndata: b\n\n"
        );
        assert_eq!(encode(Framing::Ndjson, &[Event::data("{}")]), b"{}\n");
        assert_eq!(encode(Framing::Document, &[Event::data("{}")]), b"{}");
    }
}
