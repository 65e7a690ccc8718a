//! Making one thing of a source: run ffmpeg, look at what it wrote, keep it.

use super::Stop;
use super::commands::{self, Source};
use super::run::{Ended, Run};
use crate::app::packaging::PackagedFiles;
use crate::app::renditions::check_length;
use crate::app::{App, IngestError};
use crate::domain::{
    Actor, Making, MediaFileId, MediaKind, PictureFormat, Poster, Rendition, RenditionOrigin, Storyboard, Video,
    VideoId, limits,
};
use crate::media::{MAX_PICTURE_BYTES, read_picture};
use crate::store::{MediaError, Received, StoredMedia, WorkDir};
use std::ffi::OsString;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// What was made, not yet kept.
pub(super) enum Made {
    Quality(PackagedFiles),
    Poster { picture: Received, width_px: u32, height_px: u32 },
    Storyboard { list: Received, sheets: Vec<Received> },
}

/// Why nothing was made.
pub(super) enum Trouble {
    /// It is not wanted any more, or not now.
    Stopped,
    /// It may go better later.
    Later(IngestError),
    /// It would fail again; the sentence is for the operator.
    Failed(String),
}

impl From<IngestError> for Trouble {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Unplayable(reason) => Self::Failed(format!("what ffmpeg wrote can't be used: {reason}")),
            IngestError::OtherLength { .. } | IngestError::TooManyRenditions => Self::Failed(error.to_string()),
            IngestError::VideoGone | IngestError::SourceChanged => Self::Stopped,
            error => Self::Later(error),
        }
    }
}

impl From<MediaError> for Trouble {
    fn from(error: MediaError) -> Self {
        Self::Later(error.into())
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        MediaError::from(error).into()
    }
}

impl App {
    /// Makes it on this thread.
    pub(super) fn make_now(&self, video: &Video, making: &Making, stop: &Stop<'_>) -> Result<Made, Trouble> {
        let (Some(summary), Some(own)) = (&video.source, own_quality(video)) else { return Err(Trouble::Stopped) };
        let Some(size_px) = summary.dimensions() else { return Err(Trouble::Stopped) };
        let directory = self.media.work_dir(MediaFileId::from_random(self.random()))?;
        let path = std::path::absolute(self.media.path(summary.file))?;
        let frames_per_1000_s = own.video.as_ref().map_or(0, |video| video.frames_per_1000_s);
        let threads = self.config.transcode.threads;
        let source = Source { path: &path, summary, size_px, frames_per_1000_s, threads };
        let run = |arguments| self.run_ffmpeg(arguments, &directory, &source, stop);
        match making {
            Making::Quality { label, shorter_side_px } => {
                run(commands::quality(&source, *shorter_side_px))?;
                let media = written(&directory, commands::QUALITY_FILE)?;
                let packaged =
                    self.package_now(&media, label.clone(), RenditionOrigin::Transcoded, |_, _| stop.go_on());
                // Packaging that was told to stop ends like a read that failed.
                let packaged = packaged.map_err(|error| if stop.go_on() { error.into() } else { Trouble::Stopped })?;
                check_length(packaged.rendition.duration_ms, own.duration_ms)?;
                Ok(Made::Quality(packaged))
            }
            Making::Poster => {
                run(commands::poster(&source))?;
                let (picture, width_px, height_px) = self.take_picture(&directory, commands::POSTER_FILE)?;
                Ok(Made::Poster { picture, width_px, height_px })
            }
            Making::Storyboard => {
                let board = commands::board(summary.duration_ms, size_px);
                run(commands::storyboard(&source, board))?;
                let mut sheets = Vec::new();
                for number in 1..=board.sheets() {
                    sheets.push(self.take_picture(&directory, &commands::sheet_file(number))?.0);
                }
                let mut list = self.media.create(MediaFileId::from_random(self.random()))?;
                list.write_now(board.list(summary.duration_ms).as_bytes())?;
                Ok(Made::Storyboard { list: list.finish_now()?, sheets })
            }
        }
    }

