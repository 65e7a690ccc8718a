//! Packaging in the background: from a stored source to the rendition that is played. One job a video, two at a time, the
//! organizations in turn; what a stop or a crash interrupted begins anew at the next start.

mod places;

use super::media_files::Arrival;
use super::{App, IngestError};
use crate::domain::{
    Actor, MediaFileId, MediaKind, MediaSummary, OrganizationId, PACKAGER_VERSION, Rendition, RenditionOrigin, Track,
    Unpackaged, Video, VideoId, VideoStatus,
};
use crate::media::{Package, Unplayable, keyframe_bits_per_s};
use crate::store::{IndexError, MediaError, Received, StoredMedia, WriteError};
use futures_util::FutureExt;
use places::{Place, Places, Urgency};
use std::collections::{HashMap, HashSet};
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has not.
    UnderWay,
    /// The video plays.
    Ready,
    /// This source can't be played; the sentence is for the uploader.
    Unplayable(MediaFileId, String),
    /// Something that may be better later, such as a full disk. The source is kept; the job will be tried again.
    Postponed,
}

impl Outcome {
    /// Whether the job has ended.
    pub fn is_known(&self) -> bool {
        *self != Self::UnderWay
    }
}

/// The jobs under way, and what is not tried again.
#[derive(Default)]
pub struct Packaging {
    jobs: Mutex<HashMap<VideoId, Arc<Job>>>,
    places: Arc<Places>,
    /// What plays as a former packager left it, and this one refuses. The next start tries it again.
    refused: Mutex<HashSet<MediaFileId>>,
    /// Whether the server stops.
    stopped: AtomicBool,
}

/// One job.
struct Job {
    written_bytes: AtomicU64,
    /// 0 while it is not known.
    total_bytes: AtomicU64,
    cancelled: AtomicBool,
    outcome: watch::Sender<Outcome>,
}

/// A packaged rendition, received and not yet kept.
pub(super) struct PackagedFiles {
    file: Received,
    pub(super) index: Received,
    pub(super) rendition: Rendition,
    /// The tracks of what was packaged.
    tracks: Vec<Track>,
}

impl PackagedFiles {
    pub(super) async fn discard(self) {
        self.file.discard().await;
        self.index.discard().await;
    }

    pub(super) fn into_parts(self) -> (Vec<(Received, MediaKind)>, Rendition) {
        (vec![(self.file, MediaKind::Rendition), (self.index, MediaKind::Rendition)], self.rendition)
    }
}

