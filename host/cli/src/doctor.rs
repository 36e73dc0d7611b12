//! `doctor`: checks a live deployment from the model server to the chat page, and says what to mend.
//!
//! Three steps, in the order in which a request passes through the layers backwards: each model server by itself, the gateway with
//! one real question, the chat page. A step that fails does not stop the others.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use sluicegate_config::{Config, HttpGrant, Origin, Secret, Target, Upstream};
use sluicegate_outbound::{Client, Network, Outbound as _};
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout};

use super::chat::reachable;
use super::{environment, load, print};

/// How long a model server, the admin interface or the page may take.
const SHORT: Duration = Duration::from_secs(10);

/// How long a question may take: a cold model of 32B takes minutes to load.
const LONG: Duration = Duration::from_secs(300);

/// The key of clients, if the configuration does not have it.
const API_KEY: &str = "SLUICEGATE_API_KEY";

/// What is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Doctor {
    /// The configuration of the deployment; without it, the default configuration.
    #[arg(long, short, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// The model that is asked; without it, the first one that the gateway lists.
    #[arg(long)]
    model: Option<String>,
}

/// What a check found: a line for people, or what is wrong and how to mend it.
type Found = Result<String, Wrong>;

struct Wrong {
    what: String,
    mend: String,
}

fn wrong<T>(what: impl Into<String>, mend: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong {
        what: what.into(),
        mend: mend.into(),
    })
}

/// The checks so far.
#[derive(Default)]
struct Report {
    failed: usize,
}

impl Report {
    fn add(&mut self, checked: &str, found: Found) {
        match found {
            Ok(seen) => print(&format!("ok    {checked}: {seen}\n")),
            Err(Wrong { what, mend }) => {
                self.failed += 1;
                print(&format!("FAIL  {checked}: {what}\n      → {mend}\n"))
            }
        };
    }
}

impl Doctor {
    /// Runs all checks. Exit code 1 if one of them fails.
    pub(super) async fn run(&self) -> ExitCode {
        let config = match load(self.config.as_deref()) {
            Ok(config) => config,
            Err(code) => return code,
        };
        let mut report = Report::default();
        for (name, upstream) in &config.upstreams {
            for target in &upstream.targets {
                if target.dns {
                    let checked = format!("name `{}` of model servers `{name}`", target.host);
                    report.add(&checked, addresses(target).await);
                }
                let checked = format!("model server `{name}` at {target}");
                report.add(&checked, model_server(upstream, target).await);
            }
        }
        if !config.listeners.is_empty() {
            self.gateway(&config, &mut report).await;
        }
        if let Some(chat) = &config.chat {
            let server = Server::at(chat.tls.is_some(), reachable(chat.listen));
            report.add(
                &format!("chat page at {}", server.origin),
                page(&server).await,
            );
        }
        match report.failed {
            0 => print("\neverything works\n"),
            1 => print("\n1 check failed\n"),
            count => print(&format!("\n{count} checks failed\n")),
        };
        if report.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    async fn gateway(&self, config: &Config, report: &mut Report) {
        if let Some(admin) = &config.admin {
            let server = Server::at(false, reachable(admin.listen));
            let ready = readiness(&server).await;
            report.add(
                &format!("gateway's admin interface at {}", server.origin),
                ready,
            );
        }
        let Some(listener) = config.listeners.first() else {
            return;
        };
        let server = Server::at(listener.tls.is_some(), reachable(listener.listen));
        let server = server.with_key(environment(API_KEY).filter(|key| !key.is_empty()));
        let checked = format!("gateway at {}", server.origin);
        let model = match (&self.model, server.models().await) {
            (Some(model), _) => model.clone(),
            (None, Ok(models)) if !models.is_empty() => models[0].clone(),
            (None, Ok(_)) => {
                let mend = "load one into the model server, such as `ollama pull qwen3:32b`, or name one: --model NAME";
                return report.add(&checked, wrong("it lists no model", mend));
            }
            (None, Err(error)) => return report.add(&checked, Err(error)),
        };
        for stream in [false, true] {
            let kind = if stream {
                "a stream"
            } else {
                "a whole response"
            };
            let asked = server.ask(&model, stream).await;
            report.add(&format!("{checked}, {kind} of `{model}`"), asked);
        }
    }
}

/// A server of the deployment.
struct Server {
    origin: Origin,
    client: Arc<dyn Client>,
    key: Option<Secret>,
}

impl Server {
    fn new(origin: Origin) -> Self {
        let grant = HttpGrant::to(origin.clone());
        Self {
            client: Network.client(&grant),
            origin,
            key: None,
        }
    }

