//! The stage over scripted exchanges, with a clock that stands still unless a test moves it.

use serde_json::{Value, json};
use sluicegate_plugin::testing::capabilities::{self, Capability};
use sluicegate_plugin::testing::{BATCHINGS, Bench, Outcome, Request, Response, set_clock};

use super::*;

const CHAT: &str = "/v1/chat/completions";

fn bench(rules: &Value) -> Bench<RateLimit> {
    capabilities::reset();
    set_clock(1_000_000);
    Bench::load(json!({"rules": rules})).expect("loads")
}

fn request(tenant: &str, body: &Value) -> Request {
    let tenant = json!(tenant).to_string();
    Request::post(CHAT).note("tenant", &tenant).json(body)
}

/// A request of 100 bytes, so 25 tokens.
fn question(more: &Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": ""}]});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    let missing = 100 - body.to_string().len();
    body["messages"][0]["content"] = "x".repeat(missing).into();
    assert_eq!(body.to_string().len(), 100);
    body
}

fn chunk(text: &str) -> String {
    json!({"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]})
    .to_string()
}

fn stream(tokens: usize) -> Vec<String> {
    let mut data: Vec<String> = (0..tokens).map(|_| chunk("x")).collect();
    data.push(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}).to_string());
    data.push("[DONE]".into());
    data
}

fn usage(prompt: u64, completion: u64) -> String {
    json!({"prompt_tokens": prompt, "completion_tokens": completion}).to_string()
}

fn run(bench: &Bench<RateLimit>, request: Request) -> Outcome {
    bench.run(request, &Response::json(&json!({"choices": []})))
}

/// What the fields say is left of the tokens.
fn left(outcome: &Outcome) -> i64 {
    let left = outcome.header("x-ratelimit-remaining-tokens");
    left.expect("a field").parse().expect("a number")
}

fn tokens(more: &Value) -> Value {
    let mut tokens = json!({"limit": 1000, "per": "1m"});
    for (name, value) in more.as_object().expect("an object") {
        tokens[name] = value.clone();
    }
    json!([{"name": "t", "by": ["tenant"], "tokens": tokens}])
}

#[test]
fn requests_are_counted_by_tenant_and_come_back_evenly() {
    let rules = json!([{"name": "r", "by": ["tenant"], "requests": {"limit": 2, "per": "1m"}}]);
    let bench = bench(&rules);
    let ask = |tenant| run(&bench, request(tenant, &json!({"model": "m"})));
    let first = ask("a");
    let field = |outcome: &Outcome, name: &str| {
        outcome
            .header(&format!("x-ratelimit-{name}-requests"))
            .expect("a field")
    };
    assert_eq!(first.status, 200);
    assert_eq!(field(&first, "limit"), "2");
    assert_eq!(field(&first, "remaining"), "1");
    assert_eq!(field(&first, "reset"), "30s");
    assert_eq!(first.header("x-ratelimit-limit-tokens"), None);
    assert_eq!(ask("a").status, 200);
    let refused = ask("a");
    let fault = refused.fault.as_ref().expect("a refusal");
    assert_eq!((fault.status, &*fault.code), (429, "rate_limit_exceeded"));
    assert!(
        fault.message.contains("`r` allows 2 requests in 1m"),
        "{fault}"
    );
    assert!(refused.sent.is_none());
    let retry = fault.fields.as_ref().expect("fields")[0].clone();
    assert_eq!((&*retry.name, &*retry.value), ("retry-after", &b"30"[..]));
    assert_eq!(ask("b").status, 200, "another tenant");
    set_clock(1_030_000);
    assert_eq!(ask("a").status, 200);
    assert!(ask("a").fault.is_some());
}

#[test]
fn what_was_not_used_comes_back_and_what_was_used_beyond_is_owed() {
    let bench = bench(&tokens(&json!({})));
    let body = question(&json!({"max_tokens": 400}));
    let ask = |usage: &str| run(&bench, request("a", &body).note("usage", usage));
    assert_eq!(left(&ask(&usage(20, 30))), 1000 - 25 - 400);
    assert_eq!(left(&ask(&usage(25, 1500))), 1000 - 50 - 425);
    // 1,000 less 50 and 1,525 is owed.
    let refused = ask(&usage(0, 0));
    let fault = refused.fault.expect("a refusal");
    assert!(
        fault
            .message
            .contains("of which 0 are left. This request may need 425"),
        "{fault}"
    );
    // 575 owed and 425 wanted are 1,000 tokens, of which 1,000 come back in a minute.
    let retry = &fault.fields.as_ref().expect("fields")[0];
    assert_eq!(retry.value, b"60");
    set_clock(1_060_000);
    assert_eq!(left(&ask(&usage(0, 0))), 0);
}

