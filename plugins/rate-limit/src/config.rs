//! The operator's configuration as it is written, and what is wrong with it.

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use sluicegate_plugin::{JsonSchema, schemars};

use crate::price::{Price, Priced, UNITS_MAX};
use crate::rule::{By, Counted, Metered, Network, OnFailure, Period, Rule};

/// The most rules: an exchange may have 64 reservations of 16 limits each, and a rule has at most four limits.
const RULES_MAX: usize = 256;

/// The longest name of a rule: a limit's name has at most 64 bytes, and `.concurrent` is put behind it.
const NAME_MAX: usize = 48;

/// The longest period of the capability `rate`.
const PERIOD_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The largest price of a million tokens. Arbitrary; some hundred times the highest that anybody asks.
const PRICE_MAX: f64 = 1e5;

/// The largest budget. Its millionths are below the largest number of units.
const BUDGET_MAX: f64 = 1e9;

/// Tokens that are reserved for a response without `max_tokens`, where a rule says nothing else.
const ASSUME: u64 = 1024;

/// The largest estimate of a prompt, where a rule says nothing else: what most models can read.
const MAX_PROMPT: u64 = 131_072;

/// The configuration.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    /// The rules, at most 256. All that apply to an exchange must have room for it.
    #[schemars(length(max = 256))]
    rules: Vec<RuleConfig>,
    /// What models cost, for rules with a `budget`. The first that fits a model counts.
    prices: Vec<PriceConfig>,
}

/// What some models cost, in any currency: the same one everywhere.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PriceConfig {
    /// Which models, as clients call them; a `*` at the end stands for any text.
    models: Vec<String>,
    /// The price of a million tokens of prompts.
    #[schemars(range(min = 0))]
    input: f64,
    /// The price of a million tokens of responses.
    #[schemars(range(min = 0))]
    output: f64,
    /// The price of a million tokens of prompts that the model server had in its cache. Default: that of the others.
    #[serde(default)]
    #[schemars(range(min = 0))]
    cached_input: Option<f64>,
}

