//! What this machine may make of a source: lower qualities, a poster, a storyboard; and what was left out and why.

use super::{MediaFileId, RenditionOrigin, Video};
use serde::{Deserialize, Serialize};

/// Version of the ladder and its encoding: raised when a failed attempt is worth another.
pub const TRANSCODER_VERSION: u32 = 1;

/// What `run-child` ends with when the program could not be started, as shells do.
pub const NOT_STARTED_CODE: i32 = 127;

/// Shorter sides of the ladder, in pixels.
pub const LADDER_PX: [u32; 7] = [240, 360, 480, 720, 1080, 1440, 2160];

/// One thing to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Making {
    /// The picture that stands before the video plays.
    Poster,
    /// Small pictures of all of it.
    Storyboard,
    /// A quality in H.264 and AAC.
    Quality {
        /// Its label.
        label: String,
        /// Its shorter side in pixels; even.
        shorter_side_px: u32,
    },
}

impl Making {
    /// What it is called in answers and in [`LeftOut`].
    pub fn name(&self) -> &str {
        match self {
            Self::Poster => "poster",
            Self::Storyboard => "storyboard",
            Self::Quality { label, .. } => label,
        }
    }

    /// Pictures are made in moments and wait for nobody's qualities.
    pub fn is_quality(&self) -> bool {
        matches!(self, Self::Quality { .. })
    }
}

/// What is not to be made of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscodingNote {
    /// The source's file: nothing here holds for another one.
    pub source: MediaFileId,
    /// [`TRANSCODER_VERSION`] at the time.
    pub version: u32,
    /// Someone cancelled all of it.
    pub cancelled: bool,
    /// What failed or was deleted.
    pub left_out: Vec<LeftOut>,
}

/// One thing that is not to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// [`Making::name`].
    pub name: String,
    /// Why, in a sentence for the operator.
    pub reason: String,
}

impl Video {
    /// What is yet to be made of its source, in order; nothing before it plays, or while another source is coming.
    pub fn to_make(&self) -> Vec<Making> {
        let (Some(_), None) = (&self.source, &self.next_source) else { return Vec::new() };
        let own = self.renditions.iter().find(|one| one.origin == RenditionOrigin::Source);
        let note = self.transcoding_note();
        // Of the track that viewers get, which need not be the source's first.
        let Some(picture) = own.and_then(|own| own.video.as_ref()) else { return Vec::new() };
        let (width, height) = (picture.width_px, picture.height_px);
        if note.is_some_and(|note| note.cancelled) {
            return Vec::new();
        }
        let pictures =
            [self.poster.is_none().then_some(Making::Poster), self.storyboard.is_none().then_some(Making::Storyboard)];
        let side = width.min(height);
        let lower = LADDER_PX.into_iter().filter(|rung| *rung < side).map(|rung| (format!("{rung}p"), rung));
        // Every browser plays H.264. A source in another codec gets a twin of its own size.
        let is_h264 = ["avc1", "avc3"].iter().any(|kind| picture.codec.starts_with(kind));
        let twin = (!is_h264 && LADDER_PX.last().is_some_and(|top| side <= *top))
            .then(|| (format!("{side}p-h264"), (side & !1).max(2)));
        let qualities = lower.chain(twin).map(|(label, shorter_side_px)| Making::Quality { label, shorter_side_px });
        let is_missing = |making: &Making| {
            let has = self.renditions.iter().any(|one| making.is_quality() && one.label == making.name());
            let is_left_out = note.is_some_and(|note| note.left_out.iter().any(|out| out.name == making.name()));
            !has && !is_left_out
        };
        pictures.into_iter().flatten().chain(qualities).filter(is_missing).collect()
    }

    /// The note about its present source, if there is one.
    pub fn transcoding_note(&self) -> Option<&TranscodingNote> {
        let source = self.source.as_ref()?.file;
        self.transcoding.as_ref().filter(|note| note.source == source && note.version == TRANSCODER_VERSION)
    }

    /// The same, to write in; begun anew if there is none. `None` without a source.
    pub fn transcoding_note_mut(&mut self) -> Option<&mut TranscodingNote> {
        let source = self.source.as_ref()?.file;
        if self.transcoding_note().is_none() {
            let note = TranscodingNote { source, version: TRANSCODER_VERSION, cancelled: false, left_out: Vec::new() };
            self.transcoding = Some(note);
        }
        self.transcoding.as_mut()
    }

    /// Notes that nothing more is to be made of its present source, in as little room as that takes.
    pub fn cancel_transcoding(&mut self) {
        if let Some(note) = self.transcoding_note_mut() {
            note.cancelled = true;
            note.left_out.clear();
        }
    }

    /// Notes that something is not to be made of its present source.
    pub fn leave_out(&mut self, name: &str, reason: String) {
        if let Some(note) = self.transcoding_note_mut() {
            note.left_out.retain(|out| out.name != name);
            note.left_out.push(LeftOut { name: name.to_owned(), reason });
        }
    }
}
