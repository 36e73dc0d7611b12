//! The gate over scripted requests.

use serde_json::{Value, json};
use sluicegate_plugin::testing::{Bench, GateOutcome, Request, set_clock, take_logs};

use super::*;

fn bench(config: Value) -> Bench<Auth> {
    Bench::load(config).expect("loads")
}

fn two_keys() -> Bench<Auth> {
    bench(json!({"keys": [
        {"name": "team-a", "key": "sk-aaaa"},
        {"name": "ci", "key": "sk-bbbb", "tenant": "team \"b\""}
    ]}))
}

fn request() -> Request {
    Request::post("/v1/chat/completions")
}

fn message(outcome: &GateOutcome) -> &str {
    let Err(Stop::Fault(fault)) = &outcome.verdict else {
        panic!("{:?}", outcome.verdict);
    };
    assert_eq!(
        (fault.status, fault.code.as_str()),
        (401, "invalid_api_key")
    );
    assert_eq!(fault.param, None);
    for secret in ["sk-aaaa", "sk-bbbb", "sk-nope"] {
        assert!(!fault.message.contains(secret), "{}", fault.message);
    }
    &fault.message
}

#[test]
fn a_known_key_passes_in_either_field_and_names_the_tenant() {
    let bench = two_keys();
    let cases = [
        ("authorization", "Bearer sk-aaaa", "\"team-a\""),
        ("Authorization", "bEARER   sk-aaaa  ", "\"team-a\""),
        ("authorization", "Bearer\tsk-bbbb", r#""team \"b\"""#),
        ("x-api-key", "sk-bbbb", r#""team \"b\"""#),
        ("X-Api-Key", " sk-aaaa ", "\"team-a\""),
    ];
    for (name, value, tenant) in cases {
        let outcome = bench.check(request().header(name, value));
        assert_eq!(outcome.verdict, Ok(()), "{name}: {value}");
        assert_eq!(outcome.notes["tenant"], tenant);
    }
}

#[test]
fn a_key_with_an_end_is_accepted_until_then_and_others_go_on() {
    // 2026-12-31T00:00:00Z
    const LAST_DAY: u64 = 1_798_675_200_000;
    set_clock(LAST_DAY);
    let bench = bench(json!({"keys": [
        {"name": "day", "key": "sk-aaaa", "expires": "2026-12-31"},
        {"name": "moment", "key": "sk-bbbb", "expires": "2026-12-31T01:00:00+01:00"},
        {"name": "for ever", "key": "sk-cccc"}
    ]}));
    // Only the second one has expired when the gate is configured.
    let lines = take_logs();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].fields().contains("\"moment\"") && !lines[0].fields().contains("sk-"));
    let check = |key: &str| bench.check(request().header("x-api-key", key));
    assert_eq!(check("sk-aaaa").verdict, Ok(()));
    assert!(message(&check("sk-bbbb")).contains("has expired"));
    set_clock(LAST_DAY + 86_400_000 - 1);
    assert_eq!(check("sk-aaaa").verdict, Ok(()));
    set_clock(LAST_DAY + 86_400_000);
    let expired = check("sk-aaaa");
    assert!(message(&expired).contains("has expired"));
    assert!(!expired.notes.contains_key("tenant"));
    assert_eq!(check("sk-cccc").verdict, Ok(()));
    // Nothing is told of keys that nobody has.
    assert!(message(&check("sk-nope")).contains("not one of"));
}

#[test]
fn no_client_key_reaches_the_model_server() {
    let request = request()
        .header("authorization", "Bearer sk-aaaa")
        .header("authorization", "Bearer sk-nope")
        .header("x-api-key", "sk-aaaa")
        .header("accept", "*/*");
    let outcome = two_keys().check(request);
    assert_eq!(outcome.verdict, Ok(()));
    let names: Vec<_> = outcome
        .request
        .fields
        .iter()
        .map(|f| f.name.as_str())
        .collect();
    assert_eq!(names, ["host", "accept"]);
}

#[test]
fn missing_empty_foreign_and_wrong_keys_are_told_apart() {
    let bench = two_keys();
    let missing = bench.check(request());
    assert!(message(&missing).contains("needs an API key"));
    assert!(message(&missing).contains("x-api-key"));
    for empty in ["", "Bearer", "Bearer   "] {
        let outcome = bench.check(request().header("authorization", empty));
        assert!(message(&outcome).contains("is empty"), "{empty:?}");
    }
    assert!(message(&bench.check(request().header("x-api-key", ""))).contains("needs an API key"));
    for other in [
        "Basic c2stYWFhYQ==",
        "sk-aaaa",
        "Bearersk-aaaa",
        "Token sk-aaaa",
    ] {
        let outcome = bench.check(request().header("authorization", other));
        assert!(message(&outcome).contains("scheme Bearer"), "{other}");
    }
    for wrong in [
        "sk-nope",
        "sk-aaa",
        "sk-aaaaa",
        "SK-AAAA",
        "sk-aaaa sk-bbbb",
    ] {
        let outcome = bench.check(request().header("authorization", format!("Bearer {wrong}")));
        assert!(message(&outcome).contains("not one of"), "{wrong}");
        assert!(!outcome.notes.contains_key("tenant"));
    }
    let outcome = bench.check(request().header("x-api-key", b"\xff\xfe".as_slice()));
    assert!(message(&outcome).contains("not one of"));
}

