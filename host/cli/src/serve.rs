//! `serve`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::chat as page;
use super::compile::compiler;
use super::process::{logging, signals, wait};
use super::{environment, report, warn};
use sluicegate_chat::Chat;
use sluicegate_gateway::lifecycle::{Error, Gateway};
use sluicegate_gateway::reload::Origin;
use sluicegate_plugin_host::{Engine, Loader};
use sluicegate_telemetry as telemetry;

/// How long answers on the chat page may go on after the signal to stop, before the gateway itself drains.
const CHAT_DRAIN: Duration = Duration::from_secs(10);

/// How long the greeting waits for the log lines before it. Arbitrary.
const GREETING: Duration = Duration::from_millis(100);

/// Runs the gateway until a signal.
pub(super) async fn serve(file: Option<&Path>) -> ExitCode {
    let origin = match file {
        Some(file) => {
            let file = file.to_owned();
            Origin::read(Arc::new(move || {
                sluicegate_config::load_with_files(Some(&file), &environment)
            }))
        }
        None => sluicegate_config::load(None, &environment).map(Origin::fixed),
    };
    match origin {
        Ok(origin) => run(origin, |_| String::new()).await,
        Err(problems) => report(&problems),
    }
}

/// Runs the gateway with this configuration until a signal, and prints the greeting, if it is not empty, when it serves.
pub(super) async fn run(origin: Origin, greeting: impl FnOnce(&Gateway) -> String) -> ExitCode {
    let config = origin.config();
    if let Err(code) = logging(&config.log) {
        return code;
    }
    warn(&config.warnings);
    let mut signals = match signals() {
        Ok(signals) => signals,
        Err(code) => return code,
    };
    let (chat, mut admin) = (config.chat.clone(), config.admin.clone());
    let gateway = match start(origin).await {
        Ok(gateway) => gateway,
        Err(code) => return code,
    };
    // With the actual port, if the system chose it.
    if let (Some(admin), Some(address)) = (&mut admin, gateway.admin()) {
        admin.listen = address;
    }
    announce(&gateway);
    // The greeting is printed after the log lines so far.
    telemetry::log::flush(GREETING);
    let greeting = greeting(&gateway);
    if !greeting.is_empty() {
        println!("{greeting}");
    }
    let chat = match chat {
        None => None,
        Some(chat) => {
            let settings =
                page::settings(&chat, admin.as_ref(), gateway.addresses().first().copied());
            match Chat::start(settings, crate::embedded().page).await {
                Ok(chat) => {
                    gateway.show_metrics(chat.metrics());
                    println!("{}", page::greeting(&chat));
                    Some(chat)
                }
                Err(error) => {
                    eprintln!("sluicegate: {:#}", anyhow::Error::from(error));
                    gateway.shutdown().await;
                    return ExitCode::FAILURE;
                }
            }
        }
    };

    wait(&mut signals, Some(gateway.control())).await;
    let cut = gateway.cut();
    let stop = async {
        if let Some(chat) = chat {
            chat.shutdown(CHAT_DRAIN).await;
        }
        gateway.shutdown().await;
    };
    tokio::pin!(stop);
    tokio::select! {
        () = &mut stop => {}
        // A second signal ends the wait for streams.
        () = wait(&mut signals, None) => {
            cut.cancel();
            stop.await;
        }
    }
    ExitCode::SUCCESS
}

async fn start(origin: Origin) -> Result<Gateway, ExitCode> {
    let failed = |error: &dyn std::error::Error| {
        eprintln!("sluicegate: {error}");
        ExitCode::FAILURE
    };
    let engine = Engine::new().map_err(|error| failed(&error))?;
    let compiler =
        compiler(origin.config().folders.cache.as_deref()).map_err(|error| failed(&error))?;
    let loader = Loader::with_compiler(engine, compiler);
    match Box::pin(Gateway::start(origin, &loader, crate::embedded().plugins)).await {
        Ok(gateway) => Ok(gateway),
        Err(Error::Configuration(problems)) => Err(report(&problems)),
        Err(error) => Err(failed(&error)),
    }
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
