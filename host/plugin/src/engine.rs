//! The WebAssembly engine: its settings, the pool of sandboxes, the clock of the CPU budgets, and what guests can import.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sluicegate_contract::capability::Capability;
use tokio::sync::Semaphore;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Store,
};

use super::bindings::All;
use super::error::Error;
use super::host::{add_io_to_linker, add_module_loader_to_linker, add_suspending_io_to_linker};
use super::outside::Outside;
use super::owner::Owner;
use super::store::{State, TICK};

/// Live sandboxes. An exchange holds one for each stage that still has work to do. With 4 GiB each, this is about the largest
/// contiguous range that the kernel can give within the 47 bits of an address (85 TiB).
const INSTANCES: u32 = 20_000;

/// Sandboxes for other uses: running gates, observers, plugins being loaded. Arbitrary; far more than there are threads to use
/// them at the same time.
const RESERVE: u32 = 1_000;

/// Memory mappings per sandbox: the memory in use, the rest of its reservation, and the table. Measured: 48,400 for 16,000
/// sandboxes.
const MAPPINGS: u32 = 3;

/// Mappings for everything else.
const OTHER_MAPPINGS: u32 = 2_000 + STACK_MAPPINGS * (LOADING_STACKS + STACKS);

/// The most core modules in a sandbox. Components made by Rust's tools have three: the plugin's own and two small ones that
/// wire its imports. QuickJS has 37, Python 39 (componentize-qjs 0.4.5 and componentize-py 0.25.1, measured). Nothing is reserved
/// for them.
const CORE_INSTANCES: u32 = 64;

/// Tables in a sandbox: the plugin's own and one for the wiring.
pub(super) const TABLES: u32 = 2;

/// The highest memory limit. JavaScript guests need 96 MiB.
const MEMORY_MAX: usize = 256 << 20;

/// Address space for one linear memory, if the kernel can give it: everything that a guest's 32 bits can address. What the
/// guest does not use is not mapped, so the compiled code need not compare each address with the memory's size. That saves a
/// twentieth of a whole request.
const RESERVED: u64 = 4 << 30;
/// Unmapped address space behind it: offsets in a guest's code can reach beyond 32 bits.
const GUARD: u64 = 64 << 10;

/// Bytes of a sandbox's memory that are reset by copying instead of being given back to the kernel; above the working
/// set of the shipped plugins, so that a fresh sandbox costs no page faults.
const KEEP_RESIDENT: usize = 512 << 10;

/// The most calls that can be suspended at the same time while plugins are loaded.
const LOADING_STACKS: u32 = 64;

/// The most calls of exchanges and observers that can have a stack at the same time. Only those of plugins that import a
/// capability that may wait need one, and they hold it from their begin to their end. So calls that wait fill the pool, and each
/// plugin has at most 100 of those, and 400 that wait for its state, for a second at most; the rest are those that compute, of which
/// there are few. Ten plugins that all wait for servers that do not respond would fill it. Then the next call of such a plugin fails as if no sandbox were free (503), and
/// others are not affected. Each stack is 2 MiB of addresses, of which a call touches some ten KiB.
const STACKS: u32 = 1_024;

/// Memory mappings per stack: the stack and its guard.
const STACK_MAPPINGS: u32 = 2;

/// The most guests that may sleep at the same time; without a stack of its own, such a call holds a thread. Arbitrary: a plugin that sleeps does not belong between client and
/// model.
const WAITING: usize = 64;

