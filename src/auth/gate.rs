//! The one gate. The embed page and the playback API ask [`admit_viewer`], every byte of media [`admit_asset`], every
//! renewal [`admit_renewal`]; what they answer are proofs that nothing else can make.
//!
//! Relies on the token, the grant and the rules; is handed every fact and `now`. Knows no status code.

use super::asset_grant::{Grant, Purpose};
use super::playback_token::{TokenDenied, VerifyingKey, verify_token};
use crate::domain::{
    Organization, OrganizationId, Origin, PublishableKey, SigningKeyId, Timestamp, Video, VideoId, VideoStatus,
    Visibility, admits, limits,
};

/// Every reason for which a viewer, an asset request or a renewal is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The embedding page or calling site is not in the rules.
    ReferrerBlocked,
    /// The calling app is not in the key's list.
    BundleBlocked,
    /// A private video, and no token came along.
    TokenMissing,
    /// A private video, and the token does not open it.
    Token(TokenDenied),
    /// A private video of an organization that has token access off.
    TokenAccessDisabled,
    /// Nothing to play yet.
    VideoNotReady,
    /// Not a grant of ours for this video and this class of asset.
    AssetUrlInvalid,
    /// Its time is over and no session prolongs it.
    AssetUrlExpired,
    /// What it stood on is gone: key, visibility, video or session.
    AssetUrlRevoked,
    /// Not a renew token of ours for this session.
    RenewTokenInvalid,
    /// The session is older than the organization allows, or sessions may not be renewed.
    SessionTooOld,
    /// What the session stood on is gone: key, visibility, video, or an operator ended it.
    SessionRevoked,
}

/// Who asks to play.
pub enum Caller<'a> {
    /// The playback API, with a publishable key and the app's name if it said one.
    Api {
        /// The key.
        key: &'a PublishableKey,
        /// `bundle_id` of `x-moviie-client`.
        bundle_id: Option<&'a str>,
    },
    /// The embed page.
    EmbedPage,
}

/// What the browser says of the page that asks.
pub enum PageOrigin {
    /// Nothing: not a browser, or one told to be silent. The rules then bind through `frame-ancestors` alone.
    Unsaid,
    /// A web origin.
    Page(Origin),
    /// Something that is no web origin, such as `null`: satisfies no rule.
    Opaque,
}

/// Everything that deciding about one viewer takes.
pub struct ViewerRequest<'a> {
    /// The video's owner.
    pub organization: &'a Organization,
    /// What is to be played.
    pub video: &'a Video,
    /// Who asks.
    pub caller: Caller<'a>,
    /// Where the asking page is from.
    pub page: &'a PageOrigin,
    /// The server's own origin, always let in.
    pub own_origin: &'a Origin,
    /// The viewer token, if one came; a repeated one is handed in as the empty `Err`.
    pub token: Result<Option<&'a str>, ()>,
}

/// Proof that a viewer was admitted to a video.
pub struct Viewer {
    organization: OrganizationId,
    video: VideoId,
    epoch: u32,
    authority: Option<SigningKeyId>,
}

impl Viewer {
    /// The video's owner.
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// What may be played.
    pub fn video(&self) -> VideoId {
        self.video
    }

    /// The video's access epoch when it was decided.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The key whose token opened it; `None` for a public video.
    pub fn authority(&self) -> Option<SigningKeyId> {
        self.authority
    }
}

/// Decides about one viewer. The first failing check answers: origin, app, token, readiness.
pub fn admit_viewer(
    request: &ViewerRequest<'_>,
    key: impl FnOnce(SigningKeyId) -> Option<VerifyingKey>,
    now: Timestamp,
) -> Result<Viewer, Denied> {
    request.check_origin()?;
    request.check_app()?;
    let authority = request.check_token(key, now)?;
    request.check_ready()?;
    Ok(request.viewer(authority))
}

/// Decides about one who names the video itself, and is told nothing of it before the token holds: token, origin, readiness.
pub fn admit_viewer_by_token(
    request: &ViewerRequest<'_>,
    key: impl FnOnce(SigningKeyId) -> Option<VerifyingKey>,
    now: Timestamp,
) -> Result<Viewer, Denied> {
    let authority = request.check_token(key, now)?;
    request.check_origin()?;
    request.check_ready()?;
    Ok(request.viewer(authority))
}

