//! Files that belong to a video: kept with the row that names them, dropped with it. File first, row second; the other
//! way round when they go.

use super::{App, Quota, UploadError, subject};
use crate::domain::{
    AuditEvent, Captions, Kind, Mandate, MediaFile, MediaFileId, MediaKind, PictureFormat, Poster, Upload, Video,
    VideoId, limits,
};
use crate::media::Unplayable;
use crate::store::{MediaError, Received, WriteError};
use serde_json::json;

/// Why an upload did not become part of a video.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The source can't be played; the sentence is for the uploader.
    #[error("{0}")]
    Unplayable(String),
    /// The video was deleted meanwhile.
    #[error("the video was deleted while its source was being uploaded")]
    VideoGone,
    /// The upload was deleted meanwhile.
    #[error("the upload was deleted before it was part of its video")]
    UploadGone,
    /// Another source was uploaded meanwhile, or none was yet.
    #[error("the video's source is another one now")]
    SourceChanged,
    /// A video has as many captions as it may.
    #[error("a video has captions in {} languages at most", limits::CAPTIONS_PER_VIDEO)]
    TooManyCaptions,
    /// A video has as many qualities as it may.
    #[error("a video has {} qualities at most", limits::RENDITIONS_PER_VIDEO)]
    TooManyRenditions,
    /// A quality is not as long as its source, beyond what encoders add.
    #[error("it is {duration_ms} ms long and the source {source_ms} ms")]
    OtherLength {
        /// Its length.
        duration_ms: u64,
        /// The source's.
        source_ms: u64,
    },
    /// The label is the one of the source's own quality.
    #[error("the label is the source's own")]
    LabelTaken,
    /// The organization's files would take more than they may.
    #[error(transparent)]
    Quota(#[from] UploadError),
    /// The file could not be kept.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The row could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<Unplayable> for IngestError {
    fn from(unplayable: Unplayable) -> Self {
        match unplayable {
            Unplayable::Read(error) => Self::Media(error.into()),
            unplayable => Self::Unplayable(unplayable.to_string()),
        }
    }
}

/// Where files come from that are to be kept.
#[derive(Clone, Copy)]
pub(super) enum Arrival {
    /// In one request: with them the organization must be within its quota, others may have come at the same time.
    Sent(Quota),
    /// As a resumable upload, which has had its room since it was announced; until they are kept it can be deleted.
    Upload(MediaFileId),
    /// They were made here.
    Made,
}

impl App {
    /// Keeps a received picture as the video's poster, in place of a former one.
    pub async fn keep_poster(
        &self,
        mandate: Mandate,
        id: VideoId,
        received: Received,
        (format, width_px, height_px): (PictureFormat, u32, u32),
    ) -> Result<Video, IngestError> {
        let poster = Poster { file: received.id(), stored_at: self.now(), format, width_px, height_px, is_made: false };
        let (arrival, files) = (self.arrival_of(&received), vec![(received, MediaKind::Poster)]);
        self.keep_files(mandate, id, "video.poster", files, arrival, move |video| {
            Ok(video.poster.replace(poster).into_iter().map(|old| old.file).collect())
        })
        .await
    }

    /// Keeps received WebVTT as the video's captions in one language, in place of former ones.
    pub async fn keep_captions(
        &self,
        mandate: Mandate,
        id: VideoId,
        received: Received,
        language: String,
        label: String,
    ) -> Result<Video, IngestError> {
        let captions = Captions { language, label, file: received.id(), stored_at: self.now() };
        let (arrival, files) = (self.arrival_of(&received), vec![(received, MediaKind::Captions)]);
        self.keep_files(mandate, id, "video.captions", files, arrival, move |video| {
            let replaced = take_captions(video, &captions.language);
            if video.captions.len() >= limits::CAPTIONS_PER_VIDEO {
                return Err(IngestError::TooManyCaptions);
            }
            video.captions.push(captions);
            video.captions.sort_by(|one, other| one.language.cmp(&other.language));
            Ok(replaced.into_iter().collect())
        })
        .await
    }

    /// Whether an upload is there and has not become anything.
    pub(super) fn is_open_upload(&self, id: MediaFileId) -> bool {
        self.store.access().upload(id).is_some_and(|upload| upload.is_open())
    }

    /// How a received file came.
    pub(super) fn arrival_of(&self, received: &Received) -> Arrival {
        received.upload().map_or_else(|| Arrival::Sent(self.quota()), Arrival::Upload)
    }

