//! A window over a text of which nobody has said what it is.

use super::{JsonWindow, Matcher, Window};

/// A window over text that may be a JSON object: then it is a [`JsonWindow`], so that what is written with escapes is found too.
/// What does not begin with `{` is plain text.
#[derive(Clone, Debug, Default)]
pub enum TextWindow {
    /// Only blanks have arrived, if anything.
    #[default]
    New,
    /// It is plain text.
    Plain(Window),
    /// It begins as an object.
    Json(JsonWindow),
}

impl TextWindow {
    /// Takes the next chunk of the text, and appends what can be sent.
    pub fn feed(&mut self, mut matcher: impl Matcher, chunk: &str, out: &mut String) {
        if let Self::New = self {
            match chunk.trim_ascii_start().chars().next() {
                // Blanks are sent as they are.
                None => return out.push_str(chunk),
                Some('{') => *self = Self::Json(JsonWindow::default()),
                Some(_) => *self = Self::Plain(Window::default()),
            }
        }
        match self {
            Self::New => {}
            Self::Plain(window) => window.feed(&mut matcher, chunk, out),
            Self::Json(window) => window.feed(&mut matcher, chunk, out),
        }
    }

    /// Appends all that is held back, as if the text ended here; see [`Window::pause`].
    pub fn pause(&mut self, mut matcher: impl Matcher, out: &mut String) {
        match self {
            Self::New => {}
            Self::Plain(window) => window.pause(&mut matcher, out),
            Self::Json(window) => window.pause(&mut matcher, out),
        }
    }
}
