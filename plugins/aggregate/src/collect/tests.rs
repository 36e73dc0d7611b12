//! The fast path and the slow path collect the same, for any chunk.

use super::*;

/// Chunks as servers send them, and some whose parts look alike.
const CHUNKS: [&str; 12] = [
    r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}"#,
    r#"{"id":"c","choices":[{"index":3,"delta":{"role":"assistant","content":" 漢\n\u003c\ud83d \""},"logprobs":null,"k":[1]}],"usage":null,"x":{"y":1}}"#,
    r#"{"choices":[{"delta":{"reasoning":"Hm"}}]}"#,
    r#" { "choices" : [ { "delta" : { "content" : "" , "thoughts" : "Hm" } } ] } "#,
    r#"{"choices":[{"delta":{"content":""},"finish_reason":""}],"usage":{"total_tokens":1}}"#,
    r#"{"choices":[{"delta":{"content":"a","refusal":"b","k":"c","n":5}}]}"#,
    r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"i","function":{"name":"f","arguments":"{}"}}]}}]}"#,
    r#"{"choices":[{"delta":{"content":"a"},"logprobs":{"content":[1],"refusal":null}}],"k":1,"k":2}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}]}"#,
    r#"{"object":"text_completion","choices":[{"index":0,"text":"a","logprobs":{"tokens":["a"]},"token_ids":[1]}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"a"},"token_ids":[7,8]}]}"#,
    "[DONE]",
];

/// Bytes with a meaning in JSON or in UTF-8, and some without.
const BYTES: &[u8] = b"\"\\{}[],: \t\n\r\0\x1f\x7f/+-.0129abefnrtuxyz\x80\xa9\xc3\xe6\xff";

/// Enough for any one of these chunks, but not for some of them three times.
const MAX_BYTES: usize = 100;

fn push(collector: &mut Collector, data: &str) -> Result<(), Fault> {
    collector.push(&Event::data(data), MAX_BYTES)
}

fn response(mut collector: Collector) -> Result<String, Fault> {
    push(&mut collector, "[DONE]")?;
    collector.finish(|| Fallback {
        id: "req_a".to_owned(),
        received_ms: 0,
        model: None,
    })
}

/// Takes `data` after `first`, and then `first` again; each with the frame of the previous chunk, and without any. Returns
/// whether the fast path took `data`.
fn compare(first: &str, data: &[u8]) -> bool {
    // Decoded as the gateway does.
    let data = &*String::from_utf8_lossy(data);
    let (mut quick, mut slow) = (Collector::default(), Collector::default());
    let mut taken = false;
    for (at, data) in [first, data, first].into_iter().enumerate() {
        if let (1, Some(frame)) = (at, &quick.frame) {
            taken = frame.text(data.trim_ascii()).is_some();
        }
        let say = || format!("{data} after {first}");
        let results = (push(&mut quick, data), push(&mut slow, data));
        assert_eq!(results.0, results.1, "{}", say());
        assert_eq!(quick.size, slow.size, "{}", say());
        slow.frame = None;
        if results.0.is_err() {
            return taken;
        }
    }
    assert_eq!(response(quick), response(slow), "{data}");
    taken
}

/// Variants of `data`: each of its bytes replaced, preceded by another one, removed, and cut off there.
fn mutations(data: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..data.len()).flat_map(move |at| {
        let (before, after) = (&data[..at], &data[at + 1..]);
        let others = BYTES.iter().flat_map(move |&byte| {
            let replaced = [before, &[byte], after].concat();
            let preceded = [before, &[byte, data[at]], after].concat();
            [replaced, preceded]
        });
        let fewer = [[before, after].concat(), before.to_vec(), after.to_vec()];
        others.chain(fewer)
    })
}

#[test]
fn a_mutated_chunk_is_the_same_on_both_ways() {
    let mut taken = 0;
    for chunk in CHUNKS {
        for mutated in mutations(chunk.as_bytes()) {
            taken += u32::from(compare(chunk, &mutated));
        }
    }
    // Many of the changes hit the text and leave the chunk plain.
    assert!(taken > 500, "{taken}");
}

#[test]
fn any_chunk_after_any_other_is_the_same_on_both_ways() {
    for first in CHUNKS {
        for second in CHUNKS {
            let taken = compare(first, second.as_bytes());
            assert!(!taken || first == second, "{second} after {first}");
        }
    }
    for plain in &CHUNKS[..4] {
        assert!(compare(plain, plain.as_bytes()), "{plain}");
    }
}
