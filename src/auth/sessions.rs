//! Live playback sessions: what an operator can see and end, and how far a renewal prolongs older URLs.
//!
//! In memory alone. Losing it loses liveness, never a right: a renew token still renews after a restart, and what
//! must survive (sessions that were ended) is in the store.

use crate::domain::{EmbedId, OrganizationId, SessionId, SigningKeyId, Timestamp, VideoId, limits};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// One viewing that can still have bytes.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// Its id.
    pub session: SessionId,
    /// What is watched.
    pub video: VideoId,
    /// The embed it came through; unknown for one that was renewed across a restart.
    pub embed: Option<EmbedId>,
    /// The video's owner.
    pub organization: OrganizationId,
    /// The key whose token it stands on.
    pub authority: Option<SigningKeyId>,
    /// The video's access epoch.
    pub epoch: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// Until when its newest URL is good.
    pub live_until: Timestamp,
    /// When it ends whatever happens.
    pub ends_at: Timestamp,
}

/// All of them, by video and session: a session id alone never stands for another video's session.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<(VideoId, SessionId), LiveSession>>);

impl Sessions {
    /// Remembers a session that was opened or renewed. When [`limits::LIVE_SESSIONS`] are live it is not remembered:
    /// it plays all the same, unlisted.
    pub fn remember(&self, session: LiveSession, now: Timestamp) {
        let mut live = self.lock();
        let key = (session.video, session.session);
        if live.len() >= limits::LIVE_SESSIONS && !live.contains_key(&key) {
            live.retain(|_, other| other.live_until > now);
            if live.len() >= limits::LIVE_SESSIONS {
                return;
            }
        }
        live.insert(key, session);
    }

    /// The session, if it is remembered.
    pub fn find(&self, video: VideoId, session: SessionId) -> Option<LiveSession> {
        self.lock().get(&(video, session)).cloned()
    }

    /// The organization's sessions that are live at `now`, newest first.
    pub fn list(&self, organization: OrganizationId, now: Timestamp) -> Vec<LiveSession> {
        let mut found: Vec<LiveSession> = self
            .lock()
            .values()
            .filter(|session| session.organization == organization && session.live_until > now)
            .cloned()
            .collect();
        found.sort_by_key(|session| (std::cmp::Reverse(session.started_at), session.session));
        found
    }

    /// Live sessions by the key they stand on.
    pub fn count_by_key(&self, organization: OrganizationId, now: Timestamp) -> HashMap<SigningKeyId, usize> {
        let mut counts = HashMap::new();
        for session in self.lock().values() {
            if let Some(key) = session.authority
                && session.organization == organization
                && session.live_until > now
            {
                *counts.entry(key).or_default() += 1;
            }
        }
        counts
    }

    /// Forgets one session.
    pub fn forget(&self, video: VideoId, session: SessionId) {
        self.lock().remove(&(video, session));
    }

    /// Forgets what is no longer live.
    pub fn sweep(&self, now: Timestamp) {
        self.lock().retain(|_, session| session.live_until > now);
    }

    /// A panic while the lock was held cannot leave a map half changed: every change is one call.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(VideoId, SessionId), LiveSession>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
