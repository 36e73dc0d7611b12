//! A plugin of three interfaces: it lets requests pass, is told how they end, and tells the log of those that it saw.

use sluicegate_plugin::{
    Closing, Context, Gate, Manifest, NoConfig, Observer, Plugin, Stop, Summary, log,
};

struct Guest;

impl Plugin for Guest {
    type Config = NoConfig;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new("guest-combined", "1.2.3", "Gate, closing and observer")
    }

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

impl Gate for Guest {
    fn check(&self, (): &mut (), ctx: &Context<'_>) -> Result<(), Stop> {
        ctx.set_note("gate", "seen")?;
        Ok(ctx.set("x-combined", "1")?)
    }
}

impl Closing for Guest {
    fn closed(&self, (): &mut (), ctx: &Context<'_>, error: &str) {
        if let Err(fault) = ctx.set_note("closed", error) {
            log::error("closed").field("error", &fault.message).write();
        }
    }
}

impl Observer for Guest {
    fn observe(&self, batch: &[Summary]) {
        for summary in batch {
            log::info("combined observed")
                .field("req", &summary.id)
                .json("closed", summary.fact_json("closed").unwrap_or("null"))
                .write();
        }
    }
}

sluicegate_plugin::export!(Guest: gate, closing, observer);
