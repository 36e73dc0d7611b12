//! `kv`: values by key. The rules are in the crate `contract`, and what keeps them in the crate `state`.

use sluicegate_contract::capability::kv::Quota;
use sluicegate_contract::capability::{self as rules};
use sluicegate_state::shared::Entry;

use super::capability::Given;
use crate::bindings::sluicegate::plugin::kv::Host;
use crate::services::PluginServices;
use crate::store::State;

impl State {
    fn kv(&self) -> Result<(Quota, PluginServices), rules::Error> {
        self.granted(|grant| grant.kv)
    }

    async fn put(&mut self, entry: Entry) -> Given<bool> {
        self.charged(entry.key.len() + entry.value.len(), |_| ())?;
        let (quota, services) = match self.kv() {
            Ok(granted) => granted,
            Err(error) => return Ok(Err(error.into())),
        };
        let asked = self.ask(&services, services.space.set(quota, entry));
        Ok(asked.await?.map_err(Into::into))
    }
}

impl Host for State {
    async fn get(&mut self, key: String) -> Given<Option<Vec<u8>>> {
        let services = match self.kv() {
            Ok((_, services)) => services,
            Err(error) => return Ok(Err(error.into())),
        };
        let asked = self.ask(&services, services.space.get(key));
        let value = match asked.await? {
            Ok(value) => value,
            Err(error) => return Ok(Err(error.into())),
        };
        let bytes = value.as_ref().map_or(0, bytes::Bytes::len);
        self.charged(bytes, |_| Ok(value.map(Vec::from)))
    }

    async fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> Given<()> {
        let entry = Entry {
            key,
            value: value.into(),
            ttl_ms,
            only_new: false,
        };
        Ok(self.put(entry).await?.map(drop))
    }

    async fn insert(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> Given<bool> {
        let entry = Entry {
            key,
            value: value.into(),
            ttl_ms,
            only_new: true,
        };
        self.put(entry).await
    }

    async fn add(&mut self, key: String, by: i64, ttl_ms: Option<u64>) -> Given<i64> {
        let (quota, services) = match self.kv() {
            Ok(granted) => granted,
            Err(error) => return Ok(Err(error.into())),
        };
        let asked = self.ask(&services, services.space.add(quota, key, by, ttl_ms));
        Ok(asked.await?.map_err(Into::into))
    }

    async fn delete(&mut self, key: String) -> Given<()> {
        let services = match self.kv() {
            Ok((_, services)) => services,
            Err(error) => return Ok(Err(error.into())),
        };
        let asked = self.ask(&services, services.space.delete(key));
        Ok(asked.await?.map_err(Into::into))
    }
}
