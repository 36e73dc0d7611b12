//! Sees that a file has changed, and reloads.
//!
//! Notifications only make it quick: what has changed is decided by what is in the files, and a look at them at an interval finds
//! what no notification told. So the kind of an event does not matter, nor whether events were lost.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::Control;

/// A changed file is read once it has been quiet for this long: an editor writes several times.
const QUIET: Duration = Duration::from_millis(300);
/// A file that never stops changing is read after this long.
const QUIET_LIMIT: Duration = Duration::from_secs(3);
/// How often files are looked at where the system gives no notifications.
const POLL: Duration = Duration::from_secs(2);

/// Reloads whenever a file has changed that the configuration depends on, unless the configuration says that it is read again on
/// request only.
///
/// # Cancel safety
/// Can be dropped at any time; a reload that has begun is then given up.
pub async fn run(control: Arc<Control>) {
    let mut folders = None;
    loop {
        let files = control.files().await;
        let interval = control.interval().filter(|_| !files.is_empty());
        let Some(interval) = interval else {
            folders = None;
            control.applied().await;
            continue;
        };
        let folders = folders.get_or_insert_with(FileWatcher::new);
        let sees = folders.watch_folders(&files);
        // After the system was asked to tell: what changed before that, it does not tell.
        control.reload_if_changed().await;
        if control.files().await != files || control.interval() != Some(interval) {
            continue;
        }
        let interval = if sees { interval } else { interval.min(POLL) };
        tokio::select! {
            () = folders.changed.notified() => settled(&folders.changed).await,
            () = sleep(interval) => {}
        }
    }
}

/// Waits until nothing has changed for a moment.
async fn settled(changed: &Notify) {
    let limit = Instant::now() + QUIET_LIMIT;
    while Instant::now() < limit {
        tokio::select! {
            () = sleep_until(limit.min(Instant::now() + QUIET)) => return,
            () = changed.notified() => {}
        }
    }
}

/// The system's notifications.
struct FileWatcher {
    /// `None` where the system gives none.
    watcher: Option<RecommendedWatcher>,
    changed: Arc<Notify>,
    /// Names whose changes matter.
    names: Arc<Mutex<BTreeSet<OsString>>>,
    blind: bool,
}

impl FileWatcher {
    fn new() -> Self {
        let changed = Arc::new(Notify::new());
        let names: Arc<Mutex<BTreeSet<OsString>>> = Arc::default();
        let (tell, known) = (changed.clone(), names.clone());
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            // An error may be a lost event.
            if event.is_ok_and(|event| !matters(&event, &known)) {
                return;
            }
            tell.notify_one();
        });
        let mut folders = Self {
            watcher: None,
            changed,
            names,
            blind: false,
        };
        match watcher {
            Ok(watcher) => folders.watcher = Some(watcher),
            Err(error) => folders.cannot(&error),
        }
        folders
    }

    /// Asks for notifications of all folders through which these files are reached, again also for those that were removed and
    /// created again. Returns whether all folders are watched.
    fn watch_folders(&mut self, files: &BTreeSet<PathBuf>) -> bool {
        let mut names = BTreeSet::new();
        let mut folders = BTreeSet::new();
        for file in files {
            for path in [Some(file.clone()), file.canonicalize().ok()]
                .into_iter()
                .flatten()
            {
                names.extend(path.iter().map(ToOwned::to_owned));
                folders.insert(existing(path.parent().unwrap_or(Path::new("."))));
            }
        }
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        let Some(watcher) = &mut self.watcher else {
            return false;
        };
        let failed = folders
            .iter()
            .find_map(|folder| watcher.watch(folder, RecursiveMode::NonRecursive).err());
        match failed {
            Some(error) => {
                self.cannot(&error);
                false
            }
            None => true,
        }
    }

    /// Says so, once.
    fn cannot(&mut self, error: &notify::Error) {
        if !self.blind {
            tracing::warn!(%error, interval = ?POLL, "file notifications are not available; files are polled");
        }
        self.blind = true;
    }
}

/// Whether an event can mean that one of the files has changed. To read a file is an event too, and this program reads them.
fn matters(event: &Event, names: &BTreeSet<OsString>) -> bool {
    let read = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => false,
    };
    if read {
        return false;
    }
    // Links of Kubernetes' volumes are called `..data` and lead to a folder that is replaced as a whole.
    let known = |path: &PathBuf| {
        let name = path.file_name();
        name.is_none_or(|name| names.contains(name) || name.as_encoded_bytes().starts_with(b".."))
    };
    event.paths.is_empty() || event.paths.iter().any(known)
}

/// The folder, or the nearest one above it that is there.
fn existing(folder: &Path) -> PathBuf {
    let found = folder.ancestors().find(|folder| folder.is_dir());
    match found {
        Some(found) if !found.as_os_str().is_empty() => found.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, Flag};

    use super::*;

    #[test]
    fn lost_events_count_and_those_of_other_files_do_not() {
        let names: BTreeSet<OsString> = ["gate.toml".into()].into();
        let event = |kind, path: Option<&str>| Event {
            kind,
            paths: path.into_iter().map(PathBuf::from).collect(),
            attrs: notify::event::EventAttributes::default(),
        };
        let created = EventKind::Create(CreateKind::File);
        assert!(matters(&event(created, Some("/a/gate.toml")), &names));
        assert!(matters(&event(created, Some("/a/..data")), &names));
        assert!(!matters(&event(created, Some("/a/other.toml")), &names));
        // The system's queue was full: it names no file.
        let lost = event(EventKind::Other, None).set_flag(Flag::Rescan);
        assert!(matters(&lost, &names));
    }
}
