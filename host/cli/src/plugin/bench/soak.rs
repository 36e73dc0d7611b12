//! A soak: many events through a component, in one exchange and in many, and what is left of them in memory.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::bodies::{self, Bodies};
use super::exchange::{Body, Call, Taken};
use super::private_bytes;
use crate::plugin::words::{size, time};
use crate::print;
use sluicegate_framing::Event;
use sluicegate_plugin_host::wit::Summary;
use sluicegate_plugin_host::{Plugin, instance};

/// Events that are handed over together, one size after the other: as a stream comes, mostly one by one, sometimes in a burst.
/// 32 is the most that a stage is shown.
const BATCHES: [usize; 8] = [1, 1, 2, 1, 5, 1, 32, 3];

/// Events of each exchange, where there are many. Arbitrary: a short answer of a model.
const EACH: u64 = 64;

/// Exchanges before the memory is looked at for the first time. Arbitrary: by then all pools are warm.
const WARM: u64 = 64;

/// What a soak has shown.
pub(super) struct Soak {
    rounds: Vec<Round>,
    notes: Vec<String>,
    limit: u64,
}

/// One way through the component.
struct Round {
    name: &'static str,
    unit: &'static str,
    done: u64,
    spent: Duration,
    /// Whose memory it is.
    of: &'static str,
    before: Option<u64>,
    after: Option<u64>,
    /// The call that failed, where, and why.
    failed: Option<String>,
}

/// Sends so many events through a component.
pub(super) async fn run(plugin: &Arc<Plugin>, bodies: &[Bodies], events: u64) -> Soak {
    let mut soak = Soak {
        rounds: Vec::new(),
        notes: Vec::new(),
        limit: plugin.limits().memory,
    };
    if cfg!(debug_assertions) {
        let note = "this is a debug build of the gateway: its times are far too high";
        soak.notes.push(note.into());
    }
    if let Some(bodies) = bodies.first()
        && plugin.exports().is_stage()
    {
        let mut one = Round::new("one exchange", "events", "its instance");
        let ended = in_one(plugin, bodies, events, &mut one).await;
        let sees_events = one.done > 0 || one.failed.is_some() || ended.is_err();
        match ended {
            Ok(Some(note)) => soak.notes.push(note),
            Ok(None) => {}
            Err(error) => one.failed = Some(error),
        }
        if sees_events {
            soak.rounds.push(one);
        }
        let unit = if sees_events { "events" } else { "exchanges" };
        let mut many = Round::new("many exchanges", unit, "the process");
        let count = if sees_events {
            events
        } else {
            events.div_ceil(EACH)
        };
        if let Err(error) = in_many(plugin, bodies, count, sees_events, &mut many).await {
            many.failed = Some(error);
        }
        soak.rounds.push(many);
    }
    if plugin.exports().observer {
        let mut round = Round::new("finished exchanges", "summaries", "the process");
        if let Err(error) = observed(plugin, events, &mut round).await {
            round.failed = Some(error);
        }
        soak.rounds.push(round);
    }
    soak
}

/// All events in one exchange; returns a note if the plugin does not want all of them.
async fn in_one(
    plugin: &Arc<Plugin>,
    bodies: &Bodies,
    events: u64,
    round: &mut Round,
) -> Result<Option<String>, String> {
    let mut call = Call::new(plugin, bodies, None).await?;
    if !matches!(call.until_body().await?, Body::Events) || bodies.events.is_empty() {
        let note = "it looks at no events of this exchange: whole exchanges are counted";
        return Ok(Some(note.to_owned()));
    }
    let taken = stream(&mut call, &bodies.events, events, round).await;
    // What the first batch needs is there before most of the others.
    round.after = Some(call.instance.memory() as u64);
    let note = match taken? {
        Taken::On => None,
        Taken::Ended => Some(format!("it ended the body behind event {}", round.done)),
        Taken::Refused(code) => {
            return Err(format!(
                "`events.batch` refused event {} with the fault `{code}`",
                round.done
            ));
        }
    };
    call.end().await?;
    call.close().await?;
    Ok(note)
}

/// Hands over events, as long as the plugin takes them.
async fn stream(
    call: &mut Call<'_>,
    sample: &[Event],
    events: u64,
    round: &mut Round,
) -> Result<Taken, String> {
    let mut sizes = BATCHES.into_iter().cycle();
    let mut cycle = sample.iter().cycle();
    let mut left = usize::try_from(events).unwrap_or(usize::MAX);
    while left > 0 {
        let size = sizes.next().unwrap_or(1).min(left);
        let batch: Vec<Event> = cycle.by_ref().take(size).cloned().collect();
        let taken = call.batch(&batch).await;
        let (taken, spent) =
            taken.map_err(|error| format!("at event {}: {error}", round.done + 1))?;
        left -= size;
        round.done += size as u64;
        round.spent += spent;
        if round.before.is_none() {
            round.before = Some(call.instance.memory() as u64);
        }
        match taken {
            Taken::On => {}
            Taken::Ended | Taken::Refused(_) => return Ok(taken),
        }
    }
    Ok(Taken::On)
}

