//! `check`: reports all problems of a configuration, without starting anything.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::chat as page;
use super::{load, print, report, warn};
use sluicegate_gateway::descriptors;
use sluicegate_gateway::exchange::{Admission, Capacity};
use sluicegate_gateway::snapshot::{self, Prepared};
use sluicegate_gateway::supply::Supply;
use sluicegate_plugin_host::{Engine, Loader, Plugin};

/// Validates the file, then loads its plugins with their configurations.
pub(super) async fn check(file: &Path) -> ExitCode {
    let config = match load(Some(file)) {
        Ok(config) => config,
        Err(code) => return code,
    };
    warn(&config.warnings);
    let loader = match Engine::new() {
        Ok(engine) => Loader::new(engine),
        Err(error) => {
            eprintln!("sluicegate: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (routes, limit) = (config.routes.len(), config.server.limits.exchanges);
    let asks = config.chat.as_ref().and_then(|chat| {
        let own = config.listeners.first().map(|listener| listener.listen);
        page::settings(chat, config.admin.as_ref(), own).asks()
    });
    match snapshot::prepare(
        config,
        &Supply::new(&loader, crate::embedded().plugins, None),
        None,
    )
    .await
    {
        Ok(prepared) => {
            warn(prepared.warnings());
            print(&format!(
                "{}{}{}{} is valid (routes: {}, plugins: {}, upstreams: {})\n",
                asks.map_or_else(String::new, |url| format!("the chat page calls {url}\n")),
                capacity(&prepared, limit, loader.engine().sandboxes()),
                grants(prepared.plugins()),
                file.display(),
                routes,
                prepared.plugins().len(),
                prepared.upstreams()
            ))
        }
        Err(problems) => report(&problems),
    }
}

/// What plugins may use, and what they could use if it were granted.
fn grants(plugins: &BTreeMap<String, Arc<Plugin>>) -> String {
    let line = |plugin: &Arc<Plugin>| {
        let imports = plugin.capabilities().iter();
        let missing = imports.filter(|it| !plugin.grant().has(**it));
        let missing: Vec<_> = missing.map(|it| it.name()).collect();
        let granted = plugin.grant().capabilities().next().is_some();
        (granted || !missing.is_empty()).then(|| {
            let lacks = if missing.is_empty() {
                String::new()
            } else {
                format!("; it imports {}, which is denied", missing.join(", "))
            };
            format!(
                "plugin {} is granted {}{lacks}\n",
                plugin.name(),
                plugin.grant()
            )
        })
    };
    plugins.values().filter_map(line).collect()
}

/// What each route can hold.
fn capacity(prepared: &Prepared, limit: usize, sandboxes: usize) -> String {
    let capacity = Capacity {
        exchanges: descriptors::most_exchanges(descriptors::raise()),
        sandboxes,
    };
    let line = |(route, each): (String, usize)| {
        let fitting = Admission::fitting(capacity, limit, each);
        format!("{route}: {each} sandboxes per exchange, {fitting} exchanges at once\n")
    };
    prepared.sandboxes().map(line).collect()
}
