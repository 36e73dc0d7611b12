//! `exchange`: what a guest reads of its exchange and may change in it. The rules are in the crate `contract`.

use hyper::header::{HeaderName, HeaderValue};
use sluicegate_contract::{Context, IllegalChange};
use wasmtime::Result;

use crate::bindings::sluicegate::plugin::exchange::Host;
use crate::store::State;
use crate::wit::{Fault, Field};

impl From<IllegalChange> for Fault {
    fn from(change: IllegalChange) -> Self {
        Self {
            status: IllegalChange::STATUS,
            code: IllegalChange::CODE.into(),
            message: change.into_message(),
            param: None,
            fields: None,
        }
    }
}

impl State {
    /// Reads from the exchange; the default where there is none.
    fn read<T: Default>(&self, read: impl FnOnce(&Context) -> T) -> Result<T> {
        Ok(self.context().map(read).unwrap_or_default())
    }

    /// Changes the exchange. `bytes` are those of the guest's arguments.
    fn change(
        &mut self,
        bytes: usize,
        change: impl FnOnce(&mut Context) -> Result<(), IllegalChange>,
    ) -> Result<Result<(), Fault>> {
        self.charged(bytes, |state| {
            let result = match state.context_mut() {
                Some(context) => change(context),
                None => Err(IllegalChange::outside()),
            };
            result.map_err(Fault::from)
        })
    }
}

fn bytes(value: &HeaderValue) -> Vec<u8> {
    value.as_bytes().to_vec()
}

impl Host for State {
    fn id(&mut self) -> Result<String> {
        self.read(|context| context.identity.id.to_string())
    }

    fn received_ms(&mut self) -> Result<u64> {
        self.read(|context| context.identity.received_ms)
    }

    fn route(&mut self) -> Result<String> {
        self.read(|context| context.identity.route.to_string())
    }

    fn client(&mut self) -> Result<String> {
        self.read(|context| context.identity.client.to_string())
    }

    fn attempt(&mut self) -> Result<u32> {
        self.read(|context| context.attempt)
    }

    fn method(&mut self) -> Result<String> {
        self.read(|context| context.method.to_string())
    }

    fn set_method(&mut self, method: String) -> Result<Result<(), Fault>> {
        let bytes = method.len();
        self.change(bytes, |context| context.set_method(&method))
    }

    fn path(&mut self) -> Result<String> {
        self.read(|context| context.path.clone())
    }

    fn query(&mut self) -> Result<String> {
        self.read(|context| context.query.clone())
    }

    fn set_path(&mut self, path: String) -> Result<Result<(), Fault>> {
        let bytes = path.len();
        self.change(bytes, |context| context.set_path(path))
    }

    fn set_query(&mut self, query: String) -> Result<Result<(), Fault>> {
        let bytes = query.len();
        self.change(bytes, |context| context.set_query(query))
    }

    fn set_upstream(&mut self, name: String) -> Result<Result<(), Fault>> {
        let bytes = name.len();
        self.change(bytes, |context| context.set_upstream(&name))
    }

    fn status(&mut self) -> Result<u16> {
        self.read(Context::status)
    }

    fn set_status(&mut self, status: u16) -> Result<Result<(), Fault>> {
        self.change(0, |context| context.set_status(status))
    }

    fn fields(&mut self) -> Result<Vec<Field>> {
        let field = |(name, value): (&HeaderName, &HeaderValue)| Field {
            name: name.as_str().to_owned(),
            value: bytes(value),
        };
        self.read(|context| context.fields().iter().map(field).collect())
    }

    fn get(&mut self, name: String) -> Result<Option<Vec<u8>>> {
        self.charged(name.len(), |state| {
            state.read(|context| context.fields().get(&*name).map(bytes))
        })?
    }

    fn set(&mut self, name: String, value: Vec<u8>) -> Result<Result<(), Fault>> {
        let bytes = name.len() + value.len();
        self.change(bytes, |context| context.set(&name, &value))
    }

    fn append(&mut self, name: String, value: Vec<u8>) -> Result<Result<(), Fault>> {
        let bytes = name.len() + value.len();
        self.change(bytes, |context| context.append(&name, &value))
    }

    fn remove(&mut self, name: String) -> Result<Result<(), Fault>> {
        let bytes = name.len();
        self.change(bytes, |context| context.remove(&name))
    }

    fn set_response_field(&mut self, name: String, value: Vec<u8>) -> Result<Result<(), Fault>> {
        let bytes = name.len() + value.len();
        self.change(bytes, |context| context.set_response_field(&name, &value))
    }

    fn request_field(&mut self, name: String) -> Result<Option<Vec<u8>>> {
        self.charged(name.len(), |state| {
            state.read(|context| context.request_field(&name).map(bytes))
        })?
    }

    fn request_json(&mut self, pointer: String) -> Result<Option<String>> {
        // The whole body is read for it.
        let body = self.context().map_or(0, Context::request_bytes);
        let bytes = usize::try_from(body).unwrap_or(usize::MAX);
        self.charged(bytes.saturating_add(pointer.len()), |state| {
            let context = state.context();
            context.and_then(|context| context.request_json(&pointer).map(str::to_owned))
        })
    }

    fn request_bytes(&mut self) -> Result<u64> {
        self.read(Context::request_bytes)
    }

    fn note(&mut self, name: String) -> Result<Option<String>> {
        self.charged(name.len(), |state| {
            state.read(|context| context.note(&name).map(str::to_owned))
        })?
    }

    fn set_note(&mut self, name: String, json: String) -> Result<Result<(), Fault>> {
        let bytes = name.len() + json.len();
        self.change(bytes, |context| context.set_note(&name, json))
    }

    fn end_body(&mut self) -> Result<Result<(), Fault>> {
        self.change(0, Context::end_body)
    }
}