#[test]
fn two_fields_must_agree() {
    let bench = two_keys();
    let both = |bearer: &str, plain: &str| {
        bench.check(
            request()
                .header("authorization", format!("Bearer {bearer}"))
                .header("x-api-key", plain),
        )
    };
    assert_eq!(both("sk-aaaa", "sk-aaaa").verdict, Ok(()));
    assert_eq!(both("sk-aaaa", "").verdict, Ok(()));
    assert_eq!(both("", "sk-aaaa").verdict, Ok(()));
    assert!(message(&both("sk-aaaa", "sk-bbbb")).contains("different"));
    // A front proxy's credentials in `authorization` do not hide a key in the second field.
    let basic = request()
        .header("authorization", "Basic eA==")
        .header("x-api-key", "sk-aaaa");
    assert_eq!(bench.check(basic).verdict, Ok(()));
}

#[test]
fn the_first_of_several_fields_counts() {
    let bench = two_keys();
    let twice = |one: &str, two: &str| {
        bench.check(request().header("x-api-key", one).header("x-api-key", two))
    };
    assert_eq!(twice("sk-aaaa", "sk-nope").verdict, Ok(()));
    assert!(message(&twice("sk-nope", "sk-aaaa")).contains("not one of"));
}

#[test]
fn without_keys_everybody_passes_and_keys_are_still_stripped() {
    let outcome = bench(json!({})).check(
        request()
            .header("authorization", "Bearer anything")
            .header("x-api-key", "other"),
    );
    assert_eq!(outcome.verdict, Ok(()));
    assert_eq!(outcome.notes["tenant"], "\"anonymous\"");
    assert_eq!(outcome.request.header("authorization"), None);
    assert_eq!(outcome.request.header("x-api-key"), None);
}

#[test]
fn the_model_servers_key_takes_the_place_of_the_clients() {
    let bearer = bench(json!({"inject": {"bearer": "up-1"}}));
    let outcome = bearer.check(request().header("authorization", "Bearer x"));
    assert_eq!(
        outcome.request.header("authorization").as_deref(),
        Some("Bearer up-1")
    );
    let header = bench(json!({"inject": {"header": "X-Up", "value": "up-2"}}));
    let outcome = header.check(
        request()
            .header("authorization", "Bearer x")
            .header("x-up", "y"),
    );
    assert_eq!(outcome.request.header("authorization"), None);
    assert_eq!(outcome.request.header("x-up").as_deref(), Some("up-2"));
}

#[test]
fn another_field_can_hold_the_key() {
    let keys = json!({"header": "X-Goog-Api-Key", "keys": [{"name": "a", "key": "k"}]});
    let bench = bench(keys);
    let outcome = bench.check(request().header("x-goog-api-key", "k"));
    assert_eq!(outcome.verdict, Ok(()));
    assert_eq!(outcome.request.header("x-goog-api-key"), None);
    assert!(message(&bench.check(request())).contains("x-goog-api-key"));
}

#[test]
fn configuration_mistakes_are_named() {
    let key = |name: &str, key: &str| json!({"name": name, "key": key});
    let cases = [
        (json!({"keys": [key("", "a")]}), "keys[0].name"),
        (json!({"keys": [key("a", "")]}), "keys[0].key"),
        (json!({"keys": [key("a", "with blank")]}), "visible ASCII"),
        (
            json!({"keys": [key("a", "1"), key("a", "2")]}),
            "two keys named `a`",
        ),
        (
            json!({"keys": [key("a", "1"), key("b", "1")]}),
            "`keys[1].key` of `b`",
        ),
        (
            json!({"keys": [{"name": "a", "key": "1", "expires": "soon"}]}),
            "`keys[0].expires` of `a` must be a day",
        ),
        (json!({"header": "no good"}), "`header`"),
        (
            json!({"inject": {"header": "a:b", "value": "x"}}),
            "`inject.header`",
        ),
        (json!({"inject": {"bearer": "a\nb"}}), "`inject`"),
        (json!({"kyes": []}), "kyes"),
    ];
    for (config, part) in cases {
        let error = Bench::<Auth>::load(config.clone()).expect_err("refused");
        assert!(error.contains(part), "{config}: {error}");
    }
}

#[test]
fn keys_do_not_print() {
    let config: Config = serde_json::from_value(json!({
        "keys": [{"name": "a", "key": "sk-secret"}], "inject": {"bearer": "sk-secret"}
    }))
    .expect("reads");
    let other: Config =
        serde_json::from_value(json!({"inject": {"header": "h", "value": "sk-secret"}}))
            .expect("reads");
    let printed = format!("{config:?} {other:?}");
    assert!(!printed.contains("sk-secret"), "{printed}");
}

#[test]
fn the_schema_knows_every_key_of_the_configuration() {
    let manifest: Value = serde_json::from_str(&Auth::manifest().to_json()).expect("JSON");
    let properties = manifest["config"]["properties"]
        .as_object()
        .expect("an object");
    let names: Vec<_> = properties.keys().map(String::as_str).collect();
    assert_eq!(names, ["header", "inject", "keys"]);
}
