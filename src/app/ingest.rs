//! From an uploaded source to a video that plays: read it, keep it, package it behind the uploader's back.

use super::packaging::Outcome;
use super::{App, IngestError, subject};
use crate::domain::{
    AuditEvent, Kind, Mandate, MediaFile, MediaFileId, MediaKind, MediaSummary, Video, VideoId, VideoStatus, limits,
};
use crate::media::{ReadAt, SourceFacts, Unplayable, read_source};
use crate::store::{MediaError, Received, StoredMedia};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

impl App {
    /// Makes `received` the source of a video. It is on disk and in the record when this answers; packaging is waited
    /// for a little, and goes on by itself after that, also after a restart. A source that can't be played leaves a
    /// former one in place, or the video in `error` with the reason if there was none; its file is gone either way.
    ///
    /// It goes on when the caller goes away: an upload that was received is not lost to a line that breaks.
    pub async fn ingest(
        self: &Arc<Self>,
        mandate: Mandate,
        video: VideoId,
        received: Received,
    ) -> Result<Video, IngestError> {
        let app = Arc::clone(self);
        let ingested = tokio::spawn(async move { app.ingest_to_the_end(mandate, video, received).await });
        ingested.await.unwrap_or_else(|error| Err(MediaError::Io(std::io::Error::other(error)).into()))
    }

    async fn ingest_to_the_end(
        self: &Arc<Self>,
        mandate: Mandate,
        video: VideoId,
        received: Received,
    ) -> Result<Video, IngestError> {
        let permit = self.reading.acquire().await;
        let facts = read(&received).await;
        drop(permit);
        let facts = match facts {
            Ok(facts) => facts,
            Err(unplayable) => {
                let upload = received.upload();
                received.discard().await;
                let error = IngestError::from(unplayable);
                if let IngestError::Unplayable(reason) = &error {
                    if upload.is_some_and(|upload| !self.is_open_upload(upload)) {
                        return Err(IngestError::UploadGone);
                    }
                    self.note_unplayable(mandate, video, None, reason.clone()).await?;
                }
                return Err(error);
            }
        };
        let file = received.id();
        let kept = self.keep_source(mandate, video, received, facts).await?;
        let wait = Duration::from_secs(limits::PACKAGING_WAIT_S);
        if let Ok(Some(reason)) = tokio::time::timeout(wait, self.packaged(video, file)).await {
            return Err(IngestError::Unplayable(reason));
        }
        // Done, or still under way: the record says which.
        match self.store.find::<Video>(video.0).await {
            Ok(found) => found.ok_or(IngestError::VideoGone),
            Err(_) => Ok(kept),
        }
    }

    /// Waits until this source has been packaged, or why it can't be. A job that ends may have been another source's.
    async fn packaged(self: &Arc<Self>, video: VideoId, file: MediaFileId) -> Option<String> {
        loop {
            let mut job = self.package_soon(video);
            let outcome = job.wait_for(Outcome::is_known).await.ok()?.clone();
            match outcome {
                Outcome::Unplayable(refused, reason) if refused == file => return Some(reason),
                Outcome::Unplayable(..) | Outcome::Ready => {}
                Outcome::UnderWay | Outcome::Postponed => return None,
            }
            let found: Option<Video> = self.store.find(video.0).await.ok().flatten();
            found.filter(|video| video.next_source.as_ref().is_some_and(|next| next.file == file))?;
        }
    }

    async fn keep_source(
        &self,
        mandate: Mandate,
        id: VideoId,
        received: Received,
        facts: SourceFacts,
    ) -> Result<Video, IngestError> {
        let (file, stored_at) = (received.id(), self.now());
        let source = MediaSummary { file, stored_at, duration_ms: facts.duration_ms, tracks: facts.tracks };
        let (arrival, files) = (self.arrival_of(&received), vec![(received, MediaKind::Source)]);
        self.keep_files(mandate, id, "video.source", files, arrival, move |video| {
            if video.source.is_none() {
                video.status = VideoStatus::Processing;
                video.status_detail = None;
            }
            Ok(video.next_source.replace(source).into_iter().map(|old| old.file).collect())
        })
        .await
    }

    /// Writes down that a source can't be played, and forgets it if it was kept.
    pub(super) async fn note_unplayable(
        &self,
        mandate: Mandate,
        id: VideoId,
        file: Option<MediaFileId>,
        reason: String,
    ) -> Result<(), IngestError> {
        let now = self.now();
        let dropped = self.store.write_urgent(now, move |draft| {
            let mut video: Video = draft.find(id.0).ok_or(IngestError::VideoGone)?;
            let is_next = video.next_source.as_ref().is_some_and(|next| Some(next.file) == file);
            if file.is_some() && !is_next {
                return Err(IngestError::SourceChanged);
            }
            if is_next {
                video.next_source = None;
                if let Some(record) = file.and_then(|file| draft.find::<MediaFile>(file.0)) {
                    draft.remove(&record);
                }
            }
            if video.source.is_none() && video.next_source.is_none() {
                video.status = VideoStatus::Error;
                video.status_detail = Some(reason.clone());
                video.updated_at = now;
            }
            draft.put(&video);
            draft.audit(AuditEvent {
                mandate,
                organization: video.organization,
                action: "video.source_refused",
                subject: subject(Kind::Video, video.id.0),
                detail: json!({ "reason": reason }),
            });
            Ok(file)
        });
        self.media.remove(dropped.await?.into_iter().collect()).await;
        Ok(())
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
