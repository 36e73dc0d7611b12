//! What tokens cost.

/// The largest number of units of the capability `rate`.
pub(crate) const UNITS_MAX: u64 = 1 << 53;

/// Tokens that an exchange used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) prompt: u64,
    /// Of the prompt, those that the model server had in its cache.
    pub(crate) cached: u64,
    pub(crate) completion: u64,
}

/// What a token costs, in millionths of the currency: the same number as the price of a million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Price {
    pub(crate) input: f64,
    pub(crate) cached: f64,
    pub(crate) output: f64,
}

/// The price of some models.
#[derive(Debug)]
pub(crate) struct Priced {
    pub(crate) models: Vec<String>,
    pub(crate) price: Price,
}

impl Priced {
    pub(crate) fn has(&self, model: &str) -> bool {
        self.models.iter().any(|pattern| matches(pattern, model))
    }
}

impl Price {
    /// Of limits that count tokens.
    pub(crate) const TOKEN: Self = Self {
        input: 1.0,
        cached: 1.0,
        output: 1.0,
    };

    /// The cost of an exchange, rounded up.
    pub(crate) fn cost(self, used: Used) -> u64 {
        let cached = used.cached.min(used.prompt);
        #[expect(
            clippy::cast_precision_loss,
            reason = "nobody has used 2^53 tokens, and then a few do not matter"
        )]
        let cost = (used.prompt - cached) as f64 * self.input
            + cached as f64 * self.cached
            + used.completion as f64 * self.output;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "no price is below 0, and what is too large becomes the largest"
        )]
        // Less than a millionth of a unit is the rounding of the sum.
        let units = (cost - 1e-6).ceil() as u64;
        units.min(UNITS_MAX)
    }
}

/// Whether a pattern fits; a `*` at its end stands for any text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => text.starts_with(beginning),
        None => pattern == text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_tokens_cost_their_price_and_none_are_free() {
        let price = Price {
            input: 0.15,
            cached: 0.075,
            output: 0.6,
        };
        let cost = |prompt, cached, completion| {
            price.cost(Used {
                prompt,
                cached,
                completion,
            })
        };
        assert_eq!(cost(1_000_000, 0, 0), 150_000);
        assert_eq!(cost(1_000_000, 1_000_000, 1_000_000), 675_000);
        assert_eq!(cost(1, 0, 0), 1);
        assert_eq!(cost(0, 0, 0), 0);
        // 20 are the whole price of 100, as a sum of fractions may not say.
        assert_eq!(cost(100, 0, 0), 15);
        assert_eq!(cost(2, 5, 0), 1, "no more is cached than there was");
        assert_eq!(cost(u64::MAX, 0, u64::MAX), UNITS_MAX);
        let tokens = Price::TOKEN.cost(Used {
            prompt: 7,
            cached: 3,
            completion: 5,
        });
        assert_eq!(tokens, 12);
    }
}
