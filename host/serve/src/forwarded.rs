//! Who sends a request where proxies of ours stand in front: what they say of it in `x-forwarded-for` or `forwarded`.
//!
//! Each proxy adds the address that it saw to the end of the field. So what our own proxies say stands at the right, and what
//! stands before the first address that is not one of theirs can be anybody's invention.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whether an address is in one of these networks.
#[must_use]
pub fn is_among(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// The client's address: the peer or, if that is one of the `proxies`, the last address before them.
///
/// A proxy that says nothing of its client, or that hides the address, is taken for the client itself. If a request has both
/// fields, `x-forwarded-for` counts.
///
/// # Source
/// RFC 7239, and for `x-forwarded-for`, which no standard describes, what nginx, HAProxy and Envoy send.
#[must_use]
pub fn client(proxies: &[IpNet], peer: IpAddr, fields: &HeaderMap) -> IpAddr {
    if !is_among(proxies, peer) {
        return peer.to_canonical();
    }
    if fields.contains_key(FORWARDED_FOR) {
        let lines = fields.get_all(FORWARDED_FOR).into_iter().rev();
        let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        before(proxies, peer, entries.map(address))
    } else {
        let lines = fields.get_all(FORWARDED).into_iter().rev();
        let elements = lines.flat_map(|line| Elements(Some(line.as_bytes())));
        before(proxies, peer, elements.map(named))
    }
}

/// The last address that is not one of a proxy. `addresses` come from the right; what is no address ends them.
fn before(
    proxies: &[IpNet],
    peer: IpAddr,
    addresses: impl Iterator<Item = Option<IpAddr>>,
) -> IpAddr {
    let mut client = peer.to_canonical();
    for address in addresses {
        let Some(address) = address else { break };
        client = address;
        if !is_among(proxies, client) {
            break;
        }
    }
    client
}

/// An address as proxies write it; some add a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let in_brackets = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let plain = in_brackets.unwrap_or(text).parse::<IpAddr>();
    let with_port = || text.parse::<SocketAddr>().map(|it| it.ip());
    let address = plain.or_else(|_| with_port()).ok()?;
    Some(address.to_canonical())
}

/// The elements of a `forwarded` field from right to left: what a client has invented stands at the left, and cannot hide what a
/// proxy has added with a quotation mark that it never closes.
struct Elements<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.0.take()?;
        let mut quoted = false;
        for (at, byte) in line.iter().enumerate().rev() {
            match byte {
                b'"' if !is_escaped(&line[..at]) => quoted = !quoted,
                b',' if !quoted => {
                    self.0 = Some(&line[..at]);
                    return Some(&line[at + 1..]);
                }
                _ => {}
            }
        }
        Some(line)
    }
}

/// Whether what follows this is escaped by a backslash at its end, and that backslash not by another one.
fn is_escaped(before: &[u8]) -> bool {
    let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\');
    backslashes.count() % 2 == 1
}

/// The address that an element of `forwarded` names, if it names one.
fn named(element: &[u8]) -> Option<IpAddr> {
    let mut rest = std::str::from_utf8(element).ok()?.trim();
    let mut found = None;
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = value(after)?;
        if name.trim().eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
        rest = match after.trim_start() {
            "" => "",
            more => more.strip_prefix(';')?.trim_start(),
        };
    }
    address(found?.as_bytes())
}

