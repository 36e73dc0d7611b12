//! Keeps parts of a message that Markdown would remove without showing them.
//!
//! Formulas are not rendered, so they are shown as they are written: the parser must not take the backslashes of `\(`, `\[`,
//! `\\` and `\{` for escapes, nor what is between them for markup. A link definition that no link uses (also `[^1]: …`, which
//! looks like one) would vanish. Both are hidden from the parser by letters of the same length; the tree takes the text of a
//! range from the message itself.

use std::borrow::Cow;
use std::ops::Range;

use pulldown_cmark::{Event, LinkType, Parser, Tag, TagEnd};

use crate::tree::OPTIONS;

/// Stands for each mark that the parser must not see. A letter, which has no meaning anywhere.
const FILLER: u8 = b'x';

/// How many other marks may stand between the beginning and the end of a formula. Bounds the search for any message.
const AHEAD: usize = 64;

/// A formula that is hidden may have held the link that used a definition, and a definition a formula. Few messages need more
/// than the first round.
const ROUNDS: usize = 4;

/// The text to parse instead of `source`, of the same length. With `open`, a formula without an end extends to the end of the
/// text.
pub(crate) fn hide(source: &str, open: bool) -> Cow<'_, str> {
    if !source.contains(['\\', '$']) && !source.contains("]:") {
        return Cow::Borrowed(source);
    }
    let mut shown = source.to_owned();
    for _ in 0..ROUNDS {
        let outline = Outline::of(&shown);
        let mut spans = outline.formulas(&shown, open);
        spans.extend(outline.unused_definitions(&shown));
        if spans.is_empty() {
            break;
        }
        shown = without(shown, &spans);
    }
    Cow::Owned(shown)
}

/// The text with letters for all marks in these places.
fn without(text: String, spans: &[Range<usize>]) -> String {
    let mut bytes = text.into_bytes();
    for span in spans {
        for byte in &mut bytes[span.clone()] {
            if byte.is_ascii_punctuation() {
                *byte = FILLER;
            }
        }
    }
    // Only ASCII took the place of ASCII.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A run of text and the block in which it stands.
struct TextRun {
    range: Range<usize>,
    block: usize,
}

/// What the parser finds, and where, before anything is hidden.
#[derive(Default)]
struct Outline {
    runs: Vec<TextRun>,
    /// All that is shown in some way, in order of its beginning.
    shown: Vec<Range<usize>>,
    /// The definitions that a link uses, in order.
    used: Vec<Range<usize>>,
}

impl Outline {
    fn of(source: &str) -> Self {
        let mut outline = Self::default();
        let parser = Parser::new_ext(source, OPTIONS);
        let definitions: Vec<_> = parser
            .reference_definitions()
            .iter()
            // What only looks like a link is a note.
            .filter(|(label, _)| !label.starts_with('^'))
            .map(|(_, to)| (to.dest.to_string(), to.span.clone()))
            .collect();
        let mut targets = Vec::new();
        let mut block = 0;
        for (event, range) in parser.into_offset_iter() {
            match event {
                Event::Start(tag) => {
                    block += usize::from(is_block(&tag));
                    if let Tag::Link {
                        link_type,
                        dest_url,
                        ..
                    }
                    | Tag::Image {
                        link_type,
                        dest_url,
                        ..
                    } = &tag
                        && is_reference(*link_type)
                    {
                        targets.push(dest_url.to_string());
                    }
                    if !is_container(&tag) {
                        outline.shown.push(range);
                    }
                }
                Event::End(tag) => block += usize::from(is_block_end(tag)),
                Event::Text(_) => {
                    outline.shown.push(range.clone());
                    outline.runs.push(TextRun { range, block });
                }
                Event::Code(_)
                | Event::Html(_)
                | Event::InlineHtml(_)
                | Event::InlineMath(_)
                | Event::DisplayMath(_)
                | Event::FootnoteReference(_)
                | Event::SoftBreak
                | Event::HardBreak
                | Event::Rule
                | Event::TaskListMarker(_) => outline.shown.push(range),
            }
        }
        targets.sort_unstable();
        let used = definitions
            .into_iter()
            .filter(|(target, _)| targets.binary_search(target).is_ok());
        outline.used = used.map(|(_, span)| span).collect();
        outline.used.sort_unstable_by_key(|span| span.start);
        outline
    }

    /// The formulas, in order.
    fn formulas(&self, source: &str, open: bool) -> Vec<Range<usize>> {
        let marks = self.marks(source);
        let last_block = self.runs.last().map_or(0, |run| run.block);
        let mut spans: Vec<Range<usize>> = Vec::new();
        for (at, mark) in marks.iter().enumerate() {
            let start = mark.range.start;
            if spans.last().is_some_and(|span| start < span.end) {
                continue;
            }
            let end = marks[at + 1..]
                .iter()
                .take(AHEAD)
                .take_while(|other| other.block == mark.block)
                .find(|other| mark.is_closed_by(other, source))
                .map(|other| other.range.end);
            match (end, &mark.kind) {
                (Some(end), _) => spans.push(start..end),
                (None, Kind::Open(_)) if open && mark.block == last_block => {
                    spans.push(start..source.len());
                }
                // Alone it is nothing but itself.
                (None, Kind::Open(_) | Kind::Close(_)) => spans.push(mark.range.clone()),
                (None, Kind::Dollars | Kind::Dollar | Kind::Begin(_) | Kind::End(_)) => {}
            }
        }
        spans
    }

    /// All that can begin or end a formula, in order.
    fn marks<'a>(&self, source: &'a str) -> Vec<Mark<'a>> {
        let mut marks = Vec::new();
        let mut before = 0;
        for TextRun { range, block } in &self.runs {
            let written = source.get(range.clone()).unwrap_or_default();
            // A backslash that belongs to no run was taken for an escape.
            let escape = range.start > before && source.as_bytes()[range.start - 1] == b'\\';
            before = range.end;
            let first = written.chars().next().filter(|_| escape);
            let kind = match first {
                Some(c @ ('(' | '[')) => Some(Kind::Open(c)),
                Some(c @ (')' | ']')) => Some(Kind::Close(c)),
                Some(_) | None => None,
            };
            let skipped = usize::from(first.is_some());
            marks.extend(kind.map(|kind| Mark {
                kind,
                range: range.start - 1..range.start + 1,
                block: *block,
            }));
            find_marks(source, range.start + skipped..range.end, *block, &mut marks);
        }
        marks
    }

    /// The opening brackets of definitions that nothing shows.
    fn unused_definitions(&self, source: &str) -> Vec<Range<usize>> {
        let mut brackets = Vec::new();
        let mut from = 0;
        let end = source.len()..source.len();
        for shown in self.shown.iter().chain([&end]) {
            if let Some(gap) = source.get(from..shown.start) {
                let found = gap.match_indices('[').map(|(at, _)| from + at);
                let unused = found.filter(|&at| !self.is_used(at));
                brackets.extend(unused.map(|at| at..at + 1));
            }
            from = from.max(shown.end);
        }
        brackets
    }

    /// Whether a place is in a definition that a link uses.
    fn is_used(&self, at: usize) -> bool {
        let next = self.used.partition_point(|span| span.start <= at);
        next > 0 && at < self.used[next - 1].end
    }
}

