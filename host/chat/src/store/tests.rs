use std::path::PathBuf;

use super::*;
use crate::store::session::SessionRow;
use crate::wire::event::{Event, RunKind};
use crate::wire::message::{Finish, Message, Role, Status};
use crate::wire::params::ListSessions;

/// A store in a folder of its own.
pub(crate) struct Temporary {
    pub store: Store,
    pub path: PathBuf,
    _folder: tempfile::TempDir,
}

/// An empty store.
pub(crate) fn store() -> Temporary {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("chat.db");
    let store = Store::open(&path).expect("the store opens");
    Temporary {
        store,
        path,
        _folder: folder,
    }
}

/// A message of a session `s` of the local user.
pub(crate) fn message(id: &str, parent: Option<&str>, role: Role, text: &str) -> Message {
    Message {
        id: id.to_owned(),
        parent: parent.map(str::to_owned),
        role,
        status: Status::Done,
        text: text.to_owned(),
        reasoning: String::new(),
        reasoning_ms: None,
        model: None,
        run: None,
        cid: None,
        edit_of: None,
        siblings: Vec::new(),
        created_at: 1,
    }
}

/// A session of the local user.
pub(crate) fn session(id: &str, updated_at: u64) -> SessionRow {
    SessionRow::new(id.to_owned(), token::LOCAL.to_owned(), updated_at)
}

#[tokio::test]
async fn a_change_that_fails_takes_back_nothing_but_itself() {
    let world = store();
    let insert = |id: &'static str| {
        world
            .store
            .write(move |c| session::insert(c, &session(id, 1)))
    };
    let (a, b, c) = tokio::join!(insert("a"), insert("a"), insert("b"));
    assert!(a.is_ok() && c.is_ok());
    assert!(b.expect_err("the name is taken").conflict());
    let names = world
        .store
        .read(|c| session::names(c, token::LOCAL))
        .await
        .expect("names");
    assert_eq!(names, ["a", "b"]);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the test waits for its task")]
async fn changes_are_on_disk_when_they_are_confirmed_and_closing_waits_for_the_rest() {
    let world = store();
    world
        .store
        .write(|c| session::insert(c, &session("a", 1)))
        .await
        .expect("stored");
    let other = connect(&world.path).expect("a second connection");
    assert!(session::any(&other, "a").expect("readable").is_some());
    let pending = tokio::spawn({
        let store = world.store.clone();
        async move { store.write(|c| session::insert(c, &session("b", 1))).await }
    });
    tokio::task::yield_now().await;
    world.store.close().await;
    let stored = session::any(&other, "b").expect("readable").is_some();
    assert_eq!(pending.await.expect("no panic").is_ok(), stored);
    assert!(matches!(
        world.store.write(|_| Ok(())).await,
        Err(Error::Closed)
    ));
}

#[tokio::test]
async fn the_file_is_its_owners_only_and_of_a_known_version() {
    let world = store();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&world.path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    world.store.close().await;
    let connection = connect(&world.path).expect("it opens");
    connection
        .pragma_update(None, "user_version", 99)
        .expect("it can be written");
    drop(connection);
    drop(world.store);
    assert!(matches!(
        Store::open(&world.path).err(),
        Some(Error::Newer {
            found: 99,
            known: 1
        })
    ));
}

fn tree(c: &Connection) {
    session::insert(c, &session("s", 1)).expect("a session");
    for (id, parent, role) in [
        ("q1", None, Role::User),
        ("a1", Some("q1"), Role::Assistant),
        ("a2", Some("q1"), Role::Assistant),
        ("q2", Some("a1"), Role::User),
        ("q3", Some("a1"), Role::User),
        ("a3", Some("q3"), Role::Assistant),
        ("q9", None, Role::User),
    ] {
        message::insert(c, "s", token::LOCAL, &message(id, parent, role, id)).expect("a message");
    }
}

#[test]
fn branches_are_read_upwards_with_their_siblings_and_followed_downwards() {
    let world = store();
    let c = connect(&world.path).expect("a connection");
    tree(&c);
    let ids = |page: &(Vec<Message>, bool)| {
        page.0
            .iter()
            .map(|message| message.id.clone())
            .collect::<Vec<_>>()
    };
    let page = message::page(&c, "s", Some("a3"), None, 50).expect("a page");
    assert_eq!(
        (ids(&page), page.1),
        (
            vec!["q1".into(), "a1".into(), "q3".into(), "a3".into()],
            false
        )
    );
    assert_eq!(page.0[0].siblings, ["q1", "q9"]);
    assert_eq!(page.0[1].siblings, ["a1", "a2"]);
    assert_eq!(page.0[2].siblings, ["q2", "q3"]);
    assert!(page.0[3].siblings.is_empty());
    let page = message::page(&c, "s", Some("a3"), None, 2).expect("a page");
    assert_eq!((ids(&page), page.1), (vec!["q3".into(), "a3".into()], true));
    let page = message::page(&c, "s", None, Some("q3"), 2).expect("a page");
    assert_eq!(
        (ids(&page), page.1),
        (vec!["q1".into(), "a1".into()], false)
    );
    assert_eq!(
        message::page(&c, "s", None, Some("q1"), 2).expect("a page"),
        (Vec::new(), false)
    );
    assert_eq!(
        message::page(&c, "s", None, None, 2).expect("a page"),
        (Vec::new(), false)
    );
    assert_eq!(
        message::page(&c, "other", Some("a3"), None, 2).expect("a page"),
        (Vec::new(), false)
    );
    for (from, to) in [("q1", "a2"), ("a1", "a3"), ("q2", "q2"), ("a2", "a2")] {
        assert_eq!(message::descend(&c, "s", from).expect("a leaf"), to);
    }
    let told: Vec<_> = message::context(&c, "s", "q3")
        .expect("turns")
        .into_iter()
        .map(|turn| turn.text)
        .collect();
    assert_eq!(told, ["q1", "a1", "q3"]);
}

