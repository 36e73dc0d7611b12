//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::gateway::Kind;

/// What to measure.
#[derive(Debug)]
pub(crate) struct Options {
    only: Vec<Kind>,
    load: Option<Load>,
    /// How long a round lasts.
    pub(crate) round: Duration,
    /// A gateway that is built already.
    pub(crate) gateway: Option<PathBuf>,
}

/// The kinds of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// One JSON response a request, on connections that are kept.
    Unary,
    /// Streams as fast as they come.
    Bursts,
    /// Many streams, each at a model's pace.
    Paced,
    /// As paced, with and without `redact`; only if it is asked for.
    Redact,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// For what is not an option or not a value of it.
    pub(crate) fn parse(arguments: &[String]) -> anyhow::Result<Self> {
        let mut options = Self {
            only: Vec::new(),
            load: None,
            round: Duration::from_secs(3),
            gateway: None,
        };
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let value = rest.next();
            let value = value.with_context(|| format!("`{name}` needs a value"))?;
            match name.as_str() {
                "--only" => {
                    for word in value.split(',') {
                        options.only.push(kind(word)?);
                    }
                }
                "--load" => options.load = Some(load(value)?),
                "--seconds" => options.round = Duration::from_secs(value.parse()?),
                "--gateway" => options.gateway = Some(std::path::absolute(value)?),
                other => bail!("`{other}` must be one of --only, --load, --seconds and --gateway"),
            }
        }
        Ok(options)
    }

    /// Whether a gateway is to be measured.
    pub(crate) fn selects(&self, kind: Kind) -> bool {
        !self.is_redact() && (self.only.is_empty() || self.only.contains(&kind))
    }

    /// Whether only `redact` is to be measured.
    pub(crate) fn is_redact(&self) -> bool {
        self.load == Some(Load::Redact)
    }

    /// Whether a load is to be measured.
    pub(crate) fn includes(&self, load: Load) -> bool {
        self.load.is_none_or(|only| only == load)
    }
}

fn kind(word: &str) -> anyhow::Result<Kind> {
    let found = Kind::ALL.into_iter().find(|kind| kind.word() == word);
    found.with_context(|| {
        let words = Kind::ALL.map(Kind::word).join(", ");
        format!("`{word}` must be one of {words}")
    })
}

fn load(word: &str) -> anyhow::Result<Load> {
    Ok(match word {
        "unary" => Load::Unary,
        "bursts" => Load::Bursts,
        "paced" => Load::Paced,
        "redact" => Load::Redact,
        other => bail!("`{other}` must be one of unary, bursts, paced and redact"),
    })
}
