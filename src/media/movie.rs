//! A source's index, held while it is packaged: the tracks that are played, and how they are to be shown.

use super::boxes::{Boxes, child, decode, required, u32_at};
use super::encoding::Encoding;
use super::fragments::read_defaults;
use super::samples::{Fragments, Samples};
use super::source::{ReadAt, TopLevel, Unplayable, read_body, read_source};
use super::tables::entries;
use super::track::packed_language;
use crate::domain::{Track, TrackKind};
use mp4_atom::{Mdhd, Mvhd, Tkhd, Trex};
use std::ops::Range;

/// A source's index and what of it is played.
pub(super) struct Movie {
    moov: Vec<u8>,
    top: TopLevel,
    defaults: Vec<Trex>,
    /// Every track of it, with whether it is played.
    pub(super) tracks: Vec<Track>,
    pub(super) video: Option<MovieTrack>,
    pub(super) audio: Option<MovieTrack>,
}

/// A track that is played.
pub(super) struct MovieTrack {
    pub(super) kind: TrackKind,
    pub(super) facts: Track,
    id: u32,
    /// Its table box (`stbl`) in the movie's.
    stbl: Range<usize>,
    pub(super) timescale: u32,
    pub(super) language: [u8; 2],
    /// Matrix, width and height of its header, as they are written.
    pub(super) display: [u8; 44],
    /// Whether that width and height are no size but a ratio (§8.3.2).
    pub(super) is_ratio: bool,
    pub(super) encoding: Encoding,
    pub(super) edit: Edit,
}

/// How a track's media are laid on the movie's time, in units of the track's timescale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Edit {
    /// When it begins to be shown.
    pub(super) delay: i64,
    /// What of it is shown first.
    pub(super) from: i64,
    /// What is not shown any more; `None` where all of it is.
    pub(super) until: Option<i64>,
}

impl Movie {
    pub(super) fn read<S: ReadAt + ?Sized>(source: &S) -> Result<Self, Unplayable> {
        // What would be too much work to walk over is refused by its sums.
        let facts = read_source(source)?;
        let mut top = TopLevel::walk(source)?;
        let moov = read_body(source, &top.moov)?;
        let movie: Mvhd = decode(required(&moov, *b"mvhd")?)?;
        let mvex = child(&moov, *b"mvex")?;
        if mvex.is_none() {
            // Without it a movie has no fragments (§8.8.1), and those that stand there were not added up.
            top.moofs.clear();
        }
        let (mut video, mut audio, mut ids) = (None, None, Vec::new());
        let traks = Boxes::new(&moov).filter(|each| !matches!(each, Ok((kind, _)) if kind != b"trak"));
        for (each, facts) in traks.zip(&facts.tracks) {
            let (_, trak) = each?;
            ids.push(decode::<Tkhd>(required(trak, *b"tkhd")?)?.track_id);
            let slot = match facts.kind {
                TrackKind::Video => &mut video,
                TrackKind::Audio => &mut audio,
                TrackKind::Other => continue,
            };
            if facts.played == Some(true) {
                *slot = Some(MovieTrack::read(&moov, trak, facts, &movie, mvex.is_some())?);
            }
        }
        let defaults = mvex.map(|mvex| read_defaults(mvex, &ids)).transpose()?.unwrap_or_default();
        Ok(Self { moov, top, defaults, tracks: facts.tracks, video, audio })
    }

    /// The samples of one of its tracks.
    pub(super) fn samples<'a, S: ReadAt + ?Sized>(
        &'a self,
        source: &'a S,
        track: &MovieTrack,
    ) -> Result<Samples<'a, S>, Unplayable> {
        let fragments = Fragments { track_id: track.id, defaults: &self.defaults, moofs: &self.top.moofs };
        let stbl = self.moov.get(track.stbl.clone()).unwrap_or_default();
        Samples::new(source, &self.top.media, stbl, fragments)
    }
}

