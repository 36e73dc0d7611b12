//! `http`: requests to other servers. What is legal in one is in [`request`](super::request); where it may go, and the connection,
//! is in the crate `outbound`.

use std::time::Duration;

use bytes::Bytes;
use hyper::Response as HttpResponse;
use sluicegate_contract::capability as rules;
use sluicegate_contract::fields;
use sluicegate_outbound::Error as OutboundError;
use tokio::time::timeout;

use super::capability::Given;
use super::request::legal;
use crate::bindings::sluicegate::plugin::http::{Host, Request, Response};
use crate::context::WAIT_MAX;
use crate::services::PluginServices;
use crate::store::State;
use crate::wit::Field;

/// What a line of the log about a request counts for.
const LINE: usize = 256;

impl Host for State {
    async fn send(&mut self, request: Request) -> Given<Response> {
        self.charged(request.url.len() + request.body.len(), |_| ())?;
        let sent = match self.granted(|grant| grant.http.as_ref().map(|_| ())) {
            Ok(((), services)) => self.send_granted(&services, request).await?,
            Err(error) => Err(error),
        };
        match sent {
            Ok(response) => {
                let bytes = response.body().len();
                self.charged(bytes, |_| Ok(to_guest(response)))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }
}

impl State {
    async fn send_granted(
        &mut self,
        services: &PluginServices,
        request: Request,
    ) -> wasmtime::Result<Result<HttpResponse<Bytes>, rules::Error>> {
        let limit = match request.timeout_ms {
            0 => WAIT_MAX,
            ms => WAIT_MAX.min(Duration::from_millis(ms.into())),
        };
        let prepared = legal(request).and_then(|legal| {
            let client = self.owner.granted.client.clone();
            let client = client.ok_or(rules::Error::Denied)?;
            Ok((legal, client, self.may_wait(services)?))
        });
        let ((origin, request), client, permit) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Err(error)),
        };
        let sent = self
            .wait(timeout(limit, client.send(origin.clone(), request)))
            .await?;
        drop(permit);
        Ok(match sent {
            Some(Ok(Ok(response))) => Ok(response),
            Some(Ok(Err(error))) => {
                self.tell(&error.to_string());
                Err(match error {
                    OutboundError::Origin(_) | OutboundError::Address { .. } => {
                        rules::Error::Denied
                    }
                    OutboundError::Connect { .. } | OutboundError::Broken { .. } => {
                        rules::Error::Unavailable
                    }
                    OutboundError::TooLarge(_) => rules::Error::OverLimit,
                })
            }
            Some(Err(_)) => {
                self.tell(&format!("no response from {origin} within {limit:?}"));
                Err(rules::Error::Unavailable)
            }
            None => {
                self.tell(&format!(
                    "no response from {origin} before the call or its exchange was over"
                ));
                Err(rules::Error::Unavailable)
            }
        })
    }

    /// Tells the log why a request has no response.
    fn tell(&mut self, reason: &str) {
        if !self.may_log(LINE) {
            return self.owner.count_dropped_line();
        }
        let plugin = &*self.owner.name;
        let req = self.context().map(|context| &*context.identity.id);
        tracing::warn!(plugin, req, error = reason, "a plugin's request failed");
    }
}

fn to_guest(response: HttpResponse<Bytes>) -> Response {
    let (mut head, body) = response.into_parts();
    fields::strip_hop_by_hop(&mut head.headers);
    let fields = head.headers.iter();
    let fields = fields.map(|(name, value)| Field {
        name: name.as_str().to_owned(),
        value: value.as_bytes().to_vec(),
    });
    Response {
        status: head.status.as_u16(),
        fields: fields.collect(),
        body: Vec::from(body),
    }
}