    fn run_ffmpeg(
        &self,
        arguments: Vec<OsString>,
        directory: &WorkDir,
        source: &Source<'_>,
        stop: &Stop<'_>,
    ) -> Result<(), Trouble> {
        let config = &self.config.transcode;
        let Some(program) = config.program() else {
            return Err(std::io::Error::other("ffmpeg is not there (transcode.ffmpeg)").into());
        };
        let floor_bytes = self.config.media.min_free_mib << 20;
        let has_room = || self.media.free_bytes().is_ok_and(|free| free >= floor_bytes);
        let mut looked = None::<Instant>;
        let mut is_full = false;
        let duration_us = source.summary.duration_ms.saturating_mul(1_000).max(1);
        let run = Run {
            program: &program,
            arguments,
            directory: directory.path(),
            nice: config.nice,
            stall: Duration::from_secs(config.stall_s),
            limit: Duration::from_secs(
                limits::TRANSCODING_START_S
                    + (source.summary.duration_ms / 1_000).saturating_mul(limits::TRANSCODING_PER_S),
            ),
        };
        let ended = run.wait(&mut |done_us| {
            if looked.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
                looked = Some(Instant::now());
                is_full = !has_room();
            }
            let thousandths = done_us.saturating_mul(1_000) / duration_us;
            stop.tell(u16::try_from(thousandths).unwrap_or(u16::MAX).min(1_000));
            !is_full && stop.go_on()
        });
        match ended {
            Ok(()) => Ok(()),
            Err(_) if is_full || !has_room() => Err(MediaError::NoSpace.into()),
            Err(Ended::Stopped) => Err(Trouble::Stopped),
            Err(Ended::Failed(sentence)) => {
                // The operator knows the video, and not where its file lies.
                Err(Trouble::Failed(sentence.replace(&format!("file:{}", source.path.display()), "the source")))
            }
        }
    }

    /// Takes a JPEG that ffmpeg wrote over into the media directory, if it is one.
    fn take_picture(&self, directory: &WorkDir, name: &str) -> Result<(Received, u32, u32), Trouble> {
        let media = written(directory, name)?;
        let length = usize::try_from(media.size_bytes()).ok().filter(|length| *length <= MAX_PICTURE_BYTES);
        let length = length.ok_or_else(|| Trouble::Failed(format!("{name} is too large")))?;
        let mut bytes = vec![0; length];
        media.read_exact_at(&mut bytes, 0)?;
        let picture = read_picture(&bytes).ok().filter(|picture| picture.format == PictureFormat::Jpeg);
        let picture = picture.ok_or_else(|| Trouble::Failed(format!("{name} that ffmpeg wrote is no JPEG")))?;
        let mut incoming = self.media.create(MediaFileId::from_random(self.random()))?;
        incoming.write_now(&bytes)?;
        Ok((incoming.finish_now()?, picture.width_px, picture.height_px))
    }

    /// Puts what was made into the video's record, if `source` still is its source.
    pub(super) async fn keep_made(&self, id: VideoId, source: MediaFileId, made: Made) -> Result<Video, IngestError> {
        let at = self.now();
        let same_source = move |video: &Video| match &video.source {
            Some(current) if current.file == source => Ok(()),
            _ => Err(IngestError::SourceChanged),
        };
        match made {
            Made::Quality(packaged) => {
                let (files, rendition) = packaged.into_parts();
                self.keep_files(Actor::Server, id, "video.transcoded", files, move |video| {
                    same_source(video)?;
                    if video.renditions.iter().any(|one| one.label == rendition.label) {
                        return Err(IngestError::SourceChanged);
                    }
                    if video.renditions.len() >= limits::RENDITIONS_PER_VIDEO {
                        return Err(IngestError::TooManyRenditions);
                    }
                    video.add_rendition(rendition);
                    Ok(Vec::new())
                })
                .await
            }
            Made::Poster { picture, width_px, height_px } => {
                let format = PictureFormat::Jpeg;
                let poster = Poster { file: picture.id(), stored_at: at, format, width_px, height_px, is_made: true };
                let files = vec![(picture, MediaKind::Poster)];
                self.keep_files(Actor::Server, id, "video.poster_made", files, move |video| {
                    same_source(video)?;
                    if video.poster.is_some() {
                        return Err(IngestError::SourceChanged);
                    }
                    video.poster = Some(poster);
                    Ok(Vec::new())
                })
                .await
            }
            Made::Storyboard { list, sheets } => {
                let numbers = sheets.iter().map(Received::id).collect();
                let storyboard = Storyboard { list: list.id(), sheets: numbers, stored_at: at };
                let files = sheets.into_iter().chain([list]).map(|file| (file, MediaKind::Storyboard)).collect();
                self.keep_files(Actor::Server, id, "video.storyboard_made", files, move |video| {
                    same_source(video)?;
                    let old = video.storyboard.replace(storyboard);
                    Ok(old.iter().flat_map(|old| old.files().collect::<Vec<_>>()).collect())
                })
                .await
            }
        }
    }
}

/// The source's own quality.
fn own_quality(video: &Video) -> Option<&Rendition> {
    video.renditions.iter().find(|one| one.origin == RenditionOrigin::Source)
}

fn written(directory: &WorkDir, name: &str) -> Result<StoredMedia, Trouble> {
    directory.open_file(name)?.ok_or_else(|| Trouble::Failed(format!("ffmpeg wrote no {name}")))
}

impl commands::Board {
    /// The list that players read: which part of which sheet shows which time.
    fn list(&self, duration_ms: u64) -> String {
        let per_sheet = u64::from(commands::SHEET_CELLS * commands::SHEET_CELLS);
        let mut list = "WEBVTT\n".to_owned();
        for cell in 0..self.cells {
            let (sheet, place) = (cell / per_sheet + 1, cell % per_sheet);
            let (column, row) = (place % u64::from(commands::SHEET_CELLS), place / u64::from(commands::SHEET_CELLS));
            let (from, to) = (cell * self.interval_ms, ((cell + 1) * self.interval_ms).min(duration_ms.max(1)));
            // Writing to a string does not fail.
            let _ = write!(
                list,
                "\n{} --> {}\nstoryboard/{sheet}.jpg#xywh={},{},{},{}\n",
                clock(from),
                clock(to),
                column * u64::from(commands::CELL_WIDTH_PX),
                row * u64::from(self.cell_height_px),
                commands::CELL_WIDTH_PX,
                self.cell_height_px
            );
        }
        list
    }
}

/// Milliseconds as WebVTT writes them.
fn clock(ms: u64) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_covers_the_film_and_names_each_cell_once() {
        let list = commands::board(37_500, (1920, 1080)).list(37_500);
        let cues: Vec<&str> = list.split("\n\n").skip(1).collect();
        assert_eq!(cues.len(), 38);
        assert_eq!(cues[0], "00:00:00.000 --> 00:00:01.000\nstoryboard/1.jpg#xywh=0,0,160,90");
        assert_eq!(cues[7], "00:00:07.000 --> 00:00:08.000\nstoryboard/1.jpg#xywh=160,90,160,90");
        assert_eq!(cues[37], "00:00:37.000 --> 00:00:37.500\nstoryboard/2.jpg#xywh=160,0,160,90\n");
        assert_eq!(clock(3_723_004), "01:02:03.004");
    }
}
