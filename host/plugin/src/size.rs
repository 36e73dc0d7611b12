//! How large a component may be: the cost of compiling it grows with its size, and nothing else bounds that.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use wasmparser::{Parser, Payload};

/// Bytes of a component. The largest of a known language, Python's, have 19 MB.
pub(super) const BYTES: usize = 32 << 20;

/// Functions of all its modules. Arbitrary; Python's interpreter has some 20,000.
const FUNCTIONS: usize = 100_000;

/// Bytes of one function: the compiler's time and memory grow faster than that. Arbitrary; the main loop of an interpreter has a
/// tenth of it.
const FUNCTION_BYTES: usize = 512 << 10;

/// Subschemas of a configuration's JSON Schema, those that are referred to counted each time. Arbitrary.
const SUBSCHEMAS: usize = 10_000;

/// It would take too much to compile it.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[error(
    "{what} has {found} {unit}, which is too large to be loaded: at most {most} {unit} are accepted"
)]
pub struct TooLarge {
    /// What is too large.
    pub what: Cow<'static, str>,
    /// How large it is.
    pub found: usize,
    /// How large it may be.
    pub most: usize,
    /// Of what.
    pub unit: Cow<'static, str>,
}

/// Checks a component before it is compiled.
///
/// # Errors
/// [`TooLarge`]. Whether the bytes are a component at all is decided by the engine.
pub(super) fn check_component(bytes: &[u8]) -> Result<(), TooLarge> {
    if bytes.len() > BYTES {
        return Err(too_large("the component", bytes.len(), BYTES, "bytes"));
    }
    let mut functions = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { break };
        let Payload::CodeSectionEntry(body) = payload else {
            continue;
        };
        functions += 1;
        let size = body.range().len();
        if size > FUNCTION_BYTES {
            return Err(too_large(
                "one of its functions",
                size,
                FUNCTION_BYTES,
                "bytes",
            ));
        }
    }
    if functions > FUNCTIONS {
        return Err(too_large(
            "the component",
            functions,
            FUNCTIONS,
            "functions",
        ));
    }
    Ok(())
}

/// Checks a JSON Schema before it is compiled: a short one can become very large by its references.
///
/// # Errors
/// [`TooLarge`].
pub(super) fn check_schema(schema: &serde_json::Value) -> Result<(), TooLarge> {
    let mut left = SUBSCHEMAS;
    let mut path = Vec::new();
    if is_small(schema, schema, &mut path, &mut left) {
        Ok(())
    } else {
        let found = SUBSCHEMAS + 1;
        Err(too_large(
            "the manifest's `config`",
            found,
            SUBSCHEMAS,
            "subschemas",
        ))
    }
}

/// Whether `value`, with references followed, has no more values than are `left`. `path` holds the references that lead here;
/// they are not followed again, so a schema that refers to itself is finite.
fn is_small<'s>(
    root: &'s serde_json::Value,
    value: &'s serde_json::Value,
    path: &mut Vec<&'s str>,
    left: &mut usize,
) -> bool {
    let Some(less) = left.checked_sub(1) else {
        return false;
    };
    *left = less;
    match value {
        serde_json::Value::Array(items) => {
            items.iter().all(|item| is_small(root, item, path, left))
        }
        serde_json::Value::Object(members) => {
            let reference = members.get("$ref").and_then(serde_json::Value::as_str);
            if let Some(reference) = reference
                && !path.contains(&reference)
                && let Some(target) = reference.strip_prefix('#').and_then(|it| root.pointer(it))
            {
                path.push(reference);
                let small = is_small(root, target, path, left);
                path.pop();
                if !small {
                    return false;
                }
            }
            members
                .values()
                .all(|member| is_small(root, member, path, left))
        }
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => true,
    }
}

fn too_large(what: &'static str, found: usize, most: usize, unit: &'static str) -> TooLarge {
    TooLarge {
        what: what.into(),
        found,
        most,
        unit: unit.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wasm_encoder::{CodeSection, Function, FunctionSection, Instruction, Module, TypeSection};

    fn module(functions: u32, instructions: usize) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let (mut declared, mut code) = (FunctionSection::new(), CodeSection::new());
        for _ in 0..functions {
            declared.function(0);
            let mut function = Function::new([]);
            for _ in 0..instructions {
                function.instruction(&Instruction::Nop);
            }
            function.instruction(&Instruction::End);
            code.function(&function);
        }
        let mut module = Module::new();
        module.section(&types).section(&declared).section(&code);
        module.finish()
    }

    fn told(bytes: &[u8]) -> String {
        check_component(bytes).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_component_may_not_be_too_large_in_any_way() {
        assert_eq!(told(&module(1_000, 10)), "");
        assert_eq!(told(b"no component"), "");
        let long = told(&module(1, FUNCTION_BYTES + 1));
        assert!(
            long.contains("one of its functions") && long.contains("524288 bytes"),
            "{long}"
        );
        let many = told(&module(100_001, 0));
        assert!(many.contains("100001 functions"), "{many}");
        let large = told(&vec![0; BYTES + 1]);
        assert!(large.contains("33554433 bytes"), "{large}");
    }

    #[test]
    fn a_schema_may_not_grow_by_its_references() {
        assert!(
            check_schema(&json!({"type": "object", "properties": {"a": {"type": "string"}}}))
                .is_ok()
        );
        let itself =
            json!({"$defs": {"tree": {"items": {"$ref": "#/$defs/tree"}}}, "$ref": "#/$defs/tree"});
        assert!(check_schema(&itself).is_ok());
        let mut defs = serde_json::Map::new();
        for level in 0..25 {
            let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
            defs.insert(format!("d{level}"), json!({"anyOf": [next, next]}));
        }
        defs.insert("d25".into(), json!({"type": "string"}));
        let grows = json!({"$defs": defs, "$ref": "#/$defs/d0"});
        assert!(matches!(check_schema(&grows), Err(TooLarge { .. })));
        let wide = json!({"enum": vec![1; SUBSCHEMAS]});
        assert!(matches!(check_schema(&wide), Err(TooLarge { .. })));
    }
}