    fn at(tls: bool, address: std::net::SocketAddr) -> Self {
        Self::new(Origin {
            tls,
            host: address.ip().to_string(),
            port: address.port(),
        })
    }

    fn with_key(self, key: Option<String>) -> Self {
        Self {
            key: key.map(Secret::new),
            ..self
        }
    }

    /// Sends a request. A GET has no body.
    async fn send(
        &self,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Response<Bytes>, Wrong> {
        let bytes = body.map(|body| body.to_string()).unwrap_or_default();
        let mut request = Request::new(Bytes::from(bytes));
        let Ok(uri) = path.parse() else {
            return wrong(format!("{path} is not a path"), "correct it");
        };
        *request.uri_mut() = uri;
        if body.is_some() {
            *request.method_mut() = Method::POST;
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, json);
        }
        if let Some(key) = &self.key {
            match HeaderValue::try_from(format!("Bearer {}", key.expose())) {
                Ok(bearer) => request.headers_mut().insert(AUTHORIZATION, bearer),
                Err(_) => {
                    return wrong(
                        "the key cannot be sent",
                        "remove what is no letter or digit",
                    );
                }
            };
        }
        match timeout(limit, self.client.send(self.origin.clone(), request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => wrong(
                error.to_string(),
                format!(
                    "start it, or correct its address; `lsof -i :{}` shows who listens there",
                    self.origin.port
                ),
            ),
            Err(_) => wrong(
                format!("no response within {limit:?}"),
                "it accepts connections and does nothing: restart it, and look into its log",
            ),
        }
    }

    /// The models that the gateway lists.
    async fn models(&self) -> Result<Vec<String>, Wrong> {
        let response = self.send("/v1/models", None, SHORT).await?;
        if response.status() != StatusCode::OK {
            return Err(refused(&response));
        }
        let listed: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let models = listed["data"].as_array().into_iter().flatten();
        let names = models.filter_map(|model| model["id"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// Asks a model one short question.
    async fn ask(&self, model: &str, stream: bool) -> Found {
        let question = json!({
            "model": model,
            "stream": stream,
            "max_tokens": 16,
            "messages": [{"role": "user", "content": "Say hello."}],
        });
        let began = Instant::now();
        let response = self
            .send("/v1/chat/completions", Some(&question), LONG)
            .await?;
        let took = began.elapsed().as_millis();
        if response.status() != StatusCode::OK {
            return Err(refused(&response));
        }
        let id = field(&response, "x-request-id");
        let text = String::from_utf8_lossy(response.body());
        let whole = if stream {
            text.trim_end().ends_with("data: [DONE]")
        } else {
            let answer: Value = serde_json::from_str(&text).unwrap_or_default();
            answer["choices"][0]["message"].is_object()
        };
        if whole {
            return Ok(format!("{took} ms, request id {id}"));
        }
        let mend = format!("look for {id} in the gateway's log");
        if stream {
            wrong("the stream broke off before its end", mend)
        } else {
            wrong("the response is no chat completion", mend)
        }
    }
}

fn field(response: &Response<Bytes>, name: &str) -> String {
    let value = response.headers().get(name);
    let value = value.and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

/// Looks up a name whose addresses are model servers.
async fn addresses(target: &Target) -> Found {
    let lookup = timeout(SHORT, lookup_host((&*target.host, target.port))).await;
    let mend = "correct the name, or make it known to the resolver of this machine";
    let found = match lookup {
        Ok(Ok(found)) => found
            .map(|it| it.ip().to_canonical())
            .collect::<BTreeSet<_>>(),
        Ok(Err(error)) => return wrong(error.to_string(), mend),
        Err(_) => {
            return wrong(
                format!("no response of the resolver within {SHORT:?}"),
                mend,
            );
        }
    };
    let listed: Vec<_> = found.iter().map(ToString::to_string).collect();
    if listed.is_empty() {
        return wrong("it has no address", mend);
    }
    Ok(format!("{} of them: {}", listed.len(), listed.join(", ")))
}

/// Asks a model server what its adapter would ask.
async fn model_server(upstream: &Upstream, target: &Target) -> Found {
    let server = Server::new(Origin::from(target));
    let key = upstream.key.as_ref().map(|key| key.expose().to_owned());
    let server = server.with_key(key);
    let configured = upstream
        .health
        .as_ref()
        .and_then(|health| health.path.clone());
    let ollama = upstream.adapter.as_deref() == Some("ollama");
    let path = configured.unwrap_or_else(|| {
        let path = if ollama { "/api/tags" } else { "/v1/models" };
        path.to_owned()
    });
    let began = Instant::now();
    let response = server
        .send(&format!("{}{path}", target.base), None, SHORT)
        .await?;
    let took = began.elapsed().as_millis();
    if !response.status().is_success() {
        let status = response.status();
        return wrong(
            format!("{status} for {path}"),
            match status.as_u16() {
                401 | 403 => "give the upstream its `key`",
                404 => {
                    "it is another kind of server: correct the upstream's `adapter`, or its `health.path`"
                }
                _ => "look into the model server's log",
            },
        );
    }
    if ollama && path == "/api/tags" {
        let tags: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        if tags["models"].as_array().is_some_and(Vec::is_empty) {
            return wrong("it has no model", "load one: `ollama pull qwen3:32b`");
        }
    }
    Ok(format!("up, {took} ms"))
}

/// What the gateway says of itself.
async fn readiness(server: &Server) -> Found {
    let response = server.send("/readyz", None, SHORT).await?;
    let said: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    if said["ready"] == true {
        return Ok("ready".to_owned());
    }
    if said["draining"] == true {
        return wrong(
            "it is stopping",
            "wait for its successor, or start it again",
        );
    }
    if said["missing"].is_null() {
        let mend = "something else listens there: see `listen` under [admin]";
        return wrong("it is no admin interface of Sluicegate", mend);
    }
    wrong(
        format!("not ready: {}", said["missing"]),
        "mend the model servers above; `sluicegate status` shows more",
    )
}

/// The page itself.
async fn page(server: &Server) -> Found {
    let response = server.send("/", None, SHORT).await?;
    let kind = field(&response, "content-type");
    if response.status() == StatusCode::OK && kind.starts_with("text/html") {
        return Ok("it is served".to_owned());
    }
    wrong(
        format!("{} and {kind:?}", response.status()),
        "something else listens there: see `listen` under [chat]",
    )
}

/// An error of the gateway, and its mend by the code.
fn refused(response: &Response<Bytes>) -> Wrong {
    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let error = &body["error"];
    let (code, message) = (&error["code"], &error["message"]);
    let code = code.as_str().unwrap_or_default();
    let message = message.as_str().unwrap_or_default();
    let mend = match (response.status().as_u16(), code) {
        (401 | 403, _) => format!("set {API_KEY} to a key of a client"),
        (404, _) => "name a model that `/v1/models` lists: --model NAME".to_owned(),
        (_, "upstream_unreachable" | "upstream_unavailable") => {
            "start the model server that failed above".to_owned()
        }
        (_, "upstream_first_byte_timeout") => {
            "a cold model takes minutes to load: raise `timeout.first-byte`; if it is never faster, it does not fit into the GPU's memory: see `nvidia-smi` and `ollama ps`, and lower `num_ctx`".to_owned()
        }
        (_, "upstream_stalled") => "restart the model server that `/upstreams` names".to_owned(),
        (_, "plugin_fault") => "`sluicegate status` names the plugin, and the log has the reason".to_owned(),
        (_, "overloaded") => "`sluicegate_overloaded_total` in `/metrics` says which limit is reached".to_owned(),
        _ => "look for the request id in the gateway's log".to_owned(),
    };
    let id = field(response, "x-request-id");
    Wrong {
        what: format!("{} {code} {message} (request id {id})", response.status()),
        mend,
    }
}
