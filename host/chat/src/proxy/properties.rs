//! What holds for whatever the proxy, and the model server behind it, put into a stream.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::events::Events;
use super::failure;
use super::reader::{Item, Reader};
use super::think::{BLANKS, Splitter};
use crate::wire::event::Channel;
use crate::wire::{Code, ErrorBody};

/// `input` in pieces of these sizes, which are repeated as often as needed.
fn cut<'a>(mut input: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if input.is_empty() {
            break;
        }
        let (piece, rest) = input.split_at((*size).min(input.len()));
        pieces.push(piece);
        input = rest;
    }
    pieces
}

/// `text` in pieces of about these sizes.
fn cut_text<'a>(mut text: &'a str, sizes: &[usize]) -> Vec<&'a str> {
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if text.is_empty() {
            break;
        }
        let (piece, rest) = text.split_at(text.ceil_char_boundary(*size));
        pieces.push(piece);
        text = rest;
    }
    pieces
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1_usize..9, 1..20)
}

/// Any bytes, among which the words of the grammar are more likely than chance would have them.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let words: &'static [&[u8]] = &[
        b"data",
        b"data:",
        b"data: ",
        b"event:",
        b"id: 1",
        b":",
        b" ",
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\n",
        b"\r\r",
        b"x",
        b"{\"a\":1}",
        b"[DONE]",
        b"\xff",
        b"\xc3",
        b"\xa9",
        b"\xef\xbb\xbf",
    ];
    let word = prop::sample::select(words).prop_map(<[u8]>::to_vec);
    let any = prop::collection::vec(any::<u8>(), 1..6);
    prop::collection::vec(prop_oneof![6 => word, 1 => any], 0..60).prop_map(|parts| parts.concat())
}

/// The data of each event, by the letter of the standard.
///
/// # Source
/// WHATWG HTML, "Interpreting an event stream".
fn by_the_standard(input: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(input);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let Some((lines, _)) = text.rsplit_once('\n') else {
        return Vec::new();
    };
    let mut events = Vec::new();
    let mut data = String::new();
    for line in lines.split('\n') {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if line.is_empty() {
            if data.pop().is_some() {
                events.push(std::mem::take(&mut data));
            }
        } else if field == "data" {
            data.push_str(value.strip_prefix(' ').unwrap_or(value));
            data.push('\n');
        }
    }
    events
}

/// Text with marks in it, and with white space where it matters.
fn thoughts() -> impl Strategy<Value = String> {
    let words = vec![
        "<think>",
        "</think>",
        "<",
        "</",
        "<thi",
        "</think",
        ">",
        "a",
        "你",
        " ",
        "\n",
        "\u{a0}",
        "<think></think>",
    ];
    let blanks = prop_oneof![8 => 0..3_usize, 1 => BLANKS - 2..BLANKS + 2];
    let begins = prop::sample::select(vec!["", "<think>"]);
    let words = prop::collection::vec(prop::sample::select(words), 0..8);
    (blanks, begins, words)
        .prop_map(|(blanks, begins, words)| " ".repeat(blanks) + begins + &words.concat())
}

/// Reasoning and text of an answer that comes in these pieces.
fn split(pieces: &[&str]) -> (String, String) {
    let mut splitter = Splitter::default();
    let (mut reasoning, mut text) = (String::new(), String::new());
    let ends = pieces
        .iter()
        .map(|piece| splitter.push(piece))
        .collect::<Vec<_>>();
    for split in ends.into_iter().chain([splitter.end()]) {
        reasoning.push_str(&split.reasoning);
        text.push_str(&split.text);
    }
    (reasoning, text)
}

/// An event of a stream: a chunk with some of its members, something that is nearly one, or anything.
fn event() -> impl Strategy<Value = String> {
    let text = || prop::option::of(thoughts().prop_map(Value::from));
    let reason = prop::option::of(prop::sample::select(vec!["stop", "length", "odd"]));
    let chunk = (0_u32..5, text(), text(), text(), reason).prop_map(
        |(index, content, reasoning, other, reason)| {
            // Usually the first choice, which is the one that counts.
            let delta =
                json!({ "content": content, "reasoning": reasoning, "reasoning_content": other });
            json!({ "choices": [{ "index": index / 4, "delta": delta, "finish_reason": reason }] })
                .to_string()
        },
    );
    prop_oneof![
        8 => chunk,
        1 => prop::sample::select(vec![
            r#"{"choices":[{"delta":{"content":5}}]}"#,
            r#"{"choices":[{"delta":{"content":"\ud800"}}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":-1}}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":18446744073709551615}}"#,
            r#"{"error":null}"#,
            r#"{"error":{"message":5,"code":[]}}"#,
            "[DONE]",
            " [DONE] ",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,30}",
    ]
}

fn broken() -> ErrorBody {
    ErrorBody::new(Code::StreamTruncated, "cut")
}

/// What comes out of events: reasoning, text, and whether it ended without an error.
fn read<'a>(events: impl IntoIterator<Item = &'a str>) -> (String, String, bool) {
    let mut reader = Reader::new(false);
    let (mut reasoning, mut text, mut errors) = (String::new(), String::new(), 0);
    for event in events {
        reader.read(event);
    }
    if !reader.done() {
        reader.end(broken());
    }
    assert!(reader.done());
    while let Some(piece) = reader.take() {
        assert_eq!(errors, 0, "nothing comes after an error");
        match piece {
            Ok(Item::Text(_, piece)) if piece.is_empty() => panic!("an empty piece"),
            Ok(Item::Text(Channel::Reasoning, piece)) => reasoning.push_str(&piece),
            Ok(Item::Text(Channel::Text, piece)) => text.push_str(&piece),
            Ok(Item::Finish(_) | Item::Usage(_)) => {}
            Err(_) => errors += 1,
        }
    }
    (reasoning, text, errors == 0)
}

