//! What holds for whatever a client sends: each request has one answer, nothing is a mistake of ours, and no frame costs another
//! user anything.

use std::collections::HashSet;

use futures_util::SinkExt as _;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::Message;

use super::client::{Ws, frame, open, request};
use super::{ANN, World, answered};

/// Methods that are there, and some that are not. `hello` comes once, so a second one is a mistake as well.
const METHODS: &[&str] = &[
    "hello",
    "ping",
    "visible",
    "sessions.list",
    "sessions.get",
    "sessions.create",
    "sessions.patch",
    "sessions.delete",
    "sessions.restore",
    "sessions.read",
    "sub",
    "unsub",
    "messages.page",
    "messages.get",
    "chat.send",
    "chat.regenerate",
    "chat.continue",
    "chat.stop",
    "chat.queue.remove",
    "chat.queue.move",
    "branch.select",
    "code.highlight",
    "models.list",
    "cmd",
    "",
    "Ping",
    "chat.send\0",
    "__proto__",
];

/// Members that some method reads, and one that none does.
const MEMBERS: &[&str] = &[
    "session",
    "message",
    "cid",
    "text",
    "after",
    "epoch",
    "runs",
    "limit",
    "cursor",
    "q",
    "before",
    "leaf",
    "parent",
    "expected_leaf",
    "edit_of",
    "when",
    "options",
    "model",
    "system",
    "title",
    "pinned",
    "archived",
    "deleted",
    "seq",
    "to",
    "run",
    "name",
    "args",
    "lang",
    "visible",
    "ts",
    "min",
    "max",
    "token",
    "nothing",
];

/// Names of things that are there.
#[derive(Debug, Clone)]
struct Known {
    session: String,
    message: String,
    run: String,
    epoch: String,
}

/// A value for a member; most are of a type that some method takes, and few are sensible.
fn value(known: &Known) -> impl Strategy<Value = Value> + use<> {
    let names = vec![
        json!(known.session),
        json!(known.message),
        json!(known.run),
        json!(known.epoch),
    ];
    let runs = {
        let run = known.run.clone();
        (any::<u64>(), 0_u64..9).prop_map(
            move |(text, reasoning)| json!({ &run: { "text": text, "reasoning": reasoning } }),
        )
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![
            Just(0),
            Just(1),
            Just(2),
            Just(u64::MAX),
            Just(1 << 63),
            any::<u64>()
        ]
        .prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        prop::sample::select(vec![
            "queue",
            "reject",
            "interrupt",
            "debug",
            "json",
            "/debug",
            "/debug watch",
            "",
            "1.5.x",
            "none",
            "rust"
        ])
        .prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        (0_usize..90_000).prop_map(|length| Value::from("a".repeat(length))),
        // Half a surrogate cannot be sent; what SQLite, a regular expression or a pattern could trip over can.
        "[%_'\"\\\\*\u{0}\u{feff}\u{202e}İß你a ]{0,12}".prop_map(Value::from),
    ];
    let leaf = prop_oneof![3 => leaf, 2 => prop::sample::select(names), 1 => runs];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{0,8}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<Value>()),
        ]
    })
}

/// A method and its parameters. Those that it needs most are there more often than chance would have them.
fn ask(known: &Known) -> impl Strategy<Value = (String, Value)> + use<> {
    let members = prop::collection::hash_map(prop::sample::select(MEMBERS), value(known), 0..6);
    let usual = json!({ "session": known.session, "message": known.message, "cid": "c", "text": "t", "leaf": known.message, "name": "debug" });
    let params = (members, any::<bool>()).prop_map(move |(members, sensible)| {
        let mut params = if sensible { usual.clone() } else { json!({}) };
        for (name, value) in members {
            params[name] = value;
        }
        params
    });
    let params = prop_oneof![9 => params, 1 => value(known)];
    (
        prop::sample::select(METHODS).prop_map(str::to_owned),
        params,
    )
}

