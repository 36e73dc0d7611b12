//! Pipelines: the stages of a route, run over an exchange.
//!
//! Request phases run first stage to last, response phases last to first. Here are the request phases and the response head;
//! the response body is in [`chain`], what happens after the exchange in [`observer`].

pub mod chain;
pub mod observer;

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};

use crate::failure::{Failure, Kind};
use crate::framing::Framing;
use crate::plugin::abi::{self, BodyAction, HeadAction, Plan, Reply, Verdict};
use crate::plugin::instance::{self, Filter, Loan};
use crate::plugin::{self, Phase, Role, Version};
use chain::{Chain, Limits, Link, Mode};

/// The stages of a route, client side first, and who is told of its finished exchanges.
#[derive(Debug)]
pub struct Pipeline {
    /// Gates and filters.
    pub stages: Vec<Arc<Version>>,
    /// Observers.
    pub observers: Vec<observer::Queue>,
}

/// Why the pipeline does not go on: a stage's own answer, or an error.
#[derive(Debug)]
pub enum Stop {
    /// A stage answers in place of the model server.
    Reply(Reply),
    /// The exchange fails.
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// A filter between the phases of one exchange.
struct Active {
    version: Arc<Version>,
    filter: Option<Filter>,
    wants_body: bool,
}

/// The filters of one exchange after its request head.
pub struct Run {
    stages: Vec<Active>,
}

impl Pipeline {
    /// Gates and request heads, first stage to last.
    ///
    /// # Errors
    /// [`Stop`] with the first stage's answer or error.
    pub async fn request_head(&self, loan: &mut Loan) -> Result<Run, Stop> {
        let mut stages = Vec::with_capacity(self.stages.len());
        for version in &self.stages {
            match version.role() {
                Role::Gate => check(version, loan).await?,
                Role::Filter => {
                    let mut active = Active {
                        version: version.clone(),
                        filter: None,
                        wants_body: false,
                    };
                    if version.manifest().takes_part(Phase::Request) {
                        active.request_head(loan).await?;
                    }
                    if version.manifest().takes_part(Phase::Response) || active.wants_body {
                        stages.push(active);
                    }
                }
                // The configuration puts observers elsewhere; see `snapshot`.
                Role::Observer => {}
            }
        }
        Ok(Run { stages })
    }
}

/// Asks one gate.
async fn check(version: &Arc<Version>, loan: &mut Loan) -> Result<(), Stop> {
    match instance::check(version, loan).await {
        Ok(Verdict::Allow) => Ok(()),
        Ok(Verdict::Reply(reply)) => Err(answer(version, reply)),
        Ok(Verdict::Fail(fault)) => Err(refusal(version, fault).into()),
        Err(error) => Ok(failed(version, error)?),
    }
}

impl Active {
    async fn request_head(&mut self, loan: &mut Loan) -> Result<(), Stop> {
        let version = self.version.clone();
        let action = async {
            let mut filter = Filter::new(&version, loan).await?;
            let action = filter.request_head(loan).await?;
            if let HeadAction::Proceed(Plan::Chunks | Plan::Events(_)) = &action {
                return Err(plugin::Error::Contract(
                    "a request body can only be skipped or seen whole".into(),
                ));
            }
            self.filter = Some(filter);
            Ok(action)
        };
        match action.await {
            Ok(HeadAction::Proceed(plan)) => {
                self.wants_body = matches!(plan, Plan::Whole);
                Ok(())
            }
            Ok(HeadAction::Reply(reply)) => Err(answer(&version, reply)),
            Ok(HeadAction::Fail(fault)) => Err(refusal(&version, fault).into()),
            Err(error) => Ok(failed(&version, error)?),
        }
    }
}

impl Run {
    /// Whether any stage wants to see the request body; if not, it can be passed on as it comes.
    #[must_use]
    pub fn wants_body(&self) -> bool {
        self.stages.iter().any(|active| active.wants_body)
    }

    /// The request body, first stage to last.
    ///
    /// # Errors
    /// [`Stop`] with the first stage's answer or error.
    pub async fn request_body(&mut self, loan: &mut Loan, mut body: Bytes) -> Result<Bytes, Stop> {
        for active in self.stages.iter_mut().filter(|active| active.wants_body) {
            let Some(filter) = &mut active.filter else {
                continue;
            };
            let version = &active.version;
            match filter
                .request_body(loan, &body)
                .await
                .and_then(|action| keeps_promise(version, action))
            {
                Ok(BodyAction::Pass) => {}
                Ok(BodyAction::Replace(new)) => body = new.into(),
                Ok(BodyAction::Reply(reply)) => return Err(answer(version, reply)),
                Ok(BodyAction::Fail(fault)) => return Err(refusal(version, fault).into()),
                Err(error) => {
                    failed(version, error)?;
                    active.filter = None;
                }
            }
        }
        // An instance is dropped after the last phase that it asked for.
        self.stages
            .retain(|active| active.version.manifest().takes_part(Phase::Response));
        Ok(body)
    }

