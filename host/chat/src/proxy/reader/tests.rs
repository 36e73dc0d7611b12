//! Chunks by the letter, chunks of other servers, and what cannot be read.

use super::*;

type Items = Vec<Result<Item, ErrorBody>>;

fn taken(reader: &mut Reader) -> Items {
    std::iter::from_fn(|| reader.take()).collect()
}

fn broken() -> ErrorBody {
    ErrorBody::new(Code::StreamTruncated, "cut")
}

/// What the events bring, and what the end of the connection brings after that.
fn read(events: &[&str]) -> (Items, Items) {
    let mut reader = Reader::new(false);
    for event in events {
        reader.read(event);
    }
    let pieces = taken(&mut reader);
    if !reader.done() {
        reader.end(broken());
    }
    assert!(reader.done());
    (pieces, taken(&mut reader))
}

fn text(channel: Channel, text: &str) -> Result<Item, ErrorBody> {
    Ok(Item::Text(channel, text.to_owned()))
}

#[test]
fn a_whole_stream_is_read() {
    let (pieces, end) = read(&[
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{"reasoning":"hm"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"a\"b"}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"content":"another choice"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}"#,
        "[DONE]",
        r#"{"choices":[{"index":0,"delta":{"content":"too late"}}]}"#,
    ]);
    let expected = [
        text(Channel::Reasoning, "hm"),
        text(Channel::Text, "a\"b"),
        Ok(Item::Finish(Finish::Length)),
        Ok(Item::Usage(Usage {
            input: 3,
            output: 5,
        })),
    ];
    assert_eq!(pieces, expected);
    assert_eq!(end, []);
}

#[test]
fn an_end_without_a_reason_is_a_cut() {
    let first = r#"{"choices":[{"delta":{"content":"a"}}]}"#;
    assert_eq!(read(&[first]).1, [Err(broken())]);
    let last = r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}"#;
    assert_eq!(read(&[last]).1, [], "vLLM puts both in one chunk");
}