/// Frames that are no request, or hardly one.
fn odd_frame() -> impl Strategy<Value = Message> {
    prop_oneof![
        "\\PC{0,40}".prop_map(|text| Message::Text(text.into())),
        "[\\[\\]{}\",:a-z0-9 ]{0,40}".prop_map(|text| Message::Text(text.into())),
        (1_usize..2000).prop_map(|depth| Message::Text("[".repeat(depth).into())),
        prop::sample::select(vec![
            json!({ "type": "res", "id": "1", "method": "ping" }),
            json!({ "type": "req", "id": 1, "method": "ping" }),
            json!({ "type": "req", "id": "x".repeat(65), "method": "ping" }),
            json!({ "type": "req", "method": "ping" }),
            json!(["req"]),
            json!(null),
        ])
        .prop_map(|frame| Message::Text(frame.to_string().into())),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Message::Binary(bytes.into())),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Message::Ping(bytes.into())),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Message::Pong(bytes.into())),
    ]
}

async fn connect(world: &World) -> Ws {
    let mut ws = open(&world.host(), &[]).await.expect("an upgrade");
    let hello = json!({ "min": 1, "max": 1, "token": ANN });
    request(&mut ws, "hello", "hello", &hello).await;
    assert_eq!(frame(&mut ws).await.expect("an answer")["ok"], true);
    ws
}

/// A gateway with a session in which one question was answered.
async fn world() -> (World, Known) {
    let world = World::new().await;
    let (client, session) = answered(&world, "question", "an answer 你").await;
    let view = &client.views[&session];
    let known = Known {
        message: view.texts.keys().next().expect("a message").clone(),
        run: view.ended.keys().next().expect("a run").clone(),
        epoch: client.welcome["epoch"]
            .as_str()
            .expect("an epoch")
            .to_owned(),
        session,
    };
    (world, known)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A quarter of the usual cases, or of `PROPTEST_CASES`: each is several requests, some of which wait for the disk.
fn runner() -> TestRunner {
    let usual = ProptestConfig::with_source_file(file!());
    TestRunner::new(ProptestConfig {
        cases: usual.cases.div_ceil(4),
        ..usual
    })
}

/// Sends all, then takes frames until each has its answer.
async fn answers(ws: &mut Ws, asks: &[(String, Value)]) -> Result<(), TestCaseError> {
    let mut open = HashSet::new();
    for (at, (method, params)) in asks.iter().enumerate() {
        let id = format!("r{at}");
        request(ws, &id, method, params).await;
        open.insert(id);
    }
    while !open.is_empty() {
        let frame = frame(ws).await;
        let frame = frame.map_err(|code| {
            TestCaseError::fail(format!("closed with {code}, {open:?} without an answer"))
        })?;
        if frame["type"] != "res" {
            continue;
        }
        let id = frame["id"].as_str().unwrap_or_default();
        prop_assert!(open.remove(id), "a second answer: {frame}");
        let at: usize = id[1..].parse()?;
        let sent = asks[at].0.len() + asks[at].1.to_string().len();
        if frame["ok"] != true {
            let code = &frame["error"]["code"];
            prop_assert!(
                code.is_string() && code != "INTERNAL" && code != "STORE_UNAVAILABLE",
                "{frame}"
            );
            // An error repeats at most what was asked, with its escapes.
            prop_assert!(frame.to_string().len() <= 1_000 + 6 * sent, "{frame}");
        }
    }
    Ok(())
}

#[test]
fn each_request_has_one_answer_whatever_it_asks() {
    let runtime = runtime();
    let (world, known) = runtime.block_on(world());
    let asks = prop::collection::vec(ask(&known), 1..8);
    let tested = runner().run(&asks, |asks| {
        runtime.block_on(async { answers(&mut connect(&world).await, &asks).await })
    });
    if let Err(error) = tested {
        panic!("{error}");
    }
}

#[test]
fn an_odd_frame_closes_its_own_socket_at_most() {
    let runtime = runtime();
    let (world, _) = runtime.block_on(world());
    let tested = runner().run(&odd_frame(), |odd| {
        runtime.block_on(async {
            let (mut ws, mut other) = (connect(&world).await, connect(&world).await);
            let harmless = matches!(odd, Message::Ping(_) | Message::Pong(_));
            ws.send(odd).await?;
            request(&mut ws, "after", "ping", &json!({})).await;
            match frame(&mut ws).await {
                Ok(frame) => prop_assert!(harmless && frame["id"] == "after", "{frame}"),
                Err(code) => prop_assert!(!harmless && code == 4400, "{code}"),
            }
            answers(&mut other, &[("ping".to_owned(), json!({}))]).await
        })
    });
    if let Err(error) = tested {
        panic!("{error}");
    }
}
