//! Writing a fragmented MP4 (ISO/IEC 14496-12 §8.8): the initialization part, the segment index, and fragments whose
//! length is known before they are written.

use super::movie::{Movie, MovieTrack};
use super::samples::{
    DATA_OFFSET, FIRST_SAMPLE_FLAGS, IS_NON_SYNC, MAX_SAMPLES_PER_FRAGMENT, SAMPLE_COMPOSITION, SAMPLE_DURATION,
    SAMPLE_FLAGS, SAMPLE_SIZE, Sample,
};
use super::segment_index::{AccessPoint, Segment};
use super::source::{MAX_SEGMENT_BYTES, Unplayable};
use super::write::Bytes;
use crate::domain::TrackKind;

/// The tracks' numbers: pictures first.
const VIDEO_TRACK: u32 = 1;
const AUDIO_TRACK: u32 = 2;
/// `sample_depends_on` 2: on no others (§8.8.3.1).
const SYNC_FLAGS: u32 = 0x0200_0000;
/// `sample_depends_on` 1, and no place to begin at.
const NON_SYNC_FLAGS: u32 = 0x0100_0000 | IS_NON_SYNC;

/// How a track's times are moved to where they belong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shift {
    decode: i64,
    composition: i64,
    /// How much of the track comes before what is shown first. An edit list says so: every player that takes fragments
    /// follows one of a single edit, while negative composition offsets delay the picture in some.
    lead_in: i64,
}

impl Shift {
    /// Moves a track by `by`. Decoding begins no earlier than zero (`first_decoded` is the first sample's time), nothing
    /// is shown before it is decoded (`least_composition` is the least of all offsets), and the edit list makes up for
    /// both.
    pub(super) fn new(by: i64, first_decoded: u64, least_composition: i32) -> Self {
        let decode = by.max(i64::try_from(first_decoded).unwrap_or(i64::MAX).saturating_neg());
        let composition = i64::from(least_composition.min(0)).saturating_neg();
        Self { decode, composition, lead_in: decode.saturating_add(composition).saturating_sub(by) }
    }

    pub(super) fn apply(&self, sample: Sample) -> Result<Sample, Unplayable> {
        let moved = sample.decode_time.checked_add_signed(self.decode);
        let composition = i64::from(sample.composition).saturating_add(self.composition);
        Ok(Sample {
            decode_time: moved.ok_or(Unplayable::Damaged(STRAY_TIME))?,
            composition: i32::try_from(composition).map_err(|_| Unplayable::Damaged(STRAY_TIME))?,
            ..sample
        })
    }

    /// When a moved sample is shown or heard.
    pub(super) fn shown(&self, sample: &Sample) -> i64 {
        let decoded = i64::try_from(sample.decode_time).unwrap_or(i64::MAX);
        decoded.saturating_add(sample.composition.into()).saturating_sub(self.lead_in)
    }
}

const STRAY_TIME: &str = "a frame is shown far from where it stands";

/// One segment, as planned.
pub(super) struct Fragment {
    /// When the first of it is shown, in units of the leading track.
    pub(super) start: u64,
    /// How decoding can begin with it.
    pub(super) access_point: AccessPoint,
    /// How much later than that what is decoded first is shown.
    pub(super) access_delay: u64,
    pub(super) video: Option<FragmentTrack>,
    pub(super) audio: Option<FragmentTrack>,
}

/// What a segment holds of one track.
#[derive(Clone, Debug, Default)]
pub(super) struct FragmentTrack {
    pub(super) samples: u32,
    bytes: u64,
    decode_time: u64,
    first_bytes: u32,
    pub(super) first_is_sync: bool,
    /// Samples behind the first at which decoding could begin.
    later_syncs: u32,
    /// The length of all of them, while they have one.
    duration: Option<u32>,
    durations_differ: bool,
    has_composition: bool,
}

impl FragmentTrack {
    pub(super) fn add(&mut self, sample: &Sample) -> Result<(), Unplayable> {
        if self.samples == 0 {
            (self.decode_time, self.first_bytes) = (sample.decode_time, sample.bytes);
            (self.first_is_sync, self.duration) = (sample.is_sync, Some(sample.duration));
        } else {
            self.later_syncs = self.later_syncs.saturating_add(sample.is_sync.into());
        }
        self.durations_differ |= self.duration != Some(sample.duration);
        self.has_composition |= sample.composition != 0;
        self.samples = self.samples.saturating_add(1);
        self.bytes = self.bytes.saturating_add(sample.bytes.into());
        if self.samples > MAX_SAMPLES_PER_FRAGMENT {
            return Err(Unplayable::LongSegment);
        }
        if self.bytes > MAX_SEGMENT_BYTES {
            return Err(Unplayable::NoKeyframes);
        }
        Ok(())
    }

