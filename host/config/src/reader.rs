//! Walks a parsed file and collects its problems.
//!
//! Responsible for key paths, lines, types and unknown keys, so that the files of the sections only say what they need. A
//! reader never stops at a problem: it notes the problem and returns `None`, the section continues with a default, and
//! `parse` returns the result only if no problem was noted.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Position, Problem, nearest};
use super::{Env, units};

/// What all readers share.
pub(super) struct Context<'a> {
    text: &'a str,
    base: &'a Path,
    pub(super) env: Env<'a>,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    /// The addresses that are taken.
    pub(super) addresses: RefCell<Vec<SocketAddr>>,
    /// The files that the configuration refers to, readable or not.
    files: RefCell<BTreeSet<PathBuf>>,
}

impl<'a> Context<'a> {
    pub(super) fn new(text: &'a str, base: &'a Path, env: Env<'a>) -> Self {
        Self {
            text,
            base,
            env,
            problems: RefCell::default(),
            warnings: RefCell::default(),
            addresses: RefCell::default(),
            files: RefCell::default(),
        }
    }

    pub(super) fn problem(
        &self,
        place: &Place,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.push(self.note(place, message.into(), mend.into()));
    }

    pub(super) fn warning(
        &self,
        place: &Place,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) {
        let warning = self.note(place, message.into(), mend.into());
        self.warnings.borrow_mut().push(warning);
    }

    /// A problem that has its place already.
    pub(super) fn push(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    fn note(&self, place: &Place, message: String, mend: String) -> Problem {
        self.position(place).problem(message, mend)
    }

    /// The place of a value, for code that does not have the text.
    pub(super) fn position(&self, place: &Place) -> Position {
        Position {
            key: place.key.clone(),
            line: place.offset.map(|offset| line_of(self.text, offset)),
        }
    }

    /// An environment variable; an empty one counts as unset.
    pub(super) fn env(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// An environment variable, with its name as the key of its problems.
    pub(super) fn variable(&'a self, name: &str) -> Option<Text<'a>> {
        let place = Place {
            key: name.to_owned(),
            offset: None,
        };
        let text = self.env(name)?;
        Some(Text {
            cx: self,
            place,
            text,
        })
    }

    /// A path from the file; a relative one is resolved against the file's folder.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        self.base.join(text)
    }

    /// The path of a file that the configuration depends on.
    pub(super) fn file(&self, text: &str) -> PathBuf {
        let path = self.path(text);
        self.files.borrow_mut().insert(path.clone());
        path
    }

    /// Notes that the configuration depends on this file, whether it is there or not.
    pub(super) fn depends_on(&self, path: &Path) {
        self.files.borrow_mut().insert(path.to_owned());
    }

    /// Takes over what was noted about another file.
    pub(super) fn include(&self, file: &Path, other: Context<'_>) {
        let named = |mut problem: Problem| {
            let key = std::mem::take(&mut problem.key);
            problem.key = format!("{}: {key}", file.display());
            problem
        };
        let (problems, warnings, mut files) = other.into_notes();
        let problems = problems.into_iter().map(named);
        self.problems.borrow_mut().extend(problems);
        let warnings = warnings.into_iter().map(named);
        self.warnings.borrow_mut().extend(warnings);
        self.files.borrow_mut().append(&mut files);
    }

    /// The problems, the warnings, and the files that it depends on.
    pub(super) fn into_notes(self) -> (Vec<Problem>, Vec<Problem>, BTreeSet<PathBuf>) {
        (
            self.problems.into_inner(),
            self.warnings.into_inner(),
            self.files.into_inner(),
        )
    }
}

/// The line, counted from 1, of a byte of the text.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// Where a value is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    key: String,
    offset: Option<usize>,
}

impl Place {
    fn key(&self, name: &str, offset: usize) -> Self {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let quoted = format!("{name:?}");
        let is_bare = !name.is_empty() && name.chars().all(bare);
        let name = if is_bare { name } else { quoted.as_str() };
        let dot = if self.key.is_empty() { "" } else { "." };
        Self {
            key: format!("{}{dot}{name}", self.key),
            offset: Some(offset),
        }
    }

    fn item(&self, index: usize, offset: usize) -> Self {
        Self {
            key: format!("{}[{index}]", self.key),
            offset: Some(offset),
        }
    }
}

/// A table; an absent one is empty.
pub(super) struct Table<'a> {
    pub(super) cx: &'a Context<'a>,
    pub(super) place: Place,
    entries: Option<&'a DeTable<'a>>,
    /// The keys that were asked for, which are the known ones.
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Table<'a> {
    pub(super) fn root(cx: &'a Context<'a>, table: &'a DeTable<'a>) -> Self {
        let place = Place {
            key: String::new(),
            offset: None,
        };
        Self::new(cx, place, Some(table))
    }

