//! `demo`: runs everything on one machine, with a simulated model server.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::serve::run;
use super::{environment, report};
use sluicegate_config as config;
use sluicegate_gateway::lifecycle::Gateway;
use sluicegate_gateway::reload::Origin;
use sluicegate_sim::Pace;

/// Runs the gateway with a simulated Ollama, so that nothing else is needed.
pub(super) async fn demo(file: Option<&Path>) -> ExitCode {
    let (listener, address) = match simulated().await {
        Ok(simulated) => simulated,
        Err(error) => {
            eprintln!("sluicegate: the simulated Ollama cannot listen: {error}");
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
    let origin = match file {
        Some(file) => {
            let file = file.to_owned();
            let environment = with_ollama(address);
            Origin::read(Arc::new(move || {
                config::load_with_files(Some(&file), &environment)
            }))
        }
        None => config::load(None, &with_ollama(address)).map(|mut config| {
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
    let mut ollama = JoinSet::new();
    ollama.spawn(sluicegate_sim::serve(listener, Pace::HUMAN));
    let code = run(origin, greeting).await;
    ollama.shutdown().await;
    code
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
fn greeting(gateway: &Gateway) -> String {
    let Some(address) = gateway.addresses().first() else {
        return String::new();
    };
    let admin = gateway.admin().map_or_else(String::new, |admin| {
        format!("  curl http://{admin}/readyz\n")
    });
    format!(
        "\nSluicegate is running at http://{address}, with a SIMULATED Ollama behind it: its answers are canned.\n\
         Everything in between is real. Try:\n\n\
         \x20 curl http://{address}/v1/models\n\
         \x20 curl http://{address}/v1/chat/completions -d '{{}}'\n\
         \x20 curl http://{address}/v1/chat/completions -d '{{\"model\":\"qwen3:32b\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello!\"}}]}}'\n\
         \x20 curl -N http://{address}/v1/chat/completions -d '{{\"model\":\"qwen3:32b\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"你好\"}}]}}'\n\
         {admin}\n{}\nCtrl-C stops it.\n",
        sluicegate_sim::HINTS
    )
}
