//! The gate over scripted requests, with tokens that the tests sign.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use sluicegate_plugin::CapabilityError;
use sluicegate_plugin::http::Response;
use sluicegate_plugin::testing::{Bench, GateOutcome, Request, capabilities, set_clock};

use super::*;
use crate::algorithm::Algorithm;

mod signing;

use signing::Key;

const ISSUER: &str = "https://idp.example/";
const JWKS: &str = "https://idp.example/keys";

/// The moment at which tests begin, in milliseconds: 2026-08-01T10:00:00Z.
const BEGIN: u64 = 1_785_578_400_000;

fn config() -> Value {
    json!({
        "issuers": [{"issuer": ISSUER, "jwks": JWKS, "audience": ["gateway", "other"], "tenant-claim": "org"}],
        "keys": [{"name": "ci", "key": "sk-ci", "tenant": "red"}],
    })
}

fn bench(config: Value) -> Bench<Jwt> {
    Bench::load(config).expect("loads")
}

/// Claims that are right.
fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "gateway", "sub": "ann", "org": "blue", "exp": BEGIN / 1000 + 300})
}

/// The same with a member more, or another value of it.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

/// What stands for the provider on this thread: what it publishes, and how often it was asked.
struct Provider {
    published: Rc<RefCell<Result<Response, CapabilityError>>>,
    asked: Rc<Cell<u32>>,
}

impl Provider {
    fn new(keys: &[&Key]) -> Self {
        capabilities::reset();
        set_clock(BEGIN);
        let provider = Self {
            published: Rc::new(RefCell::new(list(keys))),
            asked: Rc::default(),
        };
        let (published, asked) = (provider.published.clone(), provider.asked.clone());
        capabilities::on_request(move |request| {
            assert_eq!((&*request.method, &*request.url), ("GET", JWKS));
            asked.set(asked.get() + 1);
            published.borrow().clone()
        });
        provider
    }

    fn publish(&self, published: Result<Response, CapabilityError>) {
        *self.published.borrow_mut() = published;
    }
}

fn list(keys: &[&Key]) -> Result<Response, CapabilityError> {
    let keys: Vec<_> = keys.iter().map(|key| key.published()).collect();
    body(json!({"keys": keys}).to_string())
}

fn body(text: String) -> Result<Response, CapabilityError> {
    Ok(Response {
        status: 200,
        body: text.into_bytes(),
        ..Response::default()
    })
}

fn check(bench: &Bench<Jwt>, key: &str) -> GateOutcome {
    let value = format!("Bearer {key}");
    bench.check(Request::post("/v1/chat/completions").header("authorization", value))
}

/// Status and message of a refusal.
#[track_caller]
fn refusal(outcome: &GateOutcome) -> (u16, &str) {
    let Err(Stop::Fault(fault)) = &outcome.verdict else {
        panic!("{:?}", outcome.verdict);
    };
    let code = match fault.status {
        401 => "invalid_api_key",
        _ => "issuer_unavailable",
    };
    assert_eq!(fault.code, code);
    assert!(!outcome.notes.contains_key("tenant"));
    (fault.status, &fault.message)
}

