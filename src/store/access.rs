//! What decides access, in memory: organizations' settings, keys, visibility, epochs, file ids. Written through by the
//! one writer after the journal, filled from the journal at start. Asset requests touch nothing else.

use super::op::{Op, Place, Row};
use crate::domain::{
    AssetKey, AssetKeyId, AuditEntry, Embed, EndedSession, Kind, Making, Mandate, MediaFile, MediaFileId, Organization,
    OrganizationId, Playable, PrivateKey, PrivateKeyId, PublishableKey, PublishableKeyId, Record, Reference,
    SecretHash, SessionId, SignIn, SignInId, SigningKey, SigningKeyId, Timestamp, Upload, Video, VideoId, Visibility,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

/// What is counted of one organization's records.
#[derive(Clone)]
pub struct Tally {
    /// Private keys that are not revoked.
    pub private_keys: Vec<PrivateKeyId>,
    /// Records of publishable and private keys, revoked ones included.
    pub api_keys: usize,
    /// Records of signing keys, revoked ones included.
    pub signing_keys: usize,
    /// Number and hash of the last entry of its audit log.
    pub audit_head: (u64, String),
    /// What its files take.
    pub usage: Usage,
}

/// What an organization's files take, now and when its open uploads are whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of its media files.
    pub stored_bytes: u64,
    /// Announced bytes of its open uploads.
    pub announced_bytes: u64,
    /// How many uploads are open.
    pub open_uploads: usize,
}

impl Usage {
    fn of_file(file: &MediaFile) -> Self {
        Self { stored_bytes: file.size_bytes, ..Self::default() }
    }

    fn of_upload(upload: &Upload) -> Self {
        if upload.is_open() {
            Self { announced_bytes: upload.length_bytes, open_uploads: 1, ..Self::default() }
        } else {
            Self::default()
        }
    }

    /// Everything together, in bytes.
    pub fn total_bytes(self) -> u64 {
        self.stored_bytes.saturating_add(self.announced_bytes)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            stored_bytes: self.stored_bytes.saturating_add(other.stored_bytes),
            announced_bytes: self.announced_bytes.saturating_add(other.announced_bytes),
            open_uploads: self.open_uploads + other.open_uploads,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            stored_bytes: self.stored_bytes.saturating_sub(other.stored_bytes),
            announced_bytes: self.announced_bytes.saturating_sub(other.announced_bytes),
            open_uploads: self.open_uploads.saturating_sub(other.open_uploads),
        }
    }
}

/// What is known of one video.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoAccess {
    /// Its owner.
    pub organization: OrganizationId,
    /// Who may watch it.
    pub visibility: Visibility,
    /// Its access epoch.
    pub epoch: u32,
    /// Everything that a grant for it opens.
    pub playable: Arc<Playable>,
}

/// What is to be made of a video's source next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmade {
    /// The source's file.
    pub source: MediaFileId,
    /// When that was stored: who waits longest is next.
    pub since: Timestamp,
    /// What it is.
    pub making: Making,
}

/// What is known of a media file without its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaFacts {
    /// Its owner.
    pub organization: OrganizationId,
    /// The video it belongs to.
    pub video: VideoId,
    /// Its length as it was stored, in bytes.
    pub size_bytes: u64,
}

