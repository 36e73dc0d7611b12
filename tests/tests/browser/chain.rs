//! What goes through all three layers: the request id on the way down, and the end of an answer that nobody wants any more.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use sluicegate_tests::upstream::{Request, ollama};
use sluicegate_tests::web::TOKEN;
use sluicegate_tests::{Barrier, Client, Gateway, Script, Upstream, Web, eventually, within};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// The longest that a stop may take to the model server.
const STOP: Duration = Duration::from_secs(1);

/// A model server, the gateway in front of it, and the web gateway in front of that.
struct Chain {
    upstream: Upstream,
    gateway: Gateway,
    web: Web,
}

impl Chain {
    /// Starts all three; `script` is the answer to every chat.
    async fn start(script: Script) -> anyhow::Result<Self> {
        let models = json!({"models": [{"name": "qwen3:32b", "model": "qwen3:32b", "modified_at": "2026-08-01T10:00:00Z"}]});
        let upstream = Upstream::start(move |request| match request.path() {
            "/api/chat" => script.clone(),
            "/api/tags" => Script::json(200, &models),
            other => Script::json(404, &json!({"error": format!("no {other} here")})),
        })
        .await;
        let gateway = Gateway::before(&upstream).await;
        let web = Web::before(&gateway).await?;
        Ok(Self {
            upstream,
            gateway,
            web,
        })
    }

    /// The next request for a chat that the model server got.
    async fn chat(&self) -> std::sync::Arc<Request> {
        loop {
            let request = self.upstream.next_request().await;
            if request.path() == "/api/chat" {
                return request;
            }
        }
    }

    /// The proxy's account of an exchange, which is written when the exchange has ended.
    async fn exchange(&self, id: &str) -> Value {
        eventually("the exchange in the proxy's list", async || {
            let path = format!("/exchanges/{id}");
            let found = self.gateway.admin().get(&path).await;
            (found.status == 200).then(|| found.json())
        })
        .await
    }

    async fn new_session(&self) -> String {
        let made = self
            .web
            .client()
            .post("/api/v1/sessions", &json!({"model": "qwen3:32b"}))
            .await;
        assert_eq!(made.status, 201, "{}", made.text());
        let id = &made.json()["session"]["id"];
        id.as_str().expect("a session's id").to_owned()
    }

    async fn shutdown(self) {
        self.web.shutdown().await;
        self.gateway.shutdown().await;
    }
}

/// One tab's socket.
struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Connects and says hello.
    async fn open(web: &Web) -> anyhow::Result<Self> {
        let mut request = format!("ws://{}/ws", web.address()).into_client_request()?;
        let protocol = "sluice.v1".parse()?;
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let stream = TcpStream::connect(web.address()).await?;
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        let mut socket = Self(socket);
        socket
            .ask(
                "hello",
                &json!({"min": 1, "max": 1, "token": TOKEN, "client": {"name": "test", "version": "0"}}),
            )
            .await?;
        Ok(socket)
    }

    /// Sends a request and gives the payload of its answer.
    async fn ask(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let request = json!({"type": "req", "id": method, "method": method, "params": params});
        self.0
            .send(Message::Text(request.to_string().into()))
            .await?;
        let mut answer = self
            .frame(|frame| frame["type"] == "res" && frame["id"] == method)
            .await?;
        assert_eq!(answer["ok"], true, "{answer}");
        Ok(answer["payload"].take())
    }

    /// The next frame that fits; others are passed over.
    async fn frame(&mut self, fits: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        loop {
            let message = within("a frame", self.0.next()).await;
            let message = message.ok_or_else(|| anyhow::anyhow!("the socket was closed"))??;
            if let Message::Text(text) = message {
                let frame: Value = serde_json::from_str(&text)?;
                if fits(&frame) {
                    return Ok(frame);
                }
            }
        }
    }
}