/// The events in exchanges of a few each, or so many exchanges without any.
async fn in_many(
    plugin: &Arc<Plugin>,
    bodies: &Bodies,
    count: u64,
    sees_events: bool,
    round: &mut Round,
) -> Result<(), String> {
    let mut warm = Round::new("", "", "");
    for _ in 0..WARM {
        exchange(plugin, bodies, EACH, sees_events, &mut warm).await?;
    }
    round.before = private_bytes();
    let mut number = 0;
    let began = Instant::now();
    while round.done < count {
        number += 1;
        let done = round.done;
        let ran = exchange(plugin, bodies, EACH.min(count - done), sees_events, round).await;
        ran.map_err(|error| format!("in exchange {number}: {error}"))?;
        // A plugin that ends its bodies at once would never come to an end.
        round.done = round.done.max(done + 1);
    }
    round.spent = began.elapsed();
    round.after = private_bytes();
    Ok(())
}

async fn exchange(
    plugin: &Arc<Plugin>,
    bodies: &Bodies,
    events: u64,
    sees_events: bool,
    round: &mut Round,
) -> Result<(), String> {
    let mut call = Call::new(plugin, bodies, None).await?;
    match call.until_body().await? {
        Body::Unseen => {}
        Body::Whole => call.whole().await?,
        Body::Chunks => call.chunk().await?,
        Body::Events if !sees_events => {}
        Body::Events => {
            if let Taken::Refused(code) = stream(&mut call, &bodies.events, events, round).await? {
                return Err(format!(
                    "`events.batch` refused an event with the fault `{code}`"
                ));
            }
            call.end().await?;
        }
    }
    call.close().await
}

/// So many summaries, for an observer.
async fn observed(plugin: &Arc<Plugin>, count: u64, round: &mut Round) -> Result<(), String> {
    let batch: Vec<Summary<'_>> = (0..EACH).map(|_| bodies::summary()).collect();
    let observe = async |size: usize, done: u64| {
        let observed = instance::observe(plugin, &batch[..size]).await;
        observed.map_err(|error| {
            format!(
                "at summary {}: `observer.observe` failed: {error}",
                done + 1
            )
        })
    };
    for _ in 0..WARM {
        observe(1, 0).await?;
    }
    round.before = private_bytes();
    let mut sizes = BATCHES.into_iter().cycle();
    let began = Instant::now();
    while round.done < count {
        let left = usize::try_from(count - round.done).unwrap_or(usize::MAX);
        let size = sizes.next().unwrap_or(1).min(left);
        observe(size, round.done).await?;
        round.done += size as u64;
    }
    round.spent = began.elapsed();
    round.after = private_bytes();
    Ok(())
}

impl Round {
    const fn new(name: &'static str, unit: &'static str, of: &'static str) -> Self {
        Self {
            name,
            unit,
            done: 0,
            spent: Duration::ZERO,
            of,
            before: None,
            after: None,
            failed: None,
        }
    }

    fn micros_each(&self) -> f64 {
        self.spent.as_secs_f64() * 1e6 / self.done.max(1) as f64
    }

    fn text(&self, limit: u64) -> String {
        let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "not measured".into(), size);
        let of = match self.of {
            "its instance" => format!("its instance, of {}", size(limit)),
            of => of.to_owned(),
        };
        let mut text = format!(
            "{}: {} {} in {}, {:.2} µs each; memory {} → {} ({of}); ",
            self.name,
            self.done,
            self.unit,
            time(self.spent),
            self.micros_each(),
            bytes(self.before),
            bytes(self.after),
        );
        match &self.failed {
            None => text.push_str("no fault\n"),
            Some(failed) => {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "failed: {failed}");
            }
        }
        text
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "unit": self.unit,
            "done": self.done,
            "us-each": self.micros_each(),
            "memory-of": self.of,
            "memory-before-bytes": self.before,
            "memory-after-bytes": self.after,
            "failed": self.failed,
        })
    }
}

impl Soak {
    /// Prints it; the exit code says whether a call failed.
    pub(super) fn print(&self, file: &Path, as_json: bool) -> ExitCode {
        if as_json {
            let report = json!({
                "file": file.to_string_lossy(),
                "rounds": self.rounds.iter().map(Round::json).collect::<Vec<_>>(),
                "memory-limit-bytes": self.limit,
                "notes": self.notes,
            });
            print(&format!("{report:#}\n"));
        } else {
            let mut text = format!("{}\n", file.display());
            for round in &self.rounds {
                text.push_str(&round.text(self.limit));
            }
            for note in &self.notes {
                let _ = writeln!(text, "note: {note}");
            }
            print(&text);
        }
        if self.rounds.iter().any(|round| round.failed.is_some()) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}
