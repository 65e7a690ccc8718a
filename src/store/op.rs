//! What a commit says: the operations of one change, as they stand in the journal.

use crate::domain::{
    AssetKey, AuditEntry, Embed, EndedSession, Kind, MediaFile, Organization, OrganizationId, PrivateKey,
    PublishableKey, Record, Reference, SignIn, SigningKey, Timestamp, Upload, Video,
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

/// Version of every record's JSON. A record whose shape changes gets a new number and a migration from the old one.
pub(super) const RECORD_VERSION: u32 = 1;

/// A record's JSON, letter by letter as it stands in the journal. It is read where somebody wants to know what it says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Row(Box<RawValue>);

impl Row {
    /// What a record is written down as.
    pub(super) fn of(record: &impl Serialize) -> Result<Self, serde_json::Error> {
        to_raw_value(record).map(Self)
    }

    /// The record.
    pub(super) fn read<'a, R: Deserialize<'a>>(&'a self) -> Result<R, serde_json::Error> {
        serde_json::from_str(self.json())
    }

    pub(super) fn json(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.json() == other.json()
    }
}

/// One operation. It carries the whole record, so that replaying it twice is the same as once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "op", try_from = "Written")]
pub enum Op {
    /// Stores a record over whatever had its key.
    Put {
        /// Its kind.
        kind: Kind,
        /// Its key.
        key: Uuid,
        /// [`RECORD_VERSION`] when it was written.
        v: u32,
        /// The record.
        row: Row,
    },
    /// Removes a record, if it is there.
    Remove {
        /// Its kind.
        kind: Kind,
        /// Its key.
        key: Uuid,
    },
}

/// [`Op`] as it is read: a tagged enum would be held in another form first, which took a third of reading a journal.
#[derive(Deserialize)]
struct Written {
    op: Verb,
    kind: Kind,
    key: Uuid,
    v: Option<u32>,
    row: Option<Row>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verb {
    Put,
    Remove,
}

impl TryFrom<Written> for Op {
    type Error = &'static str;

    fn try_from(Written { op, kind, key, v, row }: Written) -> Result<Self, Self::Error> {
        match (op, v, row) {
            (Verb::Put, Some(v), Some(row)) => Ok(Self::Put { kind, key, v, row }),
            (Verb::Put, _, _) => Err("a record to put lacks its version or its row"),
            (Verb::Remove, _, _) => Ok(Self::Remove { kind, key }),
        }
    }
}

impl Op {
    /// What it changes.
    pub fn target(&self) -> (Kind, Uuid) {
        match self {
            Self::Put { kind, key, .. } | Self::Remove { kind, key } => (*kind, *key),
        }
    }

    /// The operation that stores `record`.
    pub(super) fn put<R: Record>(record: &R) -> Result<Self, serde_json::Error> {
        Ok(Self::Put { kind: R::KIND, key: record.key(), v: RECORD_VERSION, row: Row::of(record)? })
    }
}

/// One change: applied whole or not at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// Its number; each commit has the next one. The commits of a compacted journal's head share the number of the
    /// last change they stand for.
    pub seq: u64,
    /// Whether it belongs to that head.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub snapshot: bool,
    /// Length of the journal known to be on disk when this was appended, in bytes; in that head, where this stands.
    pub durable: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub ops: Vec<Op>,
}

/// Where a record stands in lists.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub owner: OrganizationId,
    pub order: u64,
    pub parent: Option<Uuid>,
}

impl Place {
    pub fn of(record: &impl Record) -> Self {
        Self { owner: record.owner(), order: record.order(), parent: record.parent() }
    }
}

/// Reads the place out of a record of any kind.
pub(super) fn place_of(kind: Kind, row: &Row) -> Result<Place, serde_json::Error> {
    fn place<R: Record>(row: &Row) -> Result<Place, serde_json::Error> {
        row.read::<R>().map(|record| Place::of(&record))
    }
    match kind {
        Kind::Organization => place::<Organization>(row),
        Kind::Video => place::<Video>(row),
        Kind::Embed => place::<Embed>(row),
        Kind::MediaFile => place::<MediaFile>(row),
        Kind::SigningKey => place::<SigningKey>(row),
        Kind::PublishableKey => place::<PublishableKey>(row),
        Kind::PrivateKey => place::<PrivateKey>(row),
        Kind::AssetKey => place::<AssetKey>(row),
        Kind::Reference => place::<Reference>(row),
        Kind::EndedSession => place::<EndedSession>(row),
        Kind::SignIn => place::<SignIn>(row),
        Kind::Audit => place::<AuditEntry>(row),
        Kind::Upload => place::<Upload>(row),
    }
}
