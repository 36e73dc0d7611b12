//! Signatures: how each algorithm verifies them.

use p256::ecdsa::signature::Verifier;
use rsa::{BoxedUint, PublicKey, pkcs1v15, pss};
use sha2::{Sha256, Sha384, Sha512};

use crate::algorithm::Algorithm;
use crate::jwks::Jwk;

/// The fewest bits of an RSA key.
///
/// # Source
/// RFC 7518, section 3.3.
const RSA_BITS: u32 = 2048;

/// The most bytes of an RSA key's modulus: 4,096 bits. With more, one signature would cost much of a call's time.
const RSA_BYTES: usize = 512;

/// Whether this is the key's signature of these bytes. A key that is none has no signature.
pub fn verifies(algorithm: Algorithm, key: &Jwk, signed: &[u8], signature: &[u8]) -> bool {
    verified(algorithm, key, signed, signature).is_some()
}

fn verified(algorithm: Algorithm, key: &Jwk, signed: &[u8], signature: &[u8]) -> Option<()> {
    match algorithm {
        Algorithm::Rs256 => {
            let key = pkcs1v15::VerifyingKey::<Sha256>::new(rsa_key(key)?);
            checked::<pkcs1v15::Signature>(&key, signed, signature)
        }
        Algorithm::Rs384 => {
            let key = pkcs1v15::VerifyingKey::<Sha384>::new(rsa_key(key)?);
            checked::<pkcs1v15::Signature>(&key, signed, signature)
        }
        Algorithm::Rs512 => {
            let key = pkcs1v15::VerifyingKey::<Sha512>::new(rsa_key(key)?);
            checked::<pkcs1v15::Signature>(&key, signed, signature)
        }
        Algorithm::Ps256 => {
            let key = pss::VerifyingKey::<Sha256>::new(rsa_key(key)?);
            checked::<pss::Signature>(&key, signed, signature)
        }
        Algorithm::Ps384 => {
            let key = pss::VerifyingKey::<Sha384>::new(rsa_key(key)?);
            checked::<pss::Signature>(&key, signed, signature)
        }
        Algorithm::Ps512 => {
            let key = pss::VerifyingKey::<Sha512>::new(rsa_key(key)?);
            checked::<pss::Signature>(&key, signed, signature)
        }
        Algorithm::Es256 => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&key.point(32)?).ok()?;
            checked::<p256::ecdsa::Signature>(&key, signed, signature)
        }
        Algorithm::Es384 => {
            let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(&key.point(48)?).ok()?;
            checked::<p384::ecdsa::Signature>(&key, signed, signature)
        }
        Algorithm::EdDsa => {
            use ed25519_dalek::{Signature, VerifyingKey};
            let key = VerifyingKey::from_bytes(&key.ed25519()?).ok()?;
            let signature = Signature::from_slice(signature).ok()?;
            key.verify_strict(signed, &signature).ok()
        }
    }
}

fn checked<'s, S: TryFrom<&'s [u8]>>(
    key: &impl Verifier<S>,
    signed: &[u8],
    signature: &'s [u8],
) -> Option<()> {
    key.verify(signed, &S::try_from(signature).ok()?).ok()
}

fn rsa_key(key: &Jwk) -> Option<PublicKey> {
    let [modulus, exponent] = key.rsa()?;
    if modulus.len() > RSA_BYTES || exponent.len() > 4 {
        return None;
    }
    let modulus = BoxedUint::from_be_slice_vartime(&modulus);
    let exponent = BoxedUint::from_be_slice_vartime(&exponent);
    if modulus.bit_width() < RSA_BITS {
        return None;
    }
    PublicKey::new(modulus, exponent).ok()
}
