//! The figures in the last line of a response, in nanoseconds and tokens.
//!
//! | member | is |
//! | --- | --- |
//! | `total_duration` | the time since the request came |
//! | `load_duration` | 0: nobody knows whether a model was loaded |
//! | `prompt_eval_duration` | the time until the first text; 0 if the response came as a whole, since it is not known then |
//! | `eval_duration` | the rest of the time |
//! | `prompt_eval_count`, `eval_count` | the tokens that the model server counted; absent if it did not |

use sluicegate_plugin::chat::Usage;

use crate::write::Object;

/// The moments of a response, in microseconds of the gateway's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    /// When the request came.
    pub begun: u64,
    /// When the first text came.
    pub first: Option<u64>,
}

impl Moments {
    /// Writes the figures of a response that ends at `now`.
    pub fn write(self, out: &mut Object, now: u64, usage: Option<Usage>) {
        let since = |from: u64| now.saturating_sub(from).saturating_mul(1000);
        let total = since(self.begun);
        let text = self.first.map_or(total, since);
        out.number("total_duration", total);
        out.number("load_duration", 0);
        if let Some(usage) = usage {
            out.number("prompt_eval_count", usage.prompt_tokens);
        }
        out.number("prompt_eval_duration", total.saturating_sub(text));
        if let Some(usage) = usage {
            out.number("eval_count", usage.completion_tokens);
        }
        out.number("eval_duration", text);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_time_is_divided_at_the_first_text() {
        let completion = r#"{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7}}"#;
        let completion = sluicegate_plugin::chat::Completion::read(completion).expect("a chunk");
        for (first, usage, prompt, text) in [
            (Some(1_300), completion.usage, 300_000, 700_000),
            (None, completion.usage, 0, 1_000_000),
            (Some(2_000), None, 1_000_000, 0),
        ] {
            let mut out = Object::new(0);
            let moments = Moments {
                begun: 1_000,
                first,
            };
            moments.write(&mut out, 2_000, usage);
            let mut expected = json!({
                "total_duration": 1_000_000, "load_duration": 0,
                "prompt_eval_duration": prompt, "eval_duration": text,
            });
            if usage.is_some() {
                expected["prompt_eval_count"] = json!(11);
                expected["eval_count"] = json!(7);
            }
            let written: Value = serde_json::from_str(&out.end()).expect("JSON");
            assert_eq!(written, expected);
        }
    }
}