/// The engine with everything that plugins share. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    wasmtime: wasmtime::Engine,
    settings: Settings,
    /// See [`Engine::compatibility`].
    compatibility: [u8; 32],
    linker: Linker<State>,
    /// What is imported by components whose calls may wait.
    suspending: Linker<State>,
    outside: Outside,
    /// How many sandboxes exchanges can hold.
    sandboxes: usize,
    /// One permit for each guest that sleeps.
    waiting: Arc<Semaphore>,
    /// One permit for each call that has a stack.
    stacks: Semaphore,
    /// One permit for each call that computes for long: of a plugin that is known for it, or on a stack.
    computing: Arc<Semaphore>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    /// An engine with a pool for 20,000 sandboxes, or as many as the system has memory mappings for. It reserves address space,
    /// not memory.
    ///
    /// # Errors
    /// If the kernel refuses the address space, for example because of `ulimit -v`. Nothing can run without an engine.
    pub fn new() -> Result<Self, Error> {
        Self::with_sandboxes(INSTANCES.min(by_mappings()) - RESERVE)
    }

    /// An engine whose exchanges can hold this many sandboxes.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn with_sandboxes(count: u32) -> Result<Self, Error> {
        Self::with(count, Outside::System)
    }

    /// An engine whose guests can repeat what they did: their clocks stand still at [`FIXED_MS`](super::FIXED_MS), and every
    /// instance gets the same random bytes.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn repeatable() -> Result<Self, Error> {
        Self::with(RESERVE, Outside::Fixed)
    }

    fn with(count: u32, outside: Outside) -> Result<Self, Error> {
        let no_room = |error: wasmtime::Error| {
            Error::Engine(format!(
                "{error:#}. It reserves addresses, not memory: lift the limit of them (`ulimit -v`)"
            ))
        };
        let all = count + RESERVE;
        // A smaller engine is for tests: the bound is to be reached there.
        let stacks = STACKS.min(count);
        let start_with = |settings: Settings| {
            let strategy = InstanceAllocationStrategy::Pooling(pool(all, stacks));
            let engine = wasmtime::Engine::new(settings.config().allocation_strategy(strategy))?;
            Ok::<_, wasmtime::Error>((engine, settings))
        };
        let (wasmtime, settings) = start_with(Settings::LARGE)
            // Under a limit on address space (`ulimit -v`, some containers) small reservations may still fit.
            .or_else(|_| start_with(Settings::SMALL))
            .map_err(no_room)?;
        Self::around(wasmtime, settings, outside, count as usize, stacks)
    }

    /// An engine that compiles for one with these settings: on one thread, and without a pool of sandboxes.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub(super) fn on_demand(settings: Settings) -> Result<Self, Error> {
        let mut config = settings.config();
        config
            .allocation_strategy(InstanceAllocationStrategy::OnDemand)
            .parallel_compilation(false);
        let wasmtime = wasmtime::Engine::new(&config).map_err(start)?;
        Self::around(wasmtime, settings, Outside::System, 0, 0)
    }

    fn around(
        wasmtime: wasmtime::Engine,
        settings: Settings,
        outside: Outside,
        sandboxes: usize,
        stacks: u32,
    ) -> Result<Self, Error> {
        let [linker, suspending] = linkers(&wasmtime).map_err(start)?;
        tick(&wasmtime);
        let inner = Inner {
            compatibility: compatibility(&wasmtime, outside),
            wasmtime,
            settings,
            linker,
            suspending,
            outside,
            sandboxes,
            waiting: Arc::new(Semaphore::new(WAITING)),
            stacks: Semaphore::new(stacks as usize),
            computing: Arc::new(Semaphore::new(computing())),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The settings that another engine needs to compile for this one.
    pub(super) fn settings(&self) -> Settings {
        self.inner.settings
    }

    /// A hash of all that an image depends on beside the plugin: the engine's version, its settings, the processor's features,
    /// and whether guests get fixed values for the time.
    pub(super) fn compatibility(&self) -> [u8; 32] {
        self.inner.compatibility
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner.wasmtime
    }

    /// How many sandboxes exchanges can hold.
    #[must_use]
    pub fn sandboxes(&self) -> usize {
        self.inner.sandboxes
    }

    /// A store for one instance.
    pub(super) fn store(&self, owner: &Arc<Owner>) -> Store<State> {
        let Inner {
            outside,
            wasmtime,
            waiting,
            computing,
            ..
        } = &*self.inner;
        let (waiting, computing) = (waiting.clone(), computing.clone());
        State::store(owner, *outside, wasmtime, waiting, computing)
    }

    /// One permit for each call that has a stack; see [`STACKS`].
    pub(super) fn stacks(&self) -> &Semaphore {
        &self.inner.stacks
    }

    pub(super) fn computing(&self) -> &Semaphore {
        &self.inner.computing
    }

    /// What a component with these capabilities can import.
    pub(super) fn linker(&self, capabilities: &[Capability]) -> &Linker<State> {
        if may_wait(capabilities) {
            &self.inner.suspending
        } else {
            &self.inner.linker
        }
    }
}

/// Whether the calls of a component that imports these may wait, so that each needs a stack.
pub(super) fn may_wait(capabilities: &[Capability]) -> bool {
    capabilities.iter().any(|it| it.may_wait())
}

/// What components can import whose calls have no stacks of their own, and what those whose calls are suspended while they wait.
/// The first never call a capability that may wait.
fn linkers(engine: &wasmtime::Engine) -> wasmtime::Result<[Linker<State>; 2]> {
    let mut linker = Linker::new(engine);
    All::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    add_module_loader_to_linker(&mut linker)?;
    let mut suspending = linker.clone();

    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    add_io_to_linker(&mut linker)?;

    wasmtime_wasi::p2::add_to_linker_async(&mut suspending)?;
    add_suspending_io_to_linker(&mut suspending)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut suspending)?;
    Ok([linker, suspending])
}

