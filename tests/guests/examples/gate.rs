//! A gate that does as the request says.

use std::sync::atomic::{AtomicU32, Ordering};

use sluicegate_guests::{Acts, Config, reply};
use sluicegate_plugin::{Context, Gate, Manifest, Plugin, Stop, log};

/// Counts the calls that this memory has seen.
static CALLS: AtomicU32 = AtomicU32::new(0);

struct Guest;

impl Plugin for Guest {
    type Config = Config;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new("guest-gate", "1.2.3", "Does as the request says")
            .config(Config::SCHEMA)
            .transforms(false)
            // Which is not true: it lets everybody in.
            .authenticates(true)
    }

    fn configure(config: Config) -> Result<Self, String> {
        config.obey()?;
        Ok(Self)
    }
}

impl Gate for Guest {
    fn check(&self, (): &mut (), ctx: &Context<'_>) -> Result<(), Stop> {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        ctx.set("x-gate-calls", calls.to_string())?;
        let acts = Acts::of(ctx);
        let act = acts.perform("check")?;
        if let Some(reply) = reply(act) {
            return Err(reply.into());
        }
        match act {
            "log" => (0..150).for_each(|line| log::info("chatter").field("line", &line).write()),
            "log-members" => members("m"),
            "log-equal-members" => members(""),
            "log-flood" => {
                let long = "x".repeat(3 << 20);
                (0..100).for_each(|_| log::info(&long).field("long", &long).write());
            }
            "notes-flood" => {
                let json = format!("[{}1]", "1,".repeat(2 << 20));
                // The host would read it again and again.
                (0..100).for_each(|_| drop(ctx.set_note_json("big", &json)));
            }
            "names-flood" => {
                let name = "x".repeat(8 << 20);
                loop {
                    // Copied from the guest each time.
                    std::hint::black_box(ctx.get(&name));
                }
            }
            "own" => ctx.set("transfer-encoding", "chunked")?,
            "response-field" => ctx.set_response_field("x-limit", "7")?,
            "path" => ctx.set_path("/elsewhere")?,
            "upstream" => ctx.set_upstream("nowhere")?,
            "notes" => ctx.set_note("big", &"x".repeat(70_000))?,
            "trap-observer" => ctx.set_note("observer", "trap")?,
            "sleep-observer" => ctx.set_note("observer", "sleep")?,
            "host" => ctx.set("host", "model.example")?,
            "key" => ctx.set("authorization", "Bearer for-the-model-server")?,
            _ => {}
        }
        Ok(())
    }
}

/// One line with 60,000 members, whose names begin so.
fn members(name: &str) {
    let line = log::info("members");
    let numbered = |number: usize| {
        if name.is_empty() {
            "same".to_owned()
        } else {
            format!("{name}{number}")
        }
    };
    let names: Vec<String> = (0..60_000).map(numbered).collect();
    names
        .iter()
        .fold(line, |line, name| line.field(name, &1))
        .write();
}

sluicegate_plugin::export!(Guest: gate);