    /// Fields of each sample in the run, and the flags that all or all but the first of them share.
    fn form(&self) -> (u32, u32) {
        let mut fields = DATA_OFFSET | SAMPLE_SIZE;
        if self.durations_differ {
            fields |= SAMPLE_DURATION;
        }
        if self.has_composition {
            fields |= SAMPLE_COMPOSITION;
        }
        let later = self.samples.saturating_sub(1);
        match (self.first_is_sync, self.later_syncs) {
            (true, syncs) if syncs == later => (fields, SYNC_FLAGS),
            (true, 0) => (fields | FIRST_SAMPLE_FLAGS, NON_SYNC_FLAGS),
            (false, 0) => (fields, NON_SYNC_FLAGS),
            _ => (fields | SAMPLE_FLAGS, NON_SYNC_FLAGS),
        }
    }

    fn words_per_sample(fields: u32) -> u64 {
        (fields & (SAMPLE_DURATION | SAMPLE_SIZE | SAMPLE_FLAGS | SAMPLE_COMPOSITION)).count_ones().into()
    }

    /// Bytes of its `traf`.
    fn head_bytes(&self) -> u64 {
        let (fields, _) = self.form();
        let tfhd = if self.durations_differ { 20 } else { 24 };
        let trun = if fields & FIRST_SAMPLE_FLAGS == 0 { 20 } else { 24 };
        let words = u64::from(self.samples).saturating_mul(Self::words_per_sample(fields));
        TRAF_HEAD_BYTES
            .saturating_add(tfhd)
            .saturating_add(TFDT_BYTES)
            .saturating_add(trun)
            .saturating_add(words.saturating_mul(4))
    }
}

const TRAF_HEAD_BYTES: u64 = 8;
const TFDT_BYTES: u64 = 20;
const MFHD_BYTES: u64 = 16;
const BOX_HEAD_BYTES: u64 = 8;

impl Fragment {
    fn tracks(&self) -> impl Iterator<Item = &FragmentTrack> {
        self.video.iter().chain(&self.audio)
    }

    fn moof_bytes(&self) -> u64 {
        let trafs = self.tracks().fold(0_u64, |sum, track| sum.saturating_add(track.head_bytes()));
        BOX_HEAD_BYTES.saturating_add(MFHD_BYTES).saturating_add(trafs)
    }

    /// Bytes before the first sample's: `moof`, and the head of `mdat`.
    pub(super) fn head_bytes(&self) -> u64 {
        self.moof_bytes().saturating_add(BOX_HEAD_BYTES)
    }

    /// Bytes of its samples.
    pub(super) fn media_bytes(&self) -> u64 {
        self.tracks().fold(0, |sum, track| sum.saturating_add(track.bytes))
    }

    /// All of its bytes.
    pub(super) fn size_bytes(&self) -> u64 {
        self.head_bytes().saturating_add(self.media_bytes())
    }

    /// Bytes to the end of the keyframe that it begins with; 0 where it begins with none.
    pub(super) fn keyframe_bytes(&self) -> u64 {
        let first = self.video.as_ref().filter(|video| video.first_is_sync);
        first.map_or(0, |video| self.head_bytes().saturating_add(video.first_bytes.into()))
    }

    /// Begins to write what stands before its samples.
    pub(super) fn writer(&self, number: u32) -> FragmentWriter<'_> {
        let mut bytes = Bytes::default();
        bytes.put_u32(fit(self.moof_bytes()));
        bytes.put(b"moof");
        bytes.put_full_box(*b"mfhd", 0, 0, |mfhd| mfhd.put_u32(number));
        FragmentWriter { fragment: self, bytes }
    }
}

/// A length that was found to be below [`MAX_SEGMENT_BYTES`].
fn fit(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A fragment's head being written.
pub(super) struct FragmentWriter<'a> {
    fragment: &'a Fragment,
    bytes: Bytes,
}

