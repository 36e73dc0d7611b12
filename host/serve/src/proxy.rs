//! PROXY protocol: the header with which a proxy says whose connection it passes on, before the TLS hello and before HTTP.
//!
//! Only connections of trusted proxies begin with it, and all of theirs do. Others are served as they are, under their own
//! address: the monitoring of the same machine, for example. Nothing is guessed from what a connection sends.
//!
//! # Source
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>, versions 1 and 2. HAProxy calls the rule
//! `expect-proxy layer4 if { src … }`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use proxy_header::{Error as Unread, ParseConfig, Protocol, ProxyHeader};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::forwarded::is_among;
use sluicegate_config::Limits;

/// The longest header in bytes. As in nginx; most have less than 100, and a few hundred with what a proxy knows of TLS.
const LONGEST: usize = 4096;

/// How both versions begin.
const BEGINNINGS: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];

/// How often the log says that a stranger sends such headers. Arbitrary: all connections of a proxy that is not listed fail.
const SELDOM: Duration = Duration::from_secs(10);

/// Why a connection is closed before anything is read from it but its header.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It was closed, or it broke.
    #[error("the connection ended in its PROXY header")]
    Ended(#[source] io::Error),
    /// The header did not come in time.
    #[error("no whole PROXY header within {0:?}")]
    Late(Duration),
    /// It does not begin with a header.
    #[error("it does not begin with a PROXY header of version 1 or 2")]
    Invalid,
    /// The header is too long.
    #[error("its PROXY header has more than {LONGEST} bytes")]
    TooLong,
    /// A stranger sends such a header.
    #[error("it begins with a PROXY header, but it does not come from one of `trusted-proxies`")]
    Stranger,
}

/// The proxies of a listener.
#[derive(Debug)]
pub(super) struct Proxies {
    trusted: Vec<IpNet>,
    /// When a stranger was last mentioned.
    mentioned: Mutex<Option<Instant>>,
}

impl Proxies {
    pub(super) fn new(trusted: &[IpNet]) -> Self {
        Self {
            trusted: trusted.to_vec(),
            mentioned: Mutex::default(),
        }
    }

    /// The address of the client whose connection this is. Takes the header from the stream, and nothing behind it. `None`: the
    /// connection is to be closed, which is logged.
    pub(super) async fn client(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
        limits: &Limits,
    ) -> Option<IpAddr> {
        let own = peer.ip().to_canonical();
        let found = if is_among(&self.trusted, own) {
            match timeout(limits.header_timeout, read(stream)).await {
                Ok(read) => read.map(|client| client.unwrap_or(own)),
                Err(_) => Err(Error::Late(limits.header_timeout)),
            }
        } else {
            match timeout(limits.keep_alive, begins_with_header(stream)).await {
                Ok(true) => Err(Error::Stranger),
                Ok(false) => Ok(own),
                // As with any connection on which nothing is sent.
                Err(_) => return None,
            }
        };
        match found {
            Ok(client) => Some(client),
            // A balancer looks in this way whether the port is open.
            Err(Error::Ended(error)) => {
                tracing::debug!(%peer, %error, "the connection ended before or in its PROXY header");
                None
            }
            Err(error @ Error::Stranger) => {
                if self.may_mention_stranger() {
                    tracing::warn!(%peer, %error, "connection refused: if this is a proxy in front of the gateway, add its address to `trusted-proxies`");
                }
                None
            }
            Err(error @ (Error::Late(_) | Error::Invalid | Error::TooLong)) => {
                tracing::warn!(%peer, %error, "connection refused: a trusted proxy must begin each connection with a PROXY header, or `proxy-protocol` must be removed");
                None
            }
        }
    }

    fn may_mention_stranger(&self) -> bool {
        let now = Instant::now();
        // No code panics between two changes, so a poisoned lock still guards a consistent value.
        let mut last = self
            .mentioned
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| now.duration_since(last) < SELDOM) {
            return false;
        }
        *last = Some(now);
        true
    }
}

/// Whether the first bytes are those of a header. Takes nothing from the stream.
async fn begins_with_header(stream: &TcpStream) -> bool {
    let mut first = [0; 12];
    // What an error means shows when the stream is read.
    let count = stream.peek(&mut first).await.unwrap_or_default();
    let first = &first[..count];
    BEGINNINGS.iter().any(|begin| first.starts_with(begin))
}

