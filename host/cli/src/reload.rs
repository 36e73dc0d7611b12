//! `reload`: makes a running gateway read its configuration again.

use std::process::ExitCode;

use hyper::Method;
use hyper::body::Bytes;

use super::admin::{Gateway, outcome};

/// Asks, and says how it ended.
pub(super) async fn reload(gateway: &Gateway) -> ExitCode {
    let asked = async {
        let admin = gateway.admin()?;
        admin.ask(Method::POST, "/reload", Bytes::new()).await
    };
    match asked.await {
        Ok(said) => outcome(&said),
        Err(code) => code,
    }
}
