//! Prepares a text that is still being written.
//!
//! Responsible for what the parser cannot know: that more text will follow. A code span that has begun is closed; a table's
//! first row, a mark at the very end and a link whose address is not complete are held back until the rest is there.

use std::borrow::Cow;

/// The text to parse instead of `source`: `source`, perhaps without its last characters, or with a mark added at its end. All
/// offsets before the end stay valid.
pub(crate) fn complete(source: &str) -> Cow<'_, str> {
    let start = last_paragraph(source);
    if in_fence(source) {
        return Cow::Borrowed(without_partial_fence(source));
    }
    let mut end = source.len();
    if let Some(cut) = table_start(&source[start..]) {
        end = start + cut;
    }
    if let Some(cut) = open_link(&source[start..end]) {
        end = start + cut;
    }
    // A mark at the very end has nothing to mark yet. Backslashes are left: cutting half an escape would show the mark.
    let kept = source[..end].trim_end_matches(['*', '`', '~', '_']);
    if kept.len() < end && !kept.ends_with('\\') && !is_line_of_marks(source, kept.len()) {
        end = kept.len();
    }
    let shown = &source[..end];
    match open_code_span(shown.get(start..).unwrap_or_default()) {
        Some(fence) => Cow::Owned(format!("{shown}{fence}")),
        None => Cow::Borrowed(shown),
    }
}

/// Where the text after the last blank line begins.
fn last_paragraph(source: &str) -> usize {
    let mut start = 0;
    let mut offset = 0;
    for line in source.split_inclusive('\n') {
        offset += line.len();
        if line.trim().is_empty() {
            start = offset;
        }
    }
    start
}

/// Whether the end of `source` is inside a fenced code block.
fn in_fence(source: &str) -> bool {
    let mut open: Option<(u8, usize)> = None;
    for line in source.lines() {
        let line = line.trim_start_matches([' ', '\t', '>']);
        // A fence may be the first thing in a list item.
        let line = line.strip_prefix("- ").map_or(line, str::trim_start);
        let Some(mark @ (b'`' | b'~')) = line.bytes().next() else {
            continue;
        };
        let length = line.bytes().take_while(|&byte| byte == mark).count();
        if length < 3 {
            continue;
        }
        match open {
            Some((by, at_least)) => {
                if by == mark && length >= at_least && line[length..].trim().is_empty() {
                    open = None;
                }
            }
            None => {
                if mark == b'~' || !line[length..].contains('`') {
                    open = Some((mark, length));
                }
            }
        }
    }
    open.is_some()
}

/// Within a fence: the first one or two marks of the closing line are not shown as code.
fn without_partial_fence(source: &str) -> &str {
    let line = source.rfind('\n').map_or(0, |at| at + 1);
    let last = source[line..].trim();
    if matches!(last, "`" | "``" | "~" | "~~") {
        &source[..line]
    } else {
        source
    }
}

/// Whether the marks from `from` on are all there is on their line: then they may be a rule, a fence or a list's bullet.
fn is_line_of_marks(source: &str, from: usize) -> bool {
    source[..from]
        .rsplit('\n')
        .next()
        .is_none_or(|line| line.trim().is_empty())
        && source.len() - from >= 3
}

/// Where a paragraph's table begins, if its delimiter row is not there yet.
fn table_start(paragraph: &str) -> Option<usize> {
    let mut lines = paragraph.split_inclusive('\n');
    let first = lines.next()?;
    let second = lines.next().unwrap_or_default();
    let is_partial = lines.next().is_none()
        && !second.ends_with('\n')
        && second.bytes().all(|byte| b" |:-".contains(&byte));
    let columns = |row: &str| row.trim().trim_matches('|').split('|').count();
    let is_complete = second.contains('-') && columns(second) >= columns(first);
    (first.trim_start().starts_with('|') && is_partial && !is_complete).then_some(0)
}

/// Where the address of a link begins that is not complete: `[text](http://exam`. The text stays.
fn open_link(paragraph: &str) -> Option<usize> {
    let line = paragraph.rfind('\n').map_or(0, |at| at + 1);
    let at = line + paragraph[line..].rfind("](")?;
    let address = &paragraph[at + 2..];
    let open = !address.contains(')') && !address.contains(char::is_whitespace);
    // `![` and `[` themselves are cut with the address: a half link shows as nothing rather than as brackets.
    let bracket = line + paragraph[line..at].rfind('[')?;
    open.then(|| bracket - usize::from(paragraph[..bracket].ends_with('!')))
}

/// The marks that would close a code span that is open at the end.
fn open_code_span(paragraph: &str) -> Option<&str> {
    let mut open: Option<&str> = None;
    let mut rest = paragraph;
    while let Some(at) = rest.find('`') {
        let run = rest[at..].len() - rest[at..].trim_start_matches('`').len();
        let marks = &rest[at..at + run];
        let escaped = open.is_none() && rest[..at].ends_with('\\');
        open = match open {
            Some(by) if by.len() == run => None,
            Some(by) => Some(by),
            None if escaped => None,
            None => Some(marks),
        };
        rest = &rest[at + run..];
    }
    open
}
