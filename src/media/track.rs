//! One track (`trak`, ISO/IEC 14496-12 §8.3): what it carries, whether browsers play it, how long and how large it is.

use super::boxes::{BoxKind, Boxes, child, decode, required, u32_at};
use super::captions::is_language_tag;
use super::encoding::other_sound;
use super::source::{MAX_SIDE_PX, MediaData, Unplayable};
use super::tables::{TableTotals, claimed_samples, read_tables};
use crate::domain::{Track, TrackKind};
use mp4_atom::{Mdhd, Mvhd, Tkhd};

/// Sample entries of pictures that browsers play, one or other of them.
const VIDEO_CODECS: [BoxKind; 7] = [*b"avc1", *b"avc3", *b"hvc1", *b"hev1", *b"vp08", *b"vp09", *b"av01"];
/// Sample entries of sound that browsers play.
const AUDIO_CODECS: [BoxKind; 6] = [*b"mp4a", *b"Opus", *b"fLaC", *b"ac-3", *b"ec-3", *b".mp3"];
/// Sample entries that say "encrypted" by their name: ISO/IEC 14496-12 §8.12.1, and iTunes of old.
const ENCRYPTED: [BoxKind; 8] = [*b"encv", *b"enca", *b"enct", *b"encs", *b"encm", *b"encu", *b"drmi", *b"drms"];
/// Where child boxes begin in a picture's sample entry.
const VIDEO_ENTRY_BYTES: [usize; 1] = [78];
/// Where they begin in a sound's: ISO, `QuickTime` version 1, `QuickTime` version 2.
const AUDIO_ENTRY_BYTES: [usize; 3] = [28, 44, 64];

/// A track as read, before fragments are added to it.
#[derive(Debug)]
pub(super) struct SourceTrack {
    pub(super) id: u32,
    pub(super) kind: TrackKind,
    /// Whether browsers play its codec.
    pub(super) playback: Playback,
    pub(super) codec: String,
    pub(super) samples: u64,
    /// Sum of the lengths of all samples, in units of the timescale.
    pub(super) sum_of_durations: u64,
    /// Sum of the bytes of all samples.
    pub(super) sum_of_bytes: u64,
    /// What its headers say, where they do.
    stated_duration_ms: Option<u64>,
    timescale: u32,
    /// Width and height as displayed.
    size_px: Option<(u32, u32)>,
    /// Whether it is switched on: of several sounds, writers leave one so.
    pub(super) is_enabled: bool,
    language: Option<String>,
}

/// Whether a browser can play a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Playback {
    /// Pictures or sound in a codec of ours.
    Supported,
    /// Pictures or sound in another codec.
    Unsupported,
    /// Neither pictures nor sound.
    None,
}

impl SourceTrack {
    pub(super) fn read(trak: &[u8], movie: &Mvhd, media: &MediaData) -> Result<Self, Unplayable> {
        let tkhd: Tkhd = decode(required(trak, *b"tkhd")?)?;
        let mdia = required(trak, *b"mdia")?;
        let mdhd_body = required(mdia, *b"mdhd")?;
        let mdhd: Mdhd = decode(mdhd_body)?;
        let kind = match u32_at(required(mdia, *b"hdlr")?, 8).map(u32::to_be_bytes) {
            Some([b'v', b'i', b'd', b'e']) => TrackKind::Video,
            Some([b's', b'o', b'u', b'n']) => TrackKind::Audio,
            _ => TrackKind::Other,
        };
        if movie.timescale == 0 || mdhd.timescale == 0 && kind != TrackKind::Other {
            return Err(Unplayable::Damaged("a track's clock stands still"));
        }
        let minf = required(mdia, *b"minf")?;
        let stbl = required(minf, *b"stbl")?;
        let entry = SampleEntry::read(required(stbl, *b"stsd")?, kind)?;
        let totals = if entry.playback == Playback::Supported {
            check_data_references(minf)?;
            read_tables(stbl, media)?
        } else {
            TableTotals { samples: claimed_samples(stbl)?, duration: 0, bytes: 0 }
        };
        let edited = child(trak, *b"edts")?.map(|edts| child(edts, *b"elst")).transpose()?.flatten().is_some();
        // An edit list shortens a track to what is shown of it; its sum is the duration in the track's header.
        let edited = known(tkhd.duration).filter(|_| edited).map(|duration| to_ms(duration, movie.timescale));
        let stated = edited.or_else(|| known(mdhd.duration).map(|duration| to_ms(duration, mdhd.timescale.max(1))));
        Ok(Self {
            id: tkhd.track_id,
            kind,
            playback: entry.playback,
            codec: entry.codec,
            samples: totals.samples,
            sum_of_durations: totals.duration,
            sum_of_bytes: totals.bytes,
            stated_duration_ms: stated,
            timescale: mdhd.timescale.max(1),
            size_px: (kind == TrackKind::Video).then(|| displayed_size(&tkhd, entry.coded_size_px)),
            is_enabled: tkhd.enabled,
            language: language(mdia, mdhd_body),
        })
    }

