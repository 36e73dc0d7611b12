//! Makes a plausible instance of a JSON Schema, for `format` and for the arguments of tools. Pure.
//!
//! Not a validator: contradicting keywords, `pattern` and `not` are ignored.

use serde_json::{Map, Value, json};

use super::text::Language;

/// The most values for one schema: it bounds recursive and branching schemas. Arbitrary.
const MAX_VALUES: usize = 2000;

/// From this depth on, only required properties are made; arbitrary.
const SHALLOW: usize = 5;

/// From this depth on everything is `null`: a schema that requires itself has no finite instance.
const MAX_DEPTH: usize = 24;

/// An instance of `schema` in the language and the words of `question`.
pub(super) fn instance(schema: &Value, question: &str, language: Language) -> Value {
    let mut maker = Maker {
        root: schema,
        question,
        language,
        left: MAX_VALUES,
    };
    maker.make(schema, "", 0)
}

struct Maker<'a> {
    /// The document that `$ref` refers to.
    root: &'a Value,
    question: &'a str,
    language: Language,
    /// Values that may still be made.
    left: usize,
}

impl<'a> Maker<'a> {
    /// `name` is the name of the property, a hint at what is plausible.
    fn make(&mut self, schema: &'a Value, name: &str, depth: usize) -> Value {
        if self.left == 0 || depth > MAX_DEPTH {
            return Value::Null;
        }
        self.left -= 1;
        if let Some(target) = self.referenced(schema) {
            return self.make(target, name, depth + 1);
        }
        for keyword in ["const", "default"] {
            if let Some(value) = schema.get(keyword) {
                return value.clone();
            }
        }
        for keyword in ["enum", "examples"] {
            if let Some(first) = first(schema, keyword) {
                return first.clone();
            }
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(choice) = first(schema, keyword) {
                return self.make(choice, name, depth + 1);
            }
        }
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            return self.all_of(schema, parts, name, depth);
        }
        self.typed(schema, name, depth)
    }

    fn referenced(&self, schema: &Value) -> Option<&'a Value> {
        let pointer = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        self.root.pointer(pointer)
    }

    fn all_of(&mut self, schema: &'a Value, parts: &'a [Value], name: &str, depth: usize) -> Value {
        let mut merged = Map::new();
        for part in parts {
            match self.make(part, name, depth + 1) {
                Value::Object(fields) => merged.extend(fields),
                other if parts.len() == 1 => return other,
                _ => {}
            }
        }
        if schema.get("properties").is_some() {
            merged.extend(self.object(schema, depth));
        }
        Value::Object(merged)
    }

    fn typed(&mut self, schema: &'a Value, name: &str, depth: usize) -> Value {
        match type_of(schema) {
            "object" => Value::Object(self.object(schema, depth)),
            "array" => self.array(schema, name, depth),
            "integer" => integer(schema, name),
            "number" => number(schema),
            "boolean" => json!(true),
            "null" => Value::Null,
            _ => Value::String(self.string(schema, name)),
        }
    }

    fn object(&mut self, schema: &'a Value, depth: usize) -> Map<String, Value> {
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut made = Map::new();
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for (name, property) in properties {
                if depth < SHALLOW || required.contains(&name.as_str()) {
                    made.insert(name.clone(), self.make(property, name, depth + 1));
                }
            }
        }
        for name in required {
            if !made.contains_key(name) {
                made.insert(name.to_owned(), json!(self.words(name)));
            }
        }
        made
    }

    fn array(&mut self, schema: &'a Value, name: &str, depth: usize) -> Value {
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        let most = schema.get("maxItems").and_then(Value::as_u64).unwrap_or(2);
        let Some(items) = schema.get("items") else {
            return json!([]);
        };
        // Two elements look like a list; at depth one is enough.
        let usual = if depth < SHALLOW { 2 } else { 0 };
        let count = most.min(usual).max(least);
        let mut made = Vec::new();
        while (made.len() as u64) < count && self.left > 0 {
            made.push(self.make(items, name.strip_suffix('s').unwrap_or(name), depth + 1));
        }
        Value::Array(made)
    }

    fn string(&self, schema: &Value, name: &str) -> String {
        let text = match schema.get("format").and_then(Value::as_str) {
            Some("date") => "2026-01-31".to_owned(),
            Some("date-time") => "2026-01-31T09:30:00Z".to_owned(),
            Some("time") => "09:30:00Z".to_owned(),
            Some("email") => "ada@example.com".to_owned(),
            Some("uri") => "https://example.com/".to_owned(),
            Some("uuid") => "00000000-0000-4000-8000-000000000000".to_owned(),
            Some("ipv4") => "192.0.2.1".to_owned(),
            Some(_) | None => self.words(name),
        };
        fit(text, schema)
    }

    /// A text for a property of this name.
    fn words(&self, name: &str) -> String {
        let name = name.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        let (english, chinese) = if has(&["city", "location", "place"]) {
            return self.place();
        } else if has(&["query", "question", "text", "prompt", "expression", "input"]) {
            (self.question.trim(), self.question.trim())
        } else if has(&["country"]) {
            ("Norway", "中国")
        } else if has(&["author", "person", "user", "name"]) {
            ("Ada Lovelace", "张三")
        } else if has(&["email"]) {
            ("ada@example.com", "ada@example.com")
        } else if has(&["date", "day"]) {
            ("2026-01-31", "2026-01-31")
        } else if has(&["unit"]) {
            ("celsius", "摄氏度")
        } else if has(&["language"]) {
            ("English", "中文")
        } else if has(&["title"]) {
            ("A simulated title", "模拟标题")
        } else {
            ("a simulated value", "模拟内容")
        };
        self.language.pick(english, chinese).to_owned()
    }

    /// The place that the question names, or a default.
    fn place(&self) -> String {
        const KNOWN: [&str; 10] = [
            "北京", "上海", "广州", "深圳", "杭州", "成都", "武汉", "西安", "东京", "巴黎",
        ];
        if let Some(city) = KNOWN.iter().find(|city| self.question.contains(**city)) {
            return (*city).to_owned();
        }
        let mut words = self.question.split_whitespace();
        while let Some(word) = words.next() {
            if matches!(word, "in" | "In" | "for" | "at") {
                let next = words.clone().next().unwrap_or_default();
                let name = next.trim_matches(|c: char| !c.is_alphanumeric());
                if name.starts_with(char::is_uppercase) {
                    return name.to_owned();
                }
            }
        }
        self.language.pick("Oslo", "北京").to_owned()
    }
}

