//! Which tools made a component. Used for advice only: nothing depends on it.

use wasmparser::{KnownCustom, Parser, Payload, ProducersSectionReader};

use super::composition::MODULE_LOADER;

/// The tools that made a component, and so the language of its author.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Toolchain {
    /// Rust, with the SDK or `wit-bindgen`.
    Rust,
    /// C, or a language that uses C's bindings.
    C,
    /// JavaScript on QuickJS: componentize-qjs.
    QuickJs,
    /// JavaScript on StarlingMonkey: componentize-js.
    StarlingMonkey,
    /// Python: componentize-py.
    Python,
    /// Go.
    Go,
    /// Tools that are not known, or that left no mark.
    #[default]
    Unknown,
}

impl Toolchain {
    /// Reads the marks that tools leave in a component: their entries in `producers` sections, at any depth, or an import that only
    /// they make.
    #[must_use]
    pub fn of(component: &[u8]) -> Self {
        let mut found = Self::Unknown;
        for payload in Parser::new(0).parse_all(component) {
            match payload {
                Err(_) => break,
                Ok(Payload::ComponentImportSection(imports)) => {
                    let mut names = imports.into_iter().flatten().map(|import| import.name.name);
                    if names.any(|name| name == MODULE_LOADER) {
                        return Self::QuickJs;
                    }
                }
                Ok(Payload::CustomSection(section)) => {
                    if let KnownCustom::Producers(producers) = section.as_known() {
                        found = found.or(Self::in_producers(producers));
                    }
                }
                Ok(_) => {}
            }
        }
        found
    }

    /// The last `producers` section is the outermost one, whose tool made the whole.
    fn or(self, later: Self) -> Self {
        match later {
            Self::Unknown => self,
            known => known,
        }
    }

    fn in_producers(producers: ProducersSectionReader<'_>) -> Self {
        let values = producers.into_iter().flatten();
        let names = values.flat_map(|field| field.values.into_iter().flatten());
        names.fold(Self::Unknown, |found, value| {
            found.or(match value.name {
                "wit-bindgen-rust" | "Rust" => Self::Rust,
                "wit-bindgen-c" | "C" | "C11" | "C17" => Self::C,
                "wit-bindgen-go" | "Go" => Self::Go,
                "ComponentizeJS" => Self::StarlingMonkey,
                "componentize-py" | "component-init-transform" => Self::Python,
                _ => Self::Unknown,
            })
        })
    }

    /// The language, for people.
    #[must_use]
    pub const fn language(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::C => "C",
            Self::QuickJs => "JavaScript on QuickJS",
            Self::StarlingMonkey => "JavaScript on StarlingMonkey",
            Self::Python => "Python",
            Self::Go => "Go",
            Self::Unknown => "unknown",
        }
    }

    /// What an interpreter or a runtime inside costs each exchange, if there is one.
    ///
    /// # Source
    /// `plugin bench` of a small filter in each language, in a release build on two cores.
    #[must_use]
    pub const fn cost(self) -> Option<&'static str> {
        match self {
            Self::Rust | Self::C | Self::Unknown => None,
            Self::QuickJs => {
                Some("an interpreter inside costs about 0.1 ms and 0.4 MiB for each exchange")
            }
            Self::StarlingMonkey => {
                Some("an interpreter inside costs about 0.5 ms and 2.5 MiB for each exchange")
            }
            Self::Python => {
                Some("an interpreter inside costs about 1 ms and 4 MiB for each exchange")
            }
            Self::Go => Some("a runtime inside costs about 0.2 ms and 1.5 MiB for each exchange"),
        }
    }

    /// The memory limit that a small filter needs, where the default does not do.
    ///
    /// # Source
    /// Soaks of 200,000 events in each language.
    #[must_use]
    pub const fn memory(self) -> Option<&'static str> {
        match self {
            Self::Rust | Self::C | Self::QuickJs | Self::Unknown => None,
            Self::StarlingMonkey => Some("96MiB"),
            Self::Python | Self::Go => Some("32MiB"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_by(tool: &str) -> Toolchain {
        let text = format!(
            r#"(component (core module (@producers (language "Rust" "1")))
                (@producers (processed-by "wit-component" "1") (processed-by "{tool}" "1")))"#
        );
        Toolchain::of(&wat::parse_str(text).expect("a component"))
    }

    #[test]
    fn the_outermost_mark_counts() {
        for (tool, toolchain) in [
            ("another", Toolchain::Rust),
            ("wit-bindgen-rust", Toolchain::Rust),
            ("wit-bindgen-c", Toolchain::C),
            ("wit-bindgen-go", Toolchain::Go),
            ("ComponentizeJS", Toolchain::StarlingMonkey),
            ("component-init-transform", Toolchain::Python),
        ] {
            assert_eq!(made_by(tool), toolchain, "{tool}");
        }
        let quick = r#"(component (component (import "local:init/module-loader" (instance))))"#;
        let quick = wat::parse_str(quick).expect("a component");
        assert_eq!(Toolchain::of(&quick), Toolchain::QuickJs);
        assert_eq!(Toolchain::of(b"nonsense"), Toolchain::Unknown);
    }
}
