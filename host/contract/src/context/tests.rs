use super::*;

fn context() -> Context {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts
        .headers
        .insert("a", HeaderValue::from_static("request"));
    parts
        .headers
        .insert("host", HeaderValue::from_static("gateway"));
    parts
        .headers
        .insert("authorization", HeaderValue::from_static("Bearer client"));
    let identity = Identity {
        id: "req_x".into(),
        received_ms: 1,
        route: "/x".into(),
        client: std::net::Ipv4Addr::LOCALHOST.into(),
    };
    let upstreams: Arc<[Arc<str>]> = Arc::new(["one".into(), "two".into()]);
    Context::new(identity, parts, "one".into(), upstreams)
}

const ALL: [Phase; 9] = [
    Phase::Gate,
    Phase::RequestHead,
    Phase::RequestBody,
    Phase::ResponseHead,
    Phase::ResponseBody,
    Phase::Chunk,
    Phase::Events,
    Phase::End,
    Phase::Closing,
];

/// The phases, by number, in which a change is legal.
fn legal(change: impl Fn(&mut Context) -> Result<(), IllegalChange>) -> String {
    let mut found = String::new();
    for (index, phase) in ALL.into_iter().enumerate() {
        let mut context = context();
        context.phase = phase;
        if change(&mut context).is_ok() {
            found.push_str(&index.to_string());
        }
    }
    found
}

#[test]
fn each_setter_works_in_its_phases_alone() {
    assert_eq!(legal(|c| c.set_method("PUT")), "012");
    assert_eq!(legal(|c| c.set_path("/y".into())), "012");
    assert_eq!(legal(|c| c.set_query("y".into())), "012");
    assert_eq!(legal(|c| c.set_upstream("two")), "012");
    assert_eq!(legal(|c| c.set_status(201)), "34567");
    assert_eq!(legal(|c| c.set("a", b"1")), "01234567");
    assert_eq!(legal(|c| c.append("a", b"1")), "01234567");
    assert_eq!(legal(|c| c.remove("a")), "01234567");
    assert_eq!(legal(|c| c.set_response_field("a", b"1")), "01234567");
    assert_eq!(legal(|c| c.set_note("a", "1".into())), "012345678");
    assert_eq!(legal(Context::end_body), "6");
}

#[test]
fn a_refused_change_changes_nothing() {
    let mut context = context();
    for path in ["y", "", "/a b", "/a?b", "/a#b", "/\u{e9}", "/a\n"] {
        assert!(context.set_path(path.into()).is_err(), "{path:?}");
    }
    for query in ["a b", "a#b", "\u{e9}", "a\r"] {
        assert!(context.set_query(query.into()).is_err(), "{query:?}");
    }
    for method in ["", "get", "A B", "CONNECT", "HEAD", "TRACE"] {
        assert!(context.set_method(method).is_err(), "{method:?}");
    }
    assert!(context.set_upstream("three").is_err());
    assert!(context.set("authorization", b"a\nb").is_err());
    assert!(context.set("content-length", b"1").is_err());
    assert!(context.set_note("a", "{".into()).is_err());
    assert_eq!((&*context.path, &*context.query), ("/", ""));
    assert_eq!((&context.method, &*context.upstream), (&Method::GET, "one"));
    assert_eq!(context.set_by_stage, SetByStage::default());
    context.phase = Phase::ResponseHead;
    for status in [0, 99, 101, 199, 600, 1000] {
        assert!(context.set_status(status).is_err(), "{status}");
    }
    assert_eq!(context.status(), 0);
}

#[test]
fn fields_are_those_of_the_direction_and_those_of_the_request_stay_known() {
    let mut context = context();
    assert_eq!(context.fields().get("a").expect("a field"), "request");
    context.phase = Phase::Events;
    assert!(context.fields().get("a").is_none());
    context.set("a", b" response ").expect("legal");
    assert_eq!(context.fields().get("a").expect("a field"), "response");
    assert_eq!(context.request_field("A").expect("a field"), "request");
}

#[test]
fn what_is_set_after_the_head_is_checked_and_has_no_effect() {
    let mut context = context();
    context.phase = Phase::Events;
    context.head_sent = true;
    context.set("a", b"1").expect("legal");
    context.set_status(500).expect("legal");
    assert!(context.set("a", b"1\n").is_err());
    assert_eq!((context.status(), context.response.len()), (0, 0));
}

#[test]
fn only_what_a_stage_set_itself_is_noted_field_by_field() {
    let mut context = context();
    let set = |context: &Context| -> Vec<String> {
        let guarded = fields::GUARDED;
        let set = guarded.iter().filter(|name| context.set_by_stage.has(name));
        set.map(ToString::to_string).collect()
    };
    context.set("x-api-key", b"k").expect("legal");
    assert_eq!(set(&context), ["x-api-key"]);
    context.set("Authorization", b"Bearer k").expect("legal");
    context.set("host", b"model").expect("legal");
    context.remove("x-api-key").expect("legal");
    context.set("x-other", b"1").expect("legal");
    assert_eq!(set(&context), ["host", "authorization"]);
}

#[test]
fn what_the_client_sent_in_a_guarded_field_is_not_kept_beside_a_stages_own() {
    let mut context = context();
    context
        .append("authorization", b"Bearer mine")
        .expect("legal");
    let all: Vec<_> = context.request.get_all("authorization").iter().collect();
    assert_eq!(all, ["Bearer mine"]);
    context
        .append("authorization", b"Bearer two")
        .expect("legal");
    context.append("a", b"second").expect("legal");
    assert_eq!(context.request.get_all("authorization").iter().count(), 2);
    assert_eq!(context.request.get_all("a").iter().count(), 2);
}

