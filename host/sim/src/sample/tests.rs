use super::*;

fn of(schema: &Value) -> Value {
    instance(schema, "What is it in Bergen?", Language::English)
}

#[test]
fn an_object_has_all_its_properties_with_plausible_values() {
    let schema = json!({"type": "object", "required": ["name", "extra"], "properties": {
        "name": {"type": "string"}, "age": {"type": "integer"}, "year": {"type": "integer"}, "ok": {"type": "boolean"},
        "city": {"type": "string"}, "temperature": {"type": "number"}, "none": {"type": "null"},
        "tags": {"type": "array", "items": {"type": "string"}}, "free": {}, "question": {"type": "string"},
        "country": {"type": "string"}, "mail": {"type": "string", "format": "email"}, "email": {"type": "string"},
        "day": {"type": "string"}, "unit": {"type": "string"}, "language": {"type": "string"}, "title": {"type": "string"},
    }});
    assert_eq!(
        of(&schema),
        json!({"name": "Ada Lovelace", "age": 36, "year": 2026, "ok": true, "city": "Bergen", "temperature": 21.5,
            "none": null, "tags": ["a simulated value", "a simulated value"], "free": "a simulated value",
            "question": "What is it in Bergen?", "country": "Norway", "mail": "ada@example.com",
            "email": "ada@example.com", "day": "2026-01-31", "unit": "celsius", "language": "English",
            "title": "A simulated title", "extra": "a simulated value"})
    );
}

#[test]
fn places_come_from_the_question_in_both_languages() {
    let schema = json!({"type": "object", "properties": {"location": {"type": "string"}}});
    let place = |question, language| instance(&schema, question, language)["location"].clone();
    assert_eq!(place("上海的天气怎么样?", Language::Chinese), "上海");
    assert_eq!(place("天气怎么样?", Language::Chinese), "北京");
    assert_eq!(place("weather in the north", Language::English), "Oslo");
    assert_eq!(
        place("Weather for Paris, please", Language::English),
        "Paris"
    );
    assert_eq!(place("come in", Language::English), "Oslo");
}

#[test]
fn fixed_values_and_choices_are_honoured() {
    assert_eq!(of(&json!({"const": 5})), json!(5));
    assert_eq!(of(&json!({"default": "d", "type": "string"})), json!("d"));
    assert_eq!(of(&json!({"enum": ["b", "a"]})), json!("b"));
    assert_eq!(of(&json!({"examples": [7]})), json!(7));
    assert_eq!(
        of(&json!({"anyOf": [{"type": "null"}, {"type": "string"}]})),
        Value::Null
    );
    assert_eq!(of(&json!({"oneOf": [{"type": "boolean"}]})), json!(true));
    assert_eq!(of(&json!({"type": ["null", "integer"]})), json!(3));
    assert_eq!(of(&json!({"type": ["null"]})), Value::Null);
    assert_eq!(of(&json!({"items": {"const": 1}})), json!([1, 1]));
    assert_eq!(of(&json!({"type": "array"})), json!([]));
    assert_eq!(
        of(&json!({"properties": {"a": {"const": 1}}})),
        json!({"a": 1})
    );
    assert_eq!(of(&json!(true)), json!("a simulated value"));
}

#[test]
fn parts_of_all_of_are_merged() {
    let schema = json!({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}, {"const": 3}],
        "properties": {"c": {"const": 4}}});
    assert_eq!(of(&schema), json!({"a": 1, "b": 2, "c": 4}));
    assert_eq!(of(&json!({"allOf": [{"const": 3}]})), json!(3));
}

#[test]
fn bounds_are_kept() {
    assert_eq!(of(&json!({"type": "integer", "minimum": 10})), json!(10));
    assert_eq!(of(&json!({"type": "integer", "maximum": -1})), json!(-1));
    assert_eq!(
        of(&json!({"type": "integer", "exclusiveMinimum": 3})),
        json!(4)
    );
    assert_eq!(
        of(&json!({"type": "integer", "exclusiveMaximum": 3})),
        json!(2)
    );
    assert_eq!(
        of(&json!({"type": "integer", "minimum": 10, "multipleOf": 7})),
        json!(14)
    );
    assert_eq!(of(&json!({"type": "integer", "multipleOf": 3})), json!(3));
    assert_eq!(
        of(&json!({"type": "number", "minimum": 0, "maximum": 1})),
        json!(0.5)
    );
    assert_eq!(
        of(&json!({"type": "number", "exclusiveMinimum": 100})),
        json!(100.5)
    );
    assert_eq!(of(&json!({"type": "number", "maximum": 1})), json!(0.5));
    assert_eq!(
        of(&json!({"type": "string", "maxLength": 4})),
        json!("a si")
    );
    assert_eq!(
        of(&json!({"type": "string", "minLength": 20})),
        json!("a simulated valuea s")
    );
    let list = of(&json!({"type": "array", "items": {"const": 1}, "minItems": 3}));
    assert_eq!(list, json!([1, 1, 1]));
    let list = of(&json!({"type": "array", "items": {"const": 1}, "maxItems": 1}));
    assert_eq!(list, json!([1]));
}

#[test]
fn string_formats_are_kept() {
    for (format, start) in [
        ("date", "2026-01-31"),
        ("date-time", "2026-01-31T"),
        ("time", "09:30"),
        ("uri", "https://"),
        ("uuid", "0000"),
        ("ipv4", "192."),
        ("unknown", "a simulated"),
    ] {
        let made = of(&json!({"type": "string", "format": format}));
        assert!(
            made.as_str().is_some_and(|text| text.starts_with(start)),
            "{format}: {made}"
        );
    }
}

#[test]
fn references_are_followed_and_recursion_ends() {
    let schema = json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "required": ["value"], "properties": {
        "value": {"const": 1}, "left": {"$ref": "#/$defs/node"}, "right": {"$ref": "#/$defs/node"}}}}});
    let made = of(&schema);
    assert_eq!(made["left"]["right"]["value"], 1);
    // Two that require themselves, each twice: no finite instance; the budget ends it.
    let endless = json!({"$ref": "#", "type": "object"});
    assert_eq!(of(&endless), Value::Null);
    let doubling = json!({"type": "object", "required": ["a", "b"], "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}});
    assert!(of(&doubling).is_object());
    let dangling = json!({"$ref": "#/nowhere", "type": "integer"});
    assert_eq!(of(&dangling), json!(3));
    let huge = json!({"type": "array", "items": {"const": 1}, "minItems": 1_000_000_000});
    assert!(of(&huge).as_array().is_some_and(|list| list.len() < 2000));
}
