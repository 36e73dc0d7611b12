//! Marks that the parser left as text although the writer meant emphasis.
//!
//! `CommonMark` decides by white space and punctuation whether `**` opens or closes. Chinese and Japanese have no spaces, so
//! `**“引号”**是` stays literal there. Within one parent, two equal marks that hug the text between them are taken as a pair.
//! In a text that is still being written, a mark whose partner has not come yet runs to the end.

use crate::tree::{Kind, Node};

/// Whether `text` can be a mark: `**`, `*`, `~~` or `` ` ``. Underscores are left alone: they occur in names.
pub(crate) fn is_mark(text: &str) -> bool {
    matches!(text, "**" | "*" | "~~" | "`")
}

/// Pairs the marks among `children`; those left over become text, or with `open` run to the end.
pub(crate) fn pair(children: Vec<Node>, open: bool) -> Vec<Node> {
    if !children.iter().any(|node| matches!(node, Node::Mark(_))) {
        return children;
    }
    let mut rest = join(children).into_iter();
    let mut done = Vec::new();
    while let Some(node) = rest.next() {
        let Node::Mark(mark) = node else {
            push(&mut done, node);
            continue;
        };
        let after = rest.as_slice();
        if let Some(length) = partner(&mark, after, done.last()) {
            let inner: Vec<Node> = rest.by_ref().take(length).collect();
            rest.next();
            done.push(wrap(&mark, inner));
        } else if open && opens(&mark, after) {
            let inner: Vec<Node> = rest.by_ref().collect();
            done.push(wrap(&mark, pair(inner, true)));
        } else {
            push(&mut done, Node::Text(mark));
        }
    }
    done
}

/// Joins two adjacent single `*` that the parser returned separately.
fn join(children: Vec<Node>) -> Vec<Node> {
    let mut joined: Vec<Node> = Vec::with_capacity(children.len());
    for node in children {
        match (joined.last_mut(), node) {
            (Some(Node::Mark(before)), Node::Mark(mark)) if *before == "*" && mark == "*" => {
                before.push('*');
            }
            (_, node) => joined.push(node),
        }
    }
    joined
}

/// How many nodes stand between a mark and its partner, if it has one. Only `**` beside wide characters needs this: the
/// parser finds all other pairs.
fn partner(mark: &str, after: &[Node], before: Option<&Node>) -> Option<usize> {
    if mark != "**" {
        return None;
    }
    let length = after
        .iter()
        .position(|node| matches!(node, Node::Mark(other) if other == mark))?;
    let inner = &after[..length];
    let first = inner.first().and_then(first_char)?;
    let last = inner.last().and_then(last_char)?;
    let outside = [
        before.and_then(last_char),
        after.get(length + 1).and_then(first_char),
    ];
    let wide = outside
        .into_iter()
        .flatten()
        .chain([first, last])
        .any(is_wide);
    (wide && !first.is_whitespace() && !last.is_whitespace()).then_some(length)
}

/// Whether an unpaired mark looks like the beginning of something: text follows it at once.
fn opens(mark: &str, after: &[Node]) -> bool {
    mark != "~~"
        && mark != "`"
        && after
            .first()
            .is_some_and(|node| first_char(node).is_none_or(|c| !c.is_whitespace()))
}

fn wrap(mark: &str, inner: Vec<Node>) -> Node {
    let kind = if mark == "*" {
        Kind::Emphasis
    } else {
        Kind::Strong
    };
    Node::Branch(kind, inner)
}

/// Adds a node, merging text with text.
fn push(done: &mut Vec<Node>, node: Node) {
    match (done.last_mut(), node) {
        (Some(Node::Text(before)), Node::Text(text)) => before.push_str(&text),
        (_, node) => done.push(node),
    }
}

fn first_char(node: &Node) -> Option<char> {
    match node {
        Node::Text(text) | Node::Code(text) | Node::Mark(text) => text.chars().next(),
        Node::Branch(_, children) => children.first().and_then(first_char),
        Node::Break => Some('\n'),
        Node::Pre { .. } | Node::Rule => None,
    }
}

fn last_char(node: &Node) -> Option<char> {
    match node {
        Node::Text(text) | Node::Code(text) | Node::Mark(text) => text.chars().next_back(),
        Node::Branch(_, children) => children.last().and_then(last_char),
        Node::Break => Some('\n'),
        Node::Pre { .. } | Node::Rule => None,
    }
}

/// Chinese, Japanese and Korean characters and their punctuation, and the quotation marks and dashes they share with Latin.
fn is_wide(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11ff}' | '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe4f}' | '\u{ff00}'..='\u{ffef}' | '\u{20000}'..='\u{3ffff}')
}
