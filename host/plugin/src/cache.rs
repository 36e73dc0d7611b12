//! Images kept for reuse: a rollback, or a second route with the same plugin, costs no compilation.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use super::image::Image;

/// How many images are kept. Arbitrary.
const IMAGES: usize = 64;

/// The last images, newest first, each with the key from which it was made.
#[derive(Default)]
pub(super) struct Cache(Mutex<VecDeque<([u8; 32], Arc<Image>)>>);

impl Cache {
    /// The image that was made from the same bytes, configuration and memory limit.
    pub(super) fn find(&self, key: &[u8; 32]) -> Option<Arc<Image>> {
        let images = self.lock();
        let found = images.iter().find(|(have, _)| have == key);
        found.map(|(_, image)| image.clone())
    }

    /// Keeps an image, and forgets the oldest beyond the limit.
    pub(super) fn keep(&self, key: [u8; 32], image: Arc<Image>) {
        let mut images = self.lock();
        images.retain(|(have, _)| *have != key);
        images.push_front((key, image));
        images.truncate(IMAGES);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<([u8; 32], Arc<Image>)>> {
        self.0.lock().expect("no panic while the lock is held")
    }
}
