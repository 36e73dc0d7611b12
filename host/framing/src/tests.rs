//! The promises of the decoder and the encoder.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::{Batch, Decoder, Error, Event, Framing, Limits, encode};

const WIDE: Limits = Limits {
    event_bytes: 1 << 20,
    batch_events: 32,
    batch_bytes: 64 << 10,
};

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
    assert_eq!(decoder.finish(), Ok(None));
    assert!(all.iter().all(|batch| !batch.events.is_empty()));
    Ok(all)
}

fn events_of(batches: &[Batch]) -> Vec<Event> {
    batches.iter().flat_map(|b| b.events.clone()).collect()
}

fn raw_of(batches: &[Batch]) -> Vec<u8> {
    batches.iter().flat_map(|b| b.raw.to_vec()).collect()
}

fn decode(framing: Framing, input: &[u8]) -> Vec<Event> {
    events_of(&batches(framing, WIDE, &[input]).expect("within the limits"))
}

fn event(name: &str, data: &str) -> Event {
    Event {
        name: name.to_owned(),
        data: Bytes::copy_from_slice(data.as_bytes()),
        id: None,
    }
}

#[test]
fn an_id_belongs_to_its_own_event_and_survives_encoding() {
    let events = decode(
        Framing::Sse,
        b"id: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\nid: \xff\ndata: d\n\n",
    );
    let ids: Vec<_> = events.iter().map(|event| event.id.as_deref()).collect();
    assert_eq!(ids, [Some("7"), None, Some(""), Some("\u{fffd}")]);
    let mut out = BytesMut::new();
    encode(Framing::Sse, &events, &mut out);
    assert_eq!(decode(Framing::Sse, &out), events);
    let mut nasty = event("", "x");
    nasty.id = Some("1\ndata: y\r".into());
    let mut out = BytesMut::new();
    encode(Framing::Sse, &[nasty], &mut out);
    assert_eq!(&out[..], b"id: 1 data: y \ndata: x\n\n");
}

fn sse(input: &str) -> Vec<(String, String)> {
    let text = |data: &Bytes| String::from_utf8(data.to_vec()).expect("the test's own text");
    let events = decode(Framing::Sse, input.as_bytes());
    let pairs = events.into_iter().map(|e| (e.name, text(&e.data)));
    pairs.collect()
}

/// The data of events that all have no name.
fn sse_data(input: &str) -> Vec<String> {
    let unnamed = |(name, data): (String, String)| {
        assert_eq!(name, "");
        data
    };
    sse(input).into_iter().map(unnamed).collect()
}

#[test]
fn content_type_decides_the_framing_whatever_its_case_and_parameters() {
    let of = |value: &str| Framing::of_content_type(Some(value.as_bytes()));
    assert_eq!(of("text/event-stream"), Framing::Sse);
    assert_eq!(of(" Text/Event-Stream ; charset=utf-8"), Framing::Sse);
    assert_eq!(of("application/x-ndjson"), Framing::Ndjson);
    assert_eq!(of("application/ndjson;x=y"), Framing::Ndjson);
    assert_eq!(of("application/jsonl"), Framing::Ndjson);
    assert_eq!(of("application/jsonlines"), Framing::Ndjson);
    assert_eq!(of("application/json"), Framing::Document);
    assert_eq!(of(""), Framing::Document);
    assert_eq!(Framing::of_content_type(None), Framing::Document);
    for framing in [Framing::Sse, Framing::Ndjson] {
        assert_eq!(of(framing.content_type().expect("a stream")), framing);
    }
    assert_eq!(Framing::Document.content_type(), None);
}

#[test]
fn sse_lines_end_with_lf_crlf_or_cr_and_nothing_else() {
    assert_eq!(
        sse_data("data: a\n\ndata: b\r\n\r\ndata: c\r\rdata: d\r\n\n"),
        ["a", "b", "c", "d"]
    );
    let odd = "a\u{2028}b\u{85}c\u{b}d\u{c}e";
    assert_eq!(sse_data(&format!("data: {odd}\n\n")), [odd]);
}

#[test]
fn sse_field_value_loses_one_leading_blank_only() {
    assert_eq!(
        sse_data("data:a\n\ndata:  b\n\ndata:\tc\n\ndata: d \n\n"),
        ["a", " b", "\tc", "d "]
    );
}

