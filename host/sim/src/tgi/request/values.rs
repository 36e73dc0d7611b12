//! The checks of TGI's validation, which come after those of the form. Pure.

use serde_json::Value;

use crate::catalog::Model;
use crate::text;
use crate::tgi::form::Body;
use crate::tgi::refusal::Refusal;
use crate::tgi::written::Limits;

/// The most stop sequences.
pub(in crate::tgi) const STOPS: usize = 4;

/// The most likeliest tokens.
const TOP_TOKENS: u64 = 5;

/// Generated in one run; the limit of tokens is checked against the context only up to it.
const RUN: u64 = 1024;

/// The checks of the validation, which come after those of the form.
pub(super) struct Values<'a> {
    pub(super) model: &'a Model,
    pub(super) input: &'a str,
    pub(super) most: Option<u64>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) frequency_penalty: Option<f64>,
    pub(super) repetition_penalty: Option<f64>,
    pub(super) stop: &'a [String],
    pub(super) top_tokens: Option<u64>,
}

impl Values<'_> {
    /// Checks all of them.
    ///
    /// # Errors
    /// The first that TGI does not take.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let refuse = |text: &str| Err(Refusal::validation(text));
        if self.temperature.is_some_and(|value| value <= 0.0) {
            return refuse("`temperature` must be strictly positive");
        }
        if self.repetition_penalty.is_some_and(|value| value <= 0.0) {
            return refuse("`repetition_penalty` must be strictly positive");
        }
        if self
            .frequency_penalty
            .is_some_and(|value| !(-2.0..=2.0).contains(&value))
        {
            return refuse("`frequency_penalty` must be >= -2.0 and <= 2.0");
        }
        if self.top_p.is_some_and(|value| value <= 0.0 || value >= 1.0) {
            return refuse("`top_p` must be > 0.0 and < 1.0");
        }
        if self.most == Some(0) {
            return refuse("`max_new_tokens` must be strictly positive");
        }
        let count = self.stop.len();
        if count > STOPS {
            return refuse(&format!(
                "`stop` supports up to {STOPS} stop sequences. Given: {count}"
            ));
        }
        if let Some(top) = self.top_tokens.filter(|&top| top > TOP_TOKENS) {
            return refuse(&format!(
                "`top_n_tokens` must be >= 0 and <= {TOP_TOKENS}. Given: {top}"
            ));
        }
        if self.input.is_empty() {
            return refuse("`inputs` cannot be empty");
        }
        let inputs = text::tokens(self.input).len() as u64;
        let most = self.most.unwrap_or(0).min(RUN);
        let total = self.model.context_length;
        if inputs + most > total {
            return refuse(&format!(
                "`inputs` tokens + `max_new_tokens` must be <= {total}. Given: {inputs} `inputs` tokens and {most} \
                 `max_new_tokens`"
            ));
        }
        Ok(())
    }

    /// Those of the routes that are like OpenAI's. A temperature of 0 is taken there.
    pub(super) fn of_openai<'a>(
        body: &Body,
        model: &'a Model,
        input: &'a str,
        stop: &'a [String],
    ) -> Values<'a> {
        Values {
            model,
            input,
            most: most(body),
            temperature: body.float("temperature").filter(|&value| value != 0.0),
            top_p: body.float("top_p"),
            frequency_penalty: body.float("frequency_penalty"),
            repetition_penalty: body.float("presence_penalty").map(|penalty| penalty + 2.0),
            stop,
            top_tokens: body
                .unsigned("top_logprobs")
                .filter(|_| body.flag("logprobs")),
        }
    }
}

fn most(body: &Body) -> Option<u64> {
    let newer = body.unsigned("max_completion_tokens");
    body.unsigned("max_tokens").or(newer)
}

/// What ends a text.
pub(super) fn limits(body: &Body, stop: Vec<String>) -> Limits {
    Limits {
        most: most(body).and_then(|most| usize::try_from(most).ok()),
        stop,
    }
}

/// The stop sequences in a list.
pub(super) fn stops(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
