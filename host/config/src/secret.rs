//! Secrets: values that are used but never shown. They come from the environment or from a file.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use toml::de::DeValue;

use super::reader::{Context, Value};

/// The longest secret that is read from a file: 64 KiB, enough for any token or key.
const LONGEST: u64 = 64 << 10;

/// A value that `Debug` does not show.
///
/// `==` is for detecting a changed configuration. It does not take constant time, so do not check a caller's token with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub const fn new(value: String) -> Self {
        Self(value)
    }

    /// The value itself. It must not appear in a log, an error or a response.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a secret comes from.
enum Reference<'a> {
    Env(&'a str),
    File(&'a str),
}

/// Resolves `{ env = "NAME" }` or `{ file = "path" }`.
///
/// # Shape
/// `None`: the value is not a reference, which has exactly that one key, with a string. `Some(None)`: it is a reference, but
/// the secret is missing; the problem is noted.
pub(super) fn referenced(value: &Value<'_>) -> Option<Option<Secret>> {
    let found = match reference(value.node)? {
        Reference::Env(name) => from_env(value, name),
        Reference::File(path) => from_file(value, path),
    };
    Some(found.map(Secret))
}

/// Reads a secret, written as a reference or as a plain string.
pub(super) fn read(value: &Value<'_>) -> Option<Secret> {
    if let Some(found) = referenced(value) {
        return found;
    }
    if value.node.is_table() {
        value.problem(
            "is not a reference to a secret",
            r#"write { env = "NAME" } or { file = "path" }"#,
        );
        return None;
    }
    let text = value.string()?;
    if text.is_empty() {
        value.problem("is empty", r#"write { env = "NAME" } or { file = "path" }"#);
        return None;
    }
    Some(Secret(text.to_owned()))
}

fn reference<'a>(node: &'a DeValue<'a>) -> Option<Reference<'a>> {
    let table = node.as_table().filter(|table| table.len() == 1)?;
    let (key, value) = table.iter().next()?;
    let text = value.get_ref().as_str()?;
    match key.get_ref().as_ref() {
        "env" => Some(Reference::Env(text)),
        "file" => Some(Reference::File(text)),
        _ => None,
    }
}

fn from_env(value: &Value<'_>, name: &str) -> Option<String> {
    let found = value.cx.env(name);
    if found.is_none() {
        value.problem(
            format!("needs the environment variable {name}, which is not set"),
            format!("set {name}, or take the secret from elsewhere"),
        );
    }
    found
}

fn from_file(value: &Value<'_>, path: &str) -> Option<String> {
    match read_file(value.cx, path) {
        Ok(text) if !text.is_empty() => Some(text),
        Ok(_) => {
            let message = format!("needs the secret in {path}, which is empty");
            value.problem(message, "write the secret into the file");
            None
        }
        Err(error) => {
            let message = format!("needs the secret in {path}, which cannot be read: {error}");
            let mend = "make the file readable for the gateway, or correct the path";
            value.problem(message, mend);
            None
        }
    }
}

/// The text of the file, without the trailing line end that editors add.
fn read_file(cx: &Context<'_>, path: &str) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(cx.file(path))?;
    file.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}