    /// File first, row second: `change` puts the files into the video's record and answers those they replace.
    pub(super) async fn keep_files(
        &self,
        mandate: Mandate,
        id: VideoId,
        action: &'static str,
        files: Vec<(Received, MediaKind)>,
        arrival: Arrival,
        change: impl FnOnce(&mut Video) -> Result<Vec<MediaFileId>, IngestError> + Send + 'static,
    ) -> Result<Video, IngestError> {
        let now = self.now();
        let facts: Vec<(MediaFileId, MediaKind, u64, String)> = files
            .iter()
            .map(|(received, kind)| (received.id(), *kind, received.size_bytes(), received.sha256().to_owned()))
            .collect();
        let kept: Vec<MediaFileId> = facts.iter().map(|(file, ..)| *file).collect();
        let media = self.media.clone();
        // A stop between the two would leave a file that nobody knows.
        let first = move || Ok(files.into_iter().try_for_each(|(received, _)| media.keep_now(received))?);
        let written = self.store.write_after(now, first, move |draft| {
            if let Arrival::Upload(upload) = arrival {
                let upload = draft.find::<Upload>(upload.0).filter(Upload::is_open);
                upload.ok_or(IngestError::UploadGone)?;
            }
            let mut video: Video = draft.find(id.0).ok_or(IngestError::VideoGone)?;
            let replaced = change(&mut video)?;
            video.updated_at = now;
            draft.put(&video);
            for (file, kind, size_bytes, sha256) in &facts {
                draft.put(&MediaFile {
                    id: *file,
                    organization: video.organization,
                    video: video.id,
                    kind: *kind,
                    size_bytes: *size_bytes,
                    sha256: sha256.clone(),
                    created_at: now,
                });
                // From here on it is no longer one that waits to be kept.
                if let Some(upload) = draft.find::<Upload>(file.0) {
                    draft.put(&Upload { received_at: Some(now), ..upload });
                }
            }
            for old in &replaced {
                if let Some(old) = draft.find::<MediaFile>(old.0) {
                    draft.remove(&old);
                }
            }
            if let Arrival::Sent(quota) = arrival {
                quota.check(draft.usage(video.organization), 0)?;
            }
            let files: Vec<_> = facts
                .iter()
                .map(|(file, _, size_bytes, sha256)| {
                    json!({ "file": file.to_string(), "sizeBytes": size_bytes, "sha256": sha256 })
                })
                .collect();
            draft.audit(AuditEvent {
                mandate,
                organization: video.organization,
                action,
                subject: subject(Kind::Video, video.id.0),
                detail: match files.as_slice() {
                    [one] => one.clone(),
                    several => json!({ "files": several }),
                },
            });
            Ok::<_, IngestError>((video, replaced))
        });
        match written.await {
            Ok((video, replaced)) => {
                self.media.remove(replaced).await;
                Ok(video)
            }
            // Whether the journal holds the row is not known: then the files stay, for the next start to judge.
            Err(error @ IngestError::Write(WriteError::Unknown)) => Err(error),
            Err(error) => {
                self.take_back(kept).await;
                Err(error)
            }
        }
    }

    /// Takes files away that no record came to name. One that is a whole upload goes back to where it came from.
    async fn take_back(&self, kept: Vec<MediaFileId>) {
        let (uploads, others): (Vec<_>, Vec<_>) = kept.into_iter().partition(|id| self.is_open_upload(*id));
        for id in uploads {
            if let Err(error) = self.uploads.directory.put_back(id, &self.media).await {
                tracing::warn!(upload = %id, %error, "an upload's file stays in media/; the next start takes it back");
            }
        }
        self.media.remove(others).await;
    }

    /// Takes something away that `change` takes out of the record: row first, files second. `VideoGone` if there are none.
    pub async fn drop_files(
        &self,
        mandate: Mandate,
        id: VideoId,
        action: &'static str,
        change: impl FnOnce(&mut Video) -> Option<Vec<MediaFileId>> + Send + 'static,
    ) -> Result<Video, IngestError> {
        let now = self.now();
        let written = self.store.write_urgent(now, move |draft| {
            let mut video: Video = draft.find(id.0).ok_or(IngestError::VideoGone)?;
            let files = change(&mut video).ok_or(IngestError::VideoGone)?;
            for file in &files {
                if let Some(record) = draft.find::<MediaFile>(file.0) {
                    draft.remove(&record);
                }
            }
            video.updated_at = now;
            draft.put(&video);
            draft.audit(AuditEvent {
                mandate,
                organization: video.organization,
                action,
                subject: subject(Kind::Video, video.id.0),
                detail: json!({ "files": files.iter().map(ToString::to_string).collect::<Vec<_>>() }),
            });
            Ok::<_, IngestError>((video, files))
        });
        let (video, files) = written.await?;
        self.media.remove(files).await;
        Ok(video)
    }
}

/// Takes the captions in a language out of a video's record.
pub fn take_captions(video: &mut Video, language: &str) -> Option<MediaFileId> {
    let at = video.captions.iter().position(|captions| captions.language == language)?;
    Some(video.captions.remove(at).file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_app::{pending_video, received, with_app};
    use std::task::{Context, Poll, Waker};

    #[test]
    fn a_stop_leaves_no_file_that_no_record_names() {
        let mut kept = None;
        let test = async |app: std::sync::Arc<App>, _| {
            let (_, video) = pending_video(&app).await;
            let received = received(&app, b"a picture").await;
            let file = received.id();
            {
                let keep = app.keep_poster(
                    crate::domain::Actor::Appliance.into(),
                    video,
                    received,
                    (PictureFormat::Png, 1, 1),
                );
                let mut keep = std::pin::pin!(keep);
                let polled = keep.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(matches!(polled, Poll::Pending));
            }
            app.store.close();
            kept = Some((file, app.store.media_files().contains(&file)));
        };
        let mut lies_there = None;
        with_app(test, |state| {
            let files = std::fs::read_dir(state.join("media")).unwrap();
            lies_there = Some(files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>());
        });
        let (file, is_named) = kept.unwrap();
        assert!(is_named, "it had begun");
        assert_eq!(lies_there.unwrap(), [file.to_string()]);
    }
}
