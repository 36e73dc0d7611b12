//! Cases: folders of plain files that say what goes into a plugin, and what is expected to come out.
//!
//! | file | is |
//! | --- | --- |
//! | `config.json` or `config.toml` | the configuration; without one that of `--config`, or an empty one |
//! | `request.http` | the client's request: head, empty line, body |
//! | `response.http` | the model server's response; may be missing where only the request is of interest |
//! | `capability-http-1.http`, `…-2.http`, … | what the plugin's requests to other servers get, in their order; further ones get `unavailable` |
//! | `expected-upstream.http` | what the model server is asked; no file if it is not asked |
//! | `expected-client.http` | what the client gets |
//! | `expected-fault.txt` | the code of the failure, such as `plugin_fault`; no file if nothing fails |

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hyper::Response;
use serde_json::Value;

use super::message::{self, Message};
use super::source;
use sluicegate_gateway::exchange::scripted::Script;

const REQUEST: &str = "request.http";
const RESPONSE: &str = "response.http";
/// Before the number of a response.
const ANSWER: &str = "capability-http-";
pub(super) const UPSTREAM: &str = "expected-upstream.http";
pub(super) const CLIENT: &str = "expected-client.http";
pub(super) const FAULT: &str = "expected-fault.txt";

/// The most bytes of a file of a case. Arbitrary; fed byte by byte it takes seconds.
const FILE_MAX: u64 = 1 << 20;

/// A case.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) folder: PathBuf,
    pub(super) config: Option<Value>,
    pub(super) script: Script,
    /// What the plugin's own requests get.
    pub(super) answers: Vec<Response<Bytes>>,
    pub(super) expected: Expected,
}

/// What is expected, as far as there are files.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) upstream: Option<Message>,
    pub(super) client: Option<Message>,
    /// Codes of failures, one a line.
    pub(super) fault: Option<String>,
}

/// The folders of the cases in `folder`: itself, or those directly in it, in the order of their names.
///
/// # Errors
/// A sentence for the user.
pub(super) fn find(folder: &Path) -> Result<Vec<PathBuf>, String> {
    if folder.join(REQUEST).is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let unreadable = |error| format!("{} cannot be read: {error}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.join(REQUEST).is_file() {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(format!(
            "{} is no case and contains none: a case is a folder with a file {REQUEST}",
            folder.display()
        ));
    }
    found.sort();
    Ok(found)
}

impl Case {
    /// Reads a case.
    ///
    /// # Errors
    /// A sentence for the user.
    pub(super) fn read(folder: &Path) -> Result<Self, String> {
        let request = file(folder, REQUEST, message::request)?;
        let request =
            request.ok_or_else(|| format!("{} has no file {REQUEST}", folder.display()))?;
        let response = file(folder, RESPONSE, message::response)?;
        let upstream = file(folder, UPSTREAM, message::request)?;
        let client = file(folder, CLIENT, message::response)?;
        let expected = Expected {
            upstream: upstream.as_ref().map(Message::of_request),
            client: client.as_ref().map(Message::of_response),
            fault: file(folder, FAULT, |text| {
                Ok(String::from_utf8_lossy(text).trim().to_owned())
            })?,
        };
        Ok(Self {
            folder: folder.to_owned(),
            config: configuration(folder)?,
            script: Script::new(request, response),
            answers: answers(folder)?,
            expected,
        })
    }
}

/// The responses to the plugin's own requests, as many as there are without a gap.
fn answers(folder: &Path) -> Result<Vec<Response<Bytes>>, String> {
    let mut answers = Vec::new();
    loop {
        let name = format!("{ANSWER}{}.http", answers.len() + 1);
        match file(folder, &name, message::response)? {
            Some(answer) => answers.push(answer),
            None => return Ok(answers),
        }
    }
}

fn configuration(folder: &Path) -> Result<Option<Value>, String> {
    let file = configuration_file(folder);
    file.map(|file| source::configuration_file(&file))
        .transpose()
}

/// The file with the configuration of a case, if there is one.
pub(super) fn configuration_file(folder: &Path) -> Option<PathBuf> {
    ["config.json", "config.toml"]
        .into_iter()
        .map(|name| folder.join(name))
        .find(|file| file.is_file())
}

/// Reads a file of a case, if it is there.
fn file<T>(
    folder: &Path,
    name: &str,
    read: impl FnOnce(&Bytes) -> Result<T, String>,
) -> Result<Option<T>, String> {
    let path = folder.join(name);
    let bytes = match source::bounded(&path, FILE_MAX + 1) {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    if bytes.len() as u64 > FILE_MAX {
        return Err(format!("{} has more than {FILE_MAX} bytes", path.display()));
    }
    read(&bytes)
        .map(Some)
        .map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_have_a_mebibyte_and_no_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(REQUEST);
        let head = "POST / HTTP/1.1\n\n";
        let mut request = format!("{head}{}", "x".repeat((1 << 20) - head.len()));
        std::fs::write(&path, &request).expect("room");
        let case = Case::read(folder.path()).expect("a case");
        assert_eq!(case.script.request.body().len(), (1 << 20) - head.len());
        request.push('x');
        std::fs::write(&path, &request).expect("room");
        let error = Case::read(folder.path()).expect_err("too large");
        assert!(error.contains("more than 1048576 bytes"), "{error}");
    }

    #[test]
    fn cases_come_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = find(folder.path()).expect_err("no case");
        assert!(error.contains("is no case and contains none"), "{error}");
        for name in ["b", "a", "no-case"] {
            std::fs::create_dir(folder.path().join(name)).expect("room");
        }
        for name in ["b", "a"] {
            std::fs::write(folder.path().join(name).join(REQUEST), "GET / HTTP/1.1").expect("room");
        }
        let found = find(folder.path()).expect("two");
        assert_eq!(found, ["a", "b"].map(|name| folder.path().join(name)));
        assert_eq!(find(&found[0]).expect("one"), [found[0].clone()]);
    }
}
