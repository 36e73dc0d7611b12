//! `GET /v1/models` and `GET /v1/models/{id}`: from what the model servers listed beside their last health check, so that no model
//! server is asked, through the route's stages like any response. What is not known yet is asked for, as any other request is.

use std::borrow::Cow;

use hyper::Method;
use percent_encoding::percent_decode_str;
use sluicegate_plugin_host::wit::{Field, Reply};
use sluicegate_upstream::ListedModel;

use super::Exchange;
use super::halt::Halt;
use crate::failure::{Failure, Kind};
use crate::models::{LIST, chance, listing};
use crate::pipeline::Stop;

impl Exchange {
    /// Responds to a request for models, if what is known is enough.
    ///
    /// # Errors
    /// The response, as a stop. 404 for a model that nobody serves; 502 if all model servers are down.
    pub(super) fn list_models(&mut self) -> Result<(), Halt> {
        if self.context.method != Method::GET {
            return Ok(());
        }
        let below = self.context.path.strip_prefix(LIST);
        let response = match below.map(str::to_owned).as_deref() {
            Some("" | "/") => self.all_models()?,
            Some(rest) => match rest.strip_prefix('/') {
                Some(id) => {
                    let id = percent_decode_str(id).decode_utf8();
                    let id = id.unwrap_or(Cow::Borrowed(rest));
                    self.model_named(&id)?.as_ref().map(listing::one)
                }
                None => return Ok(()),
            },
            None => return Ok(()),
        };
        match response {
            Some(json) => Err(Stop::Reply(reply(json)).into()),
            None => Ok(()),
        }
    }

    fn all_models(&self) -> Result<Option<String>, Failure> {
        let tenant = self.named_tenant();
        let tenant = tenant.as_deref();
        let models = if self.is_routed_by_model() {
            let routed = listing::routed(&self.models, tenant, &self.upstreams);
            Some(routed.ok_or_else(|| {
                Failure::new(Kind::UpstreamUnreachable, "No model server can be reached.")
            })?)
        } else {
            let chosen = &self.context.upstream;
            let upstream = self.upstreams.get(chosen);
            let mut listed = upstream.and_then(|upstream| listing::of_upstream(upstream));
            if let Some(models) = &mut listed {
                models.retain(|model| !self.models.is_kept(&model.id, chosen, tenant));
            }
            listed
        };
        Ok(models.as_deref().map(listing::all))
    }

    fn model_named(&mut self, name: &str) -> Result<Option<ListedModel>, Failure> {
        if !self.is_routed_by_model() {
            self.is_not_kept(name)?;
            let upstream = self.upstreams.get(&self.context.upstream);
            // A model that is new since the last check is found by asking.
            return Ok(upstream.and_then(|upstream| listing::find(upstream, name)));
        }
        let split = self.serving(name)?;
        let known = listing::routed_one(&self.models, name, split, &self.upstreams);
        self.served_by = Some(split.draw(chance).clone());
        Ok(known)
    }
}

fn reply(json: String) -> Reply {
    Reply {
        status: 200,
        fields: vec![Field {
            name: "content-type".into(),
            value: b"application/json".to_vec(),
        }],
        body: json.into_bytes(),
        reason: "models".into(),
    }
}
