//! Composition: one [`App`] holds the store, the keys and the live sessions, and is handed to every handler. The
//! clock and randomness enter here and nowhere below.

mod asset_keys;
mod clock_watch;
mod condition;
mod damaged_media;
mod health;
mod ingest;
mod master_key;
mod media_files;
mod overdue;
mod packaging;
mod provision;
mod renditions;
mod scrub;
mod seams;
mod segment_indexes;
mod sign_ins;
#[cfg(test)]
pub(crate) mod test_app;
mod transcode;
mod uploads;

pub use asset_keys::OldAssetKeys;
pub use clock_watch::{ClockBehind, check_clock};
pub use condition::Condition;
pub use damaged_media::{DamagedFile, DamagedList, DamagedMedia, Unserved};
pub use health::Concern;
pub use media_files::{IngestError, take_captions};
pub use packaging::{Outcome, Packaging};
pub use provision::{FirstKeys, NewSigningKey, TooManyKeys, new_organization, new_signing_key};
pub use seams::{Clock, Entropy, SystemClock, SystemEntropy};
pub use segment_indexes::{SegmentIndexes, WrittenText};
pub use sign_ins::SignIns;
pub use transcode::{Transcoding, TranscodingStatus};
pub use uploads::{Piece, Quota, UploadError, UploadState, Uploads};

use crate::auth::{
    AssetKeyring, Authority, Grant, GrantStanding, KeyStanding, MasterKey, Secret, Sessions, Unsealable, VerifyingKey,
    is_ahead, mint, mint_token,
};
use crate::config::Config;
use crate::domain::{
    Kind, Organization, OrganizationId, Origin, Sealed, SigningKey, SigningKeyId, Timestamp, Video, VideoId, limits,
};
use crate::store::{
    Catalog, Disk, IndexError, JournalError, MediaDir, StateDir, StateDirError, Watermarks, WriteError, read_master_key,
};
use clock_watch::ClockWatch;
use overdue::Overdue;
use scrub::Scrub;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// What the decoy is sealed for: no record has this id.
const DECOY: &str = "decoy";

/// The assembled server.
pub struct App {
    /// What the operator decided.
    pub config: Config,
    /// Records.
    pub store: Catalog,
    /// Bytes.
    pub media: MediaDir,
    /// Room for both.
    pub disk: Arc<Disk>,
    /// Resumable uploads.
    pub uploads: Uploads,
    /// Live playback sessions.
    pub sessions: Sessions,
    /// The server's own origin.
    pub own_origin: Origin,
    /// What it knows of itself.
    pub condition: Condition,
    /// Media files that are not served.
    pub damaged: DamagedMedia,
    scrub: Scrub,
    asset_keys: RwLock<Arc<AssetKeyring>>,
    master: MasterKey,
    /// Opened in place of a signing key that does not exist.
    decoy: Sealed,
    clock: Box<dyn Clock>,
    entropy: Box<dyn Entropy>,
    /// When each signing key last opened a video, until it is written down.
    last_used: Mutex<HashMap<SigningKeyId, Timestamp>>,
    /// In milliseconds: what [`App::moment`] answered last.
    last_moment: AtomicI64,
    /// Admits the few sources that are read at the same time.
    reading: Arc<tokio::sync::Semaphore>,
    segment_indexes: SegmentIndexes,
    sign_ins: SignIns,
    clock_watch: ClockWatch,
    /// Ended sessions that may be forgotten if the clock is right.
    overdue: Overdue,
    packaging: Packaging,
    transcoding: Transcoding,
    state: StateDir,
}

/// Why the server can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory, the master key's file, or the directories of media and uploads.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A write that starting takes.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The master key opens nothing.
    #[error(
        "the master key in {0} does not fit this state directory: it does not open {1}. \
         Put the right key back; with another one every signing key would be unreadable. Where `screener key \
         rotate-master` was interrupted, run it again with both"
    )]
    WrongMasterKey(std::path::PathBuf, String),
    /// The other master key is no other one.
    #[error("{0} holds the master key in use; name another file, which is made")]
    SameMasterKey(std::path::PathBuf),
    /// The public URL is no web origin.
    #[error("server.public_url is not a web origin")]
    PublicUrl,
    /// The clock is wrong.
    #[error(transparent)]
    Clock(#[from] ClockBehind),
}

