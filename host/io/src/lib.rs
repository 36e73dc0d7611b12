//! Vectored writes: several slices with one call.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// Slices of up to this many bytes in all are copied into one: that is cheaper than a vectored write. Enough for a usual
/// request, head and body, and for an event in its chunk.
const JOINED: usize = 2 * 1024;

/// Writes slices with one system call.
///
/// # Errors
/// Those of the stream.
pub fn poll_write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let stream = Pin::new(stream);
    let mut full = slices.iter().filter(|slice| !slice.is_empty());
    if let (Some(only), None) = (full.next(), full.next()) {
        return stream.poll_write(cx, only);
    }
    let size: usize = slices.iter().map(|slice| slice.len()).sum();
    if size > JOINED {
        return stream.poll_write_vectored(cx, slices);
    }
    let mut joined = [0; JOINED];
    let mut end = 0;
    for slice in slices {
        joined[end..end + slice.len()].copy_from_slice(slice);
        end += slice.len();
    }
    stream.poll_write(cx, &joined[..end])
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn slices_of_any_size_are_written_in_order() {
        let large = vec![b'x'; JOINED + 1];
        for slices in [
            vec![&b""[..], b""],
            vec![b"", b"only", b""],
            vec![b"one", b"", b"two", b"three"],
            vec![&large],
            vec![b"head", &large, b"end"],
            vec![&large[1..]],
            vec![b"x", &large[2..]],
            vec![b"x", &large[1..]],
        ] {
            let whole = slices.concat();
            let (mut near, mut far) = tokio::io::duplex(2 * large.len());
            let io_slices: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
            let written = poll_fn(|cx| poll_write(&mut near, cx, &io_slices)).await;
            let written = written.expect("the other end is there");
            drop(near);
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.expect("it ends");
            // A stream may take less, but what it takes is the beginning.
            assert_eq!(got, whole[..written]);
            assert!(written > 0 || whole.is_empty());
            assert!(written == whole.len() || whole.len() > JOINED);
        }
    }
}
