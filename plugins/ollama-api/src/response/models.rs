//! Models: the list for `/api/tags` and `/api/ps`, and one for `/api/show`.
//!
//! What only a file of a model has is empty (its size, its family, its template), and the digest is one of the name, so that it is
//! the same every time.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::Text;

use super::nonsense;
use crate::date;
use crate::settings::Settings;
use crate::write::Object;

/// When a model that is kept for ever is unloaded: a year that clients can read.
const NEVER: &str = "2318-01-01T00:00:00Z";

/// The name under which clients find the length of the context in `model_info`.
const ARCHITECTURE: &str = "model";

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    data: Vec<Model<'a>>,
}

#[derive(Deserialize)]
struct Model<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    created: Option<f64>,
    context_length: Option<u64>,
    #[serde(borrow)]
    capabilities: Option<Vec<Text<'a>>>,
}

/// The response of `/api/tags`.
///
/// # Errors
/// 502 `upstream_invalid` if it is no list of models.
pub fn tags(data: &str, settings: &Settings) -> Result<String, Fault> {
    list(data, |model, out| {
        out.text("modified_at", &model.modified());
        model.identify(out);
        model.capabilities(out, settings);
    })
}

/// The response of `/api/ps`: all models, since each can be asked at once as far as a client can tell.
///
/// # Errors
/// As [`tags`].
pub fn loaded(data: &str) -> Result<String, Fault> {
    list(data, |model, out| {
        model.identify(out);
        out.text("expires_at", NEVER);
        out.number("size_vram", 0);
        if let Some(length) = model.context_length {
            out.number("context_length", length);
        }
    })
}

/// The response of `/api/show`.
///
/// # Errors
/// 502 `upstream_invalid` if it is no model.
pub fn shown(data: &str, settings: &Settings) -> Result<String, Fault> {
    let model: Model<'_> = serde_json::from_str(data).map_err(|_| nonsense())?;
    let mut out = Object::new(512);
    for name in ["license", "modelfile", "parameters", "template"] {
        out.raw(name, "\"\"");
    }
    out.raw("details", &model.details());
    let mut info = Object::new(128);
    info.text("general.architecture", ARCHITECTURE);
    info.text("general.basename", &model.id.0);
    if let Some(length) = model.context_length {
        info.number(&format!("{ARCHITECTURE}.context_length"), length);
    }
    out.raw("model_info", &info.end());
    model.capabilities(&mut out, settings);
    out.text("modified_at", &model.modified());
    Ok(out.end())
}

/// All models, each with its names and what `more` writes.
fn list(data: &str, more: impl Fn(&Model<'_>, &mut Object)) -> Result<String, Fault> {
    let List { data } = serde_json::from_str(data).map_err(|_| nonsense())?;
    let mut out = Object::new(512 * data.len());
    let models = out.member("models");
    models.push('[');
    for (at, model) in data.iter().enumerate() {
        if at > 0 {
            models.push(',');
        }
        let mut entry = Object::new(512);
        entry.text("name", &model.id.0);
        entry.text("model", &model.id.0);
        more(model, &mut entry);
        models.push_str(&entry.end());
    }
    models.push(']');
    Ok(out.end())
}

impl Model<'_> {
    fn modified(&self) -> String {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "seconds; what is out of range is not a date"
        )]
        let seconds = self.created.unwrap_or(0.0) as u32;
        date::of_ms(u64::from(seconds) * 1000)
    }

    fn identify(&self, out: &mut Object) {
        out.number("size", 0);
        let digest = Sha256::digest(self.id.0.as_bytes());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        out.text("digest", &digest);
        out.raw("details", &self.details());
    }

    fn details(&self) -> String {
        let mut out = Object::new(192);
        for name in ["parent_model", "format", "family"] {
            out.raw(name, "\"\"");
        }
        out.raw("families", "[]");
        for name in ["parameter_size", "quantization_level"] {
            out.raw(name, "\"\"");
        }
        if let Some(length) = self.context_length {
            out.number("context_length", length);
        }
        out.end()
    }

    fn capabilities(&self, out: &mut Object, settings: &Settings) {
        let list = out.member("capabilities");
        list.push('[');
        let mut push = |at: usize, word: &str| {
            if at > 0 {
                list.push(',');
            }
            crate::write::push_text(list, word);
        };
        match &self.capabilities {
            Some(said) => {
                let words = said.iter().map(|Text(word)| &**word);
                words.enumerate().for_each(|(at, word)| push(at, word));
            }
            None => {
                let words = settings.capabilities.iter();
                words.enumerate().for_each(|(at, word)| push(at, word));
            }
        }
        list.push(']');
    }
}
