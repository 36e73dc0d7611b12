//! Images and other media: those that the model server would fetch itself, and those that it cannot make.
//!
//! A server fetches what a client names, from inside of the operator's network. So a remote address is accepted only if its
//! host is listed.

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind, Members};

use super::{Body, elements, unsupported};

/// The hosts from which media may be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// All.
    All,
    /// Those listed, in lower case.
    Listed(Vec<String>),
}

/// Checks the media of all messages.
///
/// # Errors
/// 400 `unsupported_value` for an address of another host, or one that is neither `data:` nor HTTP.
pub fn check(messages: &RawValue, hosts: &Hosts) -> Result<(), Fault> {
    let Hosts::Listed(hosts) = hosts else {
        return Ok(());
    };
    // What is not a list of messages is for the server to refuse.
    let messages: Vec<&RawValue> = serde_json::from_str(messages.get()).unwrap_or_default();
    for (at, message) in messages.into_iter().enumerate() {
        for (name, content) in pairs(message) {
            let parts: Vec<&RawValue> = match &*name {
                "content" => serde_json::from_str(content.get()).unwrap_or_default(),
                _ => continue,
            };
            for (part_at, part) in parts.into_iter().enumerate() {
                part_is_near(part, hosts)
                    .then_some(())
                    .ok_or_else(|| refused(&format!("messages[{at}].content[{part_at}]")))?;
            }
        }
    }
    Ok(())
}

/// Refuses a response in sound, of which a text would not be a part but another kind.
///
/// # Errors
/// 400 `unsupported_value`.
pub fn without_sound(body: &Body<'_>) -> Result<(), Fault> {
    if body.has("audio") {
        let message = "The model server has nothing like `audio`.";
        return Err(unsupported("audio", message));
    }
    let modalities = match body.get("modalities") {
        Some(raw) => elements("modalities", raw)?,
        None => Vec::new(),
    };
    let is_text = |raw: &&RawValue| json::text(raw).as_deref() == Some("text");
    if modalities.iter().all(is_text) {
        return Ok(());
    }
    let message = "The model server responds with text only; `modalities` must be [\"text\"].";
    Err(unsupported("modalities", message))
}

fn pairs(raw: &RawValue) -> Vec<(std::borrow::Cow<'_, str>, &RawValue)> {
    serde_json::from_str(raw.get()).map_or_else(|_| Vec::new(), |Members(members)| members)
}

/// Whether no member of a part, such as `image_url` or `video_url`, names a remote address. Every one of a repeated member is
/// looked at: which of them counts is the server's choice.
fn part_is_near(part: &RawValue, hosts: &[String]) -> bool {
    pairs(part)
        .iter()
        .all(|(name, value)| match Kind::of(value) {
            _ if !is_address(name) => true,
            Kind::Object => pairs(value)
                .iter()
                .all(|(name, value)| !is_address(name) || is_near(value, hosts)),
            Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Array => {
                is_near(value, hosts)
            }
        })
}

fn is_address(name: &str) -> bool {
    name.ends_with("url") || matches!(name, "image" | "video" | "audio")
}

fn is_near(value: &RawValue, hosts: &[String]) -> bool {
    match Kind::of(value) {
        Kind::Null | Kind::Bool | Kind::Number => true,
        Kind::Array | Kind::Object => false,
        Kind::String => json::text(value).is_some_and(|url| {
            url.starts_with("data:") || host(&url).is_some_and(|host| hosts.contains(&host))
        }),
    }
}

/// The host of a plain HTTP address, in lower case. Whatever two parsers could read in two ways has none.
fn host(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_plain = !host.is_empty() && host.bytes().all(legal);
    (is_plain && port.bytes().all(|byte| byte.is_ascii_digit())).then(|| host.to_ascii_lowercase())
}

fn refused(param: &str) -> Fault {
    unsupported(
        param,
        format!(
            "`{param}` names an address from which the model server may not fetch anything. Send the data itself as a `data:` \
             URL, or ask the gateway's operator to add the host to `media-hosts` of the adapter."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_part(part: &str) -> Result<(), Fault> {
        let messages = format!(
            r#"[{{"role":"user","content":"x"}},{{"role":"user","content":[{{"type":"text","text":"http://x"}},{part}]}}]"#
        );
        let raw: &RawValue = serde_json::from_str(&messages).expect("JSON");
        check(raw, &Hosts::Listed(vec!["images.test".into()]))
    }

    #[test]
    fn only_listed_hosts_and_data_are_accepted() {
        for good in [
            r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}"#,
            r#"{"type":"image_url","image_url":{"url":"https://Images.test/a.png","detail":"low"}}"#,
            r#"{"type":"image_url","image_url":"http://images.test:8080?a"}"#,
            r#"{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}"#,
            r#"{"type":"image_url","image_url":null}"#,
        ] {
            assert_eq!(check_part(good), Ok(()), "{good}");
        }
        for bad in [
            r#"{"type":"image_url","image_url":{"url":"http://169.254.169.254/latest"}}"#,
            r#"{"image_url":"https://other.test/"}"#,
            r#"{"type":"video_url","video_url":{"url":"https://images.test.evil.test/"}}"#,
            r#"{"type":"audio_url","audio_url":{"url":"file:///etc/passwd"}}"#,
            r#"{"type":"image_url","image_url":{"url":"data:,","url":"http://other.test/"}}"#,
            r#"{"type":"image_url","image_url":{"\u0075rl":"http:\/\/other.test/"}}"#,
            r#"{"type":"image_url","image_url":{"url":"https://images.test@other.test/"}}"#,
            r#"{"type":"image_url","image_url":{"url":"https://images.test\\@other.test/"}}"#,
            r#"{"type":"image_url","image_url":{"url":"//other.test/a"}}"#,
            r#"{"type":"image_url","image_url":{"url":" https://images.test/"}}"#,
            r#"{"type":"image_url","image_url":{"url":["http://other.test/"]}}"#,
        ] {
            let fault = check_part(bad).expect_err(bad);
            assert_eq!(fault.param.as_deref(), Some("messages[1].content[1]"));
        }
    }
}
