//! What an operator can set for the web gateway, and which combinations are refused.
//!
//! Files and the environment are not read here: the caller fills in [`Settings`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::{Authority, Scheme};
use ipnet::IpNet;

use super::wire::user::Scope;
use sluicegate_config::{ChatLimits, Secret, Tls, User};

/// Everything the web gateway needs to know.
///
/// # Shape
/// [`Settings::new`] gives the defaults for one machine; change fields from there. [`Settings::problems`] lists what is wrong.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Base URL of the proxy, with or without OpenAI's `/v1` at its end. Must be `http` or `https`.
    pub endpoint: String,
    /// The gateway's own key for the proxy, sent as `Authorization: Bearer`.
    pub endpoint_key: Option<Secret>,
    /// Base URL of the proxy's admin interface, for `/debug`. Its absence only makes the card shorter.
    pub admin: Option<String>,
    /// Token for that interface.
    pub admin_key: Option<Secret>,
    /// The database file. Its folder is created if it is missing.
    pub store: PathBuf,
    /// Who may log in with a token. Empty: only with one-time links, as user `local`.
    pub users: Vec<User>,
    /// Origins from which the page is used besides loopback, such as `https://chat.example.com`.
    pub origins: Vec<String>,
    /// Proxies in front of the gateway, whose `X-Forwarded-For` names the client. From others that field is ignored.
    pub trusted_proxies: Vec<IpNet>,
    /// Certificate and key; absent: plain HTTP.
    pub tls: Option<Tls>,
    /// Allows listening off loopback without TLS.
    pub allow_plain_remote: bool,
    /// The model to ask if none was chosen; absent: the first that the proxy lists.
    pub default_model: Option<String>,
    /// Offers `POST /v1/chat/completions` and `GET /v1/models` to programs with a token.
    pub passthrough: bool,
    /// Reads the page's files from this folder at each request instead of the built-in ones.
    pub ui_dir: Option<PathBuf>,
    /// What one user, address or session may take.
    pub limits: ChatLimits,
    /// What one socket may take.
    pub sockets: SocketLimits,
    /// How long to wait for the proxy.
    pub timeouts: Timeouts,
    /// A run that nobody watches is stopped after this time. Zero: never.
    pub orphan_timeout: Duration,
}

/// What one socket or event stream may take, and what may wait for it. None of it is in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketLimits {
    /// Bytes of one frame from a client. Default 1 MiB.
    pub frame_bytes: usize,
    /// Frames per second on one socket. Default 20, and twice that at once.
    pub frames_per_second: u32,
    /// Frames that may wait for one socket; beyond that it is closed, to resume later. Default 256.
    pub outbox: usize,
    /// Bytes that may wait for one socket; a longer frame may wait alone. Default 4 MiB.
    pub outbox_bytes: usize,
    /// Bytes that may wait for all sockets of one user. Default 64 MiB.
    pub outbox_bytes_per_user: usize,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            frame_bytes: 1 << 20,
            frames_per_second: 20,
            outbox: 256,
            outbox_bytes: 4 << 20,
            outbox_bytes_per_user: 64 << 20,
        }
    }
}

/// How long to wait for the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection. Default 3 s.
    pub connect: Duration,
    /// For the head of the response. Default 330 s: the proxy itself waits 300 s for a cold model and should report that itself.
    pub first_byte: Duration,
    /// Between two reads of the response. Default 75 s: the proxy sends a comment every 15 s and waits 60 s for the model.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            first_byte: Duration::from_secs(330),
            idle: Duration::from_secs(75),
        }
    }
}

/// Why settings are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Off loopback without any token.
    #[error("listening on {0}, which other machines can reach, needs at least one access token")]
    RemoteWithoutToken(SocketAddr),
    /// Off loopback without TLS.
    #[error(
        "listening on {0} without TLS shows logins to the network: set tls, or allow-plain-remote where something in front does TLS"
    )]
    RemoteWithoutTls(SocketAddr),
    /// A token that can be guessed.
    #[error("the token of `{0}` is shorter than 16 characters")]
    ShortToken(String),
    /// Two users with the same name or token.
    #[error("the name or the token of `{0}` is used twice")]
    RepeatedUser(String),
    /// A URL that cannot be called.
    #[error(
        "{what} is `{url}`; it must be http://host:port or https://host:port, optionally with a path, without user and query"
    )]
    BadUrl {
        /// Which setting.
        what: &'static str,
        /// Its value.
        url: String,
    },
    /// An origin that a browser would never send.
    #[error(
        "`{0}` is not an origin: write scheme://host or scheme://host:port and nothing after it; wildcards are not possible"
    )]
    BadOrigin(String),
}

