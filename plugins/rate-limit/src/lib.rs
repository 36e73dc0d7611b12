//! The plugin `rate-limit`: requests, concurrent exchanges, tokens and what they cost, by tenant, model, client and route.
//!
//! - [`config`] has the operator's rules, [`rule`] says to which exchanges they apply and what they limit.
//! - Before a model server is asked, all that the exchange may use is reserved, atomically. What it used is settled when it is over.
//! - [`price`] says what tokens cost, for budgets.
//! - [`meter`] counts the tokens of a stream for rules that are hard, and ends a stream that uses more than there is.
//! - [`fields`] tells the client how its limits stand.
//!
//! It stands on the right of the gates, which name the tenant, and of `aggregate`, so that a stream that is cut also ends in one
//! JSON response for a client that wants that.

use serde::Deserialize;
use sluicegate_plugin::rate::{self, Ticket, Verdict};
use sluicegate_plugin::{
    CapabilityError, Closing, Context, Event, EventStage, Fault, Manifest, Plugin, RequestPlan,
    RequestStage, ResponsePlan, ResponseStage, Stop, log,
};

mod config;
mod fields;
mod meter;
mod price;
mod rule;

pub use config::Config;

use fields::Stands;
use meter::{Has, Meter};
use price::{Price, Priced, Used};
use rule::{Asker, Need, OnFailure, Response, Rule, What};

/// The most limits of a call of the capability `rate`.
const LIMITS_MAX: usize = 16;

/// Bytes of a request for which one token is reserved.
const TOKEN: u64 = 4;

/// The error code of an exchange whose client left.
const LEFT: &str = "client_closed";

/// The stage.
#[derive(Debug)]
pub struct RateLimit {
    rules: Vec<Rule>,
    prices: Vec<Priced>,
}

/// What is known of an exchange.
#[derive(Debug, Default)]
pub struct Exchange {
    need: Need,
    /// The price of its model, if it is limited by one.
    price: Option<Price>,
    /// Whether the client wants to know the usage.
    wants_usage: bool,
    booked: Vec<Booked>,
    /// Those tokens and budgets that end the stream.
    hard: Vec<Hard>,
    meter: Meter,
    is_cut: bool,
}

/// A limit of which something is reserved.
#[derive(Debug)]
struct Booked {
    ticket: Ticket,
    rule: usize,
    what: What,
    amount: u64,
    /// What was taken later, for good.
    more: u64,
}

/// Tokens or a budget of a rule that is hard.
#[derive(Debug)]
struct Hard {
    /// Which of those booked.
    booked: usize,
    subject: String,
}

/// What the adapter notes, in OpenAI's form.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    prompt_tokens_details: Option<Details>,
    partial: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u64>,
}

impl Plugin for RateLimit {
    type Config = Config;
    type State = Exchange;

    fn manifest() -> Manifest {
        Manifest::new(
            "rate-limit",
            env!("CARGO_PKG_VERSION"),
            "Limits requests, concurrent exchanges, tokens and what they cost, by tenant, model, client and route",
        )
        .schema::<Config>()
        // The gateway looks for members in a body of 32 MiB.
        .limits("16MiB", "1s")
        .requires(&["rate"])
    }

    fn configure(config: Config) -> Result<Self, String> {
        let (rules, prices) = config.read()?;
        Ok(Self { rules, prices })
    }
}

impl RequestStage for RateLimit {
    fn request_head(&self, _: &mut Exchange, _: &Context<'_>) -> Result<RequestPlan, Stop> {
        Ok(if self.rules.is_empty() {
            RequestPlan::Skip
        } else {
            RequestPlan::Look
        })
    }

    fn request_body(
        &self,
        state: &mut Exchange,
        ctx: &Context<'_>,
        _: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        state.need = need(ctx);
        let is_stream = ctx.request_json("/stream").as_deref() == Some("true");
        let include = ctx.request_json("/stream_options/include_usage");
        state.wants_usage = !is_stream || include.as_deref() == Some("true");
        self.admit(state, ctx, &asker(ctx))?;
        Ok(None)
    }
}

