//! Edits, other answers, continued answers, and the branches they make.

use serde_json::{Value, json};

use super::{World, answered, running};

fn id(value: &Value) -> String {
    value.as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn another_answer_is_a_sibling_and_the_branch_that_is_shown() {
    let world = World::new().await;
    let (mut ann, session) = answered(&world, "q", "first").await;
    let before = ann.sub(&session).await;
    let (question, first) = (
        id(&before["messages"][0]["id"]),
        id(&before["messages"][1]["id"]),
    );
    let again = json!({ "session": session, "message": first, "cid": "r1", "model": "m2" });
    let sent = ann.ok("chat.regenerate", &again).await;
    let call = world.fake.call().await;
    assert_eq!(
        (call.told(), call.body["model"].as_str()),
        (vec!["user: q".to_owned()], Some("m2"))
    );
    call.answer("second").await;
    ann.ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    let started = ann
        .view(&session)
        .events
        .iter()
        .rfind(|event| event["ev"] == "run.started")
        .expect("it started")
        .clone();
    assert_eq!(
        (
            started["data"]["kind"].as_str(),
            id(&started["data"]["parent"])
        ),
        (Some("regenerate"), question.clone())
    );
    assert_eq!(started["data"]["siblings"], json!([first, sent["reply"]]));
    assert_eq!(
        ann.ok("chat.regenerate", &again).await["dup"],
        true,
        "the same wish again"
    );
    let after = ann.sub(&session).await;
    assert_eq!(after["messages"][1]["text"], "second");
    assert_eq!(
        after["messages"][1]["siblings"],
        json!([first, sent["reply"]])
    );
    let selected = ann
        .ok(
            "branch.select",
            &json!({ "session": session, "leaf": first }),
        )
        .await;
    assert_eq!(id(&selected["leaf"]), first);
    assert_eq!(ann.sub(&session).await["messages"][1]["text"], "first");
    // From the question itself it works as well.
    let sent = ann
        .ok(
            "chat.regenerate",
            &json!({ "session": session, "message": question, "cid": "r2" }),
        )
        .await;
    world.fake.call().await.answer("third").await;
    ann.ended(&session, sent["run"].as_str().expect("a run"))
        .await;
}

#[tokio::test]
async fn an_edit_makes_a_branch_and_the_old_one_stays() {
    let world = World::new().await;
    let (mut ann, session) = answered(&world, "old question", "old answer").await;
    super::ask(&world, &mut ann, Some(&session), "follow-up", "more").await;
    let before = ann.sub(&session).await;
    let old = id(&before["messages"][0]["id"]);
    let edit = json!({ "session": session, "cid": "e1", "text": "new question", "edit_of": old });
    let sent = ann.ok("chat.send", &edit).await;
    let call = world.fake.call().await;
    assert_eq!(call.told(), ["user: new question"]);
    call.answer("new answer").await;
    ann.ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    let added = ann
        .view(&session)
        .events
        .iter()
        .rfind(|event| event["ev"] == "message.added")
        .expect("added")["data"]["message"]
        .clone();
    assert_eq!(added["siblings"], json!([old, sent["message"]]));
    assert!(added["parent"].is_null() && id(&added["edit_of"]) == old);
    let shown = ann.sub(&session).await;
    let texts: Vec<_> = shown["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|m| m["text"].clone())
        .collect();
    assert_eq!(texts, ["new question", "new answer"]);
    ann.ok("branch.select", &json!({ "session": session, "leaf": old }))
        .await;
    let shown = ann.sub(&session).await;
    let texts: Vec<_> = shown["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|m| m["text"].clone())
        .collect();
    assert_eq!(
        texts,
        ["old question", "old answer", "follow-up", "more"],
        "the newest below it are followed"
    );
    let answer = id(&shown["messages"][1]["id"]);
    let wrong = json!({ "session": session, "cid": "e2", "text": "x", "edit_of": answer });
    assert_eq!(
        ann.fails("chat.send", &wrong).await["details"]["param"],
        "edit_of"
    );
}

#[tokio::test]
async fn a_stopped_answer_goes_on_in_the_same_message() {
    let world = World::new().await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    let (run, reply) = (id(&sent["run"]), id(&sent["reply"]));
    call.begin().await;
    call.reasoning("hm").await;
    call.text("你好, half").await;
    ann.shows(&session, &reply, "你好, half").await;
    ann.ok("chat.stop", &json!({ "run": run })).await;
    ann.ended(&session, &run).await;
    let more = ann
        .ok(
            "chat.continue",
            &json!({ "session": session, "message": reply, "cid": "c1" }),
        )
        .await;
    assert_eq!(id(&more["reply"]), reply);
    let mut call = world.fake.call().await;
    assert_eq!(call.told(), ["user: question", "assistant: 你好, half"]);
    call.begin().await;
    call.text(" <think>is text here").await;
    let whole = "你好, half <think>is text here";
    ann.shows(&session, &reply, whole).await;
    // A refresh in the middle of it.
    let mut tab = world.ann().await;
    assert_eq!(tab.sub(&session).await["messages"][1]["text"], whole);
    call.finish("stop").await;
    let end = tab
        .ended(&session, more["run"].as_str().expect("a run"))
        .await;
    assert_eq!(end["to"], json!({ "text": whole.len(), "reasoning": 2 }));
    let stored = tab
        .ok(
            "messages.get",
            &json!({ "session": session, "message": reply }),
        )
        .await["message"]
        .clone();
    assert_eq!(
        (
            id(&stored["text"]).as_str(),
            id(&stored["reasoning"]).as_str()
        ),
        (whole, "hm")
    );
    assert_eq!(stored["run"]["id"], more["run"]);
}

#[tokio::test]
async fn an_answer_cut_before_its_first_word_begins_anew() {
    let world = World::new().await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    let (run, reply) = (id(&sent["run"]), id(&sent["reply"]));
    call.begin().await;
    call.reasoning("first thought").await;
    while ann.view(&session).reasoning[&reply] != "first thought" {
        ann.next_frame().await;
    }
    ann.ok("chat.stop", &json!({ "run": run })).await;
    ann.ended(&session, &run).await;
    let more = ann
        .ok(
            "chat.continue",
            &json!({ "session": session, "message": reply, "cid": "c1" }),
        )
        .await;
    let call = world.fake.call().await;
    assert_eq!(call.told(), ["user: question"]);
    call.answer("all of it").await;
    ann.ended(&session, more["run"].as_str().expect("a run"))
        .await;
    let stored = ann
        .ok(
            "messages.get",
            &json!({ "session": session, "message": reply }),
        )
        .await["message"]
        .clone();
    assert_eq!(
        (stored["text"].as_str(), stored["reasoning"].as_str()),
        (Some("all of it"), None)
    );
}

#[tokio::test]
async fn a_cut_answer_that_was_followed_goes_on_beside_itself() {
    let world = World::new().await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    let (run, reply) = (id(&sent["run"]), id(&sent["reply"]));
    call.begin().await;
    call.reasoning("hm").await;
    call.text("first half").await;
    ann.shows(&session, &reply, "first half").await;
    ann.ok("chat.stop", &json!({ "run": run })).await;
    ann.ended(&session, &run).await;
    super::ask(&world, &mut ann, Some(&session), "what follows", "b").await;
    let more = json!({ "session": session, "message": reply, "cid": "c1" });
    let more = ann.ok("chat.continue", &more).await;
    assert_ne!(id(&more["reply"]), reply);
    let mut call = world.fake.call().await;
    assert_eq!(call.told(), ["user: question", "assistant: first half"]);
    call.begin().await;
    call.text(", second half").await;
    call.finish("stop").await;
    ann.ended(&session, &id(&more["run"])).await;
    let shown = ann.sub(&session).await;
    let messages = shown["messages"].as_array().expect("messages");
    assert_eq!(messages.len(), 2, "the branch of the new answer is shown");
    assert_eq!(messages[1]["text"], "first half, second half");
    assert_eq!(messages[1]["reasoning"], "hm");
    assert_eq!(
        messages[1]["siblings"],
        json!([reply, id(&more["reply"])]),
        "the old one stays beside it"
    );
    let old = json!({ "session": session, "message": reply });
    let old = ann.ok("messages.get", &old).await;
    assert_eq!(old["message"]["text"], "first half");
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_name() {
    let world = World::new().await;
    let (mut ann, session) = answered(&world, "q", "a").await;
    let shown = ann.sub(&session).await;
    let (question, answer) = (
        id(&shown["messages"][0]["id"]),
        id(&shown["messages"][1]["id"]),
    );
    let params = |message: &str| json!({ "session": session, "message": message, "cid": "x" });
    assert_eq!(
        ann.fails("chat.continue", &params(&question)).await["details"]["param"],
        "message"
    );
    assert_eq!(
        ann.fails("chat.continue", &params("msg_none")).await["code"],
        "NOT_FOUND"
    );
    assert_eq!(
        ann.fails("chat.regenerate", &params("msg_none")).await["code"],
        "NOT_FOUND"
    );
    assert_eq!(
        ann.fails(
            "branch.select",
            &json!({ "session": session, "leaf": "msg_none" })
        )
        .await["code"],
        "NOT_FOUND"
    );
    let changed = ann
        .fails(
            "chat.send",
            &json!({ "session": session, "cid": "y", "text": "t", "expected_leaf": question }),
        )
        .await;
    assert_eq!(
        (changed["code"].as_str(), &changed["details"]["leaf"]),
        (Some("LEAF_CHANGED"), &json!(answer))
    );
    super::ask(&world, &mut ann, Some(&session), "more", "b").await;
    assert_eq!(
        ann.fails("chat.continue", &params(&answer)).await["code"],
        "LEAF_CHANGED"
    );
    let root = json!({ "session": session, "cid": "z", "text": "a new beginning", "parent": null });
    let sent = ann.ok("chat.send", &root).await;
    let call = world.fake.call().await;
    assert_eq!(call.told(), ["user: a new beginning"]);
    assert_eq!(
        ann.fails(
            "branch.select",
            &json!({ "session": session, "leaf": answer })
        )
        .await["code"],
        "RUN_ACTIVE"
    );
    assert_eq!(
        ann.fails("chat.regenerate", &params(&answer)).await["code"],
        "RUN_ACTIVE"
    );
    call.answer("ok").await;
    ann.ended(&session, sent["run"].as_str().expect("a run"))
        .await;
}
