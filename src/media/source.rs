//! An uploaded source as a whole: its top-level boxes, its one index, and the verdict.
//!
//! Memory is bounded by one index or one fragment at a time, time by the file's length; nothing in a file may make
//! this panic. Files are served as they are, so what is refused here is what browsers would fail to play.

use super::boxes::{BoxKind, Boxes, child, decode, required};
use super::fragments::{FragmentDefaults, add_fragment};
use super::samples::MAX_SAMPLES_PER_FRAGMENT;
use super::track::{Layout, Playback, SourceTrack, known, to_ms};
use crate::domain::{Track, TrackKind};
use mp4_atom::Mvhd;
use std::io;
use std::ops::Range;

/// Longest index (`moov`), in bytes: about 24 hours of film. It is held in memory while it is read.
pub(super) const MAX_MOOV_BYTES: u64 = 64 << 20;
/// Longest movie fragment (`moof`), in bytes. Real ones take some kilobytes; one is held in memory at a time.
pub(super) const MAX_MOOF_BYTES: u64 = 16 << 20;
/// Most boxes of a file or of a container: two for each of the segments that `sidx` can count, and room. At the top level
/// each costs a read.
pub(super) const MAX_BOXES: usize = 2 * u16::MAX as usize + 1_000;
/// Most tracks of a file. A film with many languages has a dozen; tables are read for each.
pub(super) const MAX_TRACKS: usize = 16;
/// Most samples of a track: 46 hours at 60 frames a second. Tables are read in time linear in it.
pub(super) const MAX_SAMPLES_PER_TRACK: u64 = 10_000_000;
/// Longest side of a picture, in pixels; beyond any decoder.
pub(super) const MAX_SIDE_PX: u32 = 16_384;
/// Longest segment, in bytes: `sidx` counts them in 31 bits (ISO/IEC 14496-12 §8.16.3).
pub(super) const MAX_SEGMENT_BYTES: u64 = 1 << 30;
/// Most segments of a video, half of what `sidx` counts in 16 bits: no playlist of them is longer than 2 MiB, of which one
/// of keyframes takes up to 56 bytes for each. That of a film cut as it should be is below [`AIMED_SEGMENTS`].
pub(super) const MAX_SEGMENTS: usize = 32_768;
/// Segments that a film is cut into at most where its keyframes let it: those of one that would have more are twice as
/// long, or twice that, and so on. Twelve hours of two seconds.
pub(super) const AIMED_SEGMENTS: u64 = 22_000;
/// Longest source, in milliseconds: 100 hours. Longer ones are damaged headers.
pub(super) const MAX_DURATION_MS: u64 = 100 * 3_600_000;
/// Most bytes that packaging writes, as a multiple of the source's, beside [`MAX_GROWTH_BYTES`]. Frames are copied, and
/// each gets at most 16 bytes of index: where those of an honest film are that small, its own index is as large.
pub(super) const MAX_GROWTH: u64 = 4;
/// What packaging may write beside that, in bytes: five thousand segments' own heads, for a film of next to nothing.
pub(super) const MAX_GROWTH_BYTES: u64 = 1 << 20;

/// What a file of this kind may begin with: ISO/IEC 14496-12, and `QuickTime` files from before `ftyp`.
const FIRST_BOXES: [BoxKind; 15] = [
    *b"ftyp", *b"styp", *b"moov", *b"mdat", *b"free", *b"skip", *b"wide", *b"pnot", *b"uuid", *b"PICT", *b"udta",
    *b"meta", *b"moof", *b"sidx", *b"pdin",
];

/// Positioned reads of a source of known length.
pub trait ReadAt {
    /// Its length in bytes.
    fn len(&self) -> u64;

