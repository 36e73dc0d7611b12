//! Names of things and secrets.
//!
//! Names are a prefix and a ULID, so that they sort by time. Secrets are 256 random bits and are stored only as digests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::clock;

/// Crockford's alphabet, which ULIDs use.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Lower case, without characters that look alike: request ids are read aloud and typed.
const REQUEST: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A new name such as `ses_01JD…`.
///
/// # Shape
/// The prefix, `_`, and 26 characters: 48 bits of milliseconds, 80 random bits.
pub(crate) fn new(prefix: &str) -> String {
    ulid(prefix, clock::now_ms(), random())
}

/// A new request id: `req_` and 16 characters.
pub(crate) fn request() -> String {
    let bytes: [u8; 10] = random();
    encode("req_", u128_of(&bytes), 16, REQUEST)
}

/// A new secret: 256 random bits after a prefix that says what it is for.
pub(crate) fn secret(prefix: &str) -> String {
    let bytes: [u8; 32] = random();
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// What is stored of a secret.
pub(crate) fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Whether two digests are equal, in a time that does not tell where they differ.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}

/// Bytes as lower-case hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| {
            [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]
        })
        .map(char::from)
        .collect()
}

/// Whether a text can be the id of a request, a session and so on: 1 to 64 letters, digits, `_` and `-`.
pub(crate) fn plausible(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn ulid(prefix: &str, ms: u64, noise: [u8; 10]) -> String {
    let value = (u128::from(ms) << 80) | u128_of(&noise);
    encode(&format!("{prefix}_"), value, 26, CROCKFORD)
}

fn encode(prefix: &str, value: u128, digits: u32, alphabet: &[u8; 32]) -> String {
    let mut text = String::with_capacity(prefix.len() + digits as usize);
    text.push_str(prefix);
    for place in (0..digits).rev() {
        text.push(char::from(alphabet[((value >> (5 * place)) & 31) as usize]));
    }
    text
}

fn u128_of(bytes: &[u8]) -> u128 {
    bytes
        .iter()
        .fold(0, |value, byte| (value << 8) | u128::from(*byte))
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
    fn names_sort_by_time_and_keep_their_length() {
        let early = ulid("msg", 1, [255; 10]);
        let late = ulid("msg", 2, [0; 10]);
        assert!(early < late);
        assert_eq!(early.len(), "msg_".len() + 26);
    }

    #[test]
    fn a_ulid_is_encoded_as_its_specification_says() {
        // The greatest ULID of the specification.
        assert_eq!(
            ulid("x", (1 << 48) - 1, [255; 10]),
            "x_7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
        );
        assert_eq!(ulid("x", 0, [0; 10]), "x_00000000000000000000000000");
    }

    #[test]
    fn request_ids_are_plausible_and_differ() {
        let (a, b) = (request(), request());
        assert_eq!(a.len(), 20);
        assert!(plausible(&a) && a != b);
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
