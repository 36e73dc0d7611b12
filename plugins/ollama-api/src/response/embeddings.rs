//! Embeddings.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::chat::Usage;
use sluicegate_plugin::json::Kind;

use super::nonsense;
use super::turn::Now;
use crate::write::{Object, push_compact};

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    data: Vec<Embedding<'a>>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Embedding<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow)]
    embedding: &'a RawValue,
}

/// The response of `/api/embed`. `begun` is when the request came, in microseconds.
///
/// # Errors
/// 502 `upstream_invalid` if it is no list of vectors.
pub fn all(data: &str, model: &str, begun: u64, now: Now) -> Result<String, Fault> {
    let list = read(data)?;
    let mut out = Object::new(data.len());
    out.text("model", model);
    let vectors = out.member("embeddings");
    vectors.push('[');
    for (at, vector) in list.data.iter().enumerate() {
        if at > 0 {
            vectors.push(',');
        }
        push_compact(vectors, vector.embedding.get());
    }
    vectors.push(']');
    let total = now.monotonic_us.saturating_sub(begun).saturating_mul(1000);
    out.number("total_duration", total);
    out.number("load_duration", 0);
    if let Some(usage) = list.usage {
        out.number("prompt_eval_count", usage.prompt_tokens);
    }
    Ok(out.end())
}

/// The response of `/api/embeddings`.
///
/// # Errors
/// As [`all`].
pub fn first(data: &str) -> Result<String, Fault> {
    let list = read(data)?;
    let vector = list.data.first().ok_or_else(nonsense)?;
    let mut out = Object::new(data.len());
    out.compact("embedding", vector.embedding.get());
    Ok(out.end())
}

fn read(data: &str) -> Result<List<'_>, Fault> {
    let mut list: List<'_> = serde_json::from_str(data).map_err(|_| nonsense())?;
    list.data.sort_by_key(|vector| vector.index);
    let is_vector = |vector: &Embedding<'_>| Kind::of(vector.embedding) == Kind::Array;
    if list.data.iter().all(is_vector) {
        Ok(list)
    } else {
        Err(nonsense())
    }
}