/// Something that can begin or end a formula.
struct Mark<'a> {
    kind: Kind<'a>,
    range: Range<usize>,
    block: usize,
}

#[derive(PartialEq)]
enum Kind<'a> {
    /// `\(` or `\[`.
    Open(char),
    /// `\)` or `\]`.
    Close(char),
    /// `$$`.
    Dollars,
    /// `$`.
    Dollar,
    /// `\begin{name}`.
    Begin(&'a str),
    /// `\end{name}`.
    End(&'a str),
}

impl Mark<'_> {
    fn is_closed_by(&self, other: &Self, source: &str) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Open('('), Kind::Close(by)) => *by == ')',
            (Kind::Open(_), Kind::Close(by)) => *by == ']',
            (Kind::Begin(name), Kind::End(by)) => name == by,
            (Kind::Dollars, Kind::Dollars) => true,
            (Kind::Dollar, Kind::Dollar) => is_formula(source, self.range.end, other.range.start),
            (
                Kind::Open(_)
                | Kind::Close(_)
                | Kind::Begin(_)
                | Kind::End(_)
                | Kind::Dollars
                | Kind::Dollar,
                _,
            ) => false,
        }
    }
}

/// Whether what stands between two dollars is a formula rather than a price. Only one with a backslash has anything to lose.
fn is_formula(source: &str, from: usize, to: usize) -> bool {
    let inner = &source[from..to];
    let hugs = !inner.starts_with(char::is_whitespace) && !inner.ends_with(char::is_whitespace);
    let next = source[to + 1..].chars().next();
    hugs && inner.contains('\\')
        && !inner.contains('\n')
        && !next.is_some_and(char::is_alphanumeric)
}

/// The marks within one run of text.
fn find_marks<'a>(source: &'a str, range: Range<usize>, block: usize, marks: &mut Vec<Mark<'a>>) {
    let mut at = range.start;
    while let Some(next) = source[at..range.end].find(['\\', '$']) {
        let start = at + next;
        let rest = &source[start..range.end];
        let (kind, length) = if rest.starts_with("$$") {
            (Some(Kind::Dollars), 2)
        } else if rest.starts_with('$') {
            (Some(Kind::Dollar), 1)
        } else if let Some(name) = named(rest, "\\begin{") {
            (Some(Kind::Begin(name)), "\\begin{}".len() + name.len())
        } else if let Some(name) = named(rest, "\\end{") {
            (Some(Kind::End(name)), "\\end{}".len() + name.len())
        } else {
            (None, 1)
        };
        at = start + length;
        marks.extend(kind.map(|kind| Mark {
            kind,
            range: start..at,
            block,
        }));
    }
}

/// The name in `\begin{name}`.
fn named<'a>(text: &'a str, command: &str) -> Option<&'a str> {
    let (name, _) = text.strip_prefix(command)?.split_once('}')?;
    Some(name)
}

/// Whether a tag holds blocks rather than text of its own.
fn is_container(tag: &Tag<'_>) -> bool {
    matches!(
        tag,
        Tag::BlockQuote(_) | Tag::List(_) | Tag::Item | Tag::FootnoteDefinition(_)
    )
}

/// Whether text before a tag and text in it stand in different places.
fn is_block(tag: &Tag<'_>) -> bool {
    is_block_end(tag.to_end())
}

fn is_block_end(tag: TagEnd) -> bool {
    !matches!(
        tag,
        TagEnd::Emphasis
            | TagEnd::Strong
            | TagEnd::Strikethrough
            | TagEnd::Superscript
            | TagEnd::Subscript
            | TagEnd::Link
            | TagEnd::Image
    )
}

fn is_reference(link: LinkType) -> bool {
    matches!(
        link,
        LinkType::Reference | LinkType::Collapsed | LinkType::Shortcut
    )
}
