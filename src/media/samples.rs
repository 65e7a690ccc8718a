//! The samples of one track, one after the other, in decoding order: out of the movie's tables (ISO/IEC 14496-12 §8.6
//! and §8.7), then out of its fragments (§8.8). Nothing is expanded: a cursor holds its place in each table, and one
//! fragment's samples at a time.

use super::boxes::{Boxes, child, decode, required, u32_at};
use super::source::{MAX_SAMPLES_PER_TRACK, MediaData, Place, ReadAt, Unplayable, read_body};
use super::tables::{ChunkRuns, Sizes, entries};
use mp4_atom::{Tfhd, Trex};
use std::sync::Arc;

/// Most samples of one track in one fragment, read or written: four hours at 30 frames a second without a keyframe. Those
/// that are read are held in memory.
pub(super) const MAX_SAMPLES_PER_FRAGMENT: u32 = 500_000;

/// One sample, in units of its track's timescale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// Where its bytes begin in the file.
    pub(super) offset: u64,
    /// How many they are.
    pub(super) bytes: u32,
    /// When it is decoded.
    pub(super) decode_time: u64,
    pub(super) duration: u32,
    /// How much later it is shown than decoded.
    pub(super) composition: i32,
    /// Whether decoding can begin here.
    pub(super) is_sync: bool,
}

/// A place among a track's samples. A clone goes on from the same place.
pub(super) struct Samples<'a, S: ?Sized> {
    source: &'a S,
    media: &'a MediaData,
    tables: Option<TableSamples<'a>>,
    fragments: Fragments<'a>,
    /// What the fragment being read holds, and how much of it has been given out.
    fragment: Arc<[Sample]>,
    given: usize,
    /// The sample behind the one that was given out last.
    ahead: Option<Sample>,
    /// When the sample that was read last ends, by its own word.
    decode_time: u64,
    /// When it begins.
    last: u64,
    seen: u64,
}

impl<S: ?Sized> Clone for Samples<'_, S> {
    fn clone(&self) -> Self {
        Self {
            source: self.source,
            media: self.media,
            tables: self.tables.clone(),
            fragments: self.fragments.clone(),
            fragment: Arc::clone(&self.fragment),
            ..*self
        }
    }
}

/// The fragments that are yet to be read.
#[derive(Clone)]
pub(super) struct Fragments<'a> {
    pub(super) track_id: u32,
    /// Of every track.
    pub(super) defaults: &'a [Trex],
    pub(super) moofs: &'a [Place],
}

impl<'a, S: ReadAt + ?Sized> Samples<'a, S> {
    /// From the first sample of the track whose table box is `stbl`.
    pub(super) fn new(
        source: &'a S,
        media: &'a MediaData,
        stbl: &'a [u8],
        fragments: Fragments<'a>,
    ) -> Result<Self, Unplayable> {
        let tables = Some(TableSamples::read(stbl)?);
        let fragment = Arc::from([]);
        Ok(Self { source, media, tables, fragments, fragment, given: 0, ahead: None, decode_time: 0, last: 0, seen: 0 })
    }

    /// The next sample, all of which is media; `None` behind the last. It lasts until the one behind it begins:
    /// where a fragment of the source says when it begins, the one before may have said otherwise.
    pub(super) fn next(&mut self) -> Result<Option<Sample>, Unplayable> {
        let sample = match self.ahead.take() {
            Some(sample) => Some(sample),
            None => self.next_stated()?,
        };
        let Some(mut sample) = sample else { return Ok(None) };
        self.ahead = self.next_stated()?;
        if let Some(next) = &self.ahead {
            let lasts = next.decode_time.saturating_sub(sample.decode_time);
            sample.duration = u32::try_from(lasts).map_err(|_| Unplayable::TooLong)?;
        }
        Ok(Some(sample))
    }

    fn next_stated(&mut self) -> Result<Option<Sample>, Unplayable> {
        let Some(sample) = self.next_unchecked()? else { return Ok(None) };
        self.media.check(sample.offset, sample.bytes.into())?;
        self.seen = self.seen.saturating_add(1);
        if self.seen > MAX_SAMPLES_PER_TRACK {
            return Err(Unplayable::TooManySamples);
        }
        self.last = sample.decode_time;
        let next = sample.decode_time.checked_add(sample.duration.into());
        self.decode_time = next.filter(|time| *time < MAX_TIME).ok_or(Unplayable::TooLong)?;
        Ok(Some(sample))
    }

