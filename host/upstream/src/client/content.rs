//! The body of a response: where it ends, and which bytes are its own.
//!
//! # Source
//! RFC 9112, section 6.3 (length of a message body) and section 7.1 (chunked transfer coding).

use super::error::Error;

/// The most bytes of a chunk's size line with its extensions, and of all trailers together. Arbitrary; real ones have ten.
const LINE_MAX: u32 = 16 * 1024;

/// What is still to come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// This many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunked),
    /// Everything until the server closes the connection.
    ToEnd,
}

impl Content {
    /// A body in chunks that has not begun.
    pub(super) const CHUNKED: Self = Self::Chunked(Chunked {
        state: State::Size,
        left: 0,
        line: 0,
    });

    /// Whether the body is complete. A body that goes on until the end of the connection never is.
    pub(super) fn is_complete(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.state == State::End,
            Self::ToEnd => false,
        }
    }

    /// Takes bytes as they came, and moves those that belong to the body to the front.
    pub(super) fn take(&mut self, bytes: &mut [u8]) -> Taken {
        let all = |count| Taken {
            kept: count,
            consumed: count,
            error: None,
        };
        match self {
            Self::Length(left) => {
                let taken =
                    usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= taken as u64;
                all(taken)
            }
            Self::Chunked(chunked) => chunked.take(bytes),
            Self::ToEnd => all(bytes.len()),
        }
    }
}

/// The result of taking some bytes.
#[derive(Debug)]
pub(super) struct Taken {
    /// How many of them belong to the body.
    pub(super) kept: usize,
    /// How many were consumed; the others lie behind the end of the body.
    pub(super) consumed: usize,
    /// Why the body breaks off behind the kept bytes.
    pub(super) error: Option<Error>,
}

/// A place in a body of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunked {
    state: State,
    /// The size of the chunk as far as it is known, then its bytes still to come.
    left: u64,
    /// Bytes of the size line, or of the trailers, so far.
    line: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the first digit of a size.
    Size,
    /// Behind it.
    Digits,
    /// In blanks behind it.
    Blanks,
    /// In an extension, which means nothing here.
    Extension,
    /// Before the LF of a size line.
    SizeEnd,
    Data,
    /// Before the CR, then the LF behind a chunk.
    DataCr,
    DataEnd,
    /// At the beginning of a line of the trailers, in such a line, before its LF.
    Trailers,
    Trailer,
    TrailerEnd,
    /// Before the last LF.
    LastEnd,
    End,
}

impl State {
    /// Whether it is in a size line, behind the first digit, or in the trailers.
    const fn is_line(self) -> bool {
        match self {
            Self::Size | Self::DataCr | Self::DataEnd | Self::Data | Self::End => false,
            Self::Digits
            | Self::Blanks
            | Self::Extension
            | Self::SizeEnd
            | Self::Trailers
            | Self::Trailer
            | Self::TrailerEnd
            | Self::LastEnd => true,
        }
    }
}