impl FragmentWriter<'_> {
    /// Writes one track's part; `next` answers its samples.
    pub(super) fn put_track<E>(
        &mut self,
        kind: TrackKind,
        mut next: impl FnMut() -> Result<Sample, E>,
    ) -> Result<(), E> {
        let (number, track, before) = match kind {
            TrackKind::Video => (VIDEO_TRACK, &self.fragment.video, 0),
            _ => (AUDIO_TRACK, &self.fragment.audio, self.fragment.video.as_ref().map_or(0, |video| video.bytes)),
        };
        let Some(track) = track else { return Ok(()) };
        let (fields, shared_flags) = track.form();
        let data_offset = self.fragment.head_bytes().saturating_add(before);
        let bytes = &mut self.bytes;
        bytes.put_u32(fit(track.head_bytes()));
        bytes.put(b"traf");
        let defaults = DEFAULT_BASE_IS_MOOF | DEFAULT_FLAGS | if track.durations_differ { 0 } else { DEFAULT_DURATION };
        bytes.put_full_box(*b"tfhd", 0, defaults, |tfhd| {
            tfhd.put_u32(number);
            if !track.durations_differ {
                tfhd.put_u32(track.duration.unwrap_or(0));
            }
            tfhd.put_u32(shared_flags);
        });
        bytes.put_full_box(*b"tfdt", 1, 0, |tfdt| tfdt.put_u64(track.decode_time));
        let mut outcome = Ok(());
        bytes.put_full_box(*b"trun", 1, fields, |trun| {
            trun.put_u32(track.samples);
            trun.put_u32(fit(data_offset));
            if fields & FIRST_SAMPLE_FLAGS != 0 {
                trun.put_u32(SYNC_FLAGS);
            }
            for _ in 0..track.samples {
                match next() {
                    Ok(sample) => put_sample(trun, fields, &sample),
                    Err(error) => {
                        outcome = Err(error);
                        break;
                    }
                }
            }
        });
        outcome
    }

    /// Ends with the head of `mdat`.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let media = self.fragment.size_bytes().saturating_sub(self.fragment.moof_bytes());
        self.bytes.put_u32(fit(media));
        self.bytes.put(b"mdat");
        self.bytes.into_vec()
    }
}

fn put_sample(trun: &mut Bytes, fields: u32, sample: &Sample) {
    if fields & SAMPLE_DURATION != 0 {
        trun.put_u32(sample.duration);
    }
    trun.put_u32(sample.bytes);
    if fields & SAMPLE_FLAGS != 0 {
        trun.put_u32(if sample.is_sync { SYNC_FLAGS } else { NON_SYNC_FLAGS });
    }
    if fields & SAMPLE_COMPOSITION != 0 {
        trun.put_u32(sample.composition.cast_unsigned());
    }
}

const DEFAULT_BASE_IS_MOOF: u32 = 0x2_0000;
const DEFAULT_DURATION: u32 = 0x8;
const DEFAULT_FLAGS: u32 = 0x20;

/// Units of a second in the movie's own times.
const MOVIE_TIMESCALE: u32 = 1000;
/// The unit matrix (§6.2.2).
const UNIT_MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// `ftyp` and `moov`: everything a decoder is told once.
pub(super) fn init_part(movie: &Movie, duration_ms: u64, [video, audio]: [Option<Shift>; 2]) -> Vec<u8> {
    let mut bytes = Bytes::default();
    bytes.put_box(*b"ftyp", |ftyp| {
        ftyp.put(b"iso6");
        ftyp.put_u32(0);
        ftyp.put(b"iso6mp41");
    });
    bytes.put_box(*b"moov", |moov| {
        moov.put_full_box(*b"mvhd", 0, 0, |mvhd| {
            mvhd.put_zeros(8);
            mvhd.put_u32(MOVIE_TIMESCALE);
            mvhd.put_u32(0);
            mvhd.put_u32(0x1_0000);
            mvhd.put_u16(0x100);
            mvhd.put_zeros(10);
            UNIT_MATRIX.iter().for_each(|number| mvhd.put_u32(*number));
            mvhd.put_zeros(24);
            mvhd.put_u32(AUDIO_TRACK + 1);
        });
        let lead_in = |shift: Option<Shift>| shift.map_or(0, |shift| shift.lead_in);
        let tracks = [(VIDEO_TRACK, &movie.video, lead_in(video)), (AUDIO_TRACK, &movie.audio, lead_in(audio))];
        for (number, track, lead_in) in &tracks {
            if let Some(track) = track {
                moov.put_box(*b"trak", |trak| put_track(trak, *number, track, *lead_in));
            }
        }
        moov.put_box(*b"mvex", |mvex| {
            mvex.put_full_box(*b"mehd", 1, 0, |mehd| mehd.put_u64(duration_ms));
            for (number, track, _) in &tracks {
                if track.is_some() {
                    mvex.put_full_box(*b"trex", 0, 0, |trex| {
                        [*number, 1, 0, 0, 0].iter().for_each(|word| trex.put_u32(*word));
                    });
                }
            }
        });
    });
    bytes.into_vec()
}

