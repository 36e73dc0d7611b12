//! `chat`: the chat page, alone or with the gateway, and its database.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::serve::{logging, signals, wait};
use super::{Database, environment, load, print, warn};
use crate::builtin;
use crate::chat::{self, Access, Chat, Secret, Settings, Tls};
use crate::config::{self, Admin};

/// How long answers under way may go on after the signal to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// Runs the page, or does what is asked with its database.
pub(super) async fn chat(file: Option<&Path>, what: Option<Database>) -> ExitCode {
    let config = match load(file) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let Some(chat) = &config.chat else {
        eprintln!("sluicegate: the configuration has no section [chat]");
        return ExitCode::from(super::BAD_CONFIGURATION);
    };
    match what {
        None => {
            let settings = settings(chat, config.admin.as_ref(), None);
            if let Err(code) = logging(&config.log) {
                return code;
            }
            warn(&config.warnings);
            run(settings).await
        }
        Some(Database::Login) => answer(chat::login_code(&chat.store), |code| {
            format!("http://{}/#login={code}\n", chat.listen)
        }),
        Some(Database::Export { user }) => answer(chat::export(&chat.store, &user), |json| json),
        Some(Database::Backup { to }) => answer(chat::backup(&chat.store, &to), |()| {
            format!("copied to {}\n", to.display())
        }),
        Some(Database::Import { file, user }) => match read(&file) {
            Ok(json) => answer(chat::import(&chat.store, &user, &json), |imported| {
                format!(
                    "imported {} sessions with {} messages\n",
                    imported.sessions, imported.messages
                )
            }),
            Err(error) => {
                eprintln!("sluicegate: {} cannot be read: {error}", file.display());
                ExitCode::FAILURE
            }
        },
    }
}

/// Prints what came of work with the database.
fn answer<T>(result: Result<T, chat::TransferError>, show: impl FnOnce(T) -> String) -> ExitCode {
    match result {
        Ok(value) => print(&show(value)),
        Err(error) => {
            eprintln!("sluicegate: {:#}", anyhow::Error::from(error));
            ExitCode::FAILURE
        }
    }
}

fn read(file: &Path) -> std::io::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file)
}

async fn run(settings: Settings) -> ExitCode {
    let mut signals = match signals() {
        Ok(signals) => signals,
        Err(code) => return code,
    };
    match Chat::start(settings, builtin::page()).await {
        Ok(chat) => {
            println!("{}", greeting(&chat));
            wait(&mut signals).await;
            chat.shutdown(DRAIN).await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sluicegate: {:#}", anyhow::Error::from(error));
            ExitCode::from(super::BAD_CONFIGURATION)
        }
    }
}

/// What the page's operator is told. The link is a secret, and so goes to the terminal and not to the log.
pub(super) fn greeting(chat: &Chat) -> String {
    format!(
        "Chat page (this link logs one browser in, once, within ten minutes):\n\n  {}\n",
        chat.login_link()
    )
}

/// The settings of the page; `proxy` is the gateway in this process, if there is one.
pub(super) fn settings(
    chat: &config::Chat,
    admin: Option<&Admin>,
    proxy: Option<SocketAddr>,
) -> Settings {
    let own = |address: SocketAddr| format!("http://{}", reachable(address));
    let configured = chat.endpoint.clone();
    let endpoint = configured
        .or_else(|| proxy.map(own))
        .unwrap_or_else(|| "http://127.0.0.1:8080".into());
    // The gateway takes this variable as a key, so its page may use it.
    let key = chat.key.as_ref().map(|key| key.expose().to_owned());
    let key = key.or_else(|| environment("SLUICEGATE_API_KEY").filter(|key| !key.is_empty()));
    let secret = |token: &config::Secret| Secret::new(token.expose());
    Settings {
        listen: chat.listen,
        endpoint,
        endpoint_key: key.map(Secret::new),
        admin: admin.map(|admin| own(admin.listen)),
        admin_key: admin.and_then(|admin| admin.token.as_ref()).map(secret),
        store: chat.store.clone(),
        access: chat
            .users
            .iter()
            .map(|user| Access {
                name: user.name.clone(),
                token: secret(&user.token),
                debug: user.debug,
            })
            .collect(),
        origins: chat.origins.clone(),
        tls: chat.tls.as_ref().map(|tls| Tls {
            cert: tls.cert.clone(),
            key: tls.key.clone(),
        }),
        allow_plain_remote: chat.allow_plain_remote,
        default_model: chat.model.clone(),
        ..Settings::new()
    }
}

/// Where a listener on all addresses is reached from this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            (std::net::Ipv6Addr::LOCALHOST, address.port()).into()
        }
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}
