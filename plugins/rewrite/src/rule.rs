//! A rule: what it matches, and what it changes.

use regex_lite::{Captures, Regex, RegexBuilder};

use crate::config::RawRule;

/// The largest compiled pattern. A larger one is a mistake, and would not fit into the sandbox.
const PATTERN_BYTES: usize = 1024 * 1024;

/// A compiled rule.
#[derive(Debug)]
pub struct Rule {
    matcher: Matcher,
    methods: Vec<String>,
    path: Option<String>,
    fields: Vec<(String, String)>,
    removed: Vec<String>,
    upstream: Option<String>,
    goes_on: bool,
}

/// The changes of a rule that depend on the request.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// The new path.
    pub path: Option<String>,
    /// Header fields to set.
    pub fields: Vec<(String, String)>,
}

#[derive(Debug)]
enum Matcher {
    Every,
    Exact(String),
    Prefix(String),
    Pattern(Regex),
}

impl Rule {
    /// Makes a rule; `at` is its place in the configuration.
    ///
    /// # Errors
    /// If it has more than one matcher, changes nothing, has an invalid pattern, refers to a group that the pattern does not
    /// have, or has an illegal field name.
    pub fn new(at: usize, raw: RawRule) -> Result<Self, String> {
        let key = |name: &str| format!("`rules[{at}].{name}`");
        let changes = raw.path.is_some()
            || raw.host.is_some()
            || raw.upstream.is_some()
            || !raw.set.is_empty()
            || !raw.remove.is_empty();
        if !changes {
            return Err(format!(
                "`rules[{at}]` changes nothing: give it `path`, `host`, `upstream`, `set` or `remove`"
            ));
        }
        let matcher = match (raw.exact, raw.prefix, raw.regex) {
            (None, None, None) => Matcher::Every,
            (Some(path), None, None) => Matcher::Exact(path),
            (None, Some(prefix), None) => Matcher::Prefix(prefix),
            (None, None, Some(pattern)) => Matcher::Pattern(compile(&key("regex"), &pattern)?),
            _ => {
                return Err(format!(
                    "`rules[{at}]` has more than one of `exact`, `prefix` and `regex`"
                ));
            }
        };
        if let (Some(path), Matcher::Every | Matcher::Exact(_) | Matcher::Prefix(_)) =
            (&raw.path, &matcher)
            && !path.starts_with('/')
        {
            return Err(format!("{} must begin with `/`", key("path")));
        }
        let mut fields = Vec::with_capacity(raw.set.len() + 1);
        for (name, value) in raw.set {
            check_name(&key("set"), &name)?;
            fields.push((name.to_ascii_lowercase(), value));
        }
        if let Some(host) = raw.host {
            fields.push(("host".to_owned(), host));
        }
        for name in &raw.remove {
            check_name(&key("remove"), name)?;
        }
        if let Matcher::Pattern(pattern) = &matcher {
            for value in raw.path.iter().chain(fields.iter().map(|(_, value)| value)) {
                check_references(at, pattern, value)?;
            }
        }
        Ok(Self {
            matcher,
            methods: raw
                .methods
                .iter()
                .map(|method| method.to_ascii_uppercase())
                .collect(),
            path: raw.path,
            fields,
            removed: raw.remove,
            upstream: raw.upstream,
            goes_on: raw.goes_on,
        })
    }

    /// The changes for a request with this method and path; `None` if the rule does not match.
    pub fn apply(&self, method: &str, path: &str) -> Option<Change> {
        if !self.methods.is_empty() && !self.methods.iter().any(|known| known == method) {
            return None;
        }
        match &self.matcher {
            Matcher::Every => Some(self.plain(self.path.clone())),
            Matcher::Exact(exact) => (exact == path).then(|| self.plain(self.path.clone())),
            Matcher::Prefix(prefix) => {
                let rest = path.strip_prefix(prefix.as_str())?;
                Some(self.plain(self.path.as_ref().map(|new| format!("{new}{rest}"))))
            }
            Matcher::Pattern(pattern) => {
                let found = pattern.captures(path)?;
                Some(self.expanded(path, &found))
            }
        }
    }

    /// The upstream that the rule chooses.
    pub fn upstream(&self) -> Option<&str> {
        self.upstream.as_deref()
    }

    /// Header fields to remove, before others are set.
    pub fn removed(&self) -> &[String] {
        &self.removed
    }

    /// Whether the rules after this one are tried as well.
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    fn plain(&self, path: Option<String>) -> Change {
        Change {
            path,
            fields: self.fields.clone(),
        }
    }

    fn expanded(&self, path: &str, found: &Captures<'_>) -> Change {
        let expand = |template: &str| {
            let mut out = String::with_capacity(template.len() + 32);
            found.expand(template, &mut out);
            out
        };
        let whole = found.get(0).expect("group 0 is the match");
        let around = |new: &str| {
            let before = path.get(..whole.start()).unwrap_or_default();
            let after = path.get(whole.end()..).unwrap_or_default();
            format!("{before}{}{after}", expand(new))
        };
        let fields = self
            .fields
            .iter()
            .map(|(name, value)| (name.clone(), expand(value)));
        Change {
            path: self.path.as_deref().map(around),
            fields: fields.collect(),
        }
    }
}

fn compile(key: &str, pattern: &str) -> Result<Regex, String> {
    let regex = RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES)
        .build()
        .map_err(|error| format!("{key}: {error}"))?;
    // The first search allocates scratch space. Done now, it is part of the image, and no exchange pays for it.
    let _ = regex.captures("/");
    Ok(regex)
}

fn check_name(key: &str, name: &str) -> Result<(), String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("{key}: `{name}` is not the name of a header field"));
    }
    Ok(())
}

/// Fails if a template names a group that the pattern does not have: it would silently become empty.
fn check_references(at: usize, pattern: &Regex, template: &str) -> Result<(), String> {
    let mut rest = template;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(escaped) = after.strip_prefix('$') {
            rest = escaped;
            continue;
        }
        let name = match after.strip_prefix('{') {
            Some(braced) => braced.split('}').next().unwrap_or_default(),
            None => {
                let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                &after[..after.find(|c| !word(c)).unwrap_or(after.len())]
            }
        };
        let known = match name.parse::<usize>() {
            Ok(number) => number < pattern.captures_len(),
            Err(_) => {
                name.is_empty() || pattern.capture_names().flatten().any(|group| group == name)
            }
        };
        if !known {
            return Err(format!(
                "`rules[{at}]`: `{template}` refers to the group `{name}`, which `regex` does not have; write ${{1}} if letters follow a number"
            ));
        }
        rest = after;
    }
    Ok(())
}
