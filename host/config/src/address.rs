//! Addresses: where to listen, and where a model server is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hyper::http::uri::PathAndQuery;
use ipnet::IpNet;

use super::reader::{Table, Text, Value};

/// One model server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// Whether to speak TLS.
    pub tls: bool,
    /// A name or an address to connect to; an IPv6 address has no brackets here.
    pub host: String,
    /// The port to connect to, never 0.
    pub port: u16,
    /// What to send as `host`: with brackets around an IPv6 address, and without the scheme's default port.
    pub authority: String,
    /// A prefix for every request path: "" or `/…`, without a trailing slash.
    pub base: String,
    /// Whether the host is a name whose addresses are targets of their own.
    pub dns: bool,
}

/// What stands before the scheme of a name whose addresses are targets.
const DNS: &str = "dns+";

impl fmt::Display for Target {
    /// As a URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let dns = if self.dns { DNS } else { "" };
        write!(f, "{dns}{scheme}://{}{}", self.authority, self.base)
    }
}

impl Target {
    /// Reads `http://host`, `https://host:port/base` and the like; the error continues the sentence "the address …".
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        refuse_user(text)?;
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some((scheme, _)) => return Err(format!("has the unknown scheme {scheme:?}")),
            None => return Err("has no scheme".to_owned()),
        };
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let default_port = if tls { 443 } else { 80 };
        let (host, port) = split_port(authority, default_port)?;
        Self::new(tls, host, port, default_port, path.trim_end_matches('/'))
    }

    /// As [`Target::parse`]; also reads `dns+http://name` and `dns+https://name`.
    pub(super) fn parse_with_dns(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix(DNS) else {
            return Self::parse(text);
        };
        let target = Self::parse(rest)?;
        if target.host.parse::<IpAddr>().is_ok() {
            return Err(format!("has an address where {DNS} needs a name"));
        }
        Ok(Self {
            dns: true,
            ..target
        })
    }

    pub(super) fn new(
        tls: bool,
        host: &str,
        port: u16,
        scheme_port: u16,
        base: &str,
    ) -> Result<Self, String> {
        if port == 0 {
            return Err("has the port 0".to_owned());
        }
        if base.contains(['?', '#']) {
            return Err("has a query or a fragment".to_owned());
        }
        if !base.is_empty() && !is_path(base) {
            return Err("has a path with characters that must be percent-encoded".to_owned());
        }
        let host = host.to_ascii_lowercase();
        let is_v6 = host.parse::<Ipv6Addr>().is_ok();
        let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if host.is_empty() {
            return Err("has no host".to_owned());
        }
        if !is_v6 && !host.chars().all(of_name) {
            return Err(format!("has the illegal host {host:?}"));
        }
        let name = if is_v6 {
            format!("[{host}]")
        } else {
            host.clone()
        };
        let authority = if port == scheme_port {
            name
        } else {
            format!("{name}:{port}")
        };
        Ok(Self {
            tls,
            host,
            port,
            authority,
            base: base.to_owned(),
            dns: false,
        })
    }
}

/// Refuses an address with a user name and perhaps a password. It is neither shown nor parsed further: a password may contain
/// any separator, and what follows it would pass for a port or a path.
pub(super) fn refuse_user(text: &str) -> Result<(), String> {
    if text.contains('@') {
        return Err("contains a user name (write an @ in a path as %40)".to_owned());
    }
    Ok(())
}

/// Whether a request can have this path as it is, with or without a query.
pub(super) fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
        && PathAndQuery::try_from(text).is_ok()
}

/// An address, or a network with the length of its prefix.
pub(super) fn network(value: &Value<'_>) -> Option<IpNet> {
    let text = value.string()?;
    let network = text.parse().or_else(|_| text.parse().map(IpAddr::into));
    let read: Result<IpNet, _> = network;
    if read.is_err() {
        let mend = r#"write "10.0.0.1" or "10.0.0.0/8""#;
        value.problem("is neither an address nor a network", mend);
    }
    read.ok()
}

/// The networks of `trusted-proxies`.
pub(super) fn proxies(table: &Table<'_>) -> Vec<IpNet> {
    let items = table.get("trusted-proxies").and_then(|value| value.items());
    let mut networks = Vec::new();
    for item in items.unwrap_or_default() {
        let Some(network) = network(&item) else {
            continue;
        };
        if network.prefix_len() == 0 {
            item.cx.warning(
                &item.place,
                "trusts every address, so that any client can choose the address that it is known by",
                "list only the addresses of proxies",
            );
        }
        networks.push(network);
    }
    networks
}

/// Splits `host`, `host:port`, `[v6]` and `[v6]:port`; the host is without brackets.
pub(super) fn split_port(authority: &str, default_port: u16) -> Result<(&str, u16), String> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest
            .split_once(']')
            .ok_or("has an opening bracket without a closing one")?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err(format!("has the illegal host {host:?}"));
        }
        if !(after.is_empty() || after.starts_with(':')) {
            return Err(format!("has {after:?} after the host"));
        }
        (host, after.strip_prefix(':'))
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let port = match port {
        None => default_port,
        Some(text) => port_number(text).ok_or_else(|| format!("has the illegal port {text:?}"))?,
    };
    Ok((host, port))
}

/// A port in digits. `parse` alone would also accept a sign.
fn port_number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Reads an address to listen on (an IP address or `localhost`, and a port) and reserves it: no other part of the gateway can
/// listen there.
pub(super) fn listen(text: &Text<'_>) -> Option<SocketAddr> {
    let Some(address) = parse_listen(&text.text) else {
        let message = format!("is not an address to listen on: {:?}", text.text);
        text.problem(
            message,
            r#"write an address and a port, such as "127.0.0.1:8080""#,
        );
        return None;
    };
    let mut taken = text.cx.addresses.borrow_mut();
    if let Some(other) = taken.iter().find(|other| collide(**other, address)) {
        let message =
            format!("is {address}, but another part of the gateway already listens on {other}");
        text.problem(message, "choose another port");
    }
    taken.push(address);
    Some(address)
}

fn parse_listen(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some((Ipv4Addr::LOCALHOST, port_number(port)?).into()),
        None => text.parse().ok(),
    }
}

/// Whether two listeners cannot both be opened.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let (one, other) = (a.ip(), b.ip());
    let covers = one == other
        || (one.is_ipv4() == other.is_ipv4() && (one.is_unspecified() || other.is_unspecified()));
    // With port 0 the system chooses, and it never chooses one that is in use.
    a.port() != 0 && a.port() == b.port() && covers
}

#[cfg(test)]
mod tests;
