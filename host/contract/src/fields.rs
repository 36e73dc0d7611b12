//! Header fields: which of them are the gateway's own, and which names and values are legal.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::illegal_change::IllegalChange;

/// Fields that belong to one connection, not to the message (RFC 9110, section 7.6.1), and those of the body's framing,
/// which the gateway writes itself.
const OWNED_BY_HOST: [HeaderName; 11] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// The most fields of a head that a stage may produce. Arbitrary; clients send some twenty.
pub const MAX_COUNT: usize = 512;
/// The most bytes of names and values of a head that a stage may produce. Arbitrary; four times what clients may send.
pub const MAX_BYTES: usize = 256 * 1024;

/// Fields with credentials, and `host`. What the client sends in them is for the gateway only. What a stage sets goes to the
/// chosen model server, but not to a fallback.
pub const GUARDED: [HeaderName; 5] = [
    header::HOST,
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// Whether a head has room for one more field.
#[must_use]
pub fn has_room(fields: &HeaderMap, name: &HeaderName, value: &HeaderValue) -> bool {
    let size = |name: &HeaderName, value: &HeaderValue| name.as_str().len() + value.len();
    let bytes: usize = fields.iter().map(|(name, value)| size(name, value)).sum();
    fields.len() < MAX_COUNT && bytes + size(name, value) <= MAX_BYTES
}

/// Whether a field is the gateway's own: stages neither see nor set it.
#[must_use]
pub fn is_owned_by_host(name: &HeaderName) -> bool {
    OWNED_BY_HOST.contains(name)
}

/// Removes the fields of [`is_owned_by_host`] and those that `connection` names.
pub fn strip_hop_by_hop(fields: &mut HeaderMap) {
    let named: Vec<HeaderName> = fields
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OWNED_BY_HOST) {
        fields.remove(name);
    }
}

/// A name that a stage may set.
///
/// # Errors
/// If it is not a name in HTTP, or belongs to the gateway.
pub fn name(name: &str) -> Result<HeaderName, IllegalChange> {
    let name: HeaderName = name
        .parse()
        .map_err(|_| IllegalChange::new(format!("`{name}` is not a header field name")))?;
    if is_owned_by_host(&name) {
        return Err(IllegalChange::new(format!(
            "the field `{name}` belongs to the gateway"
        )));
    }
    Ok(name)
}

/// A value that a stage may set, without the blanks around it.
///
/// # Errors
/// If it is not legal in HTTP.
pub fn value(name: &HeaderName, value: &[u8]) -> Result<HeaderValue, IllegalChange> {
    // Only blanks: a line end must be refused, not trimmed.
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = value
        .iter()
        .position(|byte| !blank(byte))
        .unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|byte| !blank(byte))
        .map_or(begin, |last| last + 1);
    HeaderValue::from_bytes(&value[begin..end])
        .map_err(|_| IllegalChange::new(format!("the value for `{name}` is not legal in HTTP")))
}

/// The fields of a stage's own response that it may set; the others are dropped.
pub fn legal<'a>(given: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> HeaderMap {
    let mut legal = HeaderMap::new();
    for (given_name, given_value) in given {
        if let Ok(name) = name(given_name)
            && let Ok(value) = value(&name, given_value)
        {
            legal.append(name, value);
        }
    }
    legal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connection_names_goes_with_it() {
        let mut fields = HeaderMap::new();
        fields.insert("connection", HeaderValue::from_static("close, X-Private"));
        fields.insert("x-private", HeaderValue::from_static("1"));
        fields.insert("keep-alive", HeaderValue::from_static("timeout=5"));
        fields.insert("x-kept", HeaderValue::from_static("1"));
        strip_hop_by_hop(&mut fields);
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["x-kept"]);
    }

    #[test]
    fn illegal_and_foreign_names_are_refused() {
        for bad in ["", "a b", "Content-Length", "te", "ü"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(name("X-Fine").expect("legal"), "x-fine");
    }

    #[test]
    fn values_lose_their_blanks_and_may_hold_no_line_end() {
        let name = HeaderName::from_static("x");
        assert_eq!(value(&name, b" a\t").expect("legal"), "a");
        assert_eq!(value(&name, b" \t ").expect("legal"), "");
        assert!(value(&name, b"a\r\nb: c").is_err());
        assert!(value(&name, b"a\n").is_err());
        assert!(value(&name, b"\x7f").is_err());
    }
}
