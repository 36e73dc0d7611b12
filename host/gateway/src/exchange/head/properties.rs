//! What holds for any path and any request id of a client.

use hyper::HeaderMap;
use hyper::header::HeaderValue;
use proptest::prelude::*;
use sluicegate_contract::path::{self, Ambiguous};

use super::{REQUEST_ID, request_id};

/// What a server sees after it has decoded the path once; broken escapes stay.
fn decoded(path: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digit = |at: usize| {
            after
                .get(at)
                .and_then(|byte| char::from(*byte).to_digit(16))
        };
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.extend(u8::try_from(high * 16 + low));
                rest = &after[2..];
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

proptest! {
    #[test]
    fn a_path_has_one_spelling_or_is_refused(
        path in prop::collection::vec(
            prop::sample::select(vec![
                "/", "\\", ".", "..", "%", "2", "e", "E", "f", "F", "%2e", "%2E", "%2f", "%2F", "%5c", "%5C", "%25", "%00", "a",
                "5", "c", "é", ";", ":", "%3A", "%3b", "%61", "|", "%20",
            ]),
            0..12,
        ),
    ) {
        // A path begins with a slash: the HTTP library sees to that.
        let path = format!("/{}", path.concat());
        let seen = decoded(&path);
        let is_dot = |segment: &[u8]| matches!(segment, b"." | b"..");
        let without_parameters = |segment: &[u8]| segment.split(|byte| *byte == b';').next().unwrap_or_default().to_vec();
        let mut segments = seen.split(|byte| matches!(byte, b'/' | b'\\'));
        let has_dots = segments.any(|segment| is_dot(&without_parameters(segment)));
        match path::normalize(&path) {
            Ok(normal) => {
                prop_assert!(!has_dots, "{path}");
                prop_assert!(normal.is_ascii() && !normal.contains("//"), "{normal}");
                let again = path::normalize(&normal);
                prop_assert_eq!(again.as_deref(), Ok(&*normal));
                // A server sees the same, but for slashes in a row.
                let mut seen = seen;
                seen.dedup_by(|a, b| (*a, *b) == (b'/', b'/'));
                prop_assert_eq!(decoded(&normal), seen, "{} became {}", path, normal);
            }
            Err(Ambiguous::DotSegment) => prop_assert!(has_dots, "{path}"),
            Err(Ambiguous::Backslash) => prop_assert!(seen.contains(&b'\\'), "{path}"),
            Err(Ambiguous::Escape) => prop_assert!(path.contains('%'), "{path}"),
        }
    }

    #[test]
    fn a_request_id_is_the_clients_or_a_new_one(
        given in prop_oneof![
            "[A-Za-z0-9_-]{0,70}".prop_map(String::into_bytes),
            prop::collection::vec(prop_oneof![0x20_u8..0x7f, 0x80_u8..=0xff], 0..70),
        ],
    ) {
        let mut fields = HeaderMap::new();
        fields.insert(REQUEST_ID, HeaderValue::from_bytes(&given)?);
        let id = request_id(&fields);
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        prop_assert!((1..=64).contains(&id.len()) && id.bytes().all(legal), "{id}");
        let well_formed = (1..=64).contains(&given.len()) && given.iter().copied().all(legal);
        prop_assert_eq!(id.as_bytes() == given, well_formed);
        prop_assert!(well_formed || (id.starts_with("req_") && id.len() == 20), "{id}");
    }
}