impl App {
    /// Opens everything below `state`, in the order in which each part rests on the one before: lock, master key,
    /// catalog, keys, media.
    pub async fn start(
        config: Config,
        state: StateDir,
        clock: Box<dyn Clock>,
        entropy: Box<dyn Entropy>,
    ) -> Result<Self, StartError> {
        check_clock(clock.now())?;
        let own_origin = Origin::of(&config.server.public_url).ok_or(StartError::PublicUrl)?;
        let master = MasterKey::new(&*read_master_key(&config.state.master_key_file)?);
        let (store, disk) = open_catalog(&config, &state)?;
        let wrong_key = |what: String| StartError::WrongMasterKey(config.state.master_key_file.clone(), what);
        {
            let access = store.access();
            for key in access.signing_keys() {
                let opened = master.open(&key.id.to_string(), &key.secret);
                opened.map_err(|Unsealable| wrong_key(format!("signing key {}", key.id)))?;
            }
        }
        // A restore has left none. Under a wrong master key none is made: the right one would not open it.
        asset_keys::make_first(&store, asset_keys::new_key(&master, &*entropy, clock.now())).await?;
        let asset_keys =
            asset_keys::open_all(&store.access(), &master).map_err(|id| wrong_key(format!("asset key {id}")))?;
        let media = MediaDir::open(state.path())?;
        let uploads = Uploads::start(state.path(), &store, &media, clock.now()).await?;
        media.sweep(&store.media_files(), store.access().removed_media())?;
        let (scrub, damaged) = Scrub::read(state.path(), clock.now());
        let app = Self {
            config,
            store,
            media,
            disk,
            uploads,
            sessions: Sessions::default(),
            own_origin,
            condition: Condition::default(),
            damaged: DamagedMedia::default(),
            scrub,
            asset_keys: RwLock::new(Arc::new(asset_keys)),
            decoy: master.seal(DECOY, &[0; mint::SIGNING_CHARS], entropy.random()),
            master,
            clock,
            entropy,
            last_used: Mutex::default(),
            last_moment: AtomicI64::new(0),
            reading: Arc::new(tokio::sync::Semaphore::new(limits::SOURCES_READ_AT_ONCE)),
            segment_indexes: SegmentIndexes::default(),
            sign_ins: SignIns::default(),
            clock_watch: ClockWatch::default(),
            overdue: Overdue::default(),
            packaging: Packaging::default(),
            transcoding: Transcoding::default(),
            state,
        };
        app.refuse_as_noted(damaged);
        Ok(app)
    }

    /// What time it is. Asked once per request.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Now, and later than any time this answered before: when a record is made, so that lists have one order.
    pub fn moment(&self) -> Timestamp {
        let now = self.now().millis();
        let after = |last: i64| Some(now.max(last.saturating_add(1)));
        let last = self.last_moment.fetch_update(Ordering::SeqCst, Ordering::SeqCst, after).unwrap_or(now);
        Timestamp::from_millis(now.max(last.saturating_add(1)))
    }

