//! The hosts and origins under which a browser may use this gateway.
//!
//! The host rule stops pages that make their name resolve to this machine (DNS rebinding); the origin rule stops pages of other
//! sites, and other programs on this machine, from opening our socket or writing through our API with the user's cookie.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{self, HeaderName};
use ipnet::IpNet;

use super::settings::{self, Settings};
use sluicegate_serve::forwarded;

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
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        forwarded::client(&self.proxies, peer, headers)
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
