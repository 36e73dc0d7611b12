//! An observer that falls asleep over an exchange whose notes say so.

use std::time::Duration;

use sluicegate_guests::Config;
use sluicegate_plugin::{Manifest, Observer, Plugin, Summary, log};

struct Guest;

impl Plugin for Guest {
    type Config = Config;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new("guest-sleeper", "1.2.3", "Falls asleep").config(Config::SCHEMA)
    }

    fn configure(config: Config) -> Result<Self, String> {
        config.obey()?;
        Ok(Self)
    }
}

impl Observer for Guest {
    fn observe(&self, batch: &[Summary]) {
        for summary in batch {
            if summary
                .fact::<String>("observer")
                .is_some_and(|act| act == "sleep")
            {
                // Far longer than any call may take.
                std::thread::sleep(Duration::from_secs(3600));
            }
            log::info("awake").field("awake", &summary.id).write();
        }
    }
}

sluicegate_plugin::export!(Guest: observer);
