//! Asks a model server for its models, through its adapter: the canonical `GET /v1/models`, as a client would send it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::header::{self, HeaderValue};
use hyper::{Request, Uri};
use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_contract::{Context, Identity};
use sluicegate_plugin_host::{ExchangeContext, Plugin, TargetInfo};
use sluicegate_telemetry::clock::unix_ms;
use sluicegate_telemetry::request_id;
use sluicegate_upstream::{Body, ListedModel, Target, client};

use super::LIST;
use crate::pipeline::{Chunk, Data, End, Limits, PipelineRun};
use sluicegate_framing::Framing;

/// The largest list, before and after the adapter, in bytes. Room for those of hosted providers, which have a few hundred models
/// with some kilobytes each.
const LARGEST: usize = 4 * 1024 * 1024;

/// The most models of one server. Arbitrary; ten times as many as the largest provider has.
const MODELS: usize = 10_000;

/// The most bytes that are taken from the model server at a time.
const CHUNK: usize = 64 * 1024;

/// Asks the targets of one upstream.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// Its adapter.
    pub adapter: Arc<Plugin>,
    /// The `authorization` for its model servers.
    pub key: Option<HeaderValue>,
    /// How long a connection may take.
    pub connect: Duration,
}

impl Asker {
    /// Whether the other one asks in the same way.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.adapter, &other.adapter)
            && (&self.upstream, &self.key, self.connect)
                == (&other.upstream, &other.key, other.connect)
    }

    /// The models that a target lists now; `None` if it does not say, or if the list is too large.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn ask(&self, target: &Arc<Target>) -> Option<Arc<[ListedModel]>> {
        read(&self.list(target).await?)
    }

    /// The list as the adapter gives it.
    async fn list(&self, target: &Arc<Target>) -> Option<Vec<u8>> {
        let limits = Limits {
            body: LARGEST as u64,
            event: LARGEST,
        };
        let info = TargetInfo {
            upstream: self.upstream.clone(),
            target: target.label.clone(),
            info: target.info(),
        };
        let mut run = PipelineRun::adapter(self.adapter.clone(), Arc::new(info), limits);
        let mut context = self.context();
        let list = self.through(&mut run, &mut context, target).await;
        run.close(&mut context, "").await;
        list
    }

    async fn through(
        &self,
        run: &mut PipelineRun,
        context: &mut ExchangeContext,
        target: &Arc<Target>,
    ) -> Option<Vec<u8>> {
        run.request_heads(context).await.ok()?;
        let body = if run.wants_body() {
            let body = run.request_body(context, Bytes::new()).await;
            Body::full(body.ok()?)
        } else {
            Body::Full(None)
        };
        let request = self.request(context, target, body)?;
        let response = client::send(target, self.connect, request).await;
        let response = response.ok()?;
        if !response.head.status.is_success() {
            return None;
        }
        context.status = Some(response.head.status);
        context.response = response.head.headers;
        run.open(context, None).await.ok()?;
        let mut body = response.body;
        let mut list = BytesMut::new();
        loop {
            let chunk = body.next(CHUNK).await.ok()?;
            let data = Data::Bytes(chunk.bytes);
            let chunk = if chunk.last {
                Chunk::last(data)
            } else {
                Chunk::open(data)
            };
            let output = run.push(context, chunk).await;
            list.extend_from_slice(&output.data.into_bytes(Framing::Document));
            match output.end {
                _ if list.len() > LARGEST => return None,
                End::Open => {}
                End::Last => return (context.status() == 200).then(|| list.into()),
                End::Stopped(_) => return None,
            }
        }
    }

    /// An exchange that no client has begun.
    fn context(&self) -> ExchangeContext {
        let identity = Identity {
            id: request_id::new().into(),
            received_ms: unix_ms(),
            route: "".into(),
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let (parts, ()) = Request::get(Uri::from_static(LIST))
            .body(())
            .unwrap_or_default()
            .into_parts();
        let name = self.upstream.clone();
        let context = Context::new(identity, parts, name.clone(), [name.clone()].into());
        ExchangeContext::new(context.attempt(1, name, true))
    }

    fn request(
        &self,
        context: &ExchangeContext,
        target: &Target,
        body: Body,
    ) -> Option<Request<Body>> {
        let question = if context.query.is_empty() { "" } else { "?" };
        let uri = format!("{}{}{question}{}", target.base, context.path, context.query);
        let mut request = Request::new(body);
        *request.method_mut() = context.method.clone();
        *request.uri_mut() = uri.parse().ok()?;
        *request.headers_mut() = context.request.clone();
        let fields = request.headers_mut();
        fields
            .entry(header::HOST)
            .or_insert(target.authority.clone());
        if let Some(key) = &self.key {
            fields.entry(header::AUTHORIZATION).or_insert(key.clone());
        }
        fields.insert(
            header::USER_AGENT,
            HeaderValue::from_static("sluicegate-health"),
        );
        Some(request)
    }
}

/// The models in a list of OpenAI's form; `None` if it is none. Entries without a name are left out.
fn read(body: &[u8]) -> Option<Arc<[ListedModel]>> {
    #[derive(Deserialize)]
    struct List<'a> {
        #[serde(borrow)]
        data: Vec<BTreeMap<String, &'a RawValue>>,
    }
    let list: List<'_> = serde_json::from_slice(body).ok()?;
    let models = list.data.into_iter().filter_map(|mut members| {
        let id = serde_json::from_str(members.remove("id")?.get()).ok()?;
        let members: Vec<_> = members
            .iter()
            .map(|(name, value)| format!("{}:{}", serde_json::Value::from(name.as_str()), value))
            .collect();
        Some(ListedModel {
            id,
            members: members.join(","),
        })
    });
    Some(models.take(MODELS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_what_is_no_list_is_none() {
        let read = |text: &str| read(text.as_bytes());
        let listed = read(
            r#"{"object":"list","data":[{"object":"model","id":"a\"b","x":{"y":[1.0]}},{"object":"model"},{"id":"c"}]}"#,
        );
        let listed = listed.expect("a list");
        let entries: Vec<_> = listed
            .iter()
            .map(|model| (model.id.as_str(), model.members.as_str()))
            .collect();
        assert_eq!(
            entries,
            [("a\"b", r#""object":"model","x":{"y":[1.0]}"#), ("c", "")]
        );
        for none in ["", "[]", "{}", r#"{"data":7}"#, r#"{"data":[7]}"#] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
