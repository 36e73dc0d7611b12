//! A compiler that remembers, so that tests do not compile the same plugins again and again.

use std::collections::VecDeque;
use std::sync::Mutex;

use sluicegate_plugin_host::Engine;
use sluicegate_plugin_host::compile::{Compiled, Compiler, Compiling, InProcess, Job};

/// How many compiled plugins are kept. Arbitrary.
const KEPT: usize = 64;

/// Compiles in process, and keeps the last results, newest first.
#[derive(Debug, Default)]
pub(crate) struct Remembering(Mutex<VecDeque<([u8; 32], Compiled)>>);

impl Remembering {
    fn find(&self, key: &[u8; 32]) -> Option<Compiled> {
        let kept = self.0.lock().expect("no panic while the lock is held");
        let found = kept.iter().find(|(have, _)| have == key);
        found.map(|(_, compiled)| compiled.clone())
    }

    fn keep(&self, key: [u8; 32], compiled: Compiled) {
        let mut kept = self.0.lock().expect("no panic while the lock is held");
        kept.retain(|(have, _)| *have != key);
        kept.push_front((key, compiled));
        kept.truncate(KEPT);
    }
}

impl Compiler for Remembering {
    fn compile<'a>(&'a self, engine: &'a Engine, job: &'a Job) -> Compiling<'a> {
        Box::pin(async move {
            let key = job.key(engine);
            if let Some(found) = self.find(&key) {
                return Ok(found);
            }
            let compiled = InProcess.compile(engine, job).await?;
            self.keep(key, compiled.clone());
            Ok(compiled)
        })
    }
}
