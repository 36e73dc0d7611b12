//! Under which host names, and from which pages, a browser may use a listener that needs no key.
//!
//! Everybody who can reach such a listener can use it, and that includes any page in a browser on this machine. The host rule
//! stops pages whose own name resolves to this machine (DNS rebinding). The origin rule stops pages that send a request
//! without reading the response. Other programs are not stopped: they can send any `Host` and `Origin`.
//!
//! # Source
//! Ollama protects itself in the same way, and a gateway in front of it must not undo that: `allowedHostsMiddleware` in its
//! `server/routes.go`, and the schemes of desktop programs in `AllowedOrigins` of its `envconfig/config.go`.

use std::net::IpAddr;

use hyper::header::{self, HeaderName};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Uri};

/// Schemes of the pages of desktop programs.
const PROGRAMS: [&str; 5] = ["app", "file", "tauri", "vscode-file", "vscode-webview"];

/// The names of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// Names that are allowed in addition to addresses and the names of loopback, in lower case; `*` for all.
    names: Vec<String>,
    /// The key of the configuration that adds a name.
    key: &'static str,
}

/// A request under a foreign host name, or from a foreign page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// The gateway does not have this host name.
    #[error(
        "The gateway is not known as {host:?}. If that is one of its names, add it to {key} in the configuration."
    )]
    Host {
        /// As it was sent.
        host: String,
        /// The key of the configuration that adds a name.
        key: &'static str,
    },
    /// The page that sends the request is not allowed.
    #[error(
        "Pages of {origin:?} may not use this gateway. If they should, add its host to {key} in the configuration."
    )]
    Origin {
        /// As it was sent.
        origin: String,
        /// The key of the configuration that adds a name.
        key: &'static str,
    },
}

impl Hosts {
    /// The rule with these names, which `key` of the configuration holds.
    #[must_use]
    pub fn new(names: &[String], key: &'static str) -> Self {
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { names, key }
    }

    /// Checks the host that a request names, in its target or in `Host`, and the origin that a browser names.
    ///
    /// # Errors
    /// [`Foreign`].
    pub fn check(&self, uri: &Uri, fields: &HeaderMap) -> Result<(), Foreign> {
        self.check_host(uri, fields)?;
        if self.has_all() {
            return Ok(());
        }
        let hosts = || hosts(uri, fields);
        for origin in values(fields, &header::ORIGIN) {
            let known = match origin.split_once("://") {
                None => false,
                Some((scheme, host)) => {
                    let (name, same) = (name(host), |own: &str| own.eq_ignore_ascii_case(host));
                    PROGRAMS.contains(&scheme)
                        || is_loopback(name)
                        || self.has(name)
                        || hosts().any(same)
                }
            };
            if !known {
                let (origin, key) = (origin.to_owned(), self.key);
                return Err(Foreign::Origin { origin, key });
            }
        }
        Ok(())
    }

    /// Checks the host alone.
    ///
    /// # Errors
    /// [`Foreign::Host`].
    pub fn check_host(&self, uri: &Uri, fields: &HeaderMap) -> Result<(), Foreign> {
        if self.has_all() {
            return Ok(());
        }
        for host in hosts(uri, fields) {
            let name = name(host);
            if !is_address(name) && !is_loopback(name) && !self.has(name) {
                let (host, key) = (host.to_owned(), self.key);
                return Err(Foreign::Host { host, key });
            }
        }
        Ok(())
    }

    fn has_all(&self) -> bool {
        self.names.iter().any(|name| name == "*")
    }

    fn has(&self, name: &str) -> bool {
        let mut names = self.names.iter();
        names.any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// The hosts that a request names, in its target and in `Host`.
fn hosts<'a>(uri: &'a Uri, fields: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
    let target = uri.authority().map(Authority::as_str);
    target.into_iter().chain(values(fields, &header::HOST))
}

/// The values of a field; a value that is not text becomes `?`, which is never a known host.
fn values<'a>(fields: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = fields.get_all(name).into_iter();
    values.map(|value| value.to_str().unwrap_or("?"))
}

/// Without the port, the brackets of an address, and the dot of a complete name.
fn name(host: &str) -> &str {
    // Some targets have a user name and a password before the host.
    let host = host.rsplit('@').next().unwrap_or(host);
    if let Some((address, _)) = host.strip_prefix('[').and_then(|it| it.split_once(']')) {
        return address;
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.strip_suffix('.').unwrap_or(name)
}

/// An address cannot be rebound: it is not a name that somebody else could own.
fn is_address(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok()
}

fn is_loopback(name: &str) -> bool {
    match name.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        // RFC 6761, section 6.3: what is below `localhost` is loopback too.
        Err(_) => name
            .rsplit('.')
            .next()
            .is_some_and(|top| top.eq_ignore_ascii_case("localhost")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn check(fields: &[(&'static str, &'static str)]) -> Result<(), Foreign> {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        let hosts = Hosts::new(&["LLM.example".to_owned()], "listener.hosts");
        hosts.check(&Uri::from_static("/v1/models"), &map)
    }

    #[test]
    fn addresses_loopback_names_and_those_of_the_configuration_are_hosts() {
        for host in [
            "127.0.0.1:8080",
            "192.0.2.7",
            "[::1]:8080",
            "[2001:db8::1]",
            "localhost",
            "LocalHost:9",
            "localhost.:9",
            "chat.localhost:80",
            "llm.example",
            "LLM.Example:443",
        ] {
            assert_eq!(check(&[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(check(&[]), Ok(()), "HTTP/1.0");
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "xlocalhost",
            "sub.llm.example",
            "",
            "\u{7f}",
        ] {
            let Ok(value) = HeaderValue::from_str(host) else {
                continue;
            };
            let mut map = HeaderMap::new();
            map.insert("host", value);
            let hosts = Hosts::new(&["llm.example".to_owned()], "listener.hosts");
            let checked = hosts.check(&Uri::from_static("/"), &map);
            assert!(matches!(checked, Err(Foreign::Host { .. })), "{host}");
        }
        let uri = Uri::from_static("http://evil.example/v1/models");
        let hosts = Hosts::new(&[], "listener.hosts");
        assert!(hosts.check(&uri, &HeaderMap::new()).is_err(), "HTTP/2");
        let all = Hosts::new(&["*".to_owned()], "listener.hosts");
        assert_eq!(all.check(&uri, &HeaderMap::new()), Ok(()));
        let user = Uri::from_static("http://localhost:80@evil.example/v1/models");
        assert!(hosts.check(&user, &HeaderMap::new()).is_err(), "a user");
    }

    #[test]
    fn pages_of_this_machine_of_the_same_host_and_of_desktop_programs_may_send_requests() {
        for origin in [
            "http://localhost:3000",
            "https://127.0.0.1",
            "http://[::1]:5173",
            "https://llm.example",
            "http://192.0.2.7:8080",
            "tauri://localhost",
            "file://",
            "vscode-webview://abc",
        ] {
            let fields = [("host", "192.0.2.7:8080"), ("origin", origin)];
            assert_eq!(check(&fields), Ok(()), "{origin}");
        }
        for origin in [
            "https://evil.example",
            "http://198.51.100.9",
            "http://192.0.2.7",
            "null",
            "",
            "https://localhost.evil.example",
            "chrome-extension://abc",
        ] {
            let fields = [("host", "192.0.2.7:8080"), ("origin", origin)];
            assert!(
                matches!(check(&fields), Err(Foreign::Origin { .. })),
                "{origin}"
            );
        }
    }
}