#[test]
fn each_algorithm_is_verified_with_a_key_of_its_kind_and_no_other() {
    let keys = Algorithm::ALL.map(|algorithm| Key::new(algorithm.name(), algorithm));
    let provider = Provider::new(&keys.each_ref());
    let bench = bench(config());
    for key in &keys {
        let name = key.algorithm.name();
        let token = key.token(&claims());
        let outcome = check(&bench, &token);
        assert_eq!(outcome.verdict, Ok(()), "{name}");
        assert_eq!(outcome.notes["tenant"], "\"blue\"");
        assert_eq!(outcome.request.header("authorization"), None);
        // One bit of the signature, or of what is signed.
        let at = token.rfind('.').expect("parts") + 10;
        for changed in [at, token.find('.').expect("parts") + 20] {
            let mut bytes = token.clone().into_bytes();
            bytes[changed] = if bytes[changed] == b'A' { b'B' } else { b'A' };
            let text = String::from_utf8(bytes).expect("ASCII");
            assert_eq!(refusal(&check(&bench, &text)).0, 401, "{name}");
        }
        for other in &keys {
            // The same signature under another algorithm or with another key.
            let header = json!({"alg": other.algorithm.name(), "kid": key.kid});
            let forged = key.signed(&header, &claims());
            let is_own = key.algorithm == other.algorithm;
            let passes = check(&bench, &forged).verdict.is_ok();
            assert_eq!(passes, is_own, "{name} as {}", other.algorithm.name());
            let header = json!({"alg": name, "kid": other.kid});
            let forged = key.signed(&header, &claims());
            assert_eq!(
                check(&bench, &forged).verdict.is_ok(),
                is_own,
                "{name} by {}",
                other.kid
            );
        }
    }
    assert!(provider.asked.get() <= 2);
}

#[test]
fn a_published_key_is_no_shared_secret_and_unsigned_tokens_are_none() {
    let key = Key::new("k", Algorithm::Rs256);
    Provider::new(&[&key]);
    let bench = bench(config());
    let encode = |json: &Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
    for secret in signing::secrets(&key) {
        let signed = format!(
            "{}.{}",
            encode(&json!({"alg": "HS256", "kid": "k"})),
            encode(&claims())
        );
        let mac = BASE64URL_NOPAD.encode(&signing::hmac(&secret, signed.as_bytes()));
        let outcome = check(&bench, &format!("{signed}.{mac}"));
        assert!(refusal(&outcome).1.contains("algorithm"));
    }
    for alg in [
        "none", "None", "", "HS512", "RS256 ", "rs256", "RS1", "ES256K",
    ] {
        let signed = format!("{}.{}", encode(&json!({"alg": alg})), encode(&claims()));
        let outcome = check(&bench, &format!("{signed}."));
        assert!(refusal(&outcome).1.contains("algorithm"), "{alg}");
    }
}

#[test]
fn issuer_audience_times_and_tenant_must_be_right() {
    let key = Key::new("k", Algorithm::Es256);
    let provider = Provider::new(&[&key]);
    let bench = bench(config());
    let now = BEGIN / 1000;
    for (claims, words) in [
        (with("iss", json!("https://idp.example")), "issuer"),
        (with("iss", json!(null)), "issuer"),
        (with("aud", json!("gateway2")), "audience"),
        (with("aud", json!(["x", 7])), "audience"),
        (with("aud", json!([])), "audience"),
        (with("aud", json!({"gateway": 1})), "audience"),
        (with("exp", json!(now - 60)), "expired"),
        (with("exp", json!(0)), "expired"),
        (with("exp", json!("later")), "`exp`"),
        (with("exp", json!(null)), "`exp`"),
        (with("nbf", json!(now + 61)), "not valid yet"),
        (with("nbf", json!([])), "`nbf`"),
    ] {
        let outcome = check(&bench, &key.token(&claims));
        let (status, message) = refusal(&outcome);
        assert!(
            status == 401 && message.contains(words),
            "{claims} {message}"
        );
    }
    let mut endless = claims();
    endless.as_object_mut().expect("an object").remove("exp");
    assert!(
        refusal(&check(&bench, &key.token(&endless)))
            .1
            .contains("`exp`")
    );
    assert_eq!(
        provider.asked.get(),
        0,
        "nobody is asked for a key for these"
    );
    for claims in [
        with("org", json!("")),
        with("org", json!(["blue"])),
        with("org", json!("x".repeat(257))),
    ] {
        let outcome = check(&bench, &key.token(&claims));
        assert!(refusal(&outcome).1.contains("`org`"), "{claims}");
    }
    for claims in [
        with("exp", json!(now - 59)),
        with("exp", json!(now as f64 + 0.5)),
        with("nbf", json!(now + 60)),
        with("aud", json!(["x", "other"])),
        with("iat", json!("whatever")),
    ] {
        assert_eq!(
            check(&bench, &key.token(&claims)).verdict,
            Ok(()),
            "{claims}"
        );
    }
}

