//! Builds a tree of nodes from the parser's flat events.
//!
//! Responsible for nesting, for the source range of each top-level block, and for a bound on depth. The meaning of each
//! node is documented at [`crate::tokens`].

use std::ops::Range;

use pulldown_cmark::{
    Alignment, BlockQuoteKind, CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag,
};

use crate::{emphasis, verbatim};

/// The extensions of `CommonMark`.
pub(crate) const OPTIONS: Options = Options::ENABLE_TABLES
    .union(Options::ENABLE_STRIKETHROUGH)
    .union(Options::ENABLE_TASKLISTS);

/// Deeper nesting than this is flattened: the page builds elements by recursion. Far beyond what anyone reads.
const MAX_DEPTH: usize = 48;

/// One node of a message.
#[derive(Debug, PartialEq)]
pub(crate) enum Node {
    /// Literal text.
    Text(String),
    /// A run of `*`, `_`, `~` or `` ` `` that the parser left alone. Becomes markup in [`emphasis`] or ends as text.
    Mark(String),
    /// A code span.
    Code(String),
    /// A code block. `info` is the text after its fence, if that is more than the language.
    Pre {
        language: String,
        info: String,
        text: String,
        closed: bool,
    },
    /// A line break within a paragraph.
    Break,
    /// A thematic break.
    Rule,
    /// A node with children.
    Branch(Kind, Vec<Self>),
}

/// The kind of a node with children.
#[derive(Debug, PartialEq)]
pub(crate) enum Kind {
    /// Nothing: it is nested too deeply, or has no meaning here. Its children go to its parent.
    Plain,
    Paragraph,
    Heading(u8),
    Quote,
    List(Option<u64>),
    /// The state of its checkbox, if it has one.
    Item(Option<bool>),
    Table(Vec<Alignment>),
    Row,
    Cell,
    Emphasis,
    Strong,
    Struck,
    Link {
        target: String,
        title: String,
    },
    Image {
        target: String,
        title: String,
    },
    /// An open code block, with the text after its fence; ends as [`Node::Pre`].
    CodeBlock(String),
}

/// A top-level block and where it is written.
pub(crate) struct Block {
    pub(crate) range: Range<usize>,
    pub(crate) node: Node,
}

/// An open node: what it is, where it is written, and its children so far.
struct Frame {
    kind: Kind,
    range: Range<usize>,
    children: Vec<Node>,
}

/// Parses `written` into its top-level blocks. With `open`, marks without a partner run to the end of their paragraph.
pub(crate) fn parse(written: &str, open: bool) -> Vec<Block> {
    let source = verbatim::hide(written, open);
    let mut builder = Builder {
        written,
        source: &source,
        open,
        blocks: Vec::new(),
        stack: Vec::new(),
        cell_end: 0,
    };
    for (event, range) in Parser::new_ext(&source, OPTIONS).into_offset_iter() {
        builder.event(event, range);
    }
    builder.blocks
}

