//! Who serves the model that a request asks for, if there is such a model for its tenant.

use hyper::StatusCode;
use sluicegate_contract::canonical;

use super::Exchange;
use crate::failure::Failure;
use crate::models::{Split, chance};

/// A longer name is compared with no other one. Arbitrary; those of models have a tenth of it.
const NAME_BYTES: usize = 512;

impl Exchange {
    /// Finds out who serves the model that is asked for, unless a stage has chosen an upstream.
    ///
    /// # Errors
    /// 404 for a model that nobody serves, or nobody for this tenant; 400 for a request without a model where some models are not
    /// for everybody.
    pub(super) fn route_by_model(&mut self) -> Result<(), Failure> {
        if self.models.is_empty()
            || !canonical::is_canonical(&self.context.method, &self.context.path)
        {
            return Ok(());
        }
        let name = self.context.note("model");
        let Some(name) = name.and_then(|json| serde_json::from_str::<String>(json).ok()) else {
            if self.models.have_tenants() {
                // Some servers take their only model then.
                return Err(unnamed());
            }
            // Whether it is served is up to the adapter.
            return Ok(());
        };
        if self.is_routed_by_model() {
            self.served_by = Some(self.serving(&name)?.draw(chance).clone());
            return Ok(());
        }
        self.is_not_kept(&name)
    }

    /// Whether the model decides which upstream is asked: no stage has chosen one.
    pub(super) fn is_routed_by_model(&self) -> bool {
        !self.models.is_empty() && self.context.upstream == self.record.route.upstream
    }

    /// The tenant that a stage has named.
    pub(super) fn named_tenant(&self) -> Option<String> {
        serde_json::from_str(self.context.note("tenant")?).ok()
    }

    /// Who serves a model.
    ///
    /// # Errors
    /// 404 if nobody does for this tenant.
    pub(super) fn serving(&self, name: &str) -> Result<&Split, Failure> {
        let tenant = self.named_tenant();
        let found = self.models.find(name, tenant.as_deref());
        found.ok_or_else(|| self.no_such_model(name))
    }

    /// Also an upstream that a stage has chosen serves a model only for its tenants.
    ///
    /// # Errors
    /// 404 if it is for others.
    pub(super) fn is_not_kept(&self, name: &str) -> Result<(), Failure> {
        let (tenant, upstream) = (self.named_tenant(), &self.context.upstream);
        if self.models.is_kept(name, upstream, tenant.as_deref()) {
            return Err(self.no_such_model(name));
        }
        Ok(())
    }

    fn no_such_model(&self, name: &str) -> Failure {
        let message = if name.len() > NAME_BYTES {
            "There is no model with such a long name.".to_owned()
        } else {
            let tenant = self.named_tenant();
            let nearest = self.models.nearest(name, tenant.as_deref());
            let nearest = match nearest.as_slice() {
                [] => String::new(),
                names => format!(" The nearest are `{}`.", names.join("`, `")),
            };
            format!("There is no model `{name}`.{nearest}")
        };
        refused(StatusCode::NOT_FOUND, "model_not_found", message)
    }
}

fn unnamed() -> Failure {
    let message = "The request must name a model: `model` in its JSON body, as text.".to_owned();
    refused(
        StatusCode::BAD_REQUEST,
        "missing_required_parameter",
        message,
    )
}

fn refused(status: StatusCode, code: &str, message: String) -> Failure {
    Failure::refused(status, code.to_owned(), message, Some("model".to_owned()))
}
