//! One entry of the cache as bytes.
//!
//! # Shape
//! [`MAGIC`], the SHA-256 over all that follows, the key, then facts and artifact as in [`frame`].

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::compile::Facts;
use crate::frame;

/// What an entry begins with: its kind and the version of its form.
const MAGIC: &[u8; 8] = b"sg-cwsm1";
/// Bytes of a hash.
const HASH: usize = 32;
/// Bytes before the frame.
const PREFIX: usize = MAGIC.len() + 2 * HASH;

/// The entry as far as its artifact, which comes behind it.
pub(super) fn head(key: &[u8; HASH], facts: &Facts, artifact: &[u8]) -> Vec<u8> {
    let frame = frame::head(facts, artifact.len());
    let mut hash = Sha256::new();
    hash.update(key);
    hash.update(&frame);
    hash.update(artifact);
    [MAGIC, &hash.finalize()[..], key, &frame].concat()
}

/// What the entry of this key holds; `None` if it is damaged or another one.
pub(super) fn decode(key: &[u8; HASH], entry: &Bytes) -> Option<(Facts, Bytes)> {
    let rest = entry.strip_prefix(MAGIC)?;
    let (hash, rest) = rest.split_at_checked(HASH)?;
    if Sha256::digest(rest)[..] != *hash || !rest.starts_with(key) {
        return None;
    }
    frame::decode(&entry.slice(PREFIX..)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_of_an_entry_may_differ() {
        let facts = Facts {
            manifest: "{}".into(),
            note: "note".into(),
            no_image: None,
        };
        let artifact = b"artifact";
        let entry = [&head(&[7; HASH], &facts, artifact)[..], artifact].concat();
        let (found, bytes) = decode(&[7; HASH], &entry.clone().into()).expect("an entry");
        assert_eq!((found.note.as_str(), &bytes[..]), ("note", &artifact[..]));
        assert!(decode(&[8; HASH], &entry.clone().into()).is_none());
        for index in 0..entry.len() {
            let mut damaged = entry.clone();
            damaged[index] ^= 1;
            assert!(decode(&[7; HASH], &damaged.into()).is_none(), "{index}");
            let short = Bytes::copy_from_slice(&entry[..index]);
            assert!(decode(&[7; HASH], &short).is_none(), "{index}");
        }
    }
}
