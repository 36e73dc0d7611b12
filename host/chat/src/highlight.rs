//! Finds the meaning of each part of a code block with the grammars of `syntect`.
//!
//! The result is ranges, not markup: the page chooses the colours, and nothing here can become HTML.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use syntect::parsing::{ParseState, Scope, ScopeStack, SyntaxReference, SyntaxSet};
use syntect::util::LinesWithEndings;
use tokio::time::Instant;

use super::id;
use super::wire::params::Highlighted;

/// Bytes of code that are coloured at most.
pub(crate) const MOST: usize = 200 * 1024;
/// How long a block may take. The rest then stays uncoloured: some grammars are slow on odd input.
const BUDGET: Duration = Duration::from_millis(500);
/// Longer lines are not coloured: they are data, and the most expensive.
const LINE: usize = 4 * 1024;
/// Blocks that are remembered.
const CACHE: usize = 256;

/// All grammars; loaded with the first block.
static SYNTAXES: LazyLock<SyntaxSet> = LazyLock::new(SyntaxSet::load_defaults_newlines);

/// The first prefix that a scope begins with decides; more specific prefixes come first.
static CLASSES: LazyLock<Vec<(Scope, &'static str)>> = LazyLock::new(|| {
    CLASS_OF
        .iter()
        .filter_map(|(prefix, class)| Some((Scope::new(prefix).ok()?, *class)))
        .collect()
});

/// # Source
/// Sublime Text, "Scope Naming": the names that grammars are asked to use.
const CLASS_OF: [(&str, &str); 42] = [
    ("comment", "comment"),
    ("constant.character.escape", "escape"),
    ("string.regexp", "regexp"),
    ("string", "string"),
    ("punctuation.definition.string", "string"),
    ("punctuation.definition.comment", "comment"),
    ("constant.numeric", "number"),
    ("constant", "constant"),
    ("entity.name.function", "function"),
    ("support.function", "function"),
    ("variable.function", "function"),
    ("meta.function-call variable", "function"),
    ("entity.name.tag", "tag"),
    ("entity.other.attribute-name", "attribute"),
    ("variable.annotation", "attribute"),
    ("meta.annotation", "attribute"),
    ("entity.name.section", "heading"),
    ("markup.heading", "heading"),
    ("markup.underline.link", "link"),
    ("markup.bold", "strong"),
    ("markup.italic", "emphasis"),
    ("markup.inserted", "inserted"),
    ("markup.deleted", "deleted"),
    ("entity.name.type", "type"),
    ("entity.name.class", "type"),
    ("entity.name.struct", "type"),
    ("entity.name.enum", "type"),
    ("entity.name.trait", "type"),
    ("entity.name.impl", "type"),
    ("entity.name.namespace", "type"),
    ("entity.other.inherited-class", "type"),
    ("support.type.property-name", "property"),
    ("support.type", "type"),
    ("support.class", "type"),
    ("storage.type", "keyword"),
    ("storage", "keyword"),
    ("keyword.operator", "operator"),
    ("keyword", "keyword"),
    ("variable.other.member", "property"),
    ("variable", "variable"),
    ("invalid", "invalid"),
    ("punctuation", "punctuation"),
];

/// A cache in front of the grammars.
#[derive(Default)]
pub(crate) struct Highlighter {
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    found: HashMap<[u8; 32], Arc<Highlighted>>,
    order: VecDeque<[u8; 32]>,
}

