//! A real nginx with its default buffering in front of the gateway: a stream passes it event by event.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Barrier, Gateway, Script, Setup, Upstream, eventually, program, within};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::common::{CHAT, streamed};

/// An nginx on a socket in a folder of its own.
pub(crate) struct Nginx {
    folder: TempDir,
    _child: Child,
}

impl Nginx {
    /// In front of a gateway; `None` where there is no nginx.
    async fn before(gateway: &Gateway) -> Option<Self> {
        Self::with(gateway, "").await
    }

    /// As [`Nginx::before`], with more lines for its server.
    pub(crate) async fn with(gateway: &Gateway, lines: &str) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        // Debian has it where not everybody looks.
        let mut folders: Vec<_> = std::env::split_paths(&path).collect();
        folders.push("/usr/sbin".into());
        let found = folders
            .iter()
            .map(|folder| folder.join("nginx"))
            .find(|file| file.is_file());
        let Some(found) = found else {
            program::skip("there is no nginx (Debian: nginx-light)").expect("CI has it");
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {place}/{name};\n"))
            .collect();
        let configuration = format!(
            "daemon off;\nmaster_process off;\npid {place}/pid;\nerror_log stderr;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}server {{\nlisten unix:{place}/socket;\n{lines}\
             location / {{\nproxy_pass http://{};\nproxy_http_version 1.1;\n}}\n}}\n}}\n",
            gateway.address()
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, configuration).expect("room for a file");
        let child = Command::new(found)
            .args(["-e", "stderr", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("nginx starts");
        let nginx = Self {
            folder,
            _child: child,
        };
        eventually("nginx", async || {
            UnixStream::connect(nginx.socket()).await.ok()
        })
        .await;
        Some(nginx)
    }

    pub(crate) fn socket(&self) -> impl AsRef<Path> {
        self.folder.path().join("socket")
    }

    /// Sends a chat request; gives the response's body as it comes.
    async fn ask(&self, tasks: &mut JoinSet<()>) -> hyper::Response<hyper::body::Incoming> {
        let stream = UnixStream::connect(self.socket())
            .await
            .expect("it listens");
        let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tasks.spawn(async { drop(driver.await) });
        let request = Request::post(CHAT)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(streamed().to_string())))
            .expect("legal");
        within("the head", sender.send_request(request))
            .await
            .expect("a response")
    }
}

/// Reads until the text is there.
async fn read_until(body: &mut hyper::body::Incoming, wanted: &str) -> String {
    let mut text = String::new();
    while !text.contains(wanted) {
        let frame = within("more of the stream", body.frame()).await;
        let frame = frame.unwrap_or_else(|| panic!("no {wanted:?} in {text:?}"));
        let data = frame.expect("not broken").into_data().unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(&data));
    }
    text
}

#[tokio::test]
async fn events_pass_nginx_one_by_one() {
    let later = Barrier::new();
    let line = |text| format!("{}\n", ollama::content(text));
    let script = Script::ndjson_head()
        .chunk(line("one"))
        .wait(&later)
        .chunk(line("two"))
        .chunk(format!("{}\n", ollama::done("stop")));
    let upstream = Upstream::always(script).await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let Some(nginx) = Nginx::before(&gateway).await else {
        return;
    };
    let mut tasks = JoinSet::new();
    let (head, mut body) = nginx.ask(&mut tasks).await.into_parts();
    assert_eq!(head.headers["cache-control"], "no-cache");
    let before = read_until(&mut body, "one").await;
    assert!(!before.contains("two"), "{before}");
    later.open();
    let after = read_until(&mut body, "[DONE]").await;
    assert!(after.contains("two"), "{after}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn heartbeats_before_the_first_token_pass_nginx_too() {
    let later = Barrier::new();
    let script = Script::ndjson_head()
        .wait(&later)
        .chunk(format!("{}\n", ollama::content("one")))
        .chunk(format!("{}\n", ollama::done("stop")));
    let upstream = Upstream::always(script).await;
    let heartbeat = Duration::from_millis(50);
    let gateway = Setup::before(&upstream)
        .server(&format!("heartbeat = \"{}ms\"", heartbeat.as_millis()))
        .chat()
        .start()
        .await;
    let Some(nginx) = Nginx::before(&gateway).await else {
        return;
    };
    let mut tasks = JoinSet::new();
    let mut body = nginx.ask(&mut tasks).await.into_body();
    let before = read_until(&mut body, ": ping\n").await;
    assert!(!before.contains("one"), "{before}");
    later.open();
    read_until(&mut body, "[DONE]").await;
    gateway.shutdown().await;
}
