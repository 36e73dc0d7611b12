//! Components made by componentize-qjs, the tool for JavaScript on QuickJS.
//!
//! That tool captures the guest's memory itself, and then composes the guest with a second component that stands in for a
//! leftover import of its start, `local:init/module-loader`. Wizer does not take compositions. So the guest is taken out of the
//! composition, and [the import](super::host) is defined by this host, as the stand-in defines it.

use wasmparser::{Parser, Payload};

/// The import that the composition satisfies.
pub(super) const MODULE_LOADER: &str = "local:init/module-loader";

/// The guest, if `bytes` is such a composition; otherwise `bytes`.
pub(super) fn guest(bytes: &[u8]) -> &[u8] {
    let is_guest = |bytes: &&[u8]| layer(bytes).imports_loader;
    let root = layer(bytes);
    if root.has_modules {
        return bytes;
    }
    root.components.into_iter().find(is_guest).unwrap_or(bytes)
}

/// What a component has outside of the components in it.
#[derive(Default)]
struct Layer<'a> {
    has_modules: bool,
    imports_loader: bool,
    components: Vec<&'a [u8]>,
}

/// Reads the outer layer of a component. Whether the bytes are valid is decided by the engine.
fn layer(bytes: &[u8]) -> Layer<'_> {
    let mut layer = Layer::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { break };
        match payload {
            Payload::ModuleSection { .. } => {
                layer.has_modules |= depth == 0;
                depth += 1;
            }
            Payload::ComponentSection {
                unchecked_range, ..
            } => {
                if depth == 0 {
                    layer.components.extend(bytes.get(unchecked_range));
                }
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                let mut names = imports.into_iter().flatten().map(|import| import.name.name);
                layer.imports_loader |= names.any(|name| name == MODULE_LOADER);
            }
            _ => {}
        }
    }
    layer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(text: &str) -> Vec<u8> {
        wat::parse_str(text).expect("a component")
    }

    const GUEST: &str = r#"(component $guest
        (import "local:init/module-loader" (instance
            (export "load" (func (param "path" string) (result (result string (error string)))))))
        (core module $own))"#;

    #[test]
    fn the_guest_is_taken_out_of_a_composition() {
        let composition = component(&format!(
            r#"(component (component $stand-in (core module)) {GUEST})"#
        ));
        let guest = guest(&composition);
        assert_eq!(guest, component(GUEST));
    }

    #[test]
    fn every_other_component_stays_as_it_is() {
        for text in [
            "(component)",
            "(component (core module))",
            // Composed by another tool.
            "(component (component (core module)) (component (core module)))",
            // Ordinary ones have a component in them for each interface that they export.
            &format!("(component (core module) {GUEST})"),
            GUEST,
        ] {
            let bytes = component(text);
            assert_eq!(guest(&bytes), bytes, "{text}");
        }
        for bytes in [
            &b""[..],
            b"\0asm",
            b"\0asm\x0d\0\x01\0\x04\xff\xff",
            b"nonsense",
        ] {
            assert_eq!(guest(bytes), bytes);
        }
    }
}