/// Reads a header; gives the address that it names, if it names one.
async fn read(stream: &mut TcpStream) -> Result<Option<IpAddr>, Error> {
    let mut header = [0; LONGEST];
    let mut taken = 0;
    loop {
        // What is behind the header must stay in the stream. So bytes are only taken once it is known that they belong to it.
        let seen = stream.peek(&mut header[taken..]).await;
        let seen = match seen.map_err(Error::Ended)? {
            0 => return Err(Error::Ended(io::ErrorKind::UnexpectedEof.into())),
            seen => seen,
        };
        let parsed = parse(&header[..taken + seen])?;
        let end = parsed.as_ref().map_or(taken + seen, |(_, length)| *length);
        let more = stream.read_exact(&mut header[taken..end]).await;
        more.map_err(Error::Ended)?;
        taken = end;
        match parsed {
            Some((client, _)) => return Ok(client),
            None if taken == LONGEST => return Err(Error::TooLong),
            None => {}
        }
    }
}

/// The address that a header names, if it names one, and the header's length; `None` if it is not there as a whole.
fn parse(bytes: &[u8]) -> Result<Option<(Option<IpAddr>, usize)>, Error> {
    let is_beginning = |begin: &&[u8]| {
        let length = begin.len().min(bytes.len());
        begin[..length] == bytes[..length]
    };
    if !BEGINNINGS.iter().any(is_beginning) {
        return Err(Error::Invalid);
    }
    let config = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    let (header, length) = match ProxyHeader::parse(bytes, config) {
        Ok(parsed) => parsed,
        Err(Unread::BufferTooShort) => return Ok(None),
        Err(_) => return Err(Error::Invalid),
    };
    // A proxy that checks the gateway's health, for example, names nobody.
    let named = header.proxied_address();
    let named = named.filter(|named| named.protocol == Protocol::Stream);
    Ok(Some((
        named.map(|named| named.source.ip().to_canonical()),
        length,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";

    /// A header of version 2 with this command, family and rest.
    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short");
        let mut header = BEGINNINGS[1].to_vec();
        header.extend([command, family]);
        header.extend(length.to_be_bytes());
        header.extend(rest);
        header
    }

    fn over_v4() -> Vec<u8> {
        v2(
            0x21,
            0x11,
            &[192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 1, 187],
        )
    }

    fn over_v6(source: &str) -> Vec<u8> {
        let source: std::net::Ipv6Addr = source.parse().expect("an address");
        let mut rest = source.octets().to_vec();
        rest.extend([0; 16]);
        rest.extend([0x12, 0x67, 1, 187]);
        // What else the proxy knows.
        rest.extend([0x05, 0, 3, b'i', b'd', b'1']);
        v2(0x21, 0x21, &rest)
    }

    fn named(bytes: &[u8]) -> Option<String> {
        let parsed = parse(bytes).expect("legal");
        let (client, length) = parsed.expect("whole");
        assert_eq!(length, bytes.len());
        client.map(|client| client.to_string())
    }

    #[test]
    fn both_versions_name_the_client() {
        assert_eq!(named(V1).as_deref(), Some("192.0.2.7"));
        let long = b"PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n";
        assert_eq!(named(long).as_deref(), Some("2001:db8::1"));
        assert_eq!(named(&over_v4()).as_deref(), Some("192.0.2.7"));
        assert_eq!(
            named(&over_v6("2001:db8::1")).as_deref(),
            Some("2001:db8::1")
        );
        assert_eq!(
            named(&over_v6("::ffff:192.0.2.7")).as_deref(),
            Some("192.0.2.7")
        );
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_names_nobody() {
        for header in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ::1 ::1 1 2\r\n".to_vec(),
            v2(0x20, 0x00, &[]),
            v2(0x20, 0x11, &[192, 0, 2, 7, 0, 0, 0, 0, 0, 1, 0, 2]),
            v2(0x21, 0x00, &[]),
            v2(0x21, 0x12, &[192, 0, 2, 7, 0, 0, 0, 0, 0, 1, 0, 2]),
            v2(0x21, 0x31, &[b'/'; 216]),
        ] {
            assert_eq!(named(&header), None, "{header:?}");
        }
    }

    #[test]
    fn a_header_that_is_not_whole_is_waited_for_and_what_is_none_is_not() {
        for whole in [V1.to_vec(), over_v4(), over_v6("2001:db8::1")] {
            for length in 1..whole.len() {
                let parsed = parse(&whole[..length]);
                assert!(matches!(parsed, Ok(None)), "{length} of {whole:?}");
            }
        }
        for wrong in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"\x16\x03\x01",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\r\n\r\nQUIT",
            b"PROXY TCP4 300.0.2.7 198.51.100.1 4711 443\r\n",
            b"PROXY TCP5 192.0.2.7 198.51.100.1 4711 443\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 99999\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\rx",
            &[b"PROXY TCP4 ", &[b'1'; 100][..]].concat(),
            &v2(0x31, 0x11, &[0; 12]),
            &v2(0x22, 0x11, &[0; 12]),
            &v2(0x21, 0x41, &[0; 12]),
            &[&v2(0x21, 0x11, &[0; 11])[..], b"x"].concat(),
        ] {
            assert!(matches!(parse(wrong), Err(Error::Invalid)), "{wrong:?}");
        }
    }
}
