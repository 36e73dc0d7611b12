//! Programs of other languages that tests run: finds them, runs them to their end, and reports loudly if they are missing.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;

/// Looks a program up in `PATH`.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// Skips a test because the machine lacks something.
///
/// # Errors
/// In CI (`CI=true`), where no test may be skipped.
pub fn skip(why: &str) -> anyhow::Result<()> {
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        bail!("{why}");
    }
    // Not `eprintln!`, which the test runner hides if the test passes: a skipped test must be visible.
    writeln!(std::io::stderr(), "\n*** SKIPPED: {why} ***\n")?;
    Ok(())
}

/// Runs a command to its end; gives what it printed.
///
/// # Errors
/// It does not start, fails, or takes longer than `deadline`.
pub async fn finish(mut command: Command, deadline: Duration) -> anyhow::Result<String> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let what = format!("{:?}", command.as_std());
    let output = tokio::time::timeout(deadline, command.output())
        .await
        .with_context(|| format!("{what} took longer than {deadline:?}"))?
        .with_context(|| format!("{what} does not start"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{what}: {}\n{printed}\n{complaint}", output.status);
    }
    Ok(printed)
}

/// Runs a command whose whole output goes into the file `log`, so that it can be read also where the command hung.
///
/// # Errors
/// It does not start, fails, or takes longer than `deadline`; the file has the reason.
pub async fn finish_into(
    log: &Path,
    mut command: Command,
    deadline: Duration,
) -> anyhow::Result<()> {
    let file = File::create(log)?;
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .kill_on_drop(true);
    let what = format!("{:?}", command.as_std());
    let status = tokio::time::timeout(deadline, command.status())
        .await
        .with_context(|| format!("{what} took longer than {deadline:?}"))?
        .with_context(|| format!("{what} does not start"))?;
    if !status.success() {
        bail!("{what}: {status}");
    }
    Ok(())
}

/// Installs what a package needs into `folder`: waits for a test run that does the same, and does nothing where `pinned`, the
/// text that names every version, is what was installed last.
///
/// # Errors
/// The file system fails, or `fetch` does.
pub async fn install_once(
    folder: &Path,
    pinned: &[u8],
    fetch: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let lock = File::create(folder.with_extension("lock"))?;
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    let marker = folder.join("installed");
    if fs::read(&marker).ok().as_deref() != Some(pinned) {
        fetch().await?;
        fs::write(marker, pinned)?;
    }
    drop(lock);
    Ok(())
}
