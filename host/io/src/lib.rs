//! Writing what lies in several pieces.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// Bytes up to which pieces are copied together: what the system does for a list of pieces costs more than that. Holds the
/// head of a usual request with its body, and an event with its chunk's frame.
const JOINED: usize = 2 * 1024;

/// Writes pieces with one call to the system.
///
/// # Errors
/// Those of the stream.
pub fn poll_write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let stream = Pin::new(stream);
    let mut full = pieces.iter().filter(|piece| !piece.is_empty());
    if let (Some(only), None) = (full.next(), full.next()) {
        return stream.poll_write(cx, only);
    }
    let size: usize = pieces.iter().map(|piece| piece.len()).sum();
    if size > JOINED {
        return stream.poll_write_vectored(cx, pieces);
    }
    let mut joined = [0; JOINED];
    let mut end = 0;
    for piece in pieces {
        joined[end..end + piece.len()].copy_from_slice(piece);
        end += piece.len();
    }
    stream.poll_write(cx, &joined[..end])
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn pieces_come_out_as_one_whatever_their_sizes() {
        let large = vec![b'x'; JOINED + 1];
        for pieces in [
            vec![&b""[..], b""],
            vec![b"", b"only", b""],
            vec![b"one", b"", b"two", b"three"],
            vec![&large],
            vec![b"head", &large, b"end"],
            vec![&large[1..]],
            vec![b"x", &large[2..]],
            vec![b"x", &large[1..]],
        ] {
            let whole = pieces.concat();
            let (mut near, mut far) = tokio::io::duplex(2 * large.len());
            let slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            let written = poll_fn(|cx| poll_write(&mut near, cx, &slices)).await;
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
