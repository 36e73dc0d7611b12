//! Images: a plugin's memory as it is after `configure`, compiled and ready to be instantiated.

use std::future::Future;
use std::sync::Arc;

use sluicegate_contract::capability::Capability;
use sluicegate_contract::{Exports, Manifest};
use wasmtime::Store;
use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower, WasmList,
};
use wasmtime_wizer::ComponentInstanceState;

use super::contract::{CONTRACT, PACKAGE};
use super::engine::{TABLES, may_wait};
use super::pins::Pin;
use super::store::State;
use super::wit::{EventParam, EventResult, Fault, RequestPlan, ResponsePlan, Stop, Summary};

/// What all instances of a plugin version start from.
pub(super) struct Image {
    pub(super) code: Code,
    pub(super) manifest: Manifest,
    /// SHA-256 over component and configuration, in hexadecimal.
    pub(super) hash: String,
    /// The configuration, where the memory could not be captured: `configure` then runs in every instance.
    pub(super) configure_per_instance: Option<String>,
    /// Keeps the entry in the cache from which it was made.
    pub(super) _pin: Option<Arc<Pin>>,
}

// The results of phases, as the engine gives them: a tuple of one.
pub(super) type Checked = (Result<(), Stop>,);
pub(super) type PlannedRequest = (Result<RequestPlan, Stop>,);
pub(super) type PlannedResponse = (Result<ResponsePlan, Stop>,);
pub(super) type Body = (Result<Option<Vec<u8>>, Stop>,);
pub(super) type Chunk = (Result<Option<Vec<u8>>, Fault>,);
pub(super) type Batch = (Result<Option<Vec<EventResult>>, Fault>,);
pub(super) type End = (Result<Vec<EventResult>, Fault>,);

/// Compiled code, and where to find its functions.
///
/// Generated bindings would look up all functions of a world, with their types, in every new instance; an exchange calls half
/// of them, once each. So types are checked once, in [`Code::check`], and an instance looks up only what it calls.
pub(super) struct Code {
    pub(super) pre: InstancePre<State>,
    pub(super) functions: Functions,
    /// The capabilities that it imports.
    pub(super) capabilities: Vec<Capability>,
    /// Whether its calls may wait, so that each needs a stack.
    pub(super) waits: bool,
    /// How many sandboxes with one memory and two tables, the usual kind, one instance counts for.
    pub(super) sandboxes: usize,
}

/// The functions of a component's phases; `None` for interfaces that it does not export.
#[derive(Default)]
pub(super) struct Functions {
    pub(super) check: Option<ComponentExportIndex>,
    /// `head` and `body`.
    pub(super) request: Option<[ComponentExportIndex; 2]>,
    /// `head` and `body`.
    pub(super) response: Option<[ComponentExportIndex; 2]>,
    pub(super) chunk: Option<ComponentExportIndex>,
    /// `batch` and `end`.
    pub(super) events: Option<[ComponentExportIndex; 2]>,
    pub(super) closed: Option<ComponentExportIndex>,
    pub(super) observe: Option<ComponentExportIndex>,
}

impl Code {
    /// Finds the functions of the interfaces that the component exports.
    ///
    /// # Errors
    /// A message that names the export that is missing.
    pub(super) fn new(
        exports: Exports,
        capabilities: Vec<Capability>,
        pre: InstancePre<State>,
    ) -> wasmtime::Result<Self> {
        let component = pre.component();
        let missing = |name: &str| wasmtime::format_err!("it does not export `{name}`");
        let function = |there: bool, interface: &str, name: &str| {
            if !there {
                return Ok(None);
            }
            let interface = format!("{PACKAGE}{interface}@{CONTRACT}");
            let exports = component
                .get_export_index(None, interface.as_str())
                .ok_or_else(|| missing(&interface))?;
            component
                .get_export_index(Some(&exports), name)
                .map(Some)
                .ok_or_else(|| missing(&format!("{interface}#{name}")))
        };
        let pair = |there, interface, names: [&str; 2]| {
            let first = function(there, interface, names[0])?;
            let second = function(there, interface, names[1])?;
            Ok::<_, wasmtime::Error>(first.zip(second).map(|(first, second)| [first, second]))
        };
        let functions = Functions {
            check: function(exports.gate, "gate", "check")?,
            request: pair(exports.request, "request", ["head", "body"])?,
            response: pair(exports.response, "response", ["head", "body"])?,
            chunk: function(exports.chunks, "chunks", "chunk")?,
            events: pair(exports.events, "events", ["batch", "end"])?,
            closed: function(exports.closing, "closing", "closed")?,
            observe: function(exports.observer, "observer", "observe")?,
        };
        let required = component.resources_required();
        let sandboxes = required.map_or(1, |required| {
            let by_tables = required.num_tables.div_ceil(TABLES);
            required.num_memories.max(by_tables).max(1)
        });
        let sandboxes = usize::try_from(sandboxes).unwrap_or(usize::MAX);
        Ok(Self {
            pre,
            functions,
            waits: may_wait(&capabilities),
            capabilities,
            sandboxes,
        })
    }

    /// The interfaces that the component exports.
    pub(super) fn exports(&self) -> Exports {
        let functions = &self.functions;
        Exports {
            gate: functions.check.is_some(),
            request: functions.request.is_some(),
            response: functions.response.is_some(),
            chunks: functions.chunk.is_some(),
            events: functions.events.is_some(),
            closing: functions.closed.is_some(),
            observer: functions.observe.is_some(),
        }
    }

    /// Makes one instance and checks that all functions have the contract's types.
    ///
    /// # Errors
    /// The engine's message, with the export that differs; or the guest's error.
    pub(super) async fn check(&self, store: &mut Store<State>) -> wasmtime::Result<()> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let functions = &self.functions;
        let mut check = Check { store, instance };
        check.types::<(), Checked>("gate.check", functions.check)?;
        let [head, body] = split(functions.request);
        check.types::<(), PlannedRequest>("request.head", head)?;
        check.types::<(&[u8],), Body>("request.body", body)?;
        let [head, body] = split(functions.response);
        check.types::<(), PlannedResponse>("response.head", head)?;
        check.types::<(&[u8],), Body>("response.body", body)?;
        check.types::<(&[u8], bool), Chunk>("chunks.chunk", functions.chunk)?;
        let [batch, end] = split(functions.events);
        check.types::<(&[EventParam<'_>],), Batch>("events.batch", batch)?;
        check.types::<(), End>("events.end", end)?;
        check.types::<(&str,), ()>("closing.closed", functions.closed)?;
        check.types::<(&[Summary<'_>],), ()>("observer.observe", functions.observe)
    }
}

fn split(pair: Option<[ComponentExportIndex; 2]>) -> [Option<ComponentExportIndex>; 2] {
    pair.map_or([None, None], |pair| pair.map(Some))
}

/// An instance whose functions are checked.
struct Check<'a> {
    store: &'a mut Store<State>,
    instance: Instance,
}

impl Check<'_> {
    fn types<P, R>(
        &mut self,
        name: &str,
        function: Option<ComponentExportIndex>,
    ) -> wasmtime::Result<()>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let Some(function) = function else {
            return Ok(());
        };
        self.instance
            .get_typed_func::<P, R>(&mut *self.store, function)
            .map(drop)
            .map_err(|error| wasmtime::format_err!("`{name}` has other types: {error:#}"))
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
