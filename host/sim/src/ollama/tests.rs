//! The server over real connections, at full speed.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::testing::{DEADLINE, Demo, Response, parse};
use crate::{Pace, Quirks, serve_with};

impl Response {
    fn lines(&self) -> Vec<Value> {
        self.body
            .lines()
            .map(|line| serde_json::from_str(line).expect("a JSON line"))
            .collect()
    }

    fn text(&self) -> String {
        self.lines()
            .iter()
            .filter_map(|line| line["message"]["content"].as_str())
            .collect()
    }
}

async fn demo() -> Demo {
    demo_at(Pace::FULL_SPEED).await
}

async fn demo_at(pace: Pace) -> Demo {
    demo_with(pace, Quirks::default()).await
}

async fn demo_with(pace: Pace, quirks: Quirks) -> Demo {
    Demo::of(move |listener| serve_with(listener, pace, quirks)).await
}

impl Demo {
    async fn chat(&self, message: &str, more: Value) -> Response {
        let mut body = json!({"model": "demo", "messages": [{"role": "user", "content": message}]});
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        self.post("/api/chat", &body.to_string()).await
    }
}

/// A chat whose answer is read as far as the test wants.
struct Asked(TcpStream);

impl Demo {
    /// Asks for a long answer.
    async fn ask(&self) -> Asked {
        let body = json!({"model": "demo", "messages": [{"role": "user", "content": "/long 50"}]})
            .to_string();
        let head = format!(
            "POST /api/chat HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut socket = TcpStream::connect(self.address)
            .await
            .expect("a connection");
        let request = head + &body;
        socket.write_all(request.as_bytes()).await.expect("a write");
        Asked(socket)
    }

    async fn has_loaded(&self, name: &str) -> bool {
        let loaded = self.get("/api/ps").await.json();
        let models = loaded["models"].as_array().expect("a list");
        models.iter().any(|model| model["name"] == name)
    }

    async fn unload(&self) {
        let unloaded = self
            .post(
                "/api/chat",
                r#"{"model": "demo", "messages": [], "keep_alive": 0}"#,
            )
            .await;
        assert_eq!(unloaded.json()["done_reason"], "unload");
    }
}

impl Asked {
    /// Reads until there is a line, and leaves.
    async fn leave_after_a_line(mut self) {
        let mut seen = Vec::new();
        let line = async {
            while !String::from_utf8_lossy(&seen).contains("\"done\":false") {
                assert_ne!(self.0.read_buf(&mut seen).await.expect("a read"), 0);
            }
        };
        tokio::time::timeout(DEADLINE, line)
            .await
            .expect("a line in time");
    }

    /// Whether nothing comes for a while.
    async fn is_silent(&mut self) -> bool {
        let mut bytes = [0; 1];
        let come = tokio::time::timeout(Duration::from_millis(200), self.0.peek(&mut bytes));
        come.await.is_err()
    }

