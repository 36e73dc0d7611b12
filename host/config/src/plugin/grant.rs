//! The section `[plugin.NAME.grant]`: the capabilities that a plugin is given beyond log, clock and random numbers.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use sluicegate_contract::capability::kv::Quota;
use sluicegate_contract::capability::{Capability, rate};

use crate::Target;
use crate::address::network;
use crate::reader::{Table, Value};

/// The capabilities of a plugin. Default: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// Requests to other servers.
    pub http: Option<HttpGrant>,
    /// Values by key, with the most that the plugin may hold.
    pub kv: Option<Quota>,
    /// Limits, with the most pairs of name and subject that may be in use.
    pub rate: Option<usize>,
    /// Its own metrics.
    pub metrics: bool,
}

/// Which servers a plugin may send requests to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct HttpGrant {
    /// Scheme, host and port of each.
    pub origins: Vec<Origin>,
    /// Networks in which their names may have addresses, beside the public ones.
    pub networks: Vec<IpNet>,
}

/// Where requests may go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Whether it is reached by TLS.
    pub tls: bool,
    /// A name in lower case, or an address without brackets.
    pub host: String,
    /// The port, never 0.
    pub port: u16,
}

impl From<&Target> for Origin {
    fn from(target: &Target) -> Self {
        Self {
            tls: target.tls,
            host: target.host.clone(),
            port: target.port,
        }
    }
}

impl fmt::Display for Origin {
    /// As a URL without a path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tls, host, port } = self;
        let scheme = if *tls { "https" } else { "http" };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

impl Grant {
    /// Whether this capability is granted.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::Http => self.http.is_some(),
            Capability::Kv => self.kv.is_some(),
            Capability::Rate => self.rate.is_some(),
            Capability::Metrics => self.metrics,
        }
    }

    /// The capabilities that are granted.
    pub fn capabilities(&self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(|it| self.has(*it))
    }
}

impl fmt::Display for Grant {
    /// All of it, in one line; "nothing" if that is so.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(HttpGrant { origins, networks }) = &self.http {
            let origins: Vec<_> = origins.iter().map(ToString::to_string).collect();
            let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
            let mut part = format!("http to {}", origins.join(" "));
            if !networks.is_empty() {
                part.push_str(&format!(" in networks {}", networks.join(" ")));
            }
            parts.push(part);
        }
        if let Some(Quota { keys, bytes }) = self.kv {
            parts.push(format!("kv with {keys} keys and {bytes} bytes"));
        }
        if let Some(subjects) = self.rate {
            parts.push(format!("rate with {subjects} subjects"));
        }
        if self.metrics {
            parts.push("metrics".to_owned());
        }
        if parts.is_empty() {
            return f.write_str("nothing");
        }
        f.write_str(&parts.join(", "))
    }
}

impl HttpGrant {
    /// For this origin alone, wherever it is: one that the operator has named for the gateway itself.
    #[must_use]
    pub fn to(origin: Origin) -> Self {
        let zero = [IpAddr::from([0; 4]), IpAddr::from([0; 16])];
        let networks = zero.map(|zero| IpNet::new(zero, 0));
        Self {
            origins: vec![origin],
            networks: networks.into_iter().filter_map(Result::ok).collect(),
        }
    }

    /// Whether requests may go there.
    #[must_use]
    pub fn allows(&self, origin: &Origin) -> bool {
        self.origins.contains(origin)
    }

    /// Whether this address of an origin's host may be connected to.
    #[must_use]
    pub fn allows_address(&self, origin: &Origin, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let listed = origin.host.parse().ok() == Some(address);
        listed || is_public(address) || self.networks.iter().any(|it| it.contains(&address))
    }
}

/// Whether anybody may have this address: it is in no network that is private, local or special.
///
/// # Source
/// IANA's special-purpose address registries for IPv4 and IPv6.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            let special = match a {
                0 | 10 | 127 => true,
                100 => b & 0xc0 == 64,
                169 => b == 254,
                172 => b & 0xf0 == 16,
                192 => matches!((b, c), (168, _) | (0, 0 | 2) | (88, 99)),
                198 => b & 0xfe == 18 || (b, c) == (51, 100),
                203 => (b, c) == (0, 113),
                _ => a >= 224,
            };
            !special
        }
        IpAddr::V6(address) => {
            let segments = address.segments();
            match segments[0] {
                // An address of IPv4 inside counts as what it is.
                0x64 if segments[1..6] == [0xff9b, 0, 0, 0, 0] => {
                    is_public(embedded(segments[6], segments[7]))
                }
                0x2002 => is_public(embedded(segments[1], segments[2])),
                0x2001 => segments[1] >= 0x200 && segments[1] != 0xdb8,
                first => first & 0xe000 == 0x2000 && first != 0x3fff,
            }
        }
    }
}

fn embedded(high: u16, low: u16) -> IpAddr {
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    IpAddr::from([a, b, c, d])
}

/// Reads the section.
pub(super) fn grant(table: &Table<'_>) -> Grant {
    let grant = Grant {
        http: table.get("http").and_then(|value| http(&value)),
        kv: table.get("kv").and_then(|value| kv(&value)),
        rate: table.get("rate").and_then(|value| rate(&value)),
        metrics: table.flag("metrics").unwrap_or(false),
    };
    table.finish();
    grant
}

