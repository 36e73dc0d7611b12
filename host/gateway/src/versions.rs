//! The versions of plugins: which there were, which component of a plugin is good, and which versions may not be used.
//!
//! A version is component, configuration and limits together. One that does not load, or that is rolled back, is rejected until
//! any of them changes or the operator activates it: it is not tried again. A component is good when it has served for a while
//! without a rollback; the last two good ones of each plugin are kept to go back to, beyond the end of the process where there is
//! a state folder.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use sluicegate_plugin_host::Plugin;

use crate::journal::Journal;

mod record;
mod store;

pub use self::record::{Record, Rejection, State};
use self::store::{Saved, SavedRejection, Store};

/// How many versions of a plugin are remembered. Arbitrary: a day of work on one. Beyond that, those go first that are gone, then
/// the oldest rejected.
const REMEMBERED: usize = 16;

/// What is known of all plugins.
#[derive(Debug, Default)]
pub struct Versions {
    plugins: Mutex<BTreeMap<String, History>>,
    store: Store,
    /// Held while something is written: what is written last is what is known then.
    saving: Mutex<()>,
    journal: Arc<Journal>,
}

/// What is known of one plugin.
#[derive(Debug, Default)]
struct History {
    /// In the order in which they became known.
    records: VecDeque<Record>,
    good: Option<String>,
    older: Option<String>,
}

impl Versions {
    /// What was kept in this folder; nothing, if there is none.
    #[must_use]
    pub fn open(folder: Option<&Path>, journal: Arc<Journal>) -> Self {
        let store = Store::open(folder);
        let plugins = store.load().into_iter().map(|(name, saved)| {
            let rejected = saved.rejected.into_iter().map(|it| {
                let state = State::Rejected(it.rejection);
                let mut record = Record::new(&it.version, &it.component, state);
                record.since_ms = it.at_ms;
                record
            });
            let history = History {
                records: rejected.take(REMEMBERED).collect(),
                good: saved.good,
                older: saved.older,
            };
            (name, history)
        });
        Self {
            plugins: Mutex::new(plugins.collect()),
            saving: Mutex::default(),
            store,
            journal,
        }
    }

