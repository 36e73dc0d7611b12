//! `plugin build`: makes the component of a project.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use sluicegate_author::build::{self, Built};
use sluicegate_author::project::Project;

use crate::admin::failed;
use crate::{BAD_CONFIGURATION, print};

/// Builds, and says where the component is and how large.
pub(super) async fn build(folder: PathBuf) -> ExitCode {
    let project = match Project::read(&folder) {
        Ok(project) => project,
        Err(error) => {
            complain(&error);
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    match component(project).await {
        Ok(built) => print(&format!("{}\n", text(&built))),
        Err(code) => code,
    }
}

/// Builds on a thread of its own: the tools take seconds to minutes.
///
/// # Errors
/// The reason was printed.
pub(super) async fn component(project: Project) -> Result<Built, ExitCode> {
    match tokio::task::spawn_blocking(move || build::build(&project)).await {
        Ok(Ok(built)) => Ok(built),
        Ok(Err(error)) => {
            complain(&error);
            Err(ExitCode::FAILURE)
        }
        Err(error) => Err(failed(&format!("the build has broken off: {error}"))),
    }
}

pub(super) fn text(built: &Built) -> String {
    let kib = built.bytes.div_ceil(1024);
    format!("{}: {kib} KiB", built.path.display())
}

/// Prints an error with its causes.
pub(super) fn complain(error: &dyn Error) {
    eprintln!("error: {}", chain(error));
}

/// An error with its causes, a line each.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("\n  because {error}"));
        cause = error.source();
    }
    text
}
