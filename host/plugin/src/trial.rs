//! The trial of a plugin that was just loaded, before any exchange gets it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use hyper::{Method, StatusCode, Uri};
use sluicegate_contract::{Context, Identity};

use super::context::ExchangeContext;
use super::error::Error;
use super::instance::Instance;
use super::loaded::Plugin;
use super::outcome::Outcome;
use super::wit::Stop;
use sluicegate_telemetry::clock::unix_ms;

/// Makes one instance, as every exchange will, and shows it the heads of a made-up exchange without credentials. What it decides
/// there does not make it fail; that it traps, or breaks the contract, does.
///
/// Returns what was learned from it.
///
/// # Errors
/// The function that failed, and what the guest did.
pub(super) async fn run(plugin: &Arc<Plugin>) -> Result<Outcome, (&'static str, Error)> {
    let failed = |function| move |error| (function, error);
    let mut instance = Instance::new(plugin, None);
    instance.put_on_trial();
    instance.make().await.map_err(failed("start"))?;
    let (mut parts, ()) = hyper::Request::new(()).into_parts();
    parts.method = Method::POST;
    parts.uri = Uri::from_static("/v1/chat/completions");
    let identity = Identity {
        id: "trial".into(),
        received_ms: unix_ms(),
        route: "".into(),
        client: Ipv4Addr::LOCALHOST.into(),
    };
    let mut context = ExchangeContext::new(Context::new(identity, parts, "".into(), Arc::new([])));
    let exports = plugin.exports();
    let mut refused = false;
    if exports.gate {
        let decided = instance.check(&mut context).await;
        refused = decided.map_err(failed("gate.check"))?.is_err_and(refuses);
    }
    if exports.request {
        let decided = instance.request_head(&mut context).await;
        decided.map(drop).map_err(failed("request.head"))?;
    }
    if exports.response {
        context.status = Some(StatusCode::OK);
        let decided = instance.response_head(&mut context).await;
        decided.map(drop).map_err(failed("response.head"))?;
    }
    Ok(Outcome {
        refused,
        memory: instance.memory(),
    })
}

fn refuses(stop: Stop) -> bool {
    let status = match stop {
        Stop::Reply(reply) => reply.status,
        Stop::Fault(fault) => fault.status,
    };
    matches!(status, 401 | 403)
}