impl MovieTrack {
    fn read(moov: &[u8], trak: &[u8], facts: &Track, movie: &Mvhd, is_fragmented: bool) -> Result<Self, Unplayable> {
        let mdia = required(trak, *b"mdia")?;
        let mdhd_body = required(mdia, *b"mdhd")?;
        let mdhd: Mdhd = decode(mdhd_body)?;
        let stbl = required(required(mdia, *b"minf")?, *b"stbl")?;
        let header = required(trak, *b"tkhd")?;
        let tkhd: Tkhd = decode(header)?;
        let is_long = header.first() == Some(&1);
        let display = header.get(if is_long { 52 } else { 40 }..).and_then(|rest| rest.first_chunk::<44>());
        let elst = child(trak, *b"edts")?.map(|edts| child(edts, *b"elst")).transpose()?.flatten();
        let timescale = mdhd.timescale;
        let mut edit = elst.map(|elst| Edit::read(elst, timescale, movie.timescale)).transpose()?.unwrap_or_default();
        if is_fragmented {
            // Written before anyone knew.
            edit.until = None;
        }
        Ok(Self {
            kind: facts.kind,
            facts: facts.clone(),
            id: tkhd.track_id,
            stbl: range_within(moov, stbl),
            timescale,
            language: packed_language(mdhd_body).unwrap_or(UNDETERMINED),
            display: *display.ok_or(Unplayable::Damaged("a track's header is cut short"))?,
            is_ratio: tkhd.size_is_aspect_ratio,
            encoding: Encoding::read(required(stbl, *b"stsd")?, facts.kind)?,
            edit,
        })
    }
}

/// "und", packed (ISO/IEC 14496-12 §8.4.2.3).
const UNDETERMINED: [u8; 2] = [0x55, 0xC4];

/// Where `part`, which was cut out of `whole`, begins and ends in it.
fn range_within(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start.saturating_add(part.len())
}

impl Edit {
    /// Reads `elst` (§8.6.6): pauses, then one piece of the media, perhaps in parts that follow each other.
    fn read(elst: &[u8], timescale: u32, movie_timescale: u32) -> Result<Self, Unplayable> {
        let edits: Vec<(u64, i64)> = if elst.first() == Some(&1) {
            let edits = entries::<20>(elst)?.iter();
            edits.map(|edit| (u64_at(edit, 0), u64_at(edit, 8).cast_signed())).collect()
        } else {
            let word = |edit: &[u8; 12], at| u32_at(edit, at).unwrap_or(0);
            let edits = entries::<12>(elst)?.iter();
            edits.map(|edit| (word(edit, 0).into(), word(edit, 4).cast_signed().into())).collect()
        };
        let units = |duration: u64| -> i64 {
            let units = u128::from(duration).saturating_mul(timescale.into()).checked_div(movie_timescale.into());
            units.and_then(|units| i64::try_from(units).ok()).unwrap_or(MAX_EDIT).min(MAX_EDIT)
        };
        let mut edit = Self::default();
        let mut has_begun = false;
        for (duration, from) in edits {
            let length = units(duration);
            if from < 0 {
                if !has_begun {
                    edit.delay = edit.delay.saturating_add(length).min(MAX_EDIT);
                }
                // A pause at the end changes nothing of what is shown; one in the middle is a cut.
                continue;
            }
            let from = from.min(MAX_EDIT);
            if has_begun {
                let slack = i64::from(timescale / 20);
                let follows = edit.until.is_some_and(|until| until.abs_diff(from) <= slack.unsigned_abs());
                if !follows {
                    return Err(Unplayable::CutList);
                }
            } else {
                edit.from = from;
                has_begun = true;
            }
            edit.until = (duration > 0).then(|| from.saturating_add(length));
        }
        Ok(edit)
    }
}

/// Longest time in an edit list that is believed: far from the end of 63 bits, so that sums are exact.
const MAX_EDIT: i64 = 1 << 52;

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let word = |at| u64::from(u32_at(bytes, at).unwrap_or(0));
    word(at) << 32 | word(at.saturating_add(4))
}