/// A rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RuleConfig {
    /// Its name, in messages and for what is counted: 1 to 48 lower-case letters, digits and `-`.
    name: String,
    /// What is counted separately. Default: nothing, all exchanges that the rule applies to share one limit.
    #[serde(default)]
    by: Vec<By>,
    /// It applies to these tenants only; a `*` at the end stands for any text. Default: to all.
    #[serde(default)]
    tenants: Vec<String>,
    /// It applies to these models only; a `*` at the end stands for any text. Default: to all.
    #[serde(default)]
    models: Vec<String>,
    /// It applies to these clients only: addresses, or networks such as `10.0.0.0/8`. Default: to all.
    #[serde(default)]
    clients: Vec<String>,
    /// It applies to these routes only: their `path` as in the configuration. Default: to all.
    #[serde(default)]
    routes: Vec<String>,
    /// Requests in a period.
    #[serde(default)]
    requests: Option<RequestsConfig>,
    /// Tokens of prompts and responses in a period.
    #[serde(default)]
    tokens: Option<TokensConfig>,
    /// What tokens of prompts and responses may cost in a period, by `prices`.
    #[serde(default)]
    budget: Option<BudgetConfig>,
    /// Exchanges at the same time.
    #[serde(default)]
    #[schemars(range(min = 1))]
    concurrent: Option<u64>,
    /// What happens while the state cannot be reached: `open`, the exchange goes on without limits; `closed`, it is refused
    /// with 503. Default: `open`.
    #[serde(default)]
    on_failure: OnFailure,
    /// Later rules do not apply to an exchange to which this one applies. Default: they do.
    #[serde(default)]
    last: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RequestsConfig {
    /// How many.
    #[schemars(range(min = 1))]
    limit: u64,
    /// In which time: a whole number with `s`, `m`, `h` or `d`, such as `1m`; or `day` or `month`, of the calendar in UTC.
    per: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TokensConfig {
    /// How many.
    #[schemars(range(min = 1))]
    limit: u64,
    /// In which time: a whole number with `s`, `m`, `h` or `d`, such as `1m`; or `day` or `month`, of the calendar in UTC.
    per: String,
    /// How many are reserved for a response if the request has no `max_tokens`. Default: 1024.
    #[serde(default = "assume")]
    #[schemars(range(min = 1))]
    assume: u64,
    /// No prompt is estimated at more: the longest context of the models. Default: 131072.
    #[serde(default = "max_prompt")]
    max_prompt: u64,
    /// A stream is cut with the finish reason `length` when it would use more than there is. Default: it goes on, and what
    /// it used beyond the limit is owed.
    #[serde(default)]
    hard: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct BudgetConfig {
    /// How much, in the currency of the prices.
    limit: f64,
    /// In which time: `day` or `month`, of the calendar in UTC; or a whole number with `s`, `m`, `h` or `d`, such as `12h`.
    per: String,
    /// For how many tokens money is reserved for a response if the request has no `max_tokens`. Default: 1024.
    #[serde(default = "assume")]
    #[schemars(range(min = 1))]
    assume: u64,
    /// No prompt is estimated at more tokens: the longest context of the models. Default: 131072.
    #[serde(default = "max_prompt")]
    max_prompt: u64,
    /// A stream is cut with the finish reason `length` when it would cost more than there is. Default: it goes on, and what it
    /// cost beyond the budget is owed.
    #[serde(default)]
    hard: bool,
}

fn assume() -> u64 {
    ASSUME
}

fn max_prompt() -> u64 {
    MAX_PROMPT
}

impl Config {
    /// The rules and the prices.
    ///
    /// # Errors
    /// What is wrong, with the place.
    pub(crate) fn read(self) -> Result<(Vec<Rule>, Vec<Priced>), String> {
        if self.rules.len() > RULES_MAX {
            return Err(format!("`rules`: at most {RULES_MAX} rules are possible"));
        }
        let mut rules: Vec<Rule> = Vec::with_capacity(self.rules.len());
        for (at, rule) in self.rules.into_iter().enumerate() {
            if rules.iter().any(|other| other.name == rule.name) {
                return Err(format!(
                    "`rules[{at}].name`: there are two rules named `{}`",
                    rule.name
                ));
            }
            let rule = rule.read();
            rules.push(rule.map_err(|error| format!("`rules[{at}]`: {error}"))?);
        }
        let budget = rules.iter().find(|rule| rule.budget.is_some());
        if let (Some(rule), true) = (budget, self.prices.is_empty()) {
            return Err(format!(
                "`{}` has a budget, and there are no `prices`: add what models cost, such as {{ models = [\"*\"], input = 0.1, output = 0.4 }}",
                rule.name
            ));
        }
        let prices = self.prices.into_iter().enumerate();
        let prices = prices.map(|(at, price)| price.read(at));
        Ok((rules, prices.collect::<Result<_, _>>()?))
    }
}

impl PriceConfig {
    fn read(self, at: usize) -> Result<Priced, String> {
        let cached = self.cached_input.unwrap_or(self.input);
        if self.models.is_empty() {
            return Err(format!(
                "`prices[{at}].models` is empty: name models, or \"*\""
            ));
        }
        for (key, price) in [
            ("input", self.input),
            ("output", self.output),
            ("cached-input", cached),
        ] {
            if !(0.0..=PRICE_MAX).contains(&price) {
                return Err(format!(
                    "`prices[{at}].{key}` must be 0 to {PRICE_MAX} for a million tokens, not {price}"
                ));
            }
        }
        Ok(Priced {
            models: self.models,
            price: Price {
                input: self.input,
                cached,
                output: self.output,
            },
        })
    }
}

impl RuleConfig {
    fn read(self) -> Result<Rule, String> {
        let is_legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=NAME_MAX).contains(&self.name.len()) || !self.name.bytes().all(is_legal) {
            return Err(format!(
                "`name` must be 1 to {NAME_MAX} lower-case letters, digits and `-`, not {:?}",
                self.name
            ));
        }
        let counts = self.requests.is_some() || self.tokens.is_some() || self.budget.is_some();
        if !counts && self.concurrent.is_none() {
            return Err(format!(
                "`{}` limits nothing: set `requests`, `tokens`, `budget` or `concurrent`",
                self.name
            ));
        }
        if let Some(by) = repeated(&self.by) {
            return Err(format!("`by` has {by:?} twice"));
        }
        let clients = self.clients.iter().map(|text| network(text));
        let requests = |it: RequestsConfig| counted("requests", it.limit, &it.per);
        Ok(Rule {
            clients: clients.collect::<Result<_, _>>()?,
            requests: self.requests.map(requests).transpose()?,
            tokens: self.tokens.map(TokensConfig::read).transpose()?,
            budget: self.budget.map(BudgetConfig::read).transpose()?,
            concurrent: self
                .concurrent
                .map(|limit| units("concurrent", limit))
                .transpose()?,
            name: self.name,
            by: self.by,
            tenants: self.tenants,
            models: self.models,
            routes: self.routes,
            on_failure: self.on_failure,
            last: self.last,
        })
    }
}

impl TokensConfig {
    fn read(self) -> Result<Metered, String> {
        Ok(Metered {
            counted: counted("tokens", self.limit, &self.per)?,
            assume: units("tokens.assume", self.assume)?,
            max_prompt: self.max_prompt.min(UNITS_MAX / 4),
            hard: self.hard,
        })
    }
}

impl BudgetConfig {
    fn read(self) -> Result<Metered, String> {
        let millionths = (self.limit * 1e6).round();
        if !(1.0..=BUDGET_MAX * 1e6).contains(&millionths) {
            return Err(format!(
                "`budget.limit` must be 0.000001 to {BUDGET_MAX}, not {}",
                self.limit
            ));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it has just been compared"
        )]
        let limit = millionths as u64;
        Ok(Metered {
            counted: counted("budget", limit, &self.per)?,
            assume: units("budget.assume", self.assume)?,
            max_prompt: self.max_prompt.min(UNITS_MAX / 4),
            hard: self.hard,
        })
    }
}

