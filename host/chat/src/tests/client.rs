//! A client that follows the protocol to the letter and fails the test at the first frame that does not.

use std::collections::HashMap;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::TIMEOUT;

pub(super) type Ws = WebSocketStream<TcpStream>;

/// One tab.
pub(super) struct Client {
    host: String,
    token: String,
    pub ws: Ws,
    next: u64,
    /// The payload of hello.
    pub welcome: Value,
    pub views: HashMap<String, View>,
    /// Frames without a position, as they came.
    pub notices: Vec<Value>,
    /// Whether to watch anew when an event or delta does not fit. Off: that fails the test.
    pub lenient: bool,
}

/// What a tab knows of a session.
#[derive(Debug, Default, Clone)]
pub(super) struct View {
    pub seq: u64,
    pub texts: HashMap<String, String>,
    pub reasoning: HashMap<String, String>,
    /// Live runs: their message and position.
    pub runs: HashMap<String, (String, usize, usize)>,
    /// `data` of `run.ended`, by run.
    pub ended: HashMap<String, Value>,
    /// All events, in order.
    pub events: Vec<Value>,
    /// The last snapshot.
    pub snapshot: Value,
}

/// The request of an upgrade.
pub(super) fn upgrade(host: &str, fields: &[(&'static str, &str)]) -> Request {
    let mut request = format!("ws://{host}/ws")
        .into_client_request()
        .expect("a request");
    request.headers_mut().insert(
        "sec-websocket-protocol",
        "sluice.v1".parse().expect("a value"),
    );
    for (name, value) in fields {
        request
            .headers_mut()
            .insert(*name, value.parse().expect("a value"));
    }
    request
}

/// Opens a socket; returns the HTTP status if it is refused.
pub(super) async fn open(host: &str, fields: &[(&'static str, &str)]) -> Result<Ws, u16> {
    let stream = TcpStream::connect(host).await.expect("the gateway listens");
    match tokio_tungstenite::client_async(upgrade(host, fields), stream).await {
        Ok((ws, _)) => Ok(ws),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(other) => panic!("no upgrade: {other}"),
    }
}

/// Sends a request frame.
pub(super) async fn request(ws: &mut Ws, id: &str, method: &str, params: &Value) {
    let frame = json!({ "type": "req", "id": id, "method": method, "params": params });
    ws.send(Message::Text(frame.to_string().into()))
        .await
        .expect("the socket takes a frame");
}

/// The next frame, or the close code.
pub(super) async fn frame(ws: &mut Ws) -> Result<Value, u16> {
    loop {
        let message = tokio::time::timeout(TIMEOUT, ws.next())
            .await
            .expect("a frame comes in time");
        match message {
            Some(Ok(Message::Text(text))) => {
                return Ok(serde_json::from_str(&text).expect("frames are JSON"));
            }
            Some(Ok(Message::Close(Some(close)))) => return Err(close.code.into()),
            Some(Ok(Message::Close(None)) | Err(_)) | None => return Err(1006),
            Some(Ok(_)) => {}
        }
    }
}

/// The close code, whatever comes before it.
pub(super) async fn closed(ws: &mut Ws) -> u16 {
    loop {
        if let Err(code) = frame(ws).await {
            return code;
        }
    }
}

impl Client {
    pub(super) async fn connect(host: &str, token: &str) -> Self {
        let (ws, welcome) = Self::hello(host, token).await;
        Self {
            host: host.to_owned(),
            token: token.to_owned(),
            ws,
            next: 1,
            welcome,
            views: HashMap::new(),
            notices: Vec::new(),
            lenient: false,
        }
    }

    async fn hello(host: &str, token: &str) -> (Ws, Value) {
        let mut ws = open(host, &[]).await.expect("an upgrade");
        request(
            &mut ws,
            "hello",
            "hello",
            &json!({ "min": 1, "max": 1, "token": token }),
        )
        .await;
        let answer = frame(&mut ws).await.expect("an answer");
        assert_eq!(answer["ok"], true, "{answer}");
        (ws, answer["payload"].clone())
    }

    /// Cuts the connection without a word and comes back.
    pub(super) async fn reconnect(&mut self) {
        let (ws, welcome) = Self::hello(&self.host.clone(), &self.token.clone()).await;
        self.ws = ws;
        self.welcome = welcome;
        for session in self.views.keys().cloned().collect::<Vec<_>>() {
            self.resume(&session).await;
        }
    }

    /// A request; everything that comes before its answer is applied.
    pub(super) async fn call(&mut self, method: &str, params: &Value) -> Result<Value, Value> {
        let id = self.begin(method, params).await;
        self.answer(&id).await
    }

    /// Sends a request and does not wait.
    pub(super) async fn begin(&mut self, method: &str, params: &Value) -> String {
        let id = self.next.to_string();
        self.next += 1;
        request(&mut self.ws, &id, method, params).await;
        id
    }

    pub(super) async fn answer(&mut self, id: &str) -> Result<Value, Value> {
        loop {
            let frame = self.next_frame().await;
            if frame["type"] == "res" && frame["id"] == id {
                return if frame["ok"] == true {
                    Ok(frame["payload"].clone())
                } else {
                    Err(frame["error"].clone())
                };
            }
        }
    }

    /// A request that must succeed.
    pub(super) async fn ok(&mut self, method: &str, params: &Value) -> Value {
        self.call(method, params)
            .await
            .unwrap_or_else(|error| panic!("{method} {params}: {error}"))
    }

    /// A request that must fail; returns the error.
    pub(super) async fn fails(&mut self, method: &str, params: &Value) -> Value {
        match self.call(method, params).await {
            Ok(payload) => panic!("{method} {params} should fail, but: {payload}"),
            Err(error) => error,
        }
    }

    /// Sends a message; returns the payload.
    pub(super) async fn send(&mut self, session: Option<&str>, text: &str) -> Value {
        self.ok("chat.send", &super::message(session, text)).await
    }

    /// Watches a session from its snapshot.
    pub(super) async fn sub(&mut self, session: &str) -> Value {
        self.watch(session, &json!({ "session": session })).await
    }

    /// Watches a session from where this client is.
    pub(super) async fn resume(&mut self, session: &str) -> Value {
        let view = &self.views[session];
        let runs: serde_json::Map<String, Value> = view
            .runs
            .iter()
            .map(|(run, (_, text, reasoning))| {
                (run.clone(), json!({ "text": text, "reasoning": reasoning }))
            })
            .collect();
        let epoch = self.welcome["epoch"].clone();
        let params = json!({ "session": session, "epoch": epoch, "after": view.seq, "runs": runs });
        self.watch(session, &params).await
    }

    async fn watch(&mut self, session: &str, params: &Value) -> Value {
        let id = self.begin("sub", params).await;
        let payload = loop {
            // Before the answer frames of the old position may still come; after it none may.
            let frame = self.read().await;
            if frame["type"] == "res" && frame["id"] == *id {
                assert_eq!(frame["ok"], true, "{frame}");
                break frame["payload"].clone();
            }
            self.apply(&frame);
        };
        self.take(session, &payload);
        payload
    }

    fn take(&mut self, session: &str, payload: &Value) {
        let view = self.views.entry(session.to_owned()).or_default();
        if payload["mode"] == "snapshot" {
            *view = View {
                events: std::mem::take(&mut view.events),
                snapshot: payload.clone(),
                ..View::default()
            };
            for message in payload["messages"].as_array().expect("messages") {
                view.put(message);
            }
        } else {
            for event in payload["events"].as_array().expect("events") {
                // What came before the answer is in it again.
                if event["seq"].as_u64() > Some(view.seq) {
                    view.apply(event);
                }
            }
            for message in payload["messages"].as_array().expect("messages") {
                view.put(message);
            }
        }
        view.seq = payload["seq"].as_u64().expect("a position");
        view.runs.clear();
        let runs = payload["runs"].as_array().expect("runs").clone();
        for state in runs {
            let message = text(&state["message"]);
            if state["reset"] == true {
                view.texts.insert(message.clone(), String::new());
                view.reasoning.insert(message.clone(), String::new());
            }
            let (at, thought) = position(&state["to"]);
            assert_eq!(
                view.texts.get(&message).map_or(0, String::len),
                at,
                "the text of a snapshot ends at its position"
            );
            view.runs
                .insert(text(&state["run"]), (message, at, thought));
        }
    }

    /// The next frame, applied.
    pub(super) async fn next_frame(&mut self) -> Value {
        let frame = self.read().await;
        self.apply(&frame);
        frame
    }

    async fn read(&mut self) -> Value {
        frame(&mut self.ws)
            .await
            .unwrap_or_else(|code| panic!("the socket was closed: {code}"))
    }

    fn apply(&mut self, frame: &Value) {
        match frame["type"].as_str().expect("frames have a type") {
            "event" => {
                if let Some(view) = self
                    .views
                    .get_mut(frame["session"].as_str().expect("a session"))
                {
                    view.apply(frame);
                }
            }
            "delta" => {
                let run = text(&frame["run"]);
                match self
                    .views
                    .values_mut()
                    .find(|view| view.runs.contains_key(&run))
                {
                    Some(view) => view.delta(frame),
                    None => assert!(self.lenient, "a delta of an unknown run: {frame}"),
                }
            }
            "res" => {}
            _ => self.notices.push(frame.clone()),
        }
    }

    /// Waits for the end of a run; returns its data.
    pub(super) async fn ended(&mut self, session: &str, run: &str) -> Value {
        loop {
            if let Some(end) = self.views[session].ended.get(run) {
                return end.clone();
            }
            self.next_frame().await;
        }
    }

    /// Waits until a message's text is that.
    pub(super) async fn shows(&mut self, session: &str, message: &str, wanted: &str) {
        while self.views[session].texts.get(message).map(String::as_str) != Some(wanted) {
            self.next_frame().await;
        }
    }

    /// Waits for a notice.
    pub(super) async fn notice(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(at) = self.notices.iter().position(&fits) {
                return self.notices.remove(at);
            }
            self.next_frame().await;
        }
    }

    pub(super) fn view(&self, session: &str) -> &View {
        &self.views[session]
    }
}

impl View {
    fn put(&mut self, message: &Value) {
        let id = text(&message["id"]);
        self.texts.insert(id.clone(), text(&message["text"]));
        self.reasoning.insert(
            id,
            message["reasoning"].as_str().unwrap_or_default().to_owned(),
        );
    }

    fn apply(&mut self, event: &Value) {
        let seq = event["seq"].as_u64().expect("a position");
        assert_eq!(seq, self.seq + 1, "positions have no holes: {event}");
        self.seq = seq;
        let data = &event["data"];
        match event["ev"].as_str().expect("a name") {
            "message.added" | "message.updated" => self.put(&data["message"]),
            "run.queued" | "run.started" => {
                let (run, message) = (text(&data["run"]), text(&data["message"]));
                if !self.runs.contains_key(&run) {
                    let (at, thought) = position(&data["base"]);
                    let cut = |texts: &mut HashMap<String, String>, at| {
                        texts.entry(message.clone()).or_default().truncate(at)
                    };
                    cut(&mut self.texts, at);
                    cut(&mut self.reasoning, thought);
                    self.runs.insert(run, (message, at, thought));
                }
            }
            "run.ended" => {
                let run = text(&data["run"]);
                if let Some((_, at, thought)) = self.runs.remove(&run)
                    && !self.events.is_empty()
                    && event["type"] == "event"
                {
                    assert_eq!(
                        position(&data["to"]),
                        (at, thought),
                        "all text comes before the end"
                    );
                }
                self.ended.insert(run, data.clone());
            }
            _ => {}
        }
        self.events.push(event.clone());
    }

    fn delta(&mut self, frame: &Value) {
        let run = text(&frame["run"]);
        let (message, at, thought) = self.runs.get_mut(&run).expect("a known run");
        let (have, texts) = match frame["ch"].as_str() {
            Some("text") => (at, &mut self.texts),
            Some("reasoning") => (thought, &mut self.reasoning),
            other => panic!("an unknown channel: {other:?}"),
        };
        assert_eq!(
            frame["from"].as_u64(),
            Some(*have as u64),
            "deltas join: {frame}"
        );
        let piece = text(&frame["text"]);
        *have += piece.len();
        assert_eq!(frame["to"].as_u64(), Some(*have as u64));
        texts.entry(message.clone()).or_default().push_str(&piece);
    }

    /// Names of the events so far.
    pub(super) fn names(&self) -> Vec<&str> {
        self.events
            .iter()
            .map(|event| event["ev"].as_str().expect("a name"))
            .collect()
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("a text, not {value}"))
        .to_owned()
}

fn position(value: &Value) -> (usize, usize) {
    let at =
        |name: &str| usize::try_from(value[name].as_u64().expect("a position")).expect("small");
    (at("text"), at("reasoning"))
}
