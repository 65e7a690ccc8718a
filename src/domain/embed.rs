//! An embed: a stable public handle that points at one video and can be pointed at another.

use super::record::record;
use super::{EmbedId, OrganizationId, Timestamp, VideoId};
use serde::{Deserialize, Serialize};

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

record!(Embed, parent: video);
