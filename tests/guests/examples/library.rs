//! A gate as an author writes it who knows nothing of sandboxes: it prints, hashes, asks the clock, opens files, sleeps.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what it prints must come out in the gateway's log"
)]
#![expect(
    clippy::disallowed_types,
    reason = "the standard library's clock is one of the things it tries"
)]

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sluicegate_guests::{Acts, Config};
use sluicegate_plugin::{Context, Gate, Manifest, Plugin, Reply, Stop};

/// Words by length, made while the plugin is loaded: the map is seeded then, and part of the image.
struct Guest(HashMap<&'static str, usize>);

impl Plugin for Guest {
    type Config = Config;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new("guest-library", "1.2.3", "Uses the standard library").config(Config::SCHEMA)
    }

    fn configure(config: Config) -> Result<Self, String> {
        config.obey()?;
        if config.configure == "sleep" {
            sleep();
        }
        let words = ["one", "three", "fifteen"];
        Ok(Self(
            words.into_iter().map(|word| (word, word.len())).collect(),
        ))
    }
}

impl Gate for Guest {
    fn check(&self, (): &mut (), ctx: &Context<'_>) -> Result<(), Stop> {
        match Acts::of(ctx).at("check") {
            "sleep" => sleep(),
            "print" => (0..75).for_each(|line| {
                println!("library chatters {line} for {}", ctx.id());
                eprintln!("library chatters {line} for {}", ctx.id());
            }),
            _ => {}
        }
        println!("library prints for {}", ctx.id());
        eprintln!("library complains for {}", ctx.id());
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let elapsed = Instant::now().elapsed() < Duration::from_secs(60);
        let fresh: HashMap<u32, u32> = (0..10).map(|n| (n, n * n)).collect();
        let body = format!(
            r#"{{"seconds":{seconds},"elapsed":{elapsed},"three":{},"nine":{},"file":{},"variables":{},"arguments":{},"socket":{}}}"#,
            self.0["three"],
            fresh[&3],
            std::fs::read("/etc/hostname").is_ok(),
            std::env::vars().count(),
            std::env::args().count(),
            std::net::TcpStream::connect("127.0.0.1:1").is_ok(),
        );
        Err(Reply::new(200, "library").json(body).into())
    }
}

/// Far longer than any call may take.
fn sleep() {
    std::thread::sleep(Duration::from_secs(3600));
}

sluicegate_plugin::export!(Guest: gate);
