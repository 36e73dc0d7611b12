//! `upstream-info`: which model server an adapter's attempt asks, and what that server said about itself.

use sluicegate_contract::json;
use wasmtime::Result;

use crate::bindings::sluicegate::plugin::upstream_info::Host;
use crate::store::State;

impl Host for State {
    fn upstream(&mut self) -> Result<String> {
        let target = self.target.as_ref();
        Ok(target
            .map(|target| target.upstream.to_string())
            .unwrap_or_default())
    }

    fn target(&mut self) -> Result<String> {
        let target = self.target.as_ref();
        Ok(target
            .map(|target| target.target.to_string())
            .unwrap_or_default())
    }

    fn json(&mut self, pointer: String) -> Result<Option<String>> {
        let info = self.target.as_ref().and_then(|target| target.info.clone());
        let Some(info) = info else {
            return Ok(None);
        };
        self.charged(info.len() + pointer.len(), |_| {
            json::at(&info, &pointer).map(str::to_owned)
        })
    }
}
