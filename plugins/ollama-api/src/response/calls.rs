//! Calls of tools: they come in parts, and are sent whole.

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::chat::Call;
use sluicegate_plugin::json::{Kind, Text};

use crate::write::Object;

/// The most calls in one response. OpenAI takes at most 128 tools.
const MOST: usize = 128;

/// The calls so far.
#[derive(Debug, Default)]
pub struct Calls(Vec<Collected>);

#[derive(Debug)]
struct Collected {
    index: u32,
    id: String,
    name: String,
    arguments: String,
}

impl Calls {
    /// Takes a call, or a part of one. In a whole completion calls have no index: `at` is its place there.
    ///
    /// # Errors
    /// 502 `upstream_invalid` if there are too many.
    pub fn take(&mut self, call: &Call<'_>, at: Option<u32>) -> Result<(), Fault> {
        let index = at.unwrap_or(call.index);
        let id = call.id.as_ref().map_or("", |Text(id)| id);
        // A call may have no id, or a late one; another id under the same index is another call.
        let known = self.0.iter().rposition(|known| known.index == index);
        let known = known.filter(|&at| {
            let known = &self.0[at].id;
            id.is_empty() || known.is_empty() || id == known
        });
        let known = match known {
            Some(known) => known,
            None if self.0.len() == MOST => {
                let message = format!("The model called more than {MOST} tools at once.");
                return Err(Fault::upstream("upstream_invalid", message));
            }
            None => {
                self.0.push(Collected {
                    index,
                    id: String::new(),
                    name: String::new(),
                    arguments: String::new(),
                });
                self.0.len() - 1
            }
        };
        let known = &mut self.0[known];
        for (kept, found) in [
            (&mut known.id, &call.id),
            (&mut known.name, &call.function.name),
        ] {
            if let Some(Text(text)) = found
                && kept.is_empty()
            {
                kept.push_str(text);
            }
        }
        if let Some(Text(text)) = &call.function.arguments {
            known.arguments.push_str(text);
        }
        Ok(())
    }

    /// Bytes that are kept.
    pub fn size(&self) -> usize {
        self.0.iter().map(|call| call.arguments.len()).sum()
    }

    /// Takes all calls out, as a JSON array; `None` if there are none. If the response was cut off (`is_cut`), so was its last
    /// call, and one without an object for its arguments is left out. `has_text` says that the client gets something without it.
    ///
    /// # Errors
    /// 502 `upstream_error` if the arguments of another one are no object, or if nothing is left.
    pub fn finish(&mut self, is_cut: bool, has_text: bool) -> Result<Option<String>, Fault> {
        let mut calls = std::mem::take(&mut self.0);
        calls.sort_by_key(|call| call.index);
        let mut out = String::new();
        let mut count = 0;
        for call in &calls {
            let Some(arguments) = object(&call.arguments) else {
                if is_cut {
                    continue;
                }
                return Err(broken(call));
            };
            out.push(if count == 0 { '[' } else { ',' });
            out.push_str(&written(call, count, arguments));
            count += 1;
        }
        if count == 0 {
            return match calls.first() {
                Some(call) if !has_text => Err(broken(call)),
                Some(_) | None => Ok(None),
            };
        }
        out.push(']');
        Ok(Some(out))
    }
}

fn broken(call: &Collected) -> Fault {
    let name: String = call.name.chars().take(100).collect();
    let message =
        format!("The model called the tool `{name}` with arguments that are not a JSON object.");
    Fault::upstream("upstream_error", message)
}

/// Arguments that are an object. Many models write nothing for a tool without parameters.
fn object(arguments: &str) -> Option<&str> {
    if arguments.trim_ascii().is_empty() {
        return Some("{}");
    }
    let raw: &RawValue = serde_json::from_str(arguments).ok()?;
    (Kind::of(raw) == Kind::Object).then_some(raw.get())
}

