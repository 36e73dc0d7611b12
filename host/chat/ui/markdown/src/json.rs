//! The tree as lines of JSON, in the shape that [`crate::tokens`] documents.

use std::fmt::Write as _;

use pulldown_cmark::Alignment;

use crate::tree::{Block, Kind, Node};

/// One line per block. `source` is the text as the page has it; ranges end within it.
pub(crate) fn lines(blocks: &[Block], source: &str) -> String {
    let mut out = String::new();
    for block in blocks {
        let start = block.range.start.min(source.len());
        let end = block.range.end.min(source.len());
        _ = write!(out, "{start} {end} ");
        node(&mut out, &block.node);
        out.push('\n');
    }
    out
}

fn node(out: &mut String, value: &Node) {
    match value {
        Node::Text(text) | Node::Mark(text) => string(out, text),
        Node::Code(text) => {
            out.push_str("[\"c\",");
            string(out, text);
            out.push(']');
        }
        Node::Pre {
            language,
            info,
            text,
            closed,
        } => {
            out.push_str("[\"pre\",");
            string(out, language);
            out.push(',');
            string(out, text);
            out.push_str(if *closed { ",1" } else { ",0" });
            if !info.is_empty() {
                out.push(',');
                string(out, info);
            }
            out.push(']');
        }
        Node::Break => out.push_str("[\"br\"]"),
        Node::Rule => out.push_str("[\"hr\"]"),
        Node::Branch(kind, children) => branch(out, kind, children),
    }
}

fn branch(out: &mut String, kind: &Kind, children: &[Node]) {
    out.push('[');
    match kind {
        // The first two never reach the tree as branches.
        Kind::Plain | Kind::CodeBlock(_) | Kind::Paragraph => out.push_str("\"p\""),
        Kind::Heading(level) => _ = write!(out, "\"h\",{level}"),
        Kind::Quote => out.push_str("\"q\""),
        Kind::List(None) => out.push_str("\"ul\""),
        Kind::List(Some(start)) => _ = write!(out, "\"ol\",{start}"),
        Kind::Item(task) => {
            let state = task.map_or(-1, i32::from);
            _ = write!(out, "\"li\",{state}");
        }
        Kind::Table(alignments) => {
            out.push_str("\"table\",[");
            for (index, alignment) in alignments.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                string(out, align(*alignment));
            }
            out.push(']');
        }
        Kind::Row => out.push_str("\"tr\""),
        Kind::Cell => out.push_str("\"td\""),
        Kind::Emphasis => out.push_str("\"em\""),
        Kind::Strong => out.push_str("\"b\""),
        Kind::Struck => out.push_str("\"s\""),
        Kind::Link { target, title } => target_and_title(out, "a", target, title),
        Kind::Image { target, title } => target_and_title(out, "img", target, title),
    }
    for child in children {
        out.push(',');
        node(out, child);
    }
    out.push(']');
}

fn target_and_title(out: &mut String, name: &str, target: &str, title: &str) {
    string(out, name);
    out.push(',');
    string(out, target);
    out.push(',');
    string(out, title);
}

fn align(alignment: Alignment) -> &'static str {
    match alignment {
        Alignment::None => "",
        Alignment::Left => "left",
        Alignment::Center => "center",
        Alignment::Right => "right",
    }
}

/// A JSON string. Control characters are escaped, so that a line of output is a line.
fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\u{0}' => out.push('\u{fffd}'),
            '\u{1}'..='\u{1f}' => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
}
