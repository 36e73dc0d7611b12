//! Models: which upstreams serve the model that a request asks for, for which tenants, and which models there are.
//!
//! # The rule
//! Of the names in the configuration the one that is most like the model decides: the name itself, else the pattern with the most
//! literal characters. Of the sections with this name the first one that is for the tenant counts, else the one that is for
//! everybody. If there is none, there is no such model for this tenant: a shorter pattern does not let it through.

use std::collections::HashMap;
use std::sync::Arc;

use sluicegate_config::{Model, NamePattern};
use sluicegate_upstream::Vendor;

pub mod ask;
pub mod listing;
mod split;

pub use split::{Served, Split, chance};

/// The canonical path of the list of models; a model's own is below it.
pub const LIST: &str = "/v1/models";

/// How many names an error suggests.
const SUGGESTED: usize = 3;

/// All models that are routed; without any, the route's upstream gets every request.
#[derive(Debug, Default)]
pub struct Models {
    /// All names, in the order of the configuration.
    groups: Vec<Group>,
    /// Those that are no patterns.
    exact: HashMap<String, usize>,
    /// Those that are, with the most literal characters first.
    patterns: Vec<usize>,
    spellings: Vec<Spelling>,
}

/// The sections with one name.
#[derive(Debug)]
struct Group {
    name: NamePattern,
    /// Those for some tenants first.
    sections: Vec<Section>,
}

/// One section.
#[derive(Debug)]
struct Section {
    /// The tenants that it is for; none: everybody.
    tenants: Vec<NamePattern>,
    split: Split,
}

/// A name for some tenants on an upstream whose servers take several spellings for one model.
#[derive(Debug)]
struct Spelling {
    group: usize,
    upstream: Arc<str>,
    vendor: Vendor,
    /// The name as the server spells it, and a pattern also without what the server adds at the end.
    names: [NamePattern; 2],
}

impl Group {
    fn section(&self, tenant: Option<&str>) -> Option<&Section> {
        let mut sections = self.sections.iter();
        sections.find(|section| section.is_for(tenant))
    }

    fn has_tenants(&self) -> bool {
        let mut sections = self.sections.iter();
        sections.any(|section| !section.tenants.is_empty())
    }
}

impl Section {
    fn is_for(&self, tenant: Option<&str>) -> bool {
        let named = |name| self.tenants.iter().any(|it| it.matches(name));
        self.tenants.is_empty() || tenant.is_some_and(named)
    }
}

impl Models {
    /// The models of a configuration. `vendor` says what kind of servers an upstream has.
    #[must_use]
    pub fn new(models: &[Model], vendor: impl Fn(&str) -> Vendor) -> Self {
        let mut all = Self::default();
        for model in models {
            let section = Section {
                tenants: model.tenants.clone(),
                split: Split::new(model),
            };
            let known = all.groups.iter_mut().find(|it| it.name == model.name);
            match known {
                Some(group) => group.sections.push(section),
                None => all.groups.push(Group {
                    name: model.name.clone(),
                    sections: vec![section],
                }),
            }
        }
        for (at, group) in all.groups.iter_mut().enumerate() {
            let sections = &mut group.sections;
            sections.sort_by_key(|section| section.tenants.is_empty());
            match group.name.exact() {
                Some(name) => {
                    all.exact.insert(name.to_owned(), at);
                }
                None => all.patterns.push(at),
            }
            if group.has_tenants() {
                all.spellings.extend(spellings(at, group, &vendor));
            }
        }
        let literals = |at: &usize| all.groups[*at].name.literals();
        all.patterns
            .sort_by_key(|at| std::cmp::Reverse(literals(at)));
        all
    }

    /// Whether no model is routed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whether some models are not for everybody.
    #[must_use]
    pub fn have_tenants(&self) -> bool {
        self.groups.iter().any(Group::has_tenants)
    }

    /// Who serves a model for this tenant; `None`: nobody.
    #[must_use]
    pub fn find(&self, name: &str, tenant: Option<&str>) -> Option<&Split> {
        let group = self.group(name)?;
        let split = &self.groups[group].section(tenant)?.split;
        let mut unnamed = split.all().iter().filter(|served| served.name.is_none());
        let is_kept = unnamed
            .any(|served| self.is_spelled_otherwise(name, Some(group), &served.upstream, tenant));
        (!is_kept).then_some(split)
    }

