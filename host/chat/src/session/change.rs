//! Changes of a session that are not messages: settings, the trash, the read position, the branch.

use super::Actor;
use crate::store::session::SessionRow;
use crate::store::{message, session};
use crate::wire::event::Event;
use crate::wire::params::SessionPatch;
use crate::wire::session::Session;
use crate::wire::{Code, ErrorBody, bad_param, not_found};
use sluicegate_telemetry::clock;

/// The most characters of a title, and bytes of a system prompt and of a model's name. Arbitrary; they keep the list small.
const TITLE: usize = 200;
const SYSTEM: usize = 32 * 1024;
const MODEL: usize = 200;

impl Actor {
    pub(super) async fn patch(
        &mut self,
        patch: SessionPatch,
        at: Option<u64>,
        user: &str,
    ) -> Result<Session, ErrorBody> {
        self.usable(user)?;
        if at.is_some_and(|at| at != self.row.session.seq) {
            let details =
                serde_json::json!({ "leaf": self.row.session.leaf, "seq": self.row.session.seq });
            return Err(
                ErrorBody::new(Code::LeafChanged, "the session has changed meanwhile")
                    .details(details),
            );
        }
        check(&patch)?;
        let mut row = self.next_row();
        // Only messages move a session to the top of the list.
        row.session.updated_at = self.row.session.updated_at;
        apply(patch, &mut row);
        self.store_change(row).await
    }

    /// Moves the session into the trash, which stops its run, or out of it.
    pub(super) async fn trash(&mut self, deleted: bool, user: &str) -> Result<Session, ErrorBody> {
        self.owned(user)?;
        if deleted == self.row.session.deleted_at.is_some() {
            return Ok(self.session_now());
        }
        let mut row = self.next_row();
        row.session.updated_at = self.row.session.updated_at;
        row.session.deleted_at = deleted.then(clock::unix_ms);
        if deleted {
            self.stop(None, true);
        }
        self.store_change(row).await
    }

    async fn store_change(&mut self, row: SessionRow) -> Result<Session, ErrorBody> {
        let event = match row.session.deleted_at {
            Some(at) => Event::SessionDeleted {
                purge_at: at + session::UNDO_MS,
            },
            None => {
                let mut session = row.session.clone();
                session.running = self.live.is_some();
                Event::SessionUpdated { session }
            }
        };
        self.commit(row, event, |_| Ok(())).await?;
        self.broadcast_summary();
        Ok(self.session_now())
    }

    /// Notes the read position. The user's other tabs are told, but it is not a change of the session.
    pub(super) async fn read(&mut self, seq: u64, user: &str) -> Result<Session, ErrorBody> {
        self.owned(user)?;
        let seen = seq.min(self.row.session.seq);
        if seen > self.row.read {
            let mut row = self.row.clone();
            row.read = seen;
            let kept = row.clone();
            self.core
                .store
                .write(move |c| session::save(c, &row))
                .await?;
            let was = self.row.answered > self.row.read;
            self.row = kept;
            if was {
                self.broadcast_summary();
            }
        }
        Ok(self.session_now())
    }

    /// Shows the branch through a message. While a run writes, its branch is shown.
    pub(super) async fn select(
        &mut self,
        leaf: &str,
        user: &str,
    ) -> Result<(String, u64), ErrorBody> {
        self.usable(user)?;
        if let Some(live) = &self.live {
            let details = serde_json::json!({ "run": live.start.run });
            return Err(
                ErrorBody::new(Code::RunActive, "an answer is being written").details(details),
            );
        }
        let (owner, wanted) = (self.row.session.id.clone(), leaf.to_owned());
        let found = self
            .core
            .store
            .read(move |c| match message::find(c, &owner, &wanted)? {
                Some(_) => message::descend(c, &owner, &wanted).map(Some),
                None => Ok(None),
            });
        let leaf = found.await?.ok_or_else(|| not_found("message"))?;
        if self.row.session.leaf.as_ref() == Some(&leaf) {
            return Ok((leaf, self.row.session.seq));
        }
        let mut row = self.next_row();
        row.session.updated_at = self.row.session.updated_at;
        row.session.leaf = Some(leaf.clone());
        let event = Event::BranchSelected { leaf: leaf.clone() };
        self.commit(row, event, |_| Ok(())).await?;
        Ok((leaf, self.row.session.seq))
    }
}

/// Checks the sizes of a session's settings.
pub(crate) fn check(patch: &SessionPatch) -> Result<(), ErrorBody> {
    let too_long = |value: &Option<Option<String>>, most: usize| {
        value.iter().flatten().any(|text| text.len() > most)
    };
    for (param, value, most) in [
        ("title", &patch.title, TITLE * 4),
        ("system", &patch.system, SYSTEM),
        ("model", &patch.model, MODEL),
    ] {
        if too_long(value, most) {
            let details = serde_json::json!({ "param": param, "limit": most });
            return Err(
                ErrorBody::new(Code::TooLarge, format!("`{param}` is too long")).details(details),
            );
        }
    }
    match patch
        .title
        .iter()
        .flatten()
        .any(|title| title.chars().count() > TITLE)
    {
        true => Err(bad_param("title", "a title has at most 200 characters")),
        false => Ok(()),
    }
}

/// Applies the changes to a row.
pub(crate) fn apply(patch: SessionPatch, row: &mut SessionRow) {
    let session = &mut row.session;
    if let Some(title) = patch.title {
        let title = title
            .unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        session.titled = !title.is_empty();
        session.title = title;
    }
    let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    if let Some(model) = patch.model {
        session.model = filled(model);
    }
    if let Some(system) = patch.system {
        session.system = filled(system);
    }
    session.pinned = patch.pinned.unwrap_or(session.pinned);
    session.archived = patch.archived.unwrap_or(session.archived);
}