    /// Whether it is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buffer` with the bytes from `offset` on.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..));
        let bytes = rest.and_then(|rest| rest.get(..buffer.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

/// What was read from a source.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceFacts {
    /// Length of the longest track that is played, in milliseconds.
    pub duration_ms: u64,
    /// Every track, in the file's order. Those that browsers would not play are [`TrackKind::Other`]; of the others, one
    /// of a kind is played.
    pub tracks: Vec<Track>,
}

/// Why a source cannot be played, in words for whoever uploaded it.
#[derive(Debug, thiserror::Error)]
pub enum Unplayable {
    /// Its first bytes are of something else.
    #[error("this is not an MP4 or MOV file")]
    NotMp4,
    /// A part is longer than what is left of the file.
    #[error("the file is cut short: it ends in the middle of one of its parts")]
    CutShort,
    /// Samples lie beyond its end.
    #[error("the file is cut short: its index points past its end")]
    IndexPastEnd,
    /// No `moov`: what cameras leave when they lose power, and broken uploads of files whose index comes last.
    #[error("the file has no index; its recording or its upload was cut short")]
    NoIndex,
    /// More than one `moov`.
    #[error("the file has more than one index; export it again as one video")]
    SeveralIndexes,
    /// Something in it contradicts something else.
    #[error("the file's index is damaged: {0}")]
    Damaged(&'static str),
    /// Above `MAX_MOOV_BYTES`.
    #[error("the file's index is larger than {} MiB", MAX_MOOV_BYTES >> 20)]
    IndexTooLarge,
    /// A fragment above `MAX_MOOF_BYTES`.
    #[error("the index of one of the file's fragments is larger than {} MiB", MAX_MOOF_BYTES >> 20)]
    FragmentTooLarge,
    /// Above `MAX_BOXES`.
    #[error("the file consists of more than {MAX_BOXES} parts; export it again as a plain MP4")]
    TooManyBoxes,
    /// Above `MAX_TRACKS`.
    #[error("the file has more than {MAX_TRACKS} tracks")]
    TooManyTracks,
    /// Above `MAX_SAMPLES_PER_TRACK`.
    #[error("a track of the file has more than {MAX_SAMPLES_PER_TRACK} frames")]
    TooManySamples,
    /// Above `MAX_GROWTH`.
    #[error(
        "packaged, the file would be more than {MAX_GROWTH} times as large: its frames are next to empty; export it \
         again with fewer frames a second"
    )]
    Grows,
    /// Above `MAX_DURATION_MS`.
    #[error("the video is longer than {} hours", MAX_DURATION_MS / 3_600_000)]
    TooLong,
    /// Some or all of it is encrypted.
    #[error("the video is encrypted (DRM); upload the original")]
    Encrypted,
    /// No picture in a codec that browsers play.
    #[error("the video codec '{0}' is not supported; use H.264, H.265, VP9 or AV1")]
    VideoCodec(String),
    /// No sound in a codec that browsers play.
    #[error("the audio codec '{0}' is not supported; use AAC, MP3, Opus, FLAC or Dolby Digital")]
    AudioCodec(String),
    /// No track that could be played.
    #[error("the file holds neither video nor sound")]
    NoMedia,
    /// Nothing in it lasts.
    #[error("the video has no duration")]
    NoDuration,
    /// A side of zero, or above `MAX_SIDE_PX`.
    #[error(
        "the video's frame size of {width}×{height} is not supported; each side may have 1 to {MAX_SIDE_PX} pixels"
    )]
    FrameSize {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// Its media stand elsewhere, such as in a `QuickTime` reference movie.
    #[error("the file refers to media in another file; export it as a self-contained file")]
    ExternalMedia,
    /// Its codec or its frame size changes on the way.
    #[error("the video changes how it is encoded in the middle; export it again as one video")]
    ChangesEncoding,
    /// Its edit list shows pieces of it in another order or with gaps.
    #[error("the file is a list of cuts; export it as a finished video")]
    CutList,
    /// Above `MAX_SEGMENT_BYTES`.
    #[error("the video has no keyframe for more than {} MiB; export it with a keyframe every few seconds", MAX_SEGMENT_BYTES >> 20)]
    NoKeyframes,
    /// Above `MAX_SAMPLES_PER_FRAGMENT`.
    #[error(
        "more than {MAX_SAMPLES_PER_FRAGMENT} frames of picture or sound follow one keyframe; export the video with a \
         keyframe every few seconds, up to the end of its sound"
    )]
    LongSegment,
    /// Above `MAX_SEGMENTS`.
    #[error("the video would be cut into more than {MAX_SEGMENTS} segments; upload it in parts")]
    TooManySegments,
    /// Not the file's fault.
    #[error("the file could not be read")]
    Read(#[from] io::Error),
}

/// Reads a source and says what it is, or why it cannot be played.
pub fn read_source(source: &(impl ReadAt + ?Sized)) -> Result<SourceFacts, Unplayable> {
    let top = TopLevel::walk(source)?;
    let moov = read_body(source, &top.moov)?;
    let movie: Mvhd = decode(required(&moov, *b"mvhd")?)?;
    let mut tracks = Vec::new();
    for each in Boxes::new(&moov) {
        let (kind, trak) = each?;
        if kind == *b"trak" {
            if tracks.len() == MAX_TRACKS {
                return Err(Unplayable::TooManyTracks);
            }
            tracks.push(SourceTrack::read(trak, &movie, &top.media)?);
        }
    }
    let Some(mvex) = child(&moov, *b"mvex")? else {
        let stated_ms = known(movie.duration).map(|stated| to_ms(stated, movie.timescale));
        return verdict(&tracks, Layout::Plain, stated_ms, source.len());
    };
    if top.has_tail {
        // Of a film in fragments it may be the next one's beginning.
        return Err(Unplayable::CutShort);
    }
    let defaults = FragmentDefaults::read(mvex, &tracks)?;
    drop(moov);
    for moof in &top.moofs {
        add_fragment(&mut tracks, &defaults, &read_body(source, moof)?, moof.at, &top.media)?;
    }
    verdict(&tracks, Layout::Fragmented, defaults.duration_ms(&movie), source.len())
}

