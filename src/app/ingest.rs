//! From received bytes to a video that plays: read the source, keep the file, commit the row. File first, row second.

use super::{App, subject};
use crate::domain::{
    Actor, AuditEvent, Captions, Kind, MediaFile, MediaFileId, MediaKind, MediaSummary, PictureFormat, Poster, Video,
    VideoId, VideoStatus, limits,
};
use crate::media::{ReadAt, SourceFacts, Unplayable, read_source};
use crate::store::{MediaError, Received, StoredMedia, WriteError};
use serde_json::json;

/// Why an upload did not become a video that plays.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The source can't be played; the sentence is for the uploader.
    #[error("{0}")]
    Unplayable(Unplayable),
    /// The video was deleted meanwhile.
    #[error("the video was deleted while its source was being uploaded")]
    VideoGone,
    /// A video has as many captions as it may.
    #[error("a video has captions in {} languages at most", limits::CAPTIONS_PER_VIDEO)]
    TooManyCaptions,
    /// The file could not be kept.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The row could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl App {
    /// Makes `received` the source of a video. A source that can't be played leaves a former one in place, or the
    /// video in `error` with the reason if there was none; its file is gone either way.
    pub async fn ingest(&self, actor: Actor, video: VideoId, received: Received) -> Result<Video, IngestError> {
        let permit = self.reading.acquire().await;
        let facts = read(&received).await;
        drop(permit);
        match facts {
            Ok(facts) => self.keep_source(actor, video, received, facts).await,
            Err(Unplayable::Read(error)) => Err(MediaError::from(error).into()),
            Err(unplayable) => {
                drop(received);
                self.note_unplayable(actor, video, unplayable.to_string()).await?;
                Err(IngestError::Unplayable(unplayable))
            }
        }
    }

    async fn keep_source(
        &self,
        actor: Actor,
        id: VideoId,
        received: Received,
        facts: SourceFacts,
    ) -> Result<Video, IngestError> {
        let (file, stored_at) = (received.id(), self.now());
        let source = MediaSummary { file, stored_at, duration_ms: facts.duration_ms, tracks: facts.tracks };
        self.keep_file(actor, id, received, MediaKind::Source, move |video| {
            video.status = VideoStatus::Ready;
            video.status_detail = None;
            Ok(video.source.replace(source).map(|old| old.file))
        })
        .await
    }

    /// Keeps a received picture as the video's poster, in place of a former one.
    pub async fn keep_poster(
        &self,
        actor: Actor,
        id: VideoId,
        received: Received,
        (format, width_px, height_px): (PictureFormat, u32, u32),
    ) -> Result<Video, IngestError> {
        let poster = Poster { file: received.id(), stored_at: self.now(), format, width_px, height_px };
        self.keep_file(actor, id, received, MediaKind::Poster, move |video| {
            Ok(video.poster.replace(poster).map(|old| old.file))
        })
        .await
    }

    /// Keeps received WebVTT as the video's captions in one language, in place of former ones.
    pub async fn keep_captions(
        &self,
        actor: Actor,
        id: VideoId,
        received: Received,
        language: String,
        label: String,
    ) -> Result<Video, IngestError> {
        let captions = Captions { language, label, file: received.id(), stored_at: self.now() };
        self.keep_file(actor, id, received, MediaKind::Captions, move |video| {
            let replaced = take_captions(video, &captions.language);
            if video.captions.len() >= limits::CAPTIONS_PER_VIDEO {
                return Err(IngestError::TooManyCaptions);
            }
            video.captions.push(captions);
            video.captions.sort_by(|one, other| one.language.cmp(&other.language));
            Ok(replaced)
        })
        .await
    }

    /// File first, row second: `change` puts the file into the video's record and answers the one it replaces.
    async fn keep_file(
        &self,
        actor: Actor,
        id: VideoId,
        received: Received,
        kind: MediaKind,
        change: impl FnOnce(&mut Video) -> Result<Option<MediaFileId>, IngestError> + Send + 'static,
    ) -> Result<Video, IngestError> {
        let now = self.now();
        let (file, size_bytes, sha256) = (received.id(), received.size_bytes(), received.sha256().to_owned());
        self.media.keep(received).await?;
        let written = self.store.write(now, move |draft| {
            let mut video: Video = draft.find(id.0).ok_or(IngestError::VideoGone)?;
            let replaced = change(&mut video)?.and_then(|old| draft.find::<MediaFile>(old.0));
            video.updated_at = now;
            draft.put(&video);
            draft.put(&MediaFile {
                id: file,
                organization: video.organization,
                video: video.id,
                kind,
                size_bytes,
                sha256: sha256.clone(),
                created_at: now,
            });
            if let Some(replaced) = &replaced {
                draft.remove(replaced);
            }
            draft.audit(AuditEvent {
                actor,
                organization: video.organization,
                action: match kind {
                    MediaKind::Source => "video.source",
                    MediaKind::Poster => "video.poster",
                    MediaKind::Captions => "video.captions",
                },
                subject: subject(Kind::Video, video.id.0),
                detail: json!({ "file": file.to_string(), "sizeBytes": size_bytes, "sha256": sha256 }),
            });
            Ok::<_, IngestError>((video, replaced.map(|file| file.id)))
        });
        match written.await {
            Ok((video, replaced)) => {
                self.media.remove(replaced.into_iter().collect()).await;
                Ok(video)
            }
            // Whether a poisoned journal holds the row is not known: then the file stays, for the next start to judge.
            Err(error @ IngestError::Write(WriteError::Poisoned)) => Err(error),
            Err(error) => {
                self.media.remove(vec![file]).await;
                Err(error)
            }
        }
    }

    /// Takes the poster away, or the captions in one language; row first, file second. `VideoGone` if there are none.
    pub async fn drop_file(
        &self,
        actor: Actor,
        id: VideoId,
        action: &'static str,
        change: impl FnOnce(&mut Video) -> Option<MediaFileId> + Send + 'static,
    ) -> Result<Video, IngestError> {
        let now = self.now();
        let written = self.store.write(now, move |draft| {
            let mut video: Video = draft.find(id.0).ok_or(IngestError::VideoGone)?;
            let file = change(&mut video).ok_or(IngestError::VideoGone)?;
            if let Some(record) = draft.find::<MediaFile>(file.0) {
                draft.remove(&record);
            }
            video.updated_at = now;
            draft.put(&video);
            draft.audit(AuditEvent {
                actor,
                organization: video.organization,
                action,
                subject: subject(Kind::Video, video.id.0),
                detail: json!({ "file": file.to_string() }),
            });
            Ok::<_, IngestError>((video, file))
        });
        let (video, file) = written.await?;
        self.media.remove(vec![file]).await;
        Ok(video)
    }

    async fn note_unplayable(&self, actor: Actor, id: VideoId, reason: String) -> Result<(), IngestError> {
        let now = self.now();
        self.store
            .write(now, move |draft| {
                let mut video: Video = draft.find(id.0).ok_or(IngestError::VideoGone)?;
                if video.source.is_none() {
                    video.status = VideoStatus::Error;
                    video.status_detail = Some(reason.clone());
                    video.updated_at = now;
                    draft.put(&video);
                }
                draft.audit(AuditEvent {
                    actor,
                    organization: video.organization,
                    action: "video.source_refused",
                    subject: subject(Kind::Video, video.id.0),
                    detail: json!({ "reason": reason }),
                });
                Ok(())
            })
            .await
    }
}

/// Takes the captions in a language out of a video's record.
pub fn take_captions(video: &mut Video, language: &str) -> Option<MediaFileId> {
    let at = video.captions.iter().position(|captions| captions.language == language)?;
    Some(video.captions.remove(at).file)
}

/// Reads the source on a thread that may wait for the disk.
async fn read(received: &Received) -> Result<SourceFacts, Unplayable> {
    let lost = || Unplayable::Read(std::io::Error::other("the upload's file was lost"));
    let media = received.media().ok_or_else(lost)?;
    tokio::task::spawn_blocking(move || read_source(&media)).await.unwrap_or_else(|_| Err(lost()))
}

impl ReadAt for StoredMedia {
    fn len(&self) -> u64 {
        self.size_bytes()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        Self::read_exact_at(self, buffer, offset)
    }
}
