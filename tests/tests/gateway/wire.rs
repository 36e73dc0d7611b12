//! HTTP/1.1 with the model server, byte by byte: what it may send, what it must not, and when a connection is used again.
//!
//! No stage looks at these bodies, so what the client gets is what the gateway's own client made of the wire. Nothing here
//! depends on which library reads it: where the standard leaves a choice (RFC 9112), each choice that harms nobody is taken.

mod bodies;
mod early;
mod heads;
mod interim;
mod reuse;

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::Method;
use sluicegate_tests::client::Response;
use sluicegate_tests::upstream::Request;
use sluicegate_tests::{Gateway, Script, Setup, Upstream};

/// What a response says that has nothing wrong with it.
const GOOD: &str = "good";

/// A gateway before a model server that has a script for each path, and [`GOOD`] for all others.
struct Wire {
    upstream: Upstream,
    gateway: Gateway,
}

impl Wire {
    async fn of(scripts: impl IntoIterator<Item = (impl Into<String>, Script)>) -> Self {
        Self::with(scripts, |setup| setup).await
    }

    /// As [`Wire::of`], with more in the configuration.
    async fn with(
        scripts: impl IntoIterator<Item = (impl Into<String>, Script)>,
        configure: impl FnOnce(Setup) -> Setup,
    ) -> Self {
        let scripts: BTreeMap<String, Script> = scripts
            .into_iter()
            .map(|(path, script)| (path.into(), script))
            .collect();
        let upstream = Upstream::start(move |request| match scripts.get(request.path()) {
            Some(script) => script.clone(),
            None => Script::status(200).body(GOOD),
        })
        .await;
        let gateway = configure(Setup::before(&upstream)).filter().start().await;
        Self { upstream, gateway }
    }

    /// Sends `POST` with a body that can be sent twice, and gives the response with what the model server got last.
    async fn ask(&self, path: &str) -> (Response, Arc<Request>) {
        let before = self.upstream.requests().len();
        let response = self
            .gateway
            .client()
            .request(Method::POST, path, "the question")
            .await;
        let requests = self.upstream.requests();
        assert_eq!(requests.len(), before + 1, "{path}: asked exactly once");
        let request = requests.last().expect("there is one").clone();
        assert_eq!(
            (request.path(), request.body.as_slice()),
            (path, &b"the question"[..])
        );
        (response, request)
    }

    /// The next exchange works; gives the connection that it had to the model server.
    async fn goes_on(&self, after: &str) -> usize {
        let (response, request) = self.ask("/next").await;
        assert_eq!(
            (response.status, response.text().as_str(), response.complete),
            (200, GOOD, true),
            "after {after}"
        );
        request.connection
    }

    /// The next exchange works, and on another connection.
    async fn goes_on_elsewhere(&self, than: &Request, after: &str) {
        assert_ne!(self.goes_on(after).await, than.connection, "after {after}");
    }
}

/// A path for the case of this number.
fn path(number: usize) -> String {
    format!("/case/{number}")
}

/// A gateway with a script for the path of each case.
async fn wire_of<T>(cases: &[T], script: impl Fn(&T) -> Script) -> Wire {
    let scripts = cases.iter().map(script).enumerate();
    Wire::of(scripts.map(|(number, script)| (path(number), script))).await
}

/// The response is the gateway's own error, whole.
#[track_caller]
fn assert_refused(response: &Response, codes: &[&str], case: &str) {
    assert_eq!(
        (response.status, response.complete),
        (502, true),
        "{case}: {}",
        response.text()
    );
    let error = response.error();
    let code = error["code"].as_str().unwrap_or_default();
    assert!(codes.contains(&code), "{case}: {error}");
    assert_eq!(error["type"], "server_error", "{case}");
    assert_eq!(response.header("content-type"), "application/json");
}

/// The response is this body, whole.
#[track_caller]
fn assert_body(response: &Response, body: &[u8], case: &str) {
    assert_eq!(
        (
            response.status,
            String::from_utf8_lossy(&response.body).as_ref(),
            response.complete
        ),
        (200, String::from_utf8_lossy(body).as_ref(), true),
        "{case}"
    );
}
