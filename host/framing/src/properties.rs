//! What holds for whatever a model server or a plugin puts into a stream, and however it arrives.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::{Batch, Decoder, Error, Event, Framing, Limits, encode};

const WIDE: Limits = Limits {
    event_bytes: 1 << 20,
    batch_events: 32,
    batch_bytes: 64 << 10,
};

const MARK: &[u8] = b"\xef\xbb\xbf";

/// Feeds the chunks, takes what there is after each, and finishes.
fn batches(framing: Framing, limits: Limits, chunks: &[&[u8]]) -> Result<Vec<Batch>, Error> {
    let mut decoder = Decoder::new(framing, limits);
    let mut all = Vec::new();
    for chunk in chunks {
        decoder.feed(Bytes::copy_from_slice(chunk));
        while let Some(batch) = decoder.next_batch()? {
            all.push(batch);
        }
    }
    while let Some(batch) = decoder.finish()? {
        all.push(batch);
    }
    Ok(all)
}

fn decode(framing: Framing, chunks: &[&[u8]]) -> Vec<Event> {
    let batches = batches(framing, WIDE, chunks).expect("within the limits");
    batches.into_iter().flat_map(|batch| batch.events).collect()
}

/// `input` in chunks of these sizes, which are repeated as often as needed.
fn cut<'a>(mut input: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for size in sizes.iter().cycle() {
        if input.is_empty() {
            break;
        }
        let (chunk, rest) = input.split_at((*size).min(input.len()));
        chunks.push(chunk);
        input = rest;
    }
    chunks
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1_usize..9, 1..20)
}

/// Any bytes, among which the words of the grammars are more likely than chance would have them.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let words: &'static [&[u8]] = &[
        b"data",
        b"data:",
        b"data: ",
        b"event:",
        b"event: ",
        b"id:",
        b"id",
        b"retry: 5",
        b":",
        b" ",
        b"\t",
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\n",
        b"\r\r",
        b"\r\n\r\n",
        b"x",
        b"{\"a\":1}",
        b"\0",
        b"\xff",
        b"\xc3",
        b"\xa9",
        MARK,
        b"\xe2\x80\xa8",
    ];
    let word = prop::sample::select(words).prop_map(<[u8]>::to_vec);
    let any = prop::collection::vec(any::<u8>(), 1..6);
    prop::collection::vec(prop_oneof![6 => word, 1 => any], 0..60).prop_map(|parts| parts.concat())
}

/// The lines of a stream, and what stands behind the last line end.
fn lines(mut input: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut lines = Vec::new();
    while let Some(end) = input.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        let crlf = input[end..].starts_with(b"\r\n");
        lines.push(&input[..end]);
        input = &input[end + 1 + usize::from(crlf)..];
    }
    (lines, input)
}

/// Name and data of each event, by the letter of the standard and without any thought of speed.
///
/// # Source
/// WHATWG HTML, "Interpreting an event stream", with the decoder's one exception for the end of the input.
fn by_the_standard(input: &[u8]) -> Vec<(String, Vec<u8>)> {
    let (mut lines, last) = lines(input.strip_prefix(MARK).unwrap_or(input));
    if last.starts_with(b"data:") {
        lines.push(last);
    }
    // The end of the input counts as a blank line.
    lines.push(b"");
    let mut events = Vec::new();
    let (mut name, mut data) = (Vec::new(), Vec::new());
    for line in lines {
        if line.is_empty() {
            let name = std::mem::take(&mut name);
            if data.pop().is_some() {
                let name = String::from_utf8_lossy(&name).into_owned();
                events.push((name, std::mem::take(&mut data)));
            }
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => name = value.to_vec(),
            b"data" => {
                data.extend_from_slice(value);
                data.push(b'\n');
            }
            _ => {}
        }
    }
    events
}

fn pairs(events: Vec<Event>) -> Vec<(String, Vec<u8>)> {
    let pairs = events
        .into_iter()
        .map(|event| (event.name, event.data.to_vec()));
    pairs.collect()
}

