//! Qualities that an operator adds ready-made: packaged like the source, compared with it, kept beside it.

use super::packaging::PackagedFiles;
use super::{App, IngestError, Unserved};
use crate::domain::{Mandate, MediaFileId, Rendition, RenditionOrigin, Video, VideoId, limits};
use crate::media::{SegmentIndex, differences};
use crate::store::{MediaError, Received};
use std::io;
use std::sync::Arc;

impl App {
    /// Packages a received file as a quality of a video, in place of a former one of this label, and says where its
    /// segments begin at other times than the source's. The video's source must still be `of`: what was sent is a quality
    /// of that film. The file is gone either way. It goes on when the caller goes away, as with a source.
    pub async fn add_rendition(
        self: &Arc<Self>,
        mandate: Mandate,
        id: VideoId,
        label: String,
        of: MediaFileId,
        received: Received,
    ) -> Result<(Video, Vec<String>), IngestError> {
        let app = Arc::clone(self);
        let added = tokio::spawn(async move { app.add_rendition_to_the_end(mandate, id, label, of, received).await });
        added.await.unwrap_or_else(|error| Err(MediaError::Io(io::Error::other(error)).into()))
    }

    async fn add_rendition_to_the_end(
        self: &Arc<Self>,
        mandate: Mandate,
        id: VideoId,
        label: String,
        of: MediaFileId,
        received: Received,
    ) -> Result<(Video, Vec<String>), IngestError> {
        let video = self.video_now(id).await?.ok_or(IngestError::VideoGone)?;
        let own = source_quality(&video, of, &label)?;
        let media = received.media().ok_or_else(|| MediaError::Io(io::Error::other("the upload's file was lost")))?;
        let arrival = self.arrival_of(&received);
        let place = self.awaited_place(video.organization).await;
        let app = Arc::clone(self);
        let work = {
            let label = label.clone();
            move || {
                // Held as long as the thread works, whoever waits for it.
                let _place = place;
                app.package_now(&media, label, RenditionOrigin::Uploaded, |_, _| app.may_package())
            }
        };
        let packaged = tokio::task::spawn_blocking(work).await;
        received.discard().await;
        let packaged: PackagedFiles = packaged.map_err(|error| MediaError::Io(io::Error::other(error)))??;
        let problems = match self.compare(id, of, own, &packaged).await {
            Ok(problems) => problems,
            Err(error) => {
                packaged.discard().await;
                return Err(error);
            }
        };
        let (files, rendition) = packaged.into_parts();
        let kept = self.keep_files(mandate, id, "video.rendition", files, arrival, move |video| {
            source_quality(video, of, &label)?;
            let replaced = take_rendition(video, &label);
            if video.renditions.len() >= limits::RENDITIONS_PER_VIDEO {
                return Err(IngestError::TooManyRenditions);
            }
            video.add_rendition(rendition);
            Ok(replaced.iter().flat_map(Rendition::files).collect())
        });
        Ok((kept.await?, problems))
    }

    /// A video's record, if there is one.
    async fn video_now(&self, id: VideoId) -> Result<Option<Video>, IngestError> {
        Ok(self.store.find(id.0).await.map_err(io::Error::other).map_err(MediaError::from)?)
    }

    /// A video's source, if it has one.
    pub(super) async fn source_of(&self, id: VideoId) -> Result<MediaFileId, IngestError> {
        let video = self.video_now(id).await?;
        video.and_then(|video| video.source).map(|source| source.file).ok_or(IngestError::SourceChanged)
    }

    /// Where a quality differs from the source's own, which has to be about as long.
    async fn compare(
        &self,
        id: VideoId,
        of: MediaFileId,
        mut own: Rendition,
        packaged: &PackagedFiles,
    ) -> Result<Vec<String>, IngestError> {
        check_length(packaged.rendition.duration_ms, own.duration_ms)?;
        let source_index = loop {
            match self.segment_index(&own).await {
                Ok(index) => break index,
                // The source was replaced meanwhile, or packaged anew.
                Err(Unserved::Gone) => {
                    let video = self.video_now(id).await?.ok_or(IngestError::VideoGone)?;
                    let now = source_quality(&video, of, &packaged.rendition.label)?;
                    if now.index == own.index {
                        return Err(MediaError::Io(io::Error::other(Unserved::Gone)).into());
                    }
                    own = now;
                }
                Err(error) => return Err(MediaError::Io(io::Error::other(error)).into()),
            }
        };
        let index = SegmentIndex::decode(&packaged.index_bytes().await.map_err(MediaError::from)?);
        let mut problems = index.map(|index| differences(&source_index, &index)).unwrap_or_default();
        if own.audio.is_some() != packaged.rendition.audio.is_some() {
            let has = |rendition: &Rendition| if rendition.audio.is_some() { "has" } else { "has no" };
            problems.push(format!("It {} sound, and the source {} any.", has(&packaged.rendition), has(&own)));
        }
        Ok(problems)
    }