#[test]
fn sse_data_lines_are_joined_by_lf() {
    assert_eq!(
        sse_data("data: a\ndata\ndata:\ndata: b\n\n"),
        ["a\n\n\nb"],
        "three joins, also of empty lines"
    );
    assert_eq!(sse_data("data\n\ndata:\n\n"), ["", ""]);
}

#[test]
fn sse_event_without_data_is_not_dispatched_and_its_name_is_forgotten() {
    assert_eq!(
        sse("event: lost\n\ndata: a\n\nevent: kept\ndata: b\n\ndata: c\n\n"),
        [
            (String::new(), "a".to_owned()),
            ("kept".to_owned(), "b".to_owned()),
            (String::new(), "c".to_owned())
        ]
    );
}

#[test]
fn sse_last_name_counts_and_an_empty_one_resets_it() {
    let named = |input| sse(input).remove(0).0;
    assert_eq!(named("event: a\nevent: b\ndata: x\n\n"), "b");
    assert_eq!(named("event: a\nevent\ndata: x\n\n"), "");
}

#[test]
fn sse_comments_retries_and_unknown_fields_stay_in_raw_only() {
    let input = ": ping\n\nretry: 10\nData: no\n: data: no\nfoo\ndata: a\n\n";
    let all = batches(Framing::Sse, WIDE, &[input.as_bytes()]).expect("small");
    assert_eq!(events_of(&all), [event("", "a")]);
    assert_eq!(all[0].raw, input);
}

#[test]
fn sse_one_byte_order_mark_is_dropped_and_a_second_is_part_of_the_field_name() {
    let mark = "\u{feff}";
    let all = batches(
        Framing::Sse,
        WIDE,
        &[format!("{mark}data: a\n\n").as_bytes()],
    );
    let all = all.expect("small");
    assert_eq!(events_of(&all), [event("", "a")]);
    assert_eq!(all[0].raw, "data: a\n\n");
    assert_eq!(
        sse_data(&format!("{mark}{mark}data: a\ndata: b\n\n")),
        ["b"]
    );
}

#[test]
fn sse_data_keeps_bytes_and_a_name_is_made_utf8() {
    let found = decode(Framing::Sse, b"event: a\xff\ndata: \0\xff\xfe\n\n");
    assert_eq!(found[0].name, "a\u{fffd}");
    assert_eq!(&found[0].data[..], b"\0\xff\xfe");
}

#[test]
fn sse_event_before_a_missing_blank_line_is_dispatched() {
    for (input, raw) in [
        ("data: a\n", "data: a\n\n\n"),
        ("data: a", "data: a\n\n"),
        ("data: a\r", "data: a\r\n\n"),
        ("data: a\nevent: cut", "data: a\n\n\n"),
        ("data: a\ndata", "data: a\n\n\n"),
    ] {
        let all = batches(Framing::Sse, WIDE, &[input.as_bytes()]).expect("small");
        assert_eq!(events_of(&all), [event("", "a")], "{input:?}");
        assert_eq!(raw_of(&all), raw.as_bytes(), "{input:?}");
        // What is written after it is a new event, and the forwarded bytes say the same.
        let next = [&raw_of(&all)[..], b"data: b\n\n"].concat();
        assert_eq!(
            decode(Framing::Sse, &next),
            [event("", "a"), event("", "b")]
        );
    }
    assert_eq!(sse_data("data: a\ndata: b"), ["a\nb"]);
    for nothing in ["", "event: x\n", ": ping\n\n", "dat", "data", "\u{feff}"] {
        assert_eq!(sse(nothing), [], "{nothing:?}");
    }
    assert_eq!(decode(Framing::Sse, b"\xef\xbb"), []);
}

#[test]
fn sse_event_that_ends_with_cr_does_not_wait_for_what_follows() {
    let mut decoder = Decoder::new(Framing::Sse, WIDE);
    decoder.feed(Bytes::from_static(b"data: a\r\n\r"));
    let first = decoder.next_batch().expect("small").expect("complete");
    assert_eq!(first.events, [event("", "a")]);
    decoder.feed(Bytes::from_static(b"\ndata: b\r\n\r\n"));
    let second = decoder.next_batch().expect("small").expect("complete");
    assert_eq!(second.events, [event("", "b")]);
    assert_eq!(second.raw, "\ndata: b\r\n\r\n");
}

