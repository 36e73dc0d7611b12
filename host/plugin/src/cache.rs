//! Compiled plugins on disk: a restart, a rollback or a second use of an unchanged plugin costs no compilation.
//!
//! Responsible for which plugins are kept; how they lie in the folder is in [`Folder`]. Nothing is kept that was made from a
//! configuration with a secret, since an image holds its configuration.

use std::path::Path;
use std::sync::Arc;

use super::compile::{Compiled, Compiler, Compiling, Job};
use super::engine::Engine;
use super::load::error::Error as LoadError;
use super::{manifest, secret};
use sluicegate_state as state;

mod entry;
mod folder;

use self::folder::Folder;

/// The most bytes of a cache. Arbitrary; a hundred plugins in Rust, or a few with an interpreter inside.
pub const MOST: u64 = 256 << 20;

/// A compiler with a cache in front of it.
pub struct Cached {
    folder: Arc<Folder>,
    compiler: Arc<dyn Compiler>,
}

impl Cached {
    /// A cache in this folder, which is made if it is not there, with at most so many bytes, in front of this compiler. Entries of
    /// plugins that are loaded stay; beyond them, those go first that have not been used for longest.
    ///
    /// # Errors
    /// [`state::Error`] if the folder cannot be used, or is not only ours.
    pub fn open(
        folder: &Path,
        most: u64,
        compiler: Arc<dyn Compiler>,
    ) -> Result<Self, state::Error> {
        let folder = Arc::new(Folder::open(folder, most)?);
        Ok(Self { folder, compiler })
    }

    async fn find_or_compile(&self, engine: &Engine, job: &Job) -> Result<Compiled, LoadError> {
        if job.secret {
            return self.compiler.compile(engine, job).await;
        }
        let key = job.key(engine);
        // Before it is read, so that it is not thrown out meanwhile.
        let pin = Arc::new(self.folder.pins.pin(key));
        let folder = self.folder.clone();
        let found = aside(move || folder.read(&key)).await.flatten();
        let compiled = match found {
            Some((facts, artifact)) => Compiled {
                facts,
                artifact,
                pin: None,
            },
            None => {
                let compiled = self.compiler.compile(engine, job).await?;
                if holds_secret(&compiled, job) {
                    return Ok(compiled);
                }
                let (folder, kept) = (self.folder.clone(), compiled.clone());
                aside(move || folder.write(&key, &kept.facts, &kept.artifact)).await;
                compiled
            }
        };
        Ok(Compiled {
            pin: Some(pin),
            ..compiled
        })
    }
}

impl Compiler for Cached {
    fn compile<'a>(&'a self, engine: &'a Engine, job: &'a Job) -> Compiling<'a> {
        Box::pin(self.find_or_compile(engine, job))
    }
}

impl std::fmt::Debug for Cached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cached")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// Whether the plugin's own schema says that its configuration holds a secret. A manifest that cannot be read says nothing else.
fn holds_secret(compiled: &Compiled, job: &Job) -> bool {
    match manifest::parse(&compiled.facts.manifest) {
        Ok(manifest) => manifest
            .config
            .is_some_and(|schema| secret::may_be_in(&schema, &job.value)),
        Err(_) => true,
    }
}

/// Works with the disk on a thread that carries no traffic. A cache that fails is as one that has nothing.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