impl App {
    /// Begins to package what a video awaits, unless that is under way. The receiver tells how it ends.
    pub fn package_soon(self: &Arc<Self>, video: VideoId) -> watch::Receiver<Outcome> {
        let mut jobs = self.packaging.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(job) = jobs.get(&video) {
            return job.outcome.subscribe();
        }
        let job = Arc::new(Job {
            written_bytes: AtomicU64::new(0),
            total_bytes: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
            outcome: watch::Sender::new(Outcome::UnderWay),
        });
        jobs.insert(video, Arc::clone(&job));
        let receiver = job.outcome.subscribe();
        let app = Arc::clone(self);
        tokio::spawn(async move {
            // Its runtime panics where the system gives no thread. A job that stayed behind would be tried no more.
            let ended = AssertUnwindSafe(app.run_packaging(video, &job)).catch_unwind().await;
            let outcome = ended.unwrap_or_else(|_| {
                tracing::error!(%video, "packaging panicked; it is tried again in a minute");
                Outcome::Postponed
            });
            app.packaging.jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&video);
            // An upload that came while this ended found the job still there.
            let is_over = outcome == Outcome::Postponed || !app.store.access().is_unpackaged(video);
            job.outcome.send_replace(outcome);
            if !is_over {
                app.package_soon(video);
            }
        });
        receiver
    }

    /// Begins whatever is not packaged and not under way: at start, and now and then for what was postponed.
    pub fn package_all(self: &Arc<Self>) {
        let unpackaged: Vec<VideoId> = self.store.access().unpackaged().collect();
        for video in unpackaged {
            self.package_soon(video);
        }
    }

    /// How much of a video's packaging is done, from 0 to 1; `None` where none is under way.
    pub fn packaging_progress(&self, video: VideoId) -> Option<f64> {
        let jobs = self.packaging.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let job = jobs.get(&video)?;
        let (written, total) = (job.written_bytes.load(Ordering::Relaxed), job.total_bytes.load(Ordering::Relaxed));
        // In thousandths: nobody reads more, and they convert exactly.
        let thousandths = written.saturating_mul(1000).checked_div(total).unwrap_or(0).min(1000);
        Some(f64::from(u16::try_from(thousandths).unwrap_or(1000)) / 1000.0)
    }

    /// Ends the packaging of a video that is being deleted.
    pub fn cancel_packaging(&self, video: VideoId) {
        if let Some(job) = self.packaging.jobs.lock().unwrap_or_else(PoisonError::into_inner).get(&video) {
            job.cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// Ends all packaging, for a stop; it begins anew at the next start.
    pub fn stop_packaging(&self) {
        self.packaging.stopped.store(true, Ordering::Relaxed);
        for job in self.packaging.jobs.lock().unwrap_or_else(PoisonError::into_inner).values() {
            job.cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// A place for a film of `organization` whose sender waits, when it is its turn.
    pub(super) async fn awaited_place(&self, organization: OrganizationId) -> Place {
        self.packaging.places.take(organization, Urgency::Awaited).await
    }

    /// Whether what is being packaged is to go on.
    pub(super) fn may_package(&self) -> bool {
        !self.packaging.stopped.load(Ordering::Relaxed)
    }

    async fn run_packaging(self: &Arc<Self>, id: VideoId, job: &Arc<Job>) -> Outcome {
        loop {
            let found = self.store.find::<Video>(id.0).await.ok().flatten();
            let Some(video) = found else { return Outcome::Postponed };
            let Some(next) = self.next_to_package(&video) else {
                let is_done = video.awaits_packaging().next().is_none();
                return if is_done { Outcome::Ready } else { Outcome::Postponed };
            };
            let kept = match self.package_file(next, video.organization, job).await {
                Ok(packaged) => match next {
                    Unpackaged::Source(source) => self.keep_packaged(id, source.clone(), packaged).await,
                    Unpackaged::Rendition(old) => self.keep_packaged_anew(id, old.file, packaged).await,
                },
                Err(error) => Err(error),
            };
            // What does not fit now fits no better in a minute.
            let kept = kept.map_err(|error| match error {
                IngestError::Write(error @ WriteError::Index(IndexError::TooLong(_))) => IngestError::Unplayable(
                    format!("it does not fit beside the video's captions and qualities: {error}"),
                ),
                error => error,
            });
            match kept {
                // Another source or quality may have come meanwhile.
                Ok(()) | Err(IngestError::SourceChanged) => {}
                Err(IngestError::Unplayable(reason)) => {
                    let file = next.file();
                    if video.next_source.is_some() {
                        match self.note_unplayable(Actor::Server.into(), id, Some(file), reason.clone()).await {
                            Ok(()) => return Outcome::Unplayable(file, reason),
                            Err(IngestError::SourceChanged) => {}
                            Err(error) => {
                                tracing::warn!(video = %id, %error, reason, "that a source can't be played was not noted");
                                return Outcome::Postponed;
                            }
                        }
                    } else {
                        tracing::warn!(video = %id, %file, reason, "this can't be packaged anew; it plays as before");
                        self.packaging.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(file);
                    }
                }
                Err(IngestError::VideoGone) => return Outcome::Postponed,
                Err(_) if !self.may_package() || job.cancelled.load(Ordering::Relaxed) => return Outcome::Postponed,
                // It was replaced while it waited for its turn, and its file went.
                Err(_) if !self.awaits(id, next.file()).await => {}
                Err(error) => {
                    tracing::warn!(video = %id, %error, "packaging was put off; it is tried again in a minute");
                    return Outcome::Postponed;
                }
            }
        }
    }

    /// Whether a video's record still names this file as one that is to be packaged, as far as it can be read.
    async fn awaits(&self, id: VideoId, file: MediaFileId) -> bool {
        let found: Result<Option<Video>, _> = self.store.find(id.0).await;
        !matches!(found, Ok(Some(video)) if video.awaits_packaging().all(|one| one.file() != file))
    }

    /// What of a video is packaged next: what was refused is passed over.
    fn next_to_package<'a>(&self, video: &'a Video) -> Option<Unpackaged<'a>> {
        let refused = self.packaging.refused.lock().unwrap_or_else(PoisonError::into_inner);
        video.awaits_packaging().find(|one| !refused.contains(&one.file()))
    }

    async fn package_file(
        self: &Arc<Self>,
        what: Unpackaged<'_>,
        organization: OrganizationId,
        job: &Arc<Job>,
    ) -> Result<PackagedFiles, IngestError> {
        let place = self.packaging.places.take(organization, Urgency::Behind).await;
        let media = self.open_media(what.file()).map_err(|unserved| MediaError::Io(io::Error::other(unserved)))?;
        let (app, job) = (Arc::clone(self), Arc::clone(job));
        let (label, origin) = match what {
            Unpackaged::Source(source) => (source.label(), RenditionOrigin::Source),
            Unpackaged::Rendition(old) => (old.label.clone(), old.origin),
        };
        let work = move || {
            // Held as long as the thread works, whoever waits for it.
            let _place = place;
            app.package_now(&media, label, origin, |written, total| {
                job.written_bytes.store(written, Ordering::Relaxed);
                job.total_bytes.store(total, Ordering::Relaxed);
                app.may_package() && !job.cancelled.load(Ordering::Relaxed)
            })
        };
        let packaged = tokio::task::spawn_blocking(work).await;
        packaged.map_err(|error| MediaError::Io(io::Error::other(error)))?
    }

    /// Packages `media` on this thread, telling `progress` the bytes written and their total; it answers whether to go on.
    pub(super) fn package_now(
        &self,
        media: &StoredMedia,
        label: String,
        origin: RenditionOrigin,
        progress: impl Fn(u64, u64) -> bool,
    ) -> Result<PackagedFiles, IngestError> {
        let package = Package::plan(media, self.config.media.segment_s)?;
        let total = package.size_bytes();
        self.disk.check_room(total)?;
        let mut file = self.media.create(MediaFileId::from_random(self.random()))?;
        let mut written = 0_u64;
        let outcome = package.write(media, &mut |bytes: &[u8]| {
            written += bytes.len() as u64;
            if !progress(written, total) {
                return Err(io::Error::other("cancelled"));
            }
            file.write_now(bytes)
        });
        if let Err(error) = outcome {
            file.discard_now();
            return Err(Unplayable::Read(error).into());
        }
        let mut index = self.media.create(MediaFileId::from_random(self.random()))?;
        index.write_now(&package.index().encode()).map_err(MediaError::from)?;
        let (file, index) =
            (file.finish_now().map_err(MediaError::from)?, index.finish_now().map_err(MediaError::from)?);
        let facts = package.facts();
        let rendition = Rendition {
            file: file.id(),
            index: index.id(),
            stored_at: self.now(),
            label,
            origin,
            packager: PACKAGER_VERSION,
            size_bytes: file.size_bytes(),
            duration_ms: facts.duration_ms,
            peak_bits_per_s: facts.peak_bits_per_s,
            average_bits_per_s: facts.average_bits_per_s,
            keyframe_bits_per_s: keyframe_bits_per_s(package.index()),
            independent_segments: package.index().is_independent(),
            longest_segment_ms: facts.longest_segment_ms,
            video: facts.video.clone(),
            audio: facts.audio.clone(),
        };
        Ok(PackagedFiles { file, index, rendition, tracks: facts.tracks.clone() })
    }

    async fn keep_packaged(
        &self,
        id: VideoId,
        source: MediaSummary,
        mut packaged: PackagedFiles,
    ) -> Result<(), IngestError> {
        let tracks = std::mem::take(&mut packaged.tracks);
        let (files, rendition) = packaged.into_parts();
        // What is played says how long it is, and the packager which tracks that is.
        let source = MediaSummary { duration_ms: rendition.duration_ms, tracks, ..source };
        self.keep_files(Actor::Server.into(), id, "video.packaged", files, Arrival::Made, move |video| {
            let is_next = video.next_source.as_ref().is_some_and(|next| next.file == source.file);
            let is_current = video.source.as_ref().is_some_and(|current| current.file == source.file);
            if !is_next && !is_current {
                return Err(IngestError::SourceChanged);
            }
            // Qualities of another source are of another film; those of this one stay when it is packaged anew.
            let (replaced, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut video.renditions)
                .into_iter()
                .partition(|old| is_next || old.origin == RenditionOrigin::Source);
            let mut replaced: Vec<MediaFileId> = replaced.iter().flat_map(Rendition::files).collect();
            video.renditions = stay;
            video.add_rendition(rendition);
            if is_next {
                video.next_source = None;
                replaced.extend(video.source.take().map(|old| old.file));
                replaced.extend(video.poster.take_if(|poster| poster.is_made).map(|old| old.file));
                replaced.extend(video.storyboard.take().iter().flat_map(|old| old.files().collect::<Vec<_>>()));
            }
            video.source = Some(source);
            video.status = VideoStatus::Ready;
            video.status_detail = None;
            Ok(replaced)
        })
        .await
        .map(drop)
    }

    /// Puts a quality that was packaged anew in the place of what it was made of.
    async fn keep_packaged_anew(
        &self,
        id: VideoId,
        old: MediaFileId,
        packaged: PackagedFiles,
    ) -> Result<(), IngestError> {
        let (files, rendition) = packaged.into_parts();
        self.keep_files(Actor::Server.into(), id, "video.packaged", files, Arrival::Made, move |video| {
            let at = video.renditions.iter().position(|one| one.file == old).ok_or(IngestError::SourceChanged)?;
            let replaced = video.renditions.remove(at);
            video.add_rendition(rendition);
            Ok(replaced.files().to_vec())
        })
        .await
        .map(drop)
    }
}
