//! That the page has words for every error.

use std::collections::BTreeMap;

use super::*;

#[test]
fn an_answer_in_two_parts_is_the_same_as_one_in_one() {
    let id = "a \"quoted\" id";
    let parts = format!("{}{{}}}}", ok_until_payload(id));
    assert_eq!(parts, ok(id, &serde_json::json!({})));
}

/// All codes. A new one does not compile before it has its place here.
fn codes() -> Vec<Code> {
    fn after(code: Code) -> Option<Code> {
        Some(match code {
            Code::BadFrame => Code::UnsupportedVersion,
            Code::UnsupportedVersion => Code::Unauthenticated,
            Code::Unauthenticated => Code::Forbidden,
            Code::Forbidden => Code::NotFound,
            Code::NotFound => Code::LeafChanged,
            Code::LeafChanged => Code::RunActive,
            Code::RunActive => Code::TooLarge,
            Code::TooLarge => Code::RateLimited,
            Code::RateLimited => Code::QueueFull,
            Code::QueueFull => Code::Overloaded,
            Code::Overloaded => Code::ShuttingDown,
            Code::ShuttingDown => Code::StoreUnavailable,
            Code::StoreUnavailable => Code::UpstreamUnreachable,
            Code::UpstreamUnreachable => Code::UpstreamTimeout,
            Code::UpstreamTimeout => Code::UpstreamError,
            Code::UpstreamError => Code::UpstreamInvalid,
            Code::UpstreamInvalid => Code::UpstreamUnauthorized,
            Code::UpstreamUnauthorized => Code::UpstreamConfiguration,
            Code::UpstreamConfiguration => Code::RequestRefused,
            Code::RequestRefused => Code::ModelNotFound,
            Code::ModelNotFound => Code::ContextOverflow,
            Code::ContextOverflow => Code::CircuitOpen,
            Code::CircuitOpen => Code::StreamTruncated,
            Code::StreamTruncated => Code::Internal,
            Code::Internal => return None,
        })
    }
    std::iter::successors(Some(Code::BadFrame), |code| after(*code)).collect()
}

#[test]
fn the_page_has_words_for_every_error_in_both_languages() {
    let codes = codes();
    assert_eq!(
        codes.len(),
        Code::Internal as usize + 1,
        "a code is not reached by the one before it"
    );
    let catalogs = [
        include_str!("../../ui/i18n/en.json"),
        include_str!("../../ui/i18n/zh-CN.json"),
    ];
    for catalog in catalogs {
        let words: BTreeMap<String, String> = serde_json::from_str(catalog).expect("a catalog");
        for code in &codes {
            let name = serde_json::to_value(code).expect("a code is text");
            let key = format!("error.{}", name.as_str().expect("a code is text"));
            // Either words of its own, or words for each layer below the gateway that can give it.
            let below = [format!("{key}.proxy"), format!("{key}.model")];
            assert!(
                words.contains_key(&key) || below.iter().all(|key| words.contains_key(key)),
                "{key} is missing"
            );
        }
    }
}
