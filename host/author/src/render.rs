//! Files of templates and kits as a project gets them: with the regions and names that are its own.
//!
//! In a file of a template, and of a kit, a line that has only `<gate>` in a comment begins a region, and one with `</gate>` ends
//! it. A region is kept if the project has that export, `<gate|request>` if it has one of them, `<!gate>` if it has
//! not; `<imports>` if it imports anything, `<import-kv>` if it imports that. The lines with the marks are left out, and so is a file of which nothing is left. In JSON, commas before a closing bracket
//! are left out, too. `{{name}}` is the project's name, `{{language}}` its language, `{{contract}}` the contract's version;
//! `{{exports}}` and `{{imports}}` are lists of strings, `{{exports-as-words}}` is without quotes.

use crate::contract::Contract;
use crate::names::Export;
use crate::project::Project;

/// A file of a template or kit as the project gets it; `None` if nothing is left of it. What is not UTF-8 stays as it is.
pub(crate) fn render(file: &str, bytes: &[u8], project: &Project) -> Option<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Some(bytes.to_vec());
    };
    let mut out = String::with_capacity(text.len());
    // Whether each region around the line is kept.
    let mut regions: Vec<bool> = Vec::new();
    let mut has_marks = false;
    for line in text.split_inclusive('\n') {
        match mark(line) {
            Some(Mark::Begin(condition)) => {
                has_marks = true;
                regions.push(holds(condition, project));
            }
            Some(Mark::End) => {
                regions.pop();
            }
            None if regions.iter().all(|kept| *kept) => out.push_str(line),
            None => {}
        }
    }
    if has_marks && out.trim().is_empty() {
        return None;
    }
    // The blank lines before a region that is left out. In a message they are a part of its body.
    if has_marks && !file.ends_with(".http") {
        let end = out.trim_end().len();
        out.truncate(end);
        out.push('\n');
    }
    if has_marks && file.ends_with(".json") {
        out = without_last_commas(&out);
    }
    Some(fill(out, project).into_bytes())
}

/// Fills the placeholders.
fn fill(text: String, project: &Project) -> String {
    if !text.contains("{{") {
        return text;
    }
    let quoted = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        names.join(", ")
    };
    let exports: Vec<&str> = project.exports.iter().map(|export| export.name()).collect();
    let imports: Vec<&str> = project.imports.iter().map(String::as_str).collect();
    [
        ("{{name}}", project.name.clone()),
        ("{{language}}", project.language.name().to_owned()),
        ("{{contract}}", Contract::embedded().version()),
        ("{{exports}}", quoted(&exports)),
        ("{{exports-as-words}}", exports.join(", ")),
        ("{{imports}}", quoted(&imports)),
    ]
    .iter()
    .fold(text, |text, (name, value)| text.replace(name, value))
}

/// JSON without commas before closing brackets, which regions may leave.
fn without_last_commas(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with([']', '}']) && out.trim_end().ends_with(',') {
            let end = out.trim_end().len() - 1;
            out.remove(end);
        }
        out.push_str(line);
    }
    out
}

/// A mark of a region.
pub(crate) enum Mark<'a> {
    Begin(&'a str),
    End,
}

/// The mark that is alone in a line, apart from what makes the line a comment.
pub(crate) fn mark(line: &str) -> Option<Mark<'_>> {
    let line = line.trim().trim_start_matches(['/', '#', '*', ';', ' ']);
    let line = line.strip_prefix("<!--").unwrap_or(line);
    let line = line.strip_suffix("-->").unwrap_or(line);
    let line = line.strip_suffix("*/").unwrap_or(line).trim();
    let inner = line.strip_prefix('<')?.strip_suffix('>')?;
    let (is_end, names) = match inner.strip_prefix('/') {
        Some(names) => (true, names),
        None => (false, inner),
    };
    let is_known = |name: &str| {
        Export::find(name).is_some() || name == "imports" || name.starts_with("import-")
    };
    let condition = names.strip_prefix('!').unwrap_or(names);
    if !condition.split('|').all(is_known) {
        return None;
    }
    Some(if is_end {
        Mark::End
    } else {
        Mark::Begin(names)
    })
}

fn holds(condition: &str, project: &Project) -> bool {
    let has = |name: &str| match name.strip_prefix("import-") {
        Some(import) => project.imports.iter().any(|it| it == import),
        None if name == "imports" => !project.imports.is_empty(),
        None => project.has(name),
    };
    match condition.strip_prefix('!') {
        Some(names) => !names.split('|').any(has),
        None => condition.split('|').any(has),
    }
}