fn first<'a>(schema: &'a Value, keyword: &str) -> Option<&'a Value> {
    schema.get(keyword)?.as_array()?.first()
}

/// The type to make: the first type of a list that is not `null`; without a type, a guess from other keywords.
fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => {
            let mut names = names.iter().filter_map(Value::as_str);
            names.find(|name| *name != "null").unwrap_or("null")
        }
        Some(_) | None if schema.get("properties").is_some() => "object",
        Some(_) | None if schema.get("items").is_some() => "array",
        Some(_) | None => "string",
    }
}

fn integer(schema: &Value, name: &str) -> Value {
    let bound = |keyword| schema.get(keyword).and_then(Value::as_i64);
    let plausible = match name.to_lowercase().as_str() {
        "age" => 36,
        "year" => 2026,
        _ => 3,
    };
    let mut value = plausible;
    if let Some(least) = bound("exclusiveMinimum") {
        value = value.max(least.saturating_add(1));
    }
    if let Some(least) = bound("minimum") {
        value = value.max(least);
    }
    if let Some(most) = bound("exclusiveMaximum") {
        value = value.min(most.saturating_sub(1));
    }
    if let Some(most) = bound("maximum") {
        value = value.min(most);
    }
    if let Some(step) = bound("multipleOf").filter(|step| *step > 0) {
        let rest = value.rem_euclid(step);
        if rest != 0 {
            value = value.saturating_add(step - rest);
        }
    }
    json!(value)
}

fn number(schema: &Value) -> Value {
    let bound = |keywords: [&str; 2]| {
        keywords
            .iter()
            .find_map(|keyword| schema.get(*keyword).and_then(Value::as_f64))
    };
    let least = bound(["minimum", "exclusiveMinimum"]);
    let most = bound(["maximum", "exclusiveMaximum"]);
    json!(match (least, most) {
        // The middle is inside exclusive bounds too.
        (Some(least), Some(most)) => f64::midpoint(least, most),
        (Some(least), None) => least.max(21.0) + 0.5,
        (None, Some(most)) => most.min(22.0) - 0.5,
        (None, None) => 21.5,
    })
}

/// Makes a text as long as the schema asks, counted in characters.
fn fit(text: String, schema: &Value) -> String {
    let bound = |keyword| {
        let bound = schema.get(keyword).and_then(Value::as_u64);
        // A schema that asks for megabytes gets a plausible length instead.
        bound.map(|length| usize::try_from(length.min(10_000)).unwrap_or(10_000))
    };
    let length = text.chars().count();
    match (bound("minLength"), bound("maxLength")) {
        (Some(least), _) if length < least => text.chars().cycle().take(least).collect(),
        (_, Some(most)) if length > most => text.chars().take(most).collect(),
        (_, _) => text,
    }
}

#[cfg(test)]
mod tests;