fn repeated(by: &[By]) -> Option<By> {
    let twice = by.iter().enumerate();
    let mut twice = twice.filter(|(at, it)| by[..*at].contains(it));
    twice.next().map(|(_, by)| *by)
}

fn units(key: &str, limit: u64) -> Result<u64, String> {
    if (1..=UNITS_MAX / 4).contains(&limit) {
        Ok(limit)
    } else {
        Err(format!("`{key}` must be 1 to 2^51"))
    }
}

fn counted(key: &str, limit: u64, per: &str) -> Result<Counted, String> {
    Ok(Counted {
        limit: units(&format!("{key}.limit"), limit)?,
        period: period(per).ok_or_else(|| {
            format!(
                "`{key}.per` must be a whole number with `s`, `m`, `h` or `d`, such as \"1m\", at most 366 days, or \"day\" or \"month\", not {per:?}"
            )
        })?,
        per: per.to_owned(),
    })
}

fn period(text: &str) -> Option<Period> {
    match text {
        "day" => return Some(Period::Day),
        "month" => return Some(Period::Month),
        _ => {}
    }
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    let is_number = number.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| is_number)?;
    let period = Duration::from_secs(number.checked_mul(seconds)?);
    (period > Duration::ZERO && period <= PERIOD_MAX).then_some(Period::Rolling(period))
}

fn network(text: &str) -> Result<Network, String> {
    let wrong =
        || format!("`clients` must be addresses or networks such as `10.0.0.0/8`, not {text:?}");
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let all = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        Some(bits) => bits.parse().map_err(|_| wrong())?,
        None => all,
    };
    if bits > all {
        return Err(wrong());
    }
    Ok(Network { address, bits })
}
