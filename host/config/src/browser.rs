//! What makes the gateway usable for less strict clients: content codings of requests, and pages of other origins.

use std::time::Duration;

use super::reader::{Table, Value};

/// How long browsers may remember that they may send a request; the most that Chromium accepts.
const MAX_AGE: Duration = Duration::from_hours(2);

/// A content coding of request bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`
    Gzip,
    /// `zstd`
    Zstd,
}

impl Coding {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Gzip, Self::Zstd];

    /// Its name in `content-encoding`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Which pages of other origins may use the gateway from a browser (CORS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Origins such as `https://app.example.com`, in lower case; `*` for all.
    pub origins: Vec<String>,
    /// How long a browser may remember that it may send a request; default 2 h.
    pub max_age: Duration,
}

pub(super) fn codings(table: &Table<'_>) -> Vec<Coding> {
    let Some(value) = table.get("codings") else {
        return Coding::ALL.to_vec();
    };
    let coding = |item: &Value<'_>| {
        let name = item.string()?;
        let known = Coding::ALL.into_iter().find(|known| known.name() == name);
        if known.is_none() {
            item.problem(
                format!("is no content coding that the gateway can decode: {name:?}"),
                r#"write "gzip" or "zstd""#,
            );
        }
        known
    };
    let items = value.items().unwrap_or_default();
    items.iter().filter_map(coding).collect()
}

pub(super) fn cors(table: &Table<'_>) -> Option<Cors> {
    if !table.is_present() {
        return None;
    }
    let origins = table.required("origins", r#"add origins = ["https://app.example.com"]"#);
    let items = origins.and_then(|value| value.items()).unwrap_or_default();
    let cors = Cors {
        origins: items.iter().filter_map(origin).collect(),
        max_age: table.duration("max-age").unwrap_or(MAX_AGE),
    };
    table.finish();
    Some(cors)
}

/// `scheme://host` or `scheme://host:port`, as a browser sends it.
fn origin(item: &Value<'_>) -> Option<String> {
    let text = item.string()?;
    let rest = text
        .split_once("://")
        .filter(|(scheme, _)| !scheme.is_empty());
    let is_origin = rest.is_some_and(|(_, host)| {
        let legal = |byte: u8| byte.is_ascii_graphic() && !b"/?#@*\"\\".contains(&byte);
        !host.is_empty() && host.bytes().all(legal)
    });
    if text != "*" && !is_origin {
        item.problem(
            format!("is not an origin: {text:?}"),
            r#"write scheme, host and port as the browser shows them, such as "https://app.example.com", or "*" for all"#,
        );
    }
    Some(text.to_ascii_lowercase())
}
