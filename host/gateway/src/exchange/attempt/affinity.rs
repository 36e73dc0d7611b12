//! What a request has in common with others that should go to the same target.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::exchange::Exchange;
use crate::exchange::request::body::RequestBody;
use sluicegate_config::Affinity;
use sluicegate_upstream::Choice;

/// The members of a canonical request that count.
#[derive(Deserialize)]
struct Members<'b> {
    #[serde(borrow)]
    user: Option<Cow<'b, str>>,
    #[serde(borrow)]
    messages: Option<&'b RawValue>,
    #[serde(borrow)]
    prompt: Option<&'b RawValue>,
    #[serde(borrow)]
    input: Option<&'b RawValue>,
}

impl Exchange {
    /// The hash of it; `None` if the request has nothing of the kind, or if its body is not kept.
    pub(super) fn affinity(&self, affinity: &Affinity, body: &RequestBody) -> Option<u64> {
        match affinity {
            Affinity::Header(name) => {
                let value = self.context.request.get(name)?;
                Some(Choice::key(&value.as_bytes()))
            }
            Affinity::User => {
                let user = members(body).and_then(|members| members.user);
                Some(Choice::key(&(self.tenant(), user)))
            }
            Affinity::Prompt(length) => {
                let Members {
                    messages,
                    prompt,
                    input,
                    ..
                } = members(body)?;
                let text = messages.or(prompt).or(input)?.get().as_bytes();
                let begin = text.get(..*length).unwrap_or(text);
                Some(Choice::key(&(self.tenant(), begin)))
            }
        }
    }

    /// Who the request is from: the tenant that a gate has named, or else the client's address.
    pub(in crate::exchange) fn tenant(&self) -> Cow<'_, str> {
        match self.context.note("tenant") {
            Some(tenant) => tenant.into(),
            None => self.context.identity.client.to_string().into(),
        }
    }
}

fn members(body: &RequestBody) -> Option<Members<'_>> {
    match body {
        RequestBody::Kept(bytes) => serde_json::from_slice(bytes).ok(),
        RequestBody::Stream(_) => None,
    }
}
