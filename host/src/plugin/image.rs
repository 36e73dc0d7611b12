//! Images: a plugin's memory as it is after `configure`, compiled and ready to be instantiated.

use std::future::Future;

use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance, InstancePre, Lift, WasmList};
use wasmtime_wizer::ComponentInstanceState;

use super::Error;
use super::bindings::filter::{FilterPluginIndices, FilterPluginPre};
use super::bindings::gate::GatePluginPre;
use super::bindings::observer::ObserverPluginPre;
use super::instance::State;
use super::load::{CONTRACT, PACKAGE};
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

/// Compiled code and where its role's functions are in it.
///
/// The generated bindings look all functions of a world up, with their types, in every new instance; an exchange calls half
/// of them, each once. So they only check the types, once, in [`Code::check`], and instances look up what they call; but for
/// the events of a stream, for which an instance is called hundreds of times.
pub(super) struct Code {
    pub(super) pre: InstancePre<State>,
    pub(super) functions: Functions,
}

/// The functions of a role.
pub(super) enum Functions {
    Gate(ComponentExportIndex),
    Filter(Box<Phases>),
    Observer(ComponentExportIndex),
}

impl Functions {
    /// Those of a filter.
    ///
    /// # Errors
    /// [`Error::Contract`] if it has another role.
    pub(super) fn filter(&self) -> Result<&Phases, Error> {
        match self {
            Self::Filter(phases) => Ok(phases),
            Self::Gate(_) | Self::Observer(_) => Err(Error::Contract("it is not a filter".into())),
        }
    }
}

/// The functions of a filter.
pub(super) struct Phases {
    pub(super) constructor: ComponentExportIndex,
    pub(super) request_head: ComponentExportIndex,
    pub(super) request_body: ComponentExportIndex,
    pub(super) response_head: ComponentExportIndex,
    pub(super) response_body: ComponentExportIndex,
    pub(super) response_chunk: ComponentExportIndex,
    pub(super) response_end: ComponentExportIndex,
    /// All functions, for instances that are called again and again: see `instance::Filter::response_events`.
    pub(super) all: FilterPluginIndices,
}

impl Code {
    /// Finds the functions of a role.
    ///
    /// # Errors
    /// A message that names the export that is missing.
    pub(super) fn new(role: Role, pre: InstancePre<State>) -> wasmtime::Result<Self> {
        let component = pre.component();
        let missing = |name: &str| wasmtime::format_err!("it does not export `{name}`");
        let interface = format!("{PACKAGE}{}@{CONTRACT}", role.as_str());
        let exports = component
            .get_export_index(None, interface.as_str())
            .ok_or_else(|| missing(&interface))?;
        let function = |name: &str| {
            component
                .get_export_index(Some(&exports), name)
                .ok_or_else(|| missing(name))
        };
        let method = |name: &str| function(&format!("[method]exchange.{name}"));
        let functions = match role {
            Role::Gate => Functions::Gate(function("check")?),
            Role::Observer => Functions::Observer(function("observe")?),
            Role::Filter => Functions::Filter(Box::new(Phases {
                constructor: function("[constructor]exchange")?,
                request_head: method("request-head")?,
                request_body: method("request-body")?,
                response_head: method("response-head")?,
                response_body: method("response-body")?,
                response_chunk: method("response-chunk")?,
                response_end: method("response-end")?,
                all: FilterPluginIndices::new(&pre)?,
            })),
        };
        Ok(Self { pre, functions })
    }

    /// Makes one instance and checks that all functions have the contract's types.
    ///
    /// # Errors
    /// The engine's message, which names the export that differs; or what went wrong in the guest.
    pub(super) async fn check(&self, store: &mut Store<State>) -> wasmtime::Result<()> {
        let pre = self.pre.clone();
        match &self.functions {
            Functions::Gate(_) => {
                GatePluginPre::new(pre)?.instantiate_async(store).await?;
            }
            Functions::Filter(_) => {
                FilterPluginPre::new(pre)?.instantiate_async(store).await?;
            }
            Functions::Observer(_) => {
                ObserverPluginPre::new(pre)?
                    .instantiate_async(store)
                    .await?;
            }
        }
        Ok(())
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