#[test]
fn what_was_held_back_comes_before_the_error() {
    let (pieces, end) = read(&[r#"{"choices":[{"delta":{"content":"<think>a</th"}}]}"#]);
    assert_eq!(pieces, [text(Channel::Reasoning, "a")]);
    assert_eq!(end, [text(Channel::Reasoning, "</th"), Err(broken())]);
    let (pieces, _) = read(&[
        r#"{"choices":[{"delta":{"content":"<th"}}]}"#,
        r#"{"error":{"message":"boom"}}"#,
    ]);
    assert_eq!(pieces[0], text(Channel::Text, "<th"));
    assert!(pieces[1].is_err() && pieces.len() == 2);
}

#[test]
fn what_was_held_back_is_kept_when_the_server_begins_to_tell_reasoning_apart() {
    let (pieces, _) = read(&[
        r#"{"choices":[{"delta":{"content":"<think>a</th"}}]}"#,
        r#"{"choices":[{"delta":{"reasoning":"b"}}]}"#,
        r#"{"choices":[{"delta":{"reasoning":"","reasoning_content":"c"}}]}"#,
    ]);
    let reasoning = ["a", "</th", "b", "c"].map(|part| text(Channel::Reasoning, part));
    assert_eq!(pieces, reasoning);
}

#[test]
fn an_error_event_ends_the_stream() {
    let (pieces, _) = read(&[
        r#"{"error":{"message":"boom","type":"api_error","code":"upstream_broken"}}"#,
        "[DONE]",
    ]);
    let [Err(error)] = pieces.as_slice() else {
        panic!("one error, got {pieces:?}")
    };
    assert_eq!(error.code, Code::StreamTruncated);
}

#[test]
fn what_says_nothing_is_skipped() {
    let (pieces, _) = read(&["", "null", "[]", r#"{"choices":null}"#, r#"{"object":"x"}"#]);
    assert_eq!(pieces, []);
}

#[test]
fn both_names_of_reasoning_and_a_mark_in_the_text_are_understood() {
    let (pieces, _) =
        read(&[r#"{"choices":[{"delta":{"reasoning_content":"r","content":"<think>t"}}]}"#]);
    assert_eq!(
        pieces,
        [
            text(Channel::Reasoning, "r"),
            text(Channel::Text, "<think>t")
        ]
    );
    let (pieces, _) = read(&[
        r#"{"choices":[{"delta":{"content":"<think>r</think>t"}}]}"#,
        r#"{"choices":[{"delta":{"refusal":" no"}}]}"#,
    ]);
    assert_eq!(
        pieces,
        [
            text(Channel::Reasoning, "r"),
            text(Channel::Text, "t"),
            text(Channel::Text, " no")
        ]
    );
    let (pieces, _) =
        read(&[r#"{"choices":[{"delta":{"content":"<thi"},"finish_reason":"weird"}]}"#]);
    assert_eq!(
        pieces,
        [text(Channel::Text, "<thi"), Ok(Item::Finish(Finish::Stop))]
    );
}

/// The pieces of one chunk.
fn of(chunk: &str) -> Items {
    let mut reader = Reader::new(false);
    reader.read(chunk);
    taken(&mut reader)
}

#[test]
fn what_other_servers_write_is_read_too() {
    let answer = [text(Channel::Text, "a")];
    for chunk in [
        r#"{"choices":[{"index":null,"delta":{"content":"a"}}]}"#,
        r#"{"choices":[{"index":0.0,"delta":{"content":"a"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"a"}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":["a"]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":{"type":"text","text":"a"}}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"a","content":"a"}}]}"#,
        r#"{"choices":[{"index":0,"index":0,"delta":{"content":"a"}}],"id":1,"id":2}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"a","reasoning":{"effort":"high"}}}]}"#,
        r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"a"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":null}"#,
    ] {
        assert_eq!(of(chunk), answer, "{chunk}");
    }
    let reasoning = [text(Channel::Reasoning, "a")];
    for chunk in [
        r#"{"choices":[{"delta":{"reasoning":{"content":"a"}}}]}"#,
        r#"{"choices":[{"delta":{"reasoning":{"summary":[{"type":"summary_text","text":"a"}]}}}]}"#,
        r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"a"}]}]}}]}"#,
    ] {
        assert_eq!(of(chunk), reasoning, "{chunk}");
    }
    let usage = |input, output| [Ok(Item::Usage(Usage { input, output }))];
    let counted = r#"{"choices":null,"usage":{"prompt_tokens":3.0,"completion_tokens":5.0}}"#;
    assert_eq!(of(counted), usage(3, 5));
    let partly = r#"{"usage":{"prompt_tokens":null,"completion_tokens":"5"}}"#;
    assert_eq!(of(partly), usage(0, 5));
    assert_eq!(
        of(r#"{"choices":[{"index":1.0,"delta":{"content":["b"]}}]}"#),
        []
    );
}

#[test]
fn a_character_that_is_cut_in_half_is_put_together() {
    let (pieces, end) = read(&[
        r#"{"choices":[{"delta":{"content":"a\ud83d"}}]}"#,
        r#"{"choices":[{"delta":{"reasoning":"\ud83d"}}]}"#,
        r#"{"choices":[{"delta":{"reasoning":"\ude00r"}}]}"#,
        r#"{"choices":[{"delta":{"content":"\ude00b\ud83d"}}]}"#,
    ]);
    let expected = [
        text(Channel::Text, "a"),
        text(Channel::Reasoning, "😀r"),
        text(Channel::Text, "😀b"),
    ];
    assert_eq!(pieces, expected);
    assert_eq!(end, [text(Channel::Text, "\u{fffd}"), Err(broken())]);
}

#[test]
fn what_cannot_be_read_ends_the_answer_and_keeps_what_came() {
    for chunk in [
        "{",
        "5",
        "overloaded",
        r#"{"choices":"a"}"#,
        r#"{"choices":["a"]}"#,
        r#"{"choices":[{"delta":"a"}]}"#,
        r#"{"choices":[{"delta":{"content":[{"type":"image_url","image_url":{"url":"x"}}]}}]}"#,
    ] {
        let (pieces, end) = read(&[
            r#"{"choices":[{"delta":{"content":"kept"}}]}"#,
            chunk,
            r#"{"choices":[{"delta":{"content":"too late"}}]}"#,
        ]);
        assert_eq!(pieces[0], text(Channel::Text, "kept"));
        let [_, Err(error)] = pieces.as_slice() else {
            panic!("{chunk}: {pieces:?}")
        };
        assert_eq!(
            (error.code, error.layer),
            (Code::UpstreamInvalid, Layer::Model)
        );
        assert_eq!(end, []);
    }
}
