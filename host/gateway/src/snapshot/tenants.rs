//! Models that are for some tenants only: routes on which that does not hold, or is worth little.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::exposure::is_open;
use sluicegate_config::{Config, Model, PathPattern, Problem, Route};
use sluicegate_contract::canonical;
use sluicegate_plugin_host::Plugin;

type Plugins = BTreeMap<String, Arc<Plugin>>;

/// The paths by which models are listed, and one of them is shown.
const LISTS: [&str; 2] = ["/v1/models", "/v1/models/x"];

/// Routes by which a model for some tenants can be asked for without a tenant that somebody has checked.
pub(super) fn warnings(config: &Config, plugins: &Plugins) -> Vec<Problem> {
    let kept = config.models.iter().filter(|it| !it.tenants.is_empty());
    let warn = |model: &Model| {
        let of = |is_meant: &dyn Fn(&Route) -> bool| {
            let routes = config.routes.iter().filter(|route| is_meant(route));
            let paths: Vec<_> = routes.map(|route| route.path.to_string()).collect();
            (!paths.is_empty()).then(|| paths.join(", "))
        };
        let unchecked = of(&|route| is_routed(route, plugins) && is_open(route, plugins));
        let unchecked = unchecked.map(|paths| {
            warning(
                model,
                format!("names tenants, but no plugin in the pipeline of {paths} authenticates: a client there has no tenant, or one that nobody has checked"),
                "put a plugin that authenticates into the pipeline, such as builtin:auth with keys",
            )
        });
        let around = of(&|route| passes_around(route, model, config, plugins));
        let around = around.map(|paths| {
            warning(
                model,
                format!("names tenants, but {paths} passes on requests of other APIs, in which the gateway does not look for a model"),
                "give the upstream an adapter, or its route the exact paths of OpenAI's API",
            )
        });
        unchecked.into_iter().chain(around)
    };
    kept.flat_map(warn).collect()
}

/// Whether the model that a request asks for is looked at there.
fn is_routed(route: &Route, plugins: &Plugins) -> bool {
    has_front(route, plugins)
        || canonical::PATHS
            .iter()
            .chain(&LISTS)
            .any(|path| route.path.matches(path))
}

/// Whether requests can reach a server of the model without that.
fn passes_around(route: &Route, model: &Model, config: &Config, plugins: &Plugins) -> bool {
    let is_narrow = match &route.path {
        PathPattern::Exact(_) => is_routed(route, plugins),
        PathPattern::Prefix(_) => has_front(route, plugins),
    };
    let serves = |name: &String| model.served_by().any(|served| served.upstream == *name);
    let passes = |name: &&String| {
        let upstream = config.upstreams.get(*name);
        serves(name) && upstream.is_some_and(|upstream| upstream.adapter.is_none())
    };
    let mut asked = std::iter::once(&route.upstream).chain(&route.fallback);
    !is_narrow && asked.any(|name| passes(&name))
}

fn has_front(route: &Route, plugins: &Plugins) -> bool {
    let first = route.pipeline.first().and_then(|name| plugins.get(name));
    first.is_some_and(|plugin| plugin.manifest().front.is_some())
}

fn warning(model: &Model, message: String, mend: &str) -> Problem {
    let mut problem = model.position.problem(message, mend.to_owned());
    problem.key.push_str(".tenants");
    problem
}
