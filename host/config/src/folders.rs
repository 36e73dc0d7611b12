//! What the gateway keeps, and where: `[plugins] dir` and `cache`, `[state] dir` and `url`.
//!
//! Responsible for their names only: that they are there, and private where they must be, is checked by whoever opens them.

use std::path::{Path, PathBuf};

use super::reader::{Context, Table};
use super::secret::{self, Secret};

/// The folders. `None`: there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folders {
    /// Where a component `NAME.wasm` is the plugin `NAME`.
    pub plugins: Option<PathBuf>,
    /// Compiled plugins; without it, they are compiled at every start.
    pub cache: Option<PathBuf>,
    /// What the gateway remembers of plugin versions; without it, it forgets that when it stops.
    pub state: Option<PathBuf>,
    /// The URL of the server where plugins keep what gateways share; without it, they share nothing. It may have a password in it.
    pub shared: Option<Secret>,
}

/// Where the environment says that a kind of file belongs.
struct Place {
    /// systemd's variable, which can have several paths, separated by colons.
    systemd: &'static str,
    /// A folder in it: systemd's own may be read by everybody.
    within: &'static str,
    /// The user's variable.
    user: &'static str,
    /// The folder in the user's home if it is not set.
    home: &'static str,
}

/// # Source
/// systemd.exec(5), `CacheDirectory=`; the XDG Base Directory Specification 0.8.
const CACHE: Place = Place {
    systemd: "CACHE_DIRECTORY",
    within: "plugins",
    user: "XDG_CACHE_HOME",
    home: ".cache",
};

/// # Source
/// As [`CACHE`], `StateDirectory=`.
const STATE: Place = Place {
    systemd: "STATE_DIRECTORY",
    within: "gateway",
    user: "XDG_STATE_HOME",
    home: ".local/state",
};

/// How the URL of a server for shared state begins.
const SCHEMES: [&str; 3] = ["redis://", "rediss://", "unix://"];

/// Reads the sections `[plugins]` and `[state]`.
pub(super) fn folders(root: &Table<'_>) -> Folders {
    let table = root.section("plugins");
    let plugins = named(&table, "dir").flatten();
    let cache = named(&table, "cache").unwrap_or_else(|| from_env(root.cx, &CACHE));
    table.finish();
    let table = root.section("state");
    let state = named(&table, "dir").unwrap_or_else(|| from_env(root.cx, &STATE));
    let shared = table.get("url").and_then(|value| {
        let url = secret::read(&value)?;
        let is_url = |scheme| {
            let rest = url.expose().strip_prefix(scheme);
            rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
        };
        if SCHEMES.into_iter().any(is_url) {
            return Some(url);
        }
        // Without the value, which may have a password in it.
        value.problem(
            "is not the URL of a Redis server",
            "write it as in redis://127.0.0.1:6379/0, rediss:// for TLS, or unix:///run/redis.sock",
        );
        None
    });
    table.finish();
    Folders {
        plugins,
        cache,
        state,
        shared,
    }
}

/// A folder from the file: `Some(None)` for an empty name, `None` if the key is absent.
fn named(table: &Table<'_>, key: &'static str) -> Option<Option<PathBuf>> {
    let value = table.get(key)?;
    let text = value.string().filter(|text| !text.is_empty());
    Some(text.map(|text| value.cx.path(text)))
}

fn from_env(cx: &Context<'_>, place: &Place) -> Option<PathBuf> {
    let absolute = |path: &str| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let systemd = cx.env(place.systemd);
    let systemd = systemd.as_deref().and_then(|paths| paths.split(':').next());
    if let Some(folder) = systemd.and_then(absolute) {
        return Some(folder.join(place.within));
    }
    // The specification wants relative paths ignored.
    let user = cx.env(place.user).as_deref().and_then(absolute);
    let home = || Some(Path::new(&cx.env("HOME")?).join(place.home));
    let folder = user.or_else(home)?.join("sluicegate");
    Some(folder).filter(|folder| folder.is_absolute())
}
