//! The files that the build script has embedded: `wit/`, `kits/`, `rust/` (the SDK) and `go/` (what bindings need at run time).

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The files below a folder, without its name: `files("wit/")` begins with `closing.wit`.
pub(crate) fn files(folder: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    FILES
        .iter()
        .filter_map(move |(name, bytes)| Some((name.strip_prefix(folder)?, *bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_the_sdk_and_what_go_needs_are_there() {
        for name in [
            "wit/world.wit",
            "rust/Cargo.toml",
            "rust/plugins/sdk/src/lib.rs",
            "rust/host/contract/Cargo.toml",
            "go/runtime/runtime.go",
            "go/types/option.go",
        ] {
            assert!(FILES.iter().any(|(file, _)| *file == name), "{name}");
        }
        assert!(files("wit/").any(|(name, _)| name == "gate.wit"));
    }
}