/// All of it.
#[derive(Clone, Default)]
pub struct Access {
    organizations: HashMap<OrganizationId, Arc<Organization>>,
    tallies: HashMap<OrganizationId, Tally>,
    videos: HashMap<VideoId, VideoAccess>,
    unpackaged: HashSet<VideoId>,
    unmade: HashMap<VideoId, Unmade>,
    signing_keys: HashMap<SigningKeyId, Arc<SigningKey>>,
    publishable_keys: HashMap<SecretHash, Arc<PublishableKey>>,
    publishable_keys_of: HashMap<OrganizationId, HashMap<PublishableKeyId, Arc<PublishableKey>>>,
    private_keys: HashMap<SecretHash, Arc<PrivateKey>>,
    private_hashes: HashMap<PrivateKeyId, SecretHash>,
    asset_keys: BTreeMap<AssetKeyId, AssetKey>,
    ended_sessions: HashMap<(Uuid, SessionId), EndedSession>,
    ended_by_id: HashMap<Uuid, (Uuid, SessionId)>,
    sign_ins: HashMap<SecretHash, Arc<SignIn>>,
    sign_in_hashes: HashMap<SignInId, SecretHash>,
    media_files: HashMap<MediaFileId, MediaFacts>,
    removed_media: HashSet<MediaFileId>,
    uploads: HashMap<MediaFileId, Arc<Upload>>,
}

/// Hash that the first entry of an audit log follows.
pub(super) const NO_AUDIT: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl Default for Tally {
    fn default() -> Self {
        Self {
            private_keys: Vec::new(),
            api_keys: 0,
            signing_keys: 0,
            audit_head: (0, NO_AUDIT.to_owned()),
            usage: Usage::default(),
        }
    }
}

impl Access {
    /// An organization.
    pub fn organization(&self, id: OrganizationId) -> Option<&Arc<Organization>> {
        self.organizations.get(&id)
    }

    /// Every organization.
    pub fn organizations(&self) -> impl Iterator<Item = &Arc<Organization>> {
        self.organizations.values()
    }

    /// What is counted of an organization's records.
    pub fn tally(&self, id: OrganizationId) -> Tally {
        self.tallies.get(&id).cloned().unwrap_or_default()
    }

    /// A video.
    pub fn video(&self, id: VideoId) -> Option<VideoAccess> {
        self.videos.get(&id).cloned()
    }

    /// Videos of an organization that are of this class.
    pub fn videos_of(&self, organization: OrganizationId, visibility: Visibility) -> impl Iterator<Item = VideoId> {
        let is_wanted = move |video: &VideoAccess| video.organization == organization && video.visibility == visibility;
        self.videos.iter().filter(move |(_, video)| is_wanted(video)).map(|(id, _)| *id)
    }

    /// Videos of which something is yet to be packaged.
    pub fn unpackaged(&self) -> impl Iterator<Item = VideoId> {
        self.unpackaged.iter().copied()
    }

    /// What is to be made of a video's source next.
    pub fn unmade(&self, id: VideoId) -> Option<&Unmade> {
        self.unmade.get(&id)
    }

    /// The video, of those that may be `picked`, that something is to be made of next: pictures first, then who waits
    /// longest.
    pub fn next_unmade(&self, picked: impl Fn(VideoId) -> bool) -> Option<(VideoId, &Unmade)> {
        let open = self.unmade.iter().filter(|(id, _)| picked(**id));
        let next = open.min_by_key(|(id, unmade)| (unmade.making.is_quality(), unmade.since, id.0));
        next.map(|(id, unmade)| (*id, unmade))
    }

    /// Whether something of a video is yet to be packaged.
    pub fn is_unpackaged(&self, id: VideoId) -> bool {
        self.unpackaged.contains(&id)
    }

    /// A signing key of any organization, revoked or not.
    pub fn signing_key(&self, id: SigningKeyId) -> Option<&Arc<SigningKey>> {
        self.signing_keys.get(&id)
    }

    /// Every signing key.
    pub fn signing_keys(&self) -> impl Iterator<Item = &Arc<SigningKey>> {
        self.signing_keys.values()
    }

    /// The publishable key with this hash, revoked or not.
    pub fn publishable_key(&self, hash: &SecretHash) -> Option<&Arc<PublishableKey>> {
        self.publishable_keys.get(hash)
    }

    /// An organization's publishable keys, revoked or not.
    pub fn publishable_keys_of(&self, organization: OrganizationId) -> impl Iterator<Item = &Arc<PublishableKey>> {
        self.publishable_keys_of.get(&organization).into_iter().flat_map(HashMap::values)
    }

