//! An adapter that counts by its capabilities in every place where a plugin is called: request, response, `closing`, observer.
//!
//! Each place tells the log its name, how often it was called so far, and how many units of the limit `units` it has left.
//! The field `x-fetch` is a URL that the adapter asks before it does so for the request.

use std::time::Duration;

use sluicegate_plugin::http::Request;
use sluicegate_plugin::rate::{self, Limit, Ticket, Verdict};
use sluicegate_plugin::{
    CapabilityError, Closing, Context, Manifest, NoConfig, Observer, Plugin, RequestPlan,
    RequestStage, ResponsePlan, ResponseStage, Stop, Summary, kv, log,
};

/// Units of the limit, which come back in an hour.
const CAPACITY: u64 = 100;

struct Guest;

impl Plugin for Guest {
    type Config = NoConfig;
    type State = Ticket;

    fn manifest() -> Manifest {
        Manifest::new("guest-tally", "1.2.3", "Counts wherever it is called")
            .adapter("tally")
            .requires(&["kv", "rate"])
    }

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

impl RequestStage for Guest {
    fn request_head(&self, ticket: &mut Ticket, ctx: &Context<'_>) -> Result<RequestPlan, Stop> {
        let fetched = ctx.get_str("x-fetch").map(|url| Request::get(url).send());
        let error = fetched.and_then(Result::err);
        let verdict = rate::reserve(&[units(50)]);
        *ticket = verdict
            .as_ref()
            .map_or_else(|_| Ticket::default(), |it| it.ticket);
        tell("request", word(error), left(&verdict));
        Ok(RequestPlan::Skip)
    }
}

impl ResponseStage for Guest {
    fn response_head(&self, _: &mut Ticket, _: &Context<'_>) -> Result<ResponsePlan, Stop> {
        tell("response", "", left(&rate::take(&[units(1)])));
        Ok(ResponsePlan::Skip)
    }
}

impl Closing for Guest {
    fn closed(&self, ticket: &mut Ticket, _: &Context<'_>, _: &str) {
        let settled = rate::settle(*ticket, "units", 10);
        tell(
            "closing",
            word(settled.err()),
            left(&rate::take(&[units(0)])),
        );
    }
}

impl Observer for Guest {
    fn observe(&self, batch: &[Summary]) {
        for _ in batch {
            // There is no exchange that could give it back.
            let reserved = rate::reserve(&[units(1)]);
            tell(
                "observer",
                word(reserved.err()),
                left(&rate::take(&[units(1)])),
            );
        }
    }
}

fn units(amount: u64) -> Limit {
    Limit::per("units", "all", CAPACITY, Duration::from_secs(3600)).amount(amount)
}

fn left(verdict: &Result<Verdict, CapabilityError>) -> i64 {
    let standing = verdict.as_ref().ok().and_then(|it| it.standings.first());
    standing.map_or(-1, |it| it.remaining)
}

fn word(error: Option<CapabilityError>) -> &'static str {
    match error {
        None => "",
        Some(CapabilityError::Denied) => "denied",
        Some(CapabilityError::Unavailable) => "unavailable",
        Some(CapabilityError::OverLimit) => "over-limit",
        Some(CapabilityError::Invalid) => "invalid",
    }
}

fn tell(place: &str, error: &str, left: i64) {
    let calls = kv::add(place, 1, None).unwrap_or(-1);
    log::info("tally")
        .field("place", place)
        .field("calls", &calls)
        .field("error", error)
        .field("left", &left)
        .write();
}

sluicegate_plugin::export!(Guest: request, response, closing, observer);
