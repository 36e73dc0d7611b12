//! Rates: token buckets for what one user or one socket sends, and counts of failed logins.
//!
//! Pure: the time is an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// How long a secret or an address waits after too many failed logins.
const PENALTY: Duration = Duration::from_secs(5 * 60);
/// The period in which failed logins are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// The most addresses, and secrets, that are remembered. Beyond that, expired ones are forgotten first, then any.
const REMEMBERED: usize = 10_000;

/// A bucket that fills at a steady rate.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// Tokens per second.
    rate: f64,
    size: f64,
    level: f64,
    seen: Instant,
}

impl Bucket {
    /// A full bucket of `size` tokens that gains `per` tokens in `period`.
    pub(crate) fn new(size: u32, per: u32, period: Duration, now: Instant) -> Self {
        let size = f64::from(size.max(1));
        Self {
            rate: f64::from(per.max(1)) / period.as_secs_f64(),
            size,
            level: size,
            seen: now,
        }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// The time until there is one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let gained = now.saturating_duration_since(self.seen).as_secs_f64() * self.rate;
        self.level = (self.level + gained).min(self.size);
        self.seen = now;
        if self.level >= 1.0 {
            self.level -= 1.0;
            Ok(())
        } else {
            Err(Duration::from_secs_f64((1.0 - self.level) / self.rate))
        }
    }

    /// Returns a token that was not used after all.
    pub(crate) fn give_back(&mut self) {
        self.level = (self.level + 1.0).min(self.size);
    }

    /// Whether it is full by now, and so equal to one that was never used.
    pub(crate) fn full(&self, now: Instant) -> bool {
        self.level + now.saturating_duration_since(self.seen).as_secs_f64() * self.rate >= self.size
    }
}

/// Failed logins, of each secret and of each address.
/// A secret that is tried again and again is not a guess but a program with an old token: it counts against the secret each
/// time, and only once against the address, which may be a whole office.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    most: u32,
    addresses: HashMap<IpAddr, Failures>,
    secrets: HashMap<(IpAddr, Tag), Failures>,
}

/// A part of a secret's digest: enough to tell secrets apart.
type Tag = [u8; 8];

#[derive(Debug)]
struct Failures {
    count: u32,
    since: Instant,
    until: Option<Instant>,
}

impl Attempts {
    /// Allows `most` failures per minute with one secret, and with different secrets from one address.
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most: most.max(1),
            ..Self::default()
        }
    }

    /// Whether a secret may be tried from this address.
    ///
    /// # Errors
    /// The time to wait.
    pub(crate) fn check(
        &self,
        address: IpAddr,
        secret: &[u8; 32],
        now: Instant,
    ) -> Result<(), Duration> {
        let address = group(address);
        let until = [
            self.addresses.get(&address),
            self.secrets.get(&(address, tag(secret))),
        ];
        let until = until
            .into_iter()
            .flatten()
            .filter_map(|failures| failures.until);
        match until.max().filter(|until| *until > now) {
            Some(until) => Err(until - now),
            None => Ok(()),
        }
    }

    /// Counts a failure.
    pub(crate) fn failed(&mut self, address: IpAddr, secret: &[u8; 32], now: Instant) {
        let address = group(address);
        if count(&mut self.secrets, (address, tag(secret)), self.most, now) == 1 {
            count(&mut self.addresses, address, self.most, now);
        }
    }
}

/// Counts a failure and returns their number.
fn count<K: Eq + Hash>(known: &mut HashMap<K, Failures>, key: K, most: u32, now: Instant) -> u32 {
    if known.len() >= REMEMBERED {
        known.retain(|_, failures| failures.live(now));
        if known.len() >= REMEMBERED {
            known.clear();
        }
    }
    let fresh = || Failures {
        count: 0,
        since: now,
        until: None,
    };
    let failures = known.entry(key).or_insert_with(fresh);
    if !failures.live(now) {
        *failures = fresh();
    }
    failures.count += 1;
    if failures.count >= most {
        failures.until = Some(now + PENALTY);
    }
    failures.count
}

