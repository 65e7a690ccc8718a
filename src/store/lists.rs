//! The lists: which records an owner has, and which hang on another record, newest first. In memory alone; a start makes
//! them from the journal. In sled they would be more entries than the records, and most of what building an index takes.

use super::op::Place;
use crate::domain::{Kind, OrganizationId};
use std::collections::BTreeSet;
use std::ops::Bound;
use uuid::Uuid;

/// Position in a list: newest-first order, then key.
pub(super) type ListPosition = [u8; 24];

/// Owner or parent, kind, position: 41 bytes a record.
type ListKey = (Uuid, Kind, ListPosition);

/// All lists of all records.
#[derive(Default)]
pub(super) struct Lists {
    by_owner: BTreeSet<ListKey>,
    by_parent: BTreeSet<ListKey>,
}

impl Lists {
    /// Of these records, in any order.
    pub fn of<'a>(records: impl Iterator<Item = (&'a (Kind, Uuid), &'a Place)> + Clone) -> Self {
        let by_owner = records.clone().map(|((kind, key), place)| owner_key(*kind, *key, place)).collect();
        let by_parent = records.filter_map(|((kind, key), place)| parent_key(*kind, *key, place)).collect();
        Self { by_owner, by_parent }
    }

    /// Lists a record.
    pub fn insert(&mut self, kind: Kind, key: Uuid, place: &Place) {
        self.by_owner.insert(owner_key(kind, key, place));
        self.by_parent.extend(parent_key(kind, key, place));
    }

    /// Takes a record off the lists where it stood.
    pub fn remove(&mut self, kind: Kind, key: Uuid, place: &Place) {
        self.by_owner.remove(&owner_key(kind, key, place));
        if let Some(listed) = parent_key(kind, key, place) {
            self.by_parent.remove(&listed);
        }
    }

    /// Takes a record off all lists, wherever it stands: looks at every entry.
    pub fn search_and_remove(&mut self, kind: Kind, key: Uuid) {
        let is_other = |(_, listed, position): &ListKey| *listed != kind || !position.ends_with(key.as_bytes());
        self.by_owner.retain(is_other);
        self.by_parent.retain(is_other);
    }

    /// Up to `limit` keys of an owner's records, newest first, behind `after`; with the position of each.
    pub fn owned(
        &self,
        owner: OrganizationId,
        kind: Kind,
        after: Option<ListPosition>,
        limit: usize,
    ) -> Vec<(Uuid, ListPosition)> {
        list(&self.by_owner, owner.0, kind, after, limit)
    }

    /// The same for the records that hang on another, from the newest on.
    pub fn children(&self, parent: Uuid, kind: Kind, limit: usize) -> Vec<Uuid> {
        list(&self.by_parent, parent, kind, None, limit).into_iter().map(|(key, _)| key).collect()
    }
}

fn list(
    keys: &BTreeSet<ListKey>,
    group: Uuid,
    kind: Kind,
    after: Option<ListPosition>,
    limit: usize,
) -> Vec<(Uuid, ListPosition)> {
    let start = after.map_or(Bound::Included((group, kind, [0; 24])), |after| Bound::Excluded((group, kind, after)));
    let end = Bound::Included((group, kind, [u8::MAX; 24]));
    let key = |position: &ListPosition| position.last_chunk().copied().map(Uuid::from_bytes).unwrap_or_default();
    keys.range((start, end)).take(limit).map(|(_, _, position)| (key(position), *position)).collect()
}

fn owner_key(kind: Kind, key: Uuid, place: &Place) -> ListKey {
    (place.owner.0, kind, list_position(place.order, key))
}

fn parent_key(kind: Kind, key: Uuid, place: &Place) -> Option<ListKey> {
    place.parent.map(|parent| (parent, kind, list_position(place.order, key)))
}

/// Where a record stands in its lists: the newest, which has the highest order, comes first.
fn list_position(order: u64, key: Uuid) -> ListPosition {
    let mut position = [0; 24];
    let (head, tail) = position.split_at_mut(8);
    head.copy_from_slice(&(!order).to_be_bytes());
    tail.copy_from_slice(key.as_bytes());
    position
}
