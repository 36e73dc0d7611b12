//! Makes `\d`, `\w`, `\s` and `\b` of a regular expression those of ASCII, and its characters those that a folded text has.

use std::collections::BTreeSet;

use regex_syntax::ast::{
    Assertion, AssertionKind, Ast, ClassAscii, ClassAsciiKind, ClassBracketed, ClassPerl,
    ClassPerlKind, ClassSet, ClassSetItem, ClassSetRange, ClassSetUnion, Flag, Flags, FlagsItem,
    FlagsItemKind, Group, GroupKind, Literal, LiteralKind,
};
use sluicegate_plugin::window::folded_char;

/// Characters beyond are seen as they are written, or not at all.
const FOLDED: std::ops::RangeInclusive<char> = '\u{a0}'..='\u{1d7ff}';
const PROPERTY: &str = "the regular expression cannot be read: there is no `\\p{…}`, write the characters in brackets, such as [一-龥]";

/// # Errors
/// A sentence for the operator, for `\p{…}`.
pub(super) fn apply(ast: &mut Ast) -> Result<(), String> {
    match ast {
        Ast::ClassPerl(class) => {
            *ast = Ast::class_bracketed(ClassBracketed {
                span: class.span,
                negated: false,
                kind: ClassSet::Item(ClassSetItem::Ascii(class_of(class))),
            });
        }
        Ast::ClassBracketed(class) => set(&mut class.kind)?,
        Ast::Assertion(assertion) if is_word(assertion) => *ast = boundary((**assertion).clone()),
        Ast::Repetition(repetition) => apply(&mut repetition.ast)?,
        Ast::Group(group) => apply(&mut group.ast)?,
        Ast::Alternation(alternation) => alternation.asts.iter_mut().try_for_each(apply)?,
        Ast::Concat(concat) => concat.asts.iter_mut().try_for_each(apply)?,
        Ast::ClassUnicode(_) => return Err(PROPERTY.into()),
        Ast::Literal(literal) => match folded_char(literal.c) {
            Some(char) => literal.c = char,
            None => *ast = Ast::empty(literal.span),
        },
        Ast::Empty(_) | Ast::Flags(_) | Ast::Dot(_) | Ast::Assertion(_) => {}
    }
    Ok(())
}

fn class_of(class: &ClassPerl) -> ClassAscii {
    ClassAscii {
        span: class.span,
        kind: match class.kind {
            ClassPerlKind::Digit => ClassAsciiKind::Digit,
            ClassPerlKind::Space => ClassAsciiKind::Space,
            ClassPerlKind::Word => ClassAsciiKind::Word,
        },
        negated: class.negated,
    }
}

fn set(set: &mut ClassSet) -> Result<(), String> {
    match set {
        ClassSet::Item(inner) => item(inner),
        ClassSet::BinaryOp(op) => {
            self::set(&mut op.lhs)?;
            self::set(&mut op.rhs)
        }
    }
}

fn item(item: &mut ClassSetItem) -> Result<(), String> {
    match item {
        ClassSetItem::Perl(class) => *item = ClassSetItem::Ascii(class_of(class)),
        ClassSetItem::Bracketed(class) => set(&mut class.kind)?,
        ClassSetItem::Union(union) => union.items.iter_mut().try_for_each(self::item)?,
        ClassSetItem::Unicode(_) => return Err(PROPERTY.into()),
        ClassSetItem::Literal(literal) => {
            if let Some(char) = folded_char(literal.c) {
                literal.c = char;
            }
        }
        ClassSetItem::Range(range) => {
            let range = range.clone();
            *item = with_folded(range);
        }
        ClassSetItem::Empty(_) | ClassSetItem::Ascii(_) => {}
    }
    Ok(())
}

/// A range of characters, with those that some of them are seen as.
fn with_folded(range: ClassSetRange) -> ClassSetItem {
    let (start, end) = (range.start.c, range.end.c);
    let within = start.max(*FOLDED.start())..=end.min(*FOLDED.end());
    let others = within.filter_map(|char| folded_char(char).filter(|other| *other != char));
    let others: BTreeSet<char> = others.collect();
    let span = range.span;
    let literal = |c| Literal {
        span,
        kind: LiteralKind::Verbatim,
        c,
    };
    let mut items = vec![ClassSetItem::Range(range)];
    items.extend(
        others
            .into_iter()
            .map(|char| ClassSetItem::Literal(literal(char))),
    );
    ClassSetItem::Union(ClassSetUnion { span, items })
}

fn is_word(assertion: &Assertion) -> bool {
    match assertion.kind {
        AssertionKind::StartLine
        | AssertionKind::EndLine
        | AssertionKind::StartText
        | AssertionKind::EndText => false,
        AssertionKind::WordBoundary
        | AssertionKind::NotWordBoundary
        | AssertionKind::WordBoundaryStart
        | AssertionKind::WordBoundaryEnd
        | AssertionKind::WordBoundaryStartAngle
        | AssertionKind::WordBoundaryEndAngle
        | AssertionKind::WordBoundaryStartHalf
        | AssertionKind::WordBoundaryEndHalf => true,
    }
}

/// The assertion in a group `(?-u:…)`.
fn boundary(assertion: Assertion) -> Ast {
    let span = assertion.span;
    let item = |kind| FlagsItem { span, kind };
    let items = vec![
        item(FlagsItemKind::Negation),
        item(FlagsItemKind::Flag(Flag::Unicode)),
    ];
    Ast::group(Group {
        span,
        kind: GroupKind::NonCapturing(Flags { span, items }),
        ast: Box::new(Ast::assertion(assertion)),
    })
}
