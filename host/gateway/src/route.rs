//! Routes: which pipeline and which upstream an exchange gets, by method and path.

use std::collections::HashMap;
use std::sync::Arc;

use hyper::Method;

use crate::pipeline::Pipeline;
use sluicegate_config::{OnDisconnect, PathPattern};
use sluicegate_telemetry::metrics::RouteMetrics;

/// A route with its pipeline ready to run.
#[derive(Debug)]
pub struct Route {
    /// The path as configured, such as `/v1/*`; "" for exchanges that match no route.
    pub label: Arc<str>,
    /// The methods that it takes; empty for all.
    pub methods: Vec<Method>,
    /// Its stages and observers.
    pub pipeline: Pipeline,
    /// The upstream, unless a stage chooses another.
    pub upstream: Arc<str>,
    /// The upstreams that are asked if that one fails, in this order.
    pub fallback: Vec<Arc<str>>,
    /// How many sandboxes one exchange can hold, by the upstream that it asks first.
    pub sandboxes: HashMap<Arc<str>, usize>,
    /// What happens to an exchange whose client leaves.
    pub on_disconnect: OnDisconnect,
    /// Its metrics.
    pub metrics: Arc<RouteMetrics>,
}

impl Route {
    /// HEAD is a GET whose body the server leaves out (RFC 9110, section 9.3.2). CONNECT asks for a tunnel, and TRACE would show
    /// what is added for the model server.
    fn takes(&self, method: &Method) -> bool {
        if matches!(*method, Method::CONNECT | Method::TRACE) {
            return false;
        }
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        self.methods.is_empty() || self.methods.contains(method)
    }
}

/// The result of a look-up.
#[derive(Debug)]
pub enum Found {
    /// This route.
    Route(Arc<Route>),
    /// The path is known, but not with this method. Holds the methods that are, as in an `allow` field.
    OtherMethods(String),
    /// The path is not known.
    Nothing,
}

/// All routes. Exact paths win over prefixes, longer prefixes over shorter ones, earlier routes over later ones.
#[derive(Debug, Default)]
pub struct Routes {
    exact: HashMap<String, Vec<Arc<Route>>>,
    /// Longest first.
    prefixes: Vec<(String, Vec<Arc<Route>>)>,
}

impl Routes {
    /// Adds a route after the others.
    pub fn add(&mut self, pattern: &PathPattern, route: Arc<Route>) {
        match pattern {
            PathPattern::Exact(path) => self.exact.entry(path.clone()).or_default().push(route),
            PathPattern::Prefix(prefix) => {
                match self.prefixes.iter_mut().find(|(have, _)| have == prefix) {
                    Some((_, routes)) => routes.push(route),
                    None => self.prefixes.push((prefix.clone(), vec![route])),
                }
                self.prefixes
                    .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
            }
        }
    }

    /// All routes, those with exact paths first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        let mut exact: Vec<_> = self.exact.values().flatten().collect();
        exact.sort_by(|a, b| a.label.cmp(&b.label));
        exact
            .into_iter()
            .chain(self.prefixes.iter().flat_map(|(_, routes)| routes))
    }

    /// Finds the route for a method and a path.
    #[must_use]
    pub fn find(&self, method: &Method, path: &str) -> Found {
        let prefixed = self
            .prefixes
            .iter()
            .filter(|(prefix, _)| path.starts_with(prefix.as_str()));
        let candidates = self
            .exact
            .get(path)
            .into_iter()
            .chain(prefixed.map(|(_, routes)| routes))
            .flatten();
        let mut allow: Vec<&str> = Vec::new();
        let all = [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ];
        for route in candidates {
            if route.takes(method) {
                return Found::Route(route.clone());
            }
            let methods = match route.methods.as_slice() {
                [] => &all[..],
                methods => methods,
            };
            for method in methods {
                if !allow.contains(&method.as_str()) {
                    allow.push(method.as_str());
                    if method == Method::GET {
                        allow.push("HEAD");
                    }
                }
            }
        }
        if allow.is_empty() {
            return Found::Nothing;
        }
        allow.push("OPTIONS");
        Found::OtherMethods(allow.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        let mut routes = Routes::default();
        let mut add = |pattern: PathPattern, label: &str, methods: &[Method]| {
            let route = Route {
                label: label.into(),
                methods: methods.to_vec(),
                pipeline: Pipeline {
                    stages: Vec::new(),
                    watching: Vec::new(),
                    observers: Vec::new(),
                },
                upstream: "u".into(),
                fallback: Vec::new(),
                sandboxes: HashMap::new(),
                on_disconnect: OnDisconnect::Cancel,
                metrics: Arc::default(),
            };
            routes.add(&pattern, Arc::new(route));
        };
        add(PathPattern::Prefix("/v1/".into()), "/v1/*", &[]);
        add(
            PathPattern::Prefix("/v1/models/".into()),
            "/v1/models/*",
            &[Method::GET],
        );
        add(
            PathPattern::Exact("/v1/chat".into()),
            "/v1/chat",
            &[Method::POST],
        );
        add(
            PathPattern::Exact("/only".into()),
            "/only",
            &[Method::POST, Method::GET],
        );
        routes
    }

    fn label(found: Found) -> String {
        match found {
            Found::Route(route) => route.label.to_string(),
            Found::OtherMethods(allow) => format!("allow {allow}"),
            Found::Nothing => "nothing".into(),
        }
    }

    #[test]
    fn exact_paths_win_over_prefixes_and_long_ones_over_short_ones() {
        let routes = routes();
        assert_eq!(label(routes.find(&Method::POST, "/v1/chat")), "/v1/chat");
        assert_eq!(
            label(routes.find(&Method::GET, "/v1/models/a/b:c")),
            "/v1/models/*"
        );
        assert_eq!(label(routes.find(&Method::PUT, "/v1/models/a")), "/v1/*");
        assert_eq!(label(routes.find(&Method::GET, "/v1/")), "/v1/*");
        assert_eq!(label(routes.find(&Method::GET, "/v1")), "nothing");
    }

    #[test]
    fn a_known_path_with_another_method_names_those_that_are_allowed() {
        let routes = routes();
        assert_eq!(
            label(routes.find(&Method::DELETE, "/only")),
            "allow POST, GET, HEAD, OPTIONS"
        );
        assert_eq!(label(routes.find(&Method::HEAD, "/only")), "/only");
    }

    #[test]
    fn no_route_takes_connect_or_trace() {
        let routes = routes();
        for method in [Method::CONNECT, Method::TRACE] {
            assert_eq!(
                label(routes.find(&method, "/v1/x")),
                "allow GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
            );
        }
    }
}
