//! The sections `[[model]]`: which upstream serves a model, under which name, and for whom.

use std::collections::BTreeMap;

use super::Upstream;
use super::problem::{Position, nearest};
use super::reader::{Table, Value};

mod pattern;

pub use self::pattern::NamePattern;

/// The largest weight of an upstream in `split`. Arbitrary; parts of a thousandth of a percent can be written.
const WEIGHT: u32 = 100_000;

/// A model, or several, that clients can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// What clients ask for.
    pub name: NamePattern,
    /// The tenants that it is for; none: everybody. For all others there is no such model.
    pub tenants: Vec<NamePattern>,
    /// The upstreams of which one is drawn for each exchange; at least one has a weight above 0.
    pub shares: Vec<Share>,
    /// The upstreams that are asked after the one that was drawn, in this order.
    pub fallback: Vec<ServedBy>,
    /// Where it is in the file.
    pub position: Position,
}

impl Model {
    /// All upstreams that may be asked.
    pub fn served_by(&self) -> impl Iterator<Item = &ServedBy> {
        let drawn = self.shares.iter().filter(|share| share.weight > 0);
        let drawn = drawn.map(|share| &share.served_by);
        drawn.chain(&self.fallback)
    }
}

/// An upstream, and how often it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Who is asked.
    pub served_by: ServedBy,
    /// Its part of the sum of all weights; 0: never.
    pub weight: u32,
}

/// An upstream that has a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedBy {
    /// The upstream.
    pub upstream: String,
    /// The model's name there; `None`: that of the request.
    pub name: Option<String>,
}

pub(super) fn models(root: &Table<'_>, upstreams: &BTreeMap<String, Upstream>) -> Vec<Model> {
    let tables = root.get("model").map(|value| value.tables("model"));
    let mut models: Vec<Model> = Vec::new();
    for table in tables.unwrap_or_default() {
        if let Some(model) = model(&table, upstreams) {
            unreachable(&table, &model, &models);
            models.push(model);
        }
    }
    models
}

/// Finds sections of the same name for the same tenants: the second one would never be used.
fn unreachable(table: &Table<'_>, model: &Model, before: &[Model]) {
    let twins = before.iter().filter(|other| other.name == model.name);
    for twin in twins {
        let key = &twin.position.key;
        if model.tenants.is_empty() && twin.tenants.is_empty() {
            table.cx.problem(
                &table.place,
                format!("has the same name as {key}: {}", model.name),
                "remove one of them, give one of them `tenants`, or put its upstream into the other's `fallback` or `split`",
            );
        }
        let mut tenants = model.tenants.iter();
        if let Some(taken) = tenants.find(|tenant| covers(&twin.tenants, tenant)) {
            table.cx.problem(
                &table.place,
                format!("is for the tenant `{taken}`, for whom {key} has the model {} already", model.name),
                "remove the tenant from one of them; a pattern such as `team-*` goes behind the names that it covers",
            );
        }
    }
}

/// Whether everybody with this name, or a name of this pattern, is among the tenants.
fn covers(tenants: &[NamePattern], tenant: &NamePattern) -> bool {
    tenants.iter().any(|other| other.matches(tenant.as_str()))
}

