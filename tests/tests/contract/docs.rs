//! Which parts of a package do not say what they are for.

use anyhow::Result;
use wit_parser::{Docs, Function, InterfaceId, Resolve, Type, TypeDef, TypeDefKind, WorldItem};

use crate::package::Package;

/// The worlds, interfaces, functions and types that have no comment, with their places.
///
/// Fields, cases and flags may have one; an enum is nothing but its cases, so it need not have one either.
pub(crate) fn missing(package: &Package) -> Result<Vec<String>> {
    let (resolve, id) = package.resolve()?;
    let package = &resolve.packages[id];
    let mut missing = Missing(Vec::new());
    for (name, world) in &package.worlds {
        let world = &resolve.worlds[*world];
        missing.note(&world.docs, format!("world {name}"));
        for item in world.imports.values().chain(world.exports.values()) {
            // Interfaces follow below, unless they are written out here.
            match item {
                WorldItem::Function(function) => missing.function(name, function),
                WorldItem::Interface { id, .. } if resolve.interfaces[*id].name.is_none() => {
                    missing.interface(&resolve, *id, name);
                }
                WorldItem::Type { id, .. } => missing.typ(&resolve, name, &resolve.types[*id]),
                WorldItem::Interface { .. } => {}
            }
        }
    }
    for (name, interface) in &package.interfaces {
        missing.interface(&resolve, *interface, name);
    }
    missing.0.sort();
    // A function of a world is also one of the worlds that include it.
    missing.0.dedup();
    Ok(missing.0)
}

struct Missing(Vec<String>);

impl Missing {
    fn note(&mut self, docs: &Docs, what: String) {
        let text = docs.contents.as_deref().unwrap_or_default();
        if text.trim().is_empty() {
            self.0.push(what);
        }
    }

    fn interface(&mut self, resolve: &Resolve, id: InterfaceId, name: &str) {
        let interface = &resolve.interfaces[id];
        self.note(&interface.docs, format!("interface {name}"));
        for function in interface.functions.values() {
            self.function(name, function);
        }
        for typ in interface.types.values() {
            self.typ(resolve, name, &resolve.types[*typ]);
        }
    }

    fn function(&mut self, place: &str, function: &Function) {
        self.note(
            &function.docs,
            format!("function {place}.{}", function.name),
        );
    }

    fn typ(&mut self, resolve: &Resolve, place: &str, typ: &TypeDef) {
        let is_used = match typ.kind {
            TypeDefKind::Type(Type::Id(other)) => resolve.types[other].owner != typ.owner,
            _ => false,
        };
        if let Some(name) = &typ.name
            && !is_used
            && !matches!(typ.kind, TypeDefKind::Enum(_))
        {
            self.note(&typ.docs, format!("{} {place}.{name}", typ.kind.as_str()));
        }
    }
}

#[test]
fn what_has_no_comment_is_named() {
    let package = Package::of(
        r"
package a:b@1.0.0;
/// An interface.
interface good {
  /// A function.
  f: func();
  /// A record.
  record r { a: u8 }
  enum plain { a, b }
}
interface bad {
  use good.{r};
  f: func(r: r);
  record s { a: u8 }
  variant v { a(u8) }
  type t = u8;
  resource x {
    /// A method.
    m: func();
    n: func();
  }
}
world w {
  import bad;
  export f: func();
}
/// A world.
world v { include w; }
",
    );
    let missing = missing(&package).expect("a WIT package");
    assert_eq!(
        missing,
        [
            "function bad.[method]x.n",
            "function bad.f",
            "function v.f",
            "function w.f",
            "interface bad",
            "record bad.s",
            "resource bad.x",
            "type bad.t",
            "variant bad.v",
            "world w",
        ]
    );
}
