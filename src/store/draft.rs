//! A change while it is being made: reads see what is stored and what this change, and those before it in the same
//! group, have said; nothing is stored yet.

use super::access::{Access, Usage};
use super::index::check_length;
use super::op::{Op, Row, place_of};
use super::rows::Rows;
use super::write_error::WriteError;
use crate::domain::{AuditEvent, Kind, Mandate, OrganizationId, PrivateKey, PrivateKeyId, Record, SignIn, limits};
use std::collections::HashMap;
use uuid::Uuid;

/// Records as changed but not yet stored; `None` is a removal.
pub(super) type Overlay = HashMap<(Kind, Uuid), Option<Row>>;

/// The change that a closure handed to [`super::Catalog::write`] makes.
pub struct Draft<'a> {
    rows: &'a Rows,
    access: &'a Access,
    group: &'a Overlay,
    pub(super) own: Overlay,
    pub(super) ops: Vec<Op>,
    pub(super) events: Vec<AuditEvent>,
    /// What failed while reading or wording: then nothing of this change is made.
    pub(super) broken: Option<WriteError>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(rows: &'a Rows, access: &'a Access, group: &'a Overlay) -> Self {
        Self { rows, access, group, own: Overlay::new(), ops: Vec::new(), events: Vec::new(), broken: None }
    }

    /// The record with this key as this change finds it.
    pub fn find<R: Record>(&mut self, key: Uuid) -> Option<R> {
        let target = (R::KIND, key);
        let row = match self.own.get(&target).or_else(|| self.group.get(&target)) {
            Some(row) => row.clone(),
            None => match self.rows.row(R::KIND, key) {
                Ok(row) => row,
                Err(error) => {
                    self.fail(error);
                    None
                }
            },
        }?;
        match row.read() {
            Ok(record) => Some(record),
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    /// Stores a record.
    pub fn put<R: Record>(&mut self, record: &R) {
        match Op::put(record) {
            Ok(op) => {
                if let Op::Put { row, .. } = &op {
                    if let Err(error) = check_length(row) {
                        return self.fail(error);
                    }
                    self.own.insert(op.target(), Some(row.clone()));
                }
                self.ops.push(op);
            }
            Err(error) => self.fail(error),
        }
    }

    /// Removes a record.
    pub fn remove<R: Record>(&mut self, record: &R) {
        self.own.insert((R::KIND, record.key()), None);
        self.ops.push(Op::Remove { kind: R::KIND, key: record.key() });
    }

    /// Adds an entry to the audit log, in the same commit. Where whoever makes the change may no longer, as the changes
    /// before this one leave it, nothing of it is made.
    pub fn audit(&mut self, event: AuditEvent) {
        if !self.holds(&event.mandate) {
            return self.fail(WriteError::Revoked);
        }
        self.events.push(event);
    }

    fn holds(&self, mandate: &Mandate) -> bool {
        let is_gone = |kind, id, is_left: fn(&Row) -> bool| {
            self.group.get(&(kind, id)).is_some_and(|row| !row.as_ref().is_some_and(is_left))
        };
        let is_active = |row: &Row| row.read::<PrivateKey>().is_ok_and(|key| key.revoked_at.is_none());
        let is_gone = match mandate {
            Mandate::Key { id, sign_in } => {
                is_gone(Kind::PrivateKey, id.0, is_active)
                    || sign_in.is_some_and(|id| is_gone(Kind::SignIn, id.0, |_| true))
            }
            Mandate::Given(_) => false,
        };
        !is_gone && self.access.holds(mandate)
    }

    /// Keys of records that hang on `parent`: up to `limit` stored ones, with what this group has changed.
    pub fn children<R: Record>(&mut self, parent: Uuid, limit: usize) -> Vec<Uuid> {
        let mut keys = self.rows.children(parent, R::KIND, limit);
        for ((kind, key), row) in self.group.iter().chain(&self.own).filter(|((kind, _), _)| *kind == R::KIND) {
            keys.retain(|other| other != key);
            let hangs_on = row.as_ref().and_then(|row| place_of(*kind, row).ok()).and_then(|place| place.parent);
            if hangs_on == Some(parent) {
                keys.push(*key);
            }
        }
        keys
    }

    /// How many private keys of an organization are not revoked, this group's changes included.
    pub fn active_private_keys(&mut self, organization: OrganizationId) -> usize {
        let mut active: std::collections::HashSet<Uuid> =
            self.access.tally(organization).private_keys.iter().map(|PrivateKeyId(key)| *key).collect();
        for ((kind, key), row) in self.group.iter().chain(&self.own) {
            let Some(row) = row.as_ref().filter(|_| *kind == Kind::PrivateKey) else { continue };
            let is_active = |key: PrivateKey| key.organization == organization && key.revoked_at.is_none();
            if row.read().is_ok_and(is_active) {
                active.insert(*key);
            } else {
                active.remove(key);
            }
        }
        active.len()
    }

    /// An organization's sign-ins, this group's changes included.
    pub fn sign_ins(&self, organization: OrganizationId) -> Vec<SignIn> {
        let changed: HashMap<&Uuid, &Option<Row>> = self
            .group
            .iter()
            .chain(&self.own)
            .filter_map(|((kind, key), row)| (*kind == Kind::SignIn).then_some((key, row)))
            .collect();
        let stored =
            self.access.sign_ins().filter(|one| !changed.contains_key(&one.id.0)).map(|one| SignIn::clone(one));
        let said = changed.values().filter_map(|row| row.as_ref()?.read::<SignIn>().ok());
        stored.chain(said).filter(|one| one.organization == organization).collect()
    }

    /// Signing keys, and publishable and private keys together, that an organization has; not counting this group's.
    pub fn key_counts(&self, organization: OrganizationId) -> (usize, usize) {
        let tally = self.access.tally(organization);
        (tally.signing_keys, tally.api_keys)
    }

    /// What an organization's files take, this group's changes included.
    pub fn usage(&self, organization: OrganizationId) -> Usage {
        let group = self.group.iter().filter(|(target, _)| !self.own.contains_key(target));
        self.access.usage_with(organization, group.chain(&self.own))
    }

    /// Whether what has been said so far is over what one commit may say.
    pub(super) fn is_too_large(&self) -> bool {
        self.ops.len() + self.events.len() > limits::COMMIT_OPERATIONS
    }

    fn fail(&mut self, error: impl Into<WriteError>) {
        self.broken.get_or_insert(error.into());
    }
}