#[test]
fn a_page_holds_no_more_text_than_a_frame_can() {
    let world = store();
    let c = connect(&world.path).expect("a connection");
    session::insert(&c, &session("s", 1)).expect("a session");
    let big = "x".repeat(700_000);
    for (id, parent) in [("a", None), ("b", Some("a")), ("c", Some("b"))] {
        message::insert(
            &c,
            "s",
            token::LOCAL,
            &message(id, parent, Role::User, &big),
        )
        .expect("a message");
    }
    let (page, more) = message::page(&c, "s", Some("c"), None, 50).expect("a page");
    assert_eq!((page.len(), page[0].id.as_str(), more), (1, "c", true));
}

fn run(c: &Connection, id: &str, reply: &str, cid: &str) {
    let new = run::NewRun {
        id,
        session: "s",
        message: reply,
        user: token::LOCAL,
        request: &format!("req_{id}"),
        cid,
        kind: RunKind::Answer,
        model: "m",
        now: 1_000,
    };
    run::insert(c, &new).expect("a run");
    run::open(c, reply, id, false).expect("the message is there");
}

#[test]
fn runs_without_an_end_are_repaired_with_the_text_that_was_kept() {
    let world = store();
    let c = connect(&world.path).expect("a connection");
    tree(&c);
    run(&c, "r1", "a3", "c1");
    run::keep(&c, "r1", " and", "hm").expect("kept");
    run::keep(&c, "r1", " more", "").expect("kept");
    run(&c, "r2", "a2", "c2");
    assert_eq!(run::repair(&c, Some("other"), 2_000).expect("repaired"), 0);
    assert_eq!(run::repair(&c, None, 2_000).expect("repaired"), 2);
    assert_eq!(
        run::repair(&c, None, 2_000).expect("repaired"),
        0,
        "once is enough"
    );
    let message = message::find(&c, "s", "a3")
        .expect("readable")
        .expect("it is there");
    assert_eq!(
        (message.text.as_str(), message.reasoning.as_str()),
        ("a3 and more", "hm")
    );
    assert_eq!(message.status, Status::Interrupted);
    let summary = message.run.expect("its run");
    assert_eq!(
        (summary.finish, summary.duration_ms),
        (Some(Finish::Interrupted), Some(1_000))
    );
    let row = session::any(&c, "s")
        .expect("readable")
        .expect("it is there");
    assert_eq!((row.session.seq, row.session.unread), (2, true));
    let events = event::after(&c, "s", 0, 2)
        .expect("readable")
        .expect("complete");
    assert!(matches!(&events[0].event, Event::RunEnded(end) if end.finish == Finish::Interrupted));
    let kept: i64 = c
        .query_row("SELECT count(*) FROM partials", [], |row| row.get(0))
        .expect("a number");
    assert_eq!(kept, 0);
}

#[test]
fn client_ids_lead_to_what_they_made_and_are_unique_per_user() {
    let world = store();
    let c = connect(&world.path).expect("a connection");
    tree(&c);
    assert_eq!(run::known(&c, token::LOCAL, "c1").expect("readable"), None);
    run(&c, "r1", "a3", "c1");
    let known = run::known(&c, token::LOCAL, "c1")
        .expect("readable")
        .expect("known");
    assert_eq!(
        (known.run.as_deref(), known.reply.as_deref(), known.ended),
        (Some("r1"), Some("a3"), false)
    );
    assert_eq!(run::known(&c, "u_2", "c1").expect("readable"), None);
    let again = run::NewRun {
        id: "r2",
        session: "s",
        message: "a2",
        user: token::LOCAL,
        request: "req_2",
        cid: "c1",
        kind: RunKind::Answer,
        model: "m",
        now: 1,
    };
    assert!(run::insert(&c, &again).expect_err("taken").conflict());
}

