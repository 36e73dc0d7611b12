//! Framing: how fast streams are decoded into events and encoded again.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use sluicegate_framing::{Decoder, Event, Framing, Limits, encode};

use crate::measure::Bench;
use crate::stage::LINE;

/// Events of one run.
const EVENTS: usize = 1_024;
/// Bytes per read, as from a socket.
const READ: usize = 16 * 1024;

/// Decodes and encodes both framings.
pub(crate) fn run(bench: &mut Bench) {
    let chunk = br#"{"id":"chatcmpl-abcdefghijklmnop","object":"chat.completion.chunk","created":1785578400,"model":"qwen3:32b","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"content":" scattered"},"finish_reason":null}]}"#;
    for (name, framing, data) in [
        ("SSE", Framing::Sse, chunk.as_slice()),
        ("NDJSON", Framing::Ndjson, LINE),
    ] {
        let event = Event::data(Bytes::from_static(data));
        let events = vec![event; EVENTS];
        let mut stream = BytesMut::new();
        encode(framing, &events, &mut stream);
        let stream = stream.freeze();

        bench.megabytes(
            &format!("framing: {name} decoded"),
            stream.len(),
            async || {
                assert_eq!(decode(framing, &stream), EVENTS);
            },
        );
        let mut out = BytesMut::with_capacity(stream.len() + 64 * EVENTS);
        bench.megabytes(
            &format!("framing: {name} encoded"),
            stream.len(),
            async || {
                out.clear();
                encode(framing, &events, &mut out);
                black_box(&out);
            },
        );
    }
}

/// How many events there are.
fn decode(framing: Framing, stream: &Bytes) -> usize {
    let mut decoder = Decoder::new(framing, Limits::default());
    let mut found = 0;
    let mut at = 0;
    while at < stream.len() {
        let end = (at + READ).min(stream.len());
        decoder.feed(stream.slice(at..end));
        at = end;
        while let Some(batch) = decoder.next_batch().expect("small events") {
            found += black_box(batch).events.len();
        }
    }
    found
}
