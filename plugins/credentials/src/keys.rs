//! The table of keys: it holds digests only, and is searched by their first word.

use sha2::{Digest, Sha256};

/// The SHA-256 digest of a key, as words.
pub type KeyDigest = [u64; 4];

/// Computes a key's digest.
pub fn digest(key: &[u8]) -> KeyDigest {
    let bytes: [u8; 32] = Sha256::digest(key).into();
    let mut words = [0; 4];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
    }
    words
}

/// The digests of all keys in ascending order, each with the key's position in the configuration.
#[derive(Debug, Default)]
pub struct Keys(Vec<(KeyDigest, usize)>);

impl Keys {
    /// Adds a key; `false` if it is there already.
    pub fn add(&mut self, key: &[u8]) -> bool {
        let digest = digest(key);
        match self.0.binary_search_by_key(&digest, |(known, _)| *known) {
            Ok(_) => false,
            Err(at) => {
                self.0.insert(at, (digest, self.0.len()));
                true
            }
        }
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The position of a key among those added.
    ///
    /// The search compares the first words of the digests. Only a digest with the same first word as the presented key's is
    /// compared as a whole, in a time that does not depend on where the two differ. So the time reveals at most how the
    /// digest of a tried key sorts among the first words of ours. That does not lead to a key: the only way to get a digest
    /// with a certain beginning is to try keys, and computing a key from its digest, or from its beginning, means inverting
    /// SHA-256. Only a key that could be guessed anyway is guessed sooner; keys must be long and random.
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        self.position(&digest(key))
    }

    fn position(&self, wanted: &KeyDigest) -> Option<usize> {
        let start = self.0.partition_point(|(known, _)| known[0] < wanted[0]);
        self.0[start..]
            .iter()
            .take_while(|(known, _)| known[0] == wanted[0])
            .find(|(known, _)| equal(known, wanted))
            .map(|(_, position)| *position)
    }
}

/// Whether two digests are equal, without a branch between their words.
fn equal(a: &KeyDigest, b: &KeyDigest) -> bool {
    let difference = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    // The optimiser must not see that the first word that differs decides.
    std::hint::black_box(difference) == 0
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
    fn digests_that_begin_alike_are_told_apart() {
        let digests = [
            [1, 0, 0, 0],
            [7, 0, 0, 1],
            [7, 0, 2, 0],
            [7, 3, 0, 0],
            [9, 0, 0, 0],
        ];
        let keys = Keys(digests.into_iter().zip(10..).collect());
        for (digest, position) in digests.iter().zip(10..) {
            assert_eq!(keys.position(digest), Some(position));
        }
        for other in [
            [0; 4],
            [7, 0, 0, 0],
            [7, 0, 0, 2],
            [7, 4, 0, 0],
            [8; 4],
            [u64::MAX; 4],
        ] {
            assert_eq!(keys.position(&other), None, "{other:?}");
        }
    }

    #[test]
    fn digest_is_sha256() {
        // FIPS 180-2, appendix B.1: SHA-256 of "abc" begins ba7816bf 8f01cfea.
        let first = u64::from_be_bytes([0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea]);
        assert_eq!(digest(b"abc")[0].swap_bytes(), first);
    }
}