#[test]
fn events_come_back_complete_or_not_at_all() {
    let world = store();
    let c = connect(&world.path).expect("a connection");
    session::insert(&c, &session("s", 1)).expect("a session");
    let event = Event::BranchSelected {
        leaf: "x".to_owned(),
    };
    for seq in 1..=600 {
        event::append(&c, "s", seq, &event, 1_000_000_000_000).expect("stored");
    }
    let count = |after, head| {
        event::after(&c, "s", after, head)
            .expect("readable")
            .map(|events| events.len())
    };
    assert_eq!(count(590, 600), Some(10));
    assert_eq!(count(600, 600), Some(0));
    assert_eq!(count(100, 600), Some(500));
    assert_eq!(count(99, 600), None, "too many");
    assert_eq!(count(601, 600), None, "from the future");
    assert_eq!(count(595, 601), None, "one is missing");
    assert!(
        event::append(&c, "s", 600, &event, 1)
            .expect_err("taken")
            .conflict()
    );
    c.execute("DELETE FROM events WHERE seq = 595", [])
        .expect("gone");
    assert_eq!(count(590, 600), None);
    c.execute(
        "UPDATE events SET event = '{\"ev\":\"of.a.later.version\"}' WHERE seq = 600",
        [],
    )
    .expect("changed");
    assert_eq!(count(599, 600), None);
    assert_eq!(event::forget(&c, 1_000_000_000_000).expect("tidied"), 0);
    assert_eq!(event::forget(&c, 1_000_700_000_000).expect("tidied"), 599);
}

#[test]
fn what_is_purged_is_gone_from_every_table_and_the_index() {
    let world = store();
    let c = connect(&world.path).expect("a connection");
    tree(&c);
    run(&c, "r1", "a3", "c1");
    let mut row = session::any(&c, "s")
        .expect("readable")
        .expect("it is there");
    row.session.deleted_at = Some(1_000);
    session::save(&c, &row).expect("stored");
    assert_eq!(session::purge(&c, 1_000).expect("purged"), 0);
    assert_eq!(session::purge(&c, 1_001).expect("purged"), 1);
    for table in [
        "sessions", "messages", "runs", "events", "partials", "queue",
    ] {
        let left: i64 = c
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .expect("a number");
        assert_eq!(left, 0, "{table}");
    }
    let found: i64 = c
        .query_row(
            "SELECT count(*) FROM messages_fts WHERE messages_fts MATCH '\"q1\"'",
            [],
            |row| row.get(0),
        )
        .unwrap_or(0);
    assert_eq!(found, 0);
}

#[test]
fn the_list_goes_on_where_its_cursor_says() {
    let world = store();
    let c = connect(&world.path).expect("a connection");
    for n in 0..10u64 {
        let mut row = session(&format!("s{n}"), n / 2);
        row.session.pinned = n == 3;
        session::insert(&c, &row).expect("stored");
    }
    let mut ask = ListSessions {
        limit: Some(4),
        ..ListSessions::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = session::list(&c, token::LOCAL, &ask).expect("a page");
        seen.extend(page.sessions.iter().map(|session| session.id.clone()));
        ask.cursor = page.cursor;
        if ask.cursor.is_none() {
            break;
        }
    }
    assert_eq!(
        seen,
        ["s3", "s9", "s8", "s7", "s6", "s5", "s4", "s2", "s1", "s0"]
    );
    for broken in ["", "x", "1.", "1.x.y"] {
        let ask = ListSessions {
            cursor: Some(broken.to_owned()),
            ..ListSessions::default()
        };
        assert_eq!(
            session::list(&c, token::LOCAL, &ask)
                .expect("a page")
                .sessions
                .len(),
            10,
            "{broken}"
        );
    }
}

#[test]
fn the_ring_of_durations_keeps_the_last_ones() {
    let mut durations = Durations::default();
    assert_eq!(durations.p95(), Duration::ZERO);
    for ms in 0..1_000 {
        durations.add(Duration::from_millis(ms));
    }
    assert_eq!(durations.samples.len(), SAMPLES);
    assert!(durations.p95() >= Duration::from_millis(990));
}

#[test]
fn a_disk_that_is_nearly_full_is_not_enough() {
    assert!(super::is_enough(None));
    assert!(super::is_enough(Some(super::ROOM)));
    assert!(!super::is_enough(Some(super::ROOM - 1)));
    let world = store();
    assert!(super::place::free(&world.path).is_some_and(|free| free > 0));
}

#[tokio::test]
async fn whether_it_works_is_found_out_by_writing() {
    let world = store();
    assert!(world.store.works().await);
    let full = || rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(13), None);
    let failed = world
        .store
        .write(move |_| Err::<(), _>(full().into()))
        .await;
    failed.expect_err("the disk is full");
    assert!(!world.store.works().await, "known from the last write");
    tokio::time::sleep(super::ILL).await;
    assert!(world.store.works().await, "found out anew");
    let conflict = || rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(19), None);
    let failed = world
        .store
        .write(move |_| Err::<(), _>(conflict().into()))
        .await;
    failed.expect_err("a conflict");
    assert!(world.store.works().await, "that says nothing of the disk");
}