/// An answer that begins, and goes on for as long as somebody listens.
fn endless(barrier: &Barrier) -> Script {
    Script::ndjson_head()
        .chunk(format!("{}\n", ollama::content("It begins")))
        .wait(barrier)
        .hang()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_id_goes_from_the_socket_to_the_model_server_and_back() -> anyhow::Result<()> {
    let chain = Chain::start(Script::ndjson(&ollama::stream(&["Hello", " 你好"]))).await?;
    let mut socket = Socket::open(&chain.web).await?;
    let session = chain.new_session().await;
    socket.ask("sub", &json!({"session": session})).await?;

    let send = json!({"session": session, "cid": "c1", "text": "Hi?", "when": "queue"});
    let sent = socket.ask("chat.send", &send).await?;

    let id = sent["request_id"].as_str().expect("a request id");
    let generated = id.strip_prefix("req_").expect("the prefix of request ids");
    assert_eq!(generated.len(), 16, "{id}");
    let ended = socket
        .frame(|frame| frame["ev"] == "run.ended" && frame["data"]["run"] == sent["run"])
        .await?;
    assert_eq!(ended["data"]["request_id"], id);
    assert_eq!(ended["data"]["finish"], "stop");
    assert_eq!(chain.chat().await.header("x-request-id"), Some(id));
    let exchange = chain.exchange(id).await;
    assert_eq!(exchange["id"], id);
    assert_eq!(exchange["status"], 200);
    // The page shows the same to its user.
    let card = chain
        .web
        .client()
        .get(&format!("/api/v1/debug?args={id}"))
        .await;
    assert_eq!(card.status, 200, "{}", card.text());
    assert!(card.text().contains(id));
    chain.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_id_goes_from_the_rest_api_to_the_model_server_and_back() -> anyhow::Result<()>
{
    let chain = Chain::start(Script::ndjson(&ollama::stream(&["Hello", " 你好"]))).await?;
    let path = format!("/api/v1/sessions/{}/messages", chain.new_session().await);

    let answered = chain
        .web
        .client()
        .post(&path, &json!({"text": "Hi?"}))
        .await;

    assert_eq!(answered.status, 200, "{}", answered.text());
    let answered = answered.json();
    assert_eq!(answered["answer"]["text"], "Hello 你好");
    let id = answered["request_id"].as_str().expect("a request id");
    assert_eq!(chain.chat().await.header("x-request-id"), Some(id));
    assert_eq!(chain.exchange(id).await["id"], id);
    chain.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_killed_ends_no_answer_and_a_stop_reaches_the_model_server_within_a_second()
-> anyhow::Result<()> {
    let barrier = Barrier::new();
    let chain = Chain::start(endless(&barrier)).await?;
    let session = chain.new_session().await;
    let path = format!("/api/v1/sessions/{session}/messages");
    let post = json!({"text": "Count.", "stream": true}).to_string();
    let mut stream = chain
        .web
        .client()
        .open(hyper::Method::POST, &path, post)
        .await;
    let request = chain.chat().await;
    let run = loop {
        let frame = stream.event().await.expect("the run before its end").json();
        if frame["type"] == "delta" {
            break frame["run"].as_str().expect("a run's id").to_owned();
        }
    };

    stream.hang_up().await;
    // The run belongs to the session: the model server goes on, and the run can be looked at.
    let run_path = format!("/api/v1/runs/{run}");
    let running = chain.web.client().get(&run_path).await.json();
    assert_eq!(running["id"], run);
    assert_eq!(running["finish"], Value::Null, "{running}");
    assert!(!request.was_abandoned());

    let stopped = Instant::now();
    let answer = chain
        .web
        .client()
        .post(&format!("{run_path}/stop"), &json!({}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let after = request.disconnected().await - stopped;
    assert!(after < STOP, "the model server was left after {after:?}");
    let finished = eventually("the end of the run", async || {
        let run = chain.web.client().get(&run_path).await.json();
        (!run["finish"].is_null()).then_some(run)
    })
    .await;
    assert_eq!(finished["finish"], "stopped", "{finished}");
    let exchange = chain
        .exchange(request.header("x-request-id").expect("a request id"))
        .await;
    assert_eq!(exchange["cancelled"], true, "{exchange}");
    chain.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_a_login_gets_its_files_and_nothing_else() -> anyhow::Result<()> {
    let chain = Chain::start(Script::silent()).await?;
    let stranger = Client::new(chain.web.address());
    let index = stranger.get("/").await;
    assert_eq!(index.status, 200);
    assert!(index.text().contains("<!doctype html>"));
    for path in ["sessions", "me", "models", "debug", "usage", "export"] {
        let answer = stranger.get(&format!("/api/v1/{path}")).await;
        assert_eq!(answer.status, 401, "{path}");
    }
    chain.shutdown().await;
    Ok(())
}
