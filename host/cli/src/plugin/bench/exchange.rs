//! The calls of one exchange, each timed.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::bodies::Bodies;
use super::figures::Figures;
use sluicegate_contract::{Context, Identity};
use sluicegate_framing::{Event, Framing};
use sluicegate_gateway::exchange::scripted::{ID, UPSTREAM};
use sluicegate_plugin_host::instance::Instance;
use sluicegate_plugin_host::wit::{EventParam, RequestPlan, ResponsePlan};
use sluicegate_plugin_host::{Error, ExchangeContext, FIXED_MS, Plugin, TargetInfo};

/// Events in one call. 32 is the most that a stage is shown.
const BATCHES: [usize; 4] = [1, 4, 16, 32];

/// How the plugin wants to see the response.
pub(super) enum Body {
    /// Not at all: by its plan, by its exports, or because the exchange ends before.
    Unseen,
    Whole,
    Chunks,
    Events,
}

/// What a batch has led to.
pub(super) enum Taken {
    /// More can follow.
    On,
    /// The plugin has ended the body.
    Ended,
    /// The plugin has ended the exchange with a fault of this code.
    Refused(String),
}

pub(super) struct Call<'a> {
    pub(super) instance: Instance,
    context: ExchangeContext,
    bodies: &'a Bodies,
    plugin: &'a Plugin,
    /// Where the figures go, if they are wanted.
    figures: Option<&'a mut Figures>,
}

/// Measures the calls of an exchange. `number` chooses the size of its batches.
///
/// # Errors
/// The call that failed, in words.
pub(super) async fn measure(
    plugin: &Arc<Plugin>,
    bodies: &Bodies,
    number: usize,
    figures: &mut Figures,
) -> Result<(), String> {
    let batch = BATCHES[number % BATCHES.len()];
    let mut call = Call::new(plugin, bodies, Some(figures)).await?;
    match call.until_body().await? {
        Body::Unseen => {}
        Body::Whole => call.whole().await?,
        Body::Chunks => call.chunk().await?,
        Body::Events => call.events(batch).await?,
    }
    call.close().await
}

/// An instance in the middle of an exchange, which lives as long as what is returned.
///
/// # Errors
/// The call that failed, in words.
pub(super) async fn begun(plugin: &Arc<Plugin>, bodies: &Bodies) -> Result<Instance, String> {
    let mut call = Call::new(plugin, bodies, None).await?;
    if let Body::Events = call.until_body().await? {
        call.batches(1, bodies.events.get(..1).unwrap_or_default())
            .await?;
    }
    Ok(call.instance)
}

impl<'a> Call<'a> {
    pub(super) async fn new(
        plugin: &'a Arc<Plugin>,
        bodies: &'a Bodies,
        figures: Option<&'a mut Figures>,
    ) -> Result<Self, String> {
        let target = plugin.manifest().adapter.as_ref().map(|_| {
            Arc::new(TargetInfo {
                upstream: UPSTREAM.into(),
                target: UPSTREAM.into(),
                info: None,
            })
        });
        let (parts, body) = bodies.request.clone().into_parts();
        let identity = Identity {
            id: ID.into(),
            received_ms: FIXED_MS,
            route: parts.uri.path().into(),
            client: Ipv4Addr::LOCALHOST.into(),
        };
        let name: Arc<str> = UPSTREAM.into();
        let mut context = Context::new(identity, parts, name.clone(), [name].into());
        context.body = Some(body);
        let mut instance = Instance::new(plugin, target);
        // Made before the first call, so that this is not part of its figure.
        let made = instance.make().await;
        made.map_err(|error| format!("no instance can be made: {error}"))?;
        Ok(Self {
            instance,
            context: ExchangeContext::new(context),
            bodies,
            plugin,
            figures,
        })
    }

    /// All calls up to the body of the response.
    pub(super) async fn until_body(&mut self) -> Result<Body, String> {
        if !self.request().await? {
            return Ok(Body::Unseen);
        }
        // A body with two members of the same name is an error before any response.
        let frozen = self.context.freeze();
        frozen.map_err(|_| "the request has `model` or `stream` twice".to_owned())?;
        self.response_head().await
    }

    /// The request phases; false if the plugin ends the exchange there.
    async fn request(&mut self) -> Result<bool, String> {
        let exports = self.plugin.exports();
        if exports.gate {
            let began = Instant::now();
            let decided = self.instance.check(&mut self.context).await;
            if self.took("gate.check", began, decided)?.is_err() {
                return self.stops("gate.check");
            }
        }
        if !exports.request {
            return Ok(true);
        }
        let began = Instant::now();
        let decided = self.instance.request_head(&mut self.context).await;
        let Ok(plan) = self.took("request.head", began, decided)? else {
            return self.stops("request.head");
        };
        let body = self.bodies.request.body().clone();
        let shown = match plan {
            RequestPlan::Skip => return Ok(true),
            RequestPlan::Look => &b""[..],
            RequestPlan::Whole => &body,
        };
        let began = Instant::now();
        let decided = self.instance.request_body(&mut self.context, shown).await;
        match self.took("request.body", began, decided)? {
            Ok(_) => Ok(true),
            Err(_) => self.stops("request.body"),
        }
    }

