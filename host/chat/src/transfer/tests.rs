use super::*;
use crate::store::tests::{message as blank, session as empty, store};
use crate::store::{connect, message as messages, session as sessions, token};
use crate::wire::message::Status;

fn file_with(messages: &serde_json::Value) -> String {
    let session = serde_json::json!({
        "id": "s", "title": "T", "titled": true, "pinned": true, "archived": false, "unread": true, "preview": "p\u{0}\n",
        "leaf": "a", "seq": 9, "created_at": 5, "updated_at": u64::MAX
    });
    serde_json::json!({ "format": FORMAT, "version": 1, "sessions": [{ "session": session, "messages": messages }] }).to_string()
}

fn question() -> serde_json::Value {
    serde_json::json!({ "id": "q", "role": "user", "status": "done", "text": "q", "created_at": 1 })
}

fn answer() -> serde_json::Value {
    serde_json::json!({ "id": "a", "parent": "q", "role": "assistant", "status": "streaming", "text": "a", "created_at": 1,
                        "cid": "c", "siblings": ["x"], "run": { "id": "run_1", "request_id": "req_1" } })
}

#[test]
fn an_import_gets_new_names_and_nothing_is_under_way() {
    let world = store();
    let imported = import(
        &world.path,
        "local",
        &file_with(&serde_json::json!([question(), answer()])),
    )
    .expect("imported");
    assert_eq!(
        imported,
        Imported {
            sessions: 1,
            messages: 2
        }
    );
    import(
        &world.path,
        "local",
        &file_with(&serde_json::json!([question(), answer()])),
    )
    .expect("twice makes two");
    let c = connect(&world.path).expect("a connection");
    let names = sessions::names(&c, token::LOCAL).expect("names");
    assert_eq!(names.len(), 2);
    let row = sessions::any(&c, &names[0])
        .expect("readable")
        .expect("it is there");
    assert!(
        row.session.updated_at <= clock::unix_ms() && !row.session.unread && row.session.pinned
    );
    assert_eq!(row.session.preview, "p");
    let all = messages::all(&c, &names[0]).expect("messages");
    assert_eq!(all[1].parent.as_ref(), Some(&all[0].id));
    assert_eq!(row.session.leaf.as_ref(), Some(&all[1].id));
    assert_eq!(
        (all[1].status, all[1].run.is_none(), all[1].cid.is_none()),
        (Status::Interrupted, true, true)
    );
    assert!(all.iter().all(|message| message.id.starts_with("msg_")));
}

#[test]
fn files_that_do_not_hold_together_are_refused_whole() {
    let world = store();
    let mut orphan = answer();
    orphan["parent"] = serde_json::json!("elsewhere");
    let mut long = question();
    long["text"] = serde_json::json!("x".repeat(MESSAGE + 1));
    for broken in [
        file_with(&serde_json::json!([answer(), question()])),
        file_with(&serde_json::json!([question(), orphan])),
        file_with(&serde_json::json!([question(), question()])),
        file_with(&serde_json::json!([question()])),
        file_with(&serde_json::json!([question(), answer(), long])),
        file_with(&serde_json::json!([{ "id": "q" }])),
        r#"{"format":"open-webui","version":1,"sessions":[]}"#.to_owned(),
        r#"{"format":"sluicegate.chat","version":2,"sessions":[]}"#.to_owned(),
        "[]".to_owned(),
        String::new(),
    ] {
        import(&world.path, "local", &broken).expect_err("refused");
    }
    assert!(matches!(
        import(&world.path, "nobody", &file_with(&serde_json::json!([]))),
        Err(Error::NoUser(_))
    ));
    assert!(matches!(
        export(&world.path.with_file_name("none.db"), "local"),
        Err(Error::Missing(_))
    ));
    let c = connect(&world.path).expect("a connection");
    assert!(sessions::names(&c, token::LOCAL).expect("names").is_empty());
}