impl Settings {
    /// Defaults for one machine: the page on 127.0.0.1:18789, the proxy on 127.0.0.1:8080.
    pub fn new() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 18789)),
            endpoint: "http://127.0.0.1:8080".to_owned(),
            endpoint_key: None,
            admin: Some("http://127.0.0.1:9180".to_owned()),
            admin_key: None,
            store: PathBuf::from("sluicegate.db"),
            users: Vec::new(),
            origins: Vec::new(),
            trusted_proxies: Vec::new(),
            tls: None,
            allow_plain_remote: false,
            default_model: None,
            passthrough: false,
            ui_dir: None,
            limits: ChatLimits::default(),
            sockets: SocketLimits::default(),
            timeouts: Timeouts::default(),
            orphan_timeout: Duration::from_secs(15 * 60),
        }
    }

    /// Everything that is wrong, so that it can be corrected at once. Empty: the settings can be used.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !self.listen.ip().is_loopback() {
            if self.users.is_empty() {
                problems.push(Problem::RemoteWithoutToken(self.listen));
            }
            if self.tls.is_none() && !self.allow_plain_remote {
                problems.push(Problem::RemoteWithoutTls(self.listen));
            }
        }
        for (at, user) in self.users.iter().enumerate() {
            if user.token.expose().len() < 16 {
                problems.push(Problem::ShortToken(user.name.clone()));
            }
            let repeated = |other: &User| other.name == user.name || other.token == user.token;
            if self.users[..at].iter().any(repeated) {
                problems.push(Problem::RepeatedUser(user.name.clone()));
            }
        }
        let admin = self.admin.as_ref().map(|url| ("admin", url));
        for (what, url) in [Some(("endpoint", &self.endpoint)), admin]
            .into_iter()
            .flatten()
        {
            if base_url(url).is_none() {
                problems.push(Problem::BadUrl {
                    what,
                    url: url.clone(),
                });
            }
        }
        problems.extend(
            self.origins
                .iter()
                .filter(|o| origin(o).is_none())
                .cloned()
                .map(Problem::BadOrigin),
        );
        problems
    }

    /// The URL that requests go to; `None` if the endpoint is not a URL.
    pub fn asks(&self) -> Option<String> {
        let BaseUrl {
            https,
            authority,
            path,
        } = endpoint(&self.endpoint)?;
        let scheme = if https { "https" } else { "http" };
        Some(format!("{scheme}://{authority}{path}{CHAT}"))
    }

    /// The scopes of users who log in with a one-time link.
    pub(crate) fn local_scopes() -> Vec<Scope> {
        vec![Scope::Chat, Scope::Debug]
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

/// The path of chat completions.
pub(crate) const CHAT: &str = "/v1/chat/completions";

/// A URL to which paths can be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseUrl {
    pub https: bool,
    pub authority: Authority,
    /// Empty, or starts with `/` and does not end with one.
    pub path: String,
}

impl BaseUrl {
    /// The host without brackets, for connecting and for TLS.
    pub(crate) fn host(&self) -> &str {
        self.authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
    }

    /// The port, or that of the scheme.
    pub(crate) fn port(&self) -> u16 {
        self.authority
            .port_u16()
            .unwrap_or(if self.https { 443 } else { 80 })
    }
}

/// Reads a base URL; `None` if it is not one.
pub(crate) fn base_url(text: &str) -> Option<BaseUrl> {
    let uri: Uri = text.parse().ok()?;
    let https = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => false,
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(_) | None => return None,
    };
    let authority = uri.authority()?.clone();
    if authority.as_str().contains('@') || authority.host().is_empty() || uri.query().is_some() {
        return None;
    }
    Some(BaseUrl {
        https,
        authority,
        path: uri.path().trim_end_matches('/').to_owned(),
    })
}

/// Reads the base URL of an endpoint. For OpenAI's clients it ends with `/v1`, which our paths include already.
pub(crate) fn endpoint(text: &str) -> Option<BaseUrl> {
    let url = base_url(text)?;
    Some(BaseUrl {
        path: url.path.strip_suffix("/v1").unwrap_or(&url.path).to_owned(),
        ..url
    })
}

