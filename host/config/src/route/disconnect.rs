//! `on-disconnect` of a route: what happens to an exchange whose client leaves while the model server is at work.

use std::time::Duration;

use crate::reader::{Table, Value};

/// How long an exchange goes on without its client by default: most answers are complete by then.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How many exchanges of a route go on without their clients at a time by default. Arbitrary; few beside the 8,000 exchanges of a gateway.
const MAX: usize = 100;

/// What happens to an exchange whose client leaves while the model server is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDisconnect {
    /// The model server is hung up on at once.
    #[default]
    Cancel,
    /// The response is read to its end, so that its usage is known.
    DrainForUsage {
        /// For how long after the client left.
        timeout: Duration,
        /// The most exchanges of the route at a time; a further one is cancelled. At least 1.
        max: usize,
    },
}

pub(super) fn read(route: &Table<'_>) -> OnDisconnect {
    let Some(value) = route.get("on-disconnect") else {
        return OnDisconnect::default();
    };
    let mend = r#"write "cancel", "drain-for-usage" or { drain-for-usage = { timeout = "60s", max = 100 } }"#;
    match value.node.as_str() {
        Some("cancel") => OnDisconnect::Cancel,
        Some("drain-for-usage") => OnDisconnect::DrainForUsage {
            timeout: TIMEOUT,
            max: MAX,
        },
        Some(other) => {
            value.problem(format!("is no policy: {other:?}"), mend);
            OnDisconnect::default()
        }
        None => drain(&value, mend).unwrap_or_default(),
    }
}

fn drain(value: &Value<'_>, mend: &str) -> Option<OnDisconnect> {
    if !value.node.is_table() {
        value.problem("is no policy", mend);
        return None;
    }
    let table = value.table()?;
    let drain = table.required("drain-for-usage", mend);
    table.finish();
    let bounds = drain?.table()?;
    let (timeout, max) = (bounds.duration("timeout"), bounds.count("max"));
    bounds.finish();
    Some(OnDisconnect::DrainForUsage {
        timeout: timeout.unwrap_or(TIMEOUT),
        max: max.unwrap_or(MAX),
    })
}