fn put_track(trak: &mut Bytes, number: u32, track: &MovieTrack, lead_in: i64) {
    let is_video = track.kind == TrackKind::Video;
    // Enabled, in the movie; what its width and height are.
    let flags = if track.is_ratio { 0b1011 } else { 0b0011 };
    trak.put_full_box(*b"tkhd", 0, flags, |tkhd| {
        tkhd.put_zeros(8);
        tkhd.put_u32(number);
        tkhd.put_zeros(4 + 4 + 8 + 4);
        tkhd.put_u16(if is_video { 0 } else { 0x100 });
        tkhd.put_zeros(2);
        tkhd.put(&track.display);
    });
    if let Ok(lead_in @ 1..) = u64::try_from(lead_in) {
        trak.put_box(*b"edts", |edts| {
            edts.put_full_box(*b"elst", 1, 0, |elst| {
                elst.put_u32(1);
                // To the end, whenever that is.
                elst.put_u64(0);
                elst.put_u64(lead_in);
                elst.put_u32(0x1_0000);
            });
        });
    }
    trak.put_box(*b"mdia", |mdia| {
        mdia.put_full_box(*b"mdhd", 0, 0, |mdhd| {
            mdhd.put_zeros(8);
            mdhd.put_u32(track.timescale);
            mdhd.put_zeros(4);
            mdhd.put(&track.language);
            mdhd.put_zeros(2);
        });
        mdia.put_full_box(*b"hdlr", 0, 0, |hdlr| {
            hdlr.put_zeros(4);
            hdlr.put(if is_video { b"vide" } else { b"soun" });
            hdlr.put_zeros(13);
        });
        mdia.put_box(*b"minf", |minf| {
            if is_video {
                minf.put_full_box(*b"vmhd", 0, 1, |vmhd| vmhd.put_zeros(8));
            } else {
                minf.put_full_box(*b"smhd", 0, 0, |smhd| smhd.put_zeros(4));
            }
            minf.put_box(*b"dinf", |dinf| {
                dinf.put_full_box(*b"dref", 0, 0, |dref| {
                    dref.put_u32(1);
                    // In this file.
                    dref.put_full_box(*b"url ", 0, 1, |_| ());
                });
            });
            minf.put_box(*b"stbl", |stbl| {
                stbl.put_full_box(*b"stsd", 0, 0, |stsd| {
                    stsd.put_u32(1);
                    stsd.put(&track.encoding.entry);
                });
                stbl.put_full_box(*b"stts", 0, 0, |stts| stts.put_u32(0));
                stbl.put_full_box(*b"stsc", 0, 0, |stsc| stsc.put_u32(0));
                stbl.put_full_box(*b"stsz", 0, 0, |stsz| stsz.put_zeros(8));
                stbl.put_full_box(*b"stco", 0, 0, |stco| stco.put_u32(0));
            });
        });
    });
}

/// `sidx` (§8.16.3) of segments that follow it at once, each with how long it takes until its access point is shown.
pub(super) fn segment_index_box(segments: &[(Segment, u64)], timescale: u32, has_video: bool) -> Vec<u8> {
    let mut bytes = Bytes::default();
    bytes.put_full_box(*b"sidx", 0, 0, |sidx| {
        sidx.put_u32(if has_video { VIDEO_TRACK } else { AUDIO_TRACK });
        sidx.put_u32(timescale);
        sidx.put_u32(0);
        sidx.put_u32(0);
        sidx.put_u16(0);
        sidx.put_u16(u16::try_from(segments.len()).unwrap_or(u16::MAX));
        for (segment, delay) in segments {
            sidx.put_u32(segment.bytes);
            sidx.put_u32(segment.duration);
            sidx.put_u32(access_word(segment.access_point, *delay));
        }
    });
    bytes.into_vec()
}

/// What `sidx` says of an access point: whether the segment starts with one, its type in three bits, and in the other 28
/// when its time is, counted from the first that is shown. Of types 1 and 2 the time is that one's (Annex I).
fn access_word(access_point: AccessPoint, delay: u64) -> u32 {
    // Nothing at all means that nothing is known.
    let Some(sap_type) = access_point.sap_type() else { return 0 };
    let delay = if access_point == AccessPoint::Open { u32::try_from(delay).unwrap_or(u32::MAX) } else { 0 };
    1 << 31 | u32::from(sap_type) << 28 | delay.min(0x0fff_ffff)
}
