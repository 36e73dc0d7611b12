//! Models: which upstreams serve the model that a request asks for, and which models there are.

use std::collections::HashMap;
use std::sync::Arc;

use sluicegate_config::{Model, ModelPattern};

pub mod ask;
pub mod listing;

/// The canonical path of the list of models; a model's own is below it.
pub const LIST: &str = "/v1/models";

/// How many names an error suggests.
const SUGGESTED: usize = 3;

/// An upstream that can be asked for a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The upstream.
    pub upstream: Arc<str>,
    /// What the model is called there, as JSON text; `None`: as the client calls it.
    pub name: Option<Arc<str>>,
}

/// All models that are routed; without any, the route's upstream gets every request.
#[derive(Debug, Default)]
pub struct Models {
    /// The names that are no patterns, in the order of the configuration.
    names: Vec<String>,
    exact: HashMap<String, Arc<[Served]>>,
    /// Those with the most literal characters first.
    patterns: Vec<(ModelPattern, Arc<[Served]>)>,
}

impl Models {
    /// The models of a configuration.
    #[must_use]
    pub fn new(models: &[Model]) -> Self {
        let mut all = Self::default();
        for model in models {
            let served = model.served_by.iter().map(|one| Served {
                upstream: one.upstream.as_str().into(),
                name: one.name.as_ref().map(|name| {
                    let json = serde_json::Value::from(name.as_str());
                    json.to_string().into()
                }),
            });
            let served = served.collect();
            match model.name.exact() {
                Some(name) => {
                    all.names.push(name.to_owned());
                    all.exact.insert(name.to_owned(), served);
                }
                None => all.patterns.push((model.name.clone(), served)),
            }
        }
        all.patterns
            .sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.literals()));
        all
    }

    /// Whether no model is routed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    /// The upstreams that serve a model, each once, in the order of the configuration.
    fn upstreams(&self) -> Vec<Arc<str>> {
        let mut upstreams: Vec<Arc<str>> = Vec::new();
        let named = self.names.iter().filter_map(|name| self.exact.get(name));
        let patterns = self.patterns.iter().map(|(_, served)| served);
        for served in named.chain(patterns).flat_map(|served| served.iter()) {
            if !upstreams.contains(&served.upstream) {
                upstreams.push(served.upstream.clone());
            }
        }
        upstreams
    }

    /// Who serves a model, in the order in which they are asked.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<[Served]>> {
        let pattern = || self.patterns.iter().find(|(it, _)| it.matches(name));
        let exact = self.exact.get(name);
        exact.or_else(|| pattern().map(|(_, served)| served))
    }

    /// The names and patterns that are most like this name.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Vec<String> {
        let exact = self.exact.keys().cloned();
        let patterns = self.patterns.iter().map(|(it, _)| it.to_string());
        let mut names: Vec<_> = exact
            .chain(patterns)
            .map(|have| (strsim::normalized_damerau_levenshtein(&have, name), have))
            .collect();
        names.sort_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| x.cmp(y)));
        names.truncate(SUGGESTED);
        names.into_iter().map(|(_, name)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use sluicegate_config::ServedBy;

    use super::*;

    fn models(names: &[&str]) -> Models {
        let model = |name: &&str| Model {
            name: ModelPattern::new(name),
            served_by: vec![ServedBy {
                upstream: (*name).to_owned(),
                name: None,
            }],
        };
        Models::new(&names.iter().map(model).collect::<Vec<_>>())
    }

    #[test]
    fn exact_names_win_over_patterns_and_long_patterns_over_short_ones() {
        let models = models(&["*", "qwen3*", "qwen3:32b", "qwen3*b"]);
        let found = |name: &str| {
            models
                .find(name)
                .map(|served| served[0].upstream.to_string())
        };
        assert_eq!(found("qwen3:32b").as_deref(), Some("qwen3:32b"));
        assert_eq!(found("qwen3:8b").as_deref(), Some("qwen3*b"));
        assert_eq!(found("qwen3").as_deref(), Some("qwen3*"));
        assert_eq!(found("llama").as_deref(), Some("*"));
    }

    #[test]
    fn the_nearest_names_are_those_that_are_most_alike() {
        let models = models(&["qwen3:32b", "llama3", "mistral", "gemma3*", "phi4"]);
        assert!(models.find("qwen3:32").is_none());
        let nearest = models.nearest("qwen3:32");
        assert_eq!((nearest.len(), nearest[0].as_str()), (3, "qwen3:32b"));
    }
}
