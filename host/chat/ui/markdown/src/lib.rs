//! Markdown to a token list, for the chat page.
//!
//! Responsible for: what a message *means* (blocks, inline markup, their source ranges). Not responsible for: how it looks,
//! which links are allowed, or any HTML: the page makes elements from the tokens, so markup in a message is only ever text.
//!
//! [`tokens`] is the whole interface; [`abi`] hands it to the page as a WebAssembly module without imports.

mod abi;
mod emphasis;
mod json;
mod tail;
mod tree;
mod verbatim;

/// Whether the text is finished or still being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The text is complete: the rules of `CommonMark` as they stand.
    Complete,
    /// More text will follow: markup that is open at the end is shown as if it were closed there.
    Streaming,
}

/// Parses `source` and writes one line per top-level block.
///
/// # Shape
/// Each line is `START END JSON\n`, in order of the source. `START` and `END` are byte offsets into `source`; blocks do not
/// overlap, and blank lines between them belong to none. `JSON` is a nested array whose first item names the node:
///
/// | node | meaning |
/// | --- | --- |
/// | `"text"` | literal text; never markup |
/// | `["p", …]` `["q", …]` `["ul", …]` | paragraph, quotation, list of `li` |
/// | `["h", level, …]` | heading, level 1 to 6 |
/// | `["ol", start, …]` | numbered list of `li` |
/// | `["li", task, …]` | item; task is -1 for none, 0 open, 1 done |
/// | `["pre", language, text, closed, info?]` | code block; language is `""` if none is named; closed is 0 or 1; info is the
/// text after the fence, if that is more |
/// | `["hr"]` `["br"]` | rule, line break |
/// | `["table", [align, …], head, row, …]` | align is `""`, `"left"`, `"center"`, `"right"`; a row is `["tr", cell, …]`, a cell `["td", …]` |
/// | `["em", …]` `["b", …]` `["s", …]` | emphasis, strong emphasis, struck out |
/// | `["c", text]` | code span |
/// | `["a", target, title, …]` | link; the target is what was written, allowed or not |
/// | `["img", target, title, …]` | image; the rest is its description |
///
/// HTML is text. A line break in a paragraph is a `br`: people, and models, mean it. Only the marks of the source are left
/// out: formulas, unused link definitions and table cells without a column are literal text.
///
/// # Panics
/// Never.
#[must_use]
pub fn tokens(source: &str, mode: Mode) -> String {
    match mode {
        Mode::Complete => json::lines(&tree::parse(source, false), source),
        Mode::Streaming => {
            let shown = tail::complete(source);
            json::lines(&tree::parse(&shown, true), source)
        }
    }
}

#[cfg(test)]
mod tests;
