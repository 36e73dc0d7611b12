//! Signatures: the algorithms that are accepted, and how each is verified.
//!
//! The list is closed, and the key decides with the algorithm: a key of one kind is never used for another. Nothing with a shared
//! secret is on it, so that a published key cannot be taken for one.

use p256::ecdsa::signature::Verifier;
use rsa::{BoxedUint, PublicKey, pkcs1v15, pss};
use sha2::{Sha256, Sha384, Sha512};

use crate::jwks::Jwk;

/// The fewest bits of an RSA key.
///
/// # Source
/// RFC 7518, section 3.3.
const RSA_BITS: u32 = 2048;

/// The most bytes of an RSA key's modulus: 4,096 bits. With more, one signature would cost much of a call's time.
const RSA_BYTES: usize = 512;

/// How a token is signed.
///
/// # Source
/// RFC 7518, section 3.1; RFC 8037, section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512
    Rs512,
    /// RSASSA-PSS with SHA-256
    Ps256,
    /// RSASSA-PSS with SHA-384
    Ps384,
    /// RSASSA-PSS with SHA-512
    Ps512,
    /// ECDSA with P-256 and SHA-256
    Es256,
    /// ECDSA with P-384 and SHA-384
    Es384,
    /// Ed25519
    EdDsa,
}

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RSA
    Rsa,
    /// A point on P-256
    P256,
    /// A point on P-384
    P384,
    /// A point on edwards25519
    Ed25519,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Its name in a token.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The one of this name, which is case-sensitive.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// The kind of keys that it works with.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => {
                Kind::Rsa
            }
            Self::Es256 => Kind::P256,
            Self::Es384 => Kind::P384,
            Self::EdDsa => Kind::Ed25519,
        }
    }

    /// Whether this is the key's signature of these bytes. A key that is none has no signature.
    pub fn verifies(self, key: &Jwk, signed: &[u8], signature: &[u8]) -> bool {
        self.verified(key, signed, signature).is_some()
    }

    fn verified(self, key: &Jwk, signed: &[u8], signature: &[u8]) -> Option<()> {
        match self {
            Self::Rs256 => {
                let key = pkcs1v15::VerifyingKey::<Sha256>::new(rsa_key(key)?);
                checked::<pkcs1v15::Signature>(&key, signed, signature)
            }
            Self::Rs384 => {
                let key = pkcs1v15::VerifyingKey::<Sha384>::new(rsa_key(key)?);
                checked::<pkcs1v15::Signature>(&key, signed, signature)
            }
            Self::Rs512 => {
                let key = pkcs1v15::VerifyingKey::<Sha512>::new(rsa_key(key)?);
                checked::<pkcs1v15::Signature>(&key, signed, signature)
            }
            Self::Ps256 => {
                let key = pss::VerifyingKey::<Sha256>::new(rsa_key(key)?);
                checked::<pss::Signature>(&key, signed, signature)
            }
            Self::Ps384 => {
                let key = pss::VerifyingKey::<Sha384>::new(rsa_key(key)?);
                checked::<pss::Signature>(&key, signed, signature)
            }
            Self::Ps512 => {
                let key = pss::VerifyingKey::<Sha512>::new(rsa_key(key)?);
                checked::<pss::Signature>(&key, signed, signature)
            }
            Self::Es256 => {
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&key.point(32)?).ok()?;
                checked::<p256::ecdsa::Signature>(&key, signed, signature)
            }
            Self::Es384 => {
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(&key.point(48)?).ok()?;
                checked::<p384::ecdsa::Signature>(&key, signed, signature)
            }
            Self::EdDsa => {
                use ed25519_dalek::{Signature, VerifyingKey};
                let key = VerifyingKey::from_bytes(&key.octets()?).ok()?;
                let signature = Signature::from_slice(signature).ok()?;
                key.verify_strict(signed, &signature).ok()
            }
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