impl RateLimit {
    /// Reserves what the exchange may use.
    ///
    /// # Errors
    /// 429 `rate_limit_exceeded` or `insufficient_quota`; 403 `model_has_no_price`; 503 `rate_limit_unavailable`.
    fn admit(&self, state: &mut Exchange, ctx: &Context<'_>, asker: &Asker) -> Result<(), Fault> {
        let mut wanted = Vec::new();
        for (at, rule) in self.rules.iter().enumerate() {
            if !rule.applies(asker) {
                continue;
            }
            let subject = rule.subject(asker);
            if rule.budget.is_some() && state.price.is_none() && state.need != Need::default() {
                let mut prices = self.prices.iter();
                let priced = prices.find(|it| it.has(&asker.model));
                let priced = priced.ok_or_else(|| fields::no_price(&asker.model))?;
                state.price = Some(priced.price);
            }
            let price = state.price();
            for (what, amount, limit) in rule.limits(&subject, state.need, price) {
                wanted.push((at, what, amount, limit, subject.clone()));
            }
            if rule.last {
                break;
            }
        }
        let mut stands = Vec::with_capacity(wanted.len());
        for some in wanted.chunks(LIMITS_MAX) {
            let limits: Vec<_> = some.iter().map(|(.., limit, _)| limit.clone()).collect();
            let verdict = match rate::reserve(&limits) {
                Ok(verdict) => verdict,
                Err(error) => {
                    let mut rules = wanted.iter().map(|(rule, ..)| &self.rules[*rule]);
                    let closed = rules.any(|rule| rule.on_failure == OnFailure::Closed);
                    return self.failed(state, error, closed);
                }
            };
            let Verdict {
                granted,
                ticket,
                standings,
            } = verdict;
            for ((rule, what, amount, _, subject), standing) in some.iter().zip(standings) {
                stands.push(Stands {
                    rule: &self.rules[*rule],
                    what: *what,
                    amount: *amount,
                    standing,
                });
                if granted {
                    state.book(&self.rules, (*rule, *what, *amount), ticket, subject);
                }
            }
            if !granted {
                self.give_back(state);
                fields::set(ctx, &stands)?;
                return Err(fields::refusal(&stands));
            }
        }
        fields::set(ctx, &stands)
    }

    /// The state cannot be reached, or has no room.
    fn failed(
        &self,
        state: &mut Exchange,
        error: CapabilityError,
        closed: bool,
    ) -> Result<(), Fault> {
        let refused = match error {
            CapabilityError::OverLimit => Some(fields::too_many_subjects()),
            CapabilityError::Unavailable | CapabilityError::Denied | CapabilityError::Invalid => {
                // The gateway warns once, when its state is out of reach; a line for each exchange would bury that.
                let line = match error {
                    CapabilityError::Unavailable => log::debug,
                    _ => log::warn,
                };
                line("the limits could not be checked")
                    .field("error", &error.to_string())
                    .field("refused", &closed)
                    .write();
                closed.then(fields::unavailable)
            }
        };
        match refused {
            None => Ok(()),
            Some(fault) => {
                self.give_back(state);
                Err(fault)
            }
        }
    }

    /// Gives back all that is reserved: the exchange is refused.
    fn give_back(&self, state: &mut Exchange) {
        for booked in std::mem::take(&mut state.booked) {
            self.settle(&booked, 0);
        }
        state.hard.clear();
    }

    /// Says how much was used of what was reserved.
    fn settle(&self, booked: &Booked, used: u64) {
        let name = self.rules[booked.rule].limit_name(booked.what);
        if let Err(error) = rate::settle(booked.ticket, &name, used) {
            log::warn("what an exchange used could not be settled")
                .field("limit", &name)
                .field("used", &used)
                .field("error", &error.to_string())
                .write();
        }
    }

    /// Takes more tokens for a stream, or more money; whether it may go on.
    fn may_go_on(&self, state: &mut Exchange) -> bool {
        let price = state.price();
        let Exchange {
            need,
            booked,
            hard,
            meter,
            ..
        } = state;
        for hard in hard {
            let booked = &mut booked[hard.booked];
            let rule = &self.rules[booked.rule];
            let Some(metered) = rule.metered(booked.what) else {
                continue;
            };
            let price = booked.what.price(price);
            let used = price.cost(Used {
                prompt: meter.prompt().unwrap_or_else(|| metered.prompt(*need)),
                cached: 0,
                completion: meter.completion(),
            });
            let missing = used.saturating_sub(booked.amount.saturating_add(booked.more));
            if missing == 0 {
                continue;
            }
            // More than is missing, so that not every event asks; the last ones one by one.
            let ahead = price.cost(Used {
                completion: metered.assume,
                ..Used::default()
            });
            let mut taken = None;
            for amount in [ahead.max(missing), missing] {
                let name = rule.limit_name(booked.what);
                let limit = metered.counted.limit(name, &hard.subject, amount);
                match rate::take(&[limit]) {
                    Ok(verdict) if verdict.granted => {
                        taken = Some(amount);
                        break;
                    }
                    Ok(_) => {}
                    Err(_) => return rule.on_failure == OnFailure::Open,
                }
            }
            match taken {
                Some(amount) => booked.more += amount,
                None => return false,
            }
        }
        true
    }
}

impl Exchange {
    fn book(
        &mut self,
        rules: &[Rule],
        (rule, what, amount): (usize, What, u64),
        ticket: Ticket,
        subject: &str,
    ) {
        if rules[rule].metered(what).is_some_and(|it| it.hard) {
            self.hard.push(Hard {
                booked: self.booked.len(),
                subject: subject.to_owned(),
            });
        }
        self.booked.push(Booked {
            ticket,
            rule,
            what,
            amount,
            more: 0,
        });
    }

