//! The paths of Ollama's API: what each of them asks for, and by which method.

use sluicegate_plugin::Fault;

use crate::request::Task;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/`: whether the server is there.
    Root,
    /// `/api/version`
    Version,
    /// `/api/tags`: all models.
    Tags,
    /// `/api/ps`: the models in memory.
    Loaded,
    /// `/api/show`: one model.
    Show,
    /// `/api/chat`
    Chat,
    /// `/api/generate`
    Generate,
    /// `/api/embed`
    Embed,
    /// `/api/embeddings`, the older form for one text.
    Embedding,
}

/// What changes the models of an Ollama. A gateway has none of its own, and does not let clients change those behind it.
const MANAGEMENT: [&str; 6] = ["pull", "push", "create", "delete", "copy", "blobs"];

impl Route {
    const ALL: [Self; 9] = [
        Self::Root,
        Self::Version,
        Self::Tags,
        Self::Loaded,
        Self::Show,
        Self::Chat,
        Self::Generate,
        Self::Embed,
        Self::Embedding,
    ];

    /// The route of a request. HEAD is shown as GET.
    ///
    /// # Errors
    /// 403 for a path that manages models, 404 for an unknown path, 405 for another method.
    pub fn of(method: &str, path: &str) -> Result<Self, Fault> {
        let Some(route) = Self::ALL.into_iter().find(|route| route.path() == path) else {
            return Err(unknown(path));
        };
        if method == route.method() {
            return Ok(route);
        }
        let method = route.method();
        let message = format!("{path} can only be asked with {method}.");
        let allow = if method == "GET" { "GET, HEAD" } else { method };
        Err(Fault::new(405, "method_not_allowed", message).field("allow", allow))
    }

    fn path(self) -> &'static str {
        match self {
            Self::Root => "/",
            Self::Version => "/api/version",
            Self::Tags => "/api/tags",
            Self::Loaded => "/api/ps",
            Self::Show => "/api/show",
            Self::Chat => "/api/chat",
            Self::Generate => "/api/generate",
            Self::Embed => "/api/embed",
            Self::Embedding => "/api/embeddings",
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Root | Self::Version | Self::Tags | Self::Loaded => "GET",
            Self::Show | Self::Chat | Self::Generate | Self::Embed | Self::Embedding => "POST",
        }
    }

    /// What is asked for in OpenAI's form, as far as it is known before the body is read.
    pub fn task(self) -> Task {
        match self {
            Self::Root | Self::Version => Task::Unknown,
            Self::Tags => Task::Tags,
            Self::Loaded => Task::Loaded,
            Self::Show => Task::Show,
            Self::Chat => Task::Chat,
            Self::Generate => Task::Generate,
            Self::Embed => Task::Embed,
            Self::Embedding => Task::Embedding,
        }
    }

    /// The canonical path, as far as it is known then.
    pub fn canonical(self) -> Option<&'static str> {
        match self {
            Self::Root | Self::Version | Self::Show => None,
            Self::Tags | Self::Loaded => Some("/v1/models"),
            Self::Chat | Self::Generate => Some("/v1/chat/completions"),
            Self::Embed | Self::Embedding => Some("/v1/embeddings"),
        }
    }
}

fn unknown(path: &str) -> Fault {
    let name = path.strip_prefix("/api/").unwrap_or_default();
    let name = name.split('/').next().unwrap_or_default();
    if MANAGEMENT.contains(&name) {
        let message = format!(
            "This gateway does not let its clients manage models: there is no /api/{name} here."
        );
        return Fault::new(403, "forbidden", message);
    }
    let shown: String = path.chars().take(200).collect();
    Fault::not_found("not_found", format!("There is nothing at {shown}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_its_method() {
        for (method, path, route) in [
            ("GET", "/", Route::Root),
            ("GET", "/api/version", Route::Version),
            ("GET", "/api/tags", Route::Tags),
            ("GET", "/api/ps", Route::Loaded),
            ("POST", "/api/show", Route::Show),
            ("POST", "/api/chat", Route::Chat),
            ("POST", "/api/generate", Route::Generate),
            ("POST", "/api/embed", Route::Embed),
            ("POST", "/api/embeddings", Route::Embedding),
        ] {
            assert_eq!(Route::of(method, path), Ok(route));
            let fault = Route::of("PUT", path).expect_err("another method");
            assert_eq!(fault.status, 405);
            let allow = fault.fields.expect("a field").remove(0);
            assert!(allow.value.starts_with(method.as_bytes()), "{path}");
        }
    }

    #[test]
    fn what_manages_models_is_forbidden_and_the_rest_is_not_there() {
        for (path, status) in [
            ("/api/pull", 403),
            ("/api/push", 403),
            ("/api/create", 403),
            ("/api/delete", 403),
            ("/api/copy", 403),
            ("/api/blobs/sha256:00", 403),
            ("/api/pulls", 404),
            ("/api/chat/", 404),
            ("/pull", 404),
            ("/v1/chat/completions", 404),
        ] {
            for method in ["GET", "POST", "DELETE"] {
                let fault = Route::of(method, path).expect_err("no route");
                assert_eq!(fault.status, status, "{path}");
            }
        }
    }
}
