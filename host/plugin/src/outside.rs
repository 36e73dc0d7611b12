//! Where guests get the time and randomness from: the system, or values that never change, with which a run can be repeated.

use std::sync::LazyLock;
use std::time::Duration;

use sluicegate_telemetry::clock;
use tokio::time::Instant;
use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtxBuilder};

/// The time of day where it is fixed: 2026-08-01T10:00:00Z. Arbitrary.
pub const FIXED_MS: u64 = 1_785_578_400_000;

/// What the random bytes of an instance begin with where they are fixed, over and over. Not zeros: a guest that draws until two
/// values differ would never end.
const FIXED_BYTES: [u8; 8] = [1, 2, 3, 5, 7, 11, 13, 17];

/// What a guest's monotonic clock says where it is fixed. Not zero: Go's runtime does not start with a clock at its origin.
const STILL_NS: u64 = 1_000_000_000;

/// Where an engine's guests get the time and randomness from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outside {
    /// The system.
    System,
    /// The clocks stand still, and every instance gets the same random bytes.
    Fixed,
}

impl Outside {
    /// The time of day in milliseconds since 1970.
    pub(super) fn unix_ms(self) -> u64 {
        match self {
            Self::System => clock::unix_ms(),
            Self::Fixed => FIXED_MS,
        }
    }

    /// Microseconds since some moment.
    pub(super) fn monotonic_us(self) -> u64 {
        static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        match self {
            Self::System => u64::try_from(ORIGIN.elapsed().as_micros()).unwrap_or(u64::MAX),
            Self::Fixed => 0,
        }
    }

    /// Fills `bytes` with random ones. `drawn` is how many the instance has been given so far.
    ///
    /// # Errors
    /// The system has none.
    pub(super) fn fill(self, bytes: &mut [u8], drawn: &mut usize) -> Result<(), getrandom::Error> {
        match self {
            Self::System => getrandom::fill(bytes),
            Self::Fixed => {
                for byte in bytes {
                    *byte = FIXED_BYTES[*drawn % FIXED_BYTES.len()];
                    *drawn += 1;
                }
                Ok(())
            }
        }
    }

    /// Gives a WASI world the same clocks and random bytes.
    pub(super) fn furnish(self, wasi: &mut WasiCtxBuilder) {
        if self == Self::Fixed {
            let bytes = || Deterministic::new(FIXED_BYTES.to_vec());
            wasi.wall_clock(Still)
                .monotonic_clock(Still)
                .secure_random(bytes())
                .insecure_random(bytes())
                .insecure_random_seed(0);
        }
    }
}

/// A clock that stands still.
struct Still;

impl HostWallClock for Still {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(FIXED_MS)
    }
}

impl HostMonotonicClock for Still {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        STILL_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_bytes_go_on_where_the_last_call_ended() {
        let (mut whole, mut first, mut rest) = ([0; 20], [0; 3], [0; 17]);
        Outside::Fixed.fill(&mut whole, &mut 0).expect("bytes");
        let mut drawn = 0;
        Outside::Fixed.fill(&mut first, &mut drawn).expect("bytes");
        Outside::Fixed.fill(&mut rest, &mut drawn).expect("bytes");
        assert_eq!([&first[..], &rest].concat(), whole);
        assert_eq!(drawn, 20);
    }

    #[test]
    fn fixed_clocks_stand_still() {
        assert_eq!(Outside::Fixed.unix_ms(), FIXED_MS);
        assert_eq!(
            clock::rfc3339(FIXED_MS).to_string(),
            "2026-08-01T10:00:00.000Z"
        );
        assert_eq!(Outside::Fixed.monotonic_us(), 0);
        assert!(Outside::System.unix_ms() > FIXED_MS / 2);
    }
}
