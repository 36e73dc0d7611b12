//! The files of the chat page, and the header fields that keep it safe.
//!
//! All files except `index.html` are served under a hash of all files: they can be cached for ever, and versions never mix.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use sha2::{Digest, Sha256};

use super::id;
use super::response::{self, Body};

/// Files below this size are not worth compressing.
const COMPRESS: usize = 1024;
/// The largest file of the page. Arbitrary; the whole page should stay below 400 KB.
const LARGEST: u64 = 8 << 20;

/// The files of a page: path below the page's root, and content.
pub type Files = &'static [(&'static str, &'static [u8])];

/// The page's files, built in or read from a folder.
#[derive(Debug)]
pub(crate) struct Pages {
    files: Files,
    folder: Option<PathBuf>,
    current: RwLock<Arc<Built>>,
}

/// All files of one version of the page.
#[derive(Debug, Default)]
struct Built {
    hash: String,
    files: HashMap<String, File>,
}

#[derive(Debug)]
struct File {
    content: Bytes,
    gzip: Option<Bytes>,
    kind: &'static str,
}

impl Pages {
    /// A page of built-in files, or of a folder that is read again for each visit. Files missing in the folder are the built-in ones.
    pub(crate) fn new(files: Files, folder: Option<PathBuf>) -> Self {
        let pages = Self {
            files,
            folder,
            current: RwLock::default(),
        };
        pages.rebuild();
        pages
    }

    /// The hash of all files.
    pub(crate) fn build(&self) -> String {
        self.current().hash.clone()
    }

    /// `GET /`.
    pub(crate) fn index(&self, headers: &HeaderMap) -> Response<Body> {
        if self.folder.is_some() {
            self.rebuild();
        }
        let built = self.current();
        match built.files.get("index.html") {
            Some(file) => built.response(file, headers, "no-cache"),
            None => response::text(
                StatusCode::NOT_FOUND,
                "this build has no chat page; the API works",
            ),
        }
    }

    /// `GET /assets/{hash}/{path}`.
    pub(crate) fn asset(&self, path: &str, headers: &HeaderMap) -> Response<Body> {
        let built = self.current();
        let Some((hash, path)) = path.split_once('/') else {
            return response::text(StatusCode::NOT_FOUND, "no such file");
        };
        // While somebody works on the page, its files change during a visit.
        let fits = hash == built.hash || self.folder.is_some();
        match built.files.get(path).filter(|_| fits) {
            Some(file) => {
                let caching = if self.folder.is_some() {
                    "no-cache"
                } else {
                    "public, max-age=31536000, immutable"
                };
                built.response(file, headers, caching)
            }
            None => response::text(StatusCode::NOT_FOUND, "no such file; reload the page"),
        }
    }

    fn current(&self) -> Arc<Built> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn rebuild(&self) {
        let mut files: HashMap<String, Vec<u8>> = self
            .files
            .iter()
            .map(|(path, content)| ((*path).to_owned(), content.to_vec()))
            .collect();
        if let Some(folder) = &self.folder
            && let Err(error) = collect(folder, folder, &mut files)
        {
            tracing::warn!(%error, folder = %folder.display(), "chat: the page's folder cannot be read");
        }
        let built = Arc::new(Built::new(files, self.folder.is_none()));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = built;
    }
}

impl Built {
    fn new(files: HashMap<String, Vec<u8>>, compress: bool) -> Self {
        let mut names: Vec<_> = files.keys().cloned().collect();
        names.sort();
        let mut digest = Sha256::new();
        for name in &names {
            digest.update((name.len() as u64).to_be_bytes());
            digest.update(name);
            digest.update((files[name].len() as u64).to_be_bytes());
            digest.update(&files[name]);
        }
        let hash = id::hex(&digest.finalize()[..8]);
        let files = files.into_iter().map(|(name, mut content)| {
            if name == "index.html" {
                let text = String::from_utf8_lossy(&content);
                let text = text
                    .replace("/assets/@/", &format!("/assets/{hash}/"))
                    .replace("@build", &hash);
                content = text.into_bytes();
            }
            let kind = kind(&name);
            let gzip = (compress && content.len() >= COMPRESS)
                .then(|| gzip(&content))
                .flatten();
            (
                name,
                File {
                    content: content.into(),
                    gzip,
                    kind,
                },
            )
        });
        Self {
            files: files.collect(),
            hash: hash.clone(),
        }
    }

    fn response(&self, file: &File, headers: &HeaderMap, caching: &'static str) -> Response<Body> {
        // The hash covers all files, so it is a valid tag for each of them.
        let tag = format!("\"{}\"", self.hash);
        let known = |field: &HeaderValue| {
            field
                .to_str()
                .is_ok_and(|tags| tags.split(',').any(|known| known.trim() == tag))
        };
        let mut response = if headers.get_all(header::IF_NONE_MATCH).iter().any(known) {
            response::empty(StatusCode::NOT_MODIFIED)
        } else {
            let accepted = headers
                .get(header::ACCEPT_ENCODING)
                .and_then(|field| field.to_str().ok());
            match file
                .gzip
                .as_ref()
                .filter(|_| accepted.is_some_and(takes_gzip))
            {
                Some(gzip) => {
                    let mut response = Response::new(response::full(gzip.clone()));
                    response
                        .headers_mut()
                        .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                    response
                }
                None => Response::new(response::full(file.content.clone())),
            }
        };
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        fields.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if let Ok(tag) = HeaderValue::try_from(tag) {
            fields.insert(header::ETAG, tag);
        }
        response
    }
}

