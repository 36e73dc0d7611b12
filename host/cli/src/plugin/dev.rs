//! `plugin dev`: builds a project, runs its cases and pushes it into a running gateway, at every save.

mod exchange;
mod watch;

use std::path::Path;
use std::process::ExitCode;

use hyper::StatusCode;
use sluicegate_author::project::Project;

use self::watch::Watch;
use super::{build, operate, test};
use crate::admin::{Gateway, failed};
use crate::{BAD_CONFIGURATION, print};

/// Builds, tests and pushes at every save, until Ctrl-C.
pub(super) async fn dev(folder: &Path, gateway: &Gateway) -> ExitCode {
    if let Err(error) = Project::read(folder) {
        build::complain(&error);
        return ExitCode::from(BAD_CONFIGURATION);
    }
    // Before the first build, so that no save is missed.
    let mut watch = match Watch::begin(folder) {
        Ok(watch) => watch,
        Err(error) => {
            return failed(&format!("{} cannot be watched: {error}", folder.display()));
        }
    };
    let rounds = async {
        loop {
            round(folder, gateway, &mut watch).await;
        }
    };
    tokio::select! {
        () = rounds => ExitCode::SUCCESS,
        stopped = tokio::signal::ctrl_c() => match stopped {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&format!("Ctrl-C cannot be heard: {error}")),
        },
    }
}

/// One version of the project, until the next save.
async fn round(folder: &Path, gateway: &Gateway, watch: &mut Watch) {
    match publish(folder, gateway).await {
        Ok(name) => {
            tokio::select! {
                () = exchange::show_first(gateway, &name) => watch.changed().await,
                () = watch.changed() => {}
            }
        }
        Err(_) => {
            eprintln!("nothing was pushed: the gateway goes on with the version that it has");
            watch.changed().await;
        }
    }
    eprintln!();
}

/// Builds, tests and pushes. Returns the plugin's name.
///
/// # Errors
/// The reason was printed.
async fn publish(folder: &Path, gateway: &Gateway) -> Result<String, ExitCode> {
    let project = Project::read(folder).map_err(|error| {
        build::complain(&error);
        ExitCode::FAILURE
    })?;
    let (name, cases) = (project.name.clone(), project.cases());
    let built = build::component(project).await?;
    print(&format!("{}\n", build::text(&built)));
    if cases.is_dir() {
        let options = test::Options {
            cases: vec![cases],
            ..test::Options::default()
        };
        if !test::run(&built.path, &options).await? {
            return Err(ExitCode::FAILURE);
        }
    }
    let said = operate::upload(gateway, &built.path, &name, false).await?;
    if said.status != StatusCode::OK {
        return Err(operate::refused(&said));
    }
    let state = said.value["state"].as_str().unwrap_or("written");
    let version = operate::short(&said.value["version_id"]);
    print(&format!("{name}: version {version} is {state}\n"));
    Ok(name)
}
