//! The official OpenAI clients against the gateway, with a simulated model server of each vendor behind its adapter.
//! Here are their chats. [`responses`] has what they do with the Responses API, [`anthropic`] has Anthropic's clients,
//! [`ollama`] has Ollama's, and [`real_vllm`] runs the chats over a real server.
//!
//! They install themselves into the target folder. A machine without Python or Node.js skips its half, loudly; in CI
//! (`CI=true`) that is a failure.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use sluicegate_sim::{Pace, Vendor};
use sluicegate_tests::clients::{Client, Installed};
use sluicegate_tests::upstream::closed_port;
use sluicegate_tests::{Gateway, Script, Upstream, program};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

mod anthropic;
mod ollama;
mod real_vllm;
mod responses;

const KEY: &str = "sk-of-the-test";

/// What must be found of a vendor, by case.
type Expected = BTreeMap<&'static str, Value>;

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_understands_every_answer_of_every_vendor() -> anyhow::Result<()> {
    understands(Client::Python, "", expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_client_understands_every_answer_of_every_vendor() -> anyhow::Result<()> {
    understands(Client::Node, "", expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_sees_nothing_of_the_model_servers_that_fail_before_another() -> anyhow::Result<()>
{
    let client = Client::Python;
    if let Some(missing) = client.missing_program() {
        return program::skip(&format!(
            "{missing} is not installed, so the client cannot be tested"
        ));
    }
    let client = client
        .install(Path::new(env!("CARGO_TARGET_TMPDIR")))
        .await?;
    let (_kept, closed) = closed_port();
    let gone = format!("http://{closed}");
    let busy = Upstream::always(Script::json(503, &json!({"error": "server busy"}))).await;
    let busy_url = busy.url();
    let limited = json!({"error": {"message": "too many", "type": "TooManyRequests", "param": null, "code": 429}});
    let limited = Upstream::always(Script::json(429, &limited)).await;
    let limited_url = limited.url();
    // What stands where Ollama and vLLM should be; behind them is a TGI.
    let (one, two, three) = tokio::try_join!(
        Box::pin(behind(&client, &gone, &busy_url)),
        Box::pin(behind(&client, &busy_url, &limited_url)),
        Box::pin(behind(&client, &limited_url, &gone)),
    )?;
    let differences = [one, two, three].concat();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    for upstream in [&busy, &limited] {
        assert!(!upstream.requests().is_empty());
    }
    Ok(())
}

/// What the client finds otherwise than with a TGI alone, where an Ollama and a vLLM at these addresses are asked before it.
async fn behind(client: &Installed, ollama: &str, vllm: &str) -> anyhow::Result<Vec<String>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let tgi = format!("http://{}", listener.local_addr()?);
    let mut tasks = JoinSet::new();
    tasks.spawn(Vendor::Tgi.serve(listener, Pace::FULL_SPEED));
    let before = format!(
        "[upstream.first]\nadapter = \"ollama\"\ntargets = [\"{ollama}\"]\n\
         [upstream.second]\nadapter = \"vllm\"\ntargets = [\"{vllm}\"]\n"
    );
    let toml = configuration(&tgi, Vendor::Tgi).replace(
        "upstream = \"main\"",
        "upstream = \"first\"\nfallback = [\"second\", \"main\"]",
    );
    let mut expected = expected(Vendor::Tgi);
    // Whether the adapter before the first server that is up has looked at the request depends on what is known of that server by then.
    for case in ["no_messages", "embeddings_of_nothing"] {
        expected.insert(case, json!({}));
    }
    // A server that has just refused is spared for a second, and asked last: whose refusal the client gets depends on the moment.
    for case in ["failed_model_server", "overload", "overload_in_a_stream"] {
        expected.insert(case, json!({"has_message": true, "has_request_id": true}));
    }
    let what = format!("behind {ollama} and {vllm}");
    compare(client, &(toml + &before), &what, &expected).await
}

#[ignore = "installs a framework, which takes too long for every run; see the README"]
#[tokio::test(flavor = "multi_thread")]
async fn langchain_for_python_understands_every_vendor() -> anyhow::Result<()> {
    understands(Client::LangchainPython, "", of_langchain).await
}

#[ignore = "installs a framework, which takes too long for every run; see the README"]
#[tokio::test(flavor = "multi_thread")]
async fn langchain_for_node_understands_every_vendor() -> anyhow::Result<()> {
    understands(Client::LangchainNode, "", of_langchain).await
}

#[ignore = "installs a framework, which takes too long for every run; see the README"]
#[tokio::test(flavor = "multi_thread")]
async fn the_ai_sdk_understands_every_vendor() -> anyhow::Result<()> {
    understands(Client::AiSdk, "", of_ai_sdk).await
}

/// Runs the scripts of this client, those in the folder `suite` of `tests/clients`, over all vendors.
async fn understands(
    client: Client,
    suite: &str,
    expected: fn(Vendor) -> Expected,
) -> anyhow::Result<()> {
    if let Some(missing) = client.missing_program() {
        return program::skip(&format!(
            "{missing} is not installed, so {client:?} cannot be tested"
        ));
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let installed = client.install_of(suite, target).await?;
    // Boxed because each holds a whole gateway.
    let (ollama, vllm, tgi) = tokio::try_join!(
        Box::pin(differences(&installed, Vendor::Ollama, expected)),
        Box::pin(differences(&installed, Vendor::Vllm, expected)),
        Box::pin(differences(&installed, Vendor::Tgi, expected)),
    )?;
    // All differences in one report: a client's run is too slow to fix them one by one.
    let differences = [ollama, vllm, tgi].concat();
    assert!(
        differences.is_empty(),
        "{client:?}:\n{}",
        differences.join("\n")
    );
    Ok(())
}

/// Where what the client found is not what it must find.
async fn differences(
    client: &Installed,
    vendor: Vendor,
    expected: fn(Vendor) -> Expected,
) -> anyhow::Result<Vec<String>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let model_server = format!("http://{}", listener.local_addr()?);
    let mut tasks = JoinSet::new();
    tasks.spawn(vendor.serve(listener, Pace::FULL_SPEED));
    let toml = configuration(&model_server, vendor);
    compare(client, &toml, &format!("{vendor:?}"), &expected(vendor)).await
}

/// Where what the client finds through a gateway is not what is expected.
async fn compare(
    client: &Installed,
    toml: &str,
    what: &str,
    expected: &Expected,
) -> anyhow::Result<Vec<String>> {
    let gateway = Gateway::start(toml).await?;
    let found = client
        .run(&format!("http://{}", gateway.address()), KEY)
        .await?;
    gateway.shutdown().await;
    Ok(compared(what, expected, &found))
}

/// Where what was found is not what is expected.
fn compared(what: &str, expected: &Expected, found: &BTreeMap<String, Value>) -> Vec<String> {
    let mut differences: Vec<String> = expected
        .iter()
        .filter(|(case, facts)| !found.get(**case).is_some_and(|found| has(found, facts)))
        .map(|(case, facts)| {
            let found = found.get(*case).unwrap_or(&Value::Null);
            format!("{what}, {case}\n  expected {facts}\n  found    {found}")
        })
        .collect();
    let unknown = found
        .iter()
        .filter(|(case, _)| !expected.contains_key(case.as_str()));
    differences
        .extend(unknown.map(|(case, found)| {
            format!("{what}, {case}\n  expected nothing\n  found    {found}")
        }));
    differences
}

/// A gateway with all that a client may ask, in front of this model server.
fn configuration(model_server: &str, vendor: Vendor) -> String {
    let adapter = match vendor {
        Vendor::Ollama => "ollama",
        Vendor::Vllm => "vllm",
        Vendor::Tgi => "tgi",
    };
    format!(
        r#"
[server]
drain-timeout = "5s"

[[listener]]
listen = "127.0.0.1:0"

[upstream.main]
targets = ["{model_server}"]
adapter = "{adapter}"

[plugin.auth]
source = "builtin:auth"
[plugin.auth.config]
keys = [{{ name = "test", key = "{KEY}" }}]

[plugin.aggregate]
source = "builtin:aggregate"

[[route]]
path = "/v1/*"
pipeline = ["auth", "aggregate"]
upstream = "main"

[[route]]
path = "/v1/responses"
pipeline = ["responses", "auth", "aggregate"]
upstream = "main"

[[route]]
path = "/v1/responses/*"
pipeline = ["responses", "auth"]
upstream = "main"

[[route]]
path = "/v1/messages"
pipeline = ["anthropic", "auth", "aggregate"]
upstream = "main"

[[route]]
path = "/v1/messages/*"
pipeline = ["anthropic", "auth"]
upstream = "main"

[[route]]
path = "/api/*"
pipeline = ["ollama-api", "auth", "aggregate"]
upstream = "main"

[[route]]
path = "/anthropic/v1/*"
pipeline = ["anthropic", "auth"]
upstream = "main"
"#
    )
}

/// Whether all these facts were found; more may have been.
fn has(found: &Value, facts: &Value) -> bool {
    let Value::Object(facts) = facts else {
        return found == facts;
    };
    facts
        .iter()
        .all(|(name, fact)| found.get(name) == Some(fact))
}

/// What the client must find in each case, whatever its language.
fn expected(vendor: Vendor) -> Expected {
    let mut expected = texts();
    expected.extend(tools());
    expected.extend(failures());
    expected.extend(other_endpoints());
    // Where the vendors differ, the later ones win.
    expected.extend(match vendor {
        Vendor::Ollama => of_ollama(),
        Vendor::Vllm => of_vllm(),
        Vendor::Tgi => of_tgi(),
    });
    expected
}

/// What both languages of LangChain must find; the vendors do not differ.
fn of_langchain(_: Vendor) -> Expected {
    let mut expected = of_frameworks();
    expected.extend([
        (
            "tools_stream",
            json!({"calls": [["get_weather", {"city": "Oslo"}]], "invalid": 0}),
        ),
        ("structured_by_a_tool", json!({"is_parsed": true})),
    ]);
    expected
}

/// What the Vercel AI SDK must find; the vendors do not differ.
fn of_ai_sdk(_: Vendor) -> Expected {
    let mut expected = of_frameworks();
    expected.extend([
        (
            "tools_stream",
            json!({"calls": [["get_weather", {"city": "Oslo"}]], "tells_the_result": true}),
        ),
        ("structured_stream", json!({"is_parsed": true})),
        ("required_tool", json!({"names": ["get_weather"]})),
        ("reasoning_stream", json!({"reasons": true, "says": true})),
        (
            "failing",
            json!({"name": "AI_APICallError", "has_message": true}),
        ),
        (
            "failing_in_mid_stream",
            json!({"failed": true, "says_something_before": true}),
        ),
    ]);
    expected
}

fn of_frameworks() -> Expected {
    let said = json!({"content": "Hello big world", "finish_reason": "stop", "counts": true});
    BTreeMap::from([
        ("text", said.clone()),
        ("stream", said),
        (
            "tools",
            json!({"calls": [["get_weather", {"city": "Oslo"}]], "tells_the_result": true}),
        ),
        ("structured", json!({"is_parsed": true})),
    ])
}

fn texts() -> Expected {
    BTreeMap::from([
        (
            "chat",
            json!({"object": "chat.completion", "model": "demo", "role": "assistant", "content": "Hello big world",
                "finish_reason": "stop", "completion_tokens": 4, "usage_adds_up": true, "has_request_id": true}),
        ),
        (
            "chinese",
            json!({"answers_in_chinese": true, "reasons": true}),
        ),
        ("nulls", json!({"content": "ok"})),
        (
            "limits",
            json!({"finish_reason": "length", "completion_tokens": 5}),
        ),
        ("request_id", json!({"request_id": "req_of_the_client"})),
        (
            "stream",
            json!({"content": "Hello big world", "roles": ["assistant"], "finish_reasons": ["stop"], "ids": 1,
                "objects": ["chat.completion.chunk"], "has_usage": false}),
        ),
        (
            "stream_usage",
            json!({"chunks_with_usage": 1, "is_last": true, "choices": 0, "completion_tokens": 4, "usage_adds_up": true}),
        ),
        (
            "stream_helper",
            json!({"deltas": "Hello big world", "content": "Hello big world", "role": "assistant", "finish_reason": "stop"}),
        ),
        (
            "reasoning_stream",
            json!({"reasons": true, "says": true, "has_tags": false, "thinks_first": true, "begins_with_a_blank": false}),
        ),
        (
            "reasoning_off",
            json!({"reasons": false, "says": true, "has_tags": false}),
        ),
        (
            "json_schema",
            json!({"keys": ["age", "name"], "age_is_integer": true}),
        ),
        ("json_schema_stream", json!({"keys": ["age", "name"]})),
        ("parse_helper", json!({"is_parsed": true})),
        (
            "logprobs",
            json!({"is_of_the_content": true, "alternatives": [2]}),
        ),
        ("logprobs_stream", json!({"is_of_the_content": true})),
        (
            "stop_text",
            json!({"content": "one ", "finish_reason": "stop"}),
        ),
        (
            "stop_text_stream",
            json!({"content": "one ", "finish_reasons": ["stop"]}),
        ),
        (
            "many_tokens",
            json!({"finish_reason": "length", "completion_tokens": 1100, "words": 1100}),
        ),
        ("defaults_of_openai", json!({"content": "ok"})),
        ("greedy", json!({"content": "ok"})),
    ])
}

fn tools() -> Expected {
    BTreeMap::from([
        (
            "tools",
            json!({"finish_reason": "tool_calls", "calls": 1, "type": "function", "has_id": true, "name": "get_weather",
                "arguments": {"city": "Oslo"}, "tells_the_result": true}),
        ),
        (
            "tools_helper",
            json!({"finish_reason": "tool_calls", "calls": 1, "name": "get_weather", "arguments": {"city": "Oslo"}}),
        ),
        (
            "tools_parallel",
            json!({"names": ["get_weather", "send_mail"], "ids": 2, "finish_reason": "tool_calls"}),
        ),
        (
            "tools_stream",
            json!({"calls": [["get_weather", {"city": "Oslo"}], ["send_mail", {"subject": "a simulated value"}]],
                "is_well_begun": true, "finish_reasons": ["tool_calls"]}),
        ),
        (
            "tools_not_chosen",
            json!({"calls": 0, "says": true, "finish_reason": "stop"}),
        ),
        (
            "tools_not_chosen_stream",
            json!({"calls": 0, "says": true, "finish_reasons": ["stop"]}),
        ),
        (
            "tools_broken_stream",
            json!({"leaks": false, "finish_reasons": ["length"]}),
        ),
        (
            "tools_required",
            json!({"names": ["get_weather"], "finish_reason": "tool_calls"}),
        ),
        (
            "tools_named_stream",
            json!({"calls": ["send_mail"], "is_well_begun": true, "finish_reasons": ["tool_calls"]}),
        ),
    ])
}

fn refusal(class: &str, status: u16, param: &Value) -> Value {
    json!({"class": class, "status": status, "type": "invalid_request_error", "param": param,
        "has_message": true, "has_request_id": true})
}

fn with_code(mut refusal: Value, code: &str) -> Value {
    refusal["code"] = json!(code);
    refusal
}

fn failures() -> Expected {
    let unknown_model = with_code(
        refusal("NotFoundError", 404, &json!("model")),
        "model_not_found",
    );
    let failed = json!({"class": "InternalServerError", "type": "server_error", "has_message": true, "has_request_id": true});
    let busy = json!({"class": "RateLimitError", "status": 429, "has_message": true, "has_request_id": true});
    let broken_stream =
        json!({"class": "APIError", "has_message": true, "has_chunks_before": true});
    BTreeMap::from([
        (
            "wrong_key",
            with_code(
                refusal("AuthenticationError", 401, &Value::Null),
                "invalid_api_key",
            ),
        ),
        (
            "no_messages",
            refusal("BadRequestError", 400, &json!("messages")),
        ),
        ("two_choices", refusal("BadRequestError", 400, &json!("n"))),
        ("unknown_model", unknown_model.clone()),
        ("unknown_model_in_a_stream", unknown_model.clone()),
        ("unknown_model_retrieved", unknown_model),
        ("failed_model_server", failed.clone()),
        ("failed_before_a_stream", failed.clone()),
        ("page_of_a_proxy", failed.clone()),
        ("overload", busy.clone()),
        ("overload_in_a_stream", busy),
        ("broken_answer", failed),
        ("broken_stream", broken_stream.clone()),
        ("truncated_stream", broken_stream.clone()),
        ("stopped_server", broken_stream),
    ])
}

fn other_endpoints() -> Expected {
    BTreeMap::from([
        (
            "models",
            json!({"ids": ["demo", "embed", "qwen3:32b"], "retrieved": "qwen3:32b"}),
        ),
        (
            "completion",
            json!({"object": "text_completion", "model": "demo", "text": "Hello big world", "finish_reason": "stop",
                "usage_adds_up": true}),
        ),
        (
            "completion_stream",
            json!({"text": "Hello big world", "finish_reasons": ["stop"], "has_usage": false, "ids": 1}),
        ),
        (
            "completion_limit",
            json!({"finish_reasons": ["length"], "completion_tokens": 5}),
        ),
        (
            "embeddings",
            json!({"object": "list", "model": "embed", "indexes": [0, 1], "dimensions": [64],
                "is_the_same_as_floats": true, "counts": true}),
        ),
        ("embeddings_short", json!({"dimensions": 8})),
        (
            "embeddings_of_a_chat_model",
            refusal("BadRequestError", 400, &json!("model")),
        ),
        (
            "embeddings_of_nothing",
            refusal("BadRequestError", 400, &json!("input")),
        ),
    ])
}

fn of_ollama() -> Expected {
    let unreadable = json!({"class": "InternalServerError", "code": "upstream_invalid"});
    BTreeMap::from([
        // It has no answer then, only an error.
        ("tools_broken", unreadable.clone()),
        ("tools_broken_stream", unreadable),
        // The simulated one does not count the token that ends a turn.
        (
            "chat",
            json!({"object": "chat.completion", "model": "demo", "role": "assistant", "content": "Hello big world",
                "finish_reason": "stop", "completion_tokens": 3, "usage_adds_up": true, "has_request_id": true}),
        ),
        (
            "stream_usage",
            json!({"chunks_with_usage": 1, "is_last": true, "choices": 0, "completion_tokens": 3, "usage_adds_up": true}),
        ),
        (
            "tools_helper",
            json!({"finish_reason": "tool_calls", "calls": 1, "ids": 1, "name": "get_weather",
                "arguments": {"city": "Oslo"}}),
        ),
    ])
}

fn of_vllm() -> Expected {
    BTreeMap::from([
        // It has them.
        (
            "two_choices",
            json!({"class": null, "contents": ["hi", "hi"]}),
        ),
        // What there is of the call.
        (
            "tools_broken",
            json!({"calls": 1, "leaks": false, "finish_reason": "length"}),
        ),
        (
            "embeddings_of_a_chat_model",
            with_code(refusal("NotFoundError", 404, &Value::Null), "not_found"),
        ),
    ])
}

fn of_tgi() -> Expected {
    let no_embeddings = json!({"class": "BadRequestError", "code": "unsupported_value"});
    BTreeMap::from([
        ("no_messages", json!({"class": null})),
        // There is one model, and it serves every name.
        (
            "models",
            json!({"ids": ["qwen3:32b"], "retrieved": "qwen3:32b"}),
        ),
        ("unknown_model", json!({"class": null})),
        ("unknown_model_in_a_stream", json!({"class": null})),
        // It has no say in how much a model thinks.
        (
            "reasoning_off",
            json!({"reasons": true, "says": true, "has_tags": false}),
        ),
        (
            "tools_broken",
            json!({"calls": 0, "leaks": false, "finish_reason": "length"}),
        ),
        // Its grammar of tools has room for one call.
        (
            "tools_parallel",
            json!({"names": ["get_weather"], "ids": 1, "finish_reason": "tool_calls"}),
        ),
        (
            "tools_stream",
            json!({"calls": [["get_weather", {"city": "Oslo"}]], "is_well_begun": true,
                "finish_reasons": ["tool_calls"]}),
        ),
        ("embeddings", no_embeddings.clone()),
        ("embeddings_short", no_embeddings),
        (
            "embeddings_of_nothing",
            refusal("BadRequestError", 400, &json!("model")),
        ),
    ])
}