    async fn response_head(&mut self) -> Result<Body, String> {
        let Some(response) = &self.bodies.response else {
            return Ok(Body::Unseen);
        };
        let exports = self.plugin.exports();
        let notes = |name: &str| self.context.note(name);
        if !exports.sees_response() || !self.plugin.manifest().wants_response(notes) {
            return Ok(Body::Unseen);
        }
        self.context.status = Some(response.status());
        self.context.response = response.headers().clone();
        if !exports.response {
            let is_stream = self.bodies.framing != Framing::Document;
            return Ok(if is_stream {
                Body::Events
            } else {
                Body::Unseen
            });
        }
        let began = Instant::now();
        let decided = self.instance.response_head(&mut self.context).await;
        let name = self.named("response.head");
        let Ok(plan) = self.took(&name, began, decided)? else {
            self.stops(&name)?;
            return Ok(Body::Unseen);
        };
        Ok(match plan {
            ResponsePlan::Skip => Body::Unseen,
            ResponsePlan::Whole => Body::Whole,
            ResponsePlan::Chunks => Body::Chunks,
            ResponsePlan::Sse | ResponsePlan::Ndjson | ResponsePlan::Document => Body::Events,
        })
    }

    pub(super) async fn whole(&mut self) -> Result<(), String> {
        let body = self.response_body();
        let began = Instant::now();
        let decided = self.instance.response_body(&mut self.context, &body).await;
        let name = self.named("response.body");
        self.took(&name, began, decided).map(drop)
    }

    pub(super) async fn chunk(&mut self) -> Result<(), String> {
        let body = self.response_body();
        let began = Instant::now();
        let decided = self.instance.chunk(&mut self.context, &body, true).await;
        let name = self.named("chunks.chunk, the whole body at once");
        self.took(&name, began, decided).map(drop)
    }

    async fn events(&mut self, batch: usize) -> Result<(), String> {
        let bodies = self.bodies;
        if self.batches(batch, &bodies.events).await? {
            self.end().await?;
        }
        Ok(())
    }

    pub(super) async fn end(&mut self) -> Result<(), String> {
        let began = Instant::now();
        let decided = self.instance.end(&mut self.context).await;
        self.took("events.end", began, decided).map(drop)
    }

    /// Hands over full batches only: what is left would be another size. False if the plugin ends the exchange.
    async fn batches(&mut self, size: usize, events: &[Event]) -> Result<bool, String> {
        for batch in events.chunks_exact(size) {
            let (taken, spent) = self.batch(batch).await?;
            if let Some(figures) = &mut self.figures {
                let name = format!("events.batch, {size} at a time, each event");
                figures.add(name, spent, size);
            }
            match taken {
                Taken::On => {}
                Taken::Ended => break,
                Taken::Refused(code) => {
                    if let Some(figures) = &mut self.figures {
                        figures.note(format!("`events.batch` refuses the events with `{code}`"));
                    }
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Hands over a batch, and says how long the call took.
    pub(super) async fn batch(&mut self, batch: &[Event]) -> Result<(Taken, Duration), String> {
        let text: Vec<_> = batch
            .iter()
            .map(|event| String::from_utf8_lossy(&event.data))
            .collect();
        let params: Vec<EventParam<'_>> = batch
            .iter()
            .zip(&text)
            .map(|(event, data)| EventParam {
                name: &event.name,
                data,
                id: event.id.as_deref(),
            })
            .collect();
        let began = Instant::now();
        let decided = self.instance.batch(&mut self.context, &params).await;
        let spent = began.elapsed();
        let decided = decided.map_err(|error| format!("`events.batch` failed: {error}"))?;
        let ended = self.context.take_end_body();
        let taken = match decided {
            Err(fault) => Taken::Refused(fault.code),
            Ok(_) if ended => Taken::Ended,
            Ok(_) => Taken::On,
        };
        Ok((taken, spent))
    }

    pub(super) async fn close(&mut self) -> Result<(), String> {
        if !self.plugin.exports().closing {
            return Ok(());
        }
        let began = Instant::now();
        let closed = self.instance.closed(&mut self.context, "").await;
        self.took("closing.closed", began, closed)
    }

    fn response_body(&self) -> bytes::Bytes {
        let response = self.bodies.response.as_ref();
        response
            .map(|response| response.body().clone())
            .unwrap_or_default()
    }

    /// Notes what a call took.
    fn took<T>(
        &mut self,
        name: &str,
        began: Instant,
        result: Result<T, Error>,
    ) -> Result<T, String> {
        let spent = began.elapsed();
        let value = result.map_err(|error| format!("`{name}` failed: {error}"))?;
        if let Some(figures) = &mut self.figures {
            figures.add(name.to_owned(), spent, 1);
        }
        Ok(value)
    }

    /// The plugin ends the exchange in this call.
    fn stops(&mut self, name: &str) -> Result<bool, String> {
        if let Some(figures) = &mut self.figures {
            figures.note(format!(
                "`{name}` ends the exchange: later phases are not called"
            ));
        }
        Ok(false)
    }

    fn named(&self, call: &str) -> String {
        format!("{call} {}", self.bodies.name).trim_end().to_owned()
    }
}