struct Builder<'a> {
    /// The message.
    written: &'a str,
    /// The same as the parser sees it, byte for byte.
    source: &'a str,
    open: bool,
    blocks: Vec<Block>,
    stack: Vec<Frame>,
    /// Where the last cell of a table ends.
    cell_end: usize,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => self.stack.push(Frame {
                kind: kind(tag),
                range,
                children: Vec::new(),
            }),
            Event::End(_) => self.end(),
            Event::Text(text) => self.text(&text, range),
            Event::Code(text) => self.add(Node::Code(text.into_string()), range),
            // Notes and formulas are not enabled: the parser does not produce them.
            Event::Html(text)
            | Event::InlineHtml(text)
            | Event::FootnoteReference(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text) => {
                self.add(Node::Text(text.into_string()), range);
            }
            Event::SoftBreak | Event::HardBreak => self.add(Node::Break, range),
            Event::Rule => self.add(Node::Rule, range),
            Event::TaskListMarker(done) => {
                for frame in self.stack.iter_mut().rev() {
                    if let Kind::Item(task) = &mut frame.kind {
                        *task = Some(done);
                        break;
                    }
                }
            }
        }
    }

    fn text(&mut self, text: &str, range: Range<usize>) {
        let in_code = matches!(
            self.stack.last(),
            Some(Frame {
                kind: Kind::CodeBlock(_),
                ..
            })
        );
        let parsed = self.source.get(range.clone()).unwrap_or_default();
        let escaped = range.start > 0 && self.source.as_bytes()[range.start - 1] == b'\\';
        let node = if !in_code && !escaped && parsed == text && emphasis::is_mark(text) {
            Node::Mark(text.to_owned())
        } else {
            Node::Text(self.as_written(text, &range).to_owned())
        };
        self.add(node, range);
    }

    /// The source of a `text` event; if the parser has changed it, the text of the event.
    fn as_written<'t>(&'t self, text: &'t str, range: &Range<usize>) -> &'t str {
        match self.source.get(range.clone()) {
            Some(parsed) if parsed == text => &self.written[range.clone()],
            Some(_) | None => text,
        }
    }

    fn end(&mut self) {
        let Some(mut frame) = self.stack.pop() else {
            return;
        };
        let range = frame.range.clone();
        match frame.kind {
            Kind::Cell => self.cell_end = range.end,
            Kind::Row => self.keep_excess(&mut frame),
            Kind::Plain
            | Kind::Paragraph
            | Kind::Heading(_)
            | Kind::Quote
            | Kind::List(_)
            | Kind::Item(_)
            | Kind::Table(_)
            | Kind::Emphasis
            | Kind::Strong
            | Kind::Struck
            | Kind::Link { .. }
            | Kind::Image { .. }
            | Kind::CodeBlock(_) => {}
        }
        let node = self.finish(frame);
        match node {
            Node::Branch(Kind::Plain, children) => {
                for child in children {
                    self.add(child, range.clone());
                }
            }
            node => self.add(node, range),
        }
    }

    /// The parser ignores cells beyond those of the table's head: their words go to the last cell.
    fn keep_excess(&self, row: &mut Frame) {
        let rest = self.written.get(self.cell_end..row.range.end);
        let rest = rest
            .unwrap_or_default()
            .trim_matches(|c: char| c == '|' || c.is_whitespace());
        if let (false, Some(Node::Branch(Kind::Cell, children))) =
            (rest.is_empty(), row.children.last_mut())
        {
            children.push(Node::Text(format!(" | {rest}")));
        }
    }

    /// Turns a complete frame into its node.
    fn finish(&self, frame: Frame) -> Node {
        let Frame {
            kind,
            range,
            children,
        } = frame;
        match kind {
            Kind::CodeBlock(info) => {
                let language = language(&info);
                Node::Pre {
                    info: Some(info)
                        .filter(|info| !info.eq_ignore_ascii_case(&language))
                        .unwrap_or_default(),
                    language,
                    text: plain(&children),
                    closed: self.is_closed(&range),
                }
            }
            // One without words is hardly meant as a heading.
            Kind::Heading(_) if children.is_empty() && !self.open => {
                let marks = self.written[range].trim_end().to_owned();
                Node::Branch(Kind::Paragraph, vec![Node::Text(marks)])
            }
            _deep if self.stack.len() > MAX_DEPTH => Node::Branch(Kind::Plain, children),
            kind => {
                let is_last = self.source[range.end..].trim().is_empty();
                Node::Branch(kind, emphasis::pair(children, self.open && is_last))
            }
        }
    }

    fn add(&mut self, node: Node, range: Range<usize>) {
        match self.stack.last_mut() {
            Some(frame) => match (frame.children.last_mut(), node) {
                (Some(Node::Text(before)), Node::Text(text)) => before.push_str(&text),
                (_, node) => frame.children.push(node),
            },
            None => self.blocks.push(Block { range, node }),
        }
    }

    /// Whether a code block's last line is its closing fence. An indented block has none and is never open.
    fn is_closed(&self, range: &Range<usize>) -> bool {
        let written = self.source[range.clone()].trim_end();
        let Some(mark @ (b'`' | b'~')) = written.trim_start().bytes().next() else {
            return true;
        };
        let last = written.rsplit_once('\n').map_or("", |(_, line)| line);
        let fence = last.trim_start_matches(|c: char| c.is_whitespace() || c == '>');
        fence.len() >= 3 && fence.bytes().all(|byte| byte == mark)
    }
}

/// The joined texts of a code block.
fn plain(children: &[Node]) -> String {
    children
        .iter()
        .map(|node| match node {
            Node::Text(text) | Node::Mark(text) | Node::Code(text) => text.as_str(),
            Node::Break => "\n",
            Node::Pre { .. } | Node::Rule | Node::Branch(..) => "",
        })
        .collect()
}

fn kind(tag: Tag<'_>) -> Kind {
    match tag {
        Tag::Paragraph | Tag::HtmlBlock => Kind::Paragraph,
        Tag::Heading { level, .. } => Kind::Heading(rank(level)),
        Tag::BlockQuote(
            None
            | Some(
                BlockQuoteKind::Note
                | BlockQuoteKind::Tip
                | BlockQuoteKind::Important
                | BlockQuoteKind::Warning
                | BlockQuoteKind::Caution,
            ),
        ) => Kind::Quote,
        Tag::CodeBlock(CodeBlockKind::Fenced(info)) => Kind::CodeBlock(info.trim().to_owned()),
        Tag::CodeBlock(CodeBlockKind::Indented) => Kind::CodeBlock(String::new()),
        Tag::List(start) => Kind::List(start),
        Tag::Item => Kind::Item(None),
        Tag::Table(alignments) => Kind::Table(alignments),
        Tag::TableHead | Tag::TableRow => Kind::Row,
        Tag::TableCell => Kind::Cell,
        Tag::Emphasis => Kind::Emphasis,
        Tag::Strong => Kind::Strong,
        Tag::Strikethrough => Kind::Struck,
        Tag::Link {
            dest_url, title, ..
        } => Kind::Link {
            target: dest_url.into_string(),
            title: title.into_string(),
        },
        Tag::Image {
            dest_url, title, ..
        } => Kind::Image {
            target: dest_url.into_string(),
            title: title.into_string(),
        },
        // Not enabled: the parser does not produce them.
        Tag::FootnoteDefinition(_)
        | Tag::DefinitionList
        | Tag::DefinitionListTitle
        | Tag::DefinitionListDefinition
        | Tag::Superscript
        | Tag::Subscript
        | Tag::MetadataBlock(_) => Kind::Plain,
    }
}

fn rank(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

/// The first word of a fence's info string, without decoration such as `{.rust}` or `rust,ignore`.
fn language(info: &str) -> String {
    info.trim_start_matches(['{', '.', ' '])
        .split([' ', ',', '{', '}', '\t'])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase()
}