/// Reads an origin as browsers write it; returns it in lower case without a default port.
pub(crate) fn origin(text: &str) -> Option<String> {
    let url = base_url(text)?;
    if !url.path.is_empty() || text.ends_with('/') || text.contains('*') {
        return None;
    }
    let host = url.authority.host().to_ascii_lowercase();
    let scheme = if url.https { "https" } else { "http" };
    match url.authority.port_u16() {
        Some(port) if port != if url.https { 443 } else { 80 } => {
            Some(format!("{scheme}://{host}:{port}"))
        }
        Some(_) | None => Some(format!("{scheme}://{host}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote() -> Settings {
        Settings {
            listen: SocketAddr::from(([0, 0, 0, 0], 18789)),
            ..Settings::new()
        }
    }

    fn user(name: &str, token: &str) -> User {
        User {
            name: name.to_owned(),
            token: Secret::new(token.to_owned()),
            debug: false,
        }
    }

    #[test]
    fn the_defaults_fit() {
        assert_eq!(Settings::default().problems(), []);
    }

    #[test]
    fn off_loopback_needs_a_token_always_and_tls_unless_told_otherwise() {
        let at = remote().listen;
        assert_eq!(
            remote().problems(),
            [
                Problem::RemoteWithoutToken(at),
                Problem::RemoteWithoutTls(at)
            ]
        );
        let plain = Settings {
            allow_plain_remote: true,
            ..remote()
        };
        assert_eq!(plain.problems(), [Problem::RemoteWithoutToken(at)]);
        let token = Settings {
            users: vec![user("ann", "0123456789abcdef")],
            ..remote()
        };
        assert_eq!(token.problems(), [Problem::RemoteWithoutTls(at)]);
        let tls = Settings {
            tls: Some(Tls {
                cert: "c".into(),
                key: "k".into(),
            }),
            ..token.clone()
        };
        assert_eq!(tls.problems(), []);
        assert_eq!(
            Settings {
                allow_plain_remote: true,
                ..token
            }
            .problems(),
            []
        );
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let settings = Settings {
            endpoint: "file:///etc/passwd".to_owned(),
            origins: vec![
                "https://*.example.com".to_owned(),
                "https://a.example".to_owned(),
            ],
            users: vec![user("ann", "short"), user("ann", "0123456789abcdef")],
            ..Settings::new()
        };
        assert_eq!(settings.problems().len(), 4);
    }

    #[test]
    fn only_plain_http_urls_are_endpoints() {
        for bad in [
            "",
            "127.0.0.1:8080",
            "ftp://a",
            "http://",
            "http://u:p@a",
            "http://a/?q=1",
            "unix:/x",
            "//a",
        ] {
            assert_eq!(base_url(bad), None, "{bad}");
        }
        let url = base_url("https://[::1]/api/").expect("it is a base URL");
        assert_eq!(
            (url.host(), url.port(), url.path.as_str(), url.https),
            ("::1", 443, "/api", true)
        );
        assert_eq!(base_url("http://h:81").map(|u| u.port()), Some(81));
    }

    #[test]
    fn an_endpoint_is_the_same_with_v1_and_without() {
        for (given, asked) in [
            ("http://a:1", "http://a:1/v1/chat/completions"),
            ("http://a:1/", "http://a:1/v1/chat/completions"),
            ("http://a:1/v1", "http://a:1/v1/chat/completions"),
            ("http://a:1/v1/", "http://a:1/v1/chat/completions"),
            (
                "https://a/openai/v1",
                "https://a/openai/v1/chat/completions",
            ),
            ("https://a/env1", "https://a/env1/v1/chat/completions"),
        ] {
            let settings = Settings {
                endpoint: given.to_owned(),
                ..Settings::new()
            };
            assert_eq!(settings.asks().as_deref(), Some(asked), "{given}");
        }
    }

    #[test]
    fn origins_are_normalised_and_never_wild() {
        assert_eq!(
            origin("HTTPS://Chat.Example:443"),
            Some("https://chat.example".to_owned())
        );
        assert_eq!(origin("http://a:8080"), Some("http://a:8080".to_owned()));
        for bad in ["null", "*", "https://a/", "https://a/b", "https://*.a", "a"] {
            assert_eq!(origin(bad), None, "{bad}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let settings = Settings {
            users: vec![user("ann", "very-secret-token")],
            ..Settings::new()
        };
        assert!(!format!("{settings:?}").contains("very-secret"));
    }
}