#[test]
fn the_tenant_can_be_nested_and_have_a_prefix() {
    let key = Key::new("k", Algorithm::EdDsa);
    let tenant = |section: Value, claims: &Value| {
        Provider::new(&[&key]);
        let mut config = config();
        for (name, value) in section.as_object().expect("an object") {
            config["issuers"][0][name] = value.clone();
        }
        let outcome = check(&bench(config), &key.token(claims));
        outcome.notes.get("tenant").cloned()
    };
    let claims = with("realm", json!({"org": "a/b", "x~y": {"z": "deep"}}));
    for (claim, found) in [
        ("sub", Some("\"ann\"")),
        ("/sub", Some("\"ann\"")),
        ("/realm/org", Some("\"a/b\"")),
        ("/realm/x~0y/z", Some("\"deep\"")),
        ("/realm", None),
        ("realm/org", None),
    ] {
        let tenant = tenant(json!({"tenant-claim": claim}), &claims);
        assert_eq!(tenant.as_deref(), found, "{claim}");
    }
    let prefixed = tenant(json!({"tenant-prefix": "idp:"}), &claims);
    assert_eq!(prefixed.as_deref(), Some("\"idp:blue\""));
}

#[test]
fn a_key_that_rolls_over_is_found_and_invented_names_cost_one_request_in_ten_seconds() {
    let (old, new) = (
        Key::new("old", Algorithm::Es256),
        Key::new("new", Algorithm::Es256),
    );
    let provider = Provider::new(&[&old]);
    let bench = bench(config());
    let far = |key: &Key| key.token(&with("exp", json!(BEGIN / 1000 + 1_000_000)));
    assert_eq!(check(&bench, &far(&old)).verdict, Ok(()));
    provider.publish(list(&[&new]));
    assert_eq!(check(&bench, &far(&new)).verdict, Ok(()));
    assert_eq!(provider.asked.get(), 2);
    for at in 0..100 {
        let header = json!({"alg": "ES256", "kid": format!("x{at}")});
        let outcome = check(&bench, &new.signed(&header, &claims()));
        assert_eq!(refusal(&outcome).0, 401);
    }
    assert_eq!(provider.asked.get(), 2);
    assert!(
        refusal(&check(&bench, &far(&old)))
            .1
            .contains("does not have")
    );
    set_clock(BEGIN + 10_000);
    for _ in 0..3 {
        assert_eq!(refusal(&check(&bench, &far(&old))).0, 401);
    }
    assert_eq!(provider.asked.get(), 3);
    // Keys that are withdrawn go within ten minutes, for those who hold a token of them.
    provider.publish(list(&[&old]));
    set_clock(BEGIN + 10_000 + 10 * 60_000 - 1);
    assert_eq!(check(&bench, &far(&new)).verdict, Ok(()));
    set_clock(BEGIN + 10_000 + 10 * 60_000);
    assert_eq!(refusal(&check(&bench, &far(&new))).0, 401);
    assert_eq!(check(&bench, &far(&old)).verdict, Ok(()));
    assert_eq!(provider.asked.get(), 4);
}

