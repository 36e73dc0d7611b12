//! Requests: what the body of one becomes in OpenAI's form, or the response to one that needs no model server.

use sluicegate_plugin::Fault;

use crate::settings::Settings;
use crate::write::Object;

pub mod body;
mod embed;
mod generate;
mod image;
mod message;
mod options;
mod parameters;

use body::Body;
use parameters::Model;

/// What is asked for in OpenAI's form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// Nothing: what comes is an error, or another stage's reply.
    #[default]
    Unknown,
    /// A chat, for `/api/chat`.
    Chat,
    /// A chat, for `/api/generate`.
    Generate,
    /// A completion, for `/api/generate`.
    Completion,
    /// Embeddings.
    Embed,
    /// One embedding.
    Embedding,
    /// The models, for `/api/tags`.
    Tags,
    /// The models, for `/api/ps`.
    Loaded,
    /// A model.
    Show,
}

/// What a request becomes.
#[derive(Debug)]
pub struct Canonical {
    /// What it asks for.
    pub task: Task,
    /// The model, as the client calls it.
    pub model: String,
    /// The path.
    pub path: String,
    /// The body of a POST; `None` for a GET.
    pub body: Option<String>,
}

/// A request, translated.
#[derive(Debug)]
pub enum Asked {
    /// For a model server.
    Canonical(Canonical),
    /// For nobody: the response is known.
    Known(Known),
}

/// What is answered without a model server.
#[derive(Debug, PartialEq, Eq)]
pub struct Known {
    /// The model, as the client calls it.
    pub model: String,
    /// What it is about.
    pub task: Task,
    /// Whether a model is to be unloaded; it would be loaded otherwise.
    pub is_unload: bool,
}

/// `/api/chat`.
///
/// # Errors
/// 400 that names the parameter.
pub fn chat(text: &str, settings: &Settings) -> Result<Asked, Fault> {
    let body = Body::read(text)?;
    let model = Model::read(&body, settings)?;
    let messages = body.list("messages")?;
    if messages.is_empty() {
        return load(&body, model, Task::Chat);
    }
    let mut out = Object::new(text.len() + 256);
    out.text("model", &model.canonical);
    message::push_all(out.member("messages"), &messages)?;
    let tools = body.list("tools")?;
    if !tools.is_empty() {
        let tools: Vec<&str> = tools.into_iter().map(|raw| raw.get()).collect();
        out.raw("tools", &format!("[{}]", tools.join(",")));
    }
    parameters::write(&mut out, &body, None, settings)?;
    parameters::of_chat(&mut out, &body)?;
    Ok(Asked::Canonical(Canonical {
        task: Task::Chat,
        model: model.name,
        path: "/v1/chat/completions".to_owned(),
        body: Some(out.end()),
    }))
}

/// `/api/generate`.
///
/// # Errors
/// 400 that names the parameter.
pub fn generate(text: &str, settings: &Settings) -> Result<Asked, Fault> {
    let body = Body::read(text)?;
    let model = Model::read(&body, settings)?;
    if body.text("prompt")?.is_none() {
        return load(&body, model, Task::Generate);
    }
    let out = Object::new(text.len() + 256);
    generate::translate(out, &body, model, settings).map(Asked::Canonical)
}

/// `/api/embed`.
///
/// # Errors
/// 400 that names the parameter.
pub fn embed(text: &str, settings: &Settings) -> Result<Asked, Fault> {
    let body = Body::read(text)?;
    let model = Model::read(&body, settings)?;
    embed::translate(&body, model, Task::Embed, "input")
}

/// `/api/embeddings`.
///
/// # Errors
/// 400 that names the parameter.
pub fn embedding(text: &str, settings: &Settings) -> Result<Asked, Fault> {
    let body = Body::read(text)?;
    let model = Model::read(&body, settings)?;
    body.string("prompt")?;
    embed::translate(&body, model, Task::Embedding, "prompt")
}

/// `/api/show`.
///
/// # Errors
/// 400 without a model's name; 404 for a name that cannot be in a path.
pub fn show(text: &str, settings: &Settings) -> Result<Asked, Fault> {
    let body = Body::read(text)?;
    let model = Model::read(&body, settings)?;
    if matches!(&*model.canonical, "." | "..") {
        let message = format!("The model `{}` does not exist.", model.name);
        return Err(Fault::not_found("model_not_found", message).param("model"));
    }
    let mut path = String::from("/v1/models/");
    for byte in model.canonical.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':') {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(Asked::Canonical(Canonical {
        task: Task::Show,
        model: model.name,
        path,
        body: None,
    }))
}

/// A request without anything for the model to do: Ollama loads it, or unloads it. Here that is a matter of the model server.
fn load(body: &Body<'_>, model: Model, task: Task) -> Result<Asked, Fault> {
    let keep_alive = parameters::keep_alive(body)?;
    Ok(Asked::Known(Known {
        model: model.name,
        task,
        is_unload: keep_alive.is_some_and(parameters::is_no_time),
    }))
}

#[cfg(test)]
mod tests;