impl Highlighter {
    /// The ranges of a block. Takes up to half a second: not for a traffic thread.
    pub(crate) fn highlight(&self, lang: &str, text: &str) -> Arc<Highlighted> {
        let key = id::digest(&format!("{lang}\n{text}"));
        if let Some(found) = self.cache().found.get(&key) {
            return Arc::clone(found);
        }
        let found = Arc::new(ranges(lang, text));
        let mut cache = self.cache();
        if cache.found.insert(key, Arc::clone(&found)).is_none() {
            cache.order.push_back(key);
        }
        while cache.order.len() > CACHE {
            if let Some(oldest) = cache.order.pop_front() {
                cache.found.remove(&oldest);
            }
        }
        found
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ranges(lang: &str, text: &str) -> Highlighted {
    let Some(syntax) = syntax(lang) else {
        return Highlighted {
            lang: String::new(),
            ranges: Vec::new(),
        };
    };
    let deadline = Instant::now() + BUDGET;
    let mut state = ParseState::new(syntax);
    let mut stack = ScopeStack::new();
    let mut ranges = Ranges::default();
    for line in LinesWithEndings::from(text) {
        if line.len() > LINE || Instant::now() >= deadline {
            break;
        }
        let Ok(ops) = state.parse_line(line, &SYNTAXES) else {
            break;
        };
        let mut from = 0;
        for (to, op) in ops {
            ranges.add(&line[from..to], class(&stack));
            from = to;
            if stack.apply(&op).is_err() {
                return ranges.named(syntax);
            }
        }
        ranges.add(&line[from..], class(&stack));
    }
    ranges.named(syntax)
}

/// Ranges in UTF-16 code units, joined where neighbours have one class.
#[derive(Default)]
struct Ranges {
    at: usize,
    ranges: Vec<(usize, usize, &'static str)>,
}

impl Ranges {
    fn add(&mut self, text: &str, class: Option<&'static str>) {
        let from = self.at;
        self.at += text.encode_utf16().count();
        let Some(class) = class.filter(|_| self.at > from && !text.trim().is_empty()) else {
            return;
        };
        match self.ranges.last_mut() {
            Some((_, end, last)) if *end == from && *last == class => *end = self.at,
            Some(_) | None => self.ranges.push((from, self.at, class)),
        }
    }

    fn named(self, syntax: &SyntaxReference) -> Highlighted {
        Highlighted {
            lang: syntax.name.clone(),
            ranges: self.ranges,
        }
    }
}

/// The class of the innermost scope that has one.
fn class(stack: &ScopeStack) -> Option<&'static str> {
    let scopes = stack.as_slice();
    scopes.iter().rev().find_map(|scope| {
        CLASSES
            .iter()
            .find(|(prefix, _)| prefix.is_prefix_of(*scope))
            .map(|(_, class)| *class)
    })
}

/// The grammar for the language that a fence names. Names unknown to the grammars are translated.
fn syntax(lang: &str) -> Option<&'static SyntaxReference> {
    let lang = lang.trim().to_ascii_lowercase();
    let known = match lang.as_str() {
        "" | "text" | "plain" | "plaintext" | "txt" => return None,
        "js" | "jsx" | "mjs" | "node" | "typescript" | "ts" | "tsx" => "javascript",
        "shell" | "sh" | "zsh" | "console" | "shell-session" => "bash",
        "c++" | "cxx" => "cpp",
        "c#" | "csharp" => "cs",
        "golang" => "go",
        "py" | "python3" => "python",
        "rs" => "rust",
        "yml" => "yaml",
        "md" => "markdown",
        "objc" | "objective-c" => "m",
        "patch" => "diff",
        "jsonc" | "json5" => "json",
        "htm" | "vue" | "svelte" => "html",
        "kotlin" | "kt" => "java",
        "postgres" | "postgresql" | "mysql" | "sqlite" => "sql",
        other => other,
    };
    SYNTAXES.find_syntax_by_token(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(lang: &str, text: &str, part: &str) -> Option<&'static str> {
        let at = text.find(part).expect("the part is in the text");
        let at = text[..at].encode_utf16().count();
        let found = ranges(lang, text);
        found
            .ranges
            .iter()
            .find(|(from, to, _)| (*from..*to).contains(&at))
            .map(|(_, _, class)| *class)
    }

    #[test]
    fn the_usual_parts_have_their_class() {
        let rust = "// 注释 😀\nfn main() { let x: u32 = 42; println!(\"hi\\n\"); }\n";
        assert_eq!(class_of("rust", rust, "注释"), Some("comment"));
        assert_eq!(class_of("rs", rust, "fn"), Some("keyword"));
        assert_eq!(class_of("rust", rust, "main"), Some("function"));
        assert_eq!(class_of("rust", rust, "42"), Some("number"));
        assert_eq!(class_of("rust", rust, "hi"), Some("string"));
        assert_eq!(class_of("rust", rust, "\\n"), Some("escape"));
        assert_eq!(
            class_of("python", "def f(): return None\n", "return"),
            Some("keyword")
        );
        assert_eq!(class_of("ts", "const a = 'x'\n", "const"), Some("keyword"));
        assert_eq!(class_of("json", "{\"a\": 1}", "1"), Some("number"));
        assert_eq!(class_of("diff", "-old\n+new\n", "old"), Some("deleted"));
        assert_eq!(
            class_of("html", "<b class=x>t</b>", "class"),
            Some("attribute")
        );
    }

    #[test]
    fn ranges_are_utf16_in_order_and_do_not_overlap() {
        let text = "let s = \"😀😀\"; // 你好\n".repeat(20);
        let found = ranges("rust", &text);
        let mut last = 0;
        for (from, to, _) in &found.ranges {
            assert!(last <= *from && from < to);
            last = *to;
        }
        assert!(last <= text.encode_utf16().count());
        assert_eq!(found.lang, "Rust");
    }

    #[test]
    fn unknown_languages_and_data_stay_plain() {
        assert_eq!(ranges("no-such-language", "a b").ranges, []);
        assert_eq!(ranges("", "fn main() {}").lang, "");
        let long = format!("{}\nfn main() {{}}\n", "x".repeat(LINE));
        assert_eq!(ranges("rust", &long).ranges, []);
    }

    #[test]
    fn the_same_block_is_parsed_once_and_the_memory_is_bounded() {
        let highlighter = Highlighter::default();
        let first = highlighter.highlight("rust", "fn a() {}");
        assert!(Arc::ptr_eq(
            &first,
            &highlighter.highlight("rust", "fn a() {}")
        ));
        for n in 0..CACHE {
            highlighter.highlight("", &n.to_string());
        }
        assert!(!Arc::ptr_eq(
            &first,
            &highlighter.highlight("rust", "fn a() {}")
        ));
        assert!(highlighter.cache().found.len() <= CACHE);
    }
}
