//! The connection to the collector: the gateway's own client, for which this one origin is granted.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, Uri};
use opentelemetry_http::{HttpClient, HttpError};
use sluicegate_config::{self as config, HttpGrant, Origin};
use sluicegate_outbound::{Client, Network, Outbound as _};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::TIMEOUT;

/// Sends requests to the collector.
#[derive(Clone)]
pub(super) struct Wire {
    origin: Origin,
    client: Arc<dyn Client>,
    fields: HeaderMap,
    /// The library calls from threads of its own.
    runtime: Handle,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl Wire {
    /// To the collector of this configuration.
    pub(super) fn new(config: &config::Otlp, runtime: Handle) -> Self {
        let origin = Origin::from(&config.endpoint);
        let grant = HttpGrant::to(origin.clone());
        let fields = config.fields.iter().filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            let mut value = HeaderValue::from_str(value.expose()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        Self {
            origin,
            client: Network.client(&grant),
            fields: fields.collect(),
            runtime,
        }
    }
}

#[async_trait]
impl HttpClient for Wire {
    #[expect(clippy::disallowed_methods, reason = "it is waited for here")]
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut request = request;
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
        request.headers_mut().extend(self.fields.clone());
        let (client, origin) = (self.client.clone(), self.origin.clone());
        let sent = async move { timeout(TIMEOUT, client.send(origin, request)).await };
        let sent = self.runtime.spawn(sent).await?;
        Ok(sent??)
    }
}