#[test]
fn ndjson_is_split_at_lf_only_and_blank_lines_are_skipped() {
    let input = "\u{feff}{\"a\":\"\u{2028}\r\"}\r\n\n \t\r\n{\"b\":1}\n[]";
    let all = batches(Framing::Ndjson, WIDE, &[input.as_bytes()]).expect("small");
    assert_eq!(
        events_of(&all),
        [
            event("", "{\"a\":\"\u{2028}\r\"}"),
            event("", "{\"b\":1}"),
            event("", "[]")
        ]
    );
    assert_eq!(raw_of(&all), format!("{}\n", &input[3..]).as_bytes());
    assert_eq!(decode(Framing::Ndjson, b"\n \r\n\t"), []);
}

#[test]
fn document_is_one_event_at_the_end_even_if_empty() {
    let chunks: &[&[u8]] = &[b"\xef\xbb\xbf{", b"", b"\n\n}"];
    let all = batches(Framing::Document, WIDE, chunks).expect("small");
    assert_eq!(events_of(&all), [event("", "\u{feff}{\n\n}")]);
    assert_eq!(all[0].raw, all[0].events[0].data);
    assert_eq!(decode(Framing::Document, b""), [event("", "")]);
}

#[test]
fn whole_chunks_is_not_copied() {
    let inside = |chunk: &Bytes, part: &Bytes| chunk.as_ptr_range().contains(&part.as_ptr());
    for (framing, text) in [
        (Framing::Sse, "data: a\n\ndata: b\n\n"),
        (Framing::Ndjson, "{}\n[]\n"),
    ] {
        let chunk = Bytes::copy_from_slice(text.as_bytes());
        let mut decoder = Decoder::new(framing, WIDE);
        decoder.feed(chunk.clone());
        let batch = decoder.next_batch().expect("small").expect("complete");
        assert!(inside(&chunk, &batch.raw));
        assert!(batch.events.iter().all(|e| inside(&chunk, &e.data)));
    }
}

#[test]
fn batch_holds_what_has_arrived_up_to_both_limits() {
    let sizes = |limits: Limits, input: &[u8]| -> Vec<usize> {
        let all = batches(Framing::Ndjson, limits, &[input]).expect("small");
        all.iter().map(|batch| batch.events.len()).collect()
    };
    let ten = b"1\n".repeat(10);
    assert_eq!(sizes(WIDE, &ten), [10]);
    let four = Limits {
        batch_events: 4,
        ..WIDE
    };
    assert_eq!(sizes(four, &ten), [4, 4, 2]);
    let three = Limits {
        batch_bytes: 7,
        ..WIDE
    };
    assert_eq!(sizes(three, &ten), [3, 3, 3, 1]);
    let none = Limits {
        batch_events: 0,
        batch_bytes: 0,
        ..WIDE
    };
    assert_eq!(sizes(none, b"1\n2\n"), [1, 1]);
    assert_eq!(sizes(three, b"1\n23456789\n0\n"), [1, 1, 1]);
}

/// Events of exactly and of one byte more than the limit of 10, with what counts.
const AT_THE_LIMIT: [(Framing, &str, &str); 7] = [
    (Framing::Sse, "data: abc\n\n", "data: abcd\n\n"),
    (Framing::Sse, "data: ab\r\n\r\n", "data: abc\r\n\r\n"),
    (
        Framing::Sse,
        "data:\r\n\r\ndata:abc\r\n\r\n",
        "data:\r\n\r\ndata:abcd\r\n\r\n",
    ),
    (Framing::Sse, ":c\ndata:a\n\n", ":cc\ndata:a\n\n"),
    (Framing::Ndjson, "1234567890\n", "12345678901\n"),
    (Framing::Ndjson, "\n\n34567890\n", "\n\n345678901\n"),
    (Framing::Document, "1234567890", "12345678901"),
];

#[test]
fn event_above_the_limit_is_refused_wherever_the_input_is_cut() {
    let limits = Limits {
        event_bytes: 10,
        ..WIDE
    };
    let refused = Err(Error::TooLarge { limit: 10 });
    for (framing, good, bad) in AT_THE_LIMIT {
        for cut in 0..=good.len() {
            let (head, tail) = good.as_bytes().split_at(cut);
            let all = batches(framing, limits, &[head, tail]).expect("at the limit");
            assert!(!all.is_empty(), "{good:?} at {cut}");
        }
        for cut in 0..=bad.len() {
            let (head, tail) = bad.as_bytes().split_at(cut);
            assert_eq!(batches(framing, limits, &[head, tail]), refused, "{bad:?}");
        }
    }
}

