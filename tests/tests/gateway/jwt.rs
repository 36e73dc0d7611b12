//! Tokens of an identity provider: who comes in, what the provider is asked, and what goes on without it.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use futures_util::future::join_all;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sluicegate::builtin;
use sluicegate_config as config;
use sluicegate_gateway::snapshot;
use sluicegate_gateway::supply::Supply;
use sluicegate_tests::client::Response;
use sluicegate_tests::gateway::loader;
use sluicegate_tests::upstream::closed_port;
use sluicegate_tests::{Client, Gateway, Script, Setup, Upstream, logs};

use crate::common::{CHAT, assert_error, greets, question};

const ISSUER: &str = "https://idp.test/";

/// A key of the provider.
#[derive(Clone)]
struct Key {
    kid: &'static str,
    secret: SigningKey,
}

impl Key {
    /// A new one.
    fn new(kid: &'static str) -> Self {
        let random = RandomState::new();
        let bytes: Vec<u8> = (0..4)
            .flat_map(|at| random.hash_one(at).to_be_bytes())
            .collect();
        let secret = SigningKey::from_slice(&bytes).expect("below the order, but once in 2^32");
        Self { kid, secret }
    }

    /// As it is published.
    fn published(&self) -> Value {
        let point = self.secret.verifying_key().to_sec1_point(false);
        let point = point.as_bytes();
        let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "kid": self.kid, "use": "sig", "alg": "ES256",
            "x": encode(&point[1..33]), "y": encode(&point[33..])})
    }

    /// A token with these claims beside those that every good one has.
    fn token(&self, claims: &Value) -> String {
        self.signed(
            &json!({"alg": "ES256", "kid": self.kid, "typ": "JWT"}),
            claims,
        )
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let mut all = json!({"iss": ISSUER, "aud": ["other", "gateway"], "sub": "ann", "org": "blue", "exp": now() + 300});
        for (name, value) in claims.as_object().expect("claims") {
            all[name] = value.clone();
        }
        let encode = |json: &Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
        let signed = format!("{}.{}", encode(header), encode(&all));
        let signature: Signature = self.secret.sign(signed.as_bytes());
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature.to_bytes()))
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

/// A provider that publishes these keys, until something else is put there.
struct Provider {
    server: Upstream,
    publishes: Arc<Mutex<Script>>,
}

impl Provider {
    async fn new(keys: &[&Key]) -> Self {
        let publishes = Arc::new(Mutex::new(list(keys)));
        let script = publishes.clone();
        let server = Upstream::start(move |_| script.lock().expect("no panic").clone()).await;
        Self { server, publishes }
    }

    fn publish(&self, script: Script) {
        *self.publishes.lock().expect("no panic") = script;
    }

    /// How often it was asked for its keys.
    fn asked(&self) -> usize {
        self.server.requests().len()
    }
}

fn list(keys: &[&Key]) -> Script {
    let keys: Vec<_> = keys.iter().map(|key| key.published()).collect();
    Script::json(200, &json!({"keys": keys}))
}

/// The section of the plugin, whose provider is at this address; `lines` are of its configuration.
fn section(url: &str, lines: &str) -> String {
    format!(
        "grant = {{ http = [\"{url}\"], kv = true }}\n\
         [plugin.jwt.config]\n{lines}\n\
         [[plugin.jwt.config.issuers]]\nissuer = \"{ISSUER}\"\njwks = \"{url}/keys\"\naudience = [\"gateway\"]\ntenant-claim = \"org\""
    )
}

const API_KEYS: &str = "keys = [{ name = \"ci\", key = \"sk-ci\", tenant = \"red\" }]";

/// A gateway whose only gate is `jwt`.
fn setup(upstream: &Upstream, url: &str) -> Setup {
    Setup::before(upstream)
        .adapter("ollama")
        .plugin("jwt", "builtin:jwt", &section(url, API_KEYS))
        .plugin("observer", sluicegate_tests::guest::OBSERVER, "")
}

