//! Images: a plugin's memory as it is after `configure`, compiled and ready to be instantiated.

use std::future::Future;

use wasmtime::Store;
use wasmtime::component::{Component, Instance, InstancePre, Lift, WasmList};
use wasmtime_wizer::ComponentInstanceState;

use super::bindings::filter::FilterPluginPre;
use super::bindings::gate::GatePluginPre;
use super::bindings::observer::ObserverPluginPre;
use super::instance::State;
use super::manifest::{Manifest, Role};

/// What all instances of a plugin version start from.
pub(super) struct Image {
    pub(super) code: Code,
    pub(super) manifest: Manifest,
    /// SHA-256 over component and configuration, in hexadecimal.
    pub(super) hash: String,
    /// The configuration, where the memory could not be captured: `configure` then runs in every instance.
    pub(super) unimaged: Option<String>,
}

/// Compiled code with its exports looked up.
pub(super) enum Code {
    Gate(GatePluginPre<State>),
    Filter(FilterPluginPre<State>),
    Observer(ObserverPluginPre<State>),
}

impl Code {
    /// Checks that the component has the functions of its role, with the contract's types.
    ///
    /// # Errors
    /// The engine's message, which names the export that is missing or differs.
    pub(super) fn new(role: Role, pre: InstancePre<State>) -> wasmtime::Result<Self> {
        Ok(match role {
            Role::Gate => Self::Gate(GatePluginPre::new(pre)?),
            Role::Filter => Self::Filter(FilterPluginPre::new(pre)?),
            Role::Observer => Self::Observer(ObserverPluginPre::new(pre)?),
        })
    }

    pub(super) fn component(&self) -> &Component {
        match self {
            Self::Gate(code) => code.instance_pre().component(),
            Self::Filter(code) => code.instance_pre().component(),
            Self::Observer(code) => code.instance_pre().component(),
        }
    }
}

/// A configured instance from which Wizer reads memories and globals, through the accessors that it added to the component.
pub(super) struct Configured<'a> {
    pub(super) store: &'a mut Store<State>,
    pub(super) instance: Instance,
}

impl Configured<'_> {
    /// Calls one accessor. A panic here is caught by the loader, which then goes on without an image.
    async fn read<R, T>(
        &mut self,
        interface: &str,
        name: &str,
        read: impl FnOnce(&Store<State>, R) -> T,
    ) -> T
    where
        R: Lift + Send + Sync + 'static,
    {
        let accessor = "an accessor that was added to this very component";
        let (_, interface) = self
            .instance
            .get_export(&mut *self.store, None, interface)
            .expect(accessor);
        let (_, function) = self
            .instance
            .get_export(&mut *self.store, Some(&interface), name)
            .expect(accessor);
        let function = self
            .instance
            .get_typed_func::<(), (R,)>(&mut *self.store, function)
            .expect(accessor);
        let (value,) = function
            .call_async(&mut *self.store, ())
            .await
            .expect("an accessor only reads");
        read(self.store, value)
    }
}

impl ComponentInstanceState for Configured<'_> {
    fn call_func_ret_list_u8(
        &mut self,
        interface: &str,
        name: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) -> impl Future<Output = ()> + Send {
        self.read(interface, name, |store, list: WasmList<u8>| {
            contents(list.as_le_slice(store))
        })
    }

    fn call_func_ret_s32(
        &mut self,
        interface: &str,
        name: &str,
    ) -> impl Future<Output = i32> + Send {
        self.read(interface, name, |_, value: i32| value)
    }

    fn call_func_ret_s64(
        &mut self,
        interface: &str,
        name: &str,
    ) -> impl Future<Output = i64> + Send {
        self.read(interface, name, |_, value: i64| value)
    }

    fn call_func_ret_f32(
        &mut self,
        interface: &str,
        name: &str,
    ) -> impl Future<Output = u32> + Send {
        self.read(interface, name, |_, value: f32| value.to_bits())
    }

    fn call_func_ret_f64(
        &mut self,
        interface: &str,
        name: &str,
    ) -> impl Future<Output = u64> + Send {
        self.read(interface, name, |_, value: f64| value.to_bits())
    }
}
