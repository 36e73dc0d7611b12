//! The hosts and origins under which a browser may use this gateway.
//!
//! The host rule stops pages that make their name resolve to this machine (DNS rebinding); the origin rule stops pages of other
//! sites, and other programs on this machine, from opening our socket or writing through our API with the user's cookie.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{self, HeaderName};
use ipnet::IpNet;

use super::settings::{self, Settings};

/// The field in which proxies name their client.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What a request's `Origin` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// No origin: not a page, or a page's plain GET.
    Absent,
    /// One of ours.
    Ours,
    /// Another one, `null`, or several.
    Foreign,
}

/// The allow-lists.
#[derive(Debug, Clone)]
pub(crate) struct AllowList {
    /// Host and port as in `Host`, in lower case, and whether they are reached by TLS.
    hosts: Vec<(String, bool)>,
    origins: Vec<String>,
    /// Proxies in front of us, whose word for the client's address counts.
    proxies: Vec<IpNet>,
}

impl AllowList {
    /// The lists for these settings; `address` is the one that was bound.
    pub(crate) fn new(settings: &Settings, address: SocketAddr) -> Self {
        let scheme = if settings.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let port = address.port();
        let mut names = vec![
            "127.0.0.1".to_owned(),
            "localhost".to_owned(),
            "[::1]".to_owned(),
        ];
        if !address.ip().is_unspecified() && !address.ip().is_loopback() {
            names.push(match address {
                SocketAddr::V4(v4) => v4.ip().to_string(),
                SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
            });
        }
        let own = names.iter().map(|name| format!("{scheme}://{name}:{port}"));
        let mut list = Self {
            hosts: Vec::new(),
            origins: Vec::new(),
            proxies: settings.trusted_proxies.clone(),
        };
        for origin in own.chain(settings.origins.iter().cloned()) {
            if let Some(origin) = settings::origin(&origin) {
                let secure = origin.starts_with("https:");
                let host = origin
                    .split_once("://")
                    .map_or("", |(_, host)| host)
                    .to_owned();
                list.hosts.push((host.clone(), secure));
                // Programs may name the default port where browsers leave it out.
                if host
                    .rsplit_once(':')
                    .is_none_or(|(_, port)| port.ends_with(']'))
                {
                    list.hosts
                        .push((format!("{host}:{}", if secure { 443 } else { 80 }), secure));
                }
                list.origins.push(origin);
            }
        }
        list
    }

    /// The host that the request is for, and whether it came by TLS; `None` if it is not ours.
    pub(crate) fn host(&self, headers: &HeaderMap) -> Option<(&str, bool)> {
        let host = single(headers, &header::HOST)??.to_ascii_lowercase();
        self.hosts
            .iter()
            .find(|(own, _)| *own == host)
            .map(|(own, secure)| (own.as_str(), *secure))
    }

    /// The client's address: the peer or, if that is a proxy of ours, the last address before our proxies.
    ///
    /// # Source
    /// `X-Forwarded-For`: each proxy adds the address that it saw to the end. What stands before the first unknown one can be
    /// anybody's invention.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let ours = |address: IpAddr| {
            let address = address.to_canonical();
            self.proxies.iter().any(|proxy| proxy.contains(&address))
        };
        let mut address = peer;
        let fields: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        let entries = fields
            .iter()
            .rev()
            .flat_map(|field| field.to_str().unwrap_or_default().rsplit(','));
        for entry in entries {
            if !ours(address) {
                break;
            }
            match forwarded(entry.trim()) {
                Some(before) => address = before,
                None => break,
            }
        }
        address
    }

    /// What the request's origin says.
    pub(crate) fn origin(&self, headers: &HeaderMap) -> Origin {
        match single(headers, &header::ORIGIN) {
            Some(None) => Origin::Absent,
            Some(Some(origin))
                if self
                    .origins
                    .iter()
                    .any(|own| own.eq_ignore_ascii_case(origin)) =>
            {
                Origin::Ours
            }
            Some(Some(_)) | None => Origin::Foreign,
        }
    }

    /// Whether a browser says that another site caused the request. Absent in older browsers and in programs.
    pub(crate) fn cross_site(headers: &HeaderMap) -> bool {
        let name = HeaderName::from_static("sec-fetch-site");
        match single(headers, &name) {
            Some(None) => false,
            // `same-site` is another port of this machine, or a neighbour in the same domain.
            Some(Some(site)) => site != "same-origin" && site != "none",
            None => true,
        }
    }
}

/// An address as proxies write it; some add a port.
fn forwarded(entry: &str) -> Option<IpAddr> {
    let plain = entry.trim_start_matches('[').trim_end_matches(']');
    let with_port = || entry.parse::<SocketAddr>().ok().map(|address| address.ip());
    plain.parse().ok().or_else(with_port)
}

