//! The measuring: rounds of load, the gateways in turn, so that a disturbance of the machine hits one round and not one
//! gateway. The smallest figure of all rounds counts.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::client::{Ask, Client, Streams, press, probe};
use crate::gateway::{Gateway, Kind};
use crate::options::{Load, Options};
use crate::upstream::{TOKENS, Upstream};

/// Rounds of unary requests and bursts.
const ROUNDS: usize = 3;
/// Rounds of paced streams, which take longer.
const PACED_ROUNDS: usize = 2;
/// Connections that ask at the same time.
const CONNECTIONS: usize = 32;
/// Paced streams at the same time.
const STREAMS: usize = 500;
/// How long paced streams run before it counts.
const SETTLE: Duration = Duration::from_millis(500);
/// How long a latency is measured in a round.
const PROBE: Duration = Duration::from_millis(500);
/// How long a gateway gets to notice that its clients have left.
const LEAVE: Duration = Duration::from_millis(300);

/// The figures of one gateway, or of the model server asked directly, where they were measured.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// `None` for the model server itself.
    pub(crate) kind: Option<Kind>,
    /// CPU of the gateway for a request with one JSON response, in µs.
    pub(crate) unary: Option<f64>,
    /// CPU of the gateway for an event of a burst, in µs.
    pub(crate) burst: Option<f64>,
    /// CPU of the gateway for an event of a paced stream, in µs.
    pub(crate) paced: Option<f64>,
    /// Times of unary requests, one at a time, sorted.
    pub(crate) alone: Vec<Duration>,
    /// Times to the first token of streams, one at a time, sorted.
    pub(crate) first: Vec<Duration>,
}

/// Measures all gateways, and the model server itself as what the latencies compare with.
///
/// # Errors
/// If a gateway gives a wrong response or breaks.
pub(crate) async fn run(
    options: &Options,
    upstream: &Upstream,
    gateways: &[Gateway],
) -> anyhow::Result<Vec<Figures>> {
    let mut sides = vec![Side::new(None, upstream)];
    sides.extend(
        gateways
            .iter()
            .map(|gateway| Side::new(Some(gateway), upstream)),
    );
    for side in &sides {
        for ask in [Ask::Whole, Ask::Burst, Ask::First] {
            let verified = Client::verify(side.address, ask).await;
            verified.with_context(|| side.name())?;
        }
    }
    let round = options.round;
    for _ in 0..ROUNDS {
        for side in &mut sides {
            side.round(options, round)
                .await
                .with_context(|| side.name())?;
        }
    }
    if options.includes(Load::Paced) {
        for _ in 0..PACED_ROUNDS {
            for side in sides.iter_mut().filter(|side| side.gateway.is_some()) {
                side.paced(round).await.with_context(|| side.name())?;
            }
        }
    }
    Ok(sides.into_iter().map(Side::finish).collect())
}

/// One gateway, or the model server itself, with what was found of it so far.
struct Side<'a> {
    gateway: Option<&'a Gateway>,
    upstream: &'a Upstream,
    address: SocketAddr,
    figures: Figures,
}

impl<'a> Side<'a> {
    fn new(gateway: Option<&'a Gateway>, upstream: &'a Upstream) -> Self {
        Self {
            gateway,
            upstream,
            address: gateway.map_or(upstream.address(), |gateway| gateway.address),
            figures: Figures {
                kind: gateway.map(|gateway| gateway.kind),
                ..Figures::default()
            },
        }
    }

    fn name(&self) -> &'static str {
        self.figures.kind.map_or("the model server", Kind::title)
    }

    /// One round of what asks on kept connections.
    async fn round(&mut self, options: &Options, time: Duration) -> anyhow::Result<()> {
        if options.includes(Load::Unary) {
            if self.gateway.is_some() {
                let unary = self.pressed(Ask::Whole, 1, time).await?;
                least(&mut self.figures.unary, unary);
            }
            let alone = probe(self.address, Ask::Whole, PROBE).await?;
            self.figures.alone.extend(alone);
        }
        if options.includes(Load::Bursts) {
            if self.gateway.is_some() {
                let burst = self.pressed(Ask::Burst, TOKENS, time).await?;
                least(&mut self.figures.burst, burst);
            }
            let first = probe(self.address, Ask::First, PROBE).await?;
            self.figures.first.extend(first);
        }
        Ok(())
    }

    /// CPU for each unit, in µs, while all connections ask as fast as they can.
    async fn pressed(&self, ask: Ask, units: usize, time: Duration) -> anyhow::Result<f64> {
        let before = self.cpu()?;
        let responses = press(self.address, ask, CONNECTIONS, time).await?;
        Ok(per(self.cpu()? - before, responses * units as u64))
    }

    /// One round of paced streams.
    async fn paced(&mut self, time: Duration) -> anyhow::Result<()> {
        let mut streams = Streams::begin(self.address, STREAMS).await?;
        let measure = async {
            tokio::time::sleep(SETTLE).await;
            let (cpu, events) = (self.cpu()?, self.upstream.paced_events());
            let began = Instant::now();
            tokio::time::sleep(time).await;
            let (cpu, events) = (self.cpu()? - cpu, self.upstream.paced_events() - events);
            let rate = events as f64 / began.elapsed().as_secs_f64();
            anyhow::Ok((per(cpu, events), rate))
        };
        let (cpu, rate) = tokio::select! {
            measured = measure => measured?,
            ended = streams.watch() => return ended.context("a paced stream"),
        };
        drop(streams);
        tokio::time::sleep(LEAVE).await;
        let wanted = STREAMS as f64 * f64::from(crate::upstream::PACE);
        if rate < 0.95 * wanted {
            eprintln!(
                "load: {}: only {rate:.0} of {wanted} events came each second; the machine is busy with something else",
                self.name()
            );
        }
        least(&mut self.figures.paced, cpu);
        Ok(())
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        match self.gateway {
            Some(gateway) => gateway.process.cpu(),
            None => Ok(Duration::ZERO),
        }
    }

    fn finish(mut self) -> Figures {
        self.figures.alone.sort();
        self.figures.first.sort();
        self.figures
    }
}

/// Keeps the smaller one.
fn least(have: &mut Option<f64>, new: f64) {
    *have = Some(have.map_or(new, |have| have.min(new)));
}

/// Microseconds for each of `count`.
fn per(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count.max(1) as f64
}
