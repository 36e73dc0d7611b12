//! A gate that uses its capabilities as the request says, and responds with what came of it.
//!
//! The field `x-do` holds commands, separated by `; `. The response is a JSON array with a text for each. With `pass`, which is the
//! last one, the exchange goes on instead, unless a limit had no room.

use std::time::Duration;

use sluicegate_guests::Config;
use sluicegate_plugin::http::Request;
use sluicegate_plugin::rate::{self, Limit, Ticket};
use sluicegate_plugin::{
    CapabilityError, Context, Gate, Manifest, Plugin, Reply, Stop, http, kv, metrics,
};

struct Guest;

impl Plugin for Guest {
    type Config = Config;
    /// The last reservation.
    type State = Ticket;

    fn manifest() -> Manifest {
        Manifest::new("guest-capable", "1.2.3", "Uses its capabilities").config(Config::SCHEMA)
    }

    fn configure(config: Config) -> Result<Self, String> {
        config.obey()?;
        // Nothing is granted here, and that is no reason to fail.
        let refused = kv::set("configured", "x", None);
        if refused != Err(CapabilityError::Denied) {
            return Err(format!("while it is loaded: {refused:?}"));
        }
        Ok(Self)
    }
}

impl Gate for Guest {
    fn check(&self, ticket: &mut Ticket, ctx: &Context<'_>) -> Result<(), Stop> {
        let commands = ctx.get("x-do").unwrap_or_default();
        let commands = String::from_utf8_lossy(&commands).into_owned();
        let mut results = Vec::new();
        for command in commands.split("; ") {
            let mut words = command.split(' ');
            let result = match words.next().unwrap_or_default() {
                "pass" if !results.iter().any(|it: &String| it.starts_with("refused")) => {
                    return Ok(());
                }
                "pass" => continue,
                "trap" => panic!("as the request says"),
                name => run(name, &words.collect::<Vec<_>>(), ticket),
            };
            results.push(result.unwrap_or_else(|error| word(error).to_owned()));
        }
        let json = serde_json::to_string(&results).expect("texts");
        Err(Reply::new(200, "guest.done").json(json).into())
    }
}

fn word(error: CapabilityError) -> &'static str {
    match error {
        CapabilityError::Denied => "denied",
        CapabilityError::Unavailable => "unavailable",
        CapabilityError::OverLimit => "over-limit",
        CapabilityError::Invalid => "invalid",
    }
}

fn run(name: &str, words: &[&str], ticket: &mut Ticket) -> Result<String, CapabilityError> {
    let text = |at: usize| words.get(at).copied().unwrap_or_default();
    let number = |at: usize| text(at).parse::<u64>().unwrap_or_default();
    let ttl = |at: usize| words.get(at).map(|_| Duration::from_millis(number(at)));
    Ok(match name {
        "get" => match kv::get(text(0))? {
            Some(value) => String::from_utf8_lossy(&value).into_owned(),
            None => "none".into(),
        },
        "set" => kv::set(text(0), text(1), ttl(2)).map(|()| "set".into())?,
        "fill" => {
            let value = vec![b'x'; usize::try_from(number(1)).unwrap_or_default()];
            kv::set(text(0), value, None).map(|()| "set".into())?
        }
        "insert" => kv::insert(text(0), text(1), ttl(2))?.to_string(),
        "add" => kv::add(text(0), text(1).parse().unwrap_or_default(), ttl(2))?.to_string(),
        "delete" => kv::delete(text(0)).map(|()| "deleted".into())?,
        "take" => {
            let period = Duration::from_millis(number(2));
            verdict(&rate::take(&[Limit::per(text(0), "s", number(1), period)])?)
        }
        "hold" => {
            let taken = rate::reserve(&[Limit::held(text(0), "s", number(1))])?;
            *ticket = taken.ticket;
            verdict(&taken)
        }
        "settle" => rate::settle(*ticket, text(0), number(1)).map(|()| "settled".into())?,
        "fetch" => {
            let request = Request::new(text(0), text(1));
            let response = match ttl(2) {
                Some(timeout) => request.timeout(timeout).send()?,
                None => request.send()?,
            };
            fetched(&response)
        }
        "count" => {
            let labels: Vec<(&str, &str)> = words[2..]
                .iter()
                .filter_map(|word| word.split_once('='))
                .collect();
            metrics::count(text(0), number(1), &labels).map(|()| "counted".into())?
        }
        "observe" => {
            let value = text(1).parse().unwrap_or(f64::NAN);
            metrics::observe(text(0), value, &[]).map(|()| "observed".into())?
        }
        other => format!("{other}?"),
    })
}

fn verdict(verdict: &rate::Verdict) -> String {
    let word = if verdict.granted {
        "granted"
    } else {
        "refused"
    };
    let left = verdict.standings.first().map_or(0, |it| it.remaining);
    format!("{word} {left}")
}

fn fetched(response: &http::Response) -> String {
    let kind = response.header("content-type").unwrap_or_default();
    let kind = String::from_utf8_lossy(kind);
    format!("{} {} {kind}", response.status, response.body.len())
}

sluicegate_plugin::export!(Guest: gate);