async fn start(upstream: &Upstream, url: &str) -> Gateway {
    let observed = r#"observers = ["observer"]"#;
    let setup = setup(upstream, url).route(CHAT, r#"["jwt", "aggregate"]"#, observed);
    setup.start().await
}

fn bearer(gateway: &Gateway, token: &str) -> Client {
    let value = format!("Bearer {token}");
    gateway.client().with("authorization", &value)
}

async fn ask(gateway: &Gateway, token: &str) -> Response {
    bearer(gateway, token).chat(&question()).await
}

#[tokio::test]
async fn whoever_has_a_token_or_a_key_comes_in_as_its_tenant() {
    let (upstream, key) = (greets().await, Key::new("k1"));
    let provider = Provider::new(&[&key]).await;
    let gateway = start(&upstream, &provider.server.url()).await;
    let token = key.token(&json!({}));
    for (field, value, tenant) in [
        ("authorization", format!("Bearer {token}"), "blue"),
        ("x-api-key", token.clone(), "blue"),
        ("authorization", "Bearer sk-ci".to_owned(), "red"),
    ] {
        let id = logs::id();
        let client = gateway.client().with(field, &value);
        let response = client.with("x-request-id", &id).chat(&question()).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let asked = upstream.next_request().await;
        assert!(!asked.fields.has("authorization") && !asked.fields.has("x-api-key"));
        assert_eq!(logs::seen(&id).await["note_tenant"], tenant);
    }
    // Once for all of them, and not for the key.
    assert_eq!(provider.asked(), 1);
    let request = &provider.server.requests()[0];
    assert_eq!((&*request.method, &*request.target), ("GET", "/keys"));
    let unknown = ask(&gateway, "sk-nope").await;
    assert_error(&unknown, 401, "invalid_api_key");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_token_that_is_not_right_in_all_is_refused_and_the_model_server_hears_nothing() {
    let (upstream, key) = (greets().await, Key::new("k1"));
    let provider = Provider::new(&[&key]).await;
    let gateway = start(&upstream, &provider.server.url()).await;
    let good = key.token(&json!({}));
    assert_eq!(ask(&gateway, &good).await.status, 200);
    let (signed, signature) = good.rsplit_once('.').expect("parts");
    let header = |json: Value| key.signed(&json, &json!({}));
    let forged = Key::new("k1").token(&json!({}));
    let unsigned = header(json!({"alg": "none"}));
    let (unsigned, _) = unsigned.rsplit_once('.').expect("parts");
    let claims = key.token(&json!({"org": "red"}));
    let (other_claims, _) = claims.rsplit_once('.').expect("parts");
    for (token, words) in [
        (key.token(&json!({"iss": "https://idp.test"})), "issuer"),
        (key.token(&json!({"iss": ["https://idp.test/"]})), "issuer"),
        (key.token(&json!({"aud": "others"})), "audience"),
        (key.token(&json!({"aud": null})), "audience"),
        (key.token(&json!({"exp": now() - 61})), "expired"),
        (key.token(&json!({"exp": null})), "`exp`"),
        (key.token(&json!({"nbf": now() + 120})), "not valid yet"),
        (key.token(&json!({"org": 7})), "`org`"),
        (format!("{unsigned}."), "algorithm"),
        (header(json!({"alg": "HS256", "kid": "k1"})), "algorithm"),
        (header(json!({"alg": "es256", "kid": "k1"})), "algorithm"),
        // An algorithm that the key is not for.
        (
            header(json!({"alg": "RS256", "kid": "k1"})),
            "does not have",
        ),
        (
            header(json!({"alg": "ES384", "kid": "k1"})),
            "does not have",
        ),
        (
            header(json!({"alg": "ES256", "kid": "k2"})),
            "does not have",
        ),
        (forged, "signature"),
        (format!("{signed}."), "signature"),
        (format!("{other_claims}.{signature}"), "signature"),
    ] {
        let response = ask(&gateway, &token).await;
        assert_error(&response, 401, "invalid_api_key");
        let message = response.error()["message"].to_string();
        assert!(message.contains(words), "{words}: {message}");
        assert!(!message.contains(signature), "{message}");
    }
    for leeway in [json!({"exp": now() - 30}), json!({"nbf": now() + 30})] {
        assert_eq!(ask(&gateway, &key.token(&leeway)).await.status, 200);
    }
    assert_eq!(upstream.requests().len(), 3);
    gateway.shutdown().await;
}

#[tokio::test]
async fn keys_roll_over_and_invented_names_of_keys_ask_the_provider_once() {
    let (upstream, old, new) = (greets().await, Key::new("old"), Key::new("new"));
    let provider = Provider::new(&[&old]).await;
    let gateway = start(&upstream, &provider.server.url()).await;
    let (of_old, of_new) = (old.token(&json!({})), new.token(&json!({})));
    assert_eq!(ask(&gateway, &of_old).await.status, 200);
    provider.publish(list(&[&new]));
    assert_eq!(ask(&gateway, &of_new).await.status, 200);
    assert_eq!(provider.asked(), 2);
    // It is not published any more.
    assert_error(&ask(&gateway, &of_old).await, 401, "invalid_api_key");
    let invented = (0..40).map(|at| {
        let header = json!({"alg": "ES256", "kid": format!("invented-{at}")});
        new.signed(&header, &json!({}))
    });
    let tokens: Vec<_> = invented.collect();
    let responses = join_all(tokens.iter().map(|token| ask(&gateway, token))).await;
    for response in responses {
        assert_error(&response, 401, "invalid_api_key");
    }
    assert_eq!(provider.asked(), 2, "nobody asks again within ten seconds");
    assert_eq!(ask(&gateway, &of_new).await.status, 200);
    assert_eq!(upstream.requests().len(), 3);
    gateway.shutdown().await;
}

#[tokio::test]
async fn without_the_provider_known_keys_hold_and_others_cannot_be_judged() {
    let (upstream, key, other) = (greets().await, Key::new("k1"), Key::new("k2"));
    let provider = Provider::new(&[&key]).await;
    let gateway = start(&upstream, &provider.server.url()).await;
    assert_eq!(ask(&gateway, &key.token(&json!({}))).await.status, 200);
    provider.publish(Script::status(500).body("down"));
    for _ in 0..3 {
        let unknown = ask(&gateway, &other.token(&json!({}))).await;
        assert_error(&unknown, 503, "issuer_unavailable");
        assert_eq!(unknown.header("retry-after"), "5");
    }
    assert_eq!(provider.asked(), 2);
    assert_eq!(ask(&gateway, &key.token(&json!({}))).await.status, 200);
    gateway.shutdown().await;

    // From the start: what is not a matter of keys is decided all the same.
    let (_kept, closed) = closed_port();
    let gateway = start(&upstream, &format!("http://{closed}")).await;
    let response = ask(&gateway, &key.token(&json!({}))).await;
    assert_error(&response, 503, "issuer_unavailable");
    let expired = key.token(&json!({"exp": now() - 3600}));
    assert_error(&ask(&gateway, &expired).await, 401, "invalid_api_key");
    let nothing = gateway.client().chat(&question()).await;
    assert_error(&nothing, 401, "invalid_api_key");
    assert_eq!(ask(&gateway, "sk-ci").await.status, 200);
    assert_eq!(upstream.requests().len(), 3);
    gateway.shutdown().await;
}

#[tokio::test]
async fn before_a_key_is_known_a_provider_that_is_down_is_asked_a_bounded_number_of_times() {
    let (upstream, key) = (greets().await, Key::new("k1"));
    let provider = Provider::new(&[]).await;
    let gateway = start(&upstream, &provider.server.url()).await;
    let token = key.token(&json!({}));
    for response in join_all((0..40).map(|_| ask(&gateway, &token))).await {
        assert_error(&response, 503, "issuer_unavailable");
    }
    assert_eq!(provider.asked(), 16);
    assert_eq!(upstream.requests().len(), 0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn limits_and_models_know_the_tenant_of_a_token() {
    let (upstream, key) = (greets().await, Key::new("k1"));
    let provider = Provider::new(&[&key]).await;
    let rules = r#"grant = { rate = true }
                   config.rules = [{ name = "r", by = ["tenant"], requests = { limit = 1, per = "1h" } }]"#;
    let models =
        "[[model]]\nname = \"qwen3:32b\"\ntenants = [\"blue\", \"green\"]\nupstream = \"ollama\"\n";
    let gateway = setup(&upstream, &provider.server.url())
        .section(models)
        .plugin("rate-limit", "builtin:rate-limit", rules)
        .route(CHAT, r#"["jwt", "aggregate", "rate-limit"]"#, "")
        .start()
        .await;
    let token = |org: &str| key.token(&json!({"org": org}));
    assert_eq!(ask(&gateway, &token("blue")).await.status, 200);
    assert_eq!(ask(&gateway, &token("blue")).await.status, 429);
    assert_eq!(ask(&gateway, &token("green")).await.status, 200);
    assert_error(&ask(&gateway, &token("red")).await, 404, "model_not_found");
    assert_eq!(upstream.requests().len(), 2);
    gateway.shutdown().await;
}

#[tokio::test]
async fn it_counts_as_a_gate_that_authenticates_and_asks_nobody_for_that() {
    let provider = Provider::new(&[]).await;
    let url = provider.server.url();
    let text = |lines: &str| {
        format!(
            "[[listener]]\nlisten = \"0.0.0.0:1\"\n\
             [upstream.main]\nadapter = \"ollama\"\ntargets = [\"http://127.0.0.1:11434\"]\n\
             [[route]]\npath = \"/v1/chat/completions\"\npipeline = [\"jwt\"]\nupstream = \"main\"\n\
             [plugin.jwt]\nsource = \"builtin:jwt\"\n{lines}"
        )
    };
    let prepare = async |text: &str| {
        let config = config::parse(text, Path::new("/"), &|_| None).expect("legal by itself");
        let supply = Supply::new(loader(), builtin::PLUGINS, None);
        snapshot::prepare(config, &supply, None).await
    };
    let prepared = prepare(&text(&section(&url, ""))).await;
    prepared.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(provider.server.connections(), 0);
    // Without the grants it is of no use.
    let without = section(&url, "").replace(", kv = true", "");
    let problems = prepare(&text(&without)).await.err().expect("refused");
    assert!(problems.to_string().contains("kv"), "{problems}");
}