    /// The folder in which it is kept, which no other gateway has.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match &self.store {
            Store::Folder { folder, .. } => Some(folder.path()),
            Store::Memory(_) => None,
        }
    }

    /// Why this version of a plugin may not be used, if so.
    #[must_use]
    pub fn rejection(&self, plugin: &str, version: &str) -> Option<Rejection> {
        let plugins = self.plugins();
        let record = plugins.get(plugin)?.find(version)?;
        record.rejection().cloned()
    }

    /// A version is loaded now.
    pub fn loading(&self, plugin: &str, version: &str, component: &str) {
        self.note(plugin, version, component, |record| {
            record.set(State::Loading);
        });
    }

    /// A version may not be used from now on.
    pub fn reject(&self, plugin: &str, version: &str, component: &str, rejection: Rejection) {
        tracing::error!(
            plugin,
            version,
            stage = rejection.stage,
            mend = rejection.mend,
            "plugin version rejected: {}",
            rejection.reason
        );
        self.note(plugin, version, component, |record| {
            record.set(State::Rejected(rejection));
        });
        self.save(plugin);
    }

    /// All versions of a plugin may be used again. Returns whether any was rejected.
    pub fn absolve(&self, plugin: &str) -> bool {
        let mut plugins = self.plugins();
        let Some(history) = plugins.get_mut(plugin) else {
            return false;
        };
        let before = history.records.len();
        history.records.retain(|it| it.rejection().is_none());
        let absolved = history.records.len() < before;
        drop(plugins);
        if absolved {
            self.save(plugin);
        }
        absolved
    }

    /// A loaded version was not put into force, for a reason that is not its own.
    pub fn unused(&self, plugin: &str, version: &str) {
        if let Some(history) = self.plugins().get_mut(plugin) {
            let unused = |it: &Record| it.version == version && matches!(it.state, State::Loading);
            history.records.retain(|it| !unused(it));
        }
    }

    /// These are the versions in force from this generation on.
    pub fn in_force<'a>(
        &self,
        plugins: impl IntoIterator<Item = &'a Arc<Plugin>>,
        generation: u64,
    ) {
        let mut live = BTreeSet::new();
        for plugin in plugins {
            live.insert(plugin.name());
            self.retire(plugin.name(), Some(plugin.version()));
            let (name, version) = (plugin.name(), plugin.version());
            self.note(name, version, plugin.component(), |record| {
                record.lives(plugin, generation);
            });
        }
        let gone: Vec<_> = {
            let plugins = self.plugins();
            let gone = plugins.keys().filter(|name| !live.contains(name.as_str()));
            gone.cloned().collect()
        };
        for name in gone {
            self.retire(&name, None);
        }
    }

    /// What is live of this plugin is so no longer, but for one version.
    fn retire(&self, plugin: &str, but: Option<&str>) {
        let mut retired = Vec::new();
        if let Some(history) = self.plugins().get_mut(plugin) {
            for record in &mut history.records {
                if matches!(record.state, State::Live) && but != Some(&record.version) {
                    record.set(State::Retired);
                    retired.push(record.clone());
                }
            }
        }
        for record in retired {
            self.tell(plugin, &record);
        }
    }

    /// Keeps a component in case that it proves good.
    pub fn keep(&self, component: &str, bytes: &Arc<[u8]>) {
        self.store.put(component, bytes);
    }

    /// The component has proved good: it is the first to go back to.
    pub fn prove(&self, plugin: &str, version: &str, component: &str) {
        {
            let mut plugins = self.plugins();
            let history = plugins.entry(plugin.to_owned()).or_default();
            // It may have been rejected since it has proved itself.
            let rejected = history.find(version).and_then(Record::rejection);
            if rejected.is_some() || history.good.as_deref() == Some(component) {
                return;
            }
            history.older = history.good.replace(component.to_owned());
        }
        self.save(plugin);
    }

    /// The operator goes back to this component: it is good, and there is none before it.
    pub fn return_to(&self, plugin: &str, component: &str) {
        if let Some(history) = self.plugins().get_mut(plugin) {
            history.good = Some(component.to_owned());
            history.older = None;
        }
        self.save(plugin);
    }

    /// The components of a plugin that have proved good, the last one first.
    #[must_use]
    pub fn good(&self, plugin: &str) -> Vec<String> {
        let plugins = self.plugins();
        let history = plugins.get(plugin);
        let good = history.map(|it| [it.good.clone(), it.older.clone()]);
        good.into_iter().flatten().flatten().collect()
    }

    /// A component that is kept.
    #[must_use]
    pub fn component(&self, hash: &str) -> Option<Arc<[u8]>> {
        self.store.get(hash)
    }

    /// Forgets all plugins but these, and removes the components that are not in use and that nobody can go back to. Nothing may be
    /// loaded meanwhile.
    pub fn tidy(&self, plugins: &BTreeSet<String>, mut used: BTreeSet<String>) {
        let gone: Vec<String> = {
            let mut known = self.plugins();
            let gone = known.extract_if(.., |name, _| !plugins.contains(name));
            let gone = gone.map(|(name, _)| name).collect();
            let good = known.values().flat_map(|it| [&it.good, &it.older]);
            used.extend(good.flatten().cloned());
            gone
        };
        for name in gone {
            self.store.save(&name, &Saved::default());
        }
        self.store.retain(&used);
    }

    /// What is known of one plugin: the version first to which something has happened last.
    #[must_use]
    pub fn records(&self, plugin: &str) -> Vec<Record> {
        let plugins = self.plugins();
        let records = plugins.get(plugin).map(|it| it.records.iter().rev());
        let mut records: Vec<_> = records.into_iter().flatten().cloned().collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.since_ms));
        records
    }

    /// The names of all plugins of which something is known.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.plugins().keys().cloned().collect()
    }

    /// What happens is told here.
    #[must_use]
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Changes what is known of a version.
    fn note(&self, plugin: &str, version: &str, component: &str, change: impl FnOnce(&mut Record)) {
        let record = {
            let mut plugins = self.plugins();
            let history = plugins.entry(plugin.to_owned()).or_default();
            let known = history.records.iter_mut().find(|it| it.version == version);
            if let Some(record) = known {
                let before = record.word();
                change(record);
                (record.word() != before).then(|| record.clone())
            } else {
                let mut record = Record::new(version, component, State::Loading);
                change(&mut record);
                history.add(record.clone());
                Some(record)
            }
        };
        if let Some(record) = record {
            self.tell(plugin, &record);
        }
    }

    fn tell(&self, plugin: &str, record: &Record) {
        let rejected = record.rejection().map_or(Value::Null, Rejection::json);
        self.journal.add(
            "plugin",
            json!({
                "plugin": plugin,
                "version_id": record.version,
                "component": record.component,
                "state": record.word(),
                "rejected": rejected,
            }),
        );
    }

    fn save(&self, plugin: &str) {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let saved = self.plugins().get(plugin).map(|history| {
            let rejected = history.records.iter().filter_map(|record| {
                Some(SavedRejection {
                    version: record.version.clone(),
                    component: record.component.clone(),
                    at_ms: record.since_ms,
                    rejection: record.rejection()?.clone(),
                })
            });
            Saved {
                good: history.good.clone(),
                older: history.older.clone(),
                rejected: rejected.collect(),
            }
        });
        self.store.save(plugin, &saved.unwrap_or_default());
    }

    fn plugins(&self) -> MutexGuard<'_, BTreeMap<String, History>> {
        self.plugins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl History {
    fn find(&self, version: &str) -> Option<&Record> {
        self.records.iter().find(|it| it.version == version)
    }

    fn add(&mut self, record: Record) {
        if self.records.len() >= REMEMBERED {
            let is_gone = |it: &Record| it.word() == "dropped";
            let is_other = |it: &Record| !matches!(it.state, State::Live | State::Loading);
            let place = self
                .records
                .iter()
                .position(is_gone)
                .or_else(|| self.records.iter().position(is_other));
            self.records.remove(place.unwrap_or(0));
        }
        self.records.push_back(record);
    }
}

#[cfg(test)]
mod tests;
