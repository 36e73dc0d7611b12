//! Ollama's own environment variable: `OLLAMA_HOST` sets the targets of the upstream with `adapter = "ollama"`, if there is
//! only one.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::{refuse_user, split_port};
use super::reader::Table;
use super::{Target, Upstream};

/// The variable.
const HOST: &str = "OLLAMA_HOST";

/// The adapter whose upstream it is for.
const ADAPTER: &str = "ollama";

/// The target that the environment names for an upstream with this adapter.
pub(super) fn target(table: &Table<'_>, adapter: Option<&str>) -> Option<Target> {
    adapter.filter(|adapter| *adapter == ADAPTER)?;
    let text = table.cx.variable(HOST)?;
    let report = |error| {
        text.problem(
            format!("is not an address of Ollama: it {error}"),
            "write host, host:port or http://host:port, or unset it",
        );
    };
    parse(&text.text).map_err(report).ok()
}

/// It must be clear which upstream the variable is for.
pub(super) fn check(root: &Table<'_>, upstreams: &BTreeMap<String, Upstream>) {
    let of_ollama = |upstream: &&Upstream| upstream.adapter.as_deref() == Some(ADAPTER);
    if upstreams.values().filter(of_ollama).count() > 1
        && let Some(text) = root.cx.variable(HOST)
    {
        text.problem(
            "is set, but more than one upstream has adapter = \"ollama\"",
            "unset it, and give each of them its targets",
        );
    }
}

/// Reads what Ollama itself accepts in `OLLAMA_HOST`: a host, a port, both, or a URL (Ollama source,
/// `envconfig/config.go`, August 2026). An address that means "all interfaces" to a server is loopback to a client.
pub(super) fn parse(text: &str) -> Result<Target, String> {
    refuse_user(text)?;
    let text = text.trim().trim_matches(['"', '\'']).trim();
    let (tls, default_port, rest) = match text.split_once("://") {
        None => (false, 11434, text),
        Some(("http", rest)) => (false, 80, rest),
        Some(("https", rest)) => (true, 443, rest),
        Some((scheme, _)) => return Err(format!("has the unknown scheme {scheme:?}")),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_matches('/');
    let base = if path.is_empty() {
        String::new()
    } else {
        format!("/{path}")
    };
    // A bare IPv6 address has colons but no port.
    let (host, port) = match authority.parse::<Ipv6Addr>() {
        Ok(_) => (authority, default_port),
        Err(_) => split_port(authority, default_port)?,
    };
    let host = match host.parse::<IpAddr>() {
        _ if host.is_empty() => Ipv4Addr::LOCALHOST.to_string(),
        Ok(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        Ok(IpAddr::V6(address)) if address.is_unspecified() => Ipv6Addr::LOCALHOST.to_string(),
        Ok(_) | Err(_) => host.to_owned(),
    };
    let scheme_port = if tls { 443 } else { 80 };
    Target::new(tls, &host, port, scheme_port, &base)
}
