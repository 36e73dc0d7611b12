//! What the capabilities have in common: whether they are granted, and waiting for them.

use std::future::poll_fn;
use std::task::Poll;

use sluicegate_contract::capability as rules;
use sluicegate_state::shared::Pending;

use crate::bindings::sluicegate::plugin::capability::{Error, Host};
use crate::services::{PluginServices, Waits};
use crate::store::State;

impl Host for State {}

impl From<rules::Error> for Error {
    fn from(error: rules::Error) -> Self {
        match error {
            rules::Error::Denied => Self::Denied,
            rules::Error::Unavailable => Self::Unavailable,
            rules::Error::OverLimit => Self::OverLimit,
            rules::Error::Invalid => Self::Invalid,
        }
    }
}

/// What a function of a capability gives: the outer error ends the guest, the inner one is a value.
pub(super) type Given<T> = wasmtime::Result<Result<T, Error>>;

impl State {
    /// What lies behind the capabilities, if this one is granted.
    ///
    /// # Errors
    /// [`rules::Error::Denied`], also while the plugin is loaded.
    pub(super) fn granted<T>(
        &self,
        grant: impl FnOnce(&sluicegate_config::Grant) -> Option<T>,
    ) -> Result<(T, PluginServices), rules::Error> {
        let granted = &self.owner.granted;
        let services = granted.services.as_ref().filter(|_| !self.on_trial);
        let found = grant(&granted.grant).zip(services.cloned());
        found.ok_or(rules::Error::Denied)
    }

    /// A permit for a call that has to wait.
    ///
    /// # Errors
    /// [`rules::Error::Unavailable`] if too many calls are waiting.
    pub(super) fn may_wait(&self, services: &PluginServices) -> Result<Waits, rules::Error> {
        let waits = services.may_wait(self.caller());
        waits.ok_or(rules::Error::Unavailable)
    }

    /// Gives what the plugin's space was asked for. If it has to be waited for, as long as the call and its exchange allow.
    pub(super) async fn ask<T>(
        &mut self,
        services: &PluginServices,
        mut asked: Pending<'_, T>,
    ) -> wasmtime::Result<Result<T, rules::Error>> {
        let at_once = poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx))).await;
        if let Poll::Ready(result) = at_once {
            return Ok(result);
        }
        let Some(_permit) = services.may_wait_for_state(self.caller()) else {
            return Ok(Err(rules::Error::Unavailable));
        };
        let waited = self.wait(asked).await?;
        Ok(waited.unwrap_or(Err(rules::Error::Unavailable)))
    }
}