    /// Whether a model of an upstream that was not chosen here is for other tenants only.
    #[must_use]
    pub fn is_kept(&self, name: &str, upstream: &str, tenant: Option<&str>) -> bool {
        let group = self.group(name);
        let is_for = |at: usize| self.groups[at].section(tenant).is_some();
        group.is_some_and(|at| !is_for(at))
            || self.is_spelled_otherwise(name, group, upstream, tenant)
    }

    /// The names that can be asked for, in the order of the configuration.
    fn names<'a>(&'a self, tenant: Option<&'a str>) -> impl Iterator<Item = (&'a str, &'a Split)> {
        self.visible(tenant)
            .filter_map(|(group, section)| Some((group.name.exact()?, &section.split)))
    }

    /// The upstreams that serve a model for this tenant, each once, in the order of the configuration, exact names first.
    fn upstreams(&self, tenant: Option<&str>) -> Vec<Arc<str>> {
        let is_pattern = |(group, _): &(&Group, &Section)| group.name.exact().is_none();
        let (patterns, named): (Vec<_>, Vec<_>) = self.visible(tenant).partition(is_pattern);
        let sections = named.into_iter().chain(patterns);
        let mut upstreams: Vec<Arc<str>> = Vec::new();
        for served in sections.flat_map(|(_, section)| section.split.all()) {
            if !upstreams.contains(&served.upstream) {
                upstreams.push(served.upstream.clone());
            }
        }
        upstreams
    }

    /// The names and patterns that are most like this name, of those that the tenant may know.
    #[must_use]
    pub fn nearest(&self, name: &str, tenant: Option<&str>) -> Vec<String> {
        let similarity = |have: &str| strsim::normalized_damerau_levenshtein(have, name);
        let mut names: Vec<_> = self
            .visible(tenant)
            .map(|(group, _)| (similarity(group.name.as_str()), group.name.as_str()))
            .collect();
        names.sort_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| x.cmp(y)));
        names.truncate(SUGGESTED);
        names.into_iter().map(|(_, name)| name.to_owned()).collect()
    }

    fn visible<'a>(
        &'a self,
        tenant: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Group, &'a Section)> {
        let groups = self.groups.iter();
        groups.filter_map(move |group| Some((group, group.section(tenant)?)))
    }

    /// The name that decides about a model.
    fn group(&self, name: &str) -> Option<usize> {
        let is_like = |at: &usize| self.groups[*at].name.matches(name);
        let exact = self.exact.get(name);
        exact
            .or_else(|| self.patterns.iter().find(|at| is_like(at)))
            .copied()
    }

    /// Whether the server takes the name, which `group` lets through, for a model that is for other tenants, and that is named
    /// more exactly.
    fn is_spelled_otherwise(
        &self,
        name: &str,
        group: Option<usize>,
        upstream: &str,
        tenant: Option<&str>,
    ) -> bool {
        let group = group.map(|at| &self.groups[at].name);
        let is_named = group.is_some_and(|name| name.exact().is_some());
        let literals = group.map_or(0, NamePattern::literals);
        let mut spellings = self.spellings.iter().filter(|it| *it.upstream == *upstream);
        !is_named
            && spellings.any(|it| {
                let other = &self.groups[it.group];
                let is_nearer = other.name.exact().is_some() || other.name.literals() >= literals;
                is_nearer && other.section(tenant).is_none() && it.matches(name)
            })
    }
}

impl Spelling {
    fn matches(&self, name: &str) -> bool {
        let key = self.vendor.model_key(name);
        self.names.iter().any(|it| it.matches(&key))
    }
}

/// The other spellings of a name, where there are any.
fn spellings(
    at: usize,
    group: &Group,
    vendor: &impl Fn(&str) -> Vendor,
) -> impl Iterator<Item = Spelling> {
    let served = group.sections.iter().flat_map(|it| it.split.all());
    let mut upstreams: Vec<_> = served
        .filter(|served| served.name.is_none())
        .map(|served| served.upstream.clone())
        .collect();
    upstreams.sort();
    upstreams.dedup();
    let name = group.name.as_str();
    let is_pattern = group.name.exact().is_none();
    upstreams.into_iter().filter_map(move |upstream| {
        let vendor = vendor(&upstream);
        let key = vendor.model_key(name);
        let begin = vendor.without_added_tag(name, &key).filter(|_| is_pattern);
        let names = [&key, begin.unwrap_or(&key)].map(NamePattern::new);
        (vendor == Vendor::Ollama).then_some(Spelling {
            group: at,
            upstream,
            vendor,
            names,
        })
    })
}

#[cfg(test)]
mod tests;