#[test]
fn without_max_tokens_the_rule_assumes_some() {
    for (more, assume, reserved) in [
        (json!({}), json!({"assume": 100}), 125),
        (json!({"n": 3}), json!({"assume": 100}), 325),
        (json!({"max_tokens": null}), json!({"assume": 100}), 125),
        (json!({"max_tokens": 7}), json!({"assume": 100}), 32),
        (json!({"max_completion_tokens": 9}), json!({}), 34),
        // Never so much that nobody could ask at all.
        (json!({}), json!({}), 1000),
        (json!({}), json!({"max-prompt": 5, "assume": 10}), 15),
    ] {
        let bench = bench(&tokens(&assume));
        let outcome = run(&bench, request("a", &question(&more)));
        assert_eq!(left(&outcome), 1000 - reserved, "{more}");
    }
}

#[test]
fn a_request_that_never_fits_is_told_so() {
    let bench = bench(&tokens(&json!({})));
    let outcome = run(
        &bench,
        request("a", &question(&json!({"max_tokens": 1000}))),
    );
    let fault = outcome.fault.expect("a refusal");
    assert_eq!((fault.status, &*fault.code), (429, "rate_limit_exceeded"));
    assert!(fault.message.contains("lower `max_tokens`"), "{fault}");
    let fields = fault.fields.expect("fields");
    assert_eq!(&*fields[0].name, "x-should-retry");
    assert_eq!(fields.len(), 1);
}

#[test]
fn a_response_without_usage_counts_as_estimated_and_a_failure_not_at_all() {
    let bench = bench(&tokens(&json!({})));
    let ask = |response: &Response| {
        let body = question(&json!({"max_tokens": 100}));
        bench.run(request("a", &body), response)
    };
    let empty = json!({"choices": []});
    assert_eq!(left(&ask(&Response::json(&empty))), 875);
    assert_eq!(left(&ask(&Response::json(&empty).status(500))), 875 - 25);
    assert_eq!(left(&ask(&Response::json(&empty).left())), 875 - 25);
    // The client that left paid for its prompt.
    assert_eq!(left(&ask(&Response::json(&empty))), 875 - 50);
}

#[test]
fn a_cut_stream_pays_for_its_prompt_and_what_it_got() {
    let bench = bench(&tokens(&json!({})));
    let partial = json!({"prompt_tokens": 0, "completion_tokens": 3, "partial": true});
    let body = question(&json!({"max_tokens": 100}));
    let cut = request("a", &body).note("usage", &partial.to_string());
    bench.run(cut, &Response::sse(stream(3)).left());
    assert_eq!(left(&run(&bench, request("a", &body))), 1000 - 28 - 125);
}

#[test]
fn a_hard_limit_cuts_the_stream_with_a_finish_reason() {
    let rules = tokens(&json!({"limit": 40, "assume": 10, "hard": true}));
    for sizes in BATCHINGS {
        let bench = bench(&rules);
        let body = question(&json!({"stream": true}));
        let response = Response::sse(stream(30)).batches(sizes);
        let outcome = bench.run(request("a", &body), &response);
        let mut expected: Vec<String> = (0..15).map(|_| chunk("x")).collect();
        expected.push(
            r#"{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}]}"#
                .into(),
        );
        expected.push("[DONE]".into());
        assert_eq!(outcome.data(), expected, "{sizes:?}");
        assert!(outcome.finished);
        assert_eq!(outcome.note("finish"), Some(json!("length")));
        // All 40 are gone, and the one that crossed the limit.
        let refused = run(&bench, request("a", &body));
        assert_eq!(refused.fault.expect("a refusal").status, 429);
    }
}

#[test]
fn a_cut_stream_tells_its_usage_where_that_is_wanted() {
    let rules = tokens(&json!({"limit": 30, "assume": 1, "hard": true}));
    for body in [
        json!({"model": "m", "max_tokens": 5}),
        json!({"model": "m", "stream": true, "max_tokens": 5, "stream_options": {"include_usage": true}}),
    ] {
        let bench = bench(&rules);
        // Whatever the prompt is estimated at, at most 30 tokens fit.
        let outcome = bench.run(request("a", &body), &Response::sse(stream(100)));
        let data = outcome.data();
        let usage: Value = serde_json::from_str(&data[data.len() - 2]).expect("JSON");
        assert_eq!(usage["choices"], json!([]));
        let prompt = body.to_string().len().div_ceil(4);
        assert_eq!(usage["usage"]["prompt_tokens"], prompt);
        assert_eq!(usage["usage"]["completion_tokens"], 30 - prompt + 1);
    }
}

