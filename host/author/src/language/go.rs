//! Go: the official toolchain.

use crate::build;
use crate::kit::Files;
use crate::project::Project;

pub(super) fn generate(_: &Project, _: &mut Files) {}

pub(super) fn build(_: &Project) -> Result<Vec<u8>, build::Error> {
    Err(build::Error::Project("Go".into()))
}