/// What all tracks together come to. `stated_ms` is the movie's own word on its duration.
fn verdict(
    tracks: &[SourceTrack],
    layout: Layout,
    stated_ms: Option<u64>,
    file_bytes: u64,
) -> Result<SourceFacts, Unplayable> {
    // Pictures without their sound, or sound without its pictures, would play and puzzle: each kind must play, but for what
    // is switched off, such as the pictures of a podcast's chapters, where something is on that plays. A track that is off
    // stands in for one that is on and does not play: they are alternatives of one sound (ISO/IEC 14496-12 §8.3.2).
    let plays = tracks.iter().any(|track| track.is_enabled && track.is_playable());
    for kind in [TrackKind::Video, TrackKind::Audio] {
        let mut of_kind = tracks.iter().filter(|track| track.kind == kind && track.samples > 0);
        let is_missed = |track: &&SourceTrack| track.playback == Playback::Unsupported && (track.is_enabled || !plays);
        let unsupported = of_kind.clone().find(is_missed);
        if let Some(track) = unsupported
            && !of_kind.any(SourceTrack::is_playable)
        {
            let codec = track.codec.clone();
            return Err(match kind {
                TrackKind::Video => Unplayable::VideoCodec(codec),
                TrackKind::Audio | TrackKind::Other => Unplayable::AudioCodec(codec),
            });
        }
    }
    let played = [TrackKind::Video, TrackKind::Audio].map(|kind| SourceTrack::played(tracks, kind));
    check_work(played.into_iter().flatten().filter_map(|at| tracks.get(at)), file_bytes)?;
    let playable = tracks.iter().filter(|track| track.is_playable());
    let longest = playable.map(|track| track.duration_ms(layout)).max().ok_or(Unplayable::NoMedia)?;
    let duration_ms = match layout {
        Layout::Plain => Some(longest).filter(|longest| *longest > 0).or(stated_ms),
        // The writer of fragments comes back to state it only once it knows.
        Layout::Fragmented => stated_ms.or(Some(longest)),
    };
    match duration_ms.unwrap_or(0) {
        0 => Err(Unplayable::NoDuration),
        ms if ms.max(longest) > MAX_DURATION_MS => Err(Unplayable::TooLong),
        duration_ms => {
            let described = (0..).zip(tracks).map(|(at, track)| track.describe(layout, played.contains(&Some(at))));
            Ok(SourceFacts { duration_ms, tracks: described.collect::<Result<_, _>>()? })
        }
    }
}

/// Refuses what is far more work than a file of so many bytes can be, from what its index adds up to: packaging walks
/// over each sample several times, and looks into keyframes.
fn check_work<'a>(played: impl Iterator<Item = &'a SourceTrack>, file_bytes: u64) -> Result<(), Unplayable> {
    let mut media_bytes = 0_u64;
    for track in played {
        // An empty one is some bytes of a table, unless the file only counts them.
        if track.samples > file_bytes {
            return Err(Unplayable::Damaged("it has more frames than the file has bytes"));
        }
        media_bytes = media_bytes.saturating_add(track.sum_of_bytes);
    }
    if media_bytes > file_bytes {
        // Frames that share their bytes: a small file that would fill the disk.
        return Err(Unplayable::Damaged("its frames are together larger than the file"));
    }
    Ok(())
}

/// Where the boxes of interest stand.
pub(super) struct TopLevel {
    pub(super) moov: Place,
    pub(super) moofs: Vec<Place>,
    pub(super) media: MediaData,
    /// Whether something stands behind the last box that is none.
    has_tail: bool,
}

/// What of a file is media: the bodies of its `mdat` boxes (ISO/IEC 14496-12 §8.1.1). An index that points elsewhere would
/// make the rest of the file, with what a camera wrote into it, leave as frames.
pub(super) struct MediaData {
    /// In the file's order.
    bodies: Vec<Range<u64>>,
    file_bytes: u64,
}

