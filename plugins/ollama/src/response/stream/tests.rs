//! The fast path and the slow path produce the same, for any line.

use sluicegate_openai_api::response::Object;

use super::*;

/// Lines as Ollama sends them (Ollama source, `api/types.go`), and some that it does not send but whose parts look alike.
/// None has a call: a change could remove its id, and generated ids differ.
const LINES: [&str; 9] = [
    r#"{"model":"m","created_at":"2026-11-22T10:00:00.123456789Z","message":{"role":"assistant","content":"Hel"},"done":false}"#,
    r#"{"model":"m","created_at":"2026-11-22T10:00:00+02:00","message":{"role":"assistant","content":" 漢\n\u003c\ud83d\ude00 \"\\"},"done":false}"#,
    r#"{"model":"m","created_at":"2026-11-22T10:00:00.1Z","message":{"role":"assistant","content":""},"done":false}"#,
    r#"{"model":"m","created_at":"2026-11-22T10:00:00.1Z","message":{"role":"assistant","content":"","thinking":"Let"},"done":false}"#,
    r#" { "model" : "m", "created_at" : "", "message" : { "thinking" : "Hm" } , "done" : false } "#,
    r#"{"created_at":"x","message":{"content":"a","thinking":"b","tool_calls":null},"logprobs":null}"#,
    r#"{"created_at":"x","message":{"content":"a","tool_calls":[]}}"#,
    r#"{"created_at":"1","message":{"content":"a"},"logprobs":[{"token":"a","logprob":-1}]}"#,
    r#"{"model":"m","created_at":"2026-11-22T10:00:00.4Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","eval_count":18}"#,
];

/// Bytes with a meaning in JSON or in UTF-8, and some without.
const BYTES: &[u8] = b"\"\\{}[],: \t\n\r\0\x1f\x7f/+-.059TZabfnrtuz\x80\xa9\xc3\xe6\xff";

type Outcome = (Result<(), Fault>, Vec<Event>, Option<Ending>, u64, u64);

fn stream() -> Stream {
    let identity = Identity {
        object: Object::Chat,
        id: "req_a".to_owned(),
        received_ms: 1_767_225_600_000,
        model: "\"m\"".to_owned(),
    };
    let shown = Shown {
        thoughts: &["reasoning"],
        marks: true,
        forced: None,
        usage: true,
        echo: None,
    };
    Stream::new(&identity, &shown)
}

fn take(stream: &mut Stream, line: &str) -> Outcome {
    let mut out = Vec::new();
    let result = stream.push(line, &mut out);
    (
        result,
        out,
        stream.ending,
        stream.lines,
        stream.reader.calls(),
    )
}

/// Takes `line` after `first`, once with the frame of `first` and once without any. Returns whether the fast path took it.
fn compare(first: &str, line: &[u8]) -> bool {
    // Decoded as the gateway does.
    let line = &*String::from_utf8_lossy(line);
    let (mut quick, mut slow) = (stream(), stream());
    for stream in [&mut quick, &mut slow] {
        let (result, ..) = take(stream, first);
        assert_eq!(result, Ok(()));
    }
    slow.frame = None;
    let taken = quick
        .frame
        .as_ref()
        .is_some_and(|frame| frame.text(line).is_some());
    assert_eq!(
        take(&mut quick, line),
        take(&mut slow, line),
        "{line} after {first}"
    );
    taken
}

/// Variants of `line`: each of its bytes replaced, preceded by another one, removed, and cut off there.
fn mutations(line: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..line.len()).flat_map(move |at| {
        let (before, after) = (&line[..at], &line[at + 1..]);
        let others = BYTES.iter().flat_map(move |&byte| {
            let replaced = [before, &[byte], after].concat();
            let preceded = [before, &[byte, line[at]], after].concat();
            [replaced, preceded]
        });
        let fewer = [[before, after].concat(), before.to_vec(), after.to_vec()];
        others.chain(fewer)
    })
}

#[test]
fn a_mutated_line_is_the_same_on_both_ways() {
    let mut taken = 0;
    for line in LINES {
        for mutated in mutations(line.as_bytes()) {
            taken += u32::from(compare(line, &mutated));
        }
    }
    // Many of the changes hit the time or the text and leave the line plain.
    assert!(taken > 1000, "{taken}");
}

#[test]
fn any_line_after_any_other_is_the_same_on_both_ways() {
    for first in LINES {
        for second in LINES {
            compare(first, second.as_bytes());
        }
    }
}

#[test]
fn wild_texts_are_the_same_on_both_ways() {
    let texts: [&[u8]; 16] = [
        b"\\ud83d\\ude00",
        b"\\ud83d",
        b"\\ude00\\ud83d",
        b"\\ud83dx",
        b"\\uD8\"",
        b"\\u12",
        b"\\u123g",
        b"\\x41",
        b"\\",
        b"\\\\\\",
        b"\"},\"done\":true}",
        b"\",\"thinking\":\"x",
        b"\",\"content\":\"y",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98",
        b"\xe2\x80\xa8\xc2\x85",
    ];
    let long = [b"a".repeat(300_000), b"\\n".to_vec()].concat();
    for first in LINES {
        for member in ["\"content\":\"", "\"thinking\":\"", "\"created_at\":\""] {
            let Some((before, rest)) = first.split_once(member) else {
                continue;
            };
            for text in texts.into_iter().chain([long.as_slice()]) {
                let after = rest.trim_start_matches(|c| c != '"').as_bytes();
                compare(
                    first,
                    &[before.as_bytes(), member.as_bytes(), text, after].concat(),
                );
            }
        }
    }
}

#[test]
fn plain_lines_are_taken_on_the_quick_way() {
    let time_and_text = |time: &str, text: &str| {
        LINES[0]
            .replace("2026-11-22T10:00:00.123456789Z", time)
            .replace("Hel", text)
    };
    for line in [
        time_and_text("2026-11-22T10:00:01.5Z", " <b>"),
        time_and_text("2026-11-22T10:00:01+02:00", r#"\u003c 漢 \"é\" \\"#),
        time_and_text("", ""),
    ] {
        assert!(compare(LINES[0], line.as_bytes()), "{line}");
    }
    assert!(compare(LINES[3], LINES[3].replace("Let", " me").as_bytes()));
    assert!(compare(LINES[4], LINES[4].replace("Hm", "").as_bytes()));
    for last in [5, 6, 7, 8] {
        assert!(!compare(LINES[last], LINES[last].as_bytes()));
    }
}
