//! The section `[plugins]`: where compiled plugins are kept.
//!
//! Responsible for the folder's name only: that it is there, and private, is checked by whoever opens it.

use std::path::{Path, PathBuf};

use super::reader::{Context, Table};

/// Where systemd puts what a service caches: `CacheDirectory=`. Several are separated by colons.
const SYSTEMD: &str = "CACHE_DIRECTORY";
/// Where a user's programs cache.
const USER: &str = "XDG_CACHE_HOME";

/// The folder, from the file or else from the environment.
pub(super) fn cache(root: &Table<'_>) -> Option<PathBuf> {
    let table = root.section("plugins");
    let value = table.get("cache");
    table.finish();
    match value {
        Some(value) => {
            let text = value.string().filter(|text| !text.is_empty())?;
            Some(value.cx.path(text))
        }
        None => from_env(root.cx),
    }
}

/// # Source
/// systemd.exec(5); the XDG Base Directory Specification 0.8, which wants relative paths ignored.
fn from_env(cx: &Context<'_>) -> Option<PathBuf> {
    let absolute = |path: &str| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let systemd = cx.env(SYSTEMD);
    let systemd = systemd.as_deref().and_then(|paths| paths.split(':').next());
    if let Some(folder) = systemd.and_then(absolute) {
        // A folder of our own: systemd's may be read by everybody.
        return Some(folder.join("plugins"));
    }
    let user = cx.env(USER).as_deref().and_then(absolute);
    let home = || Some(Path::new(&cx.env("HOME")?).join(".cache"));
    let folder = user.or_else(home)?.join("sluicegate");
    Some(folder).filter(|folder| folder.is_absolute())
}
