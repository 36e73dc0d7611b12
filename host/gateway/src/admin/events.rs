//! What happens to plugins and configurations, as server-sent events.
//!
//! # Shape
//! Each event has the name `plugin` or `config`, a number as its `id` and JSON as its `data`. A client that comes again with
//! `last-event-id` gets what it has missed, as far as that is kept; the event `lost` says that something is not.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use super::{Admin, Body, error};
use crate::journal::{Entry, Journal};

/// A comment is sent when nothing has happened for this long, so that a client that is gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) fn follow(admin: &Arc<Admin>, headers: &HeaderMap) -> Response<Body> {
    let journal = admin.control.supply().versions.journal().clone();
    let from = match headers.get("last-event-id") {
        None => journal.last(),
        Some(value) => match value.to_str().ok().and_then(|text| text.parse().ok()) {
            Some(id) => journal.last().min(id),
            None => {
                return error(
                    StatusCode::BAD_REQUEST,
                    "last-event-id must be the id of an event",
                );
            }
        },
    };
    let Ok(place) = admin.followers.clone().try_acquire_owned() else {
        return error(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many clients follow the events already",
        );
    };
    let drain = admin.drain.clone();
    let events = stream::unfold((journal, from), next).take_until(drain.cancelled_owned());
    let events = events.inspect(move |_| {
        // Held as long as the stream.
        let _ = &place;
    });
    let mut response = Response::new(StreamBody::new(events).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The next events, or a comment.
async fn next(
    (journal, from): (Arc<Journal>, u64),
) -> Option<(Result<Frame<Bytes>, Infallible>, (Arc<Journal>, u64))> {
    let happened = timeout(HEARTBEAT, journal.beyond(from)).await;
    let mut text = String::new();
    let mut last = from;
    match happened {
        Err(_) => text.push_str(":\n\n"),
        Ok(()) => {
            let (lost, entries) = journal.after(from);
            if lost {
                text.push_str("event: lost\ndata: {}\n\n");
            }
            for entry in entries {
                last = entry.id;
                text.push_str(&event(&entry));
            }
        }
    }
    Some((Ok(Frame::data(text.into())), (journal, last)))
}

fn event(entry: &Entry) -> String {
    let mut data = entry.data.clone();
    if let Value::Object(data) = &mut data {
        data.insert("at_ms".to_owned(), entry.at_ms.into());
    }
    // JSON has no line ends of its own.
    format!("event: {}\nid: {}\ndata: {data}\n\n", entry.kind, entry.id)
}
