//! The result as a table in Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use crate::gateway::Kind;
use crate::rounds::Figures;

/// The table with its headings.
///
/// # Shape
/// CPU columns are the gateway's process alone. `aggregated` is the unary figure of the gateway that always streams.
/// Latencies are what the client sees; those of the first token are what the gateway adds to the model server's own.
pub(crate) fn markdown(all: &[Figures]) -> String {
    let mut out = String::from(
        "\n| CPU of the gateway | unary, µs a request | aggregated, µs a request | bursts, µs an event \
         | 500 streams of 50 tokens/s, µs an event | one request alone, p50 / p99 µs | first token, added p50 / p99 µs |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let direct = all.iter().find(|figures| figures.kind.is_none());
    for figures in all {
        let title = figures
            .kind
            .map_or("none: the model server itself", Kind::title);
        let (unary, aggregated) = match figures.kind {
            Some(Kind::Always) => (None, figures.unary),
            Some(Kind::Nginx | Kind::Hyper | Kind::Envoy | Kind::AsClient) | None => {
                (figures.unary, None)
            }
        };
        let (unary, aggregated) = (number(unary, 0), number(aggregated, 0));
        let (burst, paced) = (number(figures.burst, 2), number(figures.paced, 1));
        let alone = pair(percentiles(&figures.alone));
        let first = pair(added(figures, direct));
        writeln!(
            out,
            "| {title} | {unary} | {aggregated} | {burst} | {paced} | {alone} | {first} |"
        )
        .expect("a string takes all");
    }
    out
}

fn added(figures: &Figures, direct: Option<&Figures>) -> Option<(f64, f64)> {
    let direct = direct.filter(|_| figures.kind.is_some())?;
    let (median, high) = percentiles(&figures.first)?;
    let (direct_median, direct_high) = percentiles(&direct.first)?;
    Some((median - direct_median, high - direct_high))
}

/// The 50th and the 99th percentile of sorted times, in µs.
fn percentiles(sorted: &[Duration]) -> Option<(f64, f64)> {
    let at = |percent: usize| {
        let time = sorted.get(sorted.len() * percent / 100)?;
        Some(time.as_secs_f64() * 1e6)
    };
    Some((at(50)?, at(99)?))
}

fn number(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.digits$}"))
}

fn pair(figures: Option<(f64, f64)>) -> String {
    figures.map_or_else(
        || "–".to_owned(),
        |(low, high)| format!("{low:.0} / {high:.0}"),
    )
}
