//! The audit log: who changed what and when, each entry chained to the one before it by its hash.

use super::{AuditId, Kind, OrganizationId, PrivateKeyId, Record, SignInId, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Who made a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Actor {
    /// A private key, over the admin API.
    PrivateKey {
        /// Its record's id.
        id: PrivateKeyId,
    },
    /// Whoever may open the unix socket: root or the service's own user.
    Appliance,
    /// The server itself, such as an upload ending in `error`.
    Server,
}

/// On whose word a change is made. Whoever could be shut out since they asked must not have been when it is made: a body may
/// be as long on its way as its sender likes.
#[derive(Clone, Debug, PartialEq)]
pub enum Mandate {
    /// A private key that must not be revoked, and the sign-in that stands on it, if it came with one, not over.
    Key {
        /// The key's record.
        id: PrivateKeyId,
        /// The sign-in.
        sign_in: Option<SignInId>,
    },
    /// What nobody can take back, or was complete before anybody did.
    Given(Actor),
}

impl Mandate {
    /// As the audit log names them.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Key { id, .. } => Actor::PrivateKey { id: *id },
            Self::Given(actor) => actor.clone(),
        }
    }
}

impl From<Actor> for Mandate {
    fn from(actor: Actor) -> Self {
        Self::Given(actor)
    }
}

/// What was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: Uuid,
}

/// A change, as whoever makes it describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEvent {
    /// Who made it, and whether they still may.
    pub mandate: Mandate,
    /// Whose log it stands in.
    pub organization: OrganizationId,
    /// What was done, as `noun.verb`.
    pub action: &'static str,
    /// What it was done to.
    pub subject: Subject,
    /// What a reader may want to know besides; never a secret.
    pub detail: serde_json::Value,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditId,
    /// Whose log it stands in.
    pub organization: OrganizationId,
    /// Its place in that log, from 1.
    pub number: u64,
    /// When it was written.
    pub at: Timestamp,
    /// Who made the change.
    pub actor: Actor,
    /// What was done.
    pub action: String,
    /// What it was done to.
    pub subject: Subject,
    /// What a reader may want to know besides.
    pub detail: serde_json::Value,
    /// `hash` of the entry before it; 64 zeros in the first.
    pub previous: String,
    /// SHA-256 over `previous`, a newline, and [`AuditEntry::hashed_text`]; lower-case hexadecimal.
    pub hash: String,
}

impl AuditEntry {
    /// The part of an entry that its hash covers besides `previous`: a JSON array of every other field, in the
    /// order of this struct.
    pub fn hashed_text(&self) -> String {
        serde_json::json!([
            self.id.to_string(),
            self.organization.to_string(),
            self.number,
            self.at.millis(),
            self.actor,
            self.action,
            self.subject,
            self.detail
        ])
        .to_string()
    }
}

impl Record for AuditEntry {
    const KIND: Kind = Kind::Audit;

    fn key(&self) -> Uuid {
        self.id.0
    }

    fn owner(&self) -> OrganizationId {
        self.organization
    }

    fn order(&self) -> u64 {
        self.number
    }
}
