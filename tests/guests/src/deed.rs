//! Deeds that need nothing of the exchange: what a broken or hostile plugin does to its sandbox.

use std::hint::black_box;

/// Bytes that the memory bomb takes at a time.
const BITE: usize = 1 << 20;

/// Performs an act; comes back if it is an unknown or a harmless one.
pub fn perform(act: &str) {
    match act {
        "loop" => spin(),
        "memory" => eat(),
        "trap" => panic!("the guest was told to trap"),
        "stack" => {
            black_box(descend(0));
        }
        "much" => {
            // Half of the limit of 16 MiB: allowed, but all of it has to be reset for the next exchange.
            black_box(vec![1_u8; 8 * BITE]);
        }
        _ => {}
    }
}

#[expect(clippy::infinite_loop, reason = "the host must end it")]
fn spin() {
    loop {
        black_box(0);
    }
}

/// Allocates memory until there is none left.
fn eat() {
    let mut eaten = Vec::new();
    loop {
        eaten.push(black_box(vec![1_u8; BITE]));
    }
}

/// Goes down until the stack is used up. The array keeps each frame large, its use afterwards keeps the call a call.
fn descend(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if frame[0] == u64::MAX {
        return 0;
    }
    descend(depth + 1) + frame[0]
}
