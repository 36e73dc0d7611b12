//! Downloads and uploads.

use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Call;
use crate::response::{self, Body};
use crate::transfer;
use crate::wire::{self, Code, ErrorBody, bad_param, not_found};

/// The characters that are escaped in the name of a download.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');

impl Call<'_> {
    pub(super) async fn export(&self, session: &str) -> Result<Response<Body>, ErrorBody> {
        let format = self.param("format").unwrap_or_else(|| "md".to_owned());
        let (user, session) = (self.login.user.id.clone(), session.to_owned());
        let missing = || not_found("session");
        let (name, kind, text) = match format.as_str() {
            "json" => {
                let file = self
                    .core
                    .store
                    .read(move |c| transfer::file_of(c, &user, &session))
                    .await?
                    .ok_or_else(missing)?;
                (
                    "session.json".to_owned(),
                    "application/json",
                    wire::text(&file),
                )
            }
            "md" | "html" => {
                let (session, messages) = self
                    .core
                    .store
                    .read(move |c| transfer::branch(c, &user, &session))
                    .await?
                    .ok_or_else(missing)?;
                match format.as_str() {
                    "md" => (
                        session.title.clone() + ".md",
                        "text/markdown; charset=utf-8",
                        transfer::markdown(&session, &messages),
                    ),
                    _ => (
                        session.title.clone() + ".html",
                        "text/html; charset=utf-8",
                        transfer::html(&session, &messages),
                    ),
                }
            }
            _ => return Err(bad_param("format", "md, json or html")),
        };
        Ok(download(&name, kind, text))
    }

    pub(super) async fn export_all(&self) -> Result<Response<Body>, ErrorBody> {
        let user = self.login.user.id.clone();
        let text = self
            .core
            .store
            .read(move |c| transfer::file(c, &user).map(|file| wire::text(&file)))
            .await;
        Ok(download("chats.json", "application/json", text?))
    }

    pub(super) async fn import(&self, body: Bytes) -> Result<Response<Body>, ErrorBody> {
        let user = self.login.user.id.clone();
        // Parsing tens of megabytes would delay the traffic of this thread.
        let read = tokio::task::spawn_blocking(move || transfer::Import::read(&user, &body));
        let import = read
            .await
            .map_err(|_| ErrorBody::new(Code::Internal, "the file could not be read"))?
            .map_err(|problem| bad_param("body", &problem.to_string()))?;
        let imported = import.write(&self.core.store).await?;
        Ok(response::json(StatusCode::OK, &imported))
    }
}

/// A file to save. The name is the user's text: the old form has plain letters only, the new one is encoded.
fn download(name: &str, kind: &'static str, text: String) -> Response<Body> {
    let mut response = response::typed(StatusCode::OK, kind, text);
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') {
                c
            } else {
                '_'
            }
        })
        .collect();
    let encoded = utf8_percent_encode(name, ESCAPED);
    let disposition = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_name_cannot_break_its_header() {
        let response = download("排序\"; x=\r\n<b>.md", "text/markdown", String::new());
        let field = response.headers()["content-disposition"]
            .to_str()
            .expect("text");
        assert!(field.starts_with("attachment; filename=\"_____"), "{field}");
        assert!(
            field.ends_with("filename*=UTF-8''%E6%8E%92%E5%BA%8F%22%3B%20x%3D%0D%0A%3Cb%3E.md"),
            "{field}"
        );
    }
}