#[test]
fn known_keys_hold_for_a_day_without_the_provider() {
    let (key, other) = (
        Key::new("k", Algorithm::Es256),
        Key::new("o", Algorithm::Es256),
    );
    let provider = Provider::new(&[&key]);
    let bench = bench(config());
    let week = with("exp", json!(BEGIN / 1000 + 7 * 86_400));
    let (known, unknown) = (key.token(&week), other.token(&week));
    assert_eq!(check(&bench, &known).verdict, Ok(()));
    for down in [
        Err(CapabilityError::Unavailable),
        Ok(Response {
            status: 500,
            ..Response::default()
        }),
        body("<html>".to_owned()),
        body(json!({"keys": []}).to_string()),
        body(" ".repeat(256 * 1024 + 1)),
    ] {
        provider.publish(down);
        let asked = provider.asked.get();
        // Of each of them anew.
        let time = BEGIN + 3_600_000 + u64::from(asked) * 20_000;
        set_clock(time);
        assert_eq!(check(&bench, &known).verdict, Ok(()));
        assert_eq!(provider.asked.get(), asked + 1);
        set_clock(time + 10_000 - 1);
        assert_eq!(check(&bench, &known).verdict, Ok(()));
        let outcome = check(&bench, &unknown);
        assert_eq!(refusal(&outcome).0, 503);
        assert_eq!(provider.asked.get(), asked + 1);
    }
    set_clock(BEGIN + keyring::STALE.as_millis() as u64 - 1);
    assert_eq!(check(&bench, &known).verdict, Ok(()));
    set_clock(BEGIN + keyring::STALE.as_millis() as u64);
    assert_eq!(refusal(&check(&bench, &known)).0, 503);
    // What needs no key of theirs goes on.
    assert_eq!(check(&bench, "sk-ci").verdict, Ok(()));
    provider.publish(list(&[&key]));
    assert_eq!(check(&bench, &known).verdict, Ok(()));
}

#[test]
fn before_a_key_is_known_requests_are_bounded_too() {
    let key = Key::new("k", Algorithm::Es256);
    let provider = Provider::new(&[&key]);
    provider.publish(Err(CapabilityError::Unavailable));
    let bench = bench(config());
    let token = key.token(&claims());
    for _ in 0..50 {
        assert_eq!(refusal(&check(&bench, &token)).0, 503);
    }
    assert_eq!(i64::from(provider.asked.get()), keyring::FIRST);
    set_clock(BEGIN + keyring::PAUSE.as_millis() as u64);
    provider.publish(list(&[&key]));
    assert_eq!(check(&bench, &token).verdict, Ok(()));
}

#[test]
fn a_token_without_the_name_of_a_key_means_the_only_one_that_fits() {
    let keys = [
        Key::new("a", Algorithm::Es256),
        Key::new("b", Algorithm::EdDsa),
        Key::new("c", Algorithm::EdDsa),
    ];
    Provider::new(&keys.each_ref());
    let bench = bench(config());
    let unnamed = |key: &Key| {
        let header = json!({"alg": key.algorithm.name()});
        check(&bench, &key.signed(&header, &claims()))
    };
    assert_eq!(unnamed(&keys[0]).verdict, Ok(()));
    assert_eq!(refusal(&unnamed(&keys[1])).0, 401);
}

#[test]
fn keys_that_are_for_something_else_or_weak_or_broken_are_not_used() {
    let key = Key::new("k", Algorithm::Rs256);
    let bench = bench(config());
    let outcome = |changes: Value| {
        let provider = Provider::new(&[]);
        let mut published = key.published();
        for (name, value) in changes.as_object().expect("an object") {
            published[name] = value.clone();
        }
        let others = [
            json!(7),
            json!({"kty": 7}),
            json!({"kty": "oct", "k": "AA", "kid": "k"}),
        ];
        let good = Key::new("good", Algorithm::Es256).published();
        let keys: Vec<_> = others.into_iter().chain([published, good]).collect();
        provider.publish(body(json!({"keys": keys}).to_string()));
        check(&bench, &key.token(&claims()))
    };
    assert_eq!(outcome(json!({})).verdict, Ok(()));
    assert_eq!(
        outcome(json!({"alg": null, "use": null, "key_ops": ["verify"]})).verdict,
        Ok(())
    );
    let modulus = key.published()["n"].as_str().expect("a text").to_owned();
    for changes in [
        json!({"use": "enc"}),
        json!({"key_ops": ["encrypt"]}),
        json!({"alg": "RS512"}),
        json!({"alg": "RSA-OAEP"}),
        json!({"kid": "other"}),
        json!({"kty": "EC"}),
        json!({"n": ""}),
        json!({"n": "!"}),
        json!({"n": &modulus[..172]}),
        json!({"n": modulus.repeat(3)}),
        json!({"e": "AQ"}),
        json!({"e": "AQABAQAB"}),
    ] {
        assert_eq!(refusal(&outcome(changes.clone())).0, 401, "{changes}");
    }
}

