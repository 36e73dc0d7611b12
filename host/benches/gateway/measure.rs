//! Timing: samples of many repetitions, and the line that is printed of them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

/// Samples per figure. The smallest shows the cost of the code, the largest the noise of the machine.
const SAMPLES: usize = 25;
/// How long one sample takes: long compared to the clock's resolution, short enough to fall between two disturbances.
const SAMPLE: Duration = Duration::from_millis(8);

/// The benchmarks of one run.
pub(crate) struct Bench {
    runtime: Runtime,
    /// A name must contain one of these words; an empty list selects all.
    wanted: Vec<String>,
    /// Every figure once, unmeasured.
    once: bool,
}

impl Bench {
    /// Reads the command line, with the arguments of cargo and of the user.
    pub(crate) fn from_arguments(runtime: Runtime) -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Self {
            runtime,
            once: !arguments.iter().any(|argument| argument == "--bench"),
            wanted: arguments
                .into_iter()
                .filter(|argument| !argument.starts_with('-'))
                .collect(),
        }
    }

    /// Prints what the columns are.
    pub(crate) fn headings(&self) {
        println!("{:<64} {:>10} {:>10} {:>10}", "", "min", "median", "max");
    }

    /// Runs the preparation of a benchmark.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Measures `run`, which does the work once and counts as `units` units of it; prints microseconds per unit.
    pub(crate) fn micros(&mut self, name: &str, units: usize, run: impl AsyncFnMut()) {
        self.report(name, "µs", run, |seconds| seconds * 1e6 / count(units));
    }

    /// Measures `run`, which handles `bytes` bytes; prints megabytes (10⁶ bytes) per second.
    pub(crate) fn megabytes(&mut self, name: &str, bytes: usize, run: impl AsyncFnMut()) {
        self.report(name, "MB/s", run, |seconds| count(bytes) / seconds / 1e6);
    }

    fn report(
        &mut self,
        name: &str,
        unit: &str,
        mut run: impl AsyncFnMut(),
        figure: impl Fn(f64) -> f64,
    ) {
        if !self.wanted.is_empty() && !self.wanted.iter().any(|word| name.contains(word)) {
            return;
        }
        if self.once {
            self.runtime.block_on(run());
            println!("{name}: runs");
            return;
        }
        let mut figures: Vec<f64> = self.samples(&mut run).into_iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        let (first, middle, last) = (
            figures[0],
            figures[figures.len() / 2],
            figures[figures.len() - 1],
        );
        println!("{name:<64} {first:>10.2} {middle:>10.2} {last:>10.2} {unit}");
    }

    /// Seconds of one run, for each sample.
    fn samples(&mut self, run: &mut impl AsyncFnMut()) -> Vec<f64> {
        self.runtime.block_on(async {
            let mut repeat = 1_u32;
            let repeat = loop {
                let spent = time(repeat, run).await;
                if spent >= SAMPLE || repeat > 1 << 24 {
                    break repeat;
                }
                // Warms up at the same time: the first rounds are the slow ones.
                let factor = SAMPLE.as_secs_f64() / spent.as_secs_f64().max(1e-7);
                repeat = (f64::from(repeat) * factor.clamp(1.2, 8.0)).ceil() as u32;
            };
            let mut samples = Vec::with_capacity(SAMPLES);
            for _ in 0..SAMPLES {
                samples.push(time(repeat, run).await.as_secs_f64() / f64::from(repeat));
            }
            samples
        })
    }
}

async fn time(repeat: u32, run: &mut impl AsyncFnMut()) -> Duration {
    let began = Instant::now();
    for _ in 0..repeat {
        run().await;
        black_box(());
    }
    began.elapsed()
}

fn count(units: usize) -> f64 {
    f64::from(u32::try_from(units).expect("a benchmark is smaller than 4 GiB"))
}