/// The value at the beginning of `text`, without its quotation marks, and what follows it.
fn value(text: &str) -> Option<(&str, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return Some(text.split_at(text.find(';').unwrap_or(text.len())));
    };
    let is_end =
        |(at, _): &(usize, &str)| !is_escaped(quoted.get(..*at).unwrap_or_default().as_bytes());
    let (end, mark) = quoted.match_indices('"').find(is_end)?;
    Some((&quoted[..end], &quoted[end + mark.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who the client is for a gateway behind proxies in 10.0.0.0/8 and fd00::/8.
    fn client(peer: &str, fields: &[(&'static str, &'static [u8])]) -> String {
        let proxies = ["10.0.0.0/8", "fd00::/8"].map(|it| it.parse().expect("a network"));
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            let value = hyper::header::HeaderValue::from_bytes(value);
            map.append(*name, value.expect("a legal value"));
        }
        super::client(&proxies, peer.parse().expect("an address"), &map).to_string()
    }

    fn by_list(list: &'static str) -> String {
        client("10.0.0.1", &[("x-forwarded-for", list.as_bytes())])
    }

    fn by_standard(list: &'static str) -> String {
        client("10.0.0.1", &[("forwarded", list.as_bytes())])
    }

    #[test]
    fn only_a_proxy_is_believed() {
        for field in ["x-forwarded-for", "forwarded"] {
            let value: &[u8] = match field {
                "forwarded" => b"for=192.0.2.7",
                _ => b"192.0.2.7",
            };
            assert_eq!(client("10.0.0.1", &[(field, value)]), "192.0.2.7");
            assert_eq!(client("198.51.100.1", &[(field, value)]), "198.51.100.1");
            assert_eq!(client("::ffff:10.0.0.1", &[(field, value)]), "192.0.2.7");
            assert_eq!(client("fd00::1", &[(field, value)]), "192.0.2.7");
        }
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("::ffff:10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("::ffff:192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn the_last_address_before_the_proxies_is_the_client() {
        for (list, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7, 10.1.2.3", "192.0.2.7"),
            ("192.0.2.7,10.1.2.3 ,\tfd00::2", "192.0.2.7"),
            ("8.8.8.8, 192.0.2.7", "192.0.2.7"),
            ("10.0.0.9, 192.0.2.7, 10.1.2.3", "192.0.2.7"),
            ("10.0.0.9, 10.1.2.3", "10.0.0.9"),
            ("192.0.2.7:4711", "192.0.2.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711, 10.0.0.2", "2001:db8::1"),
            ("192.0.2.7, ::ffff:10.0.0.2", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("8.8.8.8, unknown", "10.0.0.1"),
            ("8.8.8.8, unknown, 10.0.0.2", "10.0.0.2"),
            ("8.8.8.8, _hidden", "10.0.0.1"),
            ("8.8.8.8, 999.1.1.1", "10.0.0.1"),
            ("8.8.8.8, ", "10.0.0.1"),
            ("8.8.8.8 192.0.2.7", "10.0.0.1"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(by_list(list), expected, "{list:?}");
        }
        let lines: [(&str, &[u8]); 2] = [
            ("x-forwarded-for", b"8.8.8.8, 192.0.2.7"),
            ("x-forwarded-for", b"10.1.2.3"),
        ];
        assert_eq!(client("10.0.0.1", &lines), "192.0.2.7");
        let no_text: [(&str, &[u8]); 1] = [("x-forwarded-for", b"\xff, 192.0.2.7")];
        assert_eq!(client("10.0.0.1", &no_text), "192.0.2.7");
        let both: [(&str, &[u8]); 2] = [
            ("forwarded", b"for=8.8.8.8"),
            ("x-forwarded-for", b"192.0.2.7"),
        ];
        assert_eq!(client("10.0.0.1", &both), "192.0.2.7");
    }

    #[test]
    fn the_standard_field_is_read_as_its_grammar_says() {
        for (list, expected) in [
            ("for=192.0.2.7", "192.0.2.7"),
            ("For=192.0.2.7;proto=https;by=203.0.113.4", "192.0.2.7"),
            ("proto=https; for=\"192.0.2.7:4711\"", "192.0.2.7"),
            ("for=\"[2001:db8::1]\"", "2001:db8::1"),
            ("for=\"[2001:db8::1]:4711\", for=10.0.0.2", "2001:db8::1"),
            ("for=8.8.8.8, for=192.0.2.7, for=10.0.0.2", "192.0.2.7"),
            ("for=8.8.8.8, for=unknown", "10.0.0.1"),
            ("for=8.8.8.8, for=_hidden, for=10.0.0.2", "10.0.0.2"),
            ("for=8.8.8.8, proto=http", "10.0.0.1"),
            ("for=8.8.8.8;for=9.9.9.9", "10.0.0.1"),
            ("for", "10.0.0.1"),
            // What a client invents, in front of what the proxy adds.
            ("for=\"8.8.8.8, for=192.0.2.7", "192.0.2.7"),
            ("x=\"\\\", for=192.0.2.7", "192.0.2.7"),
            // What a client has a proxy repeat, such as its `host`.
            ("for=192.0.2.7;host=\"a, for=8.8.8.8\"", "192.0.2.7"),
            ("for=192.0.2.7;host=\"a;for=8.8.8.8\"", "192.0.2.7"),
            ("for=192.0.2.7;host=\"\\\", for=8.8.8.8\"", "192.0.2.7"),
            ("host=\"\\\\\";for=192.0.2.7", "192.0.2.7"),
        ] {
            assert_eq!(by_standard(list), expected, "{list:?}");
        }
    }
}