#[test]
fn endless_comments_and_blank_lines_are_refused() {
    let limits = Limits {
        event_bytes: 1000,
        ..WIDE
    };
    for (framing, chunk) in [
        (Framing::Sse, ": ping\n\n"),
        (Framing::Sse, "id: 1\n\n"),
        (Framing::Sse, "\r"),
        (Framing::Ndjson, "\n"),
    ] {
        let mut decoder = Decoder::new(framing, limits);
        let failed = (0..=1000).any(|_| {
            decoder.feed(Bytes::from_static(chunk.as_bytes()));
            decoder.next_batch().is_err()
        });
        assert!(failed, "{chunk:?}");
    }
}

#[test]
fn events_before_a_too_large_one_are_handed_out_and_then_the_error_stays() {
    let limits = Limits {
        event_bytes: 10,
        ..WIDE
    };
    let too_large = Err(Error::TooLarge { limit: 10 });
    let mut decoder = Decoder::new(Framing::Ndjson, limits);
    decoder.feed(Bytes::from_static(b"1\n2\n12345678901"));
    let batch = decoder.next_batch().expect("the good ones").expect("two");
    assert_eq!(batch.events, [event("", "1"), event("", "2")]);
    assert_eq!(decoder.next_batch(), too_large);
    decoder.feed(Bytes::from_static(b"3\n"));
    assert_eq!(decoder.next_batch(), too_large);
    assert_eq!(decoder.finish(), too_large);
    assert!(decoder.buffer.as_slice().is_empty());
}

#[test]
fn nothing_is_taken_after_the_end() {
    let mut decoder = Decoder::new(Framing::Sse, WIDE);
    decoder.feed(Bytes::from_static(b"data: a\n: x"));
    assert!(decoder.finish().expect("small").is_some());
    decoder.feed(Bytes::from_static(b"data: b\n\n"));
    assert_eq!(decoder.next_batch(), Ok(None));
    assert_eq!(decoder.finish(), Ok(None));
}

#[test]
fn every_cut_gives_the_same_events_and_the_same_bytes() {
    let streams = [
        (
            Framing::Sse,
            "\u{feff}: hi\r\n\r\nevent: é\r\ndata: один\r\ndata:two\r\n\r\nid: 1\n\ndata: 3\r\r\rdata: 4\n\n\
             event: next\ndata: 5\n\nevent: gone\n\ndata\n\ndata: [DONE]\r\n\r\n",
        ),
        (
            Framing::Ndjson,
            "{\"é\":\"\u{2028}\"}\r\n\r\n\n{\"b\":[1,2]}\n  \n\"last\"\n",
        ),
        (Framing::Document, "{\"a\":\r\n\"é\"}\n"),
    ];
    for (framing, text) in streams {
        let input = text.as_bytes();
        let one = batches(framing, WIDE, &[input]).expect("small");
        let expected = events_of(&one);
        let raw = text.strip_prefix('\u{feff}').unwrap_or(text);
        assert!(!expected.is_empty());
        assert_eq!(raw_of(&one), raw.as_bytes());
        for first in 0..=input.len() {
            for second in first..=input.len() {
                let chunks = [&input[..first], &input[first..second], &input[second..]];
                let cut = batches(framing, WIDE, &chunks).expect("small");
                assert_eq!(events_of(&cut), expected, "{first} {second}");
                let mut bytes = raw_of(&cut);
                if bytes.len() < raw.len() {
                    // The LF of a last CRLF that came alone: nothing follows that could carry it.
                    bytes.push(b'\n');
                }
                assert_eq!(bytes, raw.as_bytes(), "{first} {second}");
            }
        }
        let single: Vec<&[u8]> = input.chunks(1).collect();
        let cut = batches(framing, WIDE, &single).expect("small");
        assert_eq!(events_of(&cut), expected);
    }
}

