//! Content codings of request bodies: stages and model servers see the decoded body.
//!
//! What comes out counts for the limit, so that a few kilobytes cannot become gigabytes.

use std::io;
use std::pin::pin;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use hyper::HeaderMap;
use hyper::header::{self, HeaderValue};
use sluicegate_config::Coding;
use sluicegate_upstream::body::{self, Limited};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt};
use tokio_util::io::StreamReader;

use super::body::unreadable;
use crate::failure::{Failure, Kind};

/// How much is decoded at a time. In between, other exchanges get their turn.
const STEP: usize = 64 * 1024;

/// The largest window of zstd, as a power of two: 8 MiB, which is what RFC 9659 allows in HTTP.
const WINDOW: u32 = 23;

/// The coding of a request body; `None` if it has none.
///
/// # Errors
/// [`Kind::UnsupportedCoding`] if it is not one of the `accepted` ones, or has several.
pub(in crate::exchange) fn of(
    fields: &HeaderMap,
    accepted: &[Coding],
) -> Result<Option<Coding>, Failure> {
    let mut coding = None;
    let values = fields.get_all(header::CONTENT_ENCODING);
    let is_one = values.iter().count() == 1;
    for value in values.iter().map(HeaderValue::as_bytes) {
        let known = match value.to_ascii_lowercase().as_slice() {
            b"identity" => continue,
            b"gzip" | b"x-gzip" => Some(Coding::Gzip),
            b"zstd" => Some(Coding::Zstd),
            _ => None,
        };
        coding = match known {
            Some(known) if is_one && accepted.contains(&known) => Some(known),
            Some(_) | None => return Err(unsupported(accepted)),
        };
    }
    Ok(coding)
}

fn unsupported(accepted: &[Coding]) -> Failure {
    let names: Vec<_> = accepted.iter().map(|coding| coding.name()).collect();
    if names.is_empty() {
        let message = "A request body must not have a content coding. Send it uncompressed.";
        return Failure::new(Kind::UnsupportedCoding, message);
    }
    let message = format!(
        "A request body may have one content coding: {}. Send it in that, or uncompressed.",
        names.join(" or ")
    );
    // RFC 9110, section 12.5.3.
    Failure::new(Kind::UnsupportedCoding, message).with_field("accept-encoding", &names.join(", "))
}

/// Reads and decodes a whole body, of which at most `limit` bytes may come out.
///
/// # Errors
/// As for other bodies, and [`Kind::InvalidRequest`] if it is not of this coding. The rest can still be discarded.
pub(super) async fn decode(
    body: &mut Limited,
    coding: Coding,
    limit: u64,
) -> Result<Bytes, Failure> {
    body.check_announced().map_err(unreadable)?;
    let budget = body.take_budget();
    let chunks = stream::try_unfold(&mut *body, async |body| {
        let chunk = body.next().await.transpose().map_err(io::Error::other)?;
        Ok::<_, io::Error>(chunk.map(|chunk| (chunk, body)))
    });
    let chunks = pin!(chunks);
    let mut chunks = StreamReader::new(chunks);
    let read = match coding {
        Coding::Gzip => {
            // One member: a million empty ones would be much work for nothing.
            let decoder = GzipDecoder::new(&mut chunks);
            let whole = collect(decoder, 0, limit, budget.as_ref()).await;
            match (whole, chunks.fill_buf().await) {
                (Ok(whole), Ok([])) => Ok(whole),
                (Ok(_), Ok(_)) => Err(io::ErrorKind::InvalidData.into()),
                (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            }
        }
        Coding::Zstd => {
            let window = [DParameter::window_log_max(WINDOW)];
            let mut decoder = ZstdDecoder::with_params(&mut chunks, &window);
            decoder.multiple_members(true);
            collect(decoder, 1 << WINDOW, limit, budget.as_ref()).await
        }
    };
    read.map_err(|error| match error.downcast::<body::Error>() {
        Ok(error) => unreadable(error),
        Err(error) => {
            let message = format!("The request body is not valid {}.", coding.name());
            Failure::new(Kind::InvalidRequest, message).caused_by(error)
        }
    })
}

/// Everything that a decoder gives. `held` is what it holds itself.
async fn collect(
    decoder: impl AsyncRead,
    held: usize,
    limit: u64,
    budget: Option<&body::Budget>,
) -> io::Result<Bytes> {
    let mut decoder = pin!(decoder);
    let mut whole = BytesMut::new();
    loop {
        if budget.is_some_and(|budget| !budget.may_keep(held + whole.len() + STEP)) {
            return Err(io::Error::other(body::Error::NoMemory));
        }
        whole.reserve(STEP);
        let step = (&mut decoder)
            .take(STEP as u64)
            .read_buf(&mut whole)
            .await?;
        if whole.len() as u64 > limit {
            return Err(io::Error::other(body::Error::TooLarge { limit }));
        }
        if step == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    if let Some(budget) = budget {
        // Less always fits.
        let _ = budget.may_keep(whole.len());
    }
    Ok(whole.freeze())
}
