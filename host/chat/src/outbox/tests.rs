use super::*;

/// Bytes that may wait for one connection.
const BYTES: usize = 1_000;

fn outbox(frames: usize) -> Arc<Outbox> {
    sharing(frames, &Share::new(1 << 20))
}

/// An outbox of a user whose other connections hold something too.
fn sharing(frames: usize, share: &Arc<Share>) -> Arc<Outbox> {
    let room = Room {
        frames,
        bytes: BYTES,
    };
    Outbox::new("c_1".into(), "u_1".into(), room, Arc::clone(share))
}

fn frame(text: &str) -> Frame {
    text.to_owned().into()
}

fn run(name: &str) -> Arc<Buffer> {
    Buffer::new(name, "msg_1", String::new(), String::new(), 1 << 20)
}

/// Everything that can leave at `now`.
fn drain(outbox: &Outbox, now: Instant) -> Vec<serde_json::Value> {
    let mut sent = Vec::new();
    while let Next::Send(frame) = outbox.next(now) {
        let bytes: Vec<u8> = frame.parts().flatten().collect();
        sent.push(serde_json::from_slice(&bytes).expect("frames are JSON"));
    }
    sent
}

fn texts(frames: &[serde_json::Value], run: &str, ch: &str) -> String {
    frames
        .iter()
        .filter(|frame| frame["run"] == run && frame["ch"] == ch)
        .map(|frame| frame["text"].as_str().expect("deltas have text"))
        .collect()
}

#[test]
fn the_first_word_leaves_at_once_and_the_next_are_gathered() {
    let (outbox, run, now) = (outbox(8), run("run_1"), Instant::now());
    outbox.follow(&run, Position::default());
    assert_eq!(outbox.next(now), Next::Wait(None));
    run.append(Channel::Text, "a");
    assert_eq!(texts(&drain(&outbox, now), "run_1", "text"), "a");
    run.append(Channel::Text, "b");
    assert_eq!(outbox.next(now), Next::Wait(Some(now + GATHER)));
    run.append(Channel::Text, "c");
    let later = drain(&outbox, now + GATHER);
    assert_eq!(
        (later.len(), texts(&later, "run_1", "text").as_str()),
        (1, "bc")
    );
    run.append(Channel::Reasoning, "late");
    assert_eq!(
        texts(&drain(&outbox, now + GATHER), "run_1", "reasoning"),
        "late",
        "a channel's first word does not wait"
    );
}

#[test]
fn a_hidden_page_is_told_once_a_second_and_at_once_when_it_shows() {
    let (outbox, run, now) = (outbox(8), run("run_1"), Instant::now());
    outbox.follow(&run, Position::default());
    outbox.show(false);
    run.append(Channel::Text, "a");
    drain(&outbox, now);
    run.append(Channel::Text, "b");
    assert_eq!(
        outbox.next(now + GATHER),
        Next::Wait(Some(now + GATHER_HIDDEN))
    );
    outbox.show(true);
    assert_eq!(outbox.next(now), Next::Wait(Some(now + GATHER)));
    assert_eq!(
        texts(&drain(&outbox, now + GATHER_HIDDEN), "run_1", "text"),
        "b"
    );
}

