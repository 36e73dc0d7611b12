//! All parameters of a request except its messages: what they become, or why they are refused.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_openai_api::request::Endpoint;
use sluicegate_openai_api::request::dropped::Dropped;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{Kind, Members};

use super::body::Body;
use super::check::{self, Path, boolean, integer, kind, number};
use super::choice::{ToolChoice, Tools};
use super::options::Options;
use super::prompt::Prompt;
use super::thinking::Thinking;
use super::tools::{self, Tool};
use super::{choice, unmapped, value};
use crate::config::{Sampling, Settings};

/// The most tokens of a completion that does not say: OpenAI's default, and vLLM's.
const COMPLETION_TOKENS: &str = "16";

/// The parameters of a request, checked.
#[derive(Debug, Default)]
pub(super) struct Parameters<'a> {
    pub(super) model: Option<&'a RawValue>,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) ignored: Vec<String>,
    pub(super) dropped: Dropped,
    /// What a completion has in place of messages.
    pub(super) prompt: Prompt<'a>,
    is_chat: bool,
    stream_options: bool,
    /// OpenAI's parameters under Ollama's names.
    options: Vec<(&'static str, Cow<'a, str>)>,
    /// Ollama's parameters at the top level of the request.
    extensions: Vec<(&'static str, &'a str)>,
    /// The request's own `options`.
    native: Vec<(Cow<'a, str>, &'a RawValue)>,
    max_tokens: Option<&'a str>,
    max_completion_tokens: Option<&'a str>,
    logprobs: bool,
    top_logprobs: Option<&'a str>,
    format: Option<&'a str>,
    /// Ollama's own `format`.
    native_format: Option<&'a str>,
    raw_tools: Option<&'a RawValue>,
    offered: Vec<Tool<'a>>,
    tool_choice: ToolChoice<'a>,
    pub(super) tools: Tools<'a>,
    parallel_off: bool,
    keep_alive: Option<&'a str>,
    think: Option<&'a str>,
    pub(super) thinking: Thinking,
}

#[derive(Deserialize)]
struct StreamOptions<'a> {
    #[serde(borrow)]
    include_usage: Option<&'a RawValue>,
}

impl<'a> Parameters<'a> {
    /// Checks all parameters.
    ///
    /// # Errors
    /// 400 for the first one that is wrong, or that Ollama cannot honour.
    pub(super) fn read(
        endpoint: Endpoint,
        body: &'a Body<'a>,
        settings: &Settings,
    ) -> Result<Self, Fault> {
        let mut parameters = Self {
            is_chat: endpoint == Endpoint::Chat,
            dropped: Dropped::new(settings.unsupported),
            ..Self::default()
        };
        for (name, raw) in &body.parameters {
            if !parameters.take(name, raw, settings)? {
                parameters.ignored.push(name.clone().into_owned());
            }
        }
        parameters.agree()?;
        Ok(parameters)
    }

    /// Takes a parameter; `false` if it is unknown.
    fn take(&mut self, name: &str, raw: &'a RawValue, settings: &Settings) -> Result<bool, Fault> {
        let (ignored, dropped) = (&mut self.ignored, &mut self.dropped);
        let is_prompts = !self.is_chat && self.prompt.take(name, raw, ignored, dropped)?;
        Ok(is_prompts
            || self.thinking.take(name, raw, ignored, dropped)?
            || unmapped::accept(name, raw, dropped)?
            || self.standard(name, raw)?
            || self.extension(name, raw, settings)?)
    }

