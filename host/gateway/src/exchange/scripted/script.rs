//! What happens in a scripted exchange, from both ends and from inside.

use bytes::Bytes;
use hyper::{Request, Response, StatusCode};

use crate::exchange::halt::Halt;
use crate::failure::{Failure, Kind};
use crate::pipeline::Stop;
use sluicegate_plugin_host::wit::{Field, Reply};

/// What client and model server say, and what comes between.
#[derive(Clone, Debug)]
pub struct Script {
    /// The client's request.
    pub request: Request<Bytes>,
    /// The model server's response; `None` where the request is not to reach it.
    pub response: Option<Response<Bytes>>,
    /// Whether the client gets the head of a stream while it waits for the response.
    pub early_head: bool,
    /// What ends the exchange early.
    pub interruption: Option<Interruption>,
}

impl Script {
    /// An exchange that nothing ends early.
    #[must_use]
    pub const fn new(request: Request<Bytes>, response: Option<Response<Bytes>>) -> Self {
        Self {
            request,
            response,
            early_head: false,
            interruption: None,
        }
    }
}

/// What ends an exchange early, and where.
#[derive(Clone, Debug)]
pub struct Interruption {
    /// Where.
    pub at: Point,
    /// What.
    pub by: Cause,
}

/// A point in an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before the first stage has run.
    Entrance,
    /// When all have seen the head of the request, and none its body.
    RequestBody,
    /// When the request is complete, and there is no response.
    Response,
    /// Behind so many bytes of the response's body.
    Behind(usize),
    /// During the last call for the response. Only a client that leaves can end anything there.
    End,
}

/// What ends an exchange early.
#[derive(Clone, Debug)]
pub enum Cause {
    /// The client leaves: only `closing` is called then.
    ClientLeaves,
    /// The model server cannot be reached, or breaks off its response.
    ModelServer,
    /// A limit or a deadline of the gateway.
    Gateway,
    /// A stage on the model server's side returns a fault.
    Fault,
    /// A stage on the model server's side replies; possible up to [`Point::Response`].
    Reply(Response<Bytes>),
}

impl Cause {
    /// How the exchange goes on from there.
    pub(super) fn halt(&self) -> Halt {
        match self {
            Self::ClientLeaves => Halt::Gone,
            Self::ModelServer => {
                let message = "The model server broke off its response.";
                Failure::new(Kind::UpstreamBroken, message).into()
            }
            Self::Gateway => {
                let message = "The gateway has no room for this exchange. Try again in a moment.";
                let failure = Failure::new(Kind::Overloaded, message);
                failure.with_field("retry-after", "1").into()
            }
            Self::Fault => Failure::refused(
                StatusCode::TOO_MANY_REQUESTS,
                "inner_fault".into(),
                "A stage on the model server's side refuses the exchange.".into(),
                Some("messages".into()),
            )
            .into(),
            Self::Reply(response) => Halt::Stop(Stop::Reply(reply(response))),
        }
    }
}

fn reply(response: &Response<Bytes>) -> Reply {
    let fields = response.headers().iter();
    Reply {
        status: response.status().as_u16(),
        fields: fields
            .map(|(name, value)| Field {
                name: name.to_string(),
                value: value.as_bytes().to_vec(),
            })
            .collect(),
        body: response.body().to_vec(),
        reason: "case.reply".into(),
    }
}