/// Twice the number of processors, which are shared with the threads that serve traffic.
fn computing() -> usize {
    2 * std::thread::available_parallelism().map_or(1, usize::from)
}

/// How many sandboxes the system has memory mappings for.
fn by_mappings() -> u32 {
    // A system that does not tell has no such limit.
    let most = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    let most = most.and_then(|text| text.trim().parse::<u32>().ok());
    let left = most.unwrap_or(u32::MAX).saturating_sub(OTHER_MAPPINGS);
    (left / MAPPINGS).max(2 * RESERVE)
}

/// The settings that compiled code depends on and that are not the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// See [`RESERVED`].
    reserved: u64,
    /// See [`GUARD`].
    guard: u64,
}

impl Settings {
    pub(super) const LARGE: Self = Self {
        reserved: RESERVED,
        guard: GUARD,
    };
    pub(super) const SMALL: Self = Self {
        reserved: MEMORY_MAX as u64,
        guard: 0,
    };

    /// What all engines have in common.
    fn config(self) -> Config {
        let mut config = Config::new();
        config
            .concurrency_support(false)
            .epoch_interruption(true)
            .cranelift_opt_level(OptLevel::Speed)
            .memory_reservation(self.reserved)
            .memory_reservation_for_growth(0)
            .memory_guard_size(self.guard)
            .guard_before_linear_memory(false);
        config
    }
}

fn pool(sandboxes: u32, stacks: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(sandboxes)
        .total_core_instances(sandboxes * CORE_INSTANCES)
        .total_memories(sandboxes)
        .total_tables(sandboxes * TABLES)
        .total_stacks(LOADING_STACKS + stacks)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(2)
        .max_tables_per_component(8)
        .max_memory_size(MEMORY_MAX)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(16 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// See [`Engine::compatibility`].
fn compatibility(engine: &wasmtime::Engine, outside: Outside) -> [u8; 32] {
    /// The engine hands its facts to a hasher of 64 bits; this one keeps them all.
    struct All(Sha256);
    impl Hasher for All {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut all = All(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut all);
    // An image keeps what `configure` was told of the time.
    matches!(outside, Outside::Fixed).hash(&mut all);
    all.0.finalize().into()
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn start(error: wasmtime::Error) -> Error {
    Error::Engine(format!("{error:#}"))
}

/// Advances the engine's epoch until the engine is gone.
fn tick(engine: &wasmtime::Engine) {
    let engine = engine.weak();
    std::thread::Builder::new()
        .name("sluicegate-tick".into())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })
        .expect("a thread can be started while the gateway starts");
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::component::Component;

    /// Whether the pool takes a component of so many core instances.
    fn takes(engine: &Engine, core_instances: u32) -> wasmtime::Result<()> {
        let instances = "(core instance (instantiate $m))".repeat(core_instances as usize);
        let text = format!("(component (core module $m) {instances})");
        let bytes = wat::parse_str(text).map_err(|error| wasmtime::format_err!("{error}"))?;
        let component = Component::new(engine.wasmtime(), bytes)?;
        engine.linker(&[]).instantiate_pre(&component).map(drop)
    }

    #[test]
    fn a_component_has_at_most_so_many_core_instances() {
        let engine = Engine::with_sandboxes(10).expect("an engine");
        assert!(takes(&engine, CORE_INSTANCES).is_ok());
        let refused = takes(&engine, CORE_INSTANCES + 1).expect_err("one too many");
        assert!(format!("{refused:#}").contains("65"), "{refused:#}");
    }
}
