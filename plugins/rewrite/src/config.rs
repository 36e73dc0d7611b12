//! The operator's configuration as in the file; `config.schema.json` says what each key means.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub(crate) rules: Vec<RawRule>,
}

/// One rule.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawRule {
    pub(crate) exact: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) regex: Option<String>,
    pub(crate) methods: Vec<String>,
    pub(crate) path: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) upstream: Option<String>,
    pub(crate) set: BTreeMap<String, String>,
    pub(crate) remove: Vec<String>,
    #[serde(rename = "continue")]
    pub(crate) goes_on: bool,
}
