//! The way of a stream through the framing: cut at every byte, its events are always the same, and only their batches differ.

use std::collections::BTreeSet;

use bytes::Bytes;
use sluicegate_framing::{Batch, Decoder, Limits};

pub use sluicegate_framing::Framing;

/// How a server may write a stream: before each record, between its end and the next one.
const SSE: [[&str; 2]; 2] = [["data: ", "\n\n"], [": ping\r\n\r\ndata:", "\r\n\r\n"]];
const NDJSON: [[&str; 2]; 2] = [["", "\n"], ["\r\n", "\r\n"]];

/// The sizes of the batches in which a stream of these records arrives: at once, in single bytes, and cut in two at every byte.
/// They are all ways to divide it into two batches, and more where one would be too large.
///
/// # Panics
/// If the events are not the records.
pub fn batchings(framing: Framing, records: &[String]) -> BTreeSet<Vec<usize>> {
    let ways = match framing {
        Framing::Sse => SSE,
        Framing::Ndjson => NDJSON,
        Framing::Document => panic!("a document is no stream"),
    };
    let mut found = BTreeSet::new();
    for [before, after] in ways {
        let write = |record: &String| [before, record, after].concat();
        let body = Bytes::from(records.iter().map(write).collect::<String>());
        let mut add = |chunks: &mut dyn Iterator<Item = Bytes>, cut: &str| {
            let batches = decoded(framing, chunks);
            let events = batches.iter().flat_map(|batch| &batch.events);
            assert!(
                events
                    .map(|event| &*event.data)
                    .eq(records.iter().map(String::as_bytes)),
                "{cut} of {records:?}"
            );
            found.insert(batches.iter().map(|batch| batch.events.len()).collect());
        };
        let mut bytes = (0..body.len()).map(|at| body.slice(at..=at));
        add(&mut bytes, "single bytes");
        for at in 0..body.len() {
            let mut two = [body.slice(..at), body.slice(at..)].into_iter();
            add(&mut two, "two chunks");
        }
    }
    found
}

fn decoded(framing: Framing, chunks: &mut dyn Iterator<Item = Bytes>) -> Vec<Batch> {
    let mut decoder = Decoder::new(framing, Limits::default());
    let mut batches = Vec::new();
    for chunk in chunks {
        decoder.feed(chunk);
        while let Some(batch) = decoder.next_batch().expect("within the limits") {
            batches.push(batch);
        }
    }
    while let Some(batch) = decoder.finish().expect("within the limits") {
        batches.push(batch);
    }
    batches
}
