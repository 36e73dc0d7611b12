//! Probabilities of tokens. Pure.

/// A made-up probability of a token and of that many alternatives, of which the token is the first.
pub(super) fn of(token: &str, alternatives: usize) -> (f64, Vec<(&str, f64)>) {
    // Arbitrary, but the same for the same token.
    let spread = token
        .bytes()
        .fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    let logprob = -f64::from(spread) / 256.0;
    let others = [
        "~", "?", "!", "-", "+", "*", "/", "=", "#", "%", "^", "|", ";", ":", ",", ".", "(", ")",
        "[",
    ];
    let step = |rank: usize| f64::from(u32::try_from(rank).unwrap_or(u32::MAX)) * 1.5;
    let all = std::iter::once(token).chain(others).take(alternatives);
    let all = all
        .enumerate()
        .map(|(rank, token)| (token, logprob - step(rank)));
    (logprob, all.collect())
}