    fn next_unchecked(&mut self) -> Result<Option<Sample>, Unplayable> {
        if let Some(tables) = &mut self.tables {
            if let Some(sample) = tables.next()? {
                return Ok(Some(Sample { decode_time: self.decode_time, ..sample }));
            }
            self.tables = None;
        }
        loop {
            if let Some(sample) = self.fragment.get(self.given) {
                self.given = self.given.saturating_add(1);
                return Ok(Some(*sample));
            }
            let Some((moof, later)) = self.fragments.moofs.split_first() else { return Ok(None) };
            self.fragments.moofs = later;
            // Two fragments' samples are not held at once.
            self.fragment = Arc::from([]);
            let body = read_body(self.source, moof)?;
            self.fragment = read_fragment(&body, moof.at, &self.fragments, self.last, self.decode_time)?.into();
            self.given = 0;
        }
    }
}

/// Times stay far from the end of 63 bits, so that sums of two are exact: a century in units of a microsecond.
const MAX_TIME: u64 = 1 << 52;

/// The samples of a movie's tables.
#[derive(Clone)]
struct TableSamples<'a> {
    sizes: Sizes<'a>,
    chunks: ChunkRuns<'a>,
    offsets: Offsets<'a>,
    durations: Runs<'a>,
    compositions: Option<Runs<'a>>,
    /// Numbers of the samples to begin at, ascending; none where every sample is one.
    syncs: Option<&'a [[u8; 4]]>,
    number: u32,
    chunk: u64,
    left_in_chunk: u32,
    offset: u64,
}

#[derive(Clone)]
enum Offsets<'a> {
    Short(&'a [[u8; 4]]),
    Long(&'a [[u8; 8]]),
}

impl Offsets<'_> {
    fn next(&mut self) -> Option<u64> {
        match self {
            Self::Short(offsets) => {
                let (first, rest) = offsets.split_first()?;
                *offsets = rest;
                Some(u32::from_be_bytes(*first).into())
            }
            Self::Long(offsets) => {
                let (first, rest) = offsets.split_first()?;
                *offsets = rest;
                Some(u64::from_be_bytes(*first))
            }
        }
    }
}

/// A table of runs: so many samples of the same number each (`stts`, `ctts`).
#[derive(Clone)]
struct Runs<'a> {
    rest: &'a [[u8; 8]],
    left: u32,
    number: u32,
}

impl<'a> Runs<'a> {
    fn new(rest: &'a [[u8; 8]]) -> Self {
        Self { rest, left: 0, number: 0 }
    }

    /// The next sample's number. Behind the table's end it is the last one: writers leave the last sample out.
    fn next(&mut self) -> u32 {
        while self.left == 0 {
            let Some((&[a, b, c, d, e, f, g, h], later)) = self.rest.split_first() else { return self.number };
            self.rest = later;
            self.left = u32::from_be_bytes([a, b, c, d]);
            self.number = u32::from_be_bytes([e, f, g, h]);
        }
        self.left = self.left.saturating_sub(1);
        self.number
    }
}

impl<'a> TableSamples<'a> {
    fn read(stbl: &'a [u8]) -> Result<Self, Unplayable> {
        let offsets = match (child(stbl, *b"stco")?, child(stbl, *b"co64")?) {
            (Some(offsets), None) => Offsets::Short(entries(offsets)?),
            (None, Some(offsets)) => Offsets::Long(entries(offsets)?),
            _ => return Err(Unplayable::Damaged("a track has no one list of chunks")),
        };
        Ok(Self {
            sizes: Sizes::read(required(stbl, *b"stsz")?)?,
            chunks: ChunkRuns::read(required(stbl, *b"stsc")?)?,
            offsets,
            durations: Runs::new(entries(required(stbl, *b"stts")?)?),
            compositions: child(stbl, *b"ctts")?.map(entries).transpose()?.map(Runs::new),
            syncs: child(stbl, *b"stss")?.map(entries).transpose()?,
            number: 0,
            chunk: 0,
            left_in_chunk: 0,
            offset: 0,
        })
    }

