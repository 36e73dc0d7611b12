//! Ollama's checks of `Origin` and `Host`, against web pages and DNS rebinding. Pure.
//!
//! # Source
//! Ollama, `server/routes.go` (`allowedHostsMiddleware`) and `envconfig/config.go` (`AllowedOrigins`), read in 2026.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Schemes of desktop shells and editors whose pages may always ask.
const ORIGIN_SCHEMES: [&str; 8] = [
    "app://",
    "file://",
    "tauri://",
    "vscode-webview://",
    "vscode-file://",
    "chrome-extension://",
    "moz-extension://",
    "safari-web-extension://",
];

/// Whether a request with this `Origin` may pass; `host` is its `Host` field.
pub(super) fn origin_allowed(origin: Option<&str>, host: &str) -> bool {
    let Some(origin) = origin else {
        return true;
    };
    if ORIGIN_SCHEMES
        .iter()
        .any(|scheme| origin.starts_with(scheme))
    {
        return true;
    }
    let Some(authority) = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"))
    else {
        return false;
    };
    authority == host
        || matches!(
            without_port(authority),
            "localhost" | "127.0.0.1" | "0.0.0.0"
        )
}

/// Whether a server on a loopback address answers to this `Host` field.
pub(super) fn host_allowed(host: &str) -> bool {
    let name = without_port(host);
    if name.is_empty() || name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => v4_local(address),
        Ok(IpAddr::V6(address)) => v6_local(address),
        Err(_) => {
            let name = name.to_ascii_lowercase();
            [".localhost", ".local", ".internal"]
                .iter()
                .any(|suffix| name.ends_with(suffix))
        }
    }
}

/// The host part of an authority. Brackets go only together with a port, as in Go's `net.SplitHostPort`: `[::1]` alone
/// keeps them, and so is refused by Ollama too.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            match host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'))
            {
                Some(inner) => inner,
                // More colons: an IPv6 address without brackets, which has no port.
                None if host.contains(':') => authority,
                None => host,
            }
        }
        Some(_) | None => authority,
    }
}

fn v4_local(address: Ipv4Addr) -> bool {
    address.is_loopback()
        || address.is_private()
        || address.is_unspecified()
        || address.is_link_local()
}

fn v6_local(address: Ipv6Addr) -> bool {
    address.is_loopback()
        || address.is_unique_local()
        || address.is_unspecified()
        || address.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine_and_network_pass() {
        for host in [
            "",
            "localhost",
            "LOCALHOST:11434",
            "127.0.0.1:11434",
            "127.0.0.1",
            "10.1.2.3:80",
            "192.168.0.7",
            "0.0.0.0:1",
            "[::1]:11434",
            "::1",
            "169.254.0.1",
            "model.local",
            "ollama.internal:80",
            "a.localhost",
            "[fd00::1]:1",
        ] {
            assert!(host_allowed(host), "{host}");
        }
    }

    #[test]
    fn foreign_hosts_are_refused() {
        for host in [
            "example.com",
            "gateway.example.com:8080",
            "8.8.8.8",
            "[::1]",
            "[2001:db8::1]:80",
            "local",
            "localhost.evil.com",
            "evil:local",
        ] {
            assert!(!host_allowed(host), "{host}");
        }
    }

    #[test]
    fn own_local_and_desktop_origins_pass() {
        for origin in [
            None,
            Some("http://gateway:8080"),
            Some("https://gateway:8080"),
            Some("http://localhost:3000"),
            Some("https://127.0.0.1"),
            Some("http://0.0.0.0:5"),
            Some("app://x"),
            Some("vscode-webview://abc"),
            Some("chrome-extension://abc"),
        ] {
            assert!(origin_allowed(origin, "gateway:8080"), "{origin:?}");
        }
    }

    #[test]
    fn foreign_origins_are_refused() {
        for origin in [
            "null",
            "",
            "https://example.com",
            "http://gateway:8081",
            "http://localhost.example.com",
            "ftp://localhost",
        ] {
            assert!(!origin_allowed(Some(origin), "gateway:8080"), "{origin}");
        }
    }
}