#[test]
fn long_event_in_small_chunks_is_whole() {
    let line = format!("data: {}\n", "x".repeat(5000)).repeat(40);
    let input = format!("{line}\n{line}\ndata: tail\n\n");
    let chunks: Vec<&[u8]> = input.as_bytes().chunks(97).collect();
    let cut = batches(Framing::Sse, WIDE, &chunks).expect("below 1 MiB");
    assert_eq!(events_of(&cut), decode(Framing::Sse, input.as_bytes()));
    assert_eq!(events_of(&cut)[1].data.len(), 40 * 5001 - 1);
    assert_eq!(raw_of(&cut), input.as_bytes());
}

#[test]
fn encoding_writes_what_the_reader_reads() {
    let encoded = |framing, events: &[Event]| {
        let mut out = BytesMut::from("+");
        encode(framing, events, &mut out);
        String::from_utf8(out.to_vec()).expect("the test's own text")
    };
    let two = [event("", "a"), event("error", "b\nc\r\nd\re\n")];
    assert_eq!(
        encoded(Framing::Sse, &two),
        "+data: a\n\nevent: error\ndata: b\ndata: c\ndata: d\ndata: e\ndata: \n\n"
    );
    assert_eq!(encoded(Framing::Sse, &[event("", "")]), "+data: \n\n");
    assert_eq!(
        encoded(Framing::Sse, &[event("a\r\ndata: x\n\n", "y")]),
        "+event: a  data: x  \ndata: y\n\n"
    );
    assert_eq!(encoded(Framing::Ndjson, &two), "+a\nb c  d e \n");
    assert_eq!(encoded(Framing::Document, &two), "+ab\nc\r\nd\re\n");
    assert_eq!(encoded(Framing::Sse, &[]), "+");
}

/// Text made of what matters to the grammars.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let parts: Vec<&[u8]> = vec![
        b"data:",
        b"data",
        b"event:",
        b"id:",
        b":",
        b" ",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\r\n\r\n",
        b"x",
        b"\xc3\xa9",
        b"\xff",
        b"\0",
        b"\xef\xbb\xbf",
        b"{}",
        b"data: line\n",
        b"event: name\r\n",
    ];
    prop::collection::vec(prop::sample::select(parts), 0..60).prop_map(|p| p.concat())
}

fn framing() -> impl Strategy<Value = Framing> {
    prop::sample::select(vec![Framing::Sse, Framing::Ndjson, Framing::Document])
}

proptest! {
    #[test]
    fn any_stream_cut_anywhere_gives_the_same_events(
        framing in framing(),
        input in stream(),
        sizes in prop::collection::vec(1_usize..9, 1..200),
        limit in 5_usize..200,
    ) {
        let limits = Limits { event_bytes: limit, batch_events: 3, batch_bytes: 30 };
        let mut chunks = Vec::new();
        let mut rest = &input[..];
        for size in sizes.iter().cycle() {
            if rest.is_empty() { break; }
            let (chunk, tail) = rest.split_at((*size).min(rest.len()));
            chunks.push(chunk);
            rest = tail;
        }
        let whole = batches(framing, limits, &[&input]);
        let cut = batches(framing, limits, &chunks);
        match (whole, cut) {
            (Ok(whole), Ok(cut)) => {
                prop_assert_eq!(events_of(&whole), events_of(&cut));
                if framing != Framing::Document {
                    // The forwarded bytes say what the events say. (The line end saves a second byte order mark
                    // from being taken for the first.)
                    let forwarded = [b"\n", &raw_of(&cut)[..]].concat();
                    prop_assert_eq!(decode(framing, &forwarded), events_of(&cut));
                }
                for batch in cut {
                    prop_assert!(batch.events.len() == 1 || batch.raw.len() <= 33);
                }
            }
            (whole, cut) => prop_assert_eq!(whole.err(), cut.err()),
        }
    }

    #[test]
    fn any_events_survive_encoding(
        events in prop::collection::vec(("[a-z é\n\r]{0,6}", "[ -~é\n\r]{0,40}"), 0..8),
    ) {
        let events: Vec<Event> = events.iter().map(|(name, data)| event(name, data)).collect();
        let mut out = BytesMut::new();
        encode(Framing::Sse, &events, &mut out);
        let read = decode(Framing::Sse, &out);
        prop_assert_eq!(read.len(), events.len());
        for (read, given) in read.iter().zip(&events) {
            prop_assert_eq!(&read.name, &given.name.replace(['\r', '\n'], " "));
            let text = String::from_utf8_lossy(&given.data);
            let text = text.replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(&read.data[..], text.as_bytes());
        }
    }
}
