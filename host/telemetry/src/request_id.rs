//! Request ids. An id follows a request through the logs of all layers and back to the client.

use std::cell::RefCell;

/// The longest id that is accepted from a client, in bytes.
const LONGEST: usize = 64;

/// Whether a client's id is accepted: 1 to 64 letters, digits, `_` and `-`.
#[must_use]
pub fn is_valid(id: &[u8]) -> bool {
    (1..=LONGEST).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// A new id: `req_` and 80 random bits as 16 lower-case characters of RFC 4648's base 32, which avoids characters that look
/// alike: ids are read aloud and typed.
#[must_use]
pub fn new() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut id = String::with_capacity(20);
    id.push_str("req_");
    id.extend(random().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])));
    id
}

/// Bytes from the system's generator, fetched many at a time: a system call costs more than making an id.
fn random() -> [u8; 16] {
    const STOCK: usize = 64;
    thread_local! {
        static LEFT: RefCell<Vec<[u8; 16]>> = const { RefCell::new(Vec::new()) };
    }
    LEFT.with_borrow_mut(|left| {
        if left.is_empty() {
            let mut bytes = [0; STOCK * 16];
            // Without the generator the id is all `a`: an id is not a secret.
            let _ = getrandom::fill(&mut bytes);
            let (ids, _) = bytes.as_chunks::<16>();
            left.extend_from_slice(ids);
        }
        left.pop().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_are_valid_and_differ() {
        let (a, b) = (new(), new());
        assert_eq!(a.len(), 20);
        assert!(is_valid(a.as_bytes()) && a != b);
    }

    #[test]
    fn an_id_that_could_break_a_log_or_a_header_is_not_valid() {
        for id in ["", "req id", "é", &"x".repeat(65)] {
            assert!(!is_valid(id.as_bytes()), "{id:?}");
        }
        assert!(is_valid(b"req_abc-123_X"));
    }
}
