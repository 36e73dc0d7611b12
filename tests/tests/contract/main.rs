//! The contract in `wit/`: all of it says what it is for, and what was frozen once goes on working.
//!
//! Not responsible for whether the gateway keeps the contract; that is what the end-to-end tests are for.

mod compatibility;
mod docs;
mod package;

use std::path::Path;

use package::Package;

/// The contract as it is. `None` in place of a folder that does not exist.
fn contract(folder: &str) -> Option<Package> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../wit")
        .join(folder);
    folder
        .is_dir()
        .then(|| Package::read(&folder).expect("a folder with a WIT package"))
}

#[test]
fn everything_in_the_contract_has_a_comment() {
    let package = contract("").expect("the contract");
    let missing = docs::missing(&package).expect("a WIT package");
    assert!(missing.is_empty(), "no comment: {missing:#?}");
}

/// Without a frozen copy the contract is compared with itself, so that the comparison is known to work when there is one.
#[test]
fn plugins_built_for_the_frozen_contract_go_on_working() {
    let now = contract("").expect("the contract");
    let frozen = contract("frozen").unwrap_or_else(|| now.clone());
    if let Err(error) = compatibility::check(&frozen, &now) {
        panic!("the change breaks plugins that exist: {error:#}");
    }
}
