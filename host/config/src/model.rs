//! The sections `[[model]]`: which upstream serves a model, and under which name.

use std::collections::BTreeMap;
use std::fmt;

use super::Upstream;
use super::problem::nearest;
use super::reader::{Table, Value};

/// A model, or several, that clients can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// What clients ask for.
    pub name: ModelPattern,
    /// The upstreams that are asked, in this order; at least one.
    pub served_by: Vec<ServedBy>,
}

/// An upstream that has a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedBy {
    /// The upstream.
    pub upstream: String,
    /// The model's name there; `None`: that of the request.
    pub name: Option<String>,
}

/// A name in which each `*` stands for any characters, also for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPattern(String);

impl ModelPattern {
    /// As written: without a `*`, it is the name of one model.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The name, if it is that of one model.
    #[must_use]
    pub fn exact(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(&*self.0)
    }

    /// How many characters are no `*`: of two patterns that match, the one with more of them is meant.
    #[must_use]
    pub fn literals(&self) -> usize {
        self.0.chars().filter(|c| *c != '*').count()
    }

    /// Whether a model's name matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let Some((begin, rest)) = self.0.split_once('*') else {
            return self.0 == name;
        };
        let Some(mut left) = name.strip_prefix(begin) else {
            return false;
        };
        let mut parts: Vec<&str> = rest.split('*').collect();
        let end = parts.pop().unwrap_or_default();
        for part in parts {
            // The first place is the best one: it leaves the most for what follows.
            let Some(place) = left.find(part) else {
                return false;
            };
            left = &left[place + part.len()..];
        }
        left.ends_with(end)
    }
}

impl fmt::Display for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) fn models(root: &Table<'_>, upstreams: &BTreeMap<String, Upstream>) -> Vec<Model> {
    let tables = root.get("model").map(|value| value.tables("model"));
    let mut models: Vec<Model> = Vec::new();
    for table in tables.unwrap_or_default() {
        let (cx, place) = (table.cx, &table.place);
        let Some(model) = model(&table, upstreams) else {
            continue;
        };
        if let Some(twin) = models.iter().position(|other| other.name == model.name) {
            let message = format!("has the same name as model[{twin}]: {}", model.name);
            cx.problem(
                place,
                message,
                "remove one of them, or put its upstream into the other's `fallback`",
            );
        }
        models.push(model);
    }
    models
}

fn model(table: &Table<'_>, upstreams: &BTreeMap<String, Upstream>) -> Option<Model> {
    let name = table.required("name", r#"add name = "qwen3*", what clients ask for"#);
    let name = name.and_then(|value| {
        let text = value.string()?;
        if text.is_empty() {
            value.problem("is empty", "write the name of a model, or \"*\" for all");
        }
        Some(ModelPattern::new(text))
    });
    let first = served_by(table, upstreams);
    let fallback = table.get("fallback").map(|value| value.tables("fallback"));
    let mut served = vec![first];
    for table in fallback.unwrap_or_default() {
        served.push(served_by(&table, upstreams));
        table.finish();
    }
    table.finish();
    for (index, one) in served.iter().enumerate() {
        if one.is_some() && served[..index].contains(one) {
            table.cx.problem(
                &table.place,
                "names an upstream twice under the same name",
                "remove one of them from `fallback`",
            );
        }
    }
    Some(Model {
        name: name?,
        served_by: served.into_iter().collect::<Option<_>>()?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("qwen3", "qwen3", true),
            ("qwen3", "qwen3:32b", false),
            ("qwen3*", "qwen3", true),
            ("qwen3*", "qwen3:32b", true),
            ("qwen3*", "my-qwen3", false),
            ("*-instruct", "a-instruct", true),
            ("*-instruct", "a-instruct-2", false),
            ("*", "", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-bb-c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a**", "ab", true),
            ("*模型*", "大模型7b", true),
        ] {
            let matches = ModelPattern::new(pattern).matches(name);
            assert_eq!(matches, expected, "{pattern} {name}");
        }
    }
}