#[test]
fn all_text_of_a_run_leaves_before_the_event_that_ends_it_and_later_events_wait() {
    let (outbox, run, now) = (outbox(8), run("run_1"), Instant::now());
    outbox.follow(&run, Position::default());
    run.append(Channel::Reasoning, "r");
    drain(&outbox, now);
    run.append(Channel::Reasoning, "s");
    run.append(Channel::Text, &"t".repeat(CHUNK + 1));
    outbox.push_end("run_1", frame(r#"{"ev":"run.ended"}"#));
    outbox.push(frame(r#"{"ev":"later"}"#));
    let sent = drain(&outbox, now);
    let names: Vec<_> = sent
        .iter()
        .map(|f| f["ch"].as_str().or(f["ev"].as_str()).expect("named"))
        .collect();
    assert_eq!(names, ["reasoning", "text", "text", "run.ended", "later"]);
    assert_eq!(
        outbox.next(now),
        Next::Wait(None),
        "the run is no longer followed"
    );
}

#[test]
fn the_end_of_a_run_that_is_not_followed_does_not_wait() {
    let outbox = outbox(8);
    outbox.push_end("run_9", frame(r#"{"ev":"run.ended"}"#));
    assert_eq!(drain(&outbox, Instant::now()).len(), 1);
}

#[test]
fn deltas_join_without_gaps_across_chunks() {
    let (outbox, run, now) = (outbox(8), run("run_1"), Instant::now());
    let whole = "你好a".repeat(10_000);
    run.append(Channel::Text, &whole);
    outbox.follow(
        &run,
        Position {
            text: 3,
            reasoning: 0,
        },
    );
    let mut have = 3;
    for frame in drain(&outbox, now) {
        assert_eq!(frame["from"], have);
        have += frame["text"].as_str().expect("text").len();
        assert_eq!(frame["to"], have);
    }
    assert_eq!(have, whole.len());
}

#[test]
fn two_runs_take_turns() {
    let (outbox, a, b, now) = (outbox(8), run("a"), run("b"), Instant::now());
    for run in [&a, &b] {
        run.append(Channel::Text, &"x".repeat(CHUNK * 2));
        outbox.follow(run, Position::default());
    }
    let order: Vec<_> = drain(&outbox, now)
        .iter()
        .map(|f| f["run"].as_str().expect("run").to_owned())
        .collect();
    assert_eq!(order, ["a", "b", "a", "b"]);
}

#[test]
fn a_full_queue_closes_instead_of_growing_or_losing() {
    let outbox = outbox(2);
    for _ in 0..3 {
        outbox.push(frame("{}"));
    }
    assert_eq!(outbox.next(Instant::now()), Next::Close(Close::Rate));
    assert!(outbox.closing());
    outbox.push(frame("{}"));
    assert_eq!(
        outbox.next(Instant::now()),
        Next::Close(Close::Rate),
        "nothing is queued after that"
    );
}

#[test]
fn an_orderly_close_lets_waiting_frames_leave_and_a_cut_does_not() {
    let now = Instant::now();
    let orderly = outbox(8);
    orderly.push(frame("{}"));
    orderly.close(Close::ShuttingDown);
    orderly.close(Close::Internal);
    assert_eq!(orderly.next(now), Next::Send(frame("{}")));
    assert_eq!(orderly.next(now), Next::Close(Close::ShuttingDown));
    let cut = outbox(8);
    cut.push(frame("{}"));
    cut.cut(Close::Unauthenticated);
    assert_eq!(cut.next(now), Next::Close(Close::Unauthenticated));
}

#[test]
fn following_again_starts_from_the_new_position_and_unfollowing_ends_it() {
    let (outbox, run, now) = (outbox(8), run("run_1"), Instant::now());
    run.append(Channel::Text, "abc");
    outbox.follow(&run, Position::default());
    outbox.follow(
        &run,
        Position {
            text: 2,
            reasoning: 0,
        },
    );
    assert_eq!(outbox.backlog(), (1, 0));
    assert_eq!(texts(&drain(&outbox, now), "run_1", "text"), "c");
    run.append(Channel::Text, "d");
    assert_eq!(
        outbox.unfollow("run_1"),
        Some(Position {
            text: 3,
            reasoning: 0
        })
    );
    assert_eq!(outbox.unfollow("run_1"), None);
    assert_eq!(outbox.next(now + GATHER), Next::Wait(None));
}

#[tokio::test]
async fn text_wakes_the_writer_even_if_it_did_not_wait_yet() {
    let (outbox, run) = (outbox(8), run("run_1"));
    outbox.follow(&run, Position::default());
    outbox.ready().await;
    run.append(Channel::Text, "a");
    outbox.ready().await;
}

/// A JSON string of so many bytes.
fn long(bytes: usize) -> Frame {
    frame(&format!("\"{}\"", "x".repeat(bytes - 2)))
}

#[test]
fn a_queue_is_bounded_by_its_bytes_whatever_their_number() {
    let (share, now) = (Share::new(1 << 20), Instant::now());
    let full = sharing(256, &share);
    full.push(long(BYTES / 2));
    full.push(long(BYTES / 2));
    assert_eq!((full.closing(), share.taken()), (false, BYTES));
    full.push(long(2));
    assert_eq!(full.next(now), Next::Close(Close::Rate));
    assert_eq!(share.taken(), 0, "what waited is given back");
}

#[test]
fn a_frame_longer_than_the_room_waits_where_it_is_the_only_one() {
    let (share, now) = (Share::new(1 << 20), Instant::now());
    let alone = sharing(256, &share);
    alone.push(long(BYTES * 10));
    assert!(!alone.closing());
    assert_eq!(drain(&alone, now).len(), 1);
    assert_eq!(share.taken(), 0);
    let behind = sharing(256, &share);
    behind.push(frame("{}"));
    behind.push(long(BYTES * 10));
    assert_eq!(behind.next(now), Next::Close(Close::Rate));
}

#[test]
fn all_connections_of_a_user_share_one_bound() {
    let (share, now) = (Share::new(BYTES * 3), Instant::now());
    let readers: Vec<_> = (0..4).map(|_| sharing(256, &share)).collect();
    for reader in &readers {
        reader.push(long(BYTES));
        assert!(share.taken() <= BYTES * 3);
    }
    let closed: Vec<_> = readers.iter().map(|reader| reader.closing()).collect();
    assert_eq!(closed, [false, false, false, true]);
    assert_eq!(drain(&readers[0], now).len(), 1);
    let other = sharing(256, &share);
    other.push(long(BYTES));
    assert!(!other.closing(), "there is room again");
}

#[test]
fn a_frame_is_held_until_it_has_been_sent() {
    let (share, now) = (Share::new(1 << 20), Instant::now());
    let outbox = sharing(256, &share);
    outbox.push(long(100));
    assert!(matches!(outbox.next(now), Next::Send(_)));
    assert_eq!(share.taken(), 100);
    assert_eq!(outbox.next(now), Next::Wait(None));
    assert_eq!(share.taken(), 0);
}

#[test]
fn a_payload_for_many_readers_is_held_once() {
    let (share, now) = (Share::new(BYTES * 3), Instant::now());
    let readers: Vec<_> = (0..100).map(|_| sharing(256, &share)).collect();
    let payload = readers[0]
        .payload(format!("\"{}\"", "x".repeat(BYTES - 2)))
        .expect("there is room");
    for reader in &readers {
        let head = crate::wire::ok_until_payload("7");
        reader.push(Frame::with_payload(head, Arc::clone(&payload)));
        assert!(!reader.closing() || share.taken() > BYTES * 2);
    }
    drop(payload);
    let open = readers.iter().filter(|reader| !reader.closing()).count();
    assert!(open > 20, "{open} of the same payload fit");
    let sent = drain(&readers[0], now);
    assert_eq!(sent[0]["payload"].as_str().map(str::len), Some(BYTES - 2));
    for reader in &readers {
        reader.cut(Close::Internal);
    }
    assert_eq!(share.taken(), 0);
    let none = readers[0].payload("x".repeat(BYTES * 3 + 1));
    assert!(none.is_none());
}

#[tokio::test]
async fn who_does_not_read_is_asked_for_no_more_until_little_waits() {
    let room = Room {
        frames: 256,
        bytes: LOW * 4,
    };
    let share = Share::new(LOW * 8);
    let outbox = Outbox::new("c_1".into(), "u_1".into(), room, share);
    outbox.push(long(LOW));
    outbox.has_room().await;
    outbox.push(long(LOW));
    let waits = outbox.has_room();
    tokio::pin!(waits);
    assert!(futures_util::poll!(&mut waits).is_pending());
    assert!(matches!(outbox.next(Instant::now()), Next::Send(_)));
    waits.await;
    outbox.push(long(LOW));
    outbox.cut(Close::Rate);
    outbox.has_room().await;
    outbox.was_cut().await;
}
