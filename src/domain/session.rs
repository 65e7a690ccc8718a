//! What is remembered of a playback session that an operator ended. Live sessions need no storage.

use super::{Kind, OrganizationId, Record, SessionId, Timestamp, VideoId, limits};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A session that must not play on, kept until its last grant has died of age.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndedSession {
    /// Derived from scope and session by whoever makes it.
    pub id: Uuid,
    /// The session.
    pub session: SessionId,
    /// Whose it was.
    pub organization: OrganizationId,
    /// What it watched; `None` where it ended for all of the organization's videos: whoever has tokens for several can
    /// renew under one the session of another, so that its id stands for both.
    #[serde(default)]
    pub video: Option<VideoId>,
    /// When it was ended.
    pub ended_at: Timestamp,
    /// From when on none of its grants can be valid, so that this record may go.
    pub forget_at: Timestamp,
}

impl EndedSession {
    /// A session that is ended at `ended_at`. It is remembered for as long as any grant that was signed before can
    /// live, whatever is known of the session: an older or newer renew token may end later than the one seen last.
    pub fn new(
        id: Uuid,
        session: SessionId,
        organization: OrganizationId,
        video: Option<VideoId>,
        ended_at: Timestamp,
    ) -> Self {
        let longest_s = (*limits::SESSION_MAX_AGE_S.end()).max(*limits::ASSET_URL_TTL_S.end());
        Self { id, session, organization, video, ended_at, forget_at: ended_at.plus_secs(i64::from(longest_s) + 1) }
    }

    /// What it ended for: the id of a video, or of the organization for all of them.
    pub fn scope(&self) -> Uuid {
        self.video.map_or(self.organization.0, |video| video.0)
    }
}

impl Record for EndedSession {
    const KIND: Kind = Kind::EndedSession;

    fn key(&self) -> Uuid {
        self.id
    }

    fn owner(&self) -> OrganizationId {
        self.organization
    }

    fn order(&self) -> u64 {
        self.ended_at.millis().unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_session_is_remembered_longer_than_any_of_its_grants_can_live() {
        let now = Timestamp::from_secs(1_795_500_000);
        let ended = EndedSession::new(
            Uuid::nil(),
            SessionId::from_random([1; 16]),
            OrganizationId::from_random([2; 16]),
            Some(VideoId::from_random([3; 16])),
            now,
        );
        assert!(ended.forget_at > now.plus_secs(i64::from(*limits::SESSION_MAX_AGE_S.end())));
        assert!(ended.forget_at > now.plus_secs(i64::from(*limits::ASSET_URL_TTL_S.end())));
    }
}
