//! The keys that an issuer publishes (RFC 7517), and which of them a token means.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::algorithm::{Algorithm, Kind};
use crate::token::LONGEST_KID;

/// The most bytes of a list of keys. Arbitrary; those of the large providers have a tenth of it.
const LONGEST: usize = 256 * 1024;

/// The most keys of an issuer. Arbitrary; those that roll over every hour have some dozens.
const KEYS: usize = 100;

/// One published key: those of its members that count here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Jwk {
    kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(rename = "use", skip_serializing)]
    usage: Option<String>,
    #[serde(skip_serializing)]
    key_ops: Option<Vec<String>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    crv: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    n: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    e: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    x: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    y: String,
}

impl Jwk {
    /// What it can verify; `None`: nothing that is accepted here.
    fn kind(&self) -> Option<Kind> {
        match (&*self.kty, &*self.crv) {
            ("RSA", _) => Some(Kind::Rsa),
            ("EC", "P-256") => Some(Kind::P256),
            ("EC", "P-384") => Some(Kind::P384),
            ("OKP", "Ed25519") => Some(Kind::Ed25519),
            _ => None,
        }
    }

    fn is_usable(&self) -> bool {
        let is_for_signatures = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        let verifies = |ops: &Vec<String>| ops.iter().any(|op| op == "verify");
        let kid = self.kid.as_ref();
        is_for_signatures
            && self.key_ops.as_ref().is_none_or(verifies)
            && kid.is_none_or(|kid| kid.len() <= LONGEST_KID)
            && self.kind().is_some()
    }

    /// Whether signatures of this algorithm may be verified with it: of its kind, and of no other than it says.
    fn is_for(&self, algorithm: Algorithm) -> bool {
        let own = self.alg.as_deref();
        self.kind() == Some(algorithm.kind())
            && own.is_none_or(|own| Algorithm::named(own) == Some(algorithm))
    }

    /// Modulus and exponent of an RSA key.
    pub fn rsa(&self) -> Option<[Vec<u8>; 2]> {
        Some([decoded(&self.n)?, decoded(&self.e)?])
    }

    /// The point of a key on a curve, as SEC 1 writes it, uncompressed; each coordinate has so many bytes.
    pub fn point(&self, bytes: usize) -> Option<Vec<u8>> {
        let (x, y) = (decoded(&self.x)?, decoded(&self.y)?);
        (x.len() == bytes && y.len() == bytes).then(|| [&[4], &*x, &*y].concat())
    }

    /// The bytes of an Ed25519 key.
    pub fn ed25519(&self) -> Option<[u8; 32]> {
        decoded(&self.x)?.try_into().ok()
    }
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

/// The keys of an issuer, as they were at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// When the issuer was asked, in milliseconds since 1970.
    pub fetched_ms: u64,
    keys: Vec<Jwk>,
}

impl Set {
    /// The keys in a response. Those that cannot be used here are left out.
    ///
    /// # Errors
    /// Why there are none, for the log.
    pub fn read(body: &[u8], fetched_ms: u64) -> Result<Self, &'static str> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        if body.len() > LONGEST {
            return Err("the list of keys is too long");
        }
        let document: Document =
            serde_json::from_slice(body).map_err(|_| "the response is not a list of keys")?;
        let keys = document.keys.into_iter();
        let keys = keys.filter_map(|key| serde_json::from_value(key).ok());
        let keys: Vec<_> = keys.filter(Jwk::is_usable).take(KEYS).collect();
        if keys.is_empty() {
            return Err("no key in the list can be used");
        }
        Ok(Self { fetched_ms, keys })
    }

    /// The key of this name that is for the algorithm. A token that names none means the only one that is for it.
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Jwk> {
        let mut keys = self.keys.iter().filter(|key| key.is_for(algorithm));
        match kid {
            Some(_) => keys.find(|key| key.kid.as_deref() == kid),
            None => keys.next().filter(|_| keys.next().is_none()),
        }
    }
}
