//! The exchange of a native test: the gateway's own context with the gateway's own rules.

use std::cell::RefCell;

use http::header::HeaderValue;
use sluicegate_contract::{Context, IllegalChange, json};

use crate::types::{Fault, Field};

/// One exchange; in an adapter, one attempt.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) context: RefCell<Context>,
    /// Where an adapter's attempt goes.
    pub(crate) asked: Option<Asked>,
}

/// The model server of an attempt.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) target: String,
    /// What it reports about itself, as JSON.
    pub(crate) info: Option<Vec<u8>>,
}

impl From<IllegalChange> for Fault {
    fn from(change: IllegalChange) -> Self {
        Self::new(
            IllegalChange::STATUS,
            IllegalChange::CODE,
            change.into_message(),
        )
    }
}

fn bytes(value: &HeaderValue) -> Vec<u8> {
    value.as_bytes().to_vec()
}

impl Exchange {
    fn read<T>(&self, read: impl FnOnce(&Context) -> T) -> T {
        read(&self.context.borrow())
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Context) -> Result<(), IllegalChange>,
    ) -> Result<(), Fault> {
        Ok(change(&mut self.context.borrow_mut())?)
    }

    pub(super) fn id(&self) -> String {
        self.read(|context| context.identity.id.to_string())
    }

    pub(super) fn received_ms(&self) -> u64 {
        self.read(|context| context.identity.received_ms)
    }

    pub(super) fn route(&self) -> String {
        self.read(|context| context.identity.route.to_string())
    }

    pub(super) fn client(&self) -> String {
        self.read(|context| context.identity.client.to_string())
    }

    pub(super) fn attempt(&self) -> u32 {
        self.read(|context| context.attempt)
    }

    pub(super) fn method(&self) -> String {
        self.read(|context| context.method.to_string())
    }

    pub(super) fn set_method(&self, method: &str) -> Result<(), Fault> {
        self.change(|context| context.set_method(method))
    }

    pub(super) fn path(&self) -> String {
        self.read(|context| context.path.clone())
    }

    pub(super) fn query(&self) -> String {
        self.read(|context| context.query.clone())
    }

    pub(super) fn set_path(&self, path: &str) -> Result<(), Fault> {
        self.change(|context| context.set_path(path.to_owned()))
    }

    pub(super) fn set_query(&self, query: &str) -> Result<(), Fault> {
        self.change(|context| context.set_query(query.to_owned()))
    }

    pub(super) fn set_upstream(&self, name: &str) -> Result<(), Fault> {
        self.change(|context| context.set_upstream(name))
    }

    pub(super) fn status(&self) -> u16 {
        self.read(Context::status)
    }

    pub(super) fn set_status(&self, status: u16) -> Result<(), Fault> {
        self.change(|context| context.set_status(status))
    }

    pub(super) fn fields(&self) -> Vec<Field> {
        self.read(|context| Field::all_of(context.fields()))
    }

    pub(super) fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.read(|context| context.fields().get(name).map(bytes))
    }

    pub(super) fn set(&self, name: &str, value: &[u8]) -> Result<(), Fault> {
        self.change(|context| context.set(name, value))
    }

    pub(super) fn append(&self, name: &str, value: &[u8]) -> Result<(), Fault> {
        self.change(|context| context.append(name, value))
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), Fault> {
        self.change(|context| context.remove(name))
    }

    pub(super) fn set_response_field(&self, name: &str, value: &[u8]) -> Result<(), Fault> {
        self.change(|context| context.set_response_field(name, value))
    }

    pub(super) fn request_field(&self, name: &str) -> Option<Vec<u8>> {
        self.read(|context| context.request_field(name).map(bytes))
    }

    pub(super) fn request_json(&self, pointer: &str) -> Option<String> {
        self.read(|context| context.request_json(pointer).map(str::to_owned))
    }

    pub(super) fn request_bytes(&self) -> u64 {
        self.read(Context::request_bytes)
    }

    pub(super) fn note(&self, name: &str) -> Option<String> {
        self.read(|context| context.note(name).map(str::to_owned))
    }

    pub(super) fn set_note(&self, name: &str, json: &str) -> Result<(), Fault> {
        self.change(|context| context.set_note(name, json.to_owned()))
    }

    pub(super) fn end_body(&self) -> Result<(), Fault> {
        self.change(Context::end_body)
    }

    pub(super) fn upstream(&self) -> String {
        if self.asked.is_none() {
            return String::new();
        }
        self.read(|context| context.upstream.to_string())
    }

    pub(super) fn target(&self) -> String {
        let asked = self.asked.as_ref();
        asked.map(|asked| asked.target.clone()).unwrap_or_default()
    }

    pub(super) fn upstream_info(&self, pointer: &str) -> Option<String> {
        let info = self.asked.as_ref()?.info.as_ref()?;
        json::at(info, pointer).map(str::to_owned)
    }
}
