//! How quick a swap is, and what other exchanges feel of it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::Options;
use crate::client::{Ask, Connection, chat};
use crate::load::Load;
use crate::report::{Report, ms, percentiles};
use crate::scene::Scene;

/// Blocks of each kind: with swaps and without, in turn, so that what else the machine does is in both.
const BLOCKS: u32 = 12;
/// How long a block lasts.
const BLOCK: Duration = Duration::from_secs(5);
/// From one swap to the next.
const EVERY: Duration = Duration::from_secs(1);
/// Between two requests that look for the new version.
const LOOK: Duration = Duration::from_millis(2);
/// What is not in force by then was refused.
const SWAP: Duration = Duration::from_secs(30);

/// From `mv` to the first exchange, at most.
const MOST: Duration = Duration::from_secs(1);
/// How much longer exchanges may take during swaps, in the 99th percentile.
const FACTOR: f64 = 2.0;
/// Cores that gateway and clients leave free without swaps, at least.
const FREE: f64 = 0.5;

/// Replaces `auth.wasm` again and again beside a steady load.
///
/// # Errors
/// If a swap is refused, or the gateway is gone.
pub(crate) async fn run(
    options: &Options,
    program: &Path,
    report: &mut Report,
) -> anyhow::Result<()> {
    report.part("`auth.wasm` is replaced beside a steady load");
    let scene = Scene::start(program).await?;
    let load = Load::begin(scene.gateway.address, 0, options.rate).await?;
    // What is made on first use is not measured.
    tokio::time::sleep(EVERY).await;
    load.tally.take_latencies();
    let (mut quiet, mut swapping) = (Block::default(), Block::default());
    let (mut swaps, mut build) = (Vec::new(), 0);
    for block in 0..2 * BLOCKS {
        let end = Instant::now() + BLOCK;
        let (began, used) = (Instant::now(), scene.gateway.cpu()?);
        if block % 2 == 1 {
            while Instant::now() < end {
                let next = Instant::now() + EVERY;
                build += 1;
                swaps.push(swap(&scene, build).await?);
                tokio::time::sleep(next.saturating_duration_since(Instant::now())).await;
            }
        } else {
            tokio::time::sleep(BLOCK).await;
        }
        let kind = if block % 2 == 1 {
            &mut swapping
        } else {
            &mut quiet
        };
        kind.lasted += began.elapsed();
        kind.used += scene.gateway.cpu()? - used;
        kind.latencies.extend(load.tally.take_latencies());
    }
    let tally = load.end().await;
    let [median, _, longest] = percentiles(&mut swaps);
    report.criterion(
        longest <= MOST,
        "from `mv` to the first exchange on the new version",
        format!(
            "{} median, {} longest of {}",
            ms(median),
            ms(longest),
            swaps.len()
        ),
    );
    quiet.show("without swaps", report);
    swapping.show("with a swap each second", report);
    let cores = std::thread::available_parallelism()?.get() as f64;
    let free = cores - quiet.used_cores();
    report.criterion(
        free >= FREE,
        "cores that the load leaves free",
        format!("{free:.2} of {cores}"),
    );
    let [before, during] = [quiet, swapping].map(|mut block| percentiles(&mut block.latencies)[1]);
    let factor = during.as_secs_f64() / before.as_secs_f64();
    report.criterion(
        factor <= FACTOR,
        "99th percentile with swaps, compared to that without",
        format!("{factor:.2}"),
    );
    for (name, wrong) in [("failed", &tally.failed), ("mixed", &tally.mixed)] {
        let count = wrong.load(std::sync::atomic::Ordering::Relaxed);
        report.criterion(count == 0, name, count);
    }
    for example in tally.examples() {
        eprintln!("swaps: {example}");
    }
    Ok(())
}

/// What was measured with swaps, or without.
#[derive(Default)]
struct Block {
    lasted: Duration,
    used: Duration,
    latencies: Vec<Duration>,
}

impl Block {
    /// Cores that gateway and clients were using.
    fn used_cores(&self) -> f64 {
        self.used.as_secs_f64() / self.lasted.as_secs_f64()
    }

    fn show(&mut self, name: &str, report: &Report) {
        let used = self.used_cores();
        let [median, high, highest] = percentiles(&mut self.latencies);
        report.figure(
            name,
            format!(
                "{} unary requests, {} median, {} 99th percentile, {} longest; {used:.2} cores used",
                self.latencies.len(),
                ms(median),
                ms(high),
                ms(highest)
            ),
        );
    }
}

/// From the moment that the new file is in place to the first response of the new version.
async fn swap(scene: &Scene, build: u32) -> anyhow::Result<Duration> {
    let request = chat(Ask::Whole, "sk-wrong");
    let mut connection = Connection::new(scene.gateway.address).await?;
    let text = scene.replace_auth(build)?;
    let began = Instant::now();
    loop {
        let response = connection.send(&request).await?;
        ensure!(response.status == 401, "{response:?}");
        if response.body.contains(&text) {
            return Ok(began.elapsed());
        }
        ensure!(began.elapsed() < SWAP, "{text:?} does not come");
        tokio::time::sleep(LOOK).await;
    }
}