fn written(call: &Collected, index: u64, arguments: &str) -> String {
    let mut function = Object::new(arguments.len() + 64);
    function.number("index", index);
    function.text("name", &call.name);
    function.compact("arguments", arguments);
    let function = function.end();
    let mut out = Object::new(function.len() + 64);
    if !call.id.is_empty() {
        out.text("id", &call.id);
    }
    out.raw("function", &function);
    out.end()
}

#[cfg(test)]
mod tests {
    use sluicegate_plugin::chat::Completion;

    use super::*;

    fn collected(parts: &[&str]) -> Calls {
        let mut calls = Calls::default();
        for part in parts {
            let json = format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{part}]}}}}]}}"#);
            let chunk = Completion::read(&json).expect("a chunk");
            for call in &chunk.choices[0].message.tool_calls {
                calls.take(call, None).expect("not too many");
            }
        }
        calls
    }

    #[test]
    fn parts_become_whole_calls_in_their_order() {
        let mut calls = collected(&[
            r#"{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":""}}"#,
            r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{ \"x\""}},{"index":0,"function":{"arguments":":\n1 }"}}"#,
            r#"{"index":0,"id":"a","function":{"name":"f","arguments":null}}"#,
        ]);
        let json = calls.finish(false, false).expect("whole").expect("calls");
        assert_eq!(
            json,
            r#"[{"id":"a","function":{"index":0,"name":"f","arguments":{"x":1}}},{"id":"b","function":{"index":1,"name":"g","arguments":{}}}]"#
        );
        assert_eq!(calls.finish(false, false), Ok(None));
    }

    #[test]
    fn a_broken_call_is_an_error_unless_the_response_was_cut() {
        for arguments in [r#"{\"x\":"#, "[]", "3", r#"\"{}\""#, "{} {}"] {
            let part =
                format!(r#"{{"index":0,"function":{{"name":"f","arguments":"{arguments}"}}}}"#);
            let fault = collected(&[&part])
                .finish(false, false)
                .expect_err("broken");
            assert_eq!((fault.status, &*fault.code), (502, "upstream_error"));
            assert!(fault.message.contains("`f`"), "{}", fault.message);
            assert_eq!(collected(&[&part]).finish(true, true), Ok(None));
            let fault = collected(&[&part]).finish(true, false).expect_err("empty");
            assert_eq!((fault.status, &*fault.code), (502, "upstream_error"));
            let good = r#"{"index":1,"function":{"name":"g"}}"#;
            let json = collected(&[good, &part]).finish(true, false).expect("cut");
            let json = json.expect("the good one");
            assert_eq!(
                json,
                r#"[{"function":{"index":0,"name":"g","arguments":{}}}]"#
            );
        }
    }

    #[test]
    fn another_id_is_another_call_and_a_late_one_is_not() {
        let mut calls = collected(&[
            r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}"#,
            r#"{"index":0,"id":"b","function":{"name":"g","arguments":"{\"y\""}}"#,
            r#"{"index":0,"function":{"arguments":":2}"}}"#,
            r#"{"index":1,"function":{"arguments":"{"}}"#,
            r#"{"index":1,"id":"c","function":{"name":"h","arguments":"}"}}"#,
        ]);
        let json = calls.finish(false, false).expect("whole").expect("calls");
        assert_eq!(
            json,
            r#"[{"id":"a","function":{"index":0,"name":"f","arguments":{}}},{"id":"b","function":{"index":1,"name":"g","arguments":{"y":2}}},{"id":"c","function":{"index":2,"name":"h","arguments":{}}}]"#
        );
    }

    #[test]
    fn the_number_of_calls_is_bounded() {
        let mut calls = Calls::default();
        let json = r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f"}}]}}]}"#;
        let chunk = Completion::read(json).expect("a chunk");
        let call = &chunk.choices[0].message.tool_calls[0];
        for at in 0..128 {
            calls.take(call, Some(at)).expect("not too many");
        }
        calls.take(call, Some(127)).expect("known");
        assert_eq!(
            calls.take(call, Some(128)).expect_err("too many").status,
            502
        );
    }
}
