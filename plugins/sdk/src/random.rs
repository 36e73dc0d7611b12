//! Randomness, from the gateway's operating system.
//!
//! Never seed a generator in `configure`: each exchange starts from the same memory and would draw the same numbers. In a
//! native test the bytes are a fixed sequence.

/// `count` random bytes, at most 4096.
pub fn bytes(count: u32) -> Vec<u8> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::random::bytes(count);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::host::random_bytes(count);
}

/// `length` random letters and digits (a–z, 2–7: five bits each), for identifiers; at most 4096.
pub fn id(length: u32) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    bytes(length)
        .into_iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte & 31)]))
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_have_the_length_and_the_alphabet() {
        let id = super::id(24);
        assert_eq!(id.len(), 24);
        assert!(
            id.bytes()
                .all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b))
        );
        assert_ne!(id, super::id(24));
    }
}
