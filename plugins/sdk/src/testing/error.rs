//! The gateway's own failures, and errors in the form that clients and stages see.

use sluicegate_contract::{Violation, error_body};

use crate::testing::Response;
use crate::types::Fault;

/// The model server broke off.
pub(super) fn broken() -> Fault {
    Fault::upstream("upstream_broken", "The model server broke off.")
}

/// The plugin broke the contract.
pub(super) fn violation(violation: Violation) -> Fault {
    Fault::upstream("plugin_fault", violation.0)
}

/// A fault as `{"error":{"message","type","param","code"}}`.
pub(super) fn to_json(fault: &Fault) -> String {
    let Fault {
        status,
        code,
        message,
        ..
    } = fault;
    error_body(*status, code, message, fault.param.as_deref())
}

/// A fault as a response.
pub(super) fn response(fault: &Fault) -> Response {
    let fields = fault.fields.iter().flatten();
    fields
        .fold(Response::new(fault.status), |response, field| {
            response.header(&field.name, field.value.clone())
        })
        .header("content-type", "application/json")
        .body(to_json(fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_form_that_clients_know() {
        let value = |fault: &Fault| -> serde_json::Value {
            serde_json::from_str(&to_json(fault)).expect("JSON")
        };
        let fault = Fault::new(503, "upstream_busy", "Try \"later\".").param("model");
        assert_eq!(
            value(&fault),
            serde_json::json!({"error": {
                "message": "Try \"later\".", "type": "server_error", "param": "model", "code": "upstream_busy"
            }})
        );
        let kind = |status| {
            let error = value(&Fault::new(status, "c", "m"))["error"].clone();
            assert_eq!(error["param"], serde_json::Value::Null);
            error["type"].clone()
        };
        assert_eq!(kind(404), "invalid_request_error");
        assert_eq!(kind(403), "permission_error");
        assert_eq!(kind(429), "rate_limit_error");
        assert_eq!(kind(502), "server_error");
    }
}
