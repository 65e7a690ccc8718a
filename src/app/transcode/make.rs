//! Making one thing of a source: run ffmpeg, look at what it wrote, keep it.

use super::Stop;
use super::commands::{self, Source};
use super::run::{Ended, Run};
use crate::app::media_files::Arrival;
use crate::app::packaging::PackagedFiles;
use crate::app::renditions::check_length;
use crate::app::{App, IngestError};
use crate::domain::{
    Actor, Making, MediaFileId, MediaKind, PictureFormat, Poster, Rendition, RenditionOrigin, Storyboard, TrackKind,
    Video, VideoId, limits,
};
use crate::media::{MAX_PICTURE_BYTES, read_picture};
use crate::store::{IndexError, MediaError, Received, StoredMedia, WorkDir, WriteError};
use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// What was made, not yet kept.
pub(super) enum Made {
    Quality(Box<PackagedFiles>),
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
            IngestError::Write(WriteError::TooLarge | WriteError::Index(IndexError::TooLong(_))) => {
                Self::Failed("the video's record has no room for it".to_owned())
            }
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
        let Some(own) = own_quality(video) else { return Err(Trouble::Stopped) };
        let Some(size_px) = own.dimensions() else { return Err(Trouble::Stopped) };
        let directory = self.media.work_dir(MediaFileId::from_random(self.random()))?;
        if own.duration_ms > limits::TRANSCODING_FILM_MS {
            return Err(Trouble::Failed("the film is longer than 100 hours".to_owned()));
        }
        let free_before = self.disk.room()?.free_bytes;
        let path = std::path::absolute(self.media.path(own.file))?;
        let frames_per_1000_s = own.video.as_ref().map_or(0, |video| video.frames_per_1000_s);
        let threads = self.config.transcode.threads;
        let (duration_ms, has_sound) = (own.duration_ms, own.audio.is_some());
        // Of several pictures in a source, the shortest: this only chooses a frame.
        let tracks = video.source.iter().flat_map(|source| &source.tracks);
        let lengths = tracks.filter(|track| track.kind == TrackKind::Video).map(|track| track.duration_ms);
        let picture_ms = lengths.filter(|length| *length > 0).min().unwrap_or(duration_ms);
        let source = Source { path: &path, duration_ms, picture_ms, has_sound, size_px, frames_per_1000_s, threads };
        let run =
            |arguments| {
                let ended = self.run_ffmpeg(arguments, &directory, &source, stop);
                ended.map_err(|trouble| {
                    if path.exists() { self.blame(trouble, &directory, free_before) } else { packaged_anew() }
                })
            };
        match making {
            Making::Quality { label, shorter_side_px } => {
                check_pauses(own.longest_segment_ms)?;
                run(commands::quality(&source, *shorter_side_px))?;
                let media = written(&directory, commands::QUALITY_FILE)?;
                let packaged =
                    self.package_now(&media, label.clone(), RenditionOrigin::Transcoded, |_, _| stop.go_on());
                // Packaging that was told to stop ends like a read that failed.
                let packaged = packaged.map_err(|error| if stop.go_on() { error.into() } else { Trouble::Stopped });
                let packaged = packaged.map_err(|trouble| self.blame(trouble, &directory, free_before))?;
                check_length(packaged.rendition.duration_ms, own.duration_ms)?;
                Ok(Made::Quality(Box::new(packaged)))
            }
            Making::Poster => {
                run(commands::poster(&source))?;
                let (picture, width_px, height_px) = self.take_picture(&directory, commands::POSTER_FILE)?;
                Ok(Made::Poster { picture, width_px, height_px })
            }
            Making::Storyboard => {
                let board = commands::board(own.duration_ms, size_px);
                run(commands::storyboard(&source, board))?;
                let mut sheets = Vec::new();
                for number in 1..=board.sheets() {
                    sheets.push(self.take_picture(&directory, &commands::sheet_file(number))?.0);
                }
                let mut list = self.media.create(MediaFileId::from_random(self.random()))?;
                list.write_now(board.list(own.duration_ms).as_bytes())?;
                Ok(Made::Storyboard { list: list.finish_now()?, sheets })
            }
        }
    }

    /// A disk that was filled by this very job would be filled again: that is no reason to try again.
    fn blame(&self, trouble: Trouble, directory: &WorkDir, free_before: u64) -> Trouble {
        let Trouble::Later(IngestError::Media(MediaError::NoSpace)) = &trouble else { return trouble };
        let own = directory.size_bytes();
        let taken = free_before.saturating_sub(self.disk.room().map_or(0, |room| room.free_bytes));
        if own > 0 && own >= taken / 2 {
            return Trouble::Failed("what it takes fills the disk".to_owned());
        }
        trouble
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
        let has_room = || self.disk.check_room(0).is_ok();
        let mut looked = None::<Instant>;
        let mut is_full = false;
        let duration_us = source.duration_ms.saturating_mul(1_000).max(1);
        let run = Run {
            program: &program,
            arguments,
            directory: directory.path(),
            nice: config.nice,
            stall: Duration::from_secs(config.stall_s),
            limit: Duration::from_secs(longest_s(source.duration_ms)),
            hidden: hidden(source.path),
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
            Err(Ended::NotStarted(sentence)) => Err(std::io::Error::other(sentence).into()),
            Err(Ended::Failed(sentence)) => Err(Trouble::Failed(sentence)),
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
                self.keep_files(Actor::Server.into(), id, "video.transcoded", files, Arrival::Made, move |video| {
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
                self.keep_files(Actor::Server.into(), id, "video.poster_made", files, Arrival::Made, move |video| {
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
                self.keep_files(Actor::Server.into(), id, "video.storyboard_made", files, Arrival::Made, move |video| {
                    same_source(video)?;
                    let old = video.storyboard.replace(storyboard);
                    Ok(old.iter().flat_map(|old| old.files().collect::<Vec<_>>()).collect())
                })
                .await
            }
        }
    }
}

/// Refuses a film that stands still for longer than any does: its sound's pauses would be filled with as much silence.
fn check_pauses(longest_segment_ms: u64) -> Result<(), Trouble> {
    if longest_segment_ms <= limits::TRANSCODING_SEGMENT_MS {
        return Ok(());
    }
    Err(Trouble::Failed(format!(
        "the film has no keyframe for more than {} hour; export it with a keyframe every few seconds and without long pauses",
        limits::TRANSCODING_SEGMENT_MS / 3_600_000
    )))
}

/// Longest that one thing may take to be made of a film, in seconds.
fn longest_s(duration_ms: u64) -> u64 {
    let grown = (duration_ms / 1_000).saturating_mul(limits::TRANSCODING_PER_S);
    grown.saturating_add(limits::TRANSCODING_START_S).min(limits::TRANSCODING_MAX_S)
}

/// What is said instead of paths: the operator knows the video, and its readers need not know where its file lies.
fn hidden(source: &Path) -> Vec<(String, &'static str)> {
    // <state>/media/<file>
    let state = source.parent().and_then(Path::parent).filter(|state| state.parent().is_some());
    let source = source.display().to_string();
    let mut hidden = vec![(format!("file:{source}"), "the source"), (source, "the source")];
    hidden.extend(state.map(|state| (state.display().to_string(), "the state directory")));
    hidden
}

/// The source's own quality.
fn own_quality(video: &Video) -> Option<&Rendition> {
    video.renditions.iter().find(|one| one.origin == RenditionOrigin::Source)
}

/// That what ffmpeg was to read is gone: another packager's file has taken its place, which is to be read instead.
fn packaged_anew() -> Trouble {
    std::io::Error::other("what it is made of was packaged anew meanwhile").into()
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
    fn a_record_without_room_is_final_and_a_full_disk_is_not() {
        let too_long = IngestError::Write(WriteError::Index(IndexError::TooLong(1)));
        assert!(matches!(Trouble::from(too_long), Trouble::Failed(_)));
        assert!(matches!(Trouble::from(IngestError::TooManyRenditions), Trouble::Failed(_)));
        assert!(matches!(Trouble::from(MediaError::NoSpace), Trouble::Later(_)));
    }

    #[test]
    fn a_film_that_stands_still_for_hours_is_left_out_for_good() {
        assert!(check_pauses(limits::TRANSCODING_SEGMENT_MS).is_ok());
        assert!(matches!(check_pauses(6 * 3_600_000), Err(Trouble::Failed(_))));
    }

    #[test]
    fn the_time_to_make_something_is_bounded() {
        assert_eq!((longest_s(0), longest_s(10_000), longest_s(u64::MAX)), (600, 1_200, 86_400));
    }

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
