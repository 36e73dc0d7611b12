//! Many swaps leave nothing behind.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;

use crate::Options;
use crate::client::{Ask, Connection, KEY, chat, check};
use crate::gateway::Facts;
use crate::model::TOKENS;
use crate::report::Report;
use crate::scene::{Scene, Shape};

/// Swaps before the first look: what is made on first use is no leak.
const WARM_UP: u32 = 50;
/// Of so many swaps one has a version that was never there; the others come from the cache.
const NEW: u32 = 10;
/// Versions that come again and again.
const KNOWN: u32 = 4;
/// Threads that have nothing to do end after ten seconds, and idle connections to the model server after 45.
const QUIET: Duration = Duration::from_secs(50);
/// How long old versions may take to go.
const SETTLE: Duration = Duration::from_secs(5);

/// What may be more afterwards: allocators keep some memory, and a thread may have just begun.
const MOST: Facts = Facts {
    resident: 32 * 1024,
    mappings: 64,
    descriptors: 8,
    threads: 4,
    metric_lines: 0,
};

/// Swaps and looks.
///
/// # Errors
/// If a swap is refused, or the gateway is gone.
pub(crate) async fn run(
    options: &Options,
    program: &Path,
    report: &mut Report,
) -> anyhow::Result<()> {
    report.part("Many swaps leave nothing behind");
    let scene = Scene::start(program).await?;
    swap(&scene, 1..=WARM_UP).await?;
    let before = look(&scene).await?;
    show(report, &format!("after {WARM_UP} swaps"), before);
    let all = u32::try_from(options.leak_swaps)?;
    let step = (all / 4).max(1);
    for done in (0..all).step_by(step as usize) {
        let last = (done + step).min(all);
        swap(&scene, WARM_UP + done + 1..=WARM_UP + last).await?;
        let facts = if last == all {
            look(&scene).await?
        } else {
            scene.gateway.facts().await?
        };
        show(report, &format!("after {last} more"), facts);
        if last == all {
            compare(report, before, facts);
        }
    }
    let left = scene.gateway.until_one_each(SETTLE).await?;
    report.criterion(
        left.is_empty(),
        "plugins with another number of versions than 1",
        format!("{left:?}"),
    );
    Ok(())
}

/// Swaps with these numbers. Each version is used once: with more at a time it would count how much the machine has to do
/// beside this.
async fn swap(scene: &Scene, numbers: impl Iterator<Item = u32>) -> anyhow::Result<()> {
    let mut connection = Connection::new(scene.gateway.address).await?;
    let request = chat(Ask::Whole, KEY);
    for number in numbers {
        let new = number % NEW == 0;
        let version = if new { KNOWN + number } else { number % KNOWN };
        scene.replace_one(version)?;
        scene.configure(&Shape {
            mark: format!("c{version}"),
            vllm: number % 2 == 0,
            ..Shape::default()
        })?;
        scene.gateway.reload().await?;
        let response = connection.send(&request).await;
        if let Err(wrong) = check(response, Ask::Whole, TOKENS) {
            bail!("the exchange after swap {number}: {wrong:?}");
        }
    }
    Ok(())
}

async fn look(scene: &Scene) -> anyhow::Result<Facts> {
    tokio::time::sleep(QUIET).await;
    scene.gateway.facts().await
}

fn show(report: &Report, name: &str, facts: Facts) {
    let Facts {
        resident,
        mappings,
        descriptors,
        threads,
        metric_lines,
    } = facts;
    report.figure(
        name,
        format!(
            "{:.1} MiB resident, {mappings} mappings, {descriptors} descriptors, {threads} threads, {metric_lines} lines of metrics",
            resident as f64 / 1024.0
        ),
    );
}

fn compare(report: &mut Report, before: Facts, after: Facts) {
    let grown = [
        (
            "KiB resident",
            before.resident,
            after.resident,
            MOST.resident,
        ),
        ("mappings", before.mappings, after.mappings, MOST.mappings),
        (
            "descriptors",
            before.descriptors,
            after.descriptors,
            MOST.descriptors,
        ),
        ("threads", before.threads, after.threads, MOST.threads),
        (
            "lines of metrics",
            before.metric_lines,
            after.metric_lines,
            MOST.metric_lines,
        ),
    ];
    for (name, before, after, most) in grown {
        let value = format!("{before} before, {after} after");
        report.criterion(after <= before + most, name, value);
    }
}
