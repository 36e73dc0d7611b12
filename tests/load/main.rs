//! The cost of the gateway compared to nginx, Envoy and a bare hyper proxy, in one run on one core.
//!
//! `cargo run --release -p sluicegate-tests --bin load` builds the gateway, starts everything on loopback ports that are
//! free, and prints a table in Markdown. It takes about four minutes. The gateway under test has one core and one thread to
//! itself; the model server and the clients, both in this process, have another core. What counts is the CPU time of the
//! gateway's process, user and system, as the kernel accounts for it: it depends little on how fast the rest is.
//!
//! nginx, Envoy and the bare proxy only pass on; the model server answers them in OpenAI's form. Sluicegate checks a key,
//! translates between OpenAI's form and Ollama's, and writes an access log. nginx comes from the system's packages, Envoy
//! from PyPI into the target folder; what is missing is said and left out.
//!
//! `--load redact` measures something else: what the stage `redact` adds to the events of 500 paced streams, and that nothing gets
//! through it. It fails if anything does.
//!
//! `--only NAME,…` measures some of them, `--load unary|bursts|paced` one kind of load, `--seconds N` sets how long a
//! round of it takes (3); with these a profiler can look at one thing. `--gateway FILE` takes a `sluicegate` that is built
//! already, such as one of another version.

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
mod install;
mod options;
mod process;
mod proxy;
mod redact;
mod rounds;
mod table;
mod upstream;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;

use gateway::Kind;
use options::Options;
use process::Cores;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some(proxy::COMMAND) => be_a_proxy(&arguments[1..]),
        Some(_) | None => Options::parse(&arguments).and_then(|options| compare(&options)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The bare proxy is this program once more, in a process of its own.
fn be_a_proxy(arguments: &[String]) -> anyhow::Result<()> {
    let address = |at: usize| -> anyhow::Result<SocketAddr> {
        let text = arguments.get(at).context("an address is missing")?;
        Ok(text.parse()?)
    };
    runtime()?.block_on(proxy::run(address(0)?, address(1)?))
}

fn compare(options: &Options) -> anyhow::Result<()> {
    let cores = Cores::find()?;
    if !cores.are_two() {
        eprintln!("load: there is only one core: the gateways share it with their clients");
    }
    let programs = install::programs(options)?;
    cores.keep_clients()?;
    if options.is_redact() {
        let result = runtime()?.block_on(async {
            tokio::spawn(stay_awake());
            redact::run(&programs, &cores).await
        })?;
        print!("{result}");
        return Ok(());
    }
    let figures = runtime()?.block_on(async {
        tokio::spawn(stay_awake());
        let upstream = upstream::Upstream::start().await?;
        let mut gateways = Vec::new();
        for kind in Kind::ALL.into_iter().filter(|kind| options.selects(*kind)) {
            match gateway::start(kind, &programs, &cores, upstream.address()).await? {
                Some(gateway) => gateways.push(gateway),
                None => eprintln!("load: {} is left out", kind.title()),
            }
        }
        rounds::run(options, &upstream, &gateways).await
    })?;
    print!("{}", table::markdown(&figures));
    Ok(())
}

/// Keeps the clients' core from sleeping: to wake another core costs the one that does it, a gateway that writes, some
/// microseconds, on a virtual machine ten. Clients of a real gateway are elsewhere.
async fn stay_awake() {
    loop {
        tokio::task::yield_now().await;
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.context("a runtime")
}
