//! `wasi:http`: the capability `http` as the standard libraries of some languages know it, such as `fetch` of StarlingMonkey.
//!
//! The library makes requests of a guest's calls; where they may go, how large they may be, how many a plugin may have and how
//! long they may take is as for `http.send`. A response is taken whole before the guest sees its head.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::CONTENT_LENGTH;
use hyper::{Request, Response};
use sluicegate_outbound::Error as OutboundError;
use tokio::sync::watch;
use tokio::time::timeout;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks,
};

use super::request::{BODY_MAX, FIELD_BYTES_MAX, legal};
use super::wasi::Console;
use crate::bindings::sluicegate::plugin::http::Request as Given;
use crate::context::WAIT_MAX;
use crate::waiting::Caller;
use crate::wit::Field;

/// A guest's requests.
pub(crate) struct WasiHttp {
    context: WasiHttpCtx,
    requests: Requests,
}

struct Requests {
    console: Arc<Console>,
    /// Whose call it is.
    caller: Caller,
    /// Every request is denied.
    on_trial: bool,
    /// Each request that is on its way has a receiver, and ends when this is dropped.
    on_their_way: watch::Sender<()>,
}

/// A future of the library, which it runs as a task of its own.
type Boxed<T> = Box<dyn Future<Output = T> + Send>;

/// A response, and what is left to do for its connection.
type Received = (Response<WasiBody>, Boxed<Result<(), Error>>);

impl WasiHttp {
    /// No requests yet. What goes wrong with them is told there.
    pub(crate) fn new(console: Arc<Console>) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(FIELD_BYTES_MAX);
        Self {
            context,
            requests: Requests {
                console,
                caller: Caller::default(),
                on_trial: false,
                on_their_way: watch::Sender::new(()),
            },
        }
    }

    /// What the library works on in a call.
    pub(crate) fn view<'a>(
        &'a mut self,
        table: &'a mut ResourceTable,
        caller: Caller,
        on_trial: bool,
    ) -> WasiHttpCtxView<'a> {
        (self.requests.caller, self.requests.on_trial) = (caller, on_trial);
        WasiHttpCtxView {
            hooks: &mut self.requests,
            table,
            ctx: &mut self.context,
        }
    }

    /// Whether there are requests on their way.
    pub(crate) fn is_waiting(&self) -> bool {
        self.requests.on_their_way.receiver_count() > 0
    }

    /// Ends the requests that are on their way: the guest gets an error for each.
    pub(crate) fn end(&mut self) {
        self.requests.on_their_way = watch::Sender::new(());
    }
}

impl WasiHttpHooks for Requests {
    fn set_host_header(&mut self) -> bool {
        // Our client sets it.
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Boxed<Result<(), Error>>,
    ) -> Boxed<Result<Received, Error>> {
        let console = self.console.clone();
        let granted = &console.owner().granted;
        let services = granted.services.as_ref().filter(|_| !self.on_trial);
        let Some((services, client)) = services.zip(granted.client.clone()) else {
            return Box::new(async { Err(Error::HttpRequestDenied) });
        };
        let Some(waits) = services.may_wait(self.caller) else {
            return Box::new(async { Err(Error::ConnectionLimitReached) });
        };
        let limit = time_limit(options);
        let origin = request.uri().authority().map(ToString::to_string);
        let origin = origin.unwrap_or_default();
        let mut ended = self.on_their_way.subscribe();
        Box::new(async move {
            let sent = async {
                let (to, request) = legal(given(request).await?)
                    .map_err(|_| Error::InternalError(Some("the request is not legal".into())))?;
                let sent = client.send(to, request).await;
                sent.map_err(|error| {
                    tell(&console, &error.to_string());
                    shown(&error)
                })
            };
            let received = tokio::select! {
                biased;
                received = timeout(limit, sent) => received.ok(),
                _ = ended.changed() => None,
            };
            let received = received.unwrap_or_else(|| {
                tell(&console, &format!("no response from {origin} in time"));
                Err(Error::HttpResponseTimeout)
            });
            drop(waits);
            let response =
                received?.map(|body| Full::new(body).map_err(Error::from).boxed_unsync());
            Ok((response, Box::new(async { Ok(()) }) as Boxed<_>))
        })
    }
}

/// Tells the log why a request has no response.
fn tell(console: &Console, error: &str) {
    if console.may_log() {
        let (plugin, req) = (&*console.owner().name, console.req());
        tracing::warn!(plugin, req, error, "a plugin's request failed");
    }
}

/// How long a request may take.
fn time_limit(options: Option<RequestOptions>) -> Duration {
    let asked = options.and_then(|options| options.first_byte_timeout);
    asked.map_or(WAIT_MAX, |asked| asked.min(WAIT_MAX))
}

/// The request as `http.send` would be given it.
#[expect(clippy::disallowed_methods, reason = "it is limited")]
async fn given(request: Request<WasiBody>) -> Result<Given, Error> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_MAX).collect().await;
    let body = body.map_err(|error| match error.downcast::<LengthLimitError>() {
        Ok(_) => Error::HttpRequestBodySize(None),
        Err(_) => Error::HttpProtocolError,
    })?;
    // Our client sends the length of the body that it has.
    let fields = head
        .headers
        .iter()
        .filter(|(name, _)| *name != CONTENT_LENGTH);
    Ok(Given {
        method: head.method.to_string(),
        url: head.uri.to_string(),
        fields: fields
            .map(|(name, value)| Field {
                name: name.as_str().to_owned(),
                value: value.as_bytes().to_vec(),
            })
            .collect(),
        body: Vec::from(body.to_bytes()),
        timeout_ms: 0,
    })
}

/// What the guest is told.
fn shown(error: &OutboundError) -> Error {
    match error {
        OutboundError::Origin(_) | OutboundError::Address { .. } => Error::HttpRequestDenied,
        OutboundError::Connect { .. } => Error::ConnectionRefused,
        OutboundError::Broken { .. } => Error::ConnectionTerminated,
        OutboundError::TooLarge(_) => Error::HttpResponseBodySize(None),
    }
}
