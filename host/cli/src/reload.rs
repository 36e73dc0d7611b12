//! `reload`: makes a running gateway read its configuration again.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::chat::reachable;
use super::{load, print};

/// How long it may take: a plugin with an interpreter inside takes half a minute to compile.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The longest response that is read.
const LONGEST: usize = 1 << 20;

/// Asks the gateway that this configuration is for, at its admin interface.
pub(super) async fn reload(file: Option<&Path>) -> ExitCode {
    let config = match load(file) {
        Ok(config) => config,
        // The gateway would refuse it too.
        Err(code) => return code,
    };
    let Some(admin) = config.admin else {
        return failed(
            "the configuration has no section [admin], through which a gateway can be asked; send it SIGHUP",
        );
    };
    let Some(token) = admin.token else {
        return failed(
            "[admin] has no token, which a reload needs: set one and restart the gateway, or send it SIGHUP",
        );
    };
    let address = reachable(admin.listen);
    match tokio::time::timeout(TIMEOUT, ask(address, token.expose())).await {
        Ok(Ok((status, body))) => show(status, &body),
        Ok(Err(error)) => failed(&format!(
            "the gateway at {address} cannot be asked: {error:#}"
        )),
        Err(_) => failed(&format!(
            "the gateway at {address} has not responded within {TIMEOUT:?}"
        )),
    }
}

async fn ask(address: SocketAddr, token: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let request = Request::post("/reload")
        .header(HOST, address.to_string())
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    #[expect(clippy::disallowed_methods, reason = "it is limited")]
    let body = Limited::new(response.into_body(), LONGEST).collect().await;
    let body = body.map_err(anyhow::Error::from_boxed)?;
    Ok((status, body.to_bytes()))
}

/// Says how it ended.
fn show(status: StatusCode, body: &[u8]) -> ExitCode {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match status {
        StatusCode::OK => print(&format!("in force: generation {}\n", body["generation"])),
        StatusCode::UNPROCESSABLE_ENTITY => {
            let problems = body["refused"]["problems"].as_array();
            for problem in problems.into_iter().flatten() {
                let text = |name: &str| problem[name].as_str().unwrap_or_default();
                let line = problem["line"].as_u64();
                let line = line.map_or_else(String::new, |line| format!("line {line}: "));
                eprintln!(
                    "error: {line}{}: {}\n    → {}\n",
                    text("key"),
                    text("message"),
                    text("mend")
                );
            }
            failed(&format!(
                "refused; generation {} stays in force",
                body["generation"]
            ))
        }
        status => failed(&format!(
            "the gateway responds with {status}: {}",
            body["error"].as_str().unwrap_or("no reason")
        )),
    }
}

fn failed(message: &str) -> ExitCode {
    eprintln!("sluicegate: {message}");
    ExitCode::FAILURE
}
