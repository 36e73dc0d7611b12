//! Generates ids and secrets.
//!
//! Ids are a prefix and a ULID, so that they sort by time. Secrets are 256 random bits and are stored only as digests.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use ulid::Ulid;

use sluicegate_telemetry::clock;

/// A new id such as `ses_01JD…`.
///
/// # Shape
/// The prefix, `_`, and 26 characters: 48 bits of milliseconds, 80 random bits.
pub(crate) fn new(prefix: &str) -> String {
    let ulid = Ulid::from_parts(clock::unix_ms(), u128::from_be_bytes(random()));
    format!("{prefix}_{ulid}")
}

/// A new secret: 256 random bits after a prefix that says what it is for.
pub(crate) fn secret(prefix: &str) -> String {
    let bytes: [u8; 32] = random();
    format!("{prefix}{}", BASE64URL_NOPAD.encode(&bytes))
}

/// What is stored of a secret.
pub(crate) fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Whether two digests are equal, in a time that does not tell where they differ.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Bytes as lower-case hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Whether a text can be an id that a client chose, or an error code: 1 to 64 letters, digits, `_` and `-`.
pub(crate) fn plausible(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has a random source");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_keep_their_length() {
        let early = Ulid::from_parts(1, u128::MAX).to_string();
        let late = Ulid::from_parts(2, 0).to_string();
        assert!(early < late);
        assert_eq!(new("msg").len(), "msg_".len() + 26);
    }

    #[test]
    fn a_ulid_is_encoded_as_its_specification_says() {
        // The greatest ULID of the specification.
        assert_eq!(
            Ulid::from_parts((1 << 48) - 1, u128::MAX).to_string(),
            "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
        );
        assert_eq!(
            Ulid::from_parts(0, 0).to_string(),
            "00000000000000000000000000"
        );
    }

    #[test]
    fn only_plausible_ids_are_taken() {
        assert!(plausible("req_abc-123_X"));
        assert!(
            !plausible("")
                && !plausible("req id")
                && !plausible(&"x".repeat(65))
                && !plausible("é")
        );
    }

    #[test]
    fn only_equal_digests_are_the_same() {
        assert!(same(&digest("a"), &digest("a")));
        assert!(!same(&digest("a"), &digest("b")));
        assert!(!same(&[1], &[1, 2]));
        assert_eq!(hex(&[0, 0xaf]), "00af");
    }
}
