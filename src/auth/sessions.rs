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

/// All of them, by organization, then by video and session: a session id alone stands for another video's
/// session nowhere but where an operator ends it, and one organization's crowd takes no room from another's.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<OrganizationId, Live>>);

type Key = (VideoId, SessionId);

#[derive(Default)]
struct Live {
    sessions: HashMap<Key, LiveSession>,
    /// When it was last looked through for sessions that are over, because it was full.
    swept_at: Option<Timestamp>,
}

impl Sessions {
    /// Remembers a session that was opened or renewed; what is known of it already is never shortened. Where the
    /// organization's room ([`limits::LIVE_SESSIONS`]) is taken, it is not remembered: it plays all the same, unlisted.
    pub fn remember(&self, mut session: LiveSession, now: Timestamp) {
        let mut all = self.lock();
        let live = all.entry(session.organization).or_default();
        let key = (session.video, session.session);
        match live.sessions.get(&key) {
            Some(known) if known.epoch == session.epoch => {
                session.live_until = session.live_until.max(known.live_until);
                session.ends_at = session.ends_at.max(known.ends_at);
            }
            Some(_) => {}
            None if live.sessions.len() < room_for(&session) => {}
            None => {
                // Looking through all of them is dear: once a second at most.
                let is_due = live.swept_at.is_none_or(|at| at.plus_secs(1) <= now);
                if is_due {
                    live.swept_at = Some(now);
                    live.sessions.retain(|_, other| other.live_until > now);
                }
                if live.sessions.len() >= room_for(&session) {
                    return;
                }
            }
        }
        live.sessions.insert(key, session);
    }

    /// The session, if it is remembered.
    pub fn find(&self, organization: OrganizationId, video: VideoId, session: SessionId) -> Option<LiveSession> {
        self.lock().get(&organization)?.sessions.get(&(video, session)).cloned()
    }

    /// The organization's sessions that are live at `now` and `wanted`, in no order.
    pub fn list(
        &self,
        organization: OrganizationId,
        now: Timestamp,
        wanted: impl Fn(&LiveSession) -> bool,
    ) -> Vec<LiveSession> {
        let all = self.lock();
        let live = all.get(&organization).into_iter().flat_map(|live| live.sessions.values());
        live.filter(|session| session.live_until > now && wanted(session)).cloned().collect()
    }

    /// Whether a session is remembered, live or paused, whatever it watches.
    pub fn knows(&self, organization: OrganizationId, session: SessionId) -> bool {
        let all = self.lock();
        all.get(&organization).is_some_and(|live| live.sessions.keys().any(|(_, other)| *other == session))
    }

    /// Live sessions by the key they stand on.
    pub fn count_by_key(&self, organization: OrganizationId, now: Timestamp) -> HashMap<SigningKeyId, usize> {
        let mut counts = HashMap::new();
        let all = self.lock();
        for session in all.get(&organization).into_iter().flat_map(|live| live.sessions.values()) {
            if let Some(key) = session.authority
                && session.live_until > now
            {
                *counts.entry(key).or_default() += 1;
            }
        }
        counts
    }

    /// Forgets a session of one video, or of all.
    pub fn forget(&self, organization: OrganizationId, video: Option<VideoId>, session: SessionId) {
        if let Some(live) = self.lock().get_mut(&organization) {
            match video {
                Some(video) => drop(live.sessions.remove(&(video, session))),
                None => live.sessions.retain(|(_, other), _| *other != session),
            }
        }
    }

    /// Forgets what can never be renewed again.
    pub fn sweep(&self, now: Timestamp) {
        self.lock().retain(|_, live| {
            live.sessions.retain(|_, session| session.ends_at > now);
            !live.sessions.is_empty()
        });
    }

    /// A panic while the lock was held cannot leave a map half changed: every change is one call.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<OrganizationId, Live>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many live sessions of an organization leave room for this one. Half of it is kept for those that stand on a token:
/// public ones can be opened by anybody.
fn room_for(session: &LiveSession) -> usize {
    if session.authority.is_some() { limits::LIVE_SESSIONS } else { limits::LIVE_SESSIONS / 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u128, authority: Option<SigningKeyId>) -> LiveSession {
        let now = Timestamp::from_secs(1_795_500_000);
        LiveSession {
            session: SessionId::from_random(number.to_be_bytes()),
            video: VideoId::from_random([1; 16]),
            embed: None,
            organization: OrganizationId::from_random([2; 16]),
            authority,
            epoch: 0,
            started_at: now,
            live_until: now.plus_secs(300),
            ends_at: now.plus_secs(600),
        }
    }

    #[test]
    fn however_many_watch_public_videos_there_is_room_for_whoever_has_a_token() {
        let (sessions, key) = (Sessions::default(), Some(SigningKeyId::from_random([3; 16])));
        let remembers = |session: LiveSession| {
            let (organization, video, id, now) =
                (session.organization, session.video, session.session, session.started_at);
            sessions.remember(session, now);
            sessions.find(organization, video, id).is_some()
        };
        let half = limits::LIVE_SESSIONS as u128 / 2;
        assert!((0..half).all(|number| remembers(session(number, None))));
        assert!(!remembers(session(half, None)), "anybody can take the room of those who have a token");
        assert!((half..2 * half).all(|number| remembers(session(number, key))));
        assert!(!remembers(session(2 * half, key)) && remembers(session(0, None)));
    }
}
