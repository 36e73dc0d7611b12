//! Sees that an author has saved something.

use std::path::{Component, Path};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Something saved is used once it has been quiet for this long: an editor writes several times.
const QUIET: Duration = Duration::from_millis(300);
/// What never stops changing is used after this long.
const QUIET_LIMIT: Duration = Duration::from_secs(3);

/// Folders that only tools write, anywhere in a project.
const TOOLS_FOLDERS: [&str; 6] = [
    "kit",
    "build",
    "target",
    "node_modules",
    "__pycache__",
    "venv",
];
/// Files that tools write while they build.
const TOOLS_FILES: [&str; 3] = ["Cargo.lock", "package-lock.json", "go.sum"];

/// A watched folder.
pub(super) struct Watch {
    changed: Arc<Notify>,
    /// It tells as long as it lives.
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    /// The system does not tell what changes there.
    pub(super) fn begin(folder: &Path) -> notify::Result<Self> {
        let folder = folder.canonicalize().map_err(notify::Error::io)?;
        let changed = Arc::new(Notify::new());
        let (tell, root) = (changed.clone(), folder.clone());
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error may be a lost event.
            if event.is_ok_and(|event| !is_saved(&event, &root)) {
                return;
            }
            tell.notify_one();
        })?;
        watcher.watch(&folder, RecursiveMode::Recursive)?;
        Ok(Self {
            changed,
            _watcher: watcher,
        })
    }

    /// Waits until something was saved since the last call, and nothing more has been for a moment.
    ///
    /// # Cancel safety
    /// What was saved is not told again once this has begun to wait for the moment.
    pub(super) async fn changed(&mut self) {
        self.changed.notified().await;
        let limit = Instant::now() + QUIET_LIMIT;
        while Instant::now() < limit {
            tokio::select! {
                () = sleep_until(limit.min(Instant::now() + QUIET)) => return,
                () = self.changed.notified() => {}
            }
        }
    }
}

/// Whether an author did it, and not a tool, and something was written.
fn is_saved(event: &Event, root: &Path) -> bool {
    let writes = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    };
    writes && event.paths.iter().any(|path| is_source(path, root))
}

fn is_source(path: &Path, root: &Path) -> bool {
    let Ok(path) = path.strip_prefix(root) else {
        return false;
    };
    let is_of_tools = path.components().any(|part| match part {
        Component::Normal(name) => {
            let name = name.to_string_lossy();
            // An editor's own files begin with a dot or end with a tilde.
            name.starts_with('.') || name.ends_with('~') || TOOLS_FOLDERS.contains(&&*name)
        }
        _ => false,
    });
    let file = path.file_name().map(|name| name.to_string_lossy());
    !is_of_tools && file.is_some_and(|file| !TOOLS_FILES.contains(&&*file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{CreateKind, ModifyKind};

    #[test]
    fn only_what_an_author_writes_counts() {
        let root = Path::new("/p");
        let event = |kind, path: &str| Event::new(kind).add_path(root.join(path));
        let modify = EventKind::Modify(ModifyKind::Any);
        for path in [
            "main.go",
            "src/lib.rs",
            "cases/a/request.http",
            "plugin.toml",
            "src/kit.rs",
        ] {
            assert!(is_saved(&event(modify, path), root), "{path}");
        }
        for path in [
            "kit/plugin.h",
            "build/a.wasm",
            "target/debug/x",
            "Cargo.lock",
            ".git/index",
            "src/.lib.rs.swp",
            "src/lib.rs~",
            "",
        ] {
            assert!(!is_saved(&event(modify, path), root), "{path}");
        }
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Read));
        assert!(!is_saved(&event(opened, "main.go"), root));
        assert!(is_saved(
            &event(EventKind::Create(CreateKind::File), "new.c"),
            root
        ));
    }

    #[tokio::test]
    async fn a_save_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut watch = Watch::begin(folder.path()).expect("a watcher");
        std::fs::create_dir(folder.path().join("src")).expect("room");
        std::fs::write(folder.path().join("src/a.c"), "x").expect("room");
        let told = tokio::time::timeout(Duration::from_secs(30), watch.changed()).await;
        assert!(told.is_ok());
    }
}
