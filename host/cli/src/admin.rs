//! Asking a running gateway, through its admin interface.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sluicegate_config::Secret;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::chat::reachable;
use super::environment;

/// How long it may take: a plugin with an interpreter inside takes half a minute to compile.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The longest response that is read: that of a gateway with hundreds of plugins.
const LONGEST: usize = 16 << 20;

/// Where the token is, if the configuration is not read.
const TOKEN: &str = "SLUICEGATE_ADMIN_TOKEN";

/// Which gateway is asked.
#[derive(Debug, Args)]
pub(super) struct Gateway {
    /// The configuration of the gateway. Its section `admin` says where it is and what the token is.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where its admin interface is. The configuration is not read then; the token is what SLUICEGATE_ADMIN_TOKEN says.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "config")]
    admin: Option<String>,
}

/// An admin interface.
pub(super) struct Admin {
    address: String,
    token: Option<Secret>,
}

/// What it says.
pub(super) struct Said {
    pub(super) status: StatusCode,
    pub(super) value: Value,
}

impl Gateway {
    /// The admin interface of this gateway.
    ///
    /// # Errors
    /// The reason was printed: there is no such interface, or no configuration.
    pub(super) fn admin(&self) -> Result<Admin, ExitCode> {
        if let Some(address) = &self.admin {
            let token = environment(TOKEN).filter(|token| !token.is_empty());
            return Ok(Admin {
                address: address.clone(),
                token: token.map(Secret::new),
            });
        }
        // Nothing else of the configuration matters here: it may be what is to be mended.
        let admin = sluicegate_config::load_admin(self.config.as_deref(), &environment);
        let admin = admin.map_err(|problems| {
            let code = super::report(&problems);
            eprintln!("sluicegate: --admin HOST:PORT asks a gateway without its configuration");
            code
        })?;
        let Some(admin) = admin else {
            return Err(failed(
                "the configuration has no section [admin], through which a gateway can be asked",
            ));
        };
        Ok(Admin {
            address: reachable(admin.listen).to_string(),
            token: admin.token,
        })
    }
}

impl Admin {
    /// Asks, with a body.
    ///
    /// # Errors
    /// The reason was printed: nobody responds, or the gateway refuses to be asked.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Said, ExitCode> {
        let address = &self.address;
        let changes = !method.is_safe();
        if changes && self.token.is_none() {
            return Err(failed(&format!(
                "a change needs the admin token: set `token` under [admin] and restart the gateway, or set {TOKEN} beside --admin"
            )));
        }
        let asked = tokio::time::timeout(TIMEOUT, self.exchange(method, path, body)).await;
        let said = match asked {
            Ok(Ok(said)) => said,
            Ok(Err(error)) => {
                return Err(failed(&format!(
                    "the gateway at {address} cannot be asked: {error:#}"
                )));
            }
            Err(_) => {
                return Err(failed(&format!(
                    "the gateway at {address} has not responded within {TIMEOUT:?}"
                )));
            }
        };
        match said.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(said.refused()),
            _ => Ok(said),
        }
    }

    /// Asks for something to look at.
    ///
    /// # Errors
    /// As [`Admin::ask`], and where there is no such thing.
    pub(super) async fn get(&self, path: &str) -> Result<Value, ExitCode> {
        let said = self.ask(Method::GET, path, Bytes::new()).await?;
        match said.status {
            // Not ready is an answer, too.
            StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => Ok(said.value),
            _ => Err(said.refused()),
        }
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Said> {
        let stream = TcpStream::connect(&self.address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.address);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let response = sender.send_request(request.body(Full::new(body))?).await?;
        let status = response.status();
        #[expect(clippy::disallowed_methods, reason = "it is limited")]
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
        let value = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Said { status, value })
    }
}

impl Said {
    /// Says why something was refused.
    pub(super) fn refused(&self) -> ExitCode {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let rejected = &self.value["rejected"];
        if let (Some(stage), Some(reason)) = (text(&rejected["stage"]), text(&rejected["reason"])) {
            eprintln!("error: rejected at the stage `{stage}`: {reason}");
            eprintln!("    → {}\n", text(&rejected["mend"]).unwrap_or_default());
        }
        complain(&self.value["problems"]);
        let reason = text(&self.value["error"]);
        let reason = reason.unwrap_or_else(|| "no reason".to_owned());
        failed(&format!("the gateway refuses ({}): {reason}", self.status))
    }
}

/// Prints a list of problems as the gateway shows them.
pub(super) fn complain(problems: &Value) {
    for problem in problems.as_array().into_iter().flatten() {
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
}

/// Says how a configuration was taken.
pub(super) fn outcome(said: &Said) -> ExitCode {
    let Said { status, value } = said;
    match *status {
        StatusCode::OK => super::print(&format!("in force: generation {}\n", value["generation"])),
        StatusCode::UNPROCESSABLE_ENTITY => {
            complain(&value["refused"]["problems"]);
            complain(&value["kept"]);
            let generation = &value["generation"];
            if value["refused"].is_null() {
                failed(&format!(
                    "generation {generation} is in force, but not with all versions that are on disk"
                ))
            } else {
                failed(&format!("refused; generation {generation} stays in force"))
            }
        }
        _ => said.refused(),
    }
}

pub(super) fn failed(message: &str) -> ExitCode {
    eprintln!("sluicegate: {message}");
    ExitCode::FAILURE
}