    /// Takes a parameter of OpenAI's API that has a counterpart; `false` if it is not one of these.
    fn standard(&mut self, name: &str, raw: &'a RawValue) -> Result<bool, Fault> {
        let at = Path::of(name);
        match name {
            "model" => self.model = Some(value::model(raw)?),
            "stream" => self.stream = boolean(at, raw)?,
            "stream_options" => {
                let options: StreamOptions<'_> = check::object(at, raw)?;
                self.stream_options = true;
                if let Some(raw) = options.include_usage {
                    self.include_usage = boolean(at.member("include_usage"), raw)?;
                }
            }
            "temperature" => self.option("temperature", number(at, raw, 0.0..=2.0)?),
            "top_p" => self.option("top_p", number(at, raw, 0.0..=1.0)?),
            "frequency_penalty" => self.option("frequency_penalty", number(at, raw, -2.0..=2.0)?),
            "presence_penalty" => self.option("presence_penalty", number(at, raw, -2.0..=2.0)?),
            "seed" => self.option("seed", integer(at, raw, i64::MIN..=i64::MAX)?),
            "max_tokens" => self.max_tokens = Some(integer(at, raw, 1..=i64::MAX)?),
            "max_completion_tokens" => {
                self.max_completion_tokens = Some(integer(at, raw, 1..=i64::MAX)?);
            }
            "stop" => {
                if let Some(stop) = value::stop(raw)? {
                    self.options.push(("stop", Cow::Owned(stop)));
                }
            }
            "logprobs" => self.logprobs = boolean(at, raw)?,
            "top_logprobs" => {
                let count = integer(at, raw, 0..=value::TOP_LOGPROBS)?;
                self.top_logprobs = (count != "0").then_some(count);
            }
            "response_format" => self.format = value::format(raw)?,
            "tools" => {
                self.offered = tools::offered(raw)?;
                self.raw_tools = Some(raw);
            }
            "tool_choice" => self.tool_choice = choice::read(raw)?,
            "parallel_tool_calls" => self.parallel_off = !boolean(at, raw)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes a parameter of Ollama's API; `false` if it is not one of these.
    fn extension(
        &mut self,
        name: &str,
        raw: &'a RawValue,
        settings: &Settings,
    ) -> Result<bool, Fault> {
        let at = Path::of(name);
        match name {
            "options" => {
                kind(at, raw, Kind::Object)?;
                let Members(members) = check::object(at, raw)?;
                self.native = members;
            }
            "num_ctx" => self
                .extensions
                .push(("num_ctx", integer(at, raw, 1..=i64::MAX)?)),
            "top_k" => self
                .extensions
                .push(("top_k", integer(at, raw, 0..=i64::MAX)?)),
            "min_p" => self.extensions.push(("min_p", number(at, raw, 0.0..=1.0)?)),
            "repeat_penalty" => {
                self.extensions
                    .push(("repeat_penalty", number(at, raw, 0.0..=f64::MAX)?));
            }
            "format" => self.native_format = value::native_format(raw)?,
            "keep_alive" => self.keep_alive = Some(value::keep_alive(raw)?),
            "think" => match (Kind::of(raw), raw.get()) {
                (Kind::Bool, _) | (_, r#""low""# | r#""medium""# | r#""high""# | r#""max""#) => {
                    self.think = Some(raw.get());
                }
                (Kind::String, _) => {
                    return Err(check::invalid(
                        at,
                        "a boolean, `low`, `medium`, `high` or `max`",
                    ));
                }
                (Kind::Null | Kind::Number | Kind::Array | Kind::Object, _) => {
                    return Err(check::wrong_type(at, "a boolean or a string", raw));
                }
            },
            _ => return Ok(false),
        }
        if settings.extensions {
            return Ok(true);
        }
        Err(
            Fault::bad_request(format!("This gateway does not let requests set `{name}`."))
                .code("unsupported_parameter")
                .param(name),
        )
    }

    fn option(&mut self, name: &'static str, value: &'a str) {
        self.options.push((name, Cow::Borrowed(value)));
    }

    /// Checks parameters that depend on each other.
    fn agree(&mut self) -> Result<(), Fault> {
        if self.stream_options && !self.stream {
            return Err(check::invalid(
                Path::of("stream_options"),
                "absent unless `stream` is true",
            ));
        }
        self.prompt.agree(&mut self.dropped)?;
        if self.top_logprobs.is_some() && !self.logprobs {
            return Err(check::invalid(
                Path::of("top_logprobs"),
                "absent unless `logprobs` is true",
            ));
        }
        if self.format.is_some() && self.native_format.is_some() {
            return Err(check::invalid(
                Path::of("format"),
                "absent where `response_format` is given",
            ));
        }
        let offered = std::mem::take(&mut self.offered);
        self.tools = Tools::of(self.raw_tools, offered, &self.tool_choice)?;
        match &self.tools {
            Tools::Offered(_) if self.parallel_off => self.dropped.unsupported(
                "parallel_tool_calls",
                "Ollama cannot keep a model from calling several tools at once; `parallel_tool_calls` must not be false.",
            ),
            Tools::Forced(_) => {
                let form = match (self.format, self.native_format) {
                    (Some(_), _) => Some("response_format"),
                    (None, Some(_)) => Some("format"),
                    (None, None) => None,
                };
                if let Some(form) = form {
                    self.dropped.unsupported(
                        form,
                        "Ollama forces a call by the form of the text, which can have only one form; send either a \
                         `tool_choice` that forces a call, or the form of the text.",
                    )?;
                }
                // The text becomes a call, which has no log probabilities.
                self.logprobs = false;
                self.top_logprobs = None;
                Ok(())
            }
            Tools::None | Tools::Offered(_) => Ok(()),
        }
    }

    /// Appends the members made from the parameters, each with a comma before it.
    pub(super) fn write(&self, out: &mut String, settings: &Settings) {
        let mut member = |name: &str, value: &str| {
            out.push_str(name);
            out.push_str(value);
        };
        let format = match &self.tools {
            Tools::Forced(forced) => Some(&*forced.format),
            Tools::Offered(tools) => {
                member(",\"tools\":", tools);
                self.format.or(self.native_format)
            }
            Tools::None => self.format.or(self.native_format),
        };
        if let Some(format) = format {
            member(",\"format\":", format);
        }
        let think = if self.is_chat {
            let asked = self.think.or(self.thinking.think());
            asked.or(settings.think.as_deref())
        } else {
            // The text of a completion is all that the model writes; nothing is split off.
            Some("false")
        };
        if let Some(think) = think {
            member(",\"think\":", think);
        }
        if let Some(keep_alive) = self.keep_alive.or(settings.keep_alive.as_deref()) {
            member(",\"keep_alive\":", keep_alive);
        }
        if self.logprobs || self.prompt.logprobs.is_some() {
            member(",\"logprobs\":", "true");
        }
        let of_prompt = self.prompt.logprobs.filter(|count| *count != "0");
        if let Some(count) = self.top_logprobs.or(of_prompt) {
            member(",\"top_logprobs\":", count);
        }
        self.options(settings).write(out);
    }

    fn options<'s>(&'s self, settings: &'s Settings) -> Options<'s> {
        let mut options = Options::default();
        for (name, value) in &settings.options {
            options.set(name.as_str(), value.as_str());
        }
        for (name, raw) in &self.native {
            options.set(&**name, raw.get());
        }
        for (name, value) in &self.extensions {
            options.set(*name, *value);
        }
        for (name, value) in &self.options {
            options.set(*name, &**value);
        }
        if let Some(limit) = self.max_completion_tokens.or(self.max_tokens) {
            options.set("num_predict", limit);
        }
        if settings.sampling == Sampling::Openai {
            options.default_to("temperature", "1");
            options.default_to("top_p", "1");
            if !self.is_chat {
                options.default_to("num_predict", COMPLETION_TOKENS);
            }
        }
        options
    }
}
