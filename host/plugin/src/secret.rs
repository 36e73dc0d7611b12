//! Secrets in a plugin's configuration: the values that its schema marks with `"writeOnly": true`.
//!
//! # Source
//! JSON Schema Validation 2020-12, section 9.4: such a value "is never present when the value is retrieved", as with passwords.

use serde_json::Value;

/// Keywords whose value is a list of schemas for the same value.
const SEVERAL: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// The JSON pointers of the strings that a schema marks as secrets, each once.
#[must_use]
pub fn pointers(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    find(schema, value, "", &mut found);
    found
}

fn find(schema: &Value, value: &Value, pointer: &str, found: &mut Vec<String>) {
    if is_marked(schema) && value.is_string() && !found.iter().any(|known| known == pointer) {
        found.push(pointer.to_owned());
    }
    for several in SEVERAL {
        let schemas = schema.get(several).and_then(Value::as_array);
        for schema in schemas.into_iter().flatten() {
            find(schema, value, pointer, found);
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, schema) in properties.into_iter().flatten() {
        if let Some(value) = value.get(name) {
            let name = name.replace('~', "~0").replace('/', "~1");
            find(schema, value, &format!("{pointer}/{name}"), found);
        }
    }
    if let Some(schema) = schema.get("items") {
        for (index, value) in value.as_array().into_iter().flatten().enumerate() {
            find(schema, value, &format!("{pointer}/{index}"), found);
        }
    }
}

/// Whether a configuration may hold a secret. In doubt it does: a value of any type counts, and so does every mark below a keyword
/// that is not followed here, such as `$defs`.
pub(super) fn may_be_in(schema: &Value, value: &Value) -> bool {
    let Some(members) = schema.as_object() else {
        return false;
    };
    if is_marked(schema) && !is_empty(value) {
        return true;
    }
    members
        .iter()
        .any(|(keyword, schema)| match (keyword.as_str(), schema) {
            ("properties", Value::Object(properties)) => properties.iter().any(|(name, schema)| {
                value
                    .get(name)
                    .is_some_and(|value| may_be_in(schema, value))
            }),
            ("items", schema) => {
                let items = value.as_array();
                items.is_some_and(|items| items.iter().any(|value| may_be_in(schema, value)))
            }
            (several, Value::Array(schemas)) if SEVERAL.contains(&several) => {
                schemas.iter().any(|schema| may_be_in(schema, value))
            }
            (_, other) => is_anywhere_in(other),
        })
}

/// Whether there is a mark anywhere in it.
fn is_anywhere_in(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => is_marked(schema) || members.values().any(is_anywhere_in),
        Value::Array(items) => items.iter().any(is_anywhere_in),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn is_marked(schema: &Value) -> bool {
    schema.get("writeOnly").and_then(Value::as_bool) == Some(true)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_found_wherever_a_schema_can_mark_them() {
        let secret = json!({"type": "string", "writeOnly": true});
        let schema = json!({
            "properties": {
                "keys": {"items": {"properties": {"key": secret, "name": {"type": "string"}}}},
                "a/b": {"oneOf": [{"properties": {"x": secret}}, {"properties": {"y": {}}}]},
                "both": {"allOf": [secret, secret]},
                "number": secret,
            }
        });
        let value = json!({
            "keys": [{"key": "k"}, {"name": "n"}, {"key": "l"}],
            "a/b": {"x": "v", "y": "w"},
            "both": "b",
            "number": 1,
        });
        let mut found = pointers(&schema, &value);
        found.sort();
        assert_eq!(found, ["/a~1b/x", "/both", "/keys/0/key", "/keys/2/key"]);
    }

    #[test]
    fn a_configuration_without_a_value_for_any_mark_holds_no_secret() {
        let secret = json!({"writeOnly": true});
        let schema = json!({"properties": {"keys": {"items": {"properties": {"key": secret}}}, "pin": secret}});
        for (value, may) in [
            (json!({}), false),
            (json!({"keys": []}), false),
            (json!({"keys": [{"name": "n"}], "pin": null}), false),
            (json!({"keys": [{"key": "k"}]}), true),
            (json!({"pin": 4711}), true),
            (json!({"pin": {"a": 1}}), true),
        ] {
            assert_eq!(may_be_in(&schema, &value), may, "{value}");
        }
    }

    #[test]
    fn in_doubt_a_configuration_holds_a_secret() {
        let secret = json!({"writeOnly": true});
        for schema in [
            json!({"$defs": {"key": secret}, "properties": {"key": {"$ref": "#/$defs/key"}}}),
            json!({"additionalProperties": secret}),
            json!({"properties": {"key": {"patternProperties": {".*": secret}}}}),
            json!({"anyOf": [{"then": secret}]}),
        ] {
            assert!(may_be_in(&schema, &json!({"key": "k"})), "{schema}");
        }
        assert!(!may_be_in(&json!(true), &json!({"key": "k"})));
    }
}