impl Chunked {
    fn take(&mut self, bytes: &mut [u8]) -> Taken {
        let (mut kept, mut at) = (0, 0);
        let mut error = None;
        while at < bytes.len() && self.state != State::End {
            if self.state == State::Data {
                let there = bytes.len() - at;
                let size = usize::try_from(self.left).map_or(there, |left| left.min(there));
                bytes.copy_within(at..at + size, kept);
                kept += size;
                at += size;
                self.left -= size as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            match self.step(bytes[at]) {
                Ok(state) => self.state = state,
                Err(reason) => {
                    error = Some(reason);
                    break;
                }
            }
            at += 1;
        }
        Taken {
            kept,
            consumed: at,
            error,
        }
    }

    /// Takes one byte of the framing around the data.
    fn step(&mut self, byte: u8) -> Result<State, Error> {
        if self.state.is_line() {
            self.line += 1;
            if self.line > LINE_MAX {
                return Err(Error::Chunk("a line around its data is too long"));
            }
        } else {
            self.line = 0;
        }
        Ok(match (self.state, byte) {
            (State::Size, _) => {
                self.left = digit(byte)?;
                State::Digits
            }
            (State::Digits | State::Blanks, b';') => State::Extension,
            (State::Digits | State::Blanks, b' ' | b'\t') => State::Blanks,
            (State::Digits | State::Blanks | State::Extension, b'\r') => State::SizeEnd,
            (State::Blanks, _) => return Err(Error::Chunk("its size is not a number")),
            (State::Digits, _) => {
                let digit = digit(byte)?;
                let shifted = self.left.checked_mul(16);
                let size = shifted.ok_or(Error::Chunk("its size does not fit 64 bits"))?;
                self.left = size + digit;
                State::Digits
            }
            (State::Extension, b'\n') => {
                return Err(Error::Chunk("its size line ends without CR"));
            }
            (State::Extension, _) => State::Extension,
            (State::SizeEnd, b'\n') if self.left == 0 => State::Trailers,
            (State::SizeEnd, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => State::Size,
            (State::Trailers, b'\r') => State::LastEnd,
            (State::Trailers | State::Trailer, b'\n') => {
                return Err(Error::Chunk("a trailer ends without CR"));
            }
            (State::Trailer, b'\r') => State::TrailerEnd,
            (State::Trailers | State::Trailer, _) => State::Trailer,
            (State::TrailerEnd, b'\n') => State::Trailers,
            (State::LastEnd, b'\n') => State::End,
            (State::SizeEnd | State::TrailerEnd | State::LastEnd, _) => {
                return Err(Error::Chunk("a CR without LF"));
            }
            (State::DataCr | State::DataEnd, _) => {
                return Err(Error::Chunk("it is longer than its size"));
            }
            // `take` never calls this in these states.
            (State::Data | State::End, _) => self.state,
        })
    }
}

fn digit(byte: u8) -> Result<u64, Error> {
    char::from(byte)
        .to_digit(16)
        .map(u64::from)
        .ok_or(Error::Chunk("its size is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body in `parts` and whether it is complete, with how many bytes were left over behind it.
    fn read<'a>(
        mut content: Content,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(Vec<u8>, bool, usize), Error> {
        let (mut body, mut over) = (Vec::new(), 0);
        for part in parts {
            let mut part = part.to_vec();
            let taken = content.take(&mut part);
            body.extend_from_slice(&part[..taken.kept]);
            over += part.len() - taken.consumed;
            taken.error.map_or(Ok(()), Err)?;
        }
        Ok((body, content.is_complete(), over))
    }

    fn refused(bytes: &[u8]) -> &'static str {
        match read(Content::CHUNKED, [bytes]) {
            Err(Error::Chunk(reason)) => reason,
            other => panic!("{bytes:?} gave {other:?}"),
        }
    }

    const CHUNKS: &[u8] =
        b"5\r\nhello\r\n1;name=\"x\"\r\n,\r\n0B \r\n good\nworld\r\n000\r\nX-Sum: 1\r\nY: 2\r\n\r\n";

    #[test]
    fn chunks_are_the_same_however_they_are_cut() {
        let whole = (b"hello, good\nworld".to_vec(), true, 0);
        assert_eq!(read(Content::CHUNKED, [CHUNKS]).expect("legal"), whole);
        assert_eq!(
            read(Content::CHUNKED, CHUNKS.chunks(1)).expect("legal"),
            whole
        );
        for cut in 0..CHUNKS.len() {
            let (a, b) = CHUNKS.split_at(cut);
            assert_eq!(
                read(Content::CHUNKED, [a, b]).expect("legal"),
                whole,
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn chunks_that_end_early_are_not_complete() {
        for end in 0..CHUNKS.len() {
            let (body, complete, over) =
                read(Content::CHUNKED, [&CHUNKS[..end]]).expect("legal so far");
            assert!(!complete && over == 0, "complete after {end}");
            assert!(b"hello, good\nworld".starts_with(&body), "after {end}");
        }
    }

    #[test]
    fn what_follows_a_body_is_left() {
        let bytes = [CHUNKS, b"HTTP/1.1 200 OK"].concat();
        let (body, complete, over) = read(Content::CHUNKED, [bytes.as_slice()]).expect("legal");
        assert_eq!(
            (body.as_slice(), complete, over),
            (&b"hello, good\nworld"[..], true, 15)
        );
        let (body, complete, over) =
            read(Content::Length(5), [b"hel".as_slice(), b"lo, you"]).expect("legal");
        assert_eq!((body.as_slice(), complete, over), (&b"hello"[..], true, 5));
        let (body, complete, over) =
            read(Content::ToEnd, [b"hel".as_slice(), b"lo"]).expect("legal");
        assert_eq!((body.as_slice(), complete, over), (&b"hello"[..], false, 0));
    }

    #[test]
    fn chunks_that_make_no_sense_are_refused() {
        assert_eq!(refused(b"\r\n"), "its size is not a number");
        assert_eq!(refused(b"+5\r\nhello"), "its size is not a number");
        assert_eq!(refused(b"5g\r\n"), "its size is not a number");
        assert_eq!(refused(b"5 5\r\n"), "its size is not a number");
        assert_eq!(refused(b"5\nhello"), "its size is not a number");
        assert_eq!(refused(b"5;x\nhello"), "its size line ends without CR");
        assert_eq!(refused(b"5\rhello"), "a CR without LF");
        assert_eq!(refused(b"5\r\nhelloo"), "it is longer than its size");
        assert_eq!(refused(b"5\r\nhello\rx"), "it is longer than its size");
        assert_eq!(
            refused(b"10000000000000000\r\n"),
            "its size does not fit 64 bits"
        );
        assert_eq!(refused(b"0\r\nx: y\n"), "a trailer ends without CR");
        assert_eq!(refused(b"0\r\n\rx"), "a CR without LF");
        let long = [b"5;".as_slice(), &[b'x'; LINE_MAX as usize]].concat();
        assert_eq!(refused(&long), "a line around its data is too long");
        let trailers = [b"0\r\n".as_slice(), &b"a: b\r\n".repeat(4_000)].concat();
        assert_eq!(refused(&trailers), "a line around its data is too long");
    }

    #[test]
    fn what_came_before_a_bad_chunk_is_kept_and_nothing_of_its_frame() {
        let mut bytes = *b"5\r\nhello\r\nzz\r\nworld";
        let mut content = Content::CHUNKED;
        let taken = content.take(&mut bytes);
        assert_eq!(&bytes[..taken.kept], b"hello");
        assert!(matches!(taken.error, Some(Error::Chunk(_))));
    }

    #[test]
    fn the_largest_size_is_legal_and_never_complete() {
        let (body, complete, _) =
            read(Content::CHUNKED, [b"ffffffffffffffff\r\nhello".as_slice()]).expect("legal");
        assert_eq!((body.as_slice(), complete), (&b"hello"[..], false));
    }
}
