//! Swaps under load: nothing fails, nothing is mixed, nothing is left.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::Options;
use crate::client::{Ask, Connection, KEY, chat, check};
use crate::load::{Load, Tally};
use crate::model::TOKENS;
use crate::report::{Report, ms, percentiles};
use crate::scene::{Scene, Shape};

/// Between the end of a swap and the next one.
const PAUSE: Duration = Duration::from_millis(100);
/// How long old versions may take to go when the last exchange has ended.
const SETTLE: Duration = Duration::from_secs(5);

/// A plugin is replaced: its file and its configuration in turn.
///
/// # Errors
/// If a swap is refused, or the gateway is gone.
pub(crate) async fn plugin(
    options: &Options,
    program: &Path,
    report: &mut Report,
) -> anyhow::Result<()> {
    report.part("A plugin is replaced, by its file and by its configuration");
    let mut shape = Shape::default();
    under_load(options, program, report, |scene, number| {
        if number % 2 == 0 {
            scene.replace_one(number)?;
        } else {
            shape.mark = format!("c{number}");
            scene.configure(&shape)?;
        }
        let build = number - number % 2;
        Ok(Some(format!("{}-{build:06}.", shape.mark)))
    })
    .await
}

/// Stages are added, removed and reordered.
///
/// # Errors
/// As [`plugin`].
pub(crate) async fn pipeline(
    options: &Options,
    program: &Path,
    report: &mut Report,
) -> anyhow::Result<()> {
    const PIPELINES: [&[&str]; 4] = [
        &["auth", "aggregate", "one", "two"],
        &["auth", "aggregate", "two", "one"],
        &["auth", "aggregate", "one", "two", "three"],
        &["auth", "aggregate", "one"],
    ];
    report.part("Stages are added, removed and reordered");
    under_load(options, program, report, |scene, number| {
        let pipeline = PIPELINES[number as usize % PIPELINES.len()];
        scene.configure(&Shape {
            pipeline,
            ..Shape::default()
        })?;
        let mark = |stage: &&str| match *stage {
            "one" => "c0-000000.",
            "two" => "two-000000.",
            "three" => "three-000000.",
            _ => "",
        };
        Ok(Some(pipeline.iter().map(mark).collect()))
    })
    .await
}

/// The adapter for Ollama is replaced by that for vLLM, and back.
///
/// # Errors
/// As [`plugin`].
pub(crate) async fn adapter(
    options: &Options,
    program: &Path,
    report: &mut Report,
) -> anyhow::Result<()> {
    report.part("The adapter `ollama` is replaced by one for vLLM, and back");
    under_load(options, program, report, |scene, number| {
        let vllm = number % 2 == 1;
        scene.configure(&Shape {
            vllm,
            ..Shape::default()
        })?;
        Ok(None)
    })
    .await
}

/// Swaps under load. `swap` makes the change with this number, and tells the marks of what begins after it.
async fn under_load(
    options: &Options,
    program: &Path,
    report: &mut Report,
    mut swap: impl FnMut(&Scene, u32) -> anyhow::Result<Option<String>>,
) -> anyhow::Result<()> {
    let scene = Scene::start(program).await?;
    let gateway = &scene.gateway;
    let load = Load::begin(gateway.address, options.streams, options.unary).await?;
    let (mut times, mut most, mut least) = (Vec::new(), 0, usize::MAX);
    let mut generation = gateway.generation().await?;
    let began = Instant::now();
    for number in 1..=u32::try_from(options.swaps)? {
        let swapping = Instant::now();
        let marks = swap(&scene, number)?;
        generation = gateway.after(generation).await?;
        times.push(swapping.elapsed());
        first(&scene, marks.as_deref()).await?;
        let alive = gateway.versions().await?;
        most = most.max(alive.iter().map(|(_, count)| *count).max().unwrap_or(0));
        least = least.min(load.tally.open.load(Ordering::Relaxed));
        tokio::time::sleep(PAUSE).await;
    }
    let lasted = began.elapsed();
    let tally = load.end().await;
    let left = gateway.until_one_each(SETTLE).await?;
    let [median, _, longest] = percentiles(&mut times);
    report.figure(
        "swaps",
        format!(
            "{} in {:.0} s, each in force after {} (median), {} (longest)",
            options.swaps,
            lasted.as_secs_f64(),
            ms(median),
            ms(longest)
        ),
    );
    report.figure("versions of one plugin alive at a time, at most", most);
    let (ollama, openai) = scene.model.asked();
    report.figure(
        "model server asked",
        format!("{ollama} times as Ollama, {openai} times as vLLM"),
    );
    judge(report, &tally, options.streams, least);
    report.criterion(
        left.is_empty(),
        "old versions left after the last exchange",
        format!("{left:?}"),
    );
    Ok(())
}

fn judge(report: &mut Report, tally: &Arc<Tally>, streams: usize, least: usize) {
    let count = |count: &std::sync::atomic::AtomicUsize| count.load(Ordering::Relaxed);
    report.figure(
        "responses",
        format!(
            "{} paced streams, {} unary, of {} combinations of versions",
            count(&tally.streams),
            count(&tally.unary),
            tally.versions()
        ),
    );
    // A stream that has ended is followed by the next one a moment later.
    let enough = least * 100 >= streams * 98;
    report.criterion(enough, "streams open at a swap, at least", least);
    for (name, wrong) in [("failed", &tally.failed), ("mixed", &tally.mixed)] {
        report.criterion(count(wrong) == 0, name, count(wrong));
    }
    for example in tally.examples() {
        eprintln!("swaps: {example}");
    }
}

/// What begins after a swap has its marks.
async fn first(scene: &Scene, marks: Option<&str>) -> anyhow::Result<()> {
    let mut connection = Connection::new(scene.gateway.address).await?;
    let response = connection.send(&chat(Ask::Whole, KEY)).await;
    match check(response, Ask::Whole, TOKENS) {
        Ok(found) => {
            let right = marks.is_none_or(|marks| marks == found);
            ensure!(right, "{found} after a swap to {marks:?}");
        }
        Err(wrong) => anyhow::bail!("the first exchange after a swap: {wrong:?}"),
    }
    Ok(())
}
