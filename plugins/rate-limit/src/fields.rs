//! What a client learns about its limits: header fields and refusals, with OpenAI's names and formats.
//!
//! # Source
//! OpenAI, "Rate limits", section "Rate limits in headers": `x-ratelimit-reset-tokens: 6m0s`.

use std::time::Duration;

use sluicegate_plugin::rate::Standing;
use sluicegate_plugin::{Context, Fault};

use crate::rule::{Rule, What};

/// A limit of an exchange, and how it stands.
#[derive(Debug)]
pub(crate) struct Stands<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) what: What,
    pub(crate) amount: u64,
    pub(crate) standing: Standing,
}

impl Stands<'_> {
    fn limit(&self) -> u64 {
        match self.what {
            What::Requests => self.rule.requests.as_ref().map_or(0, |it| it.limit),
            What::Tokens | What::Budget => {
                let metered = self.rule.metered(self.what);
                metered.map_or(0, |it| it.counted.limit)
            }
            What::Concurrent => self.rule.concurrent.unwrap_or(0),
        }
    }

    fn per(&self) -> &str {
        let counted = match self.what {
            What::Requests => self.rule.requests.as_ref(),
            What::Tokens | What::Budget => self.rule.metered(self.what).map(|it| &it.counted),
            What::Concurrent => None,
        };
        match counted.map_or("", |it| &it.per) {
            "day" => "a day (UTC)",
            "month" => "a month (UTC)",
            other => other,
        }
    }

    /// Whether it can never be granted.
    fn is_too_much(&self) -> bool {
        self.amount > self.limit()
    }
}

/// Sets the fields `x-ratelimit-*` of the response. Of several limits the one with the least left counts.
///
/// # Errors
/// Those of the context.
pub(crate) fn set(ctx: &Context<'_>, all: &[Stands<'_>]) -> Result<(), Fault> {
    for what in [What::Requests, What::Tokens] {
        let of = all.iter().filter(|it| it.what == what);
        let Some(least) = of.min_by_key(|it| it.standing.remaining) else {
            continue;
        };
        let remaining = least.standing.remaining.max(0);
        let reset = duration(least.standing.reset.unwrap_or_default());
        for (name, value) in [
            ("limit", least.limit().to_string()),
            ("remaining", remaining.to_string()),
            ("reset", reset),
        ] {
            ctx.set_response_field(&format!("x-ratelimit-{name}-{}", what.name()), value)?;
        }
    }
    Ok(())
}

/// The refusal, by the limit for which the client has to wait longest.
pub(crate) fn refusal(all: &[Stands<'_>]) -> Fault {
    let refused = all.iter().filter(|it| !it.standing.granted);
    let worst = refused.max_by_key(|it| (it.is_too_much(), it.standing.retry));
    let Some(worst) = worst else {
        return too_many_subjects();
    };
    let (name, limit, per) = (&worst.rule.name, worst.limit(), worst.per());
    let wait = worst.standing.retry.unwrap_or(Duration::from_secs(1));
    let what = match worst.what {
        What::Requests => format!("The limit `{name}` allows {limit} requests in {per}."),
        What::Concurrent => {
            format!("The limit `{name}` allows {limit} requests at the same time.")
        }
        What::Budget => format!(
            "The budget `{name}` is {} in {per}, of which {} are left. This request may cost {}.",
            money(limit),
            money(u64::try_from(worst.standing.remaining).unwrap_or(0)),
            money(worst.amount)
        ),
        What::Tokens => format!(
            "The limit `{name}` allows {limit} tokens in {per}, of which {} are left. This request may need {}.",
            worst.standing.remaining.max(0),
            worst.amount
        ),
    };
    if worst.is_too_much() {
        let message = format!("{what} Shorten the prompt or lower `max_tokens`.");
        let code = match worst.what {
            What::Budget => NO_MONEY,
            What::Requests | What::Tokens | What::Concurrent => "rate_limit_exceeded",
        };
        // It never helps to try again.
        return Fault::new(429, code, message).field("x-should-retry", "false");
    }
    let message = match worst.what {
        What::Concurrent => format!("{what} Try again when another one has ended."),
        What::Requests | What::Tokens | What::Budget => {
            format!("{what} Try again in {}.", duration(wait))
        }
    };
    match worst.what {
        // A client that tries again by itself does so within a minute or two.
        What::Budget => Fault::new(429, NO_MONEY, message)
            .field("retry-after", seconds(wait).to_string())
            .field("x-should-retry", "false"),
        What::Requests | What::Tokens | What::Concurrent => {
            Fault::too_many_requests(message, seconds(wait))
        }
    }
}

/// OpenAI's code where a budget is used up.
const NO_MONEY: &str = "insufficient_quota";

/// An amount of money in millionths, with as many digits as it needs, and at least two.
fn money(millionths: u64) -> String {
    let fraction = format!("{:06}", millionths % 1_000_000);
    let (cents, rest) = fraction.split_at(2);
    format!(
        "{}.{cents}{}",
        millionths / 1_000_000,
        rest.trim_end_matches('0')
    )
}

/// The refusal of a model that has no price, where a budget applies.
pub(crate) fn no_price(model: &str) -> Fault {
    let message = format!(
        "A budget applies to this request, and the model {model:?} has no price. The operator of the gateway has to add one to `prices`."
    );
    Fault::new(403, "model_has_no_price", message)
}

/// The refusal where nobody else can be counted.
pub(crate) fn too_many_subjects() -> Fault {
    let message = "More clients than this gateway can count are using it. Try again later.";
    Fault::too_many_requests(message, 1)
}

/// The refusal while the state cannot be reached.
pub(crate) fn unavailable() -> Fault {
    let message = "The limits of this gateway cannot be checked now. Try again later.";
    Fault::new(503, "rate_limit_unavailable", message).field("retry-after", "1")
}

/// Whole seconds, at least one.
fn seconds(wait: Duration) -> u64 {
    let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    whole.max(1)
}

/// A duration in OpenAI's format, which is Go's: `20ms`, `1.5s`, `6m0s`, `2h0m0s`.
pub(crate) fn duration(of: Duration) -> String {
    let millis = of.as_millis();
    if millis == 0 {
        return "0s".into();
    }
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (seconds, fraction) = (millis / 1000, millis % 1000);
    let mut last = (seconds % 60).to_string();
    if fraction > 0 {
        last.push('.');
        last.push_str(format!("{fraction:03}").trim_end_matches('0'));
    }
    let minutes = seconds / 60;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{last}s"),
        (0, minutes) => format!("{minutes}m{last}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{last}s"),
    }
}
