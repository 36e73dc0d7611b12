//! Who may pass: a pure decision over two header values.

use sluicegate_plugin::{Fault, Field, json};

use crate::config::{Config, Inject};
use crate::keys::Keys;

/// The default of the second field that may hold a key, besides `authorization`.
const DEFAULT_FIELD: &str = "x-api-key";

/// The rule.
#[derive(Debug)]
pub struct Rule {
    keys: Keys,
    /// The tenant of each key as JSON text, in the order of `keys`.
    tenants: Vec<String>,
    field: String,
    injected: Option<Field>,
}

impl Rule {
    /// Makes the rule.
    ///
    /// # Errors
    /// If a name or a key is empty or occurs twice, a key cannot be sent in a header field, or a field's name is not legal.
    pub fn new(config: Config) -> Result<Self, String> {
        let mut keys = Keys::default();
        let mut names: Vec<String> = Vec::with_capacity(config.keys.len());
        let mut tenants = Vec::with_capacity(config.keys.len());
        for (at, entry) in config.keys.into_iter().enumerate() {
            let name = entry.name;
            if name.is_empty() {
                return Err(format!("`keys[{at}].name` must not be empty"));
            }
            if names.contains(&name) {
                return Err(format!(
                    "`keys[{at}].name`: there are two keys named `{name}`"
                ));
            }
            if !is_sendable(&entry.key) {
                return Err(format!(
                    "`keys[{at}].key` of `{name}` must be visible ASCII characters, at least one"
                ));
            }
            if !keys.add(entry.key.as_bytes()) {
                return Err(format!(
                    "`keys[{at}].key` of `{name}` is also the key of another name"
                ));
            }
            tenants.push(json_text(entry.tenant.as_deref().unwrap_or(&name)));
            names.push(name);
        }
        let field = config.header.unwrap_or_else(|| DEFAULT_FIELD.to_owned());
        Ok(Self {
            keys,
            tenants,
            field: field_name("header", &field)?,
            injected: config.inject.map(inject).transpose()?,
        })
    }

    /// The second field that may hold a key, besides `authorization`, in lower case.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The field that replaces the client's key for the model server.
    pub fn injected(&self) -> Option<&Field> {
        self.injected.as_ref()
    }

    /// Decides from the values of `authorization` and of the second field, each the first of its name. Returns the tenant as
    /// JSON text.
    ///
    /// # Errors
    /// 401 `invalid_api_key`, with a message that distinguishes a missing key from a wrong one and never repeats the key.
    pub fn decide(
        &self,
        authorization: Option<&[u8]>,
        field: Option<&[u8]>,
    ) -> Result<&str, Fault> {
        if self.keys.is_empty() {
            return Ok("\"anonymous\"");
        }
        let key = self.presented(authorization, field)?;
        match self.keys.find(key) {
            Some(at) => Ok(&self.tenants[at]),
            None => Err(Fault::unauthorized(
                "The API key is not one of this gateway's keys. Check it for typing errors, or ask for a new one.",
            )),
        }
    }

    /// The key that the client presents.
    fn presented<'a>(
        &self,
        authorization: Option<&'a [u8]>,
        field: Option<&'a [u8]>,
    ) -> Result<&'a [u8], Fault> {
        let field = field
            .map(<[u8]>::trim_ascii)
            .filter(|value| !value.is_empty());
        let bearer = authorization.map(bearer);
        match (bearer, field) {
            (Some(Authorization::Bearer(one)), Some(other)) if one != other => {
                Err(Fault::unauthorized(format!(
                    "`authorization` and `{}` hold different API keys. Send only one of them.",
                    self.field
                )))
            }
            (Some(Authorization::Bearer(key)), _) | (_, Some(key)) => Ok(key),
            (Some(Authorization::Empty), None) => Err(Fault::unauthorized(
                "The API key in `authorization` is empty. Send `authorization: Bearer YOUR_KEY`.",
            )),
            (Some(Authorization::OtherScheme), None) => Err(Fault::unauthorized(
                "`authorization` must use the scheme Bearer: `authorization: Bearer YOUR_KEY`.",
            )),
            (None, None) => Err(Fault::unauthorized(format!(
                "This gateway needs an API key. Send it as `authorization: Bearer YOUR_KEY` or in `{}`.",
                self.field
            ))),
        }
    }
}

/// The content of `authorization`.
enum Authorization<'a> {
    Bearer(&'a [u8]),
    Empty,
    OtherScheme,
}

fn bearer(value: &[u8]) -> Authorization<'_> {
    let value = value.trim_ascii();
    let end = value
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end);
    let key = rest.trim_ascii_start();
    if value.is_empty() {
        Authorization::Empty
    } else if !scheme.eq_ignore_ascii_case(b"bearer") {
        Authorization::OtherScheme
    } else if key.is_empty() {
        Authorization::Empty
    } else {
        Authorization::Bearer(key)
    }
}

fn inject(inject: Inject) -> Result<Field, String> {
    let (name, value) = match inject {
        Inject::Bearer { bearer } => ("authorization".to_owned(), format!("Bearer {bearer}")),
        Inject::Header { header, value } => (field_name("inject.header", &header)?, value),
    };
    if value.bytes().any(|b| b.is_ascii_control()) || value.trim().is_empty() {
        return Err("`inject`: the value must be text without control characters".to_owned());
    }
    Ok(Field::new(name, value))
}

fn field_name(key: &str, name: &str) -> Result<String, String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!(
            "`{key}`: `{name}` is not the name of a header field"
        ));
    }
    Ok(name.to_ascii_lowercase())
}

/// A key with blanks or control characters could not be sent as it is.
fn is_sendable(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic())
}

fn json_text(text: &str) -> String {
    let mut out = String::new();
    json::push_str(&mut out, text);
    out
}
