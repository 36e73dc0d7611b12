//! `chat`: the chat page, alone or with the gateway, and its database.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::process::{logging, signals, wait};
use super::{Database, environment, load, print, warn};
use sluicegate_chat::{self as chat, Chat, Settings};
use sluicegate_config::{self as config, Admin, Secret};

/// How long running answers may go on after the signal to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// Runs the page, or works with its database.
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

/// Prints the outcome of work with the database.
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
    match Chat::start(settings, crate::embedded().page).await {
        Ok(chat) => {
            println!("{}", greeting(&chat));
            wait(&mut signals, None).await;
            chat.shutdown(DRAIN).await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sluicegate: {:#}", anyhow::Error::from(error));
            ExitCode::from(super::BAD_CONFIGURATION)
        }
    }
}

/// Prints the login link. It is a secret, so it goes to the terminal and not to the log.
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
    // The gateway accepts this variable as a key, so its page may use it.
    let own_key = || environment("SLUICEGATE_API_KEY").filter(|key| !key.is_empty());
    Settings {
        listen: chat.listen,
        endpoint,
        endpoint_key: chat.key.clone().or_else(|| own_key().map(Secret::new)),
        admin: admin.map(|admin| own(admin.listen)),
        admin_key: admin.and_then(|admin| admin.token.clone()),
        store: chat.store.clone(),
        users: chat.users.clone(),
        origins: chat.origins.clone(),
        trusted_proxies: chat.trusted_proxies.clone(),
        tls: chat.tls.clone(),
        allow_plain_remote: chat.allow_plain_remote,
        default_model: chat.model.clone(),
        orphan_timeout: chat.orphan_timeout.unwrap_or_default(),
        limits: chat.limits.clone(),
        ..Settings::new()
    }
}

/// The address at which this machine reaches a listener on all addresses.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            (std::net::Ipv6Addr::LOCALHOST, address.port()).into()
        }
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::settings;
    use sluicegate_chat as chat;
    use sluicegate_chat::Settings;
    use sluicegate_config as config;
    use sluicegate_gateway::failure::Kind;

    #[test]
    fn a_file_that_sets_no_limit_leaves_the_web_gateways_own() {
        let config = config::parse("[chat]\n", Path::new(""), &|_| None).expect("right");
        let chat = config.chat.expect("on");
        let settings = settings(&chat, None, None);
        assert_eq!(settings.limits, Settings::new().limits);
        assert_eq!(settings.orphan_timeout, Settings::new().orphan_timeout);
    }

    #[test]
    fn proxies_are_addresses_and_networks() {
        let text = "[chat]\ntrusted-proxies = [\"127.0.0.1\", \"10.0.0.0/8\", \"fd00::/8\"]\n";
        let config = config::parse(text, Path::new(""), &|_| None).expect("right");
        let settings = settings(&config.chat.expect("on"), None, None);
        let proxies: Vec<_> = settings
            .trusted_proxies
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(proxies, ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"]);
    }

    #[test]
    fn each_limit_of_the_file_is_the_web_gateways() {
        let text = r#"
[chat]
orphan-timeout = "0s"
[chat.limits]
sends-per-minute = 1
runs-per-user = 2
runs = 3
waiting-per-user = 4
queue = 5
message-chars = 6
answer = "7B"
connections = 8
connections-per-address = 9
login-failures = 11
"#;
        let config = config::parse(text, Path::new(""), &|_| None).expect("right");
        let settings = settings(&config.chat.expect("on"), None, None);
        assert!(settings.orphan_timeout.is_zero());
        let limits = settings.limits;
        assert_eq!(
            (limits.sends_per_minute, limits.runs_per_user, limits.runs),
            (1, 2, 3)
        );
        assert_eq!(
            (limits.waiting_per_user, limits.queue, limits.message_chars),
            (4, 5, 6)
        );
        assert_eq!((limits.answer, limits.connections), (7, 8));
        assert_eq!(
            (limits.connections_per_address, limits.login_failures),
            (9, 11)
        );
    }

    /// All kinds of failures of the gateway. A new kind does not compile until it is added here.
    fn kinds() -> Vec<Kind> {
        fn after(kind: Kind) -> Option<Kind> {
            Some(match kind {
                Kind::InvalidRequest => Kind::Foreign,
                Kind::Foreign => Kind::NotFound,
                Kind::NotFound => Kind::MethodNotAllowed,
                Kind::MethodNotAllowed => Kind::RequestTimeout,
                Kind::RequestTimeout => Kind::BodyTooLarge,
                Kind::BodyTooLarge => Kind::UnsupportedCoding,
                Kind::UnsupportedCoding => Kind::HeadTooLarge,
                Kind::HeadTooLarge => Kind::Overloaded,
                Kind::Overloaded => Kind::ShuttingDown,
                Kind::ShuttingDown => Kind::VersionDrained,
                Kind::VersionDrained => Kind::UpstreamUnreachable,
                Kind::UpstreamUnreachable => Kind::UpstreamConnectTimeout,
                Kind::UpstreamConnectTimeout => Kind::UpstreamFirstByteTimeout,
                Kind::UpstreamFirstByteTimeout => Kind::UpstreamStalled,
                Kind::UpstreamStalled => Kind::UpstreamBusy,
                Kind::UpstreamBusy => Kind::UpstreamIdleTimeout,
                Kind::UpstreamIdleTimeout => Kind::UpstreamTotalTimeout,
                Kind::UpstreamTotalTimeout => Kind::UpstreamBroken,
                Kind::UpstreamBroken => Kind::UpstreamInvalid,
                Kind::UpstreamInvalid => Kind::PluginFault,
                Kind::PluginFault => Kind::Refused,
                Kind::Refused => Kind::Internal,
                Kind::Internal => return None,
            })
        }
        std::iter::successors(Some(Kind::InvalidRequest), |kind| after(*kind)).collect()
    }

    #[test]
    fn every_code_of_the_gateway_has_a_cause() {
        let kinds = kinds();
        assert_eq!(
            kinds.len(),
            Kind::Internal as usize + 1,
            "a kind is not reached by the one before it"
        );
        for kind in kinds {
            let code = kind.label();
            assert!(chat::knows_error(code), "{code} is not in the table");
        }
    }
}
