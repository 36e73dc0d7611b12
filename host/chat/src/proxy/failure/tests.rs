//! Each failure with its cause, and that no code of the proxy is without one.

use std::path::{Path, PathBuf};

use super::*;

/// Status, body, and what is made of them.
const CASES: &[(u16, &str, Code, Layer, bool)] = &[
    (
        404,
        r#"{"error":{"message":"m","code":"model_not_found"}}"#,
        Code::ModelNotFound,
        Layer::Model,
        false,
    ),
    (
        400,
        r#"{"error":{"code":"context_length_exceeded"}}"#,
        Code::ContextOverflow,
        Layer::Model,
        false,
    ),
    (
        400,
        r#"{"error":{"message":"bad","code":null}}"#,
        Code::RequestRefused,
        Layer::Model,
        false,
    ),
    (
        401,
        r#"{"error":"Unauthorized"}"#,
        Code::UpstreamUnauthorized,
        Layer::Proxy,
        false,
    ),
    (
        401,
        r#"{"error":{"code":"invalid_api_key"}}"#,
        Code::UpstreamUnauthorized,
        Layer::Proxy,
        false,
    ),
    (
        400,
        r#"{"error":{"message":"m","code":"unsupported_value"}}"#,
        Code::RequestRefused,
        Layer::Model,
        false,
    ),
    (
        404,
        r#"{"error":{"message":"The model `x` does not exist.","code":404}}"#,
        Code::ModelNotFound,
        Layer::Model,
        false,
    ),
    (
        404,
        r#"{"detail":"Not Found"}"#,
        Code::UpstreamConfiguration,
        Layer::Proxy,
        false,
    ),
    (302, "", Code::UpstreamConfiguration, Layer::Proxy, false),
    (413, "", Code::TooLarge, Layer::Proxy, false),
    (429, "", Code::RateLimited, Layer::Proxy, true),
    (500, "<html>", Code::UpstreamError, Layer::Model, true),
    (
        502,
        r#"{"error":{"code":"upstream_unreachable"}}"#,
        Code::UpstreamUnreachable,
        Layer::Model,
        true,
    ),
    (
        502,
        r#"{"error":{"code":"plugin_fault"}}"#,
        Code::UpstreamError,
        Layer::Proxy,
        false,
    ),
    (
        502,
        r#"{"error":{"code":"upstream_error","message":"model requires more system memory"}}"#,
        Code::UpstreamError,
        Layer::Model,
        true,
    ),
    (
        502,
        r#"{"error":{"code":"upstream_unauthorized","message":"not signed in"}}"#,
        Code::UpstreamUnauthorized,
        Layer::Model,
        false,
    ),
    (
        502,
        r#"{"error":{"code":"upstream_configuration","message":"a redirect"}}"#,
        Code::UpstreamConfiguration,
        Layer::Model,
        false,
    ),
    (
        502,
        r#"{"error":{"code":"upstream_invalid","message":"nonsense"}}"#,
        Code::UpstreamInvalid,
        Layer::Model,
        true,
    ),
    (
        502,
        r#"{"error":{"code":"of_a_plugin","message":"in words"}}"#,
        Code::UpstreamError,
        Layer::Model,
        true,
    ),
    (502, "", Code::UpstreamUnreachable, Layer::Model, true),
    (
        503,
        r#"{"error":{"code":"circuit_open"}}"#,
        Code::CircuitOpen,
        Layer::Proxy,
        true,
    ),
    (
        503,
        r#"{"error":{"code":"overloaded"}}"#,
        Code::Overloaded,
        Layer::Proxy,
        true,
    ),
    (
        503,
        r#"{"error":{"code":"version_drained"}}"#,
        Code::Overloaded,
        Layer::Proxy,
        true,
    ),
    (503, "", Code::Overloaded, Layer::Model, true),
    (
        504,
        r#"{"error":{"code":"upstream_idle_timeout"}}"#,
        Code::UpstreamTimeout,
        Layer::Model,
        true,
    ),
    (504, "", Code::UpstreamTimeout, Layer::Model, true),
];

#[test]
fn each_failure_is_blamed_on_its_layer() {
    for &(status, body, code, layer, retryable) in CASES {
        let error = of_status(status, body.as_bytes(), None);
        assert_eq!(
            (error.code, error.layer, error.retryable),
            (code, layer, retryable),
            "{status} {body}"
        );
    }
}

#[test]
fn the_words_of_the_model_server_and_the_code_are_kept() {
    let cases = [
        r#"{"error":{"code":"upstream_error","message":"more memory"}}"#,
        r#"{"error":"more memory"}"#,
        r#"{"message":"more memory"}"#,
        r#"{"detail":"more memory"}"#,
    ];
    for body in cases {
        assert_eq!(of_status(502, body.as_bytes(), None).message, "more memory");
    }
    let error = of_status(502, cases[0].as_bytes(), None);
    assert_eq!(error.details["code"], "upstream_error");
    assert_eq!(
        of_event(r#"{"message":"more memory"}"#).message,
        "more memory"
    );
}

#[test]
fn every_code_that_a_plugin_gives_the_model_server_s_failures_has_a_cause() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in ["../../plugins", "../gateway/src", "../upstream/src"] {
        rust_files(&root.join(folder), &mut sources);
    }
    assert!(sources.len() > 50, "the sources are not where they were");
    // An observer gives no failures; this is a field of its log.
    sources.retain(|path| {
        !path
            .components()
            .any(|part| part.as_os_str() == "access-log")
    });
    let mut seen = 0;
    for path in sources {
        let source = std::fs::read_to_string(&path).expect("a source can be read");
        let codes = source
            .split("\"upstream_")
            .skip(1)
            .filter_map(|rest| Some(format!("upstream_{}", rest.split_once('"')?.0)))
            .filter(|code| code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        for code in codes {
            seen += 1;
            assert!(
                by_code(&code).is_some(),
                "{code} of {} is not in the table",
                path.display()
            );
        }
    }
    assert!(seen > 5, "the codes are not written as they were");
}

/// The Rust files below a folder, but those of what was built.
fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("a folder of the sources can be read");
    for path in entries.map(|entry| entry.expect("an entry can be read").path()) {
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_waiting_time_is_passed_on() {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::RETRY_AFTER,
        hyper::header::HeaderValue::from_static("8"),
    );
    let error = of_status(503, b"{}", retry_after(&headers));
    assert_eq!(error.retry_after_ms, Some(8_000));
    headers.insert(
        header::RETRY_AFTER,
        hyper::header::HeaderValue::from_static("Fri, 31 Dec 1999 23:59:59 GMT"),
    );
    assert_eq!(retry_after(&headers), None);
}

#[test]
fn media_types_lose_their_parameters() {
    let mut headers = HeaderMap::new();
    assert_eq!(content_type(&headers), "");
    headers.insert(
        header::CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    assert_eq!(content_type(&headers), "text/event-stream");
}