    /// Where the track of this kind stands that viewers get: the first that is switched on, or else the first, of those
    /// that can be played.
    pub(super) fn played(tracks: &[Self], kind: TrackKind) -> Option<usize> {
        let is_candidate = |track: &Self| track.kind == kind && track.is_playable();
        let enabled = tracks.iter().position(|track| is_candidate(track) && track.is_enabled);
        enabled.or_else(|| tracks.iter().position(is_candidate))
    }

    /// Whether it has something to play that browsers play.
    pub(super) fn is_playable(&self) -> bool {
        self.playback == Playback::Supported && self.samples > 0
    }

    /// Length in milliseconds. In a fragmented file headers are written before anyone knows.
    pub(super) fn duration_ms(&self, layout: Layout) -> u64 {
        let summed = to_ms(self.sum_of_durations, self.timescale);
        match layout {
            Layout::Fragmented => summed,
            Layout::Plain => self.stated_duration_ms.unwrap_or(summed),
        }
    }

    /// As told to the rest of the server.
    pub(super) fn describe(&self, layout: Layout, played: bool) -> Result<Track, Unplayable> {
        // What is not played must not lend its size or its codec to the video.
        let kind = if self.is_playable() { self.kind } else { TrackKind::Other };
        let size = self.size_px.filter(|_| kind == TrackKind::Video);
        if let Some((width, height)) = size
            && (!(1..=MAX_SIDE_PX).contains(&width) || !(1..=MAX_SIDE_PX).contains(&height))
        {
            return Err(Unplayable::FrameSize { width, height });
        }
        Ok(Track {
            kind,
            codec: self.codec.clone(),
            duration_ms: self.duration_ms(layout),
            width_px: size.map(|(width, _)| width),
            height_px: size.map(|(_, height)| height),
            played: Some(played),
            language: self.language.clone(),
        })
    }
}

/// Where a file keeps its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// All in the movie's own tables.
    Plain,
    /// Also in movie fragments (`moof`).
    Fragmented,
}

/// `duration` in units of `timescale`, which is not zero, in milliseconds.
pub(super) fn to_ms(duration: u64, timescale: u32) -> u64 {
    let half = u128::from(timescale / 2);
    let ms = u128::from(duration).saturating_mul(1000).saturating_add(half).checked_div(timescale.into());
    ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(u64::MAX)
}

/// A duration out of a header: zero and all ones mean that its writer did not know.
pub(super) fn known(duration: u64) -> Option<u64> {
    (duration != 0 && duration != u64::from(u32::MAX) && duration != u64::MAX).then_some(duration)
}

/// The three letters of a media header's language, packed into two bytes (§8.4.2.3).
pub(super) fn packed_language(mdhd: &[u8]) -> Option<[u8; 2]> {
    let at = if mdhd.first() == Some(&1) { 32 } else { 20 };
    mdhd.get(at..).and_then(|rest| rest.first_chunk::<2>()).copied()
}

/// The language of a track's media: its BCP 47 tag (`elng`, §8.4.6), or else the code in its header. `None` where it is
/// undetermined, and where `QuickTime` has a number of its own.
pub(super) fn language(mdia: &[u8], mdhd: &[u8]) -> Option<String> {
    let elng = Boxes::new(mdia).map_while(Result::ok).find(|(kind, _)| kind == b"elng");
    let tag = elng.and_then(|(_, body)| body.get(4..)?.split(|byte| *byte == 0).next());
    let tag = tag.and_then(|tag| std::str::from_utf8(tag).ok()).filter(|tag| is_language_tag(tag));
    let code = || {
        let packed = u16::from_be_bytes(packed_language(mdhd)?);
        let letter = |at: u16| u8::try_from(packed >> at & 31).ok().map(|letter| char::from(letter | 0x60));
        let code: String = [10, 5, 0].into_iter().map(letter).collect::<Option<_>>()?;
        code.bytes().all(|letter| letter.is_ascii_lowercase()).then_some(code)
    };
    tag.map(str::to_owned).or_else(code).filter(|language| language != "und")
}