    /// The private key with this hash, if it may still be used.
    pub fn private_key(&self, hash: &SecretHash) -> Option<&Arc<PrivateKey>> {
        self.private_keys.get(hash).filter(|key| key.revoked_at.is_none())
    }

    /// Whether this private key may still be used.
    pub fn is_active(&self, id: PrivateKeyId) -> bool {
        self.private_hashes.get(&id).is_some_and(|hash| self.private_key(hash).is_some())
    }

    /// Whether whoever was given a mandate may still use it.
    pub fn holds(&self, mandate: &Mandate) -> bool {
        match mandate {
            Mandate::Key { id, sign_in } => {
                self.is_active(*id) && sign_in.is_none_or(|id| self.sign_in_hashes.contains_key(&id))
            }
            Mandate::Given(_) => true,
        }
    }

    /// Every private key.
    pub fn private_keys(&self) -> impl Iterator<Item = &Arc<PrivateKey>> {
        self.private_keys.values()
    }

    /// Every asset key.
    pub fn asset_keys(&self) -> impl Iterator<Item = &AssetKey> {
        self.asset_keys.values()
    }

    /// Whether a grant was signed by a key that is still there.
    pub fn has_asset_key(&self, short_id: &str) -> bool {
        u32::from_str_radix(short_id, 16).is_ok_and(|id| self.asset_keys.keys().any(|key| key.0.as_fields().0 == id))
    }

    /// Whether an operator ended this session, for this video of theirs or for all.
    pub fn is_ended(&self, organization: OrganizationId, video: VideoId, session: SessionId) -> bool {
        [video.0, organization.0].into_iter().any(|scope| self.ended_sessions.contains_key(&(scope, session)))
    }

    /// Sessions that were ended.
    pub fn ended_sessions(&self) -> impl Iterator<Item = &EndedSession> {
        self.ended_sessions.values()
    }

    /// The sign-in whose cookie has this hash, over or not.
    pub fn sign_in(&self, hash: &SecretHash) -> Option<&Arc<SignIn>> {
        self.sign_ins.get(hash)
    }

    /// Every sign-in.
    pub fn sign_ins(&self) -> impl Iterator<Item = &Arc<SignIn>> {
        self.sign_ins.values()
    }

    /// A media file that a record names.
    pub fn media_file(&self, id: MediaFileId) -> Option<MediaFacts> {
        self.media_files.get(&id).copied()
    }

    /// Every media file that a record names.
    pub fn media_files(&self) -> impl Iterator<Item = MediaFileId> {
        self.media_files.keys().copied()
    }

    /// The first `limit` of them behind `after`, in the order of their ids.
    pub fn media_files_after(&self, after: Option<MediaFileId>, limit: usize) -> Vec<MediaFileId> {
        let mut next: Vec<_> = self.media_files().filter(|id| after.is_none_or(|after| *id > after)).collect();
        if next.len() > limit {
            next.select_nth_unstable(limit);
            next.truncate(limit);
        }
        next.sort_unstable();
        next
    }

    /// Media files whose records were removed since the journal was last compacted.
    pub fn removed_media(&self) -> &HashSet<MediaFileId> {
        &self.removed_media
    }

    /// An upload, open or received.
    pub fn upload(&self, id: MediaFileId) -> Option<&Arc<Upload>> {
        self.uploads.get(&id)
    }

    /// Every upload, open or received.
    pub fn uploads(&self) -> impl Iterator<Item = &Arc<Upload>> {
        self.uploads.values()
    }

    /// What an organization's files take.
    pub fn usage(&self, id: OrganizationId) -> Usage {
        self.tallies.get(&id).map(|tally| tally.usage).unwrap_or_default()
    }

