//! A gate that sends requests by `wasi:http`, all at once, and responds with what came of each.
//!
//! The field `x-fetch` holds URLs, separated by blanks. A path `/post` is sent a body. `/post-1` is one byte longer than allowed.
#![cfg(target_family = "wasm")]

use sluicegate_guests::Config;
use sluicegate_plugin::{Context, Gate, Manifest, Plugin, Reply, Stop};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, Method, OutgoingBody, OutgoingRequest,
    Scheme,
};
use wasip2::io::streams::StreamError;

struct Guest;

impl Plugin for Guest {
    type Config = Config;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new("guest-fetcher", "1.2.3", "Sends requests").config(Config::SCHEMA)
    }

    fn configure(config: Config) -> Result<Self, String> {
        config.obey()?;
        // Nothing is granted here, and that is no reason to fail.
        match fetched(begun("http://127.0.0.1:9/")) {
            Err(ErrorCode::HttpRequestDenied) => Ok(Self),
            other => Err(format!("while it is loaded: {other:?}")),
        }
    }
}

impl Gate for Guest {
    fn check(&self, (): &mut (), ctx: &Context<'_>) -> Result<(), Stop> {
        let urls = ctx.get("x-fetch").unwrap_or_default();
        let urls = String::from_utf8_lossy(&urls).into_owned();
        let begun: Vec<_> = urls.split_whitespace().map(begun).collect();
        let results: Vec<_> = begun
            .into_iter()
            .map(|begun| fetched(begun).unwrap_or_else(|error| format!("{error:?}")))
            .collect();
        let json = serde_json::to_string(&results).expect("texts");
        Err(Reply::new(200, "guest.done").json(json).into())
    }
}

/// Sends a request, without waiting for its response.
fn begun(url: &str) -> Result<FutureIncomingResponse, ErrorCode> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let request = OutgoingRequest::new(Fields::new());
    let set = request.set_scheme(Some(&Scheme::Http)).is_ok()
        && request.set_authority(Some(authority)).is_ok()
        && request.set_path_with_query(Some(path)).is_ok();
    assert!(set, "{url}");
    let body = match path {
        "/post" => "a body".to_owned(),
        "/post-1" => "x".repeat((1 << 20) + 1),
        _ => return handle(request, None),
    };
    assert!(request.set_method(&Method::Post).is_ok());
    let outgoing = request.body().expect("it is taken once");
    let response = handle(request, None)?;
    let stream = outgoing.write().expect("it is taken once");
    for chunk in body.as_bytes().chunks(4096) {
        if stream.blocking_write_and_flush(chunk).is_err() {
            // The response says why.
            break;
        }
    }
    drop(stream);
    let finished = OutgoingBody::finish(outgoing, None);
    finished.map(|()| response)
}

/// Waits for the response, and reads it.
fn fetched(begun: Result<FutureIncomingResponse, ErrorCode>) -> Result<String, ErrorCode> {
    let future = begun?;
    future.subscribe().block();
    let response = future
        .get()
        .expect("it is ready")
        .expect("it is taken once")?;
    let body: IncomingBody = response.consume().expect("it is taken once");
    let stream = body.stream().expect("it is taken once");
    let mut text = Vec::new();
    loop {
        match stream.blocking_read(65_536) {
            Ok(bytes) => text.extend(bytes),
            Err(StreamError::Closed) => break,
            Err(error) => return Err(ErrorCode::InternalError(Some(format!("{error:?}")))),
        }
    }
    let text = String::from_utf8_lossy(&text);
    Ok(format!("{} {text}", response.status()))
}

sluicegate_plugin::export!(Guest: gate);
