//! An embed: a stable public handle that points at one video and can be pointed at another.

use super::{EmbedId, Kind, OrganizationId, Record, Timestamp, VideoId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An embed's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embed {
    /// Its id, as it stands in web pages.
    pub id: EmbedId,
    /// Its owner.
    pub organization: OrganizationId,
    /// The video it points at.
    pub video: VideoId,
    /// When it was created.
    pub created_at: Timestamp,
}

impl Record for Embed {
    const KIND: Kind = Kind::Embed;

    fn key(&self) -> Uuid {
        self.id.0
    }

    fn owner(&self) -> OrganizationId {
        self.organization
    }

    fn order(&self) -> u64 {
        self.created_at.millis().unsigned_abs()
    }

    fn parent(&self) -> Option<Uuid> {
        Some(self.video.0)
    }
}