    fn new(cx: &'a Context<'a>, place: Place, entries: Option<&'a DeTable<'a>>) -> Self {
        Self {
            cx,
            place,
            entries,
            asked: RefCell::default(),
        }
    }

    pub(super) fn is_present(&self) -> bool {
        self.entries.is_some()
    }

    /// The value of a key. From now on the key is known.
    pub(super) fn get(&self, name: &'static str) -> Option<Value<'a>> {
        self.asked.borrow_mut().insert(name);
        let (key, node) = self.entries?.get_key_value(name)?;
        Some(self.value(key.span().start, name, node))
    }

    /// As `get`, but an absent key is a problem.
    pub(super) fn required(&self, name: &'static str, mend: &str) -> Option<Value<'a>> {
        let value = self.get(name);
        if value.is_none() {
            let message = format!("has no `{name}`");
            self.cx.problem(&self.place, message, mend);
        }
        value
    }

    /// A table inside this one.
    pub(super) fn section(&self, name: &'static str) -> Self {
        let table = self.get(name).and_then(|value| value.table());
        table.unwrap_or_else(|| Self::new(self.cx, self.place.clone(), None))
    }

    /// All entries of a table whose keys the operator chooses.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        let entries = self.entries.into_iter().flatten();
        entries.map(|(key, node)| {
            let name: &'a str = key.get_ref().as_ref();
            (name, self.value(key.span().start, name, node))
        })
    }

    fn value(&self, offset: usize, name: &str, node: &'a Spanned<DeValue<'a>>) -> Value<'a> {
        Value {
            cx: self.cx,
            place: self.place.key(name, offset),
            node: node.get_ref(),
        }
    }

    pub(super) fn text(&self, name: &'static str) -> Option<Text<'a>> {
        self.get(name)?.text()
    }

    /// As `text`, but the environment variable wins if it is set.
    pub(super) fn text_or(&self, name: &'static str, variable: &str) -> Option<Text<'a>> {
        let text = self.text(name);
        self.cx.variable(variable).or(text)
    }

    pub(super) fn flag(&self, name: &'static str) -> Option<bool> {
        self.get(name)?.flag()
    }

    pub(super) fn count(&self, name: &'static str) -> Option<usize> {
        self.get(name)?.count()
    }

    pub(super) fn size(&self, name: &'static str) -> Option<u64> {
        self.get(name)?.size()
    }

    pub(super) fn duration(&self, name: &'static str) -> Option<Duration> {
        self.get(name)?.duration()
    }

    /// As `duration`, but 0 means off: `Some(None)`.
    pub(super) fn duration_or_off(&self, name: &'static str) -> Option<Option<Duration>> {
        let duration = self.get(name)?.any_duration()?;
        Some(Some(duration).filter(|duration| !duration.is_zero()))
    }

    /// Reports the keys that were not asked for. Call it last for every table with fixed keys.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for (name, value) in self.entries() {
            if asked.contains(name) {
                continue;
            }
            let mend = match nearest(name, asked.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    let known: Vec<&str> = asked.iter().copied().collect();
                    format!("remove it; known keys: {}", known.join(", "))
                }
            };
            self.cx.problem(&value.place, "is not a known key", mend);
        }
    }
}

/// A string, from the file or from the environment.
pub(super) struct Text<'a> {
    pub(super) cx: &'a Context<'a>,
    pub(super) place: Place,
    pub(super) text: String,
}

impl Text<'_> {
    pub(super) fn problem(&self, message: impl Into<String>, mend: impl Into<String>) {
        self.cx.problem(&self.place, message, mend);
    }
}

