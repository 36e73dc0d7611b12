//! Rules over scripted requests.

use serde_json::{Value, json};
use sluicegate_plugin::testing::{Bench, Request, Sent};

use super::*;

fn rewrite(rules: impl Into<Value>, request: Request) -> Sent {
    let rules = rules.into();
    let bench = Bench::<Rewrite>::load(json!({ "rules": rules })).expect("loads");
    let outcome = bench.check(request);
    assert_eq!(outcome.verdict, Ok(()));
    outcome.request
}

fn path(rules: Value, from: &str) -> String {
    rewrite(rules, Request::post(from)).path
}

#[test]
fn an_exact_rule_matches_the_whole_path() {
    let rules = || json!([{"exact": "/chat", "path": "/v1/chat/completions"}]);
    assert_eq!(path(rules(), "/chat"), "/v1/chat/completions");
    assert_eq!(path(rules(), "/chat/"), "/chat/");
    assert_eq!(path(rules(), "/chat?x=/chat"), "/v1/chat/completions");
}

#[test]
fn a_prefix_gives_way_to_the_new_path() {
    let rules = || json!([{"prefix": "/openai/", "path": "/"}]);
    assert_eq!(path(rules(), "/openai/v1/models"), "/v1/models");
    assert_eq!(path(rules(), "/openai"), "/openai");
    assert_eq!(path(rules(), "/x/openai/"), "/x/openai/");
}

#[test]
fn a_pattern_gives_way_with_its_groups() {
    let rules = || {
        json!([{
            "regex": "^/t/(?P<team>[a-z0-9-]+)/m/([^/]+)/", "path": "/v1/$team/${2}x/$$",
            "set": {"X-Team": "${team}!"}
        }])
    };
    let sent = rewrite(rules(), Request::get("/t/red-1/m/a%2Fb/chat?q=1"));
    assert_eq!(
        (sent.path.as_str(), sent.query.as_str()),
        ("/v1/red-1/a%2Fbx/$chat", "q=1")
    );
    assert_eq!(sent.header("x-team").as_deref(), Some("red-1!"));
    // A pattern that is not anchored replaces only its match.
    assert_eq!(
        path(json!([{"regex": "/v[0-9]+/", "path": "/v1/"}]), "/a/v2/b"),
        "/a/v1/b"
    );
    assert_eq!(
        path(
            json!([{"regex": r"^/\w+\.(?i)JSON$", "path": "/j"}]),
            "/a.json"
        ),
        "/j"
    );
}

#[test]
fn a_rule_without_a_matcher_matches_everything() {
    let rules = json!([{"host": "llm.internal", "remove": ["X-Debug", "absent"], "set": {"X-Via": "sluicegate $1"}}]);
    let request = Request::get("/any")
        .header("x-debug", "1")
        .header("x-debug", "2")
        .header("x-via", "y");
    let sent = rewrite(rules, request);
    assert_eq!(sent.header("host").as_deref(), Some("llm.internal"));
    assert_eq!(sent.header("x-debug"), None);
    // Without a pattern a dollar sign is literal.
    assert_eq!(sent.header("x-via").as_deref(), Some("sluicegate $1"));
    assert_eq!(sent.path, "/any");
}

#[test]
fn the_first_match_ends_the_search_unless_it_goes_on() {
    let first = json!([{"prefix": "/a", "path": "/b"}, {"prefix": "/b", "path": "/c"}]);
    assert_eq!(path(first, "/a1"), "/b1");
    let both = json!([
        {"prefix": "/a", "path": "/b", "continue": true},
        {"prefix": "/b", "path": "/c", "continue": true},
        {"exact": "/nowhere", "path": "/d"}
    ]);
    assert_eq!(path(both, "/a1"), "/c1");
}

#[test]
fn methods_narrow_a_rule() {
    let rules = || json!([{"prefix": "/", "methods": ["post", "PUT"], "path": "/w/"}]);
    assert_eq!(rewrite(rules(), Request::post("/x")).path, "/w/x");
    assert_eq!(rewrite(rules(), Request::get("/x")).path, "/x");
}

#[test]
fn a_rule_can_choose_the_upstream() {
    let rules = json!([{"prefix": "/big", "upstream": "big"}]);
    let sent = rewrite(rules.clone(), Request::get("/big").upstream("big"));
    assert_eq!(sent.upstream.as_deref(), Some("big"));
    // An unknown upstream is a mistake of the operator; the request is refused, not sent elsewhere.
    let bench = Bench::<Rewrite>::load(json!({ "rules": rules })).expect("loads");
    assert!(bench.check(Request::get("/big")).verdict.is_err());
}

#[test]
fn a_path_that_becomes_illegal_is_refused() {
    let bench = |rules| Bench::<Rewrite>::load(json!({ "rules": rules })).expect("loads");
    let gone = bench(json!([{"regex": "^/x", "path": ""}]));
    assert!(gone.check(Request::get("/xy")).verdict.is_err());
    let value = bench(json!([{"set": {"a": "b\nc"}}]));
    assert!(value.check(Request::get("/")).verdict.is_err());
}

#[test]
fn configuration_mistakes_are_named() {
    let cases = [
        (json!([{"exact": "/a"}]), "changes nothing"),
        (
            json!([{"exact": "/a", "prefix": "/b", "path": "/c"}]),
            "more than one",
        ),
        (json!([{"exact": "/a", "path": "c"}]), "`rules[0].path`"),
        (
            json!([{"remove": ["a"]}, {"regex": "(", "path": "/"}]),
            "`rules[1].regex`",
        ),
        (
            json!([{"regex": "a{1000}{1000}", "path": "/"}]),
            "`rules[0].regex`",
        ),
        (json!([{"set": {"a b": "c"}}]), "`a b`"),
        (json!([{"remove": [""]}]), "`rules[0].remove`"),
        (json!([{"regex": "^/(a)", "path": "/$2"}]), "the group `2`"),
        (
            json!([{"regex": "^/(a)", "path": "/$1x"}]),
            "the group `1x`",
        ),
        (
            json!([{"regex": "^/(a)", "path": "/", "set": {"h": "${b}"}}]),
            "the group `b`",
        ),
        (json!([{"pfad": "/a"}]), "pfad"),
    ];
    for (rules, part) in cases {
        let loaded = Bench::<Rewrite>::load(json!({ "rules": rules }));
        let error = loaded.expect_err("refused");
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_documented_rules_do_what_the_documentation_says() {
    let rules = json!([
        {"prefix": "/openai/", "path": "/"},
        {"regex": "^/t/([a-z0-9-]+)/", "path": "/", "set": {"x-team": "$1"}},
        {"exact": "/chat", "path": "/v1/chat/completions", "upstream": "big"}
    ]);
    assert_eq!(path(rules.clone(), "/openai/v1/models"), "/v1/models");
    let sent = rewrite(rules.clone(), Request::get("/t/a/v1/models"));
    assert_eq!(
        (sent.path.as_str(), sent.header("x-team").as_deref()),
        ("/v1/models", Some("a"))
    );
    let sent = rewrite(rules, Request::post("/chat").upstream("big"));
    assert_eq!(
        (sent.path.as_str(), sent.upstream.as_deref()),
        ("/v1/chat/completions", Some("big"))
    );
}