/// Adds the header fields of every response. `host` was checked and is one of ours.
pub(crate) fn protect(headers: &mut HeaderMap, host: Option<&str>) {
    // Some browsers do not take 'self' for WebSockets, so the host is named.
    let sockets = host
        .map(|host| format!(" ws://{host} wss://{host}"))
        .unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; \
         connect-src 'self'{sockets}; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    );
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        (
            "permissions-policy",
            "camera=(), microphone=(), geolocation=()",
        ),
    ] {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
}

/// Reads a folder's files. Links, and folders that are not for the page (the Markdown module's source, tests), are left out.
fn collect(root: &Path, folder: &Path, files: &mut HashMap<String, Vec<u8>>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let meta = entry.metadata()?;
        let name = path
            .strip_prefix(root)
            .map_err(io::Error::other)?
            .to_string_lossy()
            .replace('\\', "/");
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if meta.is_dir() && !hidden && name != "markdown" && name != "node_modules" {
            collect(root, &path, files)?;
        } else if meta.is_file() && !hidden && meta.len() <= LARGEST && kind(&name) != UNKNOWN {
            files.insert(name, std::fs::read(&path)?);
        }
    }
    Ok(())
}

const UNKNOWN: &str = "application/octet-stream";

/// The media type of a file name.
fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        _ => UNKNOWN,
    }
}

fn gzip(content: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < content.len()).then(|| packed.into())
}

/// Whether an `accept-encoding` allows gzip.
fn takes_gzip(field: &str) -> bool {
    field.split(',').any(|part| {
        let mut parts = part.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let refused = parts.any(|weight| {
            weight
                .strip_prefix("q=")
                .is_some_and(|q| q.parse() == Ok(0.0))
        });
        (coding.eq_ignore_ascii_case("gzip") || coding == "*") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    const INDEX: &str = "<meta name=sluice-build content=@build><script src=/assets/@/js/main.js>";
    static FILES: Files = &[
        ("index.html", INDEX.as_bytes()),
        ("js/main.js", &[b'x'; 4000]),
        ("small.css", b"a{}"),
    ];

    #[expect(clippy::disallowed_methods, reason = "the page is our own")]
    async fn body(response: Response<Body>) -> Vec<u8> {
        response
            .into_body()
            .collect()
            .await
            .expect("the body is whole")
            .to_bytes()
            .to_vec()
    }

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a field value"))])
    }

    #[tokio::test]
    async fn the_index_names_the_hash_and_the_files_are_found_under_it() {
        let pages = Pages::new(FILES, None);
        let hash = pages.build();
        let index = pages.index(&HeaderMap::new());
        assert_eq!(index.headers()["cache-control"], "no-cache");
        let text = String::from_utf8(body(index).await).expect("text");
        assert_eq!(
            text,
            INDEX
                .replace("/assets/@", &format!("/assets/{hash}"))
                .replace("@build", &hash)
        );
        let script = pages.asset(&format!("{hash}/js/main.js"), &HeaderMap::new());
        assert_eq!(
            script.headers()["content-type"],
            "text/javascript; charset=utf-8"
        );
        assert!(
            script.headers()["cache-control"]
                .to_str()
                .expect("text")
                .contains("immutable")
        );
        for missing in [
            "other/js/main.js",
            &format!("{hash}/../index.html"),
            &format!("{hash}/nope.js"),
            &hash,
            "",
        ] {
            assert_eq!(
                pages.asset(missing, &HeaderMap::new()).status(),
                404,
                "{missing}"
            );
        }
    }

    #[tokio::test]
    async fn text_is_sent_packed_to_those_who_take_it_and_not_at_all_to_those_who_have_it() {
        let pages = Pages::new(FILES, None);
        let path = format!("{}/js/main.js", pages.build());
        let packed = pages.asset(&path, &headers(header::ACCEPT_ENCODING, "br, gzip;q=0.5"));
        assert_eq!(packed.headers()["content-encoding"], "gzip");
        assert!(body(packed).await.len() < 400);
        let plain = pages.asset(&path, &headers(header::ACCEPT_ENCODING, "gzip;q=0"));
        assert!(!plain.headers().contains_key("content-encoding"));
        let tag = plain.headers()["etag"].to_str().expect("text").to_owned();
        let known = pages.asset(
            &path,
            &headers(header::IF_NONE_MATCH, &format!("\"x\", {tag}")),
        );
        assert_eq!(
            (known.status(), body(known).await.len()),
            (StatusCode::NOT_MODIFIED, 0)
        );
    }

    #[test]
    fn a_folder_is_read_again_and_its_private_parts_are_not_served() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it has a parent")).expect("can be made");
            std::fs::write(path, text).expect("can be written");
        };
        write("index.html", "1");
        write("js/a.js", "1");
        write("markdown/src/lib.rs", "1");
        write("markdown/x.js", "1");
        write(".git/x.js", "1");
        write("notes.md", "1");
        let pages = Pages::new(FILES, Some(folder.path().to_owned()));
        let first = pages.build();
        let mut names: Vec<_> = pages.current().files.keys().cloned().collect();
        names.sort();
        assert_eq!(names, ["index.html", "js/a.js", "js/main.js", "small.css"]);
        write("js/a.js", "2");
        pages.index(&HeaderMap::new());
        assert_ne!(pages.build(), first);
    }

    #[test]
    fn the_policy_names_the_host_and_forbids_the_rest() {
        let mut headers = HeaderMap::new();
        protect(&mut headers, Some("127.0.0.1:18789"));
        let policy = headers["content-security-policy"]
            .to_str()
            .expect("text")
            .to_owned();
        for part in [
            "default-src 'none'",
            "connect-src 'self' ws://127.0.0.1:18789 wss://127.0.0.1:18789;",
            "require-trusted-types-for 'script'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{part} in {policy}");
        }
        assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"));
        assert_eq!(headers["x-content-type-options"], "nosniff");
    }
}
