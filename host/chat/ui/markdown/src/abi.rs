//! The module's interface: three functions and two buffers that live as long as the instance.
//!
//! The page calls `input(len)`, writes the UTF-8 text at the address it got, calls `parse(streaming)`, and reads that many
//! bytes at `output()`. Addresses are valid until the next call, which may move the memory.

#![expect(
    unsafe_code,
    reason = "exporting a symbol by name is an unsafe attribute; there is no unsafe block"
)]

use std::cell::RefCell;

use crate::{Mode, tokens};

thread_local! {
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static OUTPUT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Makes room for a text of `len` bytes and returns where to write it.
#[unsafe(no_mangle)]
extern "C" fn input(len: usize) -> *mut u8 {
    INPUT.with_borrow_mut(|buffer| {
        buffer.clear();
        buffer.resize(len, 0);
        buffer.as_mut_ptr()
    })
}

/// Parses the text and returns the length of the output in bytes. Invalid UTF-8 is replaced.
#[unsafe(no_mangle)]
extern "C" fn parse(streaming: u32) -> usize {
    let mode = if streaming == 0 {
        Mode::Complete
    } else {
        Mode::Streaming
    };
    let answer = INPUT.with_borrow(|buffer| tokens(&String::from_utf8_lossy(buffer), mode));
    let length = answer.len();
    OUTPUT.with_borrow_mut(|output| *output = answer);
    length
}

/// The address of the output of the last `parse`.
#[unsafe(no_mangle)]
extern "C" fn output() -> *const u8 {
    OUTPUT.with_borrow(|output| output.as_ptr())
}
