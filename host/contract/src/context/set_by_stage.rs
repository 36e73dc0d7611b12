//! Which guarded fields the stages of an exchange have set.

use http::header::HeaderName;

use crate::fields;

/// Which of the fields of [`fields::GUARDED`] a stage set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetByStage(u8);

impl SetByStage {
    /// Whether a stage set the field; false for one that is not guarded.
    #[must_use]
    pub fn has(self, name: &HeaderName) -> bool {
        Self::bit(name).is_some_and(|bit| self.0 & bit != 0)
    }

    pub(crate) fn note(&mut self, name: &HeaderName, set: bool) {
        match Self::bit(name) {
            Some(bit) if set => self.0 |= bit,
            Some(bit) => self.0 &= !bit,
            None => {}
        }
    }

    fn bit(name: &HeaderName) -> Option<u8> {
        let at = fields::GUARDED.iter().position(|guarded| guarded == name)?;
        Some(1 << at)
    }
}