#[test]
fn an_algorithm_can_be_left_out() {
    let key = Key::new("k", Algorithm::Es256);
    Provider::new(&[&key]);
    let mut config = config();
    config["issuers"][0]["algorithms"] = json!(["RS256", "EdDSA"]);
    let bench = bench(config);
    let outcome = check(&bench, &key.token(&claims()));
    assert!(refusal(&outcome).1.contains("algorithm"));
}

#[test]
fn api_keys_and_missing_credentials_ask_nobody() {
    let provider = Provider::new(&[]);
    let bench = bench(config());
    let outcome = check(&bench, "sk-ci");
    assert_eq!(
        (outcome.verdict, &*outcome.notes["tenant"]),
        (Ok(()), "\"red\"")
    );
    assert!(refusal(&check(&bench, "sk-nope")).1.contains("not one of"));
    let nothing = bench.check(Request::post("/v1/chat/completions"));
    assert!(refusal(&nothing).1.contains("a token or an API key"));
    assert_eq!(provider.asked.get(), 0);
    let mut config = config();
    config.as_object_mut().expect("an object").remove("keys");
    let bench = self::bench(config);
    let nothing = bench.check(Request::post("/v1/chat/completions"));
    assert!(refusal(&nothing).1.contains("needs a token."));
    assert_eq!(refusal(&check(&bench, "sk-ci")).0, 401);
}

#[test]
fn configuration_mistakes_are_named() {
    let issuer = |changes: Value| {
        let mut issuer = config()["issuers"][0].clone();
        for (name, value) in changes.as_object().expect("an object") {
            issuer[name] = value.clone();
        }
        issuer
    };
    let one = |changes: Value| json!({"issuers": [issuer(changes)]});
    for (config, part) in [
        (json!({}), "`issuers` must not be empty"),
        (one(json!({"issuer": ""})), "`issuers[0].issuer`"),
        (one(json!({"jwks": "ftp://x/"})), "`issuers[0].jwks`"),
        (one(json!({"audience": []})), "`issuers[0].audience`"),
        (one(json!({"algorithms": ["HS256"]})), "`HS256`"),
        (one(json!({"algorithms": ["none"]})), "`none`"),
        (one(json!({"tenant": "x"})), "tenant"),
        (
            json!({"issuers": [issuer(json!({})), issuer(json!({"jwks": "https://x/"}))]}),
            "`issuers[1].issuer`",
        ),
        (
            json!({"issuers": [issuer(json!({}))], "keys": [{"name": "a", "key": "eyJ.e30.x"}]}),
            "the form of a token",
        ),
    ] {
        let error = Bench::<Jwt>::load(config.clone()).expect_err("refused");
        assert!(error.contains(part), "{config}: {error}");
    }
}

#[test]
fn the_schema_knows_every_key_of_the_configuration() {
    let manifest: Value = serde_json::from_str(&Jwt::manifest().to_json()).expect("JSON");
    assert_eq!(manifest["requires"], json!(["http", "kv"]));
    let names = |pointer: &str| {
        let properties = manifest["config"].pointer(pointer).expect("it is there");
        let names = properties.as_object().expect("an object").keys().cloned();
        names.collect::<Vec<_>>()
    };
    assert_eq!(
        names("/properties"),
        ["header", "inject", "issuers", "keys"]
    );
    let of_issuers = [
        "algorithms",
        "audience",
        "issuer",
        "jwks",
        "tenant-claim",
        "tenant-prefix",
    ];
    assert_eq!(names("/properties/issuers/items/properties"), of_issuers);
}
