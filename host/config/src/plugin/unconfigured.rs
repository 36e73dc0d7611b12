//! Plugins that are used without a section of their own: a component in the plugin folder, or else a built-in one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::json;
use toml::de::DeTable;

use super::{BUILTINS, Grant, Plugin, Plugins, SetLimits, Source, settings};
use crate::folders::Folders;
use crate::problem::{Problem, Problems, nearest};
use crate::reader::{Context, Table, Value};
use crate::{Env, is_legal_name, syntax};

/// The most bytes of a file beside a component. Arbitrary; far more than anybody writes.
const LONGEST: u64 = 1 << 20;

/// Adds the plugins that routes and upstreams name and that have no section. What is named and is nowhere is left to whoever
/// reads the reference, but for adapters, whose problems are noted here.
pub(crate) fn add_unconfigured(root: &Table<'_>, folders: &Folders, plugins: &mut Plugins<'_>) {
    let adapters = adapters(root);
    let folder = folders.plugins.as_deref();
    if let Some(folder) = folder {
        check_sections(root.cx, folder, plugins);
    }
    let names: BTreeSet<&str> = adapters
        .iter()
        .map(|(name, _)| *name)
        .chain(staged(root))
        .collect();
    for name in names {
        if plugins.by_name.contains_key(name) || !is_legal_name(name) {
            continue;
        }
        let found = folder
            .and_then(|folder| found(root.cx, folder, name))
            .or_else(|| builtin(name));
        if let Some(plugin) = found {
            plugins.by_name.insert(name.to_owned(), plugin);
        }
    }
    for (name, value) in &adapters {
        check_adapter(name, value, &plugins.by_name);
    }
}

/// The adapters that upstreams name.
fn adapters<'a>(root: &Table<'a>) -> Vec<(&'a str, Value<'a>)> {
    let upstreams = root.get("upstream");
    let names = upstreams
        .iter()
        .filter_map(|it| it.node.as_table())
        .flat_map(|table| table.keys());
    let adapters = names.filter_map(|name| {
        let upstream = upstreams.as_ref()?.child(name.get_ref())?;
        let adapter = upstream.child("adapter")?;
        Some((adapter.node.as_str()?, adapter))
    });
    adapters.collect()
}

/// The plugins that routes name.
fn staged<'a>(root: &Table<'a>) -> Vec<&'a str> {
    // Whether they have the right types is checked where they are read.
    let routes = root.get("route").and_then(|value| value.node.as_array());
    let routes = routes.into_iter().flatten();
    let tables = routes.filter_map(|route| route.get_ref().as_table());
    let lists = tables.flat_map(|route| ["pipeline", "observers"].map(|key| route.get(key)));
    let lists = lists.flatten().filter_map(|list| list.get_ref().as_array());
    let names = lists.flatten().filter_map(|item| item.get_ref().as_str());
    names.collect()
}

/// Where two files could be meant by one name, neither is taken.
fn check_sections(cx: &Context<'_>, folder: &Path, plugins: &Plugins<'_>) {
    for (name, place) in &plugins.headings {
        let file = component(folder, name);
        cx.depends_on(&file);
        let is_source = |plugin: &Plugin| plugin.source == Source::File(file.clone());
        if file.is_file() && !plugins.by_name.get(*name).is_some_and(is_source) {
            cx.problem(
                place,
                format!("has another source than {}", file.display()),
                "give the file another name, or make it the source of this section",
            );
        }
    }
}

fn component(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.wasm"))
}

/// The plugin `name` of this folder, whether its component is there or not.
///
/// # Errors
/// What is wrong with the file beside the component.
pub fn in_folder(folder: &Path, name: &str, env: Env<'_>) -> Result<Plugin, Problems> {
    let cx = Context::new("", folder, env);
    let plugin = beside(&cx, folder, name);
    let (problems, _, _) = cx.into_notes();
    if problems.is_empty() {
        Ok(plugin)
    } else {
        Err(Problems(problems))
    }
}

fn found(cx: &Context<'_>, folder: &Path, name: &str) -> Option<Plugin> {
    let file = component(folder, name);
    cx.depends_on(&file);
    cx.depends_on(&settings_of(folder, name));
    file.is_file().then(|| beside(cx, folder, name))
}

/// The plugin as the file beside its component configures it, if there is one.
fn beside(cx: &Context<'_>, folder: &Path, name: &str) -> Plugin {
    let source = Source::File(component(folder, name));
    let file = settings_of(folder, name);
    let text = match read(&file) {
        Ok(text) => text,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                cx.push(Problem {
                    key: file.display().to_string(),
                    line: None,
                    message: format!("cannot be read: {error}"),
                    mend: "make it a readable file, or remove it".to_owned(),
                });
            }
            return plain(name, source);
        }
    };
    let own = Context::new(&text, folder, cx.env);
    let plugin = match DeTable::parse(&text) {
        Ok(document) => settings(name, source, &Table::root(&own, document.get_ref())),
        Err(error) => {
            own.push(syntax(&text, &error));
            plain(name, source)
        }
    };
    cx.include(&file, own);
    plugin
}

fn settings_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.toml"))
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    File::open(file)?
        .take(LONGEST + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

fn builtin(name: &str) -> Option<Plugin> {
    BUILTINS
        .contains(&name)
        .then(|| plain(name, Source::Builtin(name.to_owned())))
}

/// A plugin without any settings.
fn plain(name: &str, source: Source) -> Plugin {
    Plugin {
        name: name.to_owned(),
        source,
        fail_open: false,
        limits: SetLimits::default(),
        grant: Grant::default(),
        config: json!({}),
        secrets: BTreeSet::new(),
    }
}

fn check_adapter(name: &str, adapter: &Value<'_>, plugins: &BTreeMap<String, Plugin>) {
    if plugins.contains_key(name) {
        return;
    }
    let known = plugins.keys().map(String::as_str).chain(BUILTINS);
    let mend = match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`? If not, add [plugin.{name}]"),
        None => format!("add [plugin.{name}], or correct the name"),
    };
    adapter.problem(format!("names no plugin: `{name}`"), mend);
}
