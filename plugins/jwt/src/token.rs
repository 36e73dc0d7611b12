//! The form of a token: three parts with dots between them (RFC 7515, compact serialization). Nothing of it is believed here.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::{Map, Value};
use sluicegate_plugin::Fault;

/// The most bytes of a token. Arbitrary; those with hundreds of groups in them have a quarter of it.
const LONGEST: usize = 16 * 1024;

/// The most bytes of a key's name. Arbitrary; a digest in hexadecimal has 128.
pub const LONGEST_KID: usize = 256;

/// A token as a client has sent it.
#[derive(Debug)]
pub struct Token<'t> {
    /// What is signed: the first two parts as they are.
    pub signed: &'t [u8],
    /// The third part.
    pub signature: Vec<u8>,
    /// The first part.
    pub header: Header,
    /// The second part.
    pub claims: Map<String, Value>,
}

/// How a token is signed, by its own account.
#[derive(Debug, Deserialize)]
pub struct Header {
    /// The algorithm.
    pub alg: String,
    /// The name of the key.
    pub kid: Option<String>,
    /// Extensions that whoever reads it must know.
    crit: Option<Value>,
}

/// Whether this can only be a token: three parts in base64url, of which the first begins like a JSON object.
pub fn has_its_form(key: &[u8]) -> bool {
    let is_legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    key.first() == Some(&b'e')
        && key.iter().filter(|byte| **byte == b'.').count() == 2
        && key.iter().all(is_legal)
}

impl<'t> Token<'t> {
    /// Reads a token.
    ///
    /// # Errors
    /// 401 for what is none, is too long, or has extensions.
    pub fn read(text: &'t [u8]) -> Result<Self, Fault> {
        if text.len() > LONGEST {
            return Err(Fault::unauthorized(format!(
                "The token has more than {LONGEST} bytes."
            )));
        }
        let token = Self::parts(text).ok_or_else(|| {
            Fault::unauthorized("The token is not a JWT in compact form. Ask for a new one.")
        })?;
        let kid = token.header.kid.as_ref();
        if token.header.crit.is_some() || kid.is_some_and(|kid| kid.len() > LONGEST_KID) {
            return Err(Fault::unauthorized(
                "The token has extensions, or the name of a key, that this gateway does not take.",
            ));
        }
        Ok(token)
    }

    fn parts(text: &'t [u8]) -> Option<Self> {
        let last = text.iter().rposition(|byte| *byte == b'.')?;
        let (signed, signature) = (&text[..last], &text[last + 1..]);
        let first = signed.iter().position(|byte| *byte == b'.')?;
        let decode = |part: &[u8]| BASE64URL_NOPAD.decode(part).ok();
        Some(Self {
            signed,
            signature: decode(signature)?,
            header: serde_json::from_slice(&decode(&signed[..first])?).ok()?,
            claims: serde_json::from_slice(&decode(&signed[first + 1..])?).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(header: &str, claims: &str) -> String {
        let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        format!("{}.{}.AQID", encode(header), encode(claims))
    }

    #[test]
    fn what_has_the_form_of_a_token_is_told_from_an_api_key() {
        let token = encoded(r#"{"alg":"ES256"}"#, "{}");
        for yes in [&*token, "e..", "eyJ.e30.", "ewo.x.y"] {
            assert!(has_its_form(yes.as_bytes()), "{yes}");
        }
        for no in [
            "", "sk-a.b.c", "e.b", "e.b.c.d", "e.b.c=", "e.b.c d", "é.b.c",
        ] {
            assert!(!has_its_form(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn a_token_is_read_and_what_is_signed_stays_as_it_is() {
        let text = encoded(r#"{"alg":"ES256","kid":"k","typ":"JWT"}"#, r#"{"a":1}"#);
        let token = Token::read(text.as_bytes()).expect("a token");
        assert_eq!(
            (&*token.header.alg, token.header.kid.as_deref()),
            ("ES256", Some("k"))
        );
        assert_eq!(token.claims["a"], 1);
        assert_eq!(token.signature, [1, 2, 3]);
        assert_eq!(
            token.signed,
            text.rsplit_once('.').expect("parts").0.as_bytes()
        );
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let kid = "k".repeat(LONGEST_KID + 1);
        for text in [
            "e..".to_owned(),
            "eyJ.e30.".to_owned(),
            encoded("{}", "{}"),
            encoded(r#"{"alg":1}"#, "{}"),
            encoded(r#"{"alg":"ES256","alg":"RS256"}"#, "{}"),
            encoded(r#"{"alg":"ES256"}"#, "[]"),
            encoded(r#"{"alg":"ES256"}"#, "{") + "A",
            encoded(r#"{"alg":"ES256","crit":["b64"],"b64":false}"#, "{}"),
            encoded(&format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#), "{}"),
            encoded(
                r#"{"alg":"ES256"}"#,
                &format!("{{\"a\":\"{}\"}}", "x".repeat(LONGEST)),
            ),
        ] {
            let fault = Token::read(text.as_bytes()).expect_err(&text[..text.len().min(80)]);
            assert_eq!((fault.status, &*fault.code), (401, "invalid_api_key"));
        }
    }
}