    fn next(&mut self) -> Result<Option<Sample>, Unplayable> {
        if self.sizes.samples() == 0 {
            return Ok(None);
        }
        while self.left_in_chunk == 0 {
            self.offset = self.offsets.next().ok_or(Unplayable::Damaged("some of its samples stand in no chunk"))?;
            self.chunk = self.chunk.saturating_add(1);
            self.left_in_chunk = self.chunks.samples_in(self.chunk);
        }
        self.left_in_chunk = self.left_in_chunk.saturating_sub(1);
        self.number = self.number.saturating_add(1);
        let bytes = u32::try_from(self.sizes.take(1)?).map_err(|_| Unplayable::IndexPastEnd)?;
        let offset = self.offset;
        self.offset = offset.checked_add(bytes.into()).ok_or(Unplayable::IndexPastEnd)?;
        let is_sync = match &mut self.syncs {
            None => true,
            Some(syncs) => {
                while let Some((first, later)) = syncs.split_first()
                    && u32::from_be_bytes(*first) < self.number
                {
                    *syncs = later;
                }
                syncs.first().is_some_and(|first| u32::from_be_bytes(*first) == self.number)
            }
        };
        let composition = self.compositions.as_mut().map_or(0, Runs::next).cast_signed();
        Ok(Some(Sample { offset, bytes, decode_time: 0, duration: self.durations.next(), composition, is_sync }))
    }
}

/// Reads one track's samples out of a fragment that begins at `moof_at`. The sample before them began at `last`, and says
/// that it ends at `decode_time`.
fn read_fragment(
    moof: &[u8],
    moof_at: u64,
    fragments: &Fragments<'_>,
    mut last: u64,
    mut decode_time: u64,
) -> Result<Vec<Sample>, Unplayable> {
    let mut samples = Vec::new();
    // Without a base of its own, a track fragment's media follow those of the one before it (§8.8.7).
    let mut data_end = moof_at;
    for each in Boxes::new(moof) {
        let (kind, traf) = each?;
        if kind != *b"traf" {
            continue;
        }
        let tfhd: Tfhd = decode(required(traf, *b"tfhd")?)?;
        let is_ours = tfhd.track_id == fragments.track_id;
        let trex = fragments.defaults.iter().find(|trex| trex.track_id == tfhd.track_id);
        let base = tfhd.base_data_offset.unwrap_or(if tfhd.default_base_is_moof { moof_at } else { data_end });
        data_end = base;
        if is_ours && let Some(stated) = child(traf, *b"tfdt")?.and_then(stated_decode_time) {
            // Writers guess how long the last sample of a fragment lasts; by too much each time, the track would fall
            // behind. Times that run backwards are damage; they go on from where they were.
            decode_time = if stated >= last { stated } else { decode_time };
        }
        let defaults = Defaults {
            duration: tfhd.default_sample_duration.or(trex.map(|trex| trex.default_sample_duration)).unwrap_or(0),
            bytes: tfhd.default_sample_size.or(trex.map(|trex| trex.default_sample_size)).unwrap_or(0),
            flags: tfhd.default_sample_flags.or(trex.map(|trex| trex.default_sample_flags)).unwrap_or(0),
        };
        for each in Boxes::new(traf) {
            let (kind, trun) = each?;
            if kind == *b"trun" {
                let run = Run::read(trun, defaults)?;
                let start = run.data_offset.map_or(Some(data_end), |offset| base.checked_add_signed(offset.into()));
                let mut offset = start.ok_or(Unplayable::IndexPastEnd)?;
                if !is_ours {
                    data_end = offset.checked_add(run.total_bytes()).ok_or(Unplayable::IndexPastEnd)?;
                    continue;
                }
                for mut sample in run {
                    sample.offset = offset;
                    (sample.decode_time, last) = (decode_time, decode_time);
                    offset = offset.checked_add(sample.bytes.into()).ok_or(Unplayable::IndexPastEnd)?;
                    let next = decode_time.checked_add(sample.duration.into());
                    decode_time = next.filter(|time| *time < MAX_TIME).ok_or(Unplayable::TooLong)?;
                    if samples.len() == MAX_SAMPLES_PER_FRAGMENT as usize {
                        return Err(Unplayable::TooManySamples);
                    }
                    samples.push(sample);
                }
                data_end = offset;
            }
        }
    }
    Ok(samples)
}

