//! Requests: from Anthropic's Messages API to OpenAI's chat completions.
//!
//! What a model server could not honour is refused by name ([`check`]); what only concerns Anthropic's own service is left
//! out: `cache_control`, `metadata` except the user, `service_tier`, `container`, `context_management`, and members that are
//! not known.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

mod check;
mod content;
mod messages;
mod thinking;
mod tools;

use crate::{Config, Prefill};
use check::Path;

/// A canonical request, and what the response depends on.
#[derive(Debug)]
pub struct Translated {
    /// The canonical body.
    pub body: String,
    /// Whether the client wants a stream.
    pub streams: bool,
    /// Whether the client wants to see the thoughts of the model.
    pub shows_thoughts: bool,
    /// Whether the client's limit of thoughts was left out.
    pub drops_budget: bool,
}

/// The parameters that are looked at. `null` counts as absent.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    stream: Option<&'a RawValue>,
    #[serde(borrow)]
    temperature: Option<&'a RawValue>,
    #[serde(borrow)]
    top_p: Option<&'a RawValue>,
    #[serde(borrow)]
    top_k: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_sequences: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    output_config: Option<&'a RawValue>,
    #[serde(borrow)]
    output_format: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    mcp_servers: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct OutputConfig<'a> {
    #[serde(borrow)]
    effort: Option<&'a RawValue>,
    #[serde(borrow)]
    format: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    user_id: Option<&'a RawValue>,
}

/// Translates a request. `counts` says that only its tokens are counted.
///
/// # Errors
/// 400 for the first thing that is wrong or cannot be honoured.
pub fn translate(body: &[u8], counts: bool, config: Config) -> Result<Translated, Fault> {
    let text = std::str::from_utf8(body).map_err(|_| not_json("it is not UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}').trim_ascii();
    if !text.starts_with('{') {
        return Err(not_json("it is not a JSON object"));
    }
    let body: Body<'_> =
        serde_json::from_str(text).map_err(|error| not_json(&error.to_string()))?;
    let mut out = String::with_capacity(text.len() + text.len() / 8 + 256);
    body.write(&mut out, counts, config.prefill)?;
    let output: OutputConfig<'_> = match body.output_config {
        Some(raw) => check::object(Path::of("output_config"), raw)?,
        None => OutputConfig::default(),
    };
    let asked = thinking::write(&mut out, body.thinking, output.effort, config.thinking)?;
    if let Some(raw) = body.output_format {
        format(&mut out, Path::of("output_format"), raw)?;
    } else if let Some(raw) = output.format {
        format(&mut out, Path::of("output_config").member("format"), raw)?;
    }
    let streams = match body.stream.filter(|_| !counts) {
        Some(raw) => check::boolean(Path::of("stream"), raw)?,
        None => false,
    };
    if streams {
        out.push_str(",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    }
    out.push('}');
    Ok(Translated {
        body: out,
        streams,
        shows_thoughts: asked.shows_thoughts,
        drops_budget: asked.drops_budget,
    })
}

impl<'a> Body<'a> {
    /// Appends the request, but for thinking, the format and the stream.
    fn write(&self, out: &mut String, counts: bool, prefill: Prefill) -> Result<(), Fault> {
        let model = Path::of("model");
        if check::text(model, self.model)?.trim().is_empty() {
            return Err(check::invalid(model, "the name of a model, not empty"));
        }
        if let Some(raw) = self.mcp_servers
            && !check::array(Path::of("mcp_servers"), raw)?.is_empty()
        {
            let message = "this gateway calls no MCP servers; give their tools in `tools` and call them yourself.";
            return Err(check::unsupported(Path::of("mcp_servers"), message));
        }
        out.push('{');
        member(out, "model", self.model.map_or("", RawValue::get));
        let messages = check::required(Path::of("messages"), self.messages)?;
        out.push_str(",\"messages\":");
        // What is only counted is not continued.
        let ends_freely = counts || prefill == Prefill::Pass;
        messages::write(out, self.system, messages, ends_freely)?;
        match self.max_tokens {
            Some(raw) => {
                let limit = check::positive(Path::of("max_tokens"), raw)?;
                member(out, "max_tokens", limit);
            }
            None if counts => {}
            None => return Err(check::missing(Path::of("max_tokens"))),
        }
        for (name, raw) in [("temperature", self.temperature), ("top_p", self.top_p)] {
            if let Some(raw) = raw {
                member(out, name, check::kind(Path::of(name), raw, Kind::Number)?);
            }
        }
        if let Some(raw) = self.top_k {
            member(out, "top_k", check::positive(Path::of("top_k"), raw)?);
        }
        if let Some(raw) = self.stop_sequences {
            stop(out, raw)?;
        }
        if let Some(raw) = self.metadata {
            let at = Path::of("metadata");
            let metadata: Metadata<'a> = check::object(at, raw)?;
            if let Some(raw) = metadata.user_id {
                member(
                    out,
                    "user",
                    check::kind(at.member("user_id"), raw, Kind::String)?,
                );
            }
        }
        tools::write(out, self.tools, self.tool_choice)
    }
}

/// The most stop sequences. Anthropic's API names no limit; model servers take 4, or some more.
const MOST_STOPS: usize = 64;

/// Appends `stop`.
fn stop(out: &mut String, raw: &RawValue) -> Result<(), Fault> {
    let at = Path::of("stop_sequences");
    let sequences = check::array(at, raw)?;
    if sequences.len() > MOST_STOPS {
        let expected = format!("an array of at most {MOST_STOPS} strings");
        return Err(check::invalid(at, &expected));
    }
    for (index, raw) in sequences.iter().enumerate() {
        if check::text(at.index(index), Some(raw))?.trim().is_empty() {
            return Err(check::invalid(at.index(index), "a text that is not blank"));
        }
    }
    if !sequences.is_empty() {
        member(out, "stop", raw.get());
    }
    Ok(())
}

/// Appends `response_format`.
fn format(out: &mut String, at: Path<'_>, raw: &RawValue) -> Result<(), Fault> {
    let format: Format<'_> = check::object(at, raw)?;
    if check::text(at.member("type"), format.r#type)? != "json_schema" {
        return Err(check::invalid(at.member("type"), "`json_schema`"));
    }
    let at = at.member("schema");
    let schema = check::required(at, format.schema)?;
    let schema = check::kind(at, schema, Kind::Object)?;
    // OpenAI's API wants a name; nobody reads it.
    let open = r#",{"type":"json_schema","json_schema":{"name":"response","strict":true,"schema":"#;
    out.push_str(",\"response_format\":");
    out.push_str(&open[1..]);
    out.push_str(schema);
    out.push_str("}}");
    Ok(())
}

/// Appends a member, with a comma before it unless it is the first one.
fn member(out: &mut String, name: &str, value: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    json::push_str(out, name);
    out.push(':');
    out.push_str(value);
}

fn not_json(why: &str) -> Fault {
    Fault::bad_request(format!("The request body cannot be read: {why}.")).code("invalid_json")
}