/// Why a token opens no video where there is none: what one gets that no key of a private video's owner has signed, after
/// the same work. `no_key` is that of looking for a key.
pub fn deny_without_video(
    token: Result<Option<&str>, ()>,
    video: VideoId,
    no_key: impl FnOnce() -> Option<VerifyingKey>,
    now: Timestamp,
) -> Denied {
    let Ok(token) = token else { return Denied::Token(TokenDenied::REPEATED) };
    let verdict =
        verify_token(token.unwrap_or_default(), video, |_| no_key(), limits::TOKEN_LIFETIME_DEFAULT_S, now.secs());
    verdict.map_or_else(Denied::Token, |_| Denied::SessionRevoked)
}

impl ViewerRequest<'_> {
    fn viewer(&self, authority: Option<SigningKeyId>) -> Viewer {
        let (organization, video) = (self.organization.id, self.video.id);
        Viewer { organization, video, epoch: self.video.epoch, authority }
    }

    /// The organization's rules, and the publishable key's: each list that is not empty must let the page in.
    pub fn check_origin(&self) -> Result<(), Denied> {
        let key_rules = match &self.caller {
            Caller::Api { key, .. } => key.origin_rules.as_slice(),
            Caller::EmbedPage => &[],
        };
        let lists = [self.organization.settings.origin_rules.as_slice(), key_rules];
        let admitted = match self.page {
            PageOrigin::Unsaid => true,
            PageOrigin::Page(origin) => origin == self.own_origin || lists.iter().all(|rules| admits(rules, origin)),
            PageOrigin::Opaque => lists.iter().all(|rules| rules.is_empty()),
        };
        if admitted { Ok(()) } else { Err(Denied::ReferrerBlocked) }
    }

    /// The publishable key's list of apps.
    pub fn check_app(&self) -> Result<(), Denied> {
        match &self.caller {
            Caller::Api { key, bundle_id } if !key.bundle_ids.is_empty() => {
                let named = bundle_id.is_some_and(|id| key.bundle_ids.iter().any(|allowed| allowed == id));
                if named { Ok(()) } else { Err(Denied::BundleBlocked) }
            }
            Caller::Api { .. } | Caller::EmbedPage => Ok(()),
        }
    }

    /// For a private video, the token; the key that signed it is the viewing's authority.
    pub fn check_token(
        &self,
        key: impl FnOnce(SigningKeyId) -> Option<VerifyingKey>,
        now: Timestamp,
    ) -> Result<Option<SigningKeyId>, Denied> {
        if self.video.visibility == Visibility::Public {
            return Ok(None);
        }
        let settings = &self.organization.settings;
        if !settings.token_access {
            return Err(Denied::TokenAccessDisabled);
        }
        let token = self.token.map_err(|()| Denied::Token(TokenDenied::REPEATED))?;
        let token = token.filter(|token| !token.is_empty()).ok_or(Denied::TokenMissing)?;
        verify_token(token, self.video.id, key, settings.max_token_lifetime_s, now.secs())
            .map(Some)
            .map_err(Denied::Token)
    }

    /// Whether there is something to play.
    pub fn check_ready(&self) -> Result<(), Denied> {
        if self.video.status == VideoStatus::Ready { Ok(()) } else { Err(Denied::VideoNotReady) }
    }
}

/// Whether a grant's signing key still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStanding {
    /// It is active.
    Active,
    /// It was revoked or is unknown.
    Gone,
}

/// What a viewing stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The video is public.
    Public,
    /// A viewer token, signed by a key of which this is known.
    Token(KeyStanding),
}

/// The facts of the moment about what a grant stands on, all from memory.
#[derive(Clone, Copy, Debug)]
pub struct GrantStanding {
    /// Owner, visibility and epoch of the video; `None` once it is deleted.
    pub video: Option<(OrganizationId, Visibility, u32)>,
    /// Whether the owner has token access on.
    pub token_access: bool,
    /// What is known of the grant's signing key.
    pub authority: Authority,
    /// Whether an operator ended the session.
    pub session_ended: bool,
    /// Whether the server secret that signed it was not dropped.
    pub asset_key_is_there: bool,
}

impl GrantStanding {
    /// The owner, if all that `grant` stands on still stands; time aside.
    pub fn owner(&self, grant: &Grant) -> Option<OrganizationId> {
        let (organization, visibility, epoch) = self.video?;
        let authority_holds = match (visibility, self.authority) {
            (Visibility::Public, Authority::Public) => true,
            (Visibility::Private, Authority::Public) => false,
            (_, Authority::Token(key)) => self.token_access && key == KeyStanding::Active,
        };
        let was_ended = self.session_ended || !self.asset_key_is_there;
        (epoch == grant.epoch && authority_holds && !was_ended).then_some(organization)
    }
}

