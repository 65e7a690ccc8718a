//! What is remembered of a playback session that an operator ended. Live sessions need no storage.

use super::{Kind, OrganizationId, Record, SessionId, Timestamp, VideoId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A session that must not play on, kept until its last grant has died of age.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndedSession {
    /// The session.
    pub session: SessionId,
    /// Whose it was.
    pub organization: OrganizationId,
    /// What it watched.
    pub video: VideoId,
    /// When it was ended.
    pub ended_at: Timestamp,
    /// From when on none of its grants can be valid, so that this record may go.
    pub forget_at: Timestamp,
}

impl Record for EndedSession {
    const KIND: Kind = Kind::EndedSession;

    fn key(&self) -> Uuid {
        self.session.0
    }

    fn owner(&self) -> OrganizationId {
        self.organization
    }

    fn order(&self) -> u64 {
        self.ended_at.millis().unsigned_abs()
    }
}