fn stated_decode_time(tfdt: &[u8]) -> Option<u64> {
    match tfdt.first()? {
        0 => u32_at(tfdt, 4).map(u64::from),
        _ => Some(u64::from(u32_at(tfdt, 4)?) << 32 | u64::from(u32_at(tfdt, 8)?)),
    }
}

#[derive(Clone, Copy)]
struct Defaults {
    duration: u32,
    bytes: u32,
    flags: u32,
}

/// A track run (`trun`, §8.8.8).
struct Run<'a> {
    flags: u32,
    left: u32,
    words: &'a [[u8; 4]],
    defaults: Defaults,
    first_flags: Option<u32>,
    data_offset: Option<i32>,
}

impl<'a> Run<'a> {
    fn read(trun: &'a [u8], defaults: Defaults) -> Result<Self, Unplayable> {
        let short = || Unplayable::Damaged("a fragment holds less than it claims");
        let flags = u32_at(trun, 0).ok_or_else(short)?;
        let count = u32_at(trun, 4).ok_or_else(short)?;
        if count > MAX_SAMPLES_PER_FRAGMENT {
            return Err(Unplayable::TooManySamples);
        }
        let mut at = 8_usize;
        let mut optional = |flag: u32| {
            let word = (flags & flag != 0).then(|| u32_at(trun, at).ok_or_else(short)).transpose();
            if flags & flag != 0 {
                at = at.saturating_add(4);
            }
            word
        };
        let data_offset = optional(DATA_OFFSET)?.map(u32::cast_signed);
        let first_flags = optional(FIRST_SAMPLE_FLAGS)?;
        let words = trun.get(at..).unwrap_or_default().as_chunks::<4>().0;
        let needed = usize::try_from(count).ok().and_then(|count| count.checked_mul(words_per_sample(flags)));
        let words = needed.and_then(|needed| words.get(..needed)).ok_or_else(short)?;
        Ok(Self { flags, left: count, words, defaults, first_flags, data_offset })
    }

    /// Bytes of all its samples; costs time only for words that are there.
    fn total_bytes(self) -> u64 {
        if self.flags & SAMPLE_SIZE == 0 {
            return u64::from(self.left).saturating_mul(self.defaults.bytes.into());
        }
        self.fold(0, |sum, sample| sum.saturating_add(sample.bytes.into()))
    }

    fn word(&mut self, flag: u32) -> Option<u32> {
        let (first, rest) = (self.flags & flag != 0).then(|| self.words.split_first())??;
        self.words = rest;
        Some(u32::from_be_bytes(*first))
    }
}

impl Iterator for Run<'_> {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        self.left = self.left.checked_sub(1)?;
        let duration = self.word(SAMPLE_DURATION).unwrap_or(self.defaults.duration);
        let bytes = self.word(SAMPLE_SIZE).unwrap_or(self.defaults.bytes);
        let stated = self.word(SAMPLE_FLAGS);
        let flags = stated.or(self.first_flags.take()).unwrap_or(self.defaults.flags);
        let composition = self.word(SAMPLE_COMPOSITION).unwrap_or(0).cast_signed();
        let is_sync = flags & IS_NON_SYNC == 0;
        // The first sample's flags are for the first sample alone.
        self.first_flags = None;
        Some(Sample { offset: 0, bytes, decode_time: 0, duration, composition, is_sync })
    }
}

fn words_per_sample(flags: u32) -> usize {
    (flags & (SAMPLE_DURATION | SAMPLE_SIZE | SAMPLE_FLAGS | SAMPLE_COMPOSITION)).count_ones() as usize
}

pub(super) const DATA_OFFSET: u32 = 0x1;
pub(super) const FIRST_SAMPLE_FLAGS: u32 = 0x4;
pub(super) const SAMPLE_DURATION: u32 = 0x100;
pub(super) const SAMPLE_SIZE: u32 = 0x200;
pub(super) const SAMPLE_FLAGS: u32 = 0x400;
pub(super) const SAMPLE_COMPOSITION: u32 = 0x800;
/// `sample_is_non_sync_sample` among the sample flags (§8.8.3.1).
pub(super) const IS_NON_SYNC: u32 = 0x1_0000;