#[test]
fn an_export_holds_all_branches_and_a_page_only_the_shown_one() {
    let world = store();
    let c = connect(&world.path).expect("a connection");
    let mut row = empty("s", 1);
    row.session.title = "A & <b>".to_owned();
    row.session.leaf = Some("a2".to_owned());
    sessions::insert(&c, &row).expect("a session");
    for (id, parent, role) in [
        ("q", None, Role::User),
        ("a1", Some("q"), Role::Assistant),
        ("a2", Some("q"), Role::Assistant),
    ] {
        let message = blank(id, parent, role, &format!("<i>{id}</i>"));
        messages::insert(&c, "s", token::LOCAL, &message).expect("a message");
    }
    let whole = export(&world.path, "local").expect("exported");
    assert!(whole.contains("<i>a1</i>") && whole.contains("<i>a2</i>"));
    let (session, shown) = branch(&c, token::LOCAL, "s")
        .expect("readable")
        .expect("it is there");
    let page = html(&session, &shown);
    assert!(
        page.contains("<title>A &amp; &lt;b&gt;</title>") && page.contains("&lt;i&gt;a2&lt;/i&gt;"),
        "{page}"
    );
    assert!(!page.contains("a1") && !page.contains("<i>"));
    let text = markdown(&session, &shown);
    assert!(
        text.starts_with("# A & <b>\n\n## You · 1970-01-01 00:00:00 UTC\n\n<i>q</i>\n"),
        "{text}"
    );
    assert!(branch(&c, "u_2", "s").expect("readable").is_none());
}

/// A file of one session with so many messages of a kilobyte each.
fn large(messages: usize) -> String {
    let messages: Vec<_> = (0..messages)
        .map(|n| {
            let parent = (n > 0).then(|| format!("m{}", n - 1));
            let text = format!("message {n} {}", "word ".repeat(200));
            serde_json::json!({ "id": format!("m{n}"), "parent": parent, "role": "user", "status": "done", "text": text, "created_at": 1 })
        })
        .collect();
    let last = format!("m{}", messages.len() - 1);
    file_with(&serde_json::json!(messages)).replace(r#""leaf":"a""#, &format!(r#""leaf":"{last}""#))
}

#[tokio::test]
async fn a_large_import_lets_other_writers_in_between() {
    let world = store();
    let store = world.store.clone();
    let import = Import::read(token::LOCAL, large(4_000).as_bytes()).expect("a good file");
    let steps = import.steps.len();
    assert!(steps > 10, "{steps} steps");
    let done = std::cell::Cell::new(false);
    let writing = async {
        let imported = import.write(&store).await;
        done.set(true);
        imported
    };
    let others = async {
        let mut between = 0;
        while !done.get() {
            let row = empty(&format!("other{between}"), 1);
            let added = store.write(move |c| sessions::insert(c, &row));
            added.await.expect("written");
            between += 1;
            let seen = store.read(|c| {
                let names = sessions::names(c, token::LOCAL)?.len();
                let messages: i64 =
                    c.query_row("SELECT count(*) FROM messages", [], |row| row.get(0))?;
                Ok((names, messages))
            });
            let (names, messages) = seen.await.expect("read");
            assert!(names == between || messages == 4_000, "half of it is seen");
        }
        between
    };
    let (imported, between) = tokio::join!(writing, others);
    assert!(between > 5, "{between} writes between {steps} steps");
    let imported = imported.expect("imported");
    assert_eq!((imported.sessions, imported.messages), (1, 4_000));
    let names = store.read(|c| sessions::names(c, token::LOCAL)).await;
    assert_eq!(names.expect("names").len(), between + 1);
    store.close().await;
}

#[tokio::test]
async fn an_import_that_fails_half_way_leaves_nothing() {
    let world = store();
    let store = world.store.clone();
    let count = |c: &rusqlite::Connection| {
        let of = |table| {
            c.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
        };
        Ok::<(i64, i64), crate::store::Error>((of("messages")?, of("sessions")?))
    };
    // The disk is full after some steps.
    store
        .write(|c| {
            let pages: i64 = c.pragma_query_value(None, "page_count", |row| row.get(0))?;
            Ok(c.pragma_update(None, "max_page_count", pages + 500)?)
        })
        .await
        .expect("set");
    let import = Import::read(token::LOCAL, large(4_000).as_bytes()).expect("a good file");
    import.write(&store).await.expect_err("no room");
    assert_eq!(store.read(count).await.expect("counted"), (0, 0));
    store.close().await;
}