    /// Drops the quality of this label. One that was made here is not made again; the source's own stays.
    pub async fn drop_rendition(&self, mandate: Mandate, id: VideoId, label: String) -> Result<Video, IngestError> {
        let video = self.video_now(id).await?;
        let is_own = |one: &Rendition| one.origin == RenditionOrigin::Source && one.label == label;
        if video.is_some_and(|video| video.renditions.iter().any(is_own)) {
            return Err(IngestError::LabelTaken);
        }
        self.drop_files(mandate, id, "video.rendition_delete", move |video| {
            let dropped = take_rendition(video, &label)?;
            if dropped.origin == RenditionOrigin::Transcoded {
                video.leave_out(&label, "it was deleted".to_owned());
            }
            Some(dropped.files().to_vec())
        })
        .await
    }
}

/// Refuses a quality that is longer or shorter than its source by more than a second and a hundredth: encoders add or
/// leave out some frames at the end, not more.
pub(super) fn check_length(duration_ms: u64, source_ms: u64) -> Result<(), IngestError> {
    let tolerated_ms = (source_ms / 100).max(1_000);
    if duration_ms.abs_diff(source_ms) > tolerated_ms {
        return Err(IngestError::OtherLength { duration_ms, source_ms });
    }
    Ok(())
}

/// The source's own quality, if that is `of`, no other one is awaited, and `label` is not its.
fn source_quality(video: &Video, of: MediaFileId, label: &str) -> Result<Rendition, IngestError> {
    let own = video.renditions.iter().find(|one| one.origin == RenditionOrigin::Source);
    let is_same = video.next_source.is_none() && video.source.as_ref().is_some_and(|source| source.file == of);
    let own = own.filter(|_| is_same).ok_or(IngestError::SourceChanged)?;
    if own.label == label { Err(IngestError::LabelTaken) } else { Ok(own.clone()) }
}

/// Takes the quality of this label out of the record; never the source's own.
fn take_rendition(video: &mut Video, label: &str) -> Option<Rendition> {
    let mine = |one: &Rendition| one.label == label && one.origin != RenditionOrigin::Source;
    let at = video.renditions.iter().position(mine)?;
    Some(video.renditions.remove(at))
}

impl PackagedFiles {
    async fn index_bytes(&self) -> io::Result<bytes::Bytes> {
        let media = self.index.media().ok_or_else(|| io::Error::other("the index was lost"))?;
        media.read(0, usize::try_from(media.size_bytes()).map_err(io::Error::other)?).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_app::{pending_video, received, with_app};

    const FILM: &[u8] = include_bytes!("../../tests/fixtures/h264_aac.mp4");

    #[test]
    fn a_stop_does_not_wait_for_a_quality_to_be_packaged() {
        let test = async |app: Arc<App>, _| {
            let (_, video) = pending_video(&app).await;
            let source = received(&app, FILM).await;
            let ingested = app.ingest(crate::domain::Actor::Appliance.into(), video, source).await.unwrap();
            assert_eq!(ingested.status, crate::domain::VideoStatus::Ready);
            let (by, of) = (|| crate::domain::Actor::Appliance.into(), ingested.source.unwrap().file);
            let quality = received(&app, FILM).await;
            app.add_rendition(by(), video, "copy".to_owned(), of, quality).await.unwrap();
            let late = received(&app, FILM).await;
            app.stop_packaging();
            let refused = app.add_rendition(by(), video, "late".to_owned(), of, late).await.err();
            assert!(matches!(refused, Some(IngestError::Media(_))), "{refused:?}");
        };
        with_app(test, |_| {});
    }

    #[test]
    fn a_quality_of_a_film_that_was_replaced_is_not_put_beside_the_new_one() {
        let test = async |app: Arc<App>, _| {
            let (_, video) = pending_video(&app).await;
            let by = || crate::domain::Actor::Appliance.into();
            let first = app.ingest(by(), video, received(&app, FILM).await).await.unwrap();
            let of = first.source.unwrap().file;
            // As long as the former one, to the frame.
            let second = app.ingest(by(), video, received(&app, FILM).await).await.unwrap();
            assert_eq!(second.renditions.len(), 1);
            let late = app.add_rendition(by(), video, "old-cut".to_owned(), of, received(&app, FILM).await).await.err();
            assert!(matches!(late, Some(IngestError::SourceChanged)), "{late:?}");
        };
        with_app(test, |_| {});
    }

    #[test]
    fn a_second_and_a_hundredth_are_tolerated() {
        for (duration_ms, source_ms, fits) in
            [(0, 1_000, true), (2_001, 1_000, false), (3_636_000, 3_600_000, true), (3_563_999, 3_600_000, false)]
        {
            assert_eq!(check_length(duration_ms, source_ms).is_ok(), fits, "{duration_ms} {source_ms}");
        }
    }
}
