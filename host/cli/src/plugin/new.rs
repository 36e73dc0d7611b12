//! `plugin new`: makes a project.

use std::process::ExitCode;

use sluicegate_author::template::{self, New};

use super::build::complain;
use crate::{BAD_CONFIGURATION, print};

/// Makes the project and says what to do next.
pub(super) fn new(wanted: &New<'_>) -> ExitCode {
    match template::new(wanted) {
        Ok(project) => print(&format!(
            "{} is a new project in {}. Next:\n  cd {}\n  sluicegate plugin build\n  sluicegate plugin test .\n",
            project.name,
            project.language,
            project.folder.display()
        )),
        Err(error) => {
            complain(&error);
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}