fn model(table: &Table<'_>, upstreams: &BTreeMap<String, Upstream>) -> Option<Model> {
    let name = table.required("name", r#"add name = "qwen3*", what clients ask for"#);
    let name = name.and_then(|value| {
        let text = value.string()?;
        if text.is_empty() {
            value.problem("is empty", "write the name of a model, or \"*\" for all");
        }
        Some(NamePattern::new(text))
    });
    let tenants = table.get("tenants").and_then(|value| tenants(&value));
    let split = table.get("split");
    let shares = match &split {
        Some(split) => shares(table, split, upstreams),
        None => served_by(table, upstreams).map(|served_by| {
            let weight = 1;
            vec![Share { served_by, weight }]
        }),
    };
    let listed = table.get("fallback").map(|value| value.tables("fallback"));
    let mut fallback = Vec::new();
    for table in listed.unwrap_or_default() {
        fallback.push(served_by(&table, upstreams));
        table.finish();
    }
    table.finish();
    let asked_first = shares.iter().flatten().filter(|_| split.is_none());
    let mut asked: Vec<&ServedBy> = asked_first.map(|share| &share.served_by).collect();
    for one in fallback.iter().flatten() {
        if asked.contains(&one) {
            table.cx.problem(
                &table.place,
                "names an upstream twice under the same name",
                "remove one of them from `fallback`",
            );
        }
        asked.push(one);
    }
    Some(Model {
        name: name?,
        tenants: tenants.unwrap_or_default(),
        shares: shares?,
        fallback: fallback.into_iter().collect::<Option<_>>()?,
        position: table.cx.position(&table.place),
    })
}

fn tenants(value: &Value<'_>) -> Option<Vec<NamePattern>> {
    let items = value.items()?;
    if items.is_empty() {
        value.problem(
            "is empty, so that the model would be nobody's",
            "name a tenant, as a gate such as `auth` names it; or remove `tenants` if the model is everybody's",
        );
    }
    let mut tenants: Vec<NamePattern> = Vec::new();
    for item in &items {
        let tenant = NamePattern::new(item.string()?);
        if tenant.as_str().is_empty() {
            item.problem(
                "is empty",
                "write the name of a tenant; `*` stands for any characters",
            );
        } else if covers(&tenants, &tenant) {
            item.problem(
                format!("is covered by an entry before it: `{tenant}`"),
                "remove it",
            );
        }
        tenants.push(tenant);
    }
    Some(tenants)
}

/// The upstreams of `split`, each with its weight.
fn shares(
    table: &Table<'_>,
    split: &Value<'_>,
    upstreams: &BTreeMap<String, Upstream>,
) -> Option<Vec<Share>> {
    for single in ["upstream", "as"] {
        if let Some(value) = table.get(single) {
            value.problem(
                "stands beside `split`, which names the upstreams",
                "move it into an entry of `split`, or remove `split`",
            );
        }
    }
    let tables = split.tables("model.split");
    let mut shares: Vec<Share> = Vec::new();
    if split.node.as_array().is_some_and(|array| array.is_empty()) {
        split.problem(
            "is empty",
            r#"name the upstreams: split = [{ upstream = "a", weight = 9 }, { upstream = "b", weight = 1 }]"#,
        );
    }
    let mut is_whole = !tables.is_empty();
    for table in tables {
        let share = share(&table, upstreams);
        table.finish();
        let twin = shares.iter().position(|other| {
            let served_by = share.as_ref().map(|share| &share.served_by);
            served_by == Some(&other.served_by)
        });
        if let Some(twin) = twin {
            table.cx.problem(
                &table.place,
                format!("names the upstream and the model of the entry {twin} of `split` again"),
                "remove one of them, and add their weights up",
            );
        }
        is_whole &= share.is_some();
        shares.extend(share);
    }
    if !is_whole {
        return None;
    }
    if shares.iter().all(|share| share.weight == 0) {
        split.problem(
            "has only entries of weight 0, so that nobody serves the model",
            "give at least one of them a weight above 0",
        );
        return None;
    }
    Some(shares)
}

fn share(table: &Table<'_>, upstreams: &BTreeMap<String, Upstream>) -> Option<Share> {
    let weight = table.required(
        "weight",
        "add weight = 1, its part of the sum of all weights",
    );
    let weight = weight.and_then(|value| {
        let number = value.whole_number()?;
        let weight = u32::try_from(number)
            .ok()
            .filter(|weight| *weight <= WEIGHT);
        if weight.is_none() {
            let mend = format!("write a whole number up to {WEIGHT}; 0 takes it out of service");
            value.problem("is out of range", mend);
        }
        weight
    });
    let served_by = served_by(table, upstreams);
    Some(Share {
        served_by: served_by?,
        weight: weight?,
    })
}

fn served_by(table: &Table<'_>, upstreams: &BTreeMap<String, Upstream>) -> Option<ServedBy> {
    let upstream = table.required("upstream", "add upstream = … with the name of an upstream");
    let name = table.get("as").and_then(|value| real_name(&value));
    let value = upstream?;
    let upstream = value.string()?;
    let Some(known) = upstreams.get(upstream) else {
        let mend = match nearest(upstream, upstreams.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`? If not, add [upstream.{upstream}]"),
            None => format!("add [upstream.{upstream}], or correct the name"),
        };
        value.problem(format!("names no upstream: `{upstream}`"), mend);
        return None;
    };
    if name.is_some() && known.adapter.is_none() {
        table.cx.warning(
            &table.place,
            "gives a model another name on an upstream without an adapter, so that responses show the upstream's name",
            "give the upstream an adapter, for example adapter = \"openai\"",
        );
    }
    Some(ServedBy {
        upstream: upstream.to_owned(),
        name,
    })
}

fn real_name(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if text.is_empty() || text.contains('*') {
        value.problem(
            "is not the name of one model",
            "write the name that the upstream knows, without `*`; or leave `as` out to keep the client's",
        );
    }
    Some(text.to_owned())
}