#[test]
fn a_stream_within_its_limit_passes_as_it_is() {
    let bench = bench(&tokens(&json!({"hard": true, "assume": 5})));
    let outcome = bench.run(
        request("a", &question(&json!({"stream": true}))),
        &Response::sse(stream(100)),
    );
    assert_eq!(outcome.data(), stream(100));
    assert!(!outcome.finished);
    // 25 and 100, whatever was taken on the way.
    let next = run(&bench, request("a", &question(&json!({"max_tokens": 1}))));
    assert_eq!(left(&next), 1000 - 125 - 26);
}

#[test]
fn a_model_server_that_counts_in_each_event_is_believed() {
    let rules = tokens(&json!({"limit": 50, "assume": 10, "hard": true}));
    let bench = bench(&rules);
    let chunks = (1..100).map(|n: u64| {
        json!({"choices": [{"index": 0, "delta": {"content": "many words in one event"}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 4 * n}})
        .to_string()
    });
    let body = question(&json!({"stream": true}));
    let outcome = bench.run(request("a", &body), &Response::sse(chunks));
    // 10 and 40 are 50: ten events pass, then the cut and the end.
    assert_eq!(outcome.data().len(), 12);
}

#[test]
fn concurrent_exchanges_are_given_back_when_they_are_over() {
    let bench = bench(&json!([{"name": "c", "concurrent": 1}]));
    for _ in 0..3 {
        assert_eq!(run(&bench, request("a", &json!({}))).status, 200);
    }
    let none = Bench::<RateLimit>::load(json!({"rules": [
        {"name": "one", "concurrent": 1}, {"name": "two", "by": ["client"], "concurrent": 1},
        {"name": "r", "requests": {"limit": 5, "per": "1h"}}
    ]}));
    let outcome = run(&none.expect("loads"), request("a", &json!({})));
    assert_eq!(
        outcome.header("x-ratelimit-remaining-requests").as_deref(),
        Some("4")
    );
}

#[test]
fn rules_apply_to_those_that_they_name() {
    let rules = json!([
        {"name": "vip", "tenants": ["vip-*"], "last": true, "requests": {"limit": 100, "per": "1h"}},
        {"name": "big", "models": ["big*"], "requests": {"limit": 10, "per": "1h"}},
        {"name": "net", "clients": ["198.51.100.0/24", "2001:db8::/32"], "requests": {"limit": 20, "per": "1h"}},
        {"name": "route", "routes": ["/elsewhere"], "requests": {"limit": 1, "per": "1h"}},
        {"name": "all", "requests": {"limit": 50, "per": "1h"}},
    ]);
    let bench = bench(&rules);
    let limit = |tenant: &str, model: &str| {
        let outcome = run(&bench, request(tenant, &json!({"model": model})));
        outcome
            .header("x-ratelimit-limit-requests")
            .expect("a field")
    };
    assert_eq!(limit("vip-1", "big-1"), "100");
    assert_eq!(limit("a", "big-1"), "10");
    assert_eq!(limit("a", "small"), "50");
}

#[test]
fn many_limits_are_taken_all_or_none() {
    let rules: Vec<Value> = (0..30)
        .map(|n| {
            let limit = if n == 29 { 1 } else { 10 };
            json!({"name": format!("r{n}"), "requests": {"limit": limit, "per": "1d"}})
        })
        .collect();
    let bench = bench(&json!(rules));
    let ask = || run(&bench, request("a", &json!({})));
    assert_eq!(ask().status, 200);
    for _ in 0..20 {
        let fault = ask().fault.expect("a refusal");
        assert!(
            fault.message.contains("`r29`"),
            "{fault}: the others lose nothing"
        );
    }
}

#[test]
fn without_state_a_rule_is_open_or_closed() {
    for (policy, status) in [(json!("open"), 0), (json!("closed"), 503)] {
        let rules = json!([{"name": "r", "concurrent": 1, "on-failure": policy}]);
        let bench = bench(&rules);
        capabilities::deny(Capability::Rate);
        let outcome = run(&bench, request("a", &json!({})));
        let fault = outcome
            .fault
            .map_or((0, String::new()), |it| (it.status, it.code));
        assert_eq!(fault.0, status);
        if status == 503 {
            assert_eq!(fault.1, "rate_limit_unavailable");
        }
        capabilities::reset();
    }
}

#[test]
fn subjects_that_are_counted_separately_differ() {
    let rule = |by: &[&str]| {
        let config = json!({"rules": [{"name": "r", "by": by, "concurrent": 1}]});
        let config: Config = serde_json::from_value(config).expect("a configuration");
        config.read().expect("legal").0.remove(0)
    };
    let asker = |tenant: &str, model: &str, client: &str| Asker {
        tenant: tenant.into(),
        model: model.into(),
        client: client.into(),
        route: "/*".into(),
    };
    let both = rule(&["tenant", "model"]);
    let of = |tenant: &str, model: &str| both.subject(&asker(tenant, model, ""));
    assert_ne!(of("a", "bc"), of("ab", "c"));
    assert_ne!(of("a\"\"b", "c"), of("a", "b\"\"c"));
    let long = "x".repeat(300);
    assert_ne!(of(&long, "a"), of(&long, "b"));
    assert!(of(&long, "a").len() <= 256);
    let client = rule(&["client"]);
    let of = |address: &str| client.subject(&asker("", "", address));
    assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:0:1"));
    assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_ne!(of("192.0.2.2"), of("192.0.2.1"));
}

#[test]
fn networks_have_the_addresses_in_them() {
    let has = |network: &str, address: &str| {
        let config = json!({"rules": [{"name": "r", "clients": [network], "concurrent": 1}]});
        let config: Config = serde_json::from_value(config).expect("a configuration");
        let rule = config.read().expect("legal").0.remove(0);
        rule.applies(&Asker {
            tenant: String::new(),
            model: String::new(),
            client: address.into(),
            route: String::new(),
        })
    };
    assert!(has("10.0.0.0/8", "10.255.0.1") && !has("10.0.0.0/8", "11.0.0.1"));
    assert!(has("0.0.0.0/0", "11.0.0.1") && !has("0.0.0.0/0", "::1"));
    assert!(has("192.0.2.7", "::ffff:192.0.2.7") && !has("192.0.2.7", "192.0.2.8"));
    assert!(has("2001:db8::/32", "2001:db8:1::1") && !has("2001:db8::/32", "2001:db9::1"));
    assert!(has("::/0", "2001:db9::1"));
}

#[test]
fn durations_are_written_as_openai_writes_them() {
    for (millis, text) in [
        (0, "0s"),
        (17, "17ms"),
        (1000, "1s"),
        (8640, "8.64s"),
        (360_000, "6m0s"),
        (60_050, "1m0.05s"),
        (7_200_000, "2h0m0s"),
    ] {
        assert_eq!(
            fields::duration(std::time::Duration::from_millis(millis)),
            text
        );
    }
}

#[test]
fn configuration_mistakes_are_named() {
    let rule = |more: Value| {
        let mut rule = json!({"name": "r", "concurrent": 1});
        for (name, value) in more.as_object().expect("an object") {
            rule[name] = value.clone();
        }
        json!({"rules": [rule]})
    };
    let per = |per: &str| rule(json!({"requests": {"limit": 1, "per": per}}));
    let many: Vec<Value> = (0..257)
        .map(|n| json!({"name": n.to_string(), "concurrent": 1}))
        .collect();
    let cases = [
        (json!({"rules": [{"name": "r"}]}), "`r` limits nothing"),
        (rule(json!({"name": ""})), "`name` must be"),
        (rule(json!({"name": "A b"})), "\"A b\""),
        (
            json!({"rules": [{"name": "r", "concurrent": 1}, {"name": "r", "concurrent": 1}]}),
            "two rules named `r`",
        ),
        (
            rule(json!({"by": ["tenant", "tenant"]})),
            "`by` has Tenant twice",
        ),
        (rule(json!({"by": ["key"]})), "key"),
        (rule(json!({"clients": ["10.0.0.0/33"]})), "10.0.0.0/33"),
        (rule(json!({"clients": ["localhost"]})), "localhost"),
        (rule(json!({"concurrent": 0})), "`concurrent` must be 1"),
        (
            rule(json!({"requests": {"limit": 0, "per": "1m"}})),
            "`requests.limit`",
        ),
        (per("1"), "`requests.per`"),
        (per(""), "`requests.per`"),
        (per("m"), "`requests.per`"),
        (per("0s"), "`requests.per`"),
        (per("+1m"), "`requests.per`"),
        (per("367d"), "`requests.per`"),
        (per("1€"), "`requests.per`"),
        (rule(json!({"on-failure": "ajar"})), "ajar"),
        (rule(json!({"token": {}})), "token"),
        (json!({"rules": many}), "at most 256"),
    ];
    for (config, part) in cases {
        let error = Bench::<RateLimit>::load(config.clone()).expect_err("refused");
        assert!(error.contains(part), "{config}: {error}");
    }
}

#[test]
fn the_schema_explains_every_key() {
    let manifest: Value = serde_json::from_str(&RateLimit::manifest().to_json()).expect("JSON");
    assert_eq!(manifest["requires"], json!(["rate"]));
    let rule = &manifest["config"]["properties"]["rules"]["items"]["properties"];
    let rule = rule.as_object().expect("an object");
    assert_eq!(rule.len(), 12);
    for (name, schema) in rule {
        assert!(schema["description"].is_string(), "{name}: {schema}");
    }
}

/// A rule with a budget of 1 in a month, at 1 for a million tokens of input and 10 of output; half of it for what is cached.
fn budgeted(more: &Value) -> Bench<RateLimit> {
    capabilities::reset();
    // 2026-11-27T12:00:00Z
    set_clock(1_795_780_800_000);
    let mut budget = json!({"limit": 1.0, "per": "month"});
    for (name, value) in more.as_object().expect("an object") {
        budget[name] = value.clone();
    }
    let prices = json!([
        {"models": ["m*"], "input": 1.0, "output": 10, "cached-input": 0.5},
        {"models": ["free"], "input": 0, "output": 0},
    ]);
    let rules = json!([{"name": "b", "by": ["tenant"], "budget": budget}]);
    Bench::load(json!({"rules": rules, "prices": prices})).expect("loads")
}

fn fault(outcome: &Outcome) -> &Fault {
    outcome.fault.as_ref().expect("a refusal")
}

#[test]
fn a_budget_is_spent_by_what_was_used_and_whole_again_in_the_next_month() {
    let bench = budgeted(&json!({}));
    let ask = |tenant, body: &Value, usage: &str| {
        run(
            &bench,
            request(tenant, &question(body)).note("usage", usage),
        )
    };
    // 25 tokens of the prompt and 99,000 of the response are 0.990025.
    let large = json!({"max_tokens": 99_000});
    assert_eq!(ask("a", &large, &usage(100_000, 10_000)).status, 200);
    // 0.2 are spent, so 0.8 are left.
    let refused = ask("a", &large, &usage(0, 0));
    let refused = fault(&refused);
    assert_eq!(
        (refused.status, &*refused.code),
        (429, "insufficient_quota")
    );
    assert!(
        refused.message.starts_with(
            "The budget `b` is 1.00 in a month (UTC), of which 0.80 are left. This request may cost 0.990025. Try again in 84h0m0s."
        ),
        "{refused}"
    );
    let fields = refused.fields.as_ref().expect("fields");
    let fields: Vec<_> = fields.iter().map(|it| (&*it.name, &*it.value)).collect();
    assert_eq!(
        fields,
        [
            ("retry-after", &b"302400"[..]),
            ("x-should-retry", &b"false"[..])
        ]
    );
    assert_eq!(ask("b", &large, &usage(0, 0)).status, 200, "another tenant");
    // What the model server had in its cache costs less: 0.25 of 0.8 here.
    let cached = json!({"prompt_tokens": 500_000, "completion_tokens": 0,
        "prompt_tokens_details": {"cached_tokens": 500_000}});
    assert_eq!(
        ask("a", &json!({"max_tokens": 1}), &cached.to_string()).status,
        200
    );
    let refused = ask("a", &large, &usage(0, 0));
    assert!(fault(&refused).message.contains("of which 0.55 are left"));
    // More than there is: it is owed, and nothing more is granted.
    assert_eq!(
        ask("a", &json!({"max_tokens": 1}), &usage(1_000_000, 0)).status,
        200
    );
    let refused = ask("a", &json!({"max_tokens": 1}), &usage(0, 0));
    assert!(fault(&refused).message.contains("of which 0.00 are left"));
    let next_month = 1_795_780_800_000 + 84 * 3_600_000;
    set_clock(next_month - 1);
    assert!(
        ask("a", &json!({"max_tokens": 1}), &usage(0, 0))
            .fault
            .is_some()
    );
    set_clock(next_month);
    assert_eq!(ask("a", &large, &usage(0, 0)).status, 200);
}

#[test]
fn a_request_above_the_whole_budget_is_never_granted_and_one_without_max_tokens_is() {
    let bench = budgeted(&json!({}));
    let ask = |more: &Value| run(&bench, request("a", &question(more)));
    let refused = ask(&json!({"max_tokens": 100_001}));
    let refused = fault(&refused);
    assert_eq!(
        (refused.status, &*refused.code),
        (429, "insufficient_quota")
    );
    assert!(
        refused
            .message
            .ends_with("Shorten the prompt or lower `max_tokens`.")
    );
    assert_eq!(ask(&json!({})).status, 200);
}

#[test]
fn a_model_without_a_price_is_refused_where_a_budget_applies() {
    let bench = budgeted(&json!({}));
    let ask = |model: &str| run(&bench, request("a", &question(&json!({"model": model}))));
    let refused = ask("x");
    let refused = fault(&refused);
    assert_eq!(
        (refused.status, &*refused.code),
        (403, "model_has_no_price")
    );
    assert!(refused.message.contains("the model \"x\" has no price"));
    for _ in 0..3 {
        assert_eq!(ask("free").status, 200);
    }
    // A request that needs no tokens has no price.
    let list = bench.run(
        Request::get("/v1/models"),
        &Response::json(&json!({"data": []})),
    );
    assert_eq!(list.status, 200);
}

#[test]
fn a_hard_budget_cuts_a_stream_where_it_is_used_up() {
    for sizes in BATCHINGS {
        // 25 tokens of the prompt are 25 millionths, and each token of the response 10.
        let bench = budgeted(&json!({"limit": 0.000_1, "hard": true, "assume": 1}));
        let request = request("a", &question(&json!({"stream": true})));
        let response = Response::sse(stream(20)).batches(sizes);
        let outcome = bench.run(request, &response);
        let data = outcome.data();
        assert_eq!(data[..7], vec![chunk("x"); 7], "{sizes:?}");
        assert!(data[7].contains(r#""finish_reason":"length""#), "{data:?}");
        assert_eq!(data[8..], ["[DONE]"]);
        assert_eq!(outcome.note("finish"), Some(json!("length")));
    }
}

#[test]
fn tokens_of_a_calendar_day_come_back_at_midnight() {
    let bench = bench(&tokens(&json!({"per": "day"})));
    set_clock(1_795_780_800_000);
    let ask = || {
        run(
            &bench,
            request("a", &question(&json!({"max_tokens": 975}))).note("usage", &usage(25, 975)),
        )
    };
    assert_eq!(ask().status, 200);
    let refused = ask();
    assert!(
        fault(&refused)
            .message
            .contains("allows 1000 tokens in a day (UTC)")
    );
    set_clock(1_795_780_800_000 + 12 * 3_600_000);
    assert_eq!(ask().status, 200);
}

#[test]
fn budgets_and_prices_that_make_no_sense_are_refused() {
    let price = json!({"models": ["*"], "input": 1, "output": 1});
    let rule = |budget: Value| json!([{"name": "b", "budget": budget}]);
    let good = json!({"limit": 1, "per": "day"});
    for (rules, prices, says) in [
        (rule(good.clone()), json!([]), "there are no `prices`"),
        (
            rule(json!({"limit": 0, "per": "day"})),
            json!([price]),
            "`budget.limit` must be",
        ),
        (
            rule(json!({"limit": 1e10, "per": "day"})),
            json!([price]),
            "`budget.limit` must be",
        ),
        (
            rule(json!({"limit": 1, "per": "week"})),
            json!([price]),
            "`budget.per` must be",
        ),
        (
            rule(good.clone()),
            json!([{"models": [], "input": 1, "output": 1}]),
            "`prices[0].models` is empty",
        ),
        (
            rule(good.clone()),
            json!([price, {"models": ["*"], "input": 1, "output": 1e9}]),
            "`prices[1].output` must be",
        ),
    ] {
        let refused = Bench::<RateLimit>::load(json!({"rules": rules, "prices": prices}));
        let refused = refused.expect_err("refused");
        assert!(refused.contains(says), "{refused}");
    }
    assert!(Bench::<RateLimit>::load(json!({"rules": rule(good), "prices": [price]})).is_ok());
}
