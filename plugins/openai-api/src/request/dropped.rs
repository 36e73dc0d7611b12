//! Parameters that the model server cannot do: refused, or left out if the operator wants it so.
//!
//! Left out are only parameters without which the response is still of the kind that the client asked for. What asks for sound,
//! tools, a call or a form of the text is refused always, as is what is wrong in itself. Only a form beside a forced call may be
//! left out, where the server needs the form for the call.

use sluicegate_plugin::{Context, Fault, log};

use super::unsupported;
use crate::config::Unsupported;

/// The field of the response that names them.
pub const FIELD: &str = "x-sluicegate-dropped";

/// The parameters of one request that were left out.
///
/// # Shape
/// Their names are those that the adapters know, never a client's words, so they are few and short.
#[derive(Debug, Default)]
pub struct Dropped {
    policy: Unsupported,
    names: Vec<&'static str>,
}

impl Dropped {
    /// None yet.
    pub fn new(policy: Unsupported) -> Self {
        Self {
            policy,
            names: Vec::new(),
        }
    }

    /// Meets a parameter that the server cannot do. If this is no error, the caller leaves it out.
    ///
    /// # Errors
    /// 400 `unsupported_value` with this message, unless such parameters are dropped.
    pub fn unsupported(
        &mut self,
        param: &'static str,
        message: impl Into<String>,
    ) -> Result<(), Fault> {
        match self.policy {
            Unsupported::Refuse => Err(unsupported(param, message)),
            Unsupported::Drop => {
                self.add(param);
                Ok(())
            }
        }
    }

    /// Adds a parameter that is left out whatever the policy is.
    pub fn add(&mut self, param: &'static str) {
        if let Err(at) = self.names.binary_search(&param) {
            self.names.insert(at, param);
        }
    }

    /// Tells the client and the log, if there are any.
    ///
    /// # Errors
    /// If the response cannot have the field.
    pub fn tell(&self, ctx: &Context<'_>) -> Result<(), Fault> {
        if self.names.is_empty() {
            return Ok(());
        }
        log::info("request parameters that the model server cannot do were left out")
            .field("parameters", &self.names)
            .write();
        ctx.set_response_field(FIELD, self.names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_told_once() {
        let mut dropped = Dropped::new(Unsupported::Drop);
        for name in ["n", "logit_bias", "n"] {
            dropped.unsupported(name, "no").expect("dropped");
        }
        dropped.add("echo");
        assert_eq!(dropped.names, ["echo", "logit_bias", "n"]);
    }

    #[test]
    fn without_a_policy_they_are_refused() {
        let mut dropped = Dropped::default();
        let fault = dropped.unsupported("n", "Only one.").expect_err("refused");
        assert_eq!((fault.status, &*fault.code), (400, "unsupported_value"));
        assert_eq!(
            (fault.param.as_deref(), &*fault.message),
            (Some("n"), "Only one.")
        );
        assert!(dropped.names.is_empty());
    }
}
