//! `rate`: limits. The rules are in the crate `contract`, and what counts is in the crate `state`.

use sluicegate_contract::capability as rules;
use sluicegate_contract::capability::rate::{self, check, check_used};

use super::capability::Given;
use crate::bindings::sluicegate::plugin::rate::{Host, Limit, Period, Standing, Verdict};
use crate::services::PluginServices;
use crate::store::State;

/// A limit of a call at this time, in milliseconds since 1970.
fn limit(limit: Limit, now: u64) -> rate::Limit {
    rate::Limit {
        name: limit.name,
        subject: limit.subject,
        amount: limit.amount,
        capacity: limit.capacity,
        period: match limit.period {
            Period::Held => rate::Period::Held,
            Period::Rolling(ms) => rate::Period::Rolling(ms),
            Period::Day => rate::Period::day(now),
            Period::Month => rate::Period::month(now),
        },
    }
}

impl From<rate::Standing> for Standing {
    fn from(standing: rate::Standing) -> Self {
        Self {
            granted: standing.granted,
            remaining: standing.remaining,
            retry_ms: standing.retry_ms,
            reset_ms: standing.reset_ms,
        }
    }
}

/// Legal limits, and what lies behind the capability.
type Checked = (Vec<rate::Limit>, usize, PluginServices);

impl State {
    fn rate(&self) -> Result<(usize, PluginServices), rules::Error> {
        self.granted(|grant| grant.rate)
    }

    fn checked(&self, limits: Vec<Limit>, for_good: bool) -> Result<Checked, rules::Error> {
        let (pairs, services) = self.rate()?;
        let now = self.outside.unix_ms();
        let limits: Vec<_> = limits.into_iter().map(|it| limit(it, now)).collect();
        check(&limits, for_good)?;
        if !for_good {
            let lent = self.lent.as_ref().ok_or(rules::Error::Invalid)?;
            lent.held.has_room()?;
        }
        Ok((limits, pairs, services))
    }
}

fn verdict(verdict: rate::Verdict, ticket: u64) -> Verdict {
    Verdict {
        granted: verdict.granted,
        ticket,
        standings: verdict.standings.into_iter().map(Into::into).collect(),
    }
}

impl Host for State {
    async fn take(&mut self, of: Vec<Limit>) -> Given<Verdict> {
        let checked = match self.checked(of, true) {
            Ok(checked) => checked,
            Err(error) => return Ok(Err(error.into())),
        };
        let (limits, pairs, services) = checked;
        let asked = self.ask(&services, services.space.take(pairs, &limits));
        let taken = asked.await?;
        Ok(taken.map(|it| verdict(it, 0)).map_err(Into::into))
    }

    async fn reserve(&mut self, of: Vec<Limit>) -> Given<Verdict> {
        let checked = match self.checked(of, false) {
            Ok(checked) => checked,
            Err(error) => return Ok(Err(error.into())),
        };
        let (limits, pairs, services) = checked;
        let asked = self.ask(&services, services.space.reserve(pairs, &limits));
        let taken = match asked.await? {
            Ok(taken) => taken,
            Err(error) => return Ok(Err(error.into())),
        };
        let ticket = match &mut self.lent {
            Some(lent) if taken.granted => lent.held.add(&services.space, limits),
            Some(_) | None => 0,
        };
        Ok(Ok(verdict(taken, ticket)))
    }

    async fn settle(&mut self, ticket: u64, name: String, used: u64) -> Given<()> {
        let found = check_used(used).and_then(|()| {
            let (_, services) = self.rate()?;
            let lent = self.lent.as_mut().ok_or(rules::Error::Invalid)?;
            let limits = lent.held.take(&services.space, ticket, &name)?;
            Ok((limits, services))
        });
        let (limits, services) = match found {
            Ok(found) => found,
            Err(error) => return Ok(Err(error.into())),
        };
        for limit in &limits {
            let asked = self.ask(&services, services.space.settle(limit, used));
            if let Err(error) = asked.await? {
                return Ok(Err(error.into()));
            }
        }
        Ok(Ok(()))
    }
}