/// The single value of a field: `Some(None)` if absent, `None` if there are several or it is not text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Some(None),
        (Some(value), None) => value.to_str().ok().map(Some),
        (Some(_), Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> AllowList {
        let settings = Settings {
            origins: vec!["https://Chat.example".to_owned()],
            ..Settings::new()
        };
        AllowList::new(&settings, SocketAddr::from(([127, 0, 0, 1], 18789)))
    }

    #[test]
    fn only_our_own_proxies_say_who_the_client_is() {
        let settings = Settings {
            trusted_proxies: vec![
                "127.0.0.1/32".parse().expect("a network"),
                "10.0.0.0/8".parse().expect("a network"),
            ],
            ..Settings::new()
        };
        let list = AllowList::new(&settings, SocketAddr::from(([127, 0, 0, 1], 18789)));
        let asks = |peer: &str, fields: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(FORWARDED_FOR, field.parse().expect("a value"));
            }
            let peer = peer.parse().expect("an address");
            list.client(peer, &headers).to_string()
        };
        assert_eq!(asks("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(asks("127.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(asks("127.0.0.1", &["192.0.2.7, 10.1.2.3"]), "192.0.2.7");
        assert_eq!(asks("127.0.0.1", &["192.0.2.7", "10.1.2.3"]), "192.0.2.7");
        assert_eq!(
            asks("127.0.0.1", &["8.8.8.8, 192.0.2.7"]),
            "192.0.2.7",
            "what a client invents stands in front"
        );
        assert_eq!(asks("192.0.2.9", &["8.8.8.8"]), "192.0.2.9", "a stranger");
        assert_eq!(asks("127.0.0.1", &["192.0.2.7:4711"]), "192.0.2.7");
        assert_eq!(asks("::ffff:10.0.0.1", &["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(asks("127.0.0.1", &["8.8.8.8, unknown"]), "127.0.0.1");
        assert_eq!(asks("10.0.0.1", &["10.0.0.2"]), "10.0.0.2");
    }

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, hyper::header::HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_our_hosts_are_served() {
        let list = list();
        for (host, secure) in [
            ("127.0.0.1:18789", false),
            ("LOCALHOST:18789", false),
            ("[::1]:18789", false),
            ("chat.example", true),
            ("chat.example:443", true),
        ] {
            assert_eq!(
                list.host(&headers(&[("host", host)])).map(|found| found.1),
                Some(secure),
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "evil.example:18789",
            "127.0.0.1",
            "127.0.0.1:80",
            "localhost.evil.example:18789",
            "",
            "chat.example:80",
        ] {
            assert_eq!(list.host(&headers(&[("host", host)])), None, "{host}");
        }
        assert_eq!(list.host(&headers(&[])), None);
        assert_eq!(
            list.host(&headers(&[
                ("host", "localhost:18789"),
                ("host", "localhost:18789")
            ])),
            None
        );
    }

    #[test]
    fn only_our_origins_are_ours_to_the_port() {
        let list = list();
        let of = |origin| list.origin(&headers(&[("origin", origin)]));
        for ours in [
            "http://127.0.0.1:18789",
            "http://localhost:18789",
            "http://[::1]:18789",
            "https://chat.example",
        ] {
            assert_eq!(of(ours), Origin::Ours, "{ours}");
        }
        for foreign in [
            "null",
            "",
            "*",
            "http://127.0.0.1",
            "http://127.0.0.1:8080",
            "https://127.0.0.1:18789",
            "http://localhost:18789.evil.example",
            "http://chat.example",
            "https://chat.example:18789",
            "https://evil.chat.example",
            "file://",
            "chrome-extension://abc",
        ] {
            assert_eq!(of(foreign), Origin::Foreign, "{foreign}");
        }
        assert_eq!(list.origin(&headers(&[])), Origin::Absent);
        let twice = headers(&[
            ("origin", "http://localhost:18789"),
            ("origin", "http://localhost:18789"),
        ]);
        assert_eq!(list.origin(&twice), Origin::Foreign);
    }

    #[test]
    fn other_sites_and_other_ports_are_cross_site() {
        for (site, cross) in [
            ("same-origin", false),
            ("none", false),
            ("same-site", true),
            ("cross-site", true),
            ("x", true),
        ] {
            assert_eq!(
                AllowList::cross_site(&headers(&[("sec-fetch-site", site)])),
                cross,
                "{site}"
            );
        }
        assert!(!AllowList::cross_site(&headers(&[])));
    }

    #[test]
    fn an_address_of_the_network_is_a_host_and_with_tls_an_https_origin() {
        let tls = sluicegate_config::Tls {
            cert: "c".into(),
            key: "k".into(),
        };
        let settings = Settings {
            tls: Some(tls),
            ..Settings::new()
        };
        let list = AllowList::new(&settings, SocketAddr::from(([192, 168, 1, 5], 443)));
        assert_eq!(
            list.host(&headers(&[("host", "192.168.1.5")]))
                .map(|found| found.1),
            Some(true)
        );
        assert_eq!(
            list.origin(&headers(&[("origin", "https://192.168.1.5")])),
            Origin::Ours
        );
        assert_eq!(
            list.origin(&headers(&[("origin", "http://192.168.1.5")])),
            Origin::Foreign
        );
    }
}