#[test]
fn a_fallback_gets_nothing_that_was_set_for_the_chosen_upstream() {
    let mut context = context();
    context.set("authorization", b"Bearer k").expect("legal");
    context.set("api-key", b"k").expect("legal");
    let chosen = context.attempt(1, "one".into(), true);
    assert_eq!(chosen.request["authorization"], "Bearer k");
    let mut fallback = context.attempt(2, "two".into(), false);
    for name in &fields::GUARDED {
        assert!(!fallback.request.contains_key(name), "{name}");
        assert!(!fallback.set_by_stage.has(name), "{name}");
    }
    // Its own adapter may set what it needs.
    fallback.set("x-api-key", b"own").expect("legal");
    assert!(fallback.set_by_stage.has(&fields::GUARDED[2]));
    assert_eq!(fallback.request["a"], "request");
}

#[test]
fn a_head_has_bounds() {
    let mut context = context();
    let mut made = 0;
    while context.append(&format!("x-{made}"), b"v").is_ok() {
        made += 1;
    }
    assert_eq!(context.request.len(), fields::MAX_COUNT);
    context.set("x-0", b"other").expect("it replaces one");
    context.phase = Phase::ResponseHead;
    assert!(context.set("x", &vec![b'v'; fields::MAX_BYTES]).is_err());
    context
        .set("x", &vec![b'v'; fields::MAX_BYTES / 2])
        .expect("room");
    assert!(
        context
            .append("x", &vec![b'v'; fields::MAX_BYTES / 2])
            .is_err()
    );
    context
        .set("x", &vec![b'w'; fields::MAX_BYTES / 2])
        .expect("it replaces one");
    assert!(context.set("x", &vec![b'v'; fields::MAX_BYTES]).is_err());
    assert_eq!(
        context.response["x"].as_bytes()[0],
        b'w',
        "the old one stays"
    );
    assert!(
        context
            .set_response_field("x", &vec![b'v'; fields::MAX_BYTES])
            .is_err()
    );
}

#[test]
fn the_body_is_known_from_its_phase_to_the_response_head() {
    let mut context = context();
    context.body = Some(Bytes::from_static(br#"{"model":"m"}"#));
    for (phase, known) in ALL
        .into_iter()
        .zip([false, false, true, true, false, false, false, false, false])
    {
        context.phase = phase;
        assert_eq!(
            context.request_json("/model"),
            known.then_some("\"m\""),
            "{phase:?}"
        );
        assert_eq!(
            context.request_bytes(),
            if known { 13 } else { 0 },
            "{phase:?}"
        );
    }
}

#[test]
fn an_attempt_is_a_copy_with_a_response_of_its_own() {
    let mut context = context();
    context.notes.set("kept", "1".into());
    context.status = Some(StatusCode::OK);
    let mut attempt = context.attempt(2, "two".into(), true);
    attempt.set_path("/api".into()).expect("legal");
    attempt.set_note("mine", "2".into()).expect("legal");
    assert!(attempt.set_upstream("one").is_err());
    assert_eq!((attempt.attempt, attempt.status()), (2, 0));
    assert_eq!(attempt.note("kept"), Some("1"));
    assert_eq!((&*context.path, context.note("mine")), ("/", None));
}

#[test]
fn freezing_a_canonical_request_sets_its_notes() {
    let mut context = context();
    context.body = Some(Bytes::from_static(br#"{"model":"m","stream":true}"#));
    assert!(context.freeze().is_ok() && context.note("model").is_none());
    context.method = Method::POST;
    context.path = "/v1/chat/completions".into();
    assert!(context.freeze().is_ok());
    assert_eq!(context.note("model"), Some("\"m\""));
    assert!(context.wants_stream());
    context.path = "/v1/embeddings".into();
    assert!(!context.wants_stream());
    context.body = Some(Bytes::from_static(br#"{"model":"m","model":"n"}"#));
    assert!(context.freeze().is_err());
}

#[test]
fn a_failure_takes_the_place_of_the_response_until_some_of_that_goes_out() {
    let mut context = context();
    context.phase = Phase::Events;
    context.status = Some(StatusCode::OK);
    context
        .set("content-type", b"text/event-stream")
        .expect("legal");
    let mut fields = HeaderMap::new();
    fields.insert("retry-after", HeaderValue::from_static("1"));
    context.fail((Some(StatusCode::BAD_GATEWAY), fields));
    assert_eq!(context.status(), 502);
    assert!(context.fields().contains_key("retry-after"));
    context.set_status(529).expect("legal");
    let (status, fields) = context.restore().expect("it had failed");
    assert_eq!(status.map(|status| status.as_u16()), Some(529));
    assert!(fields.contains_key("retry-after"));
    assert_eq!(context.status(), 200);
    assert!(context.fields().contains_key("content-type"));
    assert_eq!(context.restore(), None);
    // Two in a row: the first response is what comes back.
    context.fail((Some(StatusCode::BAD_GATEWAY), HeaderMap::new()));
    context.fail((Some(StatusCode::GATEWAY_TIMEOUT), HeaderMap::new()));
    assert_eq!(context.status(), 504);
    context.restore();
    assert_eq!(context.status(), 200);
}