impl MediaData {
    /// Refuses what is not media, all of so many bytes from `start` on.
    pub(super) fn check(&self, start: u64, bytes: u64) -> Result<(), Unplayable> {
        let end = start.checked_add(bytes).filter(|end| *end <= self.file_bytes).ok_or(Unplayable::IndexPastEnd)?;
        let at = self.bodies.partition_point(|body| body.end < end);
        if bytes == 0 || self.bodies.get(at).is_some_and(|body| body.start <= start) {
            return Ok(());
        }
        Err(Unplayable::Damaged("it points at bytes that are no media"))
    }
}

/// A top-level box, which lies inside the file.
pub(super) struct Place {
    /// Where its header begins.
    pub(super) at: u64,
    body_at: u64,
    body_bytes: u64,
}

impl TopLevel {
    pub(super) fn walk(source: &(impl ReadAt + ?Sized)) -> Result<Self, Unplayable> {
        let mut moov = None;
        let mut moofs = Vec::new();
        let mut media = MediaData { bodies: Vec::new(), file_bytes: source.len() };
        let (mut at, mut seen, mut has_tail) = (0, 0, false);
        while at < source.len() {
            let (kind, place, end) = match read_header(source, at) {
                // Cameras and other tools leave notes of their own there.
                Err(Unplayable::CutShort | Unplayable::Damaged(_)) if moov.is_some() && !begins_box(source, at)? => {
                    has_tail = true;
                    break;
                }
                header => header?,
            };
            seen += 1;
            if seen > MAX_BOXES {
                return Err(Unplayable::TooManyBoxes);
            }
            match &kind {
                b"moov" if place.body_bytes > MAX_MOOV_BYTES => return Err(Unplayable::IndexTooLarge),
                b"moov" if moov.is_some() => return Err(Unplayable::SeveralIndexes),
                b"moov" => moov = Some(place),
                b"moof" if place.body_bytes > MAX_MOOF_BYTES => return Err(Unplayable::FragmentTooLarge),
                b"moof" => moofs.push(place),
                b"mdat" => media.bodies.push(place.body_at..end),
                _ => {}
            }
            at = end;
        }
        match moov {
            Some(moov) => Ok(Self { moov, moofs, media, has_tail }),
            None if at == 0 => Err(Unplayable::NotMp4),
            None => Err(Unplayable::NoIndex),
        }
    }
}

/// Whether a box of a known kind begins at `at`, whatever there is of it.
fn begins_box(source: &(impl ReadAt + ?Sized), at: u64) -> Result<bool, Unplayable> {
    if source.len().saturating_sub(at) < 8 {
        return Ok(false);
    }
    let mut kind = [0; 4];
    source.read_exact_at(&mut kind, at.saturating_add(4))?;
    Ok(FIRST_BOXES.contains(&kind))
}

/// Reads the header at `at`; also says where the box ends, which is past `at` and inside the file.
fn read_header(source: &(impl ReadAt + ?Sized), at: u64) -> Result<(BoxKind, Place, u64), Unplayable> {
    let cut_short = || if at == 0 { Unplayable::NotMp4 } else { Unplayable::CutShort };
    let left = source.len().saturating_sub(at);
    if left < 8 {
        return Err(cut_short());
    }
    let mut header = [0; 8];
    source.read_exact_at(&mut header, at)?;
    let [a, b, c, d, kind @ ..] = header;
    if at == 0 && !FIRST_BOXES.contains(&kind) {
        return Err(Unplayable::NotMp4);
    }
    let (header_bytes, size) = match u32::from_be_bytes([a, b, c, d]) {
        0 => (8, left),
        1 if left < 16 => return Err(Unplayable::CutShort),
        1 => {
            let mut size = [0; 8];
            source.read_exact_at(&mut size, at.saturating_add(8))?;
            (16, u64::from_be_bytes(size))
        }
        size => (8, size.into()),
    };
    if size > left {
        return Err(Unplayable::CutShort);
    }
    let body_bytes = size.checked_sub(header_bytes).ok_or(Unplayable::Damaged("a part is shorter than its header"))?;
    // Sums of what was just found to lie inside the file.
    let place = Place { at, body_at: at.saturating_add(header_bytes), body_bytes };
    Ok((kind, place, at.saturating_add(size)))
}

/// Reads a box whose length was found to be within its limit and within the file.
pub(super) fn read_body(source: &(impl ReadAt + ?Sized), place: &Place) -> Result<Vec<u8>, Unplayable> {
    let length = usize::try_from(place.body_bytes).map_err(|_| Unplayable::IndexTooLarge)?;
    let mut body = vec![0; length];
    source.read_exact_at(&mut body, place.body_at)?;
    Ok(body)
}
