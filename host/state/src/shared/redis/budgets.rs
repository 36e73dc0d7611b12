//! The budgets of all gateways, for the operator.

use std::time::Duration;

use redis::RedisError;
use redis::aio::MultiplexedConnection;
use sluicegate_contract::capability::Error;
use sluicegate_contract::capability::rate::Budget;
use tokio::time::timeout;

use super::link::Broken;
use super::{BUDGET, Inner, session};

/// How many keys Redis looks at in one step, and how many budgets are read in one.
const STEP: usize = 1000;

/// How long it may take. Arbitrary; a database of a million keys needs a second.
const TIMEOUT: Duration = Duration::from_secs(10);

/// All budgets in days and months that are not over, with the plugin's name.
///
/// Looks through all keys of the database, in steps that hold nobody up for long, over a connection of its own, so that no
/// exchange waits behind it.
///
/// # Errors
/// [`Error::Unavailable`]
pub(super) async fn all(inner: &Inner) -> Result<Vec<(String, Budget)>, Error> {
    let reading = async {
        let mut connection = session::connect(inner).await?;
        let keys = keys(&mut connection).await.map_err(Broken::Redis)?;
        let mut budgets = Vec::with_capacity(keys.len());
        for some in keys.chunks(STEP) {
            let some = read_all(&mut connection, some).await;
            budgets.extend(some.map_err(Broken::Redis)?);
        }
        Ok::<_, Broken>(budgets)
    };
    let read = timeout(TIMEOUT, reading).await;
    read.unwrap_or(Err(Broken::Late(TIMEOUT))).map_err(|error| {
        tracing::warn!(%error, "the budgets in the shared state cannot be read");
        Error::Unavailable
    })
}

/// The keys of budgets.
async fn keys(connection: &mut MultiplexedConnection) -> Result<Vec<String>, RedisError> {
    let pattern = format!("sluicegate:{BUDGET}:*");
    let mut keys: Vec<String> = Vec::new();
    let mut cursor: u64 = 0;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor)
            .arg("MATCH")
            .arg(&pattern)
            .arg("COUNT")
            .arg(STEP);
        let (next, some): (u64, Vec<String>) = scan.query_async(connection).await?;
        keys.extend(some);
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    // A key may come twice.
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}

async fn read_all(
    connection: &mut MultiplexedConnection,
    keys: &[String],
) -> Result<Vec<(String, Budget)>, RedisError> {
    let mut asked = redis::pipe();
    for key in keys {
        asked.hgetall(key).pttl(key);
    }
    let said: Vec<redis::Value> = asked.query_async(connection).await?;
    let mut budgets = Vec::with_capacity(keys.len());
    for (key, said) in keys.iter().zip(said.chunks_exact(2)) {
        let Some((plugin, mut budget)) = parse(key) else {
            continue;
        };
        let fields: Vec<(String, String)> = redis::from_redis_value(said[0].clone())?;
        let left: i64 = redis::from_redis_value(said[1].clone())?;
        read(&mut budget, &fields, left);
        // Another one has ended meanwhile.
        if budget.left_ms > 0 {
            budgets.push((plugin.to_owned(), budget));
        }
    }
    Ok(budgets)
}

/// Plugin, name, subject and window of a key.
fn parse(key: &str) -> Option<(&str, Budget)> {
    let key = key.strip_prefix("sluicegate:")?.strip_prefix(BUDGET)?;
    let (window, rest) = key.strip_prefix(':')?.split_once(':')?;
    let (plugin, rest) = rest.split_once(':')?;
    let (length, rest) = rest.split_once(':')?;
    let (name, rest) = rest.split_at_checked(length.parse().ok()?)?;
    let budget = Budget {
        name: name.to_owned(),
        subject: rest.strip_prefix(':')?.to_owned(),
        window: window.to_owned(),
        left_ms: 0,
        spent: 0,
        reserved: 0,
        capacity: 0,
    };
    Some((plugin, budget))
}

/// What the fields of a key say; see `limit.lua`.
fn read(budget: &mut Budget, fields: &[(String, String)], left: i64) {
    let mut owed = 0;
    for (name, value) in fields {
        // Units are whole, but for what came back evenly, which these do not.
        let units = value.split('.').next().unwrap_or_default();
        match &**name {
            "owed" => owed = units.parse().unwrap_or(0),
            "capacity" => budget.capacity = units.parse().unwrap_or(0),
            "at" | "rate" => {}
            _ => {
                let units = value.split([' ', '.']).next().unwrap_or_default();
                budget.reserved += units.parse::<u64>().unwrap_or(0);
            }
        }
    }
    budget.spent = u64::saturating_sub(owed, budget.reserved);
    budget.left_ms = u64::try_from(left).unwrap_or(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_whose_budget_it_is() {
        let (plugin, budget) =
            parse("sluicegate:budget:2026-11:limits:5:a:b:c:x:\"y\"").expect("a budget");
        assert_eq!(plugin, "limits");
        assert_eq!((&*budget.name, &*budget.subject), ("a:b:c", "x:\"y\""));
        assert_eq!(budget.window, "2026-11");
        for other in [
            "sluicegate:rate:limits:1:a:b",
            "sluicegate:budget:x",
            "sluicegate:budget:1:p:9:a:b",
        ] {
            assert!(parse(other).is_none(), "{other}");
        }
    }
}
