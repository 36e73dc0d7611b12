//! The way without a WebSocket.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::http::Http;
use super::{ANN, BOB, TIMEOUT, World, eventually};

/// An open event stream.
struct Events {
    stream: TcpStream,
    text: String,
    taken: usize,
}

impl Events {
    async fn open(world: &World) -> Self {
        let mut stream = TcpStream::connect(world.host())
            .await
            .expect("the gateway listens");
        let request = format!(
            "GET /api/v1/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {ANN}\r\n\r\n",
            world.host()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        Self {
            stream,
            text: String::new(),
            taken: 0,
        }
    }

    /// The next frame. The chunks' own lines are not events and are skipped.
    async fn next(&mut self) -> Value {
        loop {
            if let Some((at, end)) = self.text[self.taken..]
                .find("\ndata: ")
                .map(|at| at + 1)
                .and_then(|at| {
                    let end = self.text[self.taken + at..].find("\n\n")?;
                    Some((self.taken + at + 6, self.taken + at + end))
                })
            {
                self.taken = end + 2;
                return serde_json::from_str(&self.text[at..end]).expect("frames are JSON");
            }
            let mut bytes = [0; 4096];
            let read = tokio::time::timeout(TIMEOUT, self.stream.read(&mut bytes))
                .await
                .expect("a frame in time")
                .expect("open");
            assert!(read > 0, "the stream ended: {}", self.text);
            self.text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }

    async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = self.next().await;
            if fits(&frame) {
                return frame;
            }
        }
    }
}

#[tokio::test]
async fn with_sockets_blocked_the_same_frames_come_as_events() {
    let world = World::new().await;
    let http = Http::new(&world);
    let mut events = Events::open(&world).await;
    let hello = events.next().await;
    assert_eq!(
        (hello["id"].as_str(), hello["payload"]["v"].as_u64()),
        (Some("hello"), Some(1))
    );
    let conn = hello["payload"]["conn"]
        .as_str()
        .expect("a name")
        .to_owned();
    let bearer = format!("Bearer {ANN}");
    let fields = [
        ("authorization", bearer.as_str()),
        ("x-sluice-conn", conn.as_str()),
    ];
    let rpc = async |id: &str, method: &str, params: Value| {
        let frame = json!({ "type": "req", "id": id, "method": method, "params": params });
        http.post("/api/v1/rpc", &fields, &frame).await.status
    };
    assert_eq!(rpc("1", "chat.send", super::message(None, "q")).await, 202);
    let sent = events.until(|frame| frame["id"] == "1").await["payload"].clone();
    assert_eq!(
        rpc("2", "sub", json!({ "session": sent["session"] })).await,
        202
    );
    let snapshot = events.until(|frame| frame["id"] == "2").await;
    assert_eq!(snapshot["payload"]["mode"], "snapshot");
    let mut call = world.fake.call().await;
    call.begin().await;
    call.text("你好").await;
    let delta = events.until(|frame| frame["type"] == "delta").await;
    assert_eq!(
        (delta["from"].as_u64(), delta["text"].as_str()),
        (Some(0), Some("你好"))
    );
    call.finish("stop").await;
    let ended = events.until(|frame| frame["ev"] == "run.ended").await;
    assert_eq!(ended["data"]["to"]["text"], 6);
    drop(events);
    eventually("the stream is gone", async || {
        world.chat().metrics()().contains("sluicegate_chat_connections 0\n")
    })
    .await;
    assert_eq!(rpc("3", "ping", json!({ "ts": 1 })).await, 404);
}

#[tokio::test]
async fn a_request_without_a_stream_is_answered_in_the_body() {
    let world = World::new().await;
    let http = Http::new(&world);
    let bearer = format!("Bearer {ANN}");
    let own = [("authorization", bearer.as_str())];
    let ping = json!({ "type": "req", "id": "7", "method": "ping", "params": { "ts": 5 } });
    let answer = http.post("/api/v1/rpc", &own, &ping).await;
    assert_eq!(
        (
            answer.status,
            answer.json["id"].as_str(),
            answer.json["payload"]["ts"].as_f64()
        ),
        (200, Some("7"), Some(5.0))
    );
    let sub =
        json!({ "type": "req", "id": "8", "method": "sub", "params": { "session": "ses_x" } });
    assert_eq!(
        http.post("/api/v1/rpc", &own, &sub).await.json["error"]["code"],
        "BAD_FRAME"
    );
    assert_eq!(
        http.post("/api/v1/rpc", &own, &json!({ "no": "frame" }))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn a_stream_of_another_login_cannot_be_used() {
    let world = World::new().await;
    let mut events = Events::open(&world).await;
    let conn = events.next().await["payload"]["conn"]
        .as_str()
        .expect("a name")
        .to_owned();
    let bearer = format!("Bearer {BOB}");
    let ping = json!({ "type": "req", "id": "1", "method": "ping", "params": { "ts": 5 } });
    let fields = [
        ("authorization", bearer.as_str()),
        ("x-sluice-conn", conn.as_str()),
    ];
    assert_eq!(
        Http::new(&world)
            .post("/api/v1/rpc", &fields, &ping)
            .await
            .status,
        404
    );
}