/// Proof that a request may have bytes of one video.
pub struct Asset {
    grant: Grant,
    expires_at: Timestamp,
}

impl Asset {
    /// What was granted.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Until when this very URL is good.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

/// Whether a time that a clock of ours has told is still to come. That clock was wrong, or ours is: what was signed
/// then is good for its own time, and must not be good once more when that time comes again.
pub fn is_ahead(at: Timestamp, now: Timestamp) -> bool {
    at.secs() > now.secs().saturating_add(limits::TOKEN_CLOCK_SKEW_S)
}

/// Decides about one request for an asset, given a grant whose MAC holds. `prolonged_until` is asked when the grant's
/// own time is over: until when a renewal keeps its session's older URLs alive.
pub fn admit_asset(
    grant: Grant,
    standing: &GrantStanding,
    prolonged_until: impl FnOnce() -> Option<Timestamp>,
    now: Timestamp,
) -> Result<Asset, Denied> {
    if grant.purpose != Purpose::Play {
        return Err(Denied::AssetUrlInvalid);
    }
    standing.owner(&grant).ok_or(Denied::AssetUrlRevoked)?;
    if is_ahead(grant.started_at, now) {
        return Err(Denied::AssetUrlExpired);
    }
    let is_over = |at: Timestamp| now.secs() >= at.secs();
    let expires_at = if is_over(grant.expires_at) { prolonged_until() } else { Some(grant.expires_at) };
    let expires_at = expires_at.filter(|at| !is_over(*at)).ok_or(Denied::AssetUrlExpired)?;
    Ok(Asset { grant, expires_at })
}

/// Decides about one renewal by a renew token whose MAC holds. `max_age_s` is the organization's `sessionMaxAge` now.
pub fn admit_renewal(
    grant: &Grant,
    standing: &GrantStanding,
    max_age_s: u32,
    now: Timestamp,
) -> Result<OrganizationId, Denied> {
    if grant.purpose != Purpose::Renew {
        return Err(Denied::RenewTokenInvalid);
    }
    let organization = standing.owner(grant).ok_or(Denied::SessionRevoked)?;
    if is_ahead(grant.started_at, now) {
        return Err(Denied::SessionTooOld);
    }
    let oldest = grant.started_at.plus_secs(i64::from(max_age_s));
    if max_age_s == 0 || now.secs() >= oldest.secs().min(grant.ends_at.secs()) {
        return Err(Denied::SessionTooOld);
    }
    Ok(organization)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SessionId;

    const START_S: i64 = 1_795_500_000;

    fn grant(purpose: Purpose) -> Grant {
        let at = |seconds| Timestamp::from_secs(START_S + seconds);
        Grant {
            purpose,
            video: VideoId::from_random([1; 16]),
            epoch: 0,
            session: SessionId::from_random([2; 16]),
            authority: None,
            started_at: at(0),
            expires_at: at(300),
            ends_at: at(43_200),
            asset_key: None,
        }
    }

    fn standing() -> GrantStanding {
        GrantStanding {
            video: Some((OrganizationId::from_random([3; 16]), Visibility::Public, 0)),
            token_access: true,
            authority: Authority::Public,
            session_ended: false,
            asset_key_is_there: true,
        }
    }

    #[test]
    fn a_url_is_good_for_its_own_time_and_not_before_however_the_clock_is_set() {
        let verdict = |after: i64| {
            let now = Timestamp::from_secs(START_S + after);
            admit_asset(grant(Purpose::Play), &standing(), || None, now).map(drop)
        };
        for good in [0, 299, -1, -limits::TOKEN_CLOCK_SKEW_S] {
            assert_eq!(verdict(good), Ok(()), "{good}");
        }
        for over in [300, 3_600, -limits::TOKEN_CLOCK_SKEW_S - 1, -3_600, -START_S] {
            assert_eq!(verdict(over), Err(Denied::AssetUrlExpired), "{over}");
        }
    }

    #[test]
    fn a_session_of_a_clock_that_was_ahead_is_not_renewed_until_that_time_comes() {
        let verdict = |after: i64| {
            let now = Timestamp::from_secs(START_S + after);
            admit_renewal(&grant(Purpose::Renew), &standing(), 43_200, now).map(drop)
        };
        assert_eq!(verdict(0), Ok(()));
        assert_eq!(verdict(3_600), Ok(()));
        assert_eq!(verdict(-3_600), Err(Denied::SessionTooOld));
        assert_eq!(verdict(-10 * 365 * 86_400), Err(Denied::SessionTooOld));
    }
}
