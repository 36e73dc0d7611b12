//! `serve` and `demo`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{environment, load, report, warn};
use crate::config::{self, Config};
use crate::demo::{self, Pace};
use crate::lifecycle::{Error, Gateway};
use crate::plugin::Engine;
use crate::telemetry;

/// Runs the gateway until a signal.
pub(super) async fn serve(file: Option<&Path>) -> ExitCode {
    match load(file) {
        Ok(config) => run(config, |_| String::new()).await,
        Err(code) => code,
    }
}

/// Runs the gateway with a simulated Ollama in front of which nothing else is needed.
pub(super) async fn demo(file: Option<&Path>) -> ExitCode {
    let listener = match TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("sluicegate: the simulated Ollama cannot listen: {error}");
            return ExitCode::FAILURE;
        }
    };
    let address = match listener.local_addr() {
        Ok(address) => address.to_string(),
        Err(error) => {
            eprintln!("sluicegate: the simulated Ollama has no address: {error}");
            return ExitCode::FAILURE;
        }
    };
    // The same door through which an operator points the gateway at an Ollama elsewhere.
    let environment = |name: &str| {
        if name == "OLLAMA_HOST" {
            Some(address.clone())
        } else {
            environment(name)
        }
    };
    let config = match config::load(file, &environment) {
        Ok(config) => config,
        Err(problems) => return report(&problems),
    };
    let ollama = tokio::spawn(demo::serve(listener, Pace::HUMAN));
    let code = run(config, greeting).await;
    ollama.abort();
    code
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
        demo::HINTS
    )
}

async fn run(config: Config, greeting: impl FnOnce(&Gateway) -> String) -> ExitCode {
    if let Err(error) = telemetry::log::init(&config.log) {
        eprintln!("sluicegate: the log cannot start: {error}");
        return ExitCode::from(super::BAD_CONFIGURATION);
    }
    warn(&config.warnings);
    let signals = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("sluicegate: signals cannot be received: {error}");
            return ExitCode::FAILURE;
        }
    };
    let engine = match Engine::new() {
        Ok(engine) => engine,
        Err(error) => {
            eprintln!("sluicegate: {error}");
            return ExitCode::FAILURE;
        }
    };
    let gateway = match Gateway::start(config, &engine).await {
        Ok(gateway) => gateway,
        Err(Error::Configuration(problems)) => return report(&problems),
        Err(error) => {
            eprintln!("sluicegate: {error}");
            return ExitCode::FAILURE;
        }
    };
    announce(&gateway);
    let greeting = greeting(&gateway);
    if !greeting.is_empty() {
        println!("{greeting}");
    }

    wait(&mut terminate, &mut interrupt).await;
    let cut = gateway.cut();
    let stop = gateway.shutdown();
    tokio::pin!(stop);
    tokio::select! {
        () = &mut stop => {}
        // A second signal: no more waiting for streams.
        () = wait(&mut terminate, &mut interrupt) => {
            cut.cancel();
            stop.await;
        }
    }
    ExitCode::SUCCESS
}

fn announce(gateway: &Gateway) {
    let list = |addresses: &[SocketAddr]| {
        addresses
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let admin = gateway
        .admin()
        .map_or_else(|| "off".to_owned(), |admin| admin.to_string());
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(
        version,
        listen = list(gateway.addresses()),
        admin,
        "serving"
    );
}

async fn wait(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
