//! The table of keys: digests only, compared in constant time.

use sha2::{Digest, Sha256};

/// The SHA-256 digest of a key, as words: comparing four of them is quick even for thousands of keys.
pub type KeyDigest = [u64; 4];

/// Computes a key's digest.
pub fn digest(key: &[u8]) -> KeyDigest {
    let octets: [u8; 32] = Sha256::digest(key).into();
    let mut words = [0; 4];
    for (word, chunk) in words.iter_mut().zip(octets.chunks_exact(8)) {
        *word = u64::from_le_bytes(chunk.try_into().expect("eight octets"));
    }
    words
}

/// The digests of all keys, in the order of the configuration.
#[derive(Debug, Default)]
pub struct Keys(Vec<KeyDigest>);

impl Keys {
    /// Adds a key. `false` if it is there already.
    pub fn add(&mut self, key: &[u8]) -> bool {
        let digest = digest(key);
        if self.0.contains(&digest) {
            return false;
        }
        self.0.push(digest);
        true
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The position of a key. The time that this takes depends on the number of keys and the length of `key`, never on
    /// how much of it is right or on which key it is.
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        let wanted = digest(key);
        let mut found = 0;
        for (at, known) in self.0.iter().enumerate() {
            let difference = known
                .iter()
                .zip(&wanted)
                .fold(0, |sum, (a, b)| sum | (a ^ b));
            // All ones if the digests are equal, else zero; without a branch.
            let equal = ((difference | difference.wrapping_neg()) >> 63).wrapping_sub(1);
            // The optimiser must not see that the rest of the loop could be skipped.
            let equal = std::hint::black_box(equal);
            found |= (at + 1) & usize::from_le_bytes(mask(equal));
        }
        found.checked_sub(1)
    }
}

/// A mask of all ones or all zeros, in the width of a pointer.
fn mask(word: u64) -> [u8; size_of::<usize>()] {
    let octets = word.to_le_bytes();
    std::array::from_fn(|at| octets[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_at_its_place_and_no_other() {
        let mut keys = Keys::default();
        assert!(keys.is_empty());
        assert_eq!(keys.find(b""), None);
        for n in 0..100 {
            assert!(keys.add(format!("sk-{n}").as_bytes()));
        }
        assert!(!keys.add(b"sk-7"));
        for n in 0..100 {
            assert_eq!(keys.find(format!("sk-{n}").as_bytes()), Some(n));
        }
        for wrong in ["", "sk-", "sk-100", "sk-1 ", "SK-1"] {
            assert_eq!(keys.find(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn digest_is_sha256() {
        // FIPS 180-2, appendix B.1: SHA-256 of "abc" begins ba7816bf 8f01cfea.
        let first = u64::from_be_bytes([0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea]);
        assert_eq!(digest(b"abc")[0].swap_bytes(), first);
    }
}