proptest! {
    #[test]
    fn any_bytes_are_the_events_that_the_standard_finds(bytes in bytes(), sizes in sizes()) {
        let found = pairs(decode(Framing::Sse, &cut(&bytes, &sizes)));
        prop_assert_eq!(found, by_the_standard(&bytes));
    }

    #[test]
    fn any_bytes_are_the_lines_that_are_not_blank(bytes in bytes(), sizes in sizes()) {
        let found = pairs(decode(Framing::Ndjson, &cut(&bytes, &sizes)));
        let text = bytes.strip_prefix(MARK).unwrap_or(&bytes);
        let lines = text.split(|byte| *byte == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let expected: Vec<_> = lines
            .filter(|line| !line.trim_ascii().is_empty())
            .map(|line| (String::new(), line.to_vec()))
            .collect();
        prop_assert_eq!(found, expected);
    }

    /// What is forwarded unchanged is what came: nothing is put in but the end of a last event that was cut off.
    #[test]
    fn raw_bytes_are_those_that_came(
        framing in prop::sample::select(vec![Framing::Sse, Framing::Ndjson]),
        bytes in bytes(),
        sizes in sizes(),
    ) {
        let batches = batches(framing, WIDE, &cut(&bytes, &sizes)).expect("within the limits");
        let raw = batches.iter().flat_map(|batch| batch.raw.to_vec()).collect::<Vec<u8>>();
        let came = bytes.strip_prefix(MARK).unwrap_or(&bytes);
        let missing: &[u8] = if framing == Framing::Sse { b"\n\n" } else { b"\n" };
        let without = raw.strip_suffix(missing).unwrap_or(&raw);
        prop_assert!(came.starts_with(&raw) || came.starts_with(without), "{raw:?}");
    }

    /// Names, ids and data included, whatever they are: no event can become two, or lose something.
    #[test]
    fn events_are_read_as_they_were_written(bytes in bytes(), sizes in sizes()) {
        let events = decode(Framing::Sse, &[&bytes]);
        let mut written = BytesMut::new();
        encode(Framing::Sse, &events, &mut written);
        prop_assert_eq!(decode(Framing::Sse, &cut(&written, &sizes)), events);
    }

    #[test]
    fn records_are_read_as_they_were_written_but_for_line_ends_in_them(bytes in bytes(), sizes in sizes()) {
        let events = decode(Framing::Ndjson, &[&bytes]);
        // Whatever comes first, a byte order mark at the beginning of a record stays.
        let mut written = BytesMut::from("\n");
        encode(Framing::Ndjson, &events, &mut written);
        let read = pairs(decode(Framing::Ndjson, &cut(&written, &sizes)));
        let blank = |byte| if byte == b'\r' { b' ' } else { byte };
        let given = pairs(events).into_iter().map(|(name, data)| (name, data.into_iter().map(blank).collect::<Vec<u8>>()));
        prop_assert_eq!(read, given.collect::<Vec<_>>());
    }

    #[test]
    fn no_event_is_longer_than_its_limit(
        framing in prop::sample::select(vec![Framing::Sse, Framing::Ndjson, Framing::Document]),
        bytes in bytes(),
        sizes in sizes(),
        limit in 0_usize..40,
    ) {
        let limits = Limits { event_bytes: limit, batch_events: 3, batch_bytes: 30 };
        let mut decoder = Decoder::new(framing, limits);
        let chunks = cut(&bytes, &sizes);
        let largest = chunks.iter().map(|chunk| chunk.len()).max().unwrap_or(0);
        let check = |batch: Option<Batch>| {
            let events = batch.into_iter().flat_map(|batch| batch.events).collect::<Vec<_>>();
            for event in &events {
                prop_assert!(event.data.len() <= limit, "{event:?}");
            }
            Ok(!events.is_empty())
        };
        for chunk in chunks {
            decoder.feed(Bytes::copy_from_slice(chunk));
            loop {
                let Ok(batch) = decoder.next_batch() else {
                    prop_assert!(decoder.buffer.as_slice().is_empty(), "what nobody can have is kept");
                    return Ok(());
                };
                if !check(batch)? { break }
            }
            // Besides, up to four bytes of a terminator or of the mark.
            prop_assert!(decoder.buffer.as_slice().len() <= limit + largest + 4);
        }
        while let Ok(batch) = decoder.finish() {
            if !check(batch)? { break }
        }
    }
}