fn tag(secret: &[u8; 32]) -> Tag {
    let mut tag = Tag::default();
    tag.copy_from_slice(&secret[..8]);
    tag
}

impl Failures {
    fn live(&self, now: Instant) -> bool {
        match self.until {
            Some(until) => until > now,
            None => now.saturating_duration_since(self.since) < WINDOW,
        }
    }
}

/// Whoever has one IPv6 address usually has the whole /64.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (u128::MAX << 64)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_size_at_once_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(2, 60, Duration::from_secs(60), start);
        assert_eq!(bucket.take(start), Ok(()));
        assert_eq!(bucket.take(start), Ok(()));
        assert_eq!(bucket.take(start), Err(Duration::from_secs(1)));
        assert_eq!(
            bucket.take(start + Duration::from_millis(500)),
            Err(Duration::from_millis(500))
        );
        assert_eq!(bucket.take(start + Duration::from_secs(1)), Ok(()));
        assert!(
            !bucket.full(start + Duration::from_secs(2))
                && bucket.full(start + Duration::from_secs(3))
        );
        bucket.give_back();
        assert_eq!(bucket.take(start + Duration::from_secs(1)), Ok(()));
    }

    /// The digest of one of many secrets.
    fn secret(n: u8) -> [u8; 32] {
        [n; 32]
    }

    #[test]
    fn ten_failures_in_a_minute_cost_five_minutes() {
        let (start, address) = (Instant::now(), IpAddr::from([10, 0, 0, 1]));
        let mut attempts = Attempts::new(10);
        for n in 0..9 {
            attempts.failed(address, &secret(n), start);
        }
        let check = |attempts: &Attempts, now| attempts.check(address, &secret(99), now);
        assert_eq!(check(&attempts, start), Ok(()));
        attempts.failed(address, &secret(9), start);
        assert_eq!(check(&attempts, start), Err(PENALTY));
        let other = IpAddr::from([10, 0, 0, 2]);
        assert_eq!(attempts.check(other, &secret(99), start), Ok(()));
        assert_eq!(check(&attempts, start + PENALTY), Ok(()));
        attempts.failed(address, &secret(10), start + PENALTY);
        assert_eq!(
            check(&attempts, start + PENALTY),
            Ok(()),
            "the count starts anew"
        );
    }

    #[test]
    fn one_wrong_secret_again_and_again_locks_nobody_else_out() {
        let (start, address) = (Instant::now(), IpAddr::from([10, 0, 0, 1]));
        let mut attempts = Attempts::new(10);
        for _ in 0..1_000 {
            attempts.failed(address, &secret(1), start);
        }
        assert_eq!(attempts.check(address, &secret(1), start), Err(PENALTY));
        assert_eq!(attempts.check(address, &secret(2), start), Ok(()));
    }

    #[test]
    fn slow_failures_are_forgiven() {
        let (start, address) = (Instant::now(), IpAddr::from([10, 0, 0, 1]));
        let mut attempts = Attempts::new(2);
        attempts.failed(address, &secret(1), start);
        attempts.failed(address, &secret(2), start + WINDOW);
        assert_eq!(attempts.check(address, &secret(3), start + WINDOW), Ok(()));
    }

    #[test]
    fn neighbours_in_a_v6_network_and_mapped_v4_addresses_count_as_one() {
        let v6 = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(group(v6("2001:db8::1")), group(v6("2001:db8::2")));
        assert_ne!(group(v6("2001:db8::1")), group(v6("2001:db8:0:1::1")));
        assert_eq!(group(v6("::ffff:10.0.0.1")), IpAddr::from([10, 0, 0, 1]));
    }

    #[test]
    fn the_memory_is_bounded() {
        let now = Instant::now();
        let mut attempts = Attempts::new(2);
        for n in 0..(u32::try_from(REMEMBERED).expect("small") + 5) {
            attempts.failed(IpAddr::from(n.to_be_bytes()), &secret(1), now);
        }
        assert!(attempts.addresses.len() <= REMEMBERED);
        assert!(attempts.secrets.len() <= REMEMBERED);
    }
}