    async fn rest(mut self) -> Response {
        let mut bytes = Vec::new();
        let read = self.0.read_to_end(&mut bytes);
        let read = tokio::time::timeout(DEADLINE, read).await;
        read.expect("an end in time").expect("a read");
        parse(&bytes)
    }
}

#[tokio::test]
async fn a_stream_has_lines_a_last_line_and_figures() {
    let demo = demo().await;
    let response = demo.chat("/echo Hello big world", json!({})).await;
    assert_eq!(response.status, 200);
    assert!(response.head.contains("content-type: application/x-ndjson"));
    assert!(response.complete);
    let lines = response.lines();
    assert_eq!(lines.len(), 4);
    assert_eq!(
        lines[0]["message"],
        json!({"role": "assistant", "content": "Hello"})
    );
    assert_eq!(lines[0]["done"], false);
    assert_eq!(lines[3]["done_reason"], "stop");
    assert_eq!(lines[3]["eval_count"], 3);
    assert!(
        lines[3]["prompt_eval_count"]
            .as_u64()
            .is_some_and(|count| count > 0)
    );
    assert!(lines[3]["total_duration"].is_u64());
}

#[tokio::test]
async fn without_a_stream_there_is_one_document() {
    let demo = demo().await;
    let more = json!({"stream": false, "model": "qwen3:32b", "logprobs": true, "top_logprobs": 1});
    let response = demo.chat("你好", more).await;
    assert!(
        response
            .head
            .contains("content-type: application/json; charset=utf-8")
    );
    let whole = response.json();
    assert_eq!(
        (&whole["model"], &whole["done"]),
        (&json!("qwen3:32b"), &json!(true))
    );
    assert!(
        whole["message"]["content"]
            .as_str()
            .is_some_and(|text| text.contains("模拟"))
    );
    assert!(whole["message"]["thinking"].is_string());
    assert_eq!(
        whole["logprobs"][0]["top_logprobs"][0]["token"],
        whole["logprobs"][0]["token"]
    );
}

#[tokio::test]
async fn tool_calls_come_complete_in_a_line_of_their_own() {
    let demo = demo().await;
    let tools = json!([{"type": "function", "function": {"name": "get_time", "parameters": {}}}]);
    for stream in [true, false] {
        let more = json!({"tools": tools, "stream": stream});
        let response = demo.chat("What time is it?", more).await;
        let call = response.lines()[0]["message"]["tool_calls"][0].clone();
        assert_eq!(
            call["function"],
            json!({"index": 0, "name": "get_time", "arguments": {}})
        );
    }
}

#[tokio::test]
async fn failures_on_request_fail_as_asked() {
    let demo = demo().await;
    let error = demo.chat("/error 503", json!({})).await;
    assert_eq!(
        (error.status, error.json()["error"].is_string()),
        (503, true)
    );
    let html = demo.chat("/error html", json!({})).await;
    assert!(html.status == 502 && html.body.starts_with("<html>"));
    let empty = demo.chat("/error empty", json!({})).await;
    assert_eq!((empty.status, empty.body.as_str()), (403, ""));
    let mid = demo.chat("/error mid", json!({})).await;
    let lines = mid.lines();
    assert!(mid.complete && lines.len() > 5);
    assert!(lines.last().is_some_and(|line| line["error"].is_string()));
    let truncated = demo.chat("/error truncate", json!({})).await;
    assert!(truncated.complete && truncated.lines().iter().all(|line| line["done"] == false));
    let reset = demo.chat("/error reset", json!({})).await;
    assert!(!reset.complete && !reset.text().is_empty());
}

#[tokio::test]
async fn failures_without_a_stream_fail_too() {
    let demo = demo().await;
    let no_stream = json!({"stream": false});
    let mid = demo.chat("/error mid", no_stream.clone()).await;
    assert_eq!((mid.status, mid.json()["error"].is_string()), (500, true));
    let truncated = demo.chat("/error truncate", no_stream.clone()).await;
    assert_eq!(truncated.json()["done"], false);
    let reset = demo.chat("/error reset", no_stream).await;
    assert_eq!((reset.status, reset.head.as_str()), (0, ""));
}

#[tokio::test]
async fn a_stalled_stream_sends_its_lines_and_then_nothing() {
    let demo = demo().await;
    let body = json!({"model": "demo", "messages": [{"role": "user", "content": "/error stall"}]})
        .to_string();
    let mut socket = TcpStream::connect(demo.address)
        .await
        .expect("a connection");
    let head = format!(
        "POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket
        .write_all((head + &body).as_bytes())
        .await
        .expect("a write");
    let mut seen = Vec::new();
    let lines = async {
        // Twelve lines, each with the braces of the line and of its message.
        while String::from_utf8_lossy(&seen).matches('{').count() < 24 {
            assert_ne!(socket.read_buf(&mut seen).await.expect("a read"), 0);
        }
    };
    tokio::time::timeout(DEADLINE, lines)
        .await
        .expect("lines in time");
    // The other end is open and silent: a read does not return.
    let more = tokio::time::timeout(Duration::from_millis(100), socket.read_u8()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn the_small_documents_are_those_of_ollama() {
    let demo = demo().await;
    assert_eq!(demo.get("/").await.body, "Ollama is running");
    assert!(demo.get("/api/version").await.json()["version"].is_string());
    let tags = demo.get("/api/tags").await.json();
    let names: Vec<_> = tags["models"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|m| &m["name"])
        .collect();
    assert_eq!(names, ["demo", "qwen3:32b", "embed"]);
    let head = demo.send("HEAD /api/tags", "host: localhost\r\n", "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(!head.head.contains("content-length: 0"));
    let show = demo
        .post("/api/show", r#"{"name": "qwen3:32b"}"#)
        .await
        .json();
    assert_eq!(show["capabilities"][2], "thinking");
    for (body, status) in [
        ("", 400),
        ("{}", 400),
        (r#"{"model": "x"}"#, 404),
        (r#"{"model": 1}"#, 400),
    ] {
        assert_eq!(demo.post("/api/show", body).await.status, status, "{body}");
    }
}

#[tokio::test]
async fn used_models_are_listed_until_they_are_unloaded() {
    let demo = demo().await;
    let names = async || {
        let ps = demo.get("/api/ps").await.json();
        let models = ps["models"].as_array().expect("a list").clone();
        models
            .iter()
            .map(|model| model["name"].clone())
            .collect::<Vec<_>>()
    };
    assert!(names().await.is_empty());
    demo.chat("hi", json!({})).await;
    assert_eq!(names().await, ["demo"]);
    let unloaded = demo
        .post("/api/chat", r#"{"model": "demo", "keep_alive": 0}"#)
        .await;
    assert_eq!(unloaded.json()["done_reason"], "unload");
    assert!(names().await.is_empty());
    let loaded = demo
        .post("/api/chat", r#"{"model": "demo", "messages": []}"#)
        .await;
    assert_eq!(loaded.json()["done_reason"], "load");
    assert_eq!(names().await, ["demo"]);
}

#[tokio::test]
async fn refusals_have_the_form_of_ollama() {
    let demo = demo().await;
    for (body, status, text) in [
        ("", 400, "missing request body"),
        ("{", 400, "unexpected EOF"),
        ("{}", 400, "model is required"),
        (r#"{"model": "gpt"}"#, 404, "model 'gpt' not found"),
    ] {
        let response = demo.post("/api/chat", body).await;
        assert_eq!(
            (response.status, response.json()),
            (status, json!({ "error": text }))
        );
        assert!(response.head.contains("application/json; charset=utf-8"));
    }
    let unknown = demo.get("/v1/models").await;
    assert_eq!(
        (unknown.status, unknown.body.as_str()),
        (404, "404 page not found")
    );
    let wrong = demo.get("/api/chat").await;
    assert_eq!(
        (wrong.status, wrong.body.as_str()),
        (405, "405 method not allowed")
    );
    assert_eq!(demo.post("/api/tags", "").await.status, 405);
}

#[tokio::test]
async fn foreign_hosts_and_origins_get_an_empty_403() {
    let demo = demo().await;
    for fields in [
        "host: gateway.example.com\r\n",
        "host: localhost\r\norigin: https://example.com\r\n",
        "host: \u{e9}\r\n",
    ] {
        let response = demo.send("GET /api/tags", fields, "").await;
        assert_eq!(
            (response.status, response.body.as_str()),
            (403, ""),
            "{fields}"
        );
    }
    let local = demo
        .send(
            "GET /api/tags",
            "host: localhost\r\norigin: http://localhost:3000\r\n",
            "",
        )
        .await;
    assert_eq!(local.status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_pace_is_kept() {
    // The clock is paused and jumps from timer to timer, so that this measures the waits alone.
    let demo = demo_at(Pace::HUMAN).await;
    let started = tokio::time::Instant::now();
    demo.chat("/long 31", json!({})).await;
    let first = started.elapsed();
    assert!(
        first >= Pace::HUMAN.load + Pace::HUMAN.first_token + Pace::HUMAN.token * 30,
        "{first:?}"
    );
    assert!(first < Duration::from_secs(3), "{first:?}");
    let started = tokio::time::Instant::now();
    demo.chat("/long 31", json!({"stream": false})).await;
    assert!(
        started.elapsed() < first,
        "the second time the model is in memory"
    );
    assert!(started.elapsed() > Pace::HUMAN.token * 30);
}

#[tokio::test]
async fn dropping_the_server_closes_its_connections() {
    let demo = demo().await;
    let mut socket = TcpStream::connect(demo.address)
        .await
        .expect("a connection");
    socket
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .expect("a write");
    assert!(socket.read_u8().await.is_ok());
    drop(demo);
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the connection must end");
}

/// Slow enough for a client to leave between two lines.
const STEPS: Pace = Pace {
    load: Duration::ZERO,
    first_token: Duration::ZERO,
    token: Duration::from_millis(5),
};

fn leaking(every: u32) -> Quirks {
    Quirks {
        leak_every: std::num::NonZeroU32::new(every),
    }
}

#[tokio::test]
async fn a_client_that_leaves_can_freeze_the_model_until_it_is_unloaded() {
    let demo = demo_with(STEPS, leaking(2)).await;
    demo.ask().await.leave_after_a_line().await;
    let response = demo.ask().await.rest().await;
    assert_eq!(response.lines().len(), 51, "the first one did no harm");
    demo.ask().await.leave_after_a_line().await;

    let mut waiting = demo.ask().await;
    assert!(waiting.is_silent().await);
    assert_eq!(demo.get("/api/version").await.status, 200);
    assert!(demo.has_loaded("demo").await);
    let other = demo.chat("/echo hi", json!({"model": "qwen3:32b"})).await;
    assert_eq!(other.text(), "hi", "another model has its own slot");

    // An unload does nothing while somebody waits.
    demo.unload().await;
    assert!(demo.has_loaded("demo").await && waiting.is_silent().await);
    drop(waiting);
    let freed = async {
        while demo.has_loaded("demo").await {
            demo.unload().await;
        }
    };
    tokio::time::timeout(DEADLINE, freed)
        .await
        .expect("it is unloaded once nobody waits");
    let response = demo.ask().await.rest().await;
    assert_eq!(response.lines().len(), 51);
}

#[tokio::test]
async fn one_slot_serves_one_request_after_the_other() {
    let demo = demo_with(STEPS, leaking(1)).await;
    let (first, second) = (demo.ask().await, demo.ask().await);
    for asked in [first, second] {
        assert_eq!(asked.rest().await.lines().len(), 51);
    }
    // A client that leaves while it waits does no harm.
    let (first, second) = (demo.ask().await, demo.ask().await);
    drop(second);
    assert_eq!(first.rest().await.lines().len(), 51);
    assert_eq!(demo.ask().await.rest().await.lines().len(), 51);
}

/// What a recording of a real server looks like: names of members and kinds of values, not the values.
#[tokio::test]
async fn every_response_has_the_form_of_the_real_one() {
    demo()
        .await
        .is_like(include_str!("tests/recorded.json"))
        .await;
}

#[tokio::test]
async fn a_completion_says_what_the_prompt_asks_for() {
    let demo = demo().await;
    let ask = async |body: Value| demo.post("/api/generate", &body.to_string()).await;
    let whole = json!({"model": "demo", "prompt": "/echo a b", "raw": true, "stream": false});
    assert_eq!(ask(whole).await.json()["response"], "a b");
    let stream = ask(json!({"model": "qwen3:32b", "prompt": "Hello", "raw": true}))
        .await
        .lines();
    let said: String = stream
        .iter()
        .filter_map(|line| line["response"].as_str())
        .collect();
    assert!(said.starts_with("<think>\n") && said.contains("</think>"));
    assert_eq!(stream.last().expect("a line")["done_reason"], "stop");
    let limited = json!({"model": "demo", "prompt": "/long 9", "stream": false, "options": {"num_predict": 4}});
    assert_eq!(ask(limited).await.json()["done_reason"], "length");
    let between =
        |model: &str| json!({"model": model, "prompt": "/echo a", "suffix": "b", "stream": false});
    assert_eq!(ask(between("demo")).await.json()["response"], "a");
    assert_eq!(ask(between("qwen3:32b")).await.status, 400);
    assert_eq!(
        ask(json!({"model": "embed", "prompt": "a"})).await.status,
        400
    );
    let failing = json!({"model": "demo", "prompt": "/error mid", "raw": true, "stream": false});
    assert_eq!(ask(failing).await.status, 500);
}

#[tokio::test]
async fn embeddings_come_from_both_apis_and_from_one_model() {
    let demo = demo().await;
    let native = async |body: Value| demo.post("/api/embed", &body.to_string()).await;
    let two = native(json!({"model": "embed", "input": ["a", "b"], "dimensions": 4}))
        .await
        .json();
    let lengths: Vec<_> = two["embeddings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|vector| vector.as_array().map(Vec::len))
        .collect();
    assert_eq!(lengths, [Some(4), Some(4)]);
    for empty in [json!(""), json!([])] {
        let none = native(json!({"model": "embed", "input": empty})).await;
        assert_eq!((none.status, &none.json()["embeddings"]), (200, &json!([])));
    }
    assert_eq!(
        native(json!({"model": "demo", "input": "a"})).await.status,
        501
    );
    let openai = async |body: Value| demo.post("/v1/embeddings", &body.to_string()).await;
    let base64 = openai(
        json!({"model": "embed", "input": "a", "encoding_format": "base64", "dimensions": 4}),
    )
    .await;
    // Four numbers of four bytes.
    assert_eq!(
        base64.json()["data"][0]["embedding"].as_str().map(str::len),
        Some(24)
    );
    let none = openai(json!({"model": "embed", "input": ""})).await;
    assert_eq!((none.status, &none.json()["data"]), (200, &json!([])));
    assert_eq!(
        openai(json!({"model": "embed", "input": []})).await.status,
        400
    );
    assert_eq!(
        openai(json!({"model": "demo", "input": "a"})).await.status,
        501
    );
    assert_eq!(
        openai(json!({"model": "nope", "input": "a"})).await.status,
        404
    );
    let chat = json!({"model": "embed", "messages": [{"role": "user", "content": "a"}]});
    assert_eq!(demo.post("/api/chat", &chat.to_string()).await.status, 400);
}

#[tokio::test]
async fn a_schema_is_followed_in_the_order_of_the_alphabet_and_not_beside_tools() {
    let demo = demo().await;
    let schema = json!({"type": "object", "properties": {"name": {"const": "n"}, "arguments": {"const": "a"}},
        "required": ["name", "arguments"]});
    let alone = demo.chat("Hello", json!({"format": schema})).await;
    assert_eq!(alone.text(), r#"{"arguments":"a","name":"n"}"#);
    let tool = json!({"type": "function", "function": {"name": "x", "parameters": {}}});
    let beside = demo
        .chat("Hello", json!({"format": schema, "tools": [tool]}))
        .await;
    assert_eq!((beside.status, beside.text().as_str()), (200, ""));
    let logprobs = demo
        .chat("Hello", json!({"logprobs": true, "tools": [tool]}))
        .await;
    assert_eq!(logprobs.status, 400);
}

#[tokio::test]
async fn log_probabilities_tell_of_thinking_and_its_tags() {
    let demo = demo().await;
    let asked = json!({"model": "qwen3:32b", "logprobs": true});
    let lines = demo.chat("Hello", asked).await.lines();
    let first = &lines[0];
    assert_eq!(first["logprobs"][0]["token"], "<think>");
    assert_eq!(
        first["message"],
        json!({"role": "assistant", "content": ""})
    );
    let tokens = |lines: &[Value]| -> Vec<Value> {
        let lists = lines.iter().filter_map(|line| line["logprobs"].as_array());
        lists
            .flatten()
            .map(|entry| entry["token"].clone())
            .collect()
    };
    let streamed = tokens(&lines);
    assert_eq!(
        streamed
            .iter()
            .filter(|token| **token == "</think>")
            .count(),
        1
    );
    let asked = json!({"model": "qwen3:32b", "logprobs": true, "stream": false});
    let whole = demo.chat("Hello", asked).await.json();
    assert_eq!(tokens(&[whole]), streamed);
}
