//! What every vendor's request comes to: a conversation, and the tools that the model may call.

use serde_json::Value;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// In lower case.
    pub(super) role: String,
    pub(super) content: String,
    pub(super) images: usize,
    /// The tool whose result this is.
    pub(super) tool_name: String,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) description: String,
    /// The JSON Schema of the arguments.
    pub(super) parameters: Value,
}
