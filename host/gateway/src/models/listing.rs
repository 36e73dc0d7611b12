//! The models as clients see them: under the names that they can ask for, from what the model servers list.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;
use sluicegate_upstream::{ListedModel, Upstream};

use super::{Models, Served, Split};

/// The members of a model that no server has listed.
const UNLISTED: &str = r#""object":"model","created":0,"owned_by":"library""#;

/// All upstreams by name.
pub type Upstreams = HashMap<Arc<str>, Arc<Upstream>>;

/// The models that one upstream lists, those of its first target first. `None` if nothing is known.
#[must_use]
pub fn of_upstream(upstream: &Upstream) -> Option<Vec<ListedModel>> {
    let mut known = None;
    let mut seen = HashSet::new();
    for target in upstream.targets().iter() {
        let Some(listed) = target.models() else {
            continue;
        };
        let models: &mut Vec<ListedModel> = known.get_or_insert_default();
        models.extend(
            listed
                .iter()
                .filter(|model| seen.insert(model.id.clone()))
                .cloned(),
        );
    }
    known
}

/// The entry of a model in the list of an upstream, by any name that its servers take for it.
#[must_use]
pub fn find(upstream: &Upstream, name: &str) -> Option<ListedModel> {
    let lists: Vec<_> = upstream
        .targets()
        .iter()
        .filter_map(|it| it.models())
        .collect();
    let find = |is_wanted: &dyn Fn(&str) -> bool| {
        let mut listed = lists.iter().flat_map(|list| list.iter());
        listed.find(|model| is_wanted(&model.id)).cloned()
    };
    find(&|id| id == name).or_else(|| {
        let key = upstream.vendor.model_key(name);
        find(&|id| upstream.vendor.model_key(id) == key)
    })
}

/// The models that are routed for a tenant, under their names here: first those that the configuration names, then those that a
/// pattern lets through under their own names. `None` if all model servers are down.
#[must_use]
pub fn routed(
    models: &Models,
    tenant: Option<&str>,
    upstreams: &Upstreams,
) -> Option<Vec<ListedModel>> {
    let names = models.upstreams(tenant);
    let serving: Vec<_> = names
        .iter()
        .filter_map(|name| upstreams.get(name))
        .collect();
    let is_down = |upstream: &&Arc<Upstream>| upstream.targets().iter().all(|it| it.is_down());
    if !serving.is_empty() && serving.iter().all(is_down) {
        return None;
    }
    let named = models.names(tenant);
    let mut all: Vec<_> = named
        .map(|(name, split)| entry(name, split.all(), upstreams))
        .collect();
    let mut seen: HashSet<_> = all.iter().map(|model| model.id.clone()).collect();
    for upstream in serving {
        let listed = of_upstream(upstream).unwrap_or_default();
        all.extend(listed.into_iter().filter(|model| {
            let split = models.find(&model.id, tenant);
            let passes = split.is_some_and(|split| {
                let mut served = split.all().iter();
                served.any(|it| it.upstream == upstream.name && it.name.is_none())
            });
            passes && seen.insert(model.id.clone())
        }));
    }
    Some(all)
}

/// The entry of a routed model: what the first server that lists it says, under its name here.
pub(super) fn entry(name: &str, served: &[Served], upstreams: &Upstreams) -> ListedModel {
    listed(name, served, upstreams).unwrap_or_else(|| ListedModel {
        id: name.to_owned(),
        members: UNLISTED.to_owned(),
    })
}

/// As [`entry`]; `None` if no server lists it.
fn listed(name: &str, served: &[Served], upstreams: &Upstreams) -> Option<ListedModel> {
    let listed = served.iter().find_map(|served| {
        let there = match &served.name {
            Some(json) => serde_json::from_str(json).ok()?,
            None => name.to_owned(),
        };
        find(upstreams.get(&served.upstream)?, &there)
    });
    listed.map(|model| ListedModel {
        id: name.to_owned(),
        ..model
    })
}

/// A routed model by its name here. `None` if it is served under its own name, and no server lists it.
#[must_use]
pub fn routed_one(
    models: &Models,
    name: &str,
    split: &Split,
    upstreams: &Upstreams,
) -> Option<ListedModel> {
    let served = split.all();
    let is_renamed = served.iter().any(|served| served.name.is_some());
    if is_renamed || models.exact.contains_key(name) {
        return Some(entry(name, served, upstreams));
    }
    listed(name, served, upstreams)
}

/// One model as JSON.
#[must_use]
pub fn one(model: &ListedModel) -> String {
    let comma = if model.members.is_empty() { "" } else { "," };
    let id = Value::from(model.id.as_str());
    format!("{{\"id\":{id}{comma}{}}}", model.members)
}

/// A list of models as JSON.
#[must_use]
pub fn all(models: &[ListedModel]) -> String {
    let entries: Vec<_> = models.iter().map(one).collect();
    format!("{{\"object\":\"list\",\"data\":[{}]}}", entries.join(","))
}