fn delta(name: &str, text: &str) -> String {
    json!({ "choices": [{ "delta": { name: text } }] }).to_string()
}

proptest! {
    #[test]
    fn any_bytes_are_the_events_that_the_standard_finds(bytes in bytes(), sizes in sizes()) {
        let mut events = Events::default();
        for piece in cut(&bytes, &sizes) {
            prop_assert_eq!(events.push(Bytes::copy_from_slice(piece)), Ok(()));
        }
        let found: Vec<String> = std::iter::from_fn(|| events.next()).collect();
        prop_assert_eq!(found, by_the_standard(&bytes));
    }

    #[test]
    fn reasoning_is_the_same_however_the_text_is_cut(text in thoughts(), sizes in sizes()) {
        let whole = split(&[&text]);
        prop_assert_eq!(split(&cut_text(&text, &sizes)), whole.clone());
        let (reasoning, answer) = whole;
        let trimmed = text.trim_start();
        let marked = text.len() - trimmed.len() <= BLANKS && trimmed.starts_with("<think>");
        if marked {
            // The marks go, and white space around them; all the rest stays, in its order.
            let inside = &trimmed["<think>".len()..];
            let (expected, after) = inside.split_once("</think>").unwrap_or((inside, ""));
            prop_assert_eq!((reasoning.as_str(), answer.as_str()), (expected, after.trim_start()));
        } else {
            prop_assert_eq!((reasoning.as_str(), answer.as_str()), ("", text.as_str()));
        }
    }

    #[test]
    fn no_more_is_held_back_than_a_mark_and_white_space_before_it(text in thoughts(), sizes in sizes()) {
        let mut splitter = Splitter::default();
        let (mut given, mut got) = (0, 0);
        for piece in cut_text(&text, &sizes) {
            given += piece.len();
            let split = splitter.push(piece);
            got += split.reasoning.len() + split.text.len();
            // Besides, the marks themselves and white space behind them, which go for good.
            let gone = "<think></think>".len() + text.matches(char::is_whitespace).map(str::len).sum::<usize>();
            prop_assert!(given <= got + gone + BLANKS + "</think>".len());
        }
    }

    #[test]
    fn any_events_are_pieces_of_an_answer_or_skipped(events in prop::collection::vec(event(), 0..12)) {
        let sent: usize = events.iter().map(String::len).sum();
        let (reasoning, text, _) = read(events.iter().map(String::as_str));
        prop_assert!(reasoning.len() + text.len() <= sent, "more than what was sent");
    }

    #[test]
    fn nothing_of_an_answer_is_lost(
        parts in prop::collection::vec((prop::sample::select(vec!["reasoning", "reasoning_content", "content", "refusal"]), "[a-zA-Z你 ]{0,8}"), 0..12),
        ends in any::<bool>(),
    ) {
        let of = |names: [&str; 2]| -> String {
            let own = parts.iter().filter(|(name, _)| names.contains(name));
            own.map(|(_, text)| text.as_str()).collect()
        };
        let mut events: Vec<String> = parts.iter().map(|(name, text)| delta(name, text)).collect();
        if ends {
            events.push(r#"{"choices":[{"finish_reason":"stop"}]}"#.to_owned());
        }
        let read = read(events.iter().map(String::as_str));
        let expected = (of(["reasoning", "reasoning_content"]), of(["content", "refusal"]), ends);
        prop_assert_eq!(read, expected);
    }

    /// Also where the server begins to tell reasoning apart in the middle of a mark.
    #[test]
    fn nothing_but_one_pair_of_marks_and_white_space_goes(
        parts in prop::collection::vec((prop::sample::select(vec!["reasoning", "content"]), thoughts()), 0..8),
    ) {
        let events: Vec<String> = parts.iter().map(|(name, text)| delta(name, text)).collect();
        let (reasoning, text, _) = read(events.iter().map(String::as_str));
        let visible = |text: &str| text.matches(|c: char| !c.is_whitespace()).count();
        let given: usize = parts.iter().map(|(_, text)| visible(text)).sum();
        let gone = given - visible(&reasoning) - visible(&text);
        prop_assert!([0, "<think>".len(), "<think></think>".len()].contains(&gone), "{gone}");
    }

    #[test]
    fn any_error_is_one_that_can_be_shown(status in 100_u16..1000, body in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        ("\\PC{0,600}", "\\PC{0,80}").prop_map(|(message, code)| json!({ "error": { "message": message, "code": code } }).to_string().into_bytes()),
        "\\PC{0,600}".prop_map(|message| json!({ "error": message }).to_string().into_bytes()),
    ]) {
        let text = String::from_utf8_lossy(&body);
        for error in [failure::of_status(status, &body, None), failure::of_event(&text)] {
            prop_assert!(!error.message.is_empty() && error.message.chars().count() <= 500);
            let code = error.details["code"].as_str().unwrap_or("x");
            prop_assert!(crate::id::plausible(code), "{code}");
        }
    }
}