/// A value of any type.
#[derive(Clone)]
pub(super) struct Value<'a> {
    pub(super) cx: &'a Context<'a>,
    pub(super) place: Place,
    pub(super) node: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    pub(super) fn problem(&self, message: impl Into<String>, mend: impl Into<String>) {
        self.cx.problem(&self.place, message, mend);
    }

    fn mistyped(&self, needed: &str, mend: &str) {
        // The value is not shown: it may be a misplaced secret.
        let message = format!("must be {needed}, not {}", with_article(self.node));
        self.problem(message, mend);
    }

    pub(super) fn string(&self) -> Option<&'a str> {
        let string = self.node.as_str();
        if string.is_none() {
            self.mistyped("a string", "put the value in quotes");
        }
        string
    }

    pub(super) fn text(&self) -> Option<Text<'a>> {
        Some(Text {
            cx: self.cx,
            place: self.place.clone(),
            text: self.string()?.to_owned(),
        })
    }

    pub(super) fn flag(&self) -> Option<bool> {
        let flag = self.node.as_bool();
        if flag.is_none() {
            self.mistyped("a boolean", "write true or false, without quotes");
        }
        flag
    }

    /// A whole number above 0.
    pub(super) fn count(&self) -> Option<usize> {
        let count = self.integer()?.filter(|count| *count > 0);
        if count.is_none() {
            self.problem("is out of range", "write a whole number above 0");
        }
        count
    }

    /// A whole number, also 0.
    pub(super) fn whole_number(&self) -> Option<usize> {
        let number = self.integer()?;
        if number.is_none() {
            self.problem("is out of range", "write a whole number, or 0");
        }
        number
    }

    /// `Some(None)` for an integer that is out of range.
    fn integer(&self) -> Option<Option<usize>> {
        let Some(integer) = self.node.as_integer() else {
            self.mistyped("an integer", "write a whole number, without quotes");
            return None;
        };
        Some(usize::from_str_radix(integer.as_str(), integer.radix()).ok())
    }

    /// A part of a whole, in percent.
    pub(super) fn percent(&self) -> Option<u32> {
        let example = r#"write a whole number from 0 to 100 and the sign, such as "20%""#;
        let text = self.with_unit(example)?;
        let percent = units::percent(text);
        if percent.is_none() {
            self.problem(format!("is not a part in percent: {text:?}"), example);
        }
        percent
    }

    /// Bytes, above 0.
    pub(super) fn size(&self) -> Option<u64> {
        let example = r#"write a whole number and a unit, such as "64KiB" or "16MiB""#;
        let text = self.with_unit(example)?;
        let size = units::size(text).filter(|size| *size > 0);
        if size.is_none() {
            self.problem(format!("is not a size: {text:?}"), example);
        }
        size
    }

    /// A duration above 0.
    pub(super) fn duration(&self) -> Option<Duration> {
        let duration = self.any_duration()?;
        if duration.is_zero() {
            self.problem("cannot be 0", r#"write a longer time, such as "30s""#);
            return None;
        }
        Some(duration)
    }

    fn any_duration(&self) -> Option<Duration> {
        let example = r#"write a whole number and a unit, such as "250ms", "30s", "5m" or "1h""#;
        let text = self.with_unit(example)?;
        let duration = units::duration(text);
        if duration.is_none() {
            self.problem(format!("is not a duration: {text:?}"), example);
        }
        duration
    }

    /// The text of a value with a unit. A bare number is a common mistake.
    fn with_unit(&self, example: &str) -> Option<&'a str> {
        let text = self.node.as_str();
        if text.is_none() {
            let needed = "a string with a unit";
            self.mistyped(needed, example);
        }
        text
    }

    /// The elements of an array.
    pub(super) fn items(&self) -> Option<Vec<Self>> {
        let Some(array) = self.node.as_array() else {
            self.mistyped("an array", "put it in brackets: [ … ]");
            return None;
        };
        let items = array.iter().enumerate().map(|(index, node)| Self {
            cx: self.cx,
            place: self.place.item(index, node.span().start),
            node: node.get_ref(),
        });
        Some(items.collect())
    }

    /// An entry, if this is a table that contains it.
    pub(super) fn child(&self, name: &str) -> Option<Self> {
        let (key, node) = self.node.as_table()?.get_key_value(name)?;
        Some(Self {
            cx: self.cx,
            place: self.place.key(name, key.span().start),
            node: node.get_ref(),
        })
    }

    /// The elements of an array of tables; `name` is its heading.
    pub(super) fn tables(&self, name: &str) -> Vec<Table<'a>> {
        if self.node.is_table() {
            let mend = format!("write the heading with two brackets: [[{name}]]");
            self.mistyped("a list of tables", &mend);
            return Vec::new();
        }
        let items = self.items().unwrap_or_default();
        items.iter().filter_map(Value::table).collect()
    }

    pub(super) fn table(&self) -> Option<Table<'a>> {
        let Some(table) = self.node.as_table() else {
            self.mistyped("a table", "write { key = value } or a [section]");
            return None;
        };
        Some(Table::new(self.cx, self.place.clone(), Some(table)))
    }
}

fn with_article(node: &DeValue<'_>) -> String {
    let name = node.type_str();
    let article = if name.starts_with(['a', 'i']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {name}")
}
