//! The gateways: how each is configured and started.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::TcpStream;

use crate::client::KEY;
use crate::install::Programs;
use crate::process::{Cores, Process};
use crate::proxy;

/// How long a gateway may take until it listens.
const START: Duration = Duration::from_secs(20);

/// The gateways, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Hyper,
    Envoy,
    /// Sluicegate, streaming from the model server only if the client asks for a stream.
    AsClient,
    /// Sluicegate with its defaults: always a stream from the model server, turned into one JSON response on request.
    Always,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::Nginx,
        Self::Hyper,
        Self::Envoy,
        Self::AsClient,
        Self::Always,
    ];

    /// The name on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Hyper => "hyper",
            Self::Envoy => "envoy",
            Self::AsClient => "as-client",
            Self::Always => "always",
        }
    }

    /// The name in the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Nginx => "nginx, bare pass-through",
            Self::Hyper => "a bare hyper proxy, the floor",
            Self::Envoy => "Envoy, bare pass-through",
            Self::AsClient => "**Sluicegate**, `as-client`: `auth`, `ollama`, `access-log`",
            Self::Always => "**Sluicegate**, `always`: `auth`, `aggregate`, `ollama`, `access-log`",
        }
    }
}

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
}

/// Starts a gateway and waits until it listens; `None` if its program is missing.
///
/// # Errors
/// If it does not start; the message names the file with its output.
pub(crate) async fn start(
    kind: Kind,
    programs: &Programs,
    cores: &Cores,
    upstream: SocketAddr,
) -> anyhow::Result<Option<Gateway>> {
    let address = free_address()?;
    let place = Place {
        folder: programs.folder.clone(),
        word: kind.word(),
        address,
        upstream,
    };
    let command = match kind {
        Kind::Nginx => match &programs.nginx {
            Some(program) => nginx(cores.gateway(program), &place)?,
            None => return Ok(None),
        },
        Kind::Envoy => match &programs.envoy {
            Some(program) => envoy(cores.gateway(program), &place)?,
            None => return Ok(None),
        },
        Kind::Hyper => {
            let mut command = cores.gateway(&programs.load);
            command.arg(proxy::COMMAND);
            command.args([address.to_string(), upstream.to_string()]);
            command
        }
        Kind::AsClient => sluicegate(cores.gateway(&programs.sluicegate), &place, "as-client")?,
        Kind::Always => sluicegate(cores.gateway(&programs.sluicegate), &place, "always")?,
    };
    let mut process = launch(command, &place)?;
    wait(&mut process, &place).await?;
    Ok(Some(Gateway {
        kind,
        address,
        process,
    }))
}

/// Starts Sluicegate with a configuration that depends on its address, and waits until it listens.
///
/// # Errors
/// As [`start`].
pub(crate) async fn start_with(
    word: &'static str,
    configuration: impl FnOnce(SocketAddr) -> String,
    programs: &Programs,
    cores: &Cores,
) -> anyhow::Result<(SocketAddr, Process)> {
    let address = free_address()?;
    let place = Place {
        folder: programs.folder.clone(),
        word,
        address,
        upstream: address,
    };
    let file = place.write("toml", &configuration(address))?;
    let mut command = cores.gateway(&programs.sluicegate);
    command.arg("serve").arg("--config").arg(file);
    let mut process = launch(command, &place)?;
    wait(&mut process, &place).await?;
    Ok((address, process))
}

/// Where a gateway finds what it needs.
struct Place {
    folder: PathBuf,
    word: &'static str,
    address: SocketAddr,
    upstream: SocketAddr,
}

impl Place {
    fn file(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.word))
    }

    fn write(&self, extension: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.file(extension);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}

/// A port that was free a moment ago. Another program could take it before the gateway does; then the gateway says so.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn launch(mut command: Command, place: &Place) -> anyhow::Result<Process> {
    let errors = File::create(place.file("err"))?;
    // The access log is written, but not kept.
    command.stdout(Stdio::null()).stderr(errors);
    command.env("TOKIO_WORKER_THREADS", "1");
    Process::start(command)
}

async fn wait(process: &mut Process, place: &Place) -> anyhow::Result<()> {
    let says = || format!("{}: see {}", place.word, place.file("err").display());
    let listens = async {
        while TcpStream::connect(place.address).await.is_err() {
            process.check().with_context(says)?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout(START, listens).await {
        Ok(result) => result,
        Err(_) => bail!("{} does not listen within {START:?}", says()),
    }
}

/// One worker, no access log, connections kept, streams not held back.
fn nginx(mut command: Command, place: &Place) -> anyhow::Result<Command> {
    let Place {
        folder,
        address,
        upstream,
        ..
    } = place;
    let folder = folder.display();
    let configuration = format!(
        "daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    upstream model {{
        server {upstream};
        keepalive 1024;
        keepalive_requests 100000000;
    }}
    server {{
        listen {address};
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
        }}
    }}
}}
"
    );
    let file = place.write("conf", &configuration)?;
    command.arg("-c").arg(file).args(["-e", "stderr"]);
    Ok(command)
}

/// One worker, no filters but the router, no time limits on streams.
fn envoy(mut command: Command, place: &Place) -> anyhow::Result<Command> {
    let endpoint = |address: SocketAddr| {
        format!(
            "{{ socket_address: {{ address: {}, port_value: {} }} }}",
            address.ip(),
            address.port()
        )
    };
    let (listen, upstream) = (endpoint(place.address), endpoint(place.upstream));
    let configuration = format!(
        "static_resources:
  listeners:
  - name: front
    address: {listen}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          stream_idle_timeout: 0s
          route_config:
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes:
              - match: {{ prefix: \"/\" }}
                route: {{ cluster: model, timeout: 0s }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: model
    type: STATIC
    circuit_breakers:
      thresholds:
      - {{ max_connections: 8192, max_pending_requests: 8192, max_requests: 8192 }}
    load_assignment:
      cluster_name: model
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {upstream} }}
"
    );
    let file = place.write("yaml", &configuration)?;
    command.arg("-c").arg(file);
    command.args(["--concurrency", "1", "--use-dynamic-base-id"]);
    command.args(["--log-level", "error"]);
    Ok(command)
}

/// A thousand keys, so that the lookup has a cost.
fn sluicegate(mut command: Command, place: &Place, stream: &str) -> anyhow::Result<Command> {
    let mut keys = String::new();
    for n in 2..=1_000 {
        write!(
            keys,
            "{{ name = \"team-{n}\", key = \"sk-other-{n:04}\" }}, "
        )?;
    }
    let aggregate = if stream == "always" {
        "\"aggregate\", "
    } else {
        ""
    };
    let (address, upstream) = (place.address, place.upstream);
    let configuration = format!(
        "[[listener]]
listen = \"{address}\"

[plugins]
cache = \"\"

[upstream.ollama]
adapter = \"ollama\"
targets = [\"http://{upstream}\"]

[plugin.auth]
source = \"builtin:auth\"
[plugin.auth.config]
keys = [{keys}{{ name = \"load\", key = \"{KEY}\" }}]

[plugin.aggregate]
source = \"builtin:aggregate\"

[plugin.ollama]
source = \"builtin:ollama\"
[plugin.ollama.config]
stream = \"{stream}\"

[plugin.access-log]
source = \"builtin:access-log\"

[[route]]
path = \"/v1/chat/completions\"
methods = [\"POST\"]
pipeline = [\"auth\", {aggregate}]
observers = [\"access-log\"]
upstream = \"ollama\"
"
    );
    let file = place.write("toml", &configuration)?;
    command.arg("serve").arg("--config").arg(file);
    Ok(command)
}
