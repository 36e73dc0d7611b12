//! An observer that falls asleep over an exchange whose notes say so.

use std::time::Duration;

use sluicegate_guests::Config;
use sluicegate_plugin::{Manifest, Observer, Summary, log};

struct Guest;

impl Observer for Guest {
    type Config = Config;

    fn manifest() -> Manifest {
        Manifest::new("guest-sleeper", "1.2.3", "Falls asleep").config(Config::SCHEMA)
    }

    fn configure(config: Config) -> Result<Self, String> {
        config.obey()?;
        Ok(Self)
    }

    fn observe(&self, batch: &[Summary]) {
        for summary in batch {
            if summary
                .note::<String>("observer")
                .is_some_and(|act| act == "sleep")
            {
                // Far longer than any call may take.
                std::thread::sleep(Duration::from_secs(3600));
            }
            log::info("awake").field("awake", &summary.id).write();
        }
    }
}

sluicegate_plugin::observer!(Guest);
