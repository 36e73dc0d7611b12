//! A rule: to which exchanges it applies, and what it limits.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use sluicegate_plugin::rate::Limit;
use sluicegate_plugin::{JsonSchema, json, schemars};

use crate::price::{Price, UNITS_MAX, Used, matches};

/// The longest subject of the capability `rate`.
const SUBJECT_MAX: usize = 256;

/// What is counted separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(rename_all = "kebab-case")]
pub(crate) enum By {
    /// Each tenant, as a gate such as `auth` names it.
    Tenant,
    /// Each model, as the client calls it.
    Model,
    /// Each client address; of IPv6 each network of 64 bits.
    Client,
    /// Each route.
    Route,
}

/// What happens while the state cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnFailure {
    /// The exchange goes on.
    #[default]
    Open,
    /// The exchange is refused.
    Closed,
}

/// A rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) by: Vec<By>,
    pub(crate) tenants: Vec<String>,
    pub(crate) models: Vec<String>,
    pub(crate) clients: Vec<Network>,
    pub(crate) routes: Vec<String>,
    pub(crate) requests: Option<Counted>,
    pub(crate) tokens: Option<Metered>,
    /// In millionths of the currency.
    pub(crate) budget: Option<Metered>,
    pub(crate) concurrent: Option<u64>,
    pub(crate) on_failure: OnFailure,
    pub(crate) last: bool,
}

/// So much in a period.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) limit: u64,
    pub(crate) period: Period,
    /// The period as the operator wrote it.
    pub(crate) per: String,
}

/// When what was used comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Period {
    /// Evenly, all within this time.
    Rolling(Duration),
    /// At the end of the day in UTC.
    Day,
    /// At the end of the month in UTC.
    Month,
}

/// Tokens in a period, or what they cost.
#[derive(Debug)]
pub(crate) struct Metered {
    pub(crate) counted: Counted,
    pub(crate) assume: u64,
    pub(crate) max_prompt: u64,
    pub(crate) hard: bool,
}

/// A network of clients.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) address: IpAddr,
    pub(crate) bits: u32,
}

/// Who asks for what.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) tenant: String,
    pub(crate) model: String,
    pub(crate) client: String,
    pub(crate) route: String,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Requests,
    Tokens,
    Budget,
    Concurrent,
}

impl What {
    /// What a token counts for: its price in a budget, and else one.
    pub(crate) fn price(self, price: Price) -> Price {
        match self {
            Self::Budget => price,
            Self::Requests | Self::Tokens | Self::Concurrent => Price::TOKEN,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Budget => "budget",
            Self::Concurrent => "concurrent",
        }
    }
}

/// Tokens that a request may need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// Of its prompt, estimated.
    pub(crate) prompt: u64,
    /// Of its response.
    pub(crate) response: Response,
}

/// Tokens of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Response {
    /// The model says nothing.
    #[default]
    None,
    /// At most so many.
    AtMost(u64),
    /// The client does not say; the number of choices that it wants.
    Unknown(u64),
}

impl Rule {
    pub(crate) fn applies(&self, asker: &Asker) -> bool {
        let is_any = |list: &[String], text: &str| {
            list.is_empty() || list.iter().any(|pattern| matches(pattern, text))
        };
        let is_client = || {
            let address: Option<IpAddr> = asker.client.parse().ok();
            address.is_some_and(|it| self.clients.iter().any(|network| network.has(it)))
        };
        is_any(&self.tenants, &asker.tenant)
            && is_any(&self.models, &asker.model)
            && (self.routes.is_empty() || self.routes.contains(&asker.route))
            && (self.clients.is_empty() || is_client())
    }

    /// Who is limited. Two askers that are counted separately never have the same.
    pub(crate) fn subject(&self, asker: &Asker) -> String {
        let mut subject = String::new();
        for by in &self.by {
            let part = match by {
                By::Tenant => &asker.tenant,
                By::Model => &asker.model,
                By::Client => &network_of(&asker.client),
                By::Route => &asker.route,
            };
            // With quotes, so that no part can end where it likes.
            json::push_str(&mut subject, part);
        }
        if subject.len() <= SUBJECT_MAX {
            return subject;
        }
        let mut short = String::from("sha256:");
        for byte in Sha256::digest(&subject) {
            let _ = write!(short, "{byte:02x}");
        }
        short
    }

    /// The name under which it counts.
    pub(crate) fn limit_name(&self, what: What) -> String {
        format!("{}.{}", self.name, what.name())
    }

    /// What it limits by tokens.
    pub(crate) fn metered(&self, what: What) -> Option<&Metered> {
        match what {
            What::Tokens => self.tokens.as_ref(),
            What::Budget => self.budget.as_ref(),
            What::Requests | What::Concurrent => None,
        }
    }

    /// Its limits, with what is to be reserved of each.
    pub(crate) fn limits(
        &self,
        subject: &str,
        need: Need,
        price: Price,
    ) -> Vec<(What, u64, Limit)> {
        let mut limits = Vec::with_capacity(4);
        let name = |what| self.limit_name(what);
        if let Some(requests) = &self.requests {
            limits.push((
                What::Requests,
                1,
                requests.limit(name(What::Requests), subject, 1),
            ));
        }
        for what in [What::Tokens, What::Budget] {
            let Some(metered) = self.metered(what) else {
                continue;
            };
            let amount = metered.amount(need, what.price(price));
            if amount > 0 {
                let limit = metered.counted.limit(name(what), subject, amount);
                limits.push((what, amount, limit));
            }
        }
        if let Some(concurrent) = self.concurrent {
            let limit = Limit::held(name(What::Concurrent), subject, concurrent);
            limits.push((What::Concurrent, 1, limit));
        }
        limits
    }
}

impl Counted {
    pub(crate) fn limit(&self, name: String, subject: &str, amount: u64) -> Limit {
        let limit = match self.period {
            Period::Rolling(period) => Limit::per(name, subject, self.limit, period),
            Period::Day => Limit::per_day(name, subject, self.limit),
            Period::Month => Limit::per_month(name, subject, self.limit),
        };
        limit.amount(amount)
    }
}

impl Metered {
    /// The estimate of a prompt in tokens.
    pub(crate) fn prompt(&self, need: Need) -> u64 {
        need.prompt.min(self.max_prompt)
    }

    /// What is reserved.
    pub(crate) fn amount(&self, need: Need, price: Price) -> u64 {
        let prompt = self.prompt(need);
        let with = |completion| {
            price.cost(Used {
                prompt,
                cached: 0,
                completion,
            })
        };
        match need.response {
            Response::None => with(0),
            Response::AtMost(most) => with(most),
            // Nobody asked for so much: a limit that is smaller must not refuse all.
            Response::Unknown(choices) => {
                let assumed = with(self.assume.saturating_mul(choices));
                assumed.min(self.counted.limit).max(with(0))
            }
        }
        // No legal amount is larger; it is above every capacity.
        .min(UNITS_MAX)
    }
}

impl Network {
    fn has(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                (own.to_bits() ^ other.to_bits()) & mask == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                (own.to_bits() ^ other.to_bits()) & mask == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// A client has at least 64 bits of IPv6 to itself, and would have a limit for each of its addresses.
fn network_of(client: &str) -> String {
    match client.parse::<IpAddr>().map(|it| it.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            let network = address.to_bits() >> 64 << 64;
            format!("{}/64", std::net::Ipv6Addr::from_bits(network))
        }
        Ok(IpAddr::V4(address)) => address.to_string(),
        Err(_) => client.to_owned(),
    }
}