    /// The price of its model; without one nothing has a price.
    fn price(&self) -> Price {
        self.price.unwrap_or(Price::TOKEN)
    }

    /// What the exchange used. `prompt` is what the prompt was estimated at.
    fn used(&self, ctx: &Context<'_>, error: &str, prompt: u64) -> Used {
        let of = |prompt, cached, completion| Used {
            prompt,
            cached,
            completion,
        };
        match ctx.note::<Usage>("usage") {
            // Of a stream that was cut, some model servers have not counted the prompt.
            Some(usage) if usage.partial && usage.prompt_tokens == 0 => {
                of(prompt, 0, usage.completion_tokens)
            }
            Some(usage) => {
                let details = usage.prompt_tokens_details.unwrap_or_default();
                let cached = details.cached_tokens.unwrap_or(0);
                of(usage.prompt_tokens, cached, usage.completion_tokens)
            }
            None if (200..300).contains(&ctx.status()) || self.meter.completion() > 0 => of(
                self.meter.prompt().unwrap_or(prompt),
                0,
                self.meter.completion(),
            ),
            // The model server was reading it.
            None if error == LEFT => of(prompt, 0, 0),
            None => Used::default(),
        }
    }
}

impl ResponseStage for RateLimit {
    fn response_head(&self, state: &mut Exchange, ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        let is_stream = ctx
            .get_str("content-type")
            .is_some_and(|it| it.to_ascii_lowercase().starts_with("text/event-stream"));
        Ok(if state.hard.is_empty() || !is_stream {
            ResponsePlan::Skip
        } else {
            ResponsePlan::Sse
        })
    }
}

impl EventStage for RateLimit {
    fn events(
        &self,
        state: &mut Exchange,
        ctx: &Context<'_>,
        mut batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        if state.is_cut || ctx.status() >= 400 {
            return Ok(None);
        }
        for at in 0..batch.len() {
            let has = state.meter.read(&batch[at]);
            if has == Has::Text && !self.may_go_on(state) {
                state.is_cut = true;
                batch.truncate(at);
                let usage = state.wants_usage.then(|| {
                    let prompt = state.meter.prompt().unwrap_or(state.need.prompt);
                    (prompt, state.meter.completion())
                });
                batch.extend(state.meter.cut(usage));
                ctx.set_note("finish", "length")?;
                ctx.end_body()?;
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}

impl Closing for RateLimit {
    fn closed(&self, state: &mut Exchange, ctx: &Context<'_>, error: &str) {
        for booked in &state.booked {
            match booked.what {
                What::Requests => self.settle(booked, 1),
                What::Tokens | What::Budget => {
                    let metered = self.rules[booked.rule].metered(booked.what);
                    let prompt = metered.map_or(0, |it| it.prompt(state.need));
                    let used = state.used(ctx, error, prompt);
                    let cost = booked.what.price(state.price()).cost(used);
                    // What was taken for good is not part of the reservation.
                    self.settle(booked, cost.saturating_sub(booked.more));
                }
                // The gateway gives them back by itself, without waiting.
                What::Concurrent => {}
            }
        }
    }
}

sluicegate_plugin::export!(RateLimit: request, response, events, closing);

fn asker(ctx: &Context<'_>) -> Asker {
    let text = |json: String| serde_json::from_str(&json).ok();
    let model = ctx.request_json("/model").and_then(text);
    Asker {
        tenant: ctx.note("tenant").unwrap_or_default(),
        model: model.or_else(|| ctx.note("model")).unwrap_or_default(),
        client: ctx.client(),
        route: ctx.route(),
    }
}

/// What the request may need. Four bytes of its body are one token of the prompt.
fn need(ctx: &Context<'_>) -> Need {
    let number = |pointer: &str| -> Option<u64> {
        let json = ctx.request_json(pointer)?;
        // `1e3` is a number too.
        let number: f64 = json.parse().ok().filter(|it| *it >= 0.0)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number below 0 is left out, and what is too large becomes the largest"
        )]
        Some(number as u64)
    };
    let prompt = ctx.request_bytes().div_ceil(TOKEN);
    if !ctx.path().ends_with("/completions") || prompt == 0 {
        return Need {
            prompt,
            response: Response::None,
        };
    }
    let choices = number("/n").max(number("/best_of")).unwrap_or(1).max(1);
    let most = number("/max_completion_tokens").or_else(|| number("/max_tokens"));
    let response = match most {
        Some(most) => Response::AtMost(most.saturating_mul(choices)),
        None => Response::Unknown(choices),
    };
    Need { prompt, response }
}

#[cfg(test)]
mod tests;
