//! Completions: a prompt in place of a conversation, and thinking that stays in the text. Pure.

use serde_json::Value;

use super::decide::{self, Error};
use super::request::{self, Request};
use super::stream::Form;
use crate::openai;

/// A request of `/api/generate`, as one message.
///
/// # Errors
/// It is malformed, or asks a model for a text between two others that cannot make one.
pub(super) fn read(body: &[u8]) -> Result<(Request, Form), Error> {
    let mut request = Request::parse(body)?;
    let fields = request::object(body)?;
    let prompt = request::string(&fields, "prompt")?;
    let suffix = request::string(&fields, "suffix")?;
    let raw = fields.get("raw") == Some(&Value::Bool(true));
    let model = decide::model(&request.model)?;
    if !suffix.is_empty() && !raw && !model.can("insert") {
        let name = model.name.to_owned();
        return Err(Error::NoInsert { name });
    }
    if !prompt.is_empty() {
        request.messages = vec![openai::question(&prompt)];
    }
    Ok((request, Form::Completion { raw }))
}