    /// What an organization's files take when these records are changed, `None` being removed.
    pub(super) fn usage_with<'a>(
        &self,
        organization: OrganizationId,
        changed: impl Iterator<Item = (&'a (Kind, Uuid), &'a Option<Row>)>,
    ) -> Usage {
        changed.fold(self.usage(organization), |usage, ((kind, key), row)| {
            let id = MediaFileId(*key);
            let (was, is) = match kind {
                Kind::MediaFile => {
                    let was = self.media_files.get(&id).filter(|file| file.organization == organization);
                    let was = was.map(|file| Usage { stored_bytes: file.size_bytes, ..Usage::default() });
                    let is = row.as_ref().and_then(|row| row.read::<MediaFile>().ok());
                    (was, is.filter(|file| file.organization == organization).map(|file| Usage::of_file(&file)))
                }
                Kind::Upload => {
                    let was = self.uploads.get(&id).filter(|upload| upload.organization == organization);
                    let is = row.as_ref().and_then(|row| row.read::<Upload>().ok());
                    let is = is.filter(|upload| upload.organization == organization);
                    (was.map(|upload| Usage::of_upload(upload)), is.map(|upload| Usage::of_upload(&upload)))
                }
                _ => (None, None),
            };
            usage.minus(was.unwrap_or_default()).plus(is.unwrap_or_default())
        })
    }

    /// Applies one operation, and answers where its record stands in lists from now on.
    pub(super) fn apply(&mut self, op: &Op) -> Result<Option<Place>, serde_json::Error> {
        match op {
            Op::Put { kind, row, .. } => self.put(*kind, row).map(Some),
            Op::Remove { kind, key } => {
                self.remove(*kind, *key);
                Ok(None)
            }
        }
    }

    fn put(&mut self, kind: Kind, row: &Row) -> Result<Place, serde_json::Error> {
        fn read<R: Record>(row: &Row) -> Result<(R, Place), serde_json::Error> {
            row.read().map(|record| {
                let place = Place::of(&record);
                (record, place)
            })
        }
        let place = match kind {
            Kind::Organization => {
                let (organization, place) = read::<Organization>(row)?;
                self.organizations.insert(organization.id, Arc::new(organization));
                place
            }
            Kind::Video => {
                let (video, place) = read::<Video>(row)?;
                let access = VideoAccess {
                    organization: video.organization,
                    visibility: video.visibility,
                    epoch: video.epoch,
                    playable: Arc::new(video.playable()),
                };
                if video.awaits_packaging().next().is_some() {
                    self.unpackaged.insert(video.id);
                } else {
                    self.unpackaged.remove(&video.id);
                }
                match (&video.source, video.to_make().into_iter().next()) {
                    (Some(source), Some(making)) => {
                        let unmade = Unmade { source: source.file, since: source.stored_at, making };
                        self.unmade.insert(video.id, unmade);
                    }
                    _ => drop(self.unmade.remove(&video.id)),
                }
                self.videos.insert(video.id, access);
                place
            }
            Kind::SigningKey => {
                let (key, place) = read::<SigningKey>(row)?;
                let owner = key.organization;
                if self.signing_keys.insert(key.id, Arc::new(key)).is_none() {
                    self.count(owner, |known| known.signing_keys += 1);
                }
                place
            }
            Kind::PublishableKey => {
                let (key, place) = read::<PublishableKey>(row)?;
                let key = Arc::new(key);
                let others = self.publishable_keys_of.entry(key.organization).or_default();
                if others.insert(key.id, Arc::clone(&key)).is_none() {
                    self.count(key.organization, |known| known.api_keys += 1);
                }
                self.publishable_keys.insert(key.hash.clone(), key);
                place
            }
            Kind::PrivateKey => {
                let (key, place) = read::<PrivateKey>(row)?;
                let is_new = self.private_hashes.insert(key.id, key.hash.clone()).is_none();
                self.count(key.organization, |known| {
                    known.api_keys += usize::from(is_new);
                    known.private_keys.retain(|other| *other != key.id);
                    if key.revoked_at.is_none() {
                        known.private_keys.push(key.id);
                    }
                });
                self.private_keys.insert(key.hash.clone(), Arc::new(key));
                place
            }
            Kind::AssetKey => {
                let (key, place) = read::<AssetKey>(row)?;
                self.asset_keys.insert(key.id, key);
                place
            }
            Kind::EndedSession => {
                let (ended, place) = read::<EndedSession>(row)?;
                self.ended_by_id.insert(ended.id, (ended.scope(), ended.session));
                self.ended_sessions.insert((ended.scope(), ended.session), ended);
                place
            }
            Kind::SignIn => {
                let (sign_in, place) = read::<SignIn>(row)?;
                self.sign_in_hashes.insert(sign_in.id, sign_in.hash.clone());
                self.sign_ins.insert(sign_in.hash.clone(), Arc::new(sign_in));
                place
            }
            Kind::Audit => {
                let (entry, place) = read::<AuditEntry>(row)?;
                self.count(entry.organization, |known| {
                    if entry.number > known.audit_head.0 {
                        known.audit_head = (entry.number, entry.hash.clone());
                    }
                });
                place
            }
            Kind::MediaFile => {
                let (file, place) = read::<MediaFile>(row)?;
                self.uncount_media(file.id);
                self.count(file.organization, |known| known.usage = known.usage.plus(Usage::of_file(&file)));
                let (organization, video, size_bytes) = (file.organization, file.video, file.size_bytes);
                self.media_files.insert(file.id, MediaFacts { organization, video, size_bytes });
                place
            }
            Kind::Upload => {
                let (upload, place) = read::<Upload>(row)?;
                self.uncount_upload(upload.id);
                self.count(upload.organization, |known| known.usage = known.usage.plus(Usage::of_upload(&upload)));
                self.uploads.insert(upload.id, Arc::new(upload));
                place
            }
            Kind::Embed => read::<Embed>(row)?.1,
            Kind::Reference => read::<Reference>(row)?.1,
        };
        Ok(place)
    }

    /// Kept apart from the organizations: a compacted journal may name a key before its owner.
    fn count(&mut self, organization: OrganizationId, change: impl FnOnce(&mut Tally)) {
        change(self.tallies.entry(organization).or_default());
    }

    fn uncount_media(&mut self, id: MediaFileId) {
        if let Some(file) = self.media_files.remove(&id) {
            let gone = Usage { stored_bytes: file.size_bytes, ..Usage::default() };
            self.count(file.organization, |known| known.usage = known.usage.minus(gone));
        }
    }

    fn uncount_upload(&mut self, id: MediaFileId) {
        if let Some(upload) = self.uploads.remove(&id) {
            self.count(upload.organization, |known| known.usage = known.usage.minus(Usage::of_upload(&upload)));
        }
    }

    /// Keys and organizations are never removed: a revoked one stays, so that it is known to be revoked.
    fn remove(&mut self, kind: Kind, key: Uuid) {
        match kind {
            Kind::Video => {
                self.videos.remove(&VideoId(key));
                self.unpackaged.remove(&VideoId(key));
                self.unmade.remove(&VideoId(key));
            }
            Kind::AssetKey => {
                self.asset_keys.remove(&AssetKeyId(key));
            }
            Kind::EndedSession => {
                if let Some(session) = self.ended_by_id.remove(&key) {
                    self.ended_sessions.remove(&session);
                }
            }
            Kind::SignIn => {
                if let Some(hash) = self.sign_in_hashes.remove(&SignInId(key)) {
                    self.sign_ins.remove(&hash);
                }
            }
            Kind::MediaFile => {
                self.uncount_media(MediaFileId(key));
                self.removed_media.insert(MediaFileId(key));
            }
            Kind::Upload => self.uncount_upload(MediaFileId(key)),
            Kind::Organization
            | Kind::SigningKey
            | Kind::PublishableKey
            | Kind::PrivateKey
            | Kind::Embed
            | Kind::Reference
            | Kind::Audit => {}
        }
    }
}
