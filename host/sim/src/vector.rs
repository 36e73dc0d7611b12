//! Embedding vectors: the same for the same text, similar for similar ones in nothing. Pure.

use data_encoding::BASE64;

/// A vector of length 1.
pub(super) fn of(text: &str, dimensions: usize) -> Vec<f32> {
    // FNV-1a, then xorshift: arbitrary, but spread.
    let mut state = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let [.., high, low] = state.to_be_bytes();
        f32::from(i16::from_be_bytes([high, low])) / 32768.0
    };
    let raw: Vec<f32> = (0..dimensions).map(|_| next()).collect();
    let length = raw.iter().map(|value| value * value).sum::<f32>().sqrt();
    raw.iter()
        .map(|value| value / length.max(f32::MIN_POSITIVE))
        .collect()
}

/// The numbers in little-endian, as base64.
pub(super) fn base64(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    BASE64.encode(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_of_length_one_and_belong_to_their_text() {
        let one = of("one", 64);
        assert_eq!((one.len(), &one), (64, &of("one", 64)));
        assert_ne!(one, of("two", 64));
        let length: f32 = one.iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5);
        assert_eq!(base64(&[1.0, -2.0]), "AACAPwAAAMA=");
    }
}