    /// The response head, last stage to first; gives what the body runs through.
    ///
    /// # Errors
    /// [`Stop`] with the first stage's answer or error.
    pub async fn response_head(self, loan: &mut Loan, limits: Limits) -> Result<Chain, Stop> {
        let mut links: Vec<Link> = Vec::with_capacity(self.stages.len());
        for active in self.stages.into_iter().rev() {
            let version = active.version;
            // A stage that failed open in the request stays out of the response.
            if active.filter.is_none() && version.manifest().takes_part(Phase::Request) {
                continue;
            }
            if !version.manifest().wants_response(|name| loan.note(name)) {
                continue;
            }
            let batches = links.last().and_then(Link::batches);
            let incoming = batches.unwrap_or_else(|| content_framing(loan));
            let action = async {
                let mut filter = match active.filter {
                    Some(filter) => filter,
                    None => Filter::new(&version, loan).await?,
                };
                let action = filter.response_head(loan).await?;
                check_plan(&version, &action, incoming)?;
                Ok((filter, action))
            };
            match action.await {
                Ok((_, HeadAction::Proceed(Plan::Skip))) => {}
                Ok((filter, HeadAction::Proceed(plan))) => {
                    let mode = mode(&plan, incoming, batches.is_some(), &limits, loan);
                    links.push(Link::new(version, filter, mode));
                }
                Ok((_, HeadAction::Reply(reply))) => return Err(answer(&version, reply)),
                Ok((_, HeadAction::Fail(fault))) => return Err(refusal(&version, fault).into()),
                Err(error) => failed(&version, error)?,
            }
        }
        if !links.is_empty() && is_coded(loan) {
            return Err(Failure::new(
                Kind::UpstreamInvalid,
                "The model server's answer has a content coding that was not asked for.",
            )
            .into());
        }
        Ok(Chain::new(links, content_framing(loan), limits))
    }
}

/// What the plan makes of a link; sets the content type if the stage has forgotten to.
fn mode(plan: &Plan, incoming: Framing, batches: bool, limits: &Limits, loan: &mut Loan) -> Mode {
    match plan {
        Plan::Skip | Plan::Chunks => Mode::Chunks,
        Plan::Whole => Mode::whole(),
        Plan::Events(out) => {
            let out = framing(*out);
            if content_framing(loan) != out {
                let value = out.content_type().unwrap_or("application/json");
                loan.response
                    .insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            }
            Mode::events(incoming, out, batches, limits)
        }
    }
}

/// A stage whose manifest says that it changes nothing may not re-frame either.
fn check_plan(
    version: &Version,
    action: &HeadAction,
    incoming: Framing,
) -> Result<(), plugin::Error> {
    match action {
        HeadAction::Proceed(Plan::Events(out))
            if !version.manifest().transforms && framing(*out) != incoming =>
        {
            Err(plugin::Error::Contract(
                "its manifest says that it changes no body, but it changes the framing".into(),
            ))
        }
        HeadAction::Proceed(_) | HeadAction::Reply(_) | HeadAction::Fail(_) => Ok(()),
    }
}

/// A stage whose manifest says that it changes nothing may not.
fn keeps_promise(version: &Version, action: BodyAction) -> Result<BodyAction, plugin::Error> {
    if matches!(action, BodyAction::Replace(_)) && !version.manifest().transforms {
        return Err(plugin::Error::Contract(
            "its manifest says that it changes no body, but it did".into(),
        ));
    }
    Ok(action)
}

const fn framing(framing: abi::Framing) -> Framing {
    match framing {
        abi::Framing::Sse => Framing::Sse,
        abi::Framing::Ndjson => Framing::Ndjson,
        abi::Framing::Document => Framing::Document,
    }
}

/// How the body is framed, by the response's content type.
fn content_framing(loan: &Loan) -> Framing {
    Framing::of_content_type(
        loan.response
            .get(header::CONTENT_TYPE)
            .map(HeaderValue::as_bytes),
    )
}

fn is_coded(loan: &Loan) -> bool {
    loan.response
        .get(header::CONTENT_ENCODING)
        .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// A stage's own answer, if it is one that can be sent.
fn answer(version: &Version, reply: Reply) -> Stop {
    if !(200..=599).contains(&reply.status) {
        let error =
            plugin::Error::Contract(format!("{} is not a status for an answer", reply.status));
        return fault(version, error).into();
    }
    tracing::debug!(
        plugin = version.name(),
        reason = reply.reason,
        status = reply.status,
        "stage answers"
    );
    Stop::Reply(reply)
}

/// A stage's refusal in the client's error format.
fn refusal(version: &Version, refused: abi::Fault) -> Failure {
    match StatusCode::from_u16(refused.status) {
        Ok(status) if status.is_client_error() || status.is_server_error() => {
            Failure::refused(status, refused.code, refused.message, refused.param)
        }
        Ok(_) | Err(_) => {
            let error =
                plugin::Error::Contract(format!("{} is not an error status", refused.status));
            fault(version, error)
        }
    }
}

/// What a stage's failure means: the exchange ends, or goes on without the stage if it is configured to fail open.
fn failed(version: &Version, error: plugin::Error) -> Result<(), Failure> {
    if version.fails_open() && !matches!(error, plugin::Error::Exhausted) {
        tracing::warn!(plugin = version.name(), %error, "stage failed; the exchange goes on without it");
        return Ok(());
    }
    Err(fault(version, error))
}

fn fault(version: &Version, error: plugin::Error) -> Failure {
    match error {
        plugin::Error::Exhausted => Failure::new(
            Kind::Overloaded,
            "The gateway has no sandbox free. Try again in a moment.",
        )
        .with_field("retry-after", "1".into())
        .caused_by(error),
        plugin::Error::Engine(_)
        | plugin::Error::Trap(_)
        | plugin::Error::Deadline { .. }
        | plugin::Error::Stalled { .. }
        | plugin::Error::Memory { .. }
        | plugin::Error::Output { .. }
        | plugin::Error::Contract(_) => Failure::new(
            Kind::PluginFault,
            format!("The stage `{}` of the gateway failed.", version.name()),
        )
        .caused_by(error),
    }
}
