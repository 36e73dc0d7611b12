//! API keys that clients present: where they stand in a request, whose they are, how long they hold, and what the model server gets
//! in their place. For gates that check them, alone or beside something else.
//!
//! The decisions are pure, over values of header fields and a moment; the keys are in [`keys`].

use sluicegate_plugin::{Context, Fault, Field, clock, json, log};

pub mod config;
pub mod keys;
pub mod moment;

use config::{Inject, Key};
use keys::Keys;

/// The default of the second field that may hold a key, besides `authorization`.
const DEFAULT_FIELD: &str = "x-api-key";

/// The keys of a gateway, and where clients present them.
#[derive(Debug)]
pub struct Credentials {
    keys: Keys,
    /// Whose each key is, in the order of `keys`.
    holders: Vec<Holder>,
    field: String,
    injected: Option<Field>,
    /// What clients are asked for, such as "an API key".
    wanted: &'static str,
}

/// Whose a key is.
#[derive(Debug)]
struct Holder {
    /// The tenant as JSON text.
    tenant: String,
    /// From when on the key is not accepted, in milliseconds since 1970.
    expires_ms: Option<u64>,
}

/// The fields of a request that may hold a key, each the first of its name.
#[derive(Debug)]
pub struct Presented {
    authorization: Option<Vec<u8>>,
    field: Option<Vec<u8>>,
}

impl Credentials {
    /// Those of a configuration; `header` names the second field that may hold a key. Clients without one are told that they need
    /// what is `wanted`, such as "an API key". Keys that have expired are told to the log.
    ///
    /// # Errors
    /// If a name or a key is empty or occurs twice, a key cannot be sent in a header field, an end is no moment, or a field's name is
    /// not legal.
    pub fn new(
        configured: Vec<Key>,
        header: Option<String>,
        inject: Option<Inject>,
        wanted: &'static str,
    ) -> Result<Self, String> {
        let mut keys = Keys::default();
        let mut names: Vec<String> = Vec::with_capacity(configured.len());
        let mut holders = Vec::with_capacity(configured.len());
        for (at, entry) in configured.into_iter().enumerate() {
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
            let expires = entry.expires.as_deref().map(moment::end).transpose();
            let expires_ms =
                expires.map_err(|why| format!("`keys[{at}].expires` of `{name}` {why}"))?;
            if expires_ms.is_some_and(|end| end <= clock::unix_ms()) {
                log::warn("an API key has expired: remove it, or give it a later `expires`")
                    .field("name", &name)
                    .field("expires", &entry.expires)
                    .write();
            }
            holders.push(Holder {
                tenant: json_text(entry.tenant.as_deref().unwrap_or(&name)),
                expires_ms,
            });
            names.push(name);
        }
        let field = header.unwrap_or_else(|| DEFAULT_FIELD.to_owned());
        Ok(Self {
            keys,
            holders,
            field: field_name("header", &field)?,
            injected: inject.map(injected).transpose()?,
            wanted,
        })
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What a request presents.
    pub fn presented(&self, ctx: &Context<'_>) -> Presented {
        Presented {
            authorization: ctx.get("authorization"),
            field: ctx.get(&self.field),
        }
    }

    /// Takes what was presented out of the request, and puts the key for the model server in its place, if there is one.
    ///
    /// # Errors
    /// If the context refuses the field that is put in.
    pub fn replace(&self, ctx: &Context<'_>, presented: &Presented) -> Result<(), Fault> {
        let fields = [
            ("authorization", &presented.authorization),
            (&self.field, &presented.field),
        ];
        for (name, value) in fields {
            // Setting the injected field replaces a field of the same name.
            let replaced = self.injected.as_ref().is_some_and(|it| it.name == name);
            if value.is_some() && !replaced {
                ctx.remove(name)?;
            }
        }
        if let Some(injected) = &self.injected {
            ctx.set(&injected.name, &injected.value)?;
        }
        Ok(())
    }

    /// Whose a key is: the tenant as JSON text. `now_ms` tells the time, if the key has an end.
    ///
    /// # Errors
    /// 401 `invalid_api_key`, with a message that distinguishes a key that has expired from an unknown one and never repeats it.
    pub fn tenant(&self, key: &[u8], now_ms: impl FnOnce() -> u64) -> Result<&str, Fault> {
        let Some(at) = self.keys.find(key) else {
            return Err(Fault::unauthorized(
                "The API key is not one of this gateway's keys. Check it for typing errors, or ask for a new one.",
            ));
        };
        let holder = &self.holders[at];
        match holder.expires_ms {
            Some(end) if end <= now_ms() => Err(Fault::unauthorized(
                "The API key has expired. Ask for a new one.",
            )),
            Some(_) | None => Ok(&holder.tenant),
        }
    }

    /// The key or token that the client presents.
    ///
    /// # Errors
    /// 401 `invalid_api_key`, with a message that says what is missing, and where it belongs.
    pub fn key<'p>(&self, presented: &'p Presented) -> Result<&'p [u8], Fault> {
        let field = presented.field.as_deref();
        let field = field
            .map(<[u8]>::trim_ascii)
            .filter(|value| !value.is_empty());
        let bearer = presented.authorization.as_deref().map(bearer);
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
                "This gateway needs {}. Send it as `authorization: Bearer YOUR_KEY` or in `{}`.",
                self.wanted, self.field
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

fn injected(inject: Inject) -> Result<Field, String> {
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

/// Text as a JSON string.
pub fn json_text(text: &str) -> String {
    let mut out = String::new();
    json::push_str(&mut out, text);
    out
}
