//! From received bytes to a video that plays: read the source, keep the file, commit the row. File first, row second.

use super::{App, subject};
use crate::domain::{Actor, AuditEvent, Kind, MediaFile, MediaKind, MediaSummary, Video, VideoId, VideoStatus};
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
        let now = self.now();
        let (file, size_bytes, sha256) = (received.id(), received.size_bytes(), received.sha256().to_owned());
        let source = MediaSummary { file, stored_at: now, duration_ms: facts.duration_ms, tracks: facts.tracks };
        self.media.keep(received).await?;
        let written = self.store.write(now, move |draft| {
            let mut video: Video = draft.find(id.0).ok_or(IngestError::VideoGone)?;
            let replaced = video.source.replace(source).and_then(|old| draft.find::<MediaFile>(old.file.0));
            video.status = VideoStatus::Ready;
            video.status_detail = None;
            video.updated_at = now;
            draft.put(&video);
            draft.put(&MediaFile {
                id: file,
                organization: video.organization,
                video: video.id,
                kind: MediaKind::Source,
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
                action: "video.source",
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