    /// Random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        self.entropy.random()
    }

    /// The state directory.
    pub fn state(&self) -> &StateDir {
        &self.state
    }

    /// An absolute URL of ours.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.config.server.public_url)
    }

    /// Seals a signing key's secret.
    pub fn seal(&self, id: SigningKeyId, secret: &Secret<String>) -> Sealed {
        self.master.seal(&id.to_string(), secret.expose().as_bytes(), self.random())
    }

    /// The signing key that a token names, if it is `organization`'s.
    pub fn verifying_key(&self, organization: OrganizationId, id: SigningKeyId) -> Option<VerifyingKey> {
        let found = self.store.access().signing_key(id).filter(|key| key.organization == organization).cloned();
        let Some(key) = found else { return self.no_key() };
        let secret = self.master.open(&id.to_string(), &key.secret).ok()?;
        Some(VerifyingKey { secret, revoked: key.revoked_at.is_some() })
    }

    /// No key, after the work of opening one: else, how soon a token is refused would tell which ids exist.
    pub fn no_key(&self) -> Option<VerifyingKey> {
        let _ = self.master.open(DECOY, &self.decoy);
        None
    }

    /// The facts of this moment about what a grant stands on.
    pub fn standing(&self, grant: &Grant) -> GrantStanding {
        let access = self.store.access();
        let video = access.video(grant.video);
        let owner = video.as_ref().map(|video| video.organization);
        let key_is_active = |id: SigningKeyId| {
            access.signing_key(id).is_some_and(|key| key.revoked_at.is_none() && Some(key.organization) == owner)
        };
        let standing_of = |id| if key_is_active(id) { KeyStanding::Active } else { KeyStanding::Gone };
        GrantStanding {
            video: video.map(|video| (video.organization, video.visibility, video.epoch)),
            token_access: owner
                .and_then(|owner| access.organization(owner))
                .is_some_and(|organization| organization.settings.token_access),
            authority: grant.authority.map_or(Authority::Public, |id| Authority::Token(standing_of(id))),
            session_ended: owner.is_some_and(|owner| access.is_ended(owner, grant.video, grant.session)),
            asset_key_is_there: grant.asset_key.as_ref().is_none_or(|id| access.has_asset_key(id)),
        }
    }

    /// Until when a renewal keeps older URLs of a grant's session alive, if what the session stands on now still does.
    pub fn prolonged_until(&self, grant: &Grant, now: Timestamp) -> Option<Timestamp> {
        let access = self.store.access();
        let owner = access.video(grant.video)?.organization;
        let live = self.sessions.find(owner, grant.video, grant.session)?;
        // What a clock that was ahead has promised is not kept.
        let longest_s = i64::from(access.organization(owner)?.settings.asset_url_ttl_s);
        if is_ahead(live.live_until, now.plus_secs(longest_s)) {
            return None;
        }
        let is_active = |id| access.signing_key(id).is_some_and(|key| key.revoked_at.is_none());
        (live.epoch == grant.epoch && live.authority.is_none_or(is_active)).then_some(live.live_until)
    }

    /// An organization's record.
    pub fn organization(&self, id: OrganizationId) -> Option<Arc<Organization>> {
        self.store.access().organization(id).cloned()
    }

    /// A video of one organization, as private as its bytes are at this moment.
    pub async fn video_of(&self, organization: OrganizationId, id: VideoId) -> Result<Option<Video>, IndexError> {
        let found = self.store.find::<Video>(id.0).await?.filter(|video| video.organization == organization);
        // Memory decides: it is filled from the journal, and changes before the rows do.
        Ok(found.and_then(|video| {
            let access = self.store.access().video(id)?;
            Some(Video { visibility: access.visibility, epoch: access.epoch, ..video })
        }))
    }

    /// Remembers that a signing key opened a video.
    pub fn note_use(&self, id: SigningKeyId, now: Timestamp) {
        self.last_used.lock().unwrap_or_else(PoisonError::into_inner).insert(id, now);
    }

    /// When a signing key last opened a video, written down or not.
    pub fn last_used(&self, key: &SigningKey) -> Option<Timestamp> {
        let noted = self.last_used.lock().unwrap_or_else(PoisonError::into_inner).get(&key.id).copied();
        noted.or(key.last_used_at)
    }

    /// Writes down when keys were last used, and forgets ended sessions whose grants have died of age.
    pub async fn housekeeping(&self) {
        let now = self.now();
        self.sessions.sweep(now);
        self.forget_old_asset_keys(now).await;
        self.forget_old_sign_ins(now).await;
        let used = std::mem::take(&mut *self.last_used.lock().unwrap_or_else(PoisonError::into_inner));
        let used: Vec<(SigningKeyId, Timestamp)> = used.into_iter().collect();
        for chunk in used.chunks(limits::RECORDS_PER_COMMIT) {
            let noted = chunk.to_vec();
            let written = self.store.write(now, move |draft| {
                for (id, at) in noted {
                    if let Some(mut key) = draft.find::<SigningKey>(id.0) {
                        key.last_used_at = Some(at);
                        draft.put(&key);
                    }
                }
                Ok::<_, WriteError>(())
            });
            if let Err(error) = written.await {
                tracing::warn!(%error, "the last use of signing keys was not written down; it is tried again in a minute");
                let mut used = self.last_used.lock().unwrap_or_else(PoisonError::into_inner);
                for (id, at) in chunk {
                    used.entry(*id).or_insert(*at);
                }
            }
        }
        let past: Vec<_> = {
            let access = self.store.access();
            let past = access.ended_sessions().filter(|ended| ended.forget_at <= now).map(|ended| ended.id);
            let enough = Duration::from_secs(limits::FORGET_AFTER_S);
            let over = self.overdue.confirmed(past, Instant::now(), enough);
            access
                .ended_sessions()
                .filter(|ended| over.contains(&ended.id))
                .take(limits::RECORDS_PER_COMMIT)
                .cloned()
                .collect()
        };
        if !past.is_empty() {
            let forgotten = self.store.write_urgent(now, move |draft| {
                past.iter().for_each(|ended| draft.remove(ended));
                Ok::<_, WriteError>(())
            });
            if let Err(error) = forgotten.await {
                tracing::warn!(%error, "ended sessions were not forgotten");
            }
        }
    }
}

