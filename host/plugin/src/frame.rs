//! The form in which a compilation travels through a pipe, and lies in the cache: facts as JSON, then bytes.
//!
//! # Shape
//! The length of the JSON (four bytes, little-endian), the length of the bytes (eight), the JSON, the bytes.

use std::io::{self, Read};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of the two lengths.
const LENGTHS: usize = 12;

/// What there is cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// It ends too early, or goes on too long.
    #[error("it has {found} bytes instead of {expected}")]
    Length {
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: u64,
    },
    /// The facts are something else.
    #[error(transparent)]
    Facts(#[from] serde_json::Error),
}

/// All of a frame but its bytes.
pub(super) fn head(facts: &impl Serialize, bytes: usize) -> Vec<u8> {
    let mut head = vec![0; LENGTHS];
    serde_json::to_writer(&mut head, facts).expect("facts have no maps but those of JSON");
    let length = u32::try_from(head.len() - LENGTHS).unwrap_or(u32::MAX);
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..LENGTHS].copy_from_slice(&(bytes as u64).to_le_bytes());
    head
}

/// The facts and the bytes of a frame.
///
/// # Errors
/// [`Broken`]
pub(super) fn decode<T: DeserializeOwned>(frame: &Bytes) -> Result<(T, Bytes), Broken> {
    let found = frame.len();
    let length = |expected| Broken::Length { found, expected };
    let (lengths, _) = frame
        .split_first_chunk()
        .ok_or_else(|| length(LENGTHS as u64))?;
    let (facts, bytes) = lengths_of(*lengths);
    let expected = (LENGTHS as u64 + facts).saturating_add(bytes);
    if expected != found as u64 {
        return Err(length(expected));
    }
    let end = found - usize::try_from(bytes).unwrap_or(found);
    Ok((
        serde_json::from_slice(&frame[LENGTHS..end])?,
        frame.slice(end..),
    ))
}

/// Reads one frame, with at most so many bytes, and leaves what comes behind it.
///
/// # Errors
/// Those of the reader; `InvalidData` for something else than a frame.
pub(super) fn read<T: DeserializeOwned>(
    reader: &mut impl Read,
    most: u64,
) -> io::Result<(T, Vec<u8>)> {
    let mut lengths = [0; LENGTHS];
    reader.read_exact(&mut lengths)?;
    let (facts, bytes) = lengths_of(lengths);
    if facts > most || bytes > most {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut take = |length: u64| {
        let mut taken = Vec::new();
        reader.by_ref().take(length).read_to_end(&mut taken)?;
        if (taken.len() as u64) < length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        Ok(taken)
    };
    let facts = serde_json::from_slice(&take(facts)?)?;
    Ok((facts, take(bytes)?))
}

fn lengths_of(lengths: [u8; LENGTHS]) -> (u64, u64) {
    let [a, b, c, d, bytes @ ..] = lengths;
    (
        u32::from_le_bytes([a, b, c, d]).into(),
        u64::from_le_bytes(bytes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(facts: &str, bytes: &[u8]) -> Vec<u8> {
        let mut frame = head(&facts, bytes.len());
        frame.extend(bytes);
        frame
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = frame("facts", b"bytes");
        let (facts, rest) = decode::<String>(&bytes.clone().into()).expect("a frame");
        assert_eq!((facts.as_str(), &*rest), ("facts", &b"bytes"[..]));
        let mut longer = [&bytes[..], b"more"].concat();
        let mut reader = io::Cursor::new(&mut longer);
        let (facts, rest) = read::<String>(&mut reader, 100).expect("a frame");
        assert_eq!((facts.as_str(), &*rest), ("facts", &b"bytes"[..]));
        assert_eq!(reader.position(), bytes.len() as u64);
    }

    #[test]
    fn every_other_length_is_refused() {
        let bytes = frame("facts", b"bytes");
        for length in 0..bytes.len() {
            let short = Bytes::copy_from_slice(&bytes[..length]);
            assert!(decode::<String>(&short).is_err(), "{length}");
            assert!(read::<String>(&mut &bytes[..length], 100).is_err());
        }
        let longer = Bytes::from([&bytes[..], b"x"].concat());
        assert!(matches!(
            decode::<String>(&longer),
            Err(Broken::Length { .. })
        ));
        assert!(read::<String>(&mut &bytes[..], 4).is_err());
        assert!(decode::<String>(&Bytes::from(vec![0xff; 64])).is_err());
        assert!(matches!(
            decode::<u32>(&Bytes::from(bytes)),
            Err(Broken::Facts(_))
        ));
    }
}