/// What a track's sample descriptions say.
struct SampleEntry {
    codec: String,
    playback: Playback,
    coded_size_px: (u32, u32),
}

impl SampleEntry {
    /// Reads them all. A track plays if each does; the first gives its name, or the first that does not play.
    fn read(stsd: &[u8], kind: TrackKind) -> Result<Self, Unplayable> {
        let count = u32_at(stsd, 4).unwrap_or(0);
        let mut entries = Boxes::new(stsd.get(8..).unwrap_or_default());
        let mut first: Option<Self> = None;
        for _ in 0..count {
            let missing = Unplayable::Damaged("a track does not say how it is encoded");
            let (codec, body) = entries.next().ok_or(missing)??;
            if ENCRYPTED.contains(&codec) || is_protected(body, kind) {
                return Err(Unplayable::Encrypted);
            }
            let other = (kind == TrackKind::Audio && codec == *b"mp4a").then(|| other_sound(body)).flatten();
            let playback = match kind {
                TrackKind::Audio if other.is_some() => Playback::Unsupported,
                TrackKind::Video if VIDEO_CODECS.contains(&codec) => Playback::Supported,
                TrackKind::Audio if AUDIO_CODECS.contains(&codec) => Playback::Supported,
                TrackKind::Video | TrackKind::Audio => Playback::Unsupported,
                TrackKind::Other => Playback::None,
            };
            if first.as_ref().is_none_or(|first| first.playback == Playback::Supported && playback != first.playback) {
                first = Some(Self {
                    codec: other.unwrap_or_else(|| codec_name(codec)),
                    playback,
                    coded_size_px: coded_size(body),
                });
            }
        }
        first.ok_or(Unplayable::Damaged("a track does not say how it is encoded"))
    }
}

/// Whether a sample entry has a protection scheme box (`sinf`), whatever its name.
fn is_protected(entry: &[u8], kind: TrackKind) -> bool {
    let starts = match kind {
        TrackKind::Video => VIDEO_ENTRY_BYTES.as_slice(),
        TrackKind::Audio => AUDIO_ENTRY_BYTES.as_slice(),
        TrackKind::Other => &[],
    };
    // QuickTime pads entries in its own ways: what is no box ends the search, not the upload.
    starts.iter().any(|start| {
        let children = Boxes::new(entry.get(*start..).unwrap_or_default());
        children.map_while(Result::ok).any(|(kind, _)| kind == *b"sinf")
    })
}

/// Width and height in a picture's sample entry; meaningless in others.
fn coded_size(entry: &[u8]) -> (u32, u32) {
    let both = u32_at(entry, 24).unwrap_or(0);
    (both >> 16, both & 0xffff)
}

/// Width and height after the track header's aspect and rotation, or as coded where it has none.
fn displayed_size(tkhd: &Tkhd, coded: (u32, u32)) -> (u32, u32) {
    // 16.16 fixed point, rounded.
    let side = |whole: u16, fraction: u16| u32::from(whole).saturating_add(u32::from(fraction >> 15));
    let width = side(tkhd.width.integer(), tkhd.width.decimal());
    let height = side(tkhd.height.integer(), tkhd.height.decimal());
    let (width, height) = if tkhd.size_is_aspect_ratio || width == 0 || height == 0 { coded } else { (width, height) };
    let matrix = &tkhd.matrix;
    let turned = matrix.a == 0 && matrix.d == 0 && matrix.b != 0 && matrix.c != 0;
    if turned { (height, width) } else { (width, height) }
}

/// Refuses media that stands in another file (`dref`, §8.7.2).
fn check_data_references(minf: &[u8]) -> Result<(), Unplayable> {
    let dref = child(minf, *b"dinf")?.map(|dinf| child(dinf, *b"dref")).transpose()?.flatten();
    for reference in Boxes::new(dref.and_then(|dref| dref.get(8..)).unwrap_or_default()) {
        let (kind, body) = reference?;
        let in_this_file = u32_at(body, 0).is_some_and(|flags| flags & 1 == 1);
        let names_nothing = kind == *b"url " && body.get(4).is_none_or(|first| *first == 0);
        if !in_this_file && !names_nothing {
            return Err(Unplayable::ExternalMedia);
        }
    }
    Ok(())
}

/// A sample entry's name as people may see it: printable ASCII, or else hexadecimal.
fn codec_name(kind: BoxKind) -> String {
    let printable = kind.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    if printable {
        kind.iter().copied().map(char::from).collect()
    } else {
        format!("0x{:08x}", u32::from_be_bytes(kind))
    }
}