/// The catalog in `state`, and the disk below it.
fn open_catalog(config: &Config, state: &StateDir) -> Result<(Catalog, Arc<Disk>), JournalError> {
    let disk = Arc::new(Disk::new(state.path(), watermarks(config)));
    let (cache_bytes, limit_s) = (config.state.index_cache_mib << 20, config.state.index_open_timeout_s);
    let store = Catalog::open(state.path(), cache_bytes, Duration::from_secs(limit_s), Arc::clone(&disk))?;
    Ok((store, disk))
}

fn watermarks(config: &Config) -> Watermarks {
    Watermarks {
        warn_percent: config.disk.warn_percent,
        uploads_percent: config.disk.uploads_percent,
        changes_percent: config.disk.changes_percent,
        min_free_bytes: config.media.min_free_mib << 20,
        reserve_bytes: config.disk.reserve_mib << 20,
    }
}

/// A viewer token for whoever looks after a video.
pub struct PreviewToken {
    /// The JWT.
    pub text: String,
    /// The key it is signed with.
    pub key: SigningKeyId,
    /// Its `exp`.
    pub expires_at: Timestamp,
}

impl App {
    /// A viewer token for a video, signed with the organization's newest key; `None` where no key is active.
    pub fn preview_token(&self, organization: OrganizationId, video: VideoId) -> Option<PreviewToken> {
        let (key, lifetime_s) = {
            let access = self.store.access();
            let mine = access.signing_keys().filter(|key| key.organization == organization && key.revoked_at.is_none());
            let key = Arc::clone(mine.max_by_key(|key| key.created_at)?);
            (key, access.organization(organization)?.settings.max_token_lifetime_s.min(limits::PREVIEW_TOKEN_S))
        };
        let secret = self.master.open(&key.id.to_string(), &key.secret).ok()?;
        let (issued_at, lifetime_s) = (self.now(), i64::from(lifetime_s));
        let text = mint_token(key.id, secret.expose(), video, issued_at.secs(), lifetime_s)?;
        Some(PreviewToken { text, key: key.id, expires_at: Timestamp::from_secs(issued_at.secs() + lifetime_s) })
    }
}

/// The audit log's name for a record.
pub fn subject(kind: Kind, id: uuid::Uuid) -> crate::domain::Subject {
    crate::domain::Subject { kind, id }
}
