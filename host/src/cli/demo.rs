//! `demo`: everything works on a bare machine, with a simulated model server.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::serve::run;
use super::{environment, report};
use sluicegate_config as config;
use sluicegate_gateway::lifecycle::Gateway;
use sluicegate_sim::Pace;

/// Runs the gateway with a simulated Ollama in front of which nothing else is needed.
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
            eprintln!("sluicegate: there is no folder for the demo's chats: {error}");
            return ExitCode::FAILURE;
        }
    };
    // The same door through which an operator points the gateway at an Ollama elsewhere.
    let environment = |name: &str| match name {
        "OLLAMA_HOST" => Some(address.to_string()),
        name => environment(name),
    };
    let mut config = match config::load(file, &environment) {
        Ok(config) => config,
        Err(problems) => return report(&problems),
    };
    if file.is_none()
        && let Some(chat) = &mut config.chat
    {
        chat.store = folder.path().join("demo.db");
    }
    let mut ollama = JoinSet::new();
    ollama.spawn(sluicegate_sim::serve(listener, Pace::HUMAN));
    let code = run(config, greeting).await;
    ollama.shutdown().await;
    code
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
        "\nSluicegate is running at http://{address}, with a SIMULATED Ollama behind it: the answers are canned.\n\
         Everything between is real. Try:\n\n\
         \x20 curl http://{address}/v1/models\n\
         \x20 curl http://{address}/v1/chat/completions -d '{{}}'\n\
         \x20 curl http://{address}/v1/chat/completions -d '{{\"model\":\"qwen3:32b\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello!\"}}]}}'\n\
         \x20 curl -N http://{address}/v1/chat/completions -d '{{\"model\":\"qwen3:32b\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"你好\"}}]}}'\n\
         {admin}\n{}\nCtrl-C stops it.\n",
        sluicegate_sim::HINTS
    )
}