/// A list of origins, or a table with one.
fn http(value: &Value<'_>) -> Option<HttpGrant> {
    let mut grant = HttpGrant::default();
    if value.node.is_table() {
        let table = value.table()?;
        let mend = r#"list what may be asked: origins = ["https://idp.example"]"#;
        if let Some(list) = table.required("origins", mend) {
            grant.origins = origins(&list)?;
        }
        let networks = table.get("networks").and_then(|list| list.items());
        let networks = networks.iter().flatten();
        grant.networks = networks.filter_map(network).collect();
        table.finish();
    } else {
        grant.origins = origins(value)?;
    }
    Some(grant)
}

fn origins(list: &Value<'_>) -> Option<Vec<Origin>> {
    if !list.node.is_array() {
        let mend =
            r#"list what may be asked, such as ["https://idp.example", "http://10.0.0.5:8080"]"#;
        list.problem("is no list of origins", mend);
        return None;
    }
    let items = list.items()?;
    if items.is_empty() {
        list.problem("grants nothing", "list an origin, or remove it");
    }
    Some(items.iter().filter_map(origin).collect())
}

fn origin(value: &Value<'_>) -> Option<Origin> {
    let text = value.string()?;
    let mend = r#"write scheme and host, and the port if it is another than the scheme's: "https://idp.example:8443""#;
    let message = match Target::parse(text) {
        Ok(target) if target.base.is_empty() => {
            return Some(Origin::from(&target));
        }
        Ok(_) => "has a path: every path of an origin may be asked".to_owned(),
        Err(error) => error,
    };
    value.problem(message, mend);
    None
}

/// True, or a table with the quota.
fn kv(value: &Value<'_>) -> Option<Quota> {
    let default = Quota::default();
    let quota = |table: &Table<'_>| Quota {
        keys: table.count("keys").unwrap_or(default.keys),
        bytes: table.size("size").map_or(default.bytes, |size| {
            usize::try_from(size).unwrap_or(usize::MAX)
        }),
    };
    with_bounds(value, quota, default, r#"{ keys = 1000, size = "1MiB" }"#)
}

/// True, or a table with the bound.
fn rate(value: &Value<'_>) -> Option<usize> {
    let pairs = |table: &Table<'_>| table.count("subjects").unwrap_or(rate::PAIRS);
    with_bounds(value, pairs, rate::PAIRS, "{ subjects = 1000 }")
}

fn with_bounds<T>(
    value: &Value<'_>,
    read: impl FnOnce(&Table<'_>) -> T,
    default: T,
    example: &str,
) -> Option<T> {
    if value.node.is_table() {
        let table = value.table()?;
        let bounds = read(&table);
        table.finish();
        return Some(bounds);
    }
    match value.node.as_bool() {
        Some(true) => Some(default),
        Some(false) => None,
        None => {
            let mend = format!("write true, or the bounds: {example}");
            value.problem("is neither a boolean nor a table", mend);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(host: &str) -> Origin {
        Origin {
            tls: true,
            host: host.into(),
            port: 443,
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn only_public_addresses_are_allowed_unless_they_are_listed() {
        let mut grant = HttpGrant::default();
        let name = origin("idp.example");
        for public in [
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "192.167.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1",
            "2001:4860::8888",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(grant.allows_address(&name, address(public)), "{public}");
        }
        let private = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
        ];
        for private in private {
            assert!(!grant.allows_address(&name, address(private)), "{private}");
        }
        assert!(grant.allows_address(&origin("10.1.2.3"), address("10.1.2.3")));
        assert!(grant.allows_address(&origin("10.1.2.3"), address("::ffff:10.1.2.3")));
        assert!(!grant.allows_address(&origin("10.1.2.3"), address("10.1.2.4")));
        grant.networks = vec!["10.0.0.0/8".parse().expect("a network")];
        assert!(grant.allows_address(&name, address("10.1.2.3")));
        assert!(!grant.allows_address(&name, address("127.0.0.1")));
    }

    #[test]
    fn a_grant_shows_all_of_it() {
        assert_eq!(Grant::default().to_string(), "nothing");
        let grant = Grant {
            http: Some(HttpGrant {
                origins: vec![origin("a"), origin("b")],
                networks: vec!["10.0.0.0/8".parse().expect("a network")],
            }),
            kv: Some(Quota { keys: 1, bytes: 2 }),
            rate: Some(3),
            metrics: true,
        };
        assert_eq!(
            grant.to_string(),
            "http to https://a:443 https://b:443 in networks 10.0.0.0/8, kv with 1 keys and 2 bytes, \
             rate with 3 subjects, metrics"
        );
    }

    #[test]
    fn scheme_host_and_port_must_be_those_that_are_listed() {
        let grant = HttpGrant {
            origins: vec![origin("idp.example")],
            networks: Vec::new(),
        };
        assert!(grant.allows(&origin("idp.example")));
        assert!(!grant.allows(&origin("example")));
        let other_port = Origin {
            port: 8443,
            ..origin("idp.example")
        };
        let plain = Origin {
            tls: false,
            ..origin("idp.example")
        };
        assert!(!grant.allows(&other_port) && !grant.allows(&plain));
        assert_eq!(plain.to_string(), "http://idp.example:443");
        assert_eq!(origin("::1").to_string(), "https://[::1]:443");
    }
}
