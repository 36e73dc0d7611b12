//! Keys that the tests make, and tokens that they sign with them.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use data_encoding::BASE64URL_NOPAD;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use p256::ecdsa::signature::{RandomizedSigner, SignatureEncoding, Signer};
use rsa::traits::PublicKeyParts;
use rsa::{PrivateKey, pkcs1v15, pss};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::algorithm::Algorithm;

/// The RSA key of all tests of this run: making one takes a second.
static RSA: OnceLock<PrivateKey> = OnceLock::new();

fn rsa_key() -> PrivateKey {
    let make = || PrivateKey::new(&mut UnwrapErr(SysRng), 2048).expect("a legal size");
    RSA.get_or_init(make).clone()
}

/// Random bytes.
fn random<const N: usize>() -> [u8; N] {
    let state = RandomState::new();
    std::array::from_fn(|at| state.hash_one(at).to_le_bytes()[0])
}

enum Secret {
    Rsa,
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
}

/// A key of the provider.
pub(super) struct Key {
    pub(super) kid: &'static str,
    pub(super) algorithm: Algorithm,
    secret: Secret,
}

impl Key {
    /// A new one, but for RSA.
    pub(super) fn new(kid: &'static str, algorithm: Algorithm) -> Self {
        let legal = "below the order, but once in 2^32";
        let secret = match algorithm {
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => Secret::Rsa,
            Algorithm::Es256 => {
                Secret::P256(p256::ecdsa::SigningKey::from_slice(&random::<32>()).expect(legal))
            }
            Algorithm::Es384 => {
                Secret::P384(p384::ecdsa::SigningKey::from_slice(&random::<48>()).expect(legal))
            }
            Algorithm::EdDsa => {
                Secret::Ed25519(ed25519_dalek::SigningKey::from_bytes(&random::<32>()))
            }
        };
        Self {
            kid,
            algorithm,
            secret,
        }
    }

    /// As it is published.
    pub(super) fn published(&self) -> Value {
        let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let curve = |name: &str, point: &[u8]| {
            let (x, y) = point[1..].split_at((point.len() - 1) / 2);
            json!({"kty": "EC", "crv": name, "x": encode(x), "y": encode(y)})
        };
        let mut key = match &self.secret {
            Secret::Rsa => {
                let key = rsa_key();
                let [n, e] = [key.n_bytes(), key.e_bytes()].map(|bytes| encode(&bytes));
                json!({"kty": "RSA", "n": n, "e": e, "x5t": "whatever"})
            }
            Secret::P256(key) => {
                curve("P-256", key.verifying_key().to_sec1_point(false).as_bytes())
            }
            Secret::P384(key) => {
                curve("P-384", key.verifying_key().to_sec1_point(false).as_bytes())
            }
            Secret::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.verifying_key().as_bytes())})
            }
        };
        key["kid"] = json!(self.kid);
        key["use"] = json!("sig");
        key["alg"] = json!(self.algorithm.name());
        key
    }

    /// A token with these claims.
    pub(super) fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm.name(), "kid": self.kid, "typ": "JWT"});
        self.signed(&header, claims)
    }

    /// A token with this header, whatever it says, signed with the key's own algorithm.
    pub(super) fn signed(&self, header: &Value, claims: &Value) -> String {
        let encode = |json: &Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = BASE64URL_NOPAD.encode(&self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let rng = &mut UnwrapErr(SysRng);
        match (&self.secret, self.algorithm) {
            (Secret::P256(key), _) => {
                let signature: p256::ecdsa::Signature = key.sign(bytes);
                signature.to_vec()
            }
            (Secret::P384(key), _) => {
                let signature: p384::ecdsa::Signature = key.sign(bytes);
                signature.to_vec()
            }
            (Secret::Ed25519(key), _) => key.sign(bytes).to_vec(),
            (Secret::Rsa, Algorithm::Rs384) => pkcs1v15::SigningKey::<Sha384>::new(rsa_key())
                .sign(bytes)
                .to_vec(),
            (Secret::Rsa, Algorithm::Rs512) => pkcs1v15::SigningKey::<Sha512>::new(rsa_key())
                .sign(bytes)
                .to_vec(),
            (Secret::Rsa, Algorithm::Ps256) => {
                let key = pss::SigningKey::<Sha256>::new(rsa_key());
                key.sign_with_rng(rng, bytes).to_vec()
            }
            (Secret::Rsa, Algorithm::Ps384) => {
                let key = pss::SigningKey::<Sha384>::new(rsa_key());
                key.sign_with_rng(rng, bytes).to_vec()
            }
            (Secret::Rsa, Algorithm::Ps512) => {
                let key = pss::SigningKey::<Sha512>::new(rsa_key());
                key.sign_with_rng(rng, bytes).to_vec()
            }
            (Secret::Rsa, _) => pkcs1v15::SigningKey::<Sha256>::new(rsa_key())
                .sign(bytes)
                .to_vec(),
        }
    }
}

/// What somebody might take for a shared secret who has only what is published.
pub(super) fn secrets(key: &Key) -> [Vec<u8>; 3] {
    let published = key.published();
    let n = published["n"].as_str().unwrap_or_default();
    let decoded = BASE64URL_NOPAD.decode(n.as_bytes()).expect("base64url");
    [
        decoded,
        n.as_bytes().to_vec(),
        published.to_string().into_bytes(),
    ]
}

/// HMAC with SHA-256 (RFC 2104).
pub(super) fn hmac(secret: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    if secret.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(secret));
    } else {
        block[..secret.len()].copy_from_slice(secret);
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(bytes);
    let outer = Sha256::new().chain_update(pad(0x5c));
    outer.chain_update(inner.finalize()).finalize().to_vec()
}
