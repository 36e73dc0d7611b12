//! Events to bytes.
//!
//! No event can break out of this framing: whatever a plugin puts into a name or into data, the reader at the other end sees
//! exactly the events that were given.

use bytes::BytesMut;
use memchr::{memchr2, memchr2_iter};
use sluicegate_contract::Framing;

use super::event::Event;

/// Appends events to `out` in the given framing.
///
/// # Shape
/// - SSE: an `event:` line if there is a name, an `id:` line if there is an id, a `data:` line for each line of the data (ended by LF, CRLF or CR, which all
///   come back as LF), a blank line. CR and LF in a name or an id become a blank.
/// - NDJSON: the data and LF. CR and LF inside the data become a blank, which JSON allows wherever it allows them. Names and ids are lost.
/// - Document: the data, one event after the other.
pub fn encode(framing: Framing, events: &[Event], out: &mut BytesMut) {
    // Field names, blanks and line ends of a usual event come to less than 32 bytes.
    let size = events.iter().map(|e| {
        let id = e.id.as_ref().map_or(0, |id| id.len() + 8);
        e.name.len() + id + e.data.len() + 32
    });
    out.reserve(size.sum());
    for event in events {
        match framing {
            Framing::Sse => sse(event, out),
            Framing::Ndjson => {
                one_line(&event.data, out);
                out.extend_from_slice(b"\n");
            }
            Framing::Document => out.extend_from_slice(&event.data),
        }
    }
}

fn sse(event: &Event, out: &mut BytesMut) {
    if !event.name.is_empty() {
        out.extend_from_slice(b"event: ");
        one_line(event.name.as_bytes(), out);
        out.extend_from_slice(b"\n");
    }
    if let Some(id) = &event.id {
        out.extend_from_slice(b"id: ");
        one_line(id.as_bytes(), out);
        out.extend_from_slice(b"\n");
    }
    let mut rest: &[u8] = &event.data;
    loop {
        out.extend_from_slice(b"data: ");
        let Some(end) = memchr2(b'\r', b'\n', rest) else {
            out.extend_from_slice(rest);
            out.extend_from_slice(b"\n\n");
            return;
        };
        out.extend_from_slice(&rest[..end]);
        out.extend_from_slice(b"\n");
        let crlf = rest[end..].starts_with(b"\r\n");
        rest = &rest[end + 1 + usize::from(crlf)..];
    }
}

/// Appends `bytes` with a blank for every CR and LF.
fn one_line(bytes: &[u8], out: &mut BytesMut) {
    let begin = out.len();
    out.extend_from_slice(bytes);
    for at in memchr2_iter(b'\r', b'\n', bytes) {
        out[begin + at] = b' ';
    }
}
