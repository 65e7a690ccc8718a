//! Records as everybody reads them: the index, and over it what the index does not hold yet.
//!
//! A change lies here from the moment when its commit is on disk until the index has taken it, so that no reader sees
//! half of it, and none sees it before memory does. Where the index fails it stays here, and is read from here.

use super::index::{Index, IndexError, ListPosition, list_position};
use super::op::{Commit, Op, place_of};
use crate::domain::{Kind, OrganizationId};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use uuid::Uuid;

/// Every record that is not in memory alone.
pub(super) struct Rows {
    index: Index,
    recent: RwLock<Recent>,
}

/// What the index may not hold yet: the latest of each record, `None` for one that was removed.
#[derive(Default)]
struct Recent(HashMap<(Kind, Uuid), Option<Arc<Row>>>);

/// A record, and where it stands in lists.
struct Row {
    value: Value,
    owner: OrganizationId,
    parent: Option<Uuid>,
    position: ListPosition,
}

impl Rows {
    pub fn new(index: Index) -> Self {
        Self { index, recent: RwLock::default() }
    }

    /// One record.
    pub fn row(&self, kind: Kind, key: Uuid) -> Result<Option<Value>, IndexError> {
        if let Some(row) = self.recent().0.get(&(kind, key)) {
            return Ok(row.as_ref().map(|row| row.value.clone()));
        }
        self.index.row(kind, key)
    }

    /// Up to `limit` keys of an owner's records, newest first, behind `after`; with the position of each.
    pub fn owned(
        &self,
        owner: OrganizationId,
        kind: Kind,
        after: Option<ListPosition>,
        limit: usize,
    ) -> Result<Vec<(Uuid, ListPosition)>, IndexError> {
        let recent = self.recent().of(kind);
        let found = self.index.owned(owner, kind, after, limit + recent.len())?;
        let is_listed = |row: &Row| row.owner == owner && after.is_none_or(|after| row.position > after);
        Ok(laid_over(found, &recent, is_listed, limit))
    }

    /// Up to `limit` keys of records that hang on another, newest first.
    pub fn children(&self, parent: Uuid, kind: Kind, limit: usize) -> Result<Vec<Uuid>, IndexError> {
        let recent = self.recent().of(kind);
        let found = self.index.children(parent, kind, limit + recent.len())?;
        let found = laid_over(found, &recent, |row| row.parent == Some(parent), limit);
        Ok(found.into_iter().map(|(key, _)| key).collect())
    }

    /// Makes commits that are on disk readable, before the index has them.
    pub fn lay(&self, commits: &[Commit]) -> Result<(), serde_json::Error> {
        let mut recent = self.recent_mut();
        commits.iter().flat_map(|commit| &commit.ops).try_for_each(|op| recent.lay(op))
    }

    /// Has the index take commits that were laid, up to number `last_seq`.
    pub fn settle(&self, commits: &[Commit], last_seq: u64) -> Result<(), IndexError> {
        commits.iter().try_for_each(|commit| self.index.apply(&commit.ops))?;
        self.index.set_applied(last_seq)?;
        let mut recent = self.recent_mut();
        commits.iter().flat_map(|commit| &commit.ops).for_each(|op| drop(recent.0.remove(&op.target())));
        Ok(())
    }

    /// Whether the index answers.
    pub fn is_alive(&self) -> bool {
        self.index.is_alive()
    }

    /// Writes the index out, so that the next start has less to catch up.
    pub fn flush(&self) {
        self.index.flush();
    }

    fn recent(&self) -> RwLockReadGuard<'_, Recent> {
        self.recent.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent_mut(&self) -> RwLockWriteGuard<'_, Recent> {
        self.recent.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn lay(&mut self, op: &Op) -> Result<(), serde_json::Error> {
        let row = match op {
            Op::Put { kind, key, row, .. } => {
                let place = place_of(*kind, row)?;
                let position = list_position(place.order, *key);
                let (owner, parent) = (place.owner, place.parent);
                Some(Arc::new(Row { value: row.clone(), owner, parent, position }))
            }
            Op::Remove { .. } => None,
        };
        self.0.insert(op.target(), row);
        Ok(())
    }

    /// Those of one kind.
    fn of(&self, kind: Kind) -> HashMap<Uuid, Option<Arc<Row>>> {
        let of_kind = self.0.iter().filter(|((other, _), _)| *other == kind);
        of_kind.map(|((_, key), row)| (*key, row.clone())).collect()
    }
}

/// What the index has `found`, with the records of `recent` in the place of its own.
fn laid_over(
    mut found: Vec<(Uuid, ListPosition)>,
    recent: &HashMap<Uuid, Option<Arc<Row>>>,
    is_listed: impl Fn(&Row) -> bool,
    limit: usize,
) -> Vec<(Uuid, ListPosition)> {
    if !recent.is_empty() {
        found.retain(|(key, _)| !recent.contains_key(key));
        let there = recent.iter().filter_map(|(key, row)| row.as_ref().map(|row| (*key, row)));
        found.extend(there.filter(|(_, row)| is_listed(row)).map(|(key, row)| (key, row.position)));
        found.sort_unstable_by_key(|(_, position)| *position);
    }
    found.truncate(limit);
    found
}
