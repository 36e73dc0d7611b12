//! What hot reload promises, shown on the gateway as it ships: swaps of plugins, pipelines and adapters under load.
//!
//! `cargo run --release -p sluicegate-tests --bin swaps -- --gateway FILE` starts that program on free ports, with a scripted model
//! server and clients in this process, and prints figures. It exits with 1 if one of them is not what is promised. All parts
//! together take about fifteen minutes.
//!
//! | `--only` | shows |
//! | --- | --- |
//! | `plugin` | paced streams and unary requests while a plugin's file and its configuration are replaced in turn |
//! | `pipeline` | the same while stages are added, removed and reordered |
//! | `adapter` | the same while the upstream's adapter is replaced by that of another kind of model server |
//! | `latency` | from `mv` of a plugin to the first exchange on it, and how long exchanges take meanwhile |
//! | `leaks` | memory, mappings, descriptors, threads and metrics before and after many swaps |
//!
//! Each exchange is checked as a whole: a stage marks the head of the request, which the model server repeats in every token,
//! the head of the response, and every event. If these marks differ, the exchange was *mixed*.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command's result is what it prints"
)]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "real time is measured, and everything lives as long as the process"
)]

mod client;
mod gateway;
mod http;
mod latency;
mod leaks;
mod load;
mod model;
mod report;
mod scene;
mod swapping;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};

use report::Report;

/// Shows what hot reload promises.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// The gateway; default: the program `sluicegate` beside this one.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// One part.
    #[arg(long)]
    only: Option<Part>,
    /// Paced streams that are open at a time.
    #[arg(long, default_value_t = 1_000)]
    streams: usize,
    /// Swaps under load.
    #[arg(long, default_value_t = 100)]
    swaps: usize,
    /// Unary requests each second beside the streams.
    #[arg(long, default_value_t = 50)]
    unary: u32,
    /// Unary requests each second for the latencies. It must leave half a core free.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// Swaps between the two looks for leaks.
    #[arg(long, default_value_t = 1_000)]
    leak_swaps: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Plugin,
    Pipeline,
    Adapter,
    Latency,
    Leaks,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(report) => report.conclude(),
        Err(error) => {
            eprintln!("swaps: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<Report> {
    let gateway = match &options.gateway {
        Some(gateway) => std::path::absolute(gateway)?,
        None => std::env::current_exe()?.with_file_name("sluicegate"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("a runtime")?;
    runtime.block_on(async {
        let mut report = Report::default();
        let parts = Part::value_variants().iter();
        let selected = parts.filter(|part| options.only.is_none_or(|only| only == **part));
        for part in selected {
            match part {
                Part::Plugin => swapping::plugin(options, &gateway, &mut report).await?,
                Part::Pipeline => swapping::pipeline(options, &gateway, &mut report).await?,
                Part::Adapter => swapping::adapter(options, &gateway, &mut report).await?,
                Part::Latency => latency::run(options, &gateway, &mut report).await?,
                Part::Leaks => leaks::run(options, &gateway, &mut report).await?,
            }
        }
        anyhow::Ok(report)
    })
}
