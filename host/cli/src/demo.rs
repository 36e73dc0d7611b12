//! `demo`: runs everything on one machine, with a simulated model server.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::serve::run;
use super::{environment, report};
use sluicegate_config as config;
use sluicegate_gateway::lifecycle::Gateway;
use sluicegate_gateway::reload::Origin;
use sluicegate_sim::Pace;

/// What is simulated, and by which configuration the gateway stands before it.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// A configuration file, whose upstream with `adapter = "ollama"` becomes the simulated Ollama.
    #[arg(long, short, value_name = "FILE", conflicts_with = "vendor")]
    config: Option<PathBuf>,
    /// Whose model server is simulated; with a configuration file of your own, always Ollama's.
    #[arg(long, value_enum, default_value_t = Vendor::Ollama)]
    vendor: Vendor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Vendor {
    Ollama,
    Vllm,
    Tgi,
}

impl Vendor {
    fn simulated(self) -> sluicegate_sim::Vendor {
        match self {
            Self::Ollama => sluicegate_sim::Vendor::Ollama,
            Self::Vllm => sluicegate_sim::Vendor::Vllm,
            Self::Tgi => sluicegate_sim::Vendor::Tgi,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ollama => "Ollama",
            Self::Vllm => "vLLM",
            Self::Tgi => "TGI",
        }
    }

    fn adapter(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::Vllm => "vllm",
            Self::Tgi => "tgi",
        }
    }

    /// The default configuration with this vendor's server, at `address`, in place of Ollama.
    fn configuration(self, address: SocketAddr) -> Result<config::Config, config::Problems> {
        let targets = format!("targets = [\"http://{address}\"]");
        let adapter = format!("adapter = \"{}\"", self.adapter());
        let text = config::DEFAULT
            .replace("adapter = \"ollama\"", &adapter)
            .replace("targets = [\"http://127.0.0.1:11434\"]", &targets);
        config::parse(&text, Path::new(""), &with_ollama(address))
    }
}

impl Demo {
    /// Runs the gateway with a simulated model server, so that nothing else is needed.
    pub(super) async fn run(self) -> ExitCode {
        let vendor = self.vendor;
        let name = vendor.name();
        let (listener, address) = match simulated().await {
            Ok(simulated) => simulated,
            Err(error) => {
                eprintln!("sluicegate: the simulated {name} cannot listen: {error}");
                return ExitCode::FAILURE;
            }
        };
        let folder = match tempfile::tempdir() {
            Ok(folder) => folder,
            Err(error) => {
                eprintln!("sluicegate: the folder for the demo's chats cannot be created: {error}");
                return ExitCode::FAILURE;
            }
        };
        let origin = match self.config {
            Some(file) => {
                let environment = with_ollama(address);
                Origin::read(Arc::new(move || {
                    config::load_with_files(Some(&file), &environment)
                }))
            }
            None => vendor.configuration(address).map(|mut config| {
                if let Some(chat) = &mut config.chat {
                    chat.store = folder.path().join("demo.db");
                }
                Origin::fixed(config)
            }),
        };
        let origin = match origin {
            Ok(origin) => origin,
            Err(problems) => return report(&problems),
        };
        let mut server = JoinSet::new();
        server.spawn(vendor.simulated().serve(listener, Pace::HUMAN));
        let code = run(origin, move |gateway| greeting(gateway, name)).await;
        server.shutdown().await;
        code
    }
}

/// The environment, with the variable by which an operator points the gateway at an Ollama elsewhere.
fn with_ollama(address: SocketAddr) -> impl Fn(&str) -> Option<String> + Send + Sync {
    move |name| match name {
        "OLLAMA_HOST" => Some(address.to_string()),
        name => environment(name),
    }
}

async fn simulated() -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// What `demo` prints when it is ready.
fn greeting(gateway: &Gateway, name: &str) -> String {
    let Some(address) = gateway.addresses().first() else {
        return String::new();
    };
    let admin = gateway.admin().map_or_else(String::new, |admin| {
        format!("  curl http://{admin}/readyz\n")
    });
    format!(
        "\nSluicegate is running at http://{address}, with a SIMULATED {name} behind it: its answers are canned.\n\
         Everything in between is real. Try:\n\n\
         \x20 curl http://{address}/v1/models\n\
         \x20 curl http://{address}/v1/chat/completions -d '{{}}'\n\
         \x20 curl http://{address}/v1/chat/completions -d '{{\"model\":\"qwen3:32b\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello!\"}}]}}'\n\
         \x20 curl -N http://{address}/v1/chat/completions -d '{{\"model\":\"qwen3:32b\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"你好\"}}]}}'\n\
         {admin}\n{}\nCtrl-C stops it.\n",
        sluicegate_sim::HINTS
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_configuration_gets_the_server_of_every_vendor() {
        for vendor in Vendor::value_variants() {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 12_345));
            let config = vendor
                .configuration(address)
                .expect("a legal configuration");
            let [upstream] = config.upstreams.values().collect::<Vec<_>>()[..] else {
                panic!("the default configuration has one upstream");
            };
            assert_eq!(upstream.adapter.as_deref(), Some(vendor.adapter()));
            assert!(format!("{:?}", upstream.targets).contains("12345"));
        }
    }
}
