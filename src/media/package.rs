//! Packaging: from a source to one fragmented MP4 with a fragment per segment, so that the same file is the segments
//! and the progressive download.
//!
//! Everything is laid out before a byte is written: a first walk over the samples finds where segments begin, a second
//! adds up what each holds, and a third writes. Between them only segments are remembered, never samples.

use super::encoding::begins_cleanly;
use super::fragment_out::{Fragment, FragmentTrack, Shift, init_part, segment_index_box};
use super::movie::{Movie, MovieTrack};
use super::samples::{Sample, Samples};
use super::segment_index::{AccessPoint, Segment, SegmentIndex};
use super::source::{MAX_DURATION_MS, MAX_SEGMENT_BYTES, MAX_SEGMENTS, ReadAt, Unplayable};
use crate::domain::{AudioFormat, Track, TrackKind, VideoFormat};
use std::io;

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;
/// How much of a sound's beginning that is not shown is kept for the decoder, in milliseconds: codecs overlap by less.
const PREROLL_MS: u64 = 100;
/// A picture that can be shown on its own, but with others before it that can't, is made the beginning of a segment only
/// after this many times the length aimed at.
const UNCLEAN_AFTER: u64 = 3;

/// Most keyframes that are looked into, each at the cost of a read; the rest are believed. 27 hours at ten a second.
const MAX_KEYFRAMES_LOOKED_AT: u32 = 1_000_000;
/// Bytes of a keyframe that are read for that: what stands before the picture itself is rarely longer.
const LOOK_BYTES: usize = 512;
/// Finest clock of the index: times of finer ones would not fit its 32 bits after some seconds.
const MAX_INDEX_TIMESCALE: u32 = 1_000_000;

/// What a packaged rendition is.
#[derive(Clone, Debug, PartialEq)]
pub struct PackageFacts {
    /// Its length in milliseconds.
    pub duration_ms: u64,
    /// Bits a second of its most demanding segment.
    pub peak_bits_per_s: u64,
    /// Bits a second over all of it.
    pub average_bits_per_s: u64,
    /// Longest segment in milliseconds.
    pub longest_segment_ms: u64,
    /// Its picture, if it has one.
    pub video: Option<VideoFormat>,
    /// Its sound, if it has any.
    pub audio: Option<AudioFormat>,
    /// Every track of the source, with whether it is the one that is played.
    pub tracks: Vec<Track>,
}

/// A source laid out as what it will be packaged into; nothing is written yet.
pub struct Package {
    movie: Movie,
    /// Initialization part and segment index.
    head: Vec<u8>,
    fragments: Vec<Fragment>,
    video: Option<Lead>,
    audio: Option<Lead>,
    index: SegmentIndex,
    facts: PackageFacts,
}

/// How a track is moved to its place.
#[derive(Clone, Copy)]
struct Lead {
    /// Samples that are left out at the beginning.
    skip: u64,
    /// Samples that are kept after them.
    keep: u64,
    shift: Shift,
    /// When the track's edit list ends.
    until: Option<i64>,
}

impl Lead {
    /// When a moved sample ends. The length of a picture is a distance of decoding times; where pictures are reordered
    /// and their lengths differ, only the edit list knows when the last one goes.
    fn end_of(&self, sample: &Sample) -> u64 {
        let shown = self.shift.shown(sample);
        let end = shown.saturating_add(sample.duration.into());
        let end = self.until.map_or(end, |until| end.min(until).max(shown));
        u64::try_from(end).unwrap_or(0)
    }

    /// How long the last moved sample lasts: to where the edit list ends, which fragments say in no other way.
    fn last_duration(&self, sample: &Sample) -> u32 {
        let left = self.until.map(|until| until.saturating_sub(self.shift.shown(sample)));
        let left = left.filter(|left| *left > 0).and_then(|left| u32::try_from(left).ok());
        left.map_or(sample.duration, |left| left.min(sample.duration))
    }
}

impl Package {
    /// Reads a source's index and decides where its segments begin, aiming at `segment_s` seconds.
    ///
    /// # Errors
    /// What can't be played as it is.
    pub fn plan<S: ReadAt + ?Sized>(source: &S, segment_s: u32) -> Result<Self, Unplayable> {
        let movie = Movie::read(source)?;
        let spans = |track: &Option<MovieTrack>| -> Result<Option<Span>, Unplayable> {
            track.as_ref().map(|track| Span::find(movie.samples(source, track)?, track)).transpose()
        };
        let (video_span, audio_span) = (spans(&movie.video)?, spans(&movie.audio)?);
        let scale = |track: &Option<MovieTrack>| track.as_ref().map_or(1, |track| track.timescale);
        let (video_scale, audio_scale) = (scale(&movie.video), scale(&movie.audio));
        // The earliest thing shown is shown at zero.
        let starts = [
            video_span.as_ref().map(|span| (span.first_shown, video_scale)),
            audio_span.as_ref().map(|span| (span.first_shown.max(0), audio_scale)),
        ];
        let earliest = starts.into_iter().flatten().min_by_key(|(time, scale)| convert(*time, *scale, NANO));
        let earliest = earliest.ok_or(Unplayable::NoMedia)?;
        let lead = |span: &Span, track: &MovieTrack| {
            let to_zero = convert(earliest.0, earliest.1, track.timescale);
            let edit = track.edit.delay.saturating_sub(track.edit.from).saturating_sub(to_zero);
            let until = track.edit.until.map(|until| until.saturating_add(edit));
            let shift = Shift::new(edit, span.first_decoded, span.least_composition);
            Lead { skip: span.skip, keep: span.keep, shift, until }
        };
        let lead_of = |span: &Option<Span>, track: &Option<MovieTrack>| {
            span.as_ref().zip(track.as_ref()).map(|(span, track)| lead(span, track))
        };
        let (video, audio) = (lead_of(&video_span, &movie.video), lead_of(&audio_span, &movie.audio));
        let mut layout = Layout::default();
        match (&movie.video, video) {
            (Some(track), Some(lead)) => {
                let cuts = Cuts::new(u64::from(segment_s).saturating_mul(track.timescale.into()));
                layout.lay_video(source, &movie, track, lead, cuts)?;
                if let (Some(sound), Some(lead)) = (&movie.audio, audio) {
                    layout.lay_sound(source, &movie, sound, lead, track.timescale)?;
                }
            }
            (None, None) => {
                let (sound, lead) = movie.audio.as_ref().zip(audio).ok_or(Unplayable::NoMedia)?;
                let cuts = Cuts::new(u64::from(segment_s).saturating_mul(sound.timescale.into()));
                layout.lay_sound_alone(source, &movie, sound, lead, &cuts)?;
            }
            _ => return Err(Unplayable::NoMedia),
        }
        let media_bytes = layout.fragments.iter().fold(0_u64, |sum, one| sum.saturating_add(one.media_bytes()));
        if media_bytes > source.len() {
            // Frames that share their bytes: a small file that would fill the disk.
            return Err(Unplayable::Damaged("its frames are together larger than the file"));
        }
        let timescale = if movie.video.is_some() { video_scale } else { audio_scale };
        Self::finish(movie, layout, timescale, segment_s, video, audio)
    }

    fn finish(
        movie: Movie,
        layout: Layout,
        timescale: u32,
        segment_s: u32,
        video: Option<Lead>,
        audio: Option<Lead>,
    ) -> Result<Self, Unplayable> {
        let Layout { fragments, end, video_samples, video_duration, .. } = layout;
        let duration = end.max(1);
        let duration_ms = super::track::to_ms(duration, timescale).max(1);
        if duration_ms > MAX_DURATION_MS {
            return Err(Unplayable::TooLong);
        }
        // From here on time is the index's.
        let index_timescale = timescale.min(MAX_INDEX_TIMESCALE);
        let in_index = |time: u64| {
            let time = u128::from(time).saturating_mul(index_timescale.into()).checked_div(timescale.into());
            time.and_then(|time| u64::try_from(time).ok()).unwrap_or(u64::MAX)
        };
        let frame_rate = frames_per_1000_s(video_samples, video_duration, timescale);
        let (duration, timescale) = (in_index(duration).max(1), index_timescale);
        let init = init_part(&movie, duration_ms, [video, audio].map(|lead| lead.map(|lead| lead.shift)));
        let init_bytes = u32::try_from(init.len()).map_err(|_| Unplayable::IndexTooLarge)?;
        let mut segments = Vec::with_capacity(fragments.len());
        let mut starts = fragments.iter().skip(1).map(|fragment| in_index(fragment.start)).chain([duration]);
        let mut start = 0;
        for fragment in &fragments {
            let next = starts.next().unwrap_or(duration).max(start);
            let bytes = fragment.size_bytes();
            if bytes > MAX_SEGMENT_BYTES {
                return Err(Unplayable::NoKeyframes);
            }
            segments.push(Segment {
                offset: 0,
                bytes: u32::try_from(bytes).map_err(|_| Unplayable::NoKeyframes)?,
                start,
                duration: u32::try_from(next - start).map_err(|_| Unplayable::TooLong)?,
                keyframe_bytes: u32::try_from(fragment.keyframe_bytes()).map_err(|_| Unplayable::NoKeyframes)?,
                access_point: fragment.access_point,
            });
            start = next;
        }
        let mut head = init;
        let delays = fragments.iter().map(|fragment| in_index(fragment.access_delay));
        let with_delays: Vec<_> = segments.iter().copied().zip(delays).collect();
        head.extend(segment_index_box(&with_delays, timescale, movie.video.is_some()));
        let mut offset = head.len() as u64;
        for segment in &mut segments {
            segment.offset = offset;
            offset = offset.saturating_add(segment.bytes.into());
        }
        let per_second = |bytes: u64, duration: u64| {
            let bits = u128::from(bytes).saturating_mul(8).saturating_mul(timescale.into());
            bits.checked_div(duration.max(1).into()).and_then(|bits| u64::try_from(bits).ok()).unwrap_or(u64::MAX)
        };
        // A last segment of some frames says little of the line it takes (RFC 8216 §4.1).
        let least = u64::from(timescale).saturating_mul(segment_s.into()) / 2;
        let peak = segments.iter().map(|one| per_second(one.bytes.into(), u64::from(one.duration).max(least)));
        let average_bits_per_s = per_second(offset, duration);
        let longest = segments.iter().map(|one| u64::from(one.duration)).max().unwrap_or(0);
        let facts = PackageFacts {
            duration_ms,
            peak_bits_per_s: peak.max().unwrap_or(0).max(average_bits_per_s),
            average_bits_per_s,
            longest_segment_ms: super::track::to_ms(longest, timescale),
            video: movie.video.as_ref().map(|track| VideoFormat {
                codec: track.encoding.codec.clone(),
                width_px: track.facts.width_px.unwrap_or(0),
                height_px: track.facts.height_px.unwrap_or(0),
                frames_per_1000_s: frame_rate,
            }),
            audio: movie.audio.as_ref().map(|track| AudioFormat {
                codec: track.encoding.codec.clone(),
                channels: track.encoding.channels,
                sample_rate_hz: track.encoding.sample_rate_hz,
            }),
            tracks: movie.tracks.clone(),
        };
        let index = SegmentIndex { timescale, init_bytes, segments };
        Ok(Self { movie, head, fragments, video, audio, index, facts })
    }

    /// Length of what [`Package::write`] will write, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.index.segments.last().map_or(self.head.len() as u64, |last| last.range().end)
    }

    /// Where the segments will stand.
    pub fn index(&self) -> &SegmentIndex {
        &self.index
    }

    /// What it will be.
    pub fn facts(&self) -> &PackageFacts {
        &self.facts
    }

    /// Writes it from beginning to end into `sink`, in steps of a megabyte at most.
    ///
    /// # Errors
    /// What `sink` answers; that the source can't be read; that it is another one than was planned with.
    pub fn write<S: ReadAt + ?Sized>(
        &self,
        source: &S,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let samples = |track: &Option<MovieTrack>, lead: Option<Lead>| {
            let both = track.as_ref().zip(lead);
            both.map(|(track, lead)| Cursor::new(self.movie.samples(source, track)?, lead)).transpose()
        };
        let mut video = samples(&self.movie.video, self.video).map_err(io::Error::other)?;
        let mut audio = samples(&self.movie.audio, self.audio).map_err(io::Error::other)?;
        let mut copy = Copy { source, sink, buffer: vec![0; COPY_BYTES], from: 0, bytes: 0 };
        (copy.sink)(&self.head)?;
        for (number, fragment) in (1_u32..).zip(&self.fragments) {
            let mut writer = fragment.writer(number);
            // Once for the fragment's head, and again for its bytes: nothing is held in between.
            for (cursor, kind) in [(&video, TrackKind::Video), (&audio, TrackKind::Audio)] {
                if let Some(mut cursor) = cursor.clone() {
                    writer.put_track(kind, || cursor.expect())?;
                }
            }
            let head = writer.finish();
            if head.len() as u64 != fragment.head_bytes() {
                return Err(io::Error::other("a fragment came out another length than planned"));
            }
            for step in head.chunks(COPY_BYTES) {
                (copy.sink)(step)?;
            }
            for (cursor, track) in [(&mut video, &fragment.video), (&mut audio, &fragment.audio)] {
                if let (Some(cursor), Some(track)) = (cursor, track) {
                    for _ in 0..track.samples {
                        let sample = cursor.expect()?;
                        copy.add(sample.offset, sample.bytes.into())?;
                    }
                }
            }
            copy.flush()?;
        }
        Ok(())
    }
}

/// Units for comparing times of different tracks.
const NANO: u32 = 1_000_000_000;

/// `time` in units of `from` a second, in units of `to`, rounded down.
fn convert(time: i64, from: u32, to: u32) -> i64 {
    let wide = i128::from(time).saturating_mul(to.into()).div_euclid(i128::from(from.max(1)));
    i64::try_from(wide).unwrap_or(i64::MAX)
}

fn frames_per_1000_s(samples: u64, duration: u64, timescale: u32) -> u32 {
    let frames = u128::from(samples).saturating_mul(timescale.into()).saturating_mul(1000);
    let half = u128::from(duration / 2);
    let rate = frames.saturating_add(half).checked_div(duration.into()).unwrap_or(0);
    u32::try_from(rate).unwrap_or(u32::MAX)
}

/// What of a track is kept, found on a first walk over it.
struct Span {
    skip: u64,
    keep: u64,
    /// Decode time of the first sample kept.
    first_decoded: u64,
    /// When the earliest sample kept is shown after its edit list; below zero is before the beginning.
    first_shown: i64,
    least_composition: i32,
}

impl Span {
    fn find<S: ReadAt + ?Sized>(mut samples: Samples<'_, S>, track: &MovieTrack) -> Result<Self, Unplayable> {
        let edit = track.edit.delay.saturating_sub(track.edit.from);
        let preroll = i64::try_from(u64::from(track.timescale).saturating_mul(PREROLL_MS) / 1000).unwrap_or(0);
        let is_video = track.kind == TrackKind::Video;
        let mut span: Option<Self> = None;
        let mut last_shown = 0_u64;
        let mut number = 0_u64;
        while let Some(sample) = samples.next()? {
            let shown_in_media = shown(&sample);
            let at = shown_in_media.saturating_add(edit);
            let begins_anew = if is_video {
                sample.is_sync && at <= 0
            } else {
                at.saturating_add(sample.duration.into()) <= preroll.saturating_neg()
            };
            match &mut span {
                Some(span) if !begins_anew => {
                    span.first_shown = span.first_shown.min(at);
                    span.least_composition = span.least_composition.min(sample.composition);
                }
                _ => {
                    let (first_decoded, least_composition) = (sample.decode_time, sample.composition);
                    span = Some(Self { skip: number, keep: 0, first_decoded, first_shown: at, least_composition });
                }
            }
            number = number.saturating_add(1);
            if track.edit.until.is_none_or(|until| shown_in_media < until) {
                last_shown = number;
            }
        }
        let mut span = span.ok_or(Unplayable::NoMedia)?;
        // An edit list that shows nothing of what there is would leave nothing to package.
        let until = if last_shown > span.skip { last_shown } else { number };
        span.keep = until.saturating_sub(span.skip);
        Ok(span)
    }
}

/// When a sample is shown, in its media's own time.
fn shown(sample: &Sample) -> i64 {
    i64::try_from(sample.decode_time).unwrap_or(i64::MAX).saturating_add(sample.composition.into())
}

/// A place among the samples that are kept, moved to where they are shown.
struct Cursor<'a, S: ?Sized> {
    samples: Samples<'a, S>,
    left: u64,
    lead: Lead,
}

impl<S: ?Sized> Clone for Cursor<'_, S> {
    fn clone(&self) -> Self {
        Self { samples: self.samples.clone(), left: self.left, lead: self.lead }
    }
}

impl<'a, S: ReadAt + ?Sized> Cursor<'a, S> {
    fn new(mut samples: Samples<'a, S>, lead: Lead) -> Result<Self, Unplayable> {
        for _ in 0..lead.skip {
            samples.next()?;
        }
        Ok(Self { samples, left: lead.keep, lead })
    }

    fn next(&mut self) -> Result<Option<Sample>, Unplayable> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let Some(sample) = self.samples.next()? else { return Ok(None) };
        let sample = self.lead.shift.apply(sample)?;
        let duration = if left == 0 { self.lead.last_duration(&sample) } else { sample.duration };
        Ok(Some(Sample { duration, ..sample }))
    }

    fn expect(&mut self) -> io::Result<Sample> {
        let sample = self.next().map_err(io::Error::other)?;
        sample.ok_or_else(|| io::Error::other("the source ends before its plan"))
    }
}

/// A sample at which decoding can begin.
#[derive(Clone, Copy)]
struct Cut {
    /// Its place among the samples that are kept.
    number: u64,
    /// When it is shown.
    at: u64,
    /// Whether all that follows it can be decoded from it on; `None` where that can't be told.
    is_closed: Option<bool>,
}

/// Where segments begin. Time is in units of the track that leads.
struct Cuts {
    target: u64,
    start: u64,
    /// A place before the target where a segment could begin.
    early: Option<Cut>,
}

impl Cuts {
    fn new(target: u64) -> Self {
        Self { target: target.max(1), start: 0, early: None }
    }

    /// Tells of a place to cut at. Answers those at which new segments begin, of which there may be two.
    fn tell(&mut self, cut: Cut) -> impl Iterator<Item = Cut> {
        let mut cuts = [None; 2];
        let mut length = cut.at.saturating_sub(self.start);
        if let Some(early) = self.early
            && length >= self.target
        {
            let short_by = self.target.saturating_sub(early.at.saturating_sub(self.start));
            if short_by < length.saturating_sub(self.target) {
                cuts = [Some(early), None];
                self.start = early.at;
                length = cut.at.saturating_sub(early.at);
            }
            self.early = None;
        }
        // What can't be told is taken for closed, as most are.
        if cut.is_closed == Some(false) && length < self.target.saturating_mul(UNCLEAN_AFTER) {
            return cuts.into_iter().flatten();
        }
        if length >= self.target {
            let [_, second] = &mut cuts;
            *second = Some(cut);
            self.start = cut.at;
            self.early = None;
        } else if length >= self.target / 2 && length > 0 {
            self.early = Some(cut);
        }
        cuts.into_iter().flatten()
    }
}

/// Segments as they are found.
#[derive(Default)]
struct Layout {
    fragments: Vec<Fragment>,
    /// When all has been shown.
    end: u64,
    video_samples: u64,
    video_duration: u64,
}

impl Layout {
    fn lay_video<S: ReadAt + ?Sized>(
        &mut self,
        source: &S,
        movie: &Movie,
        track: &MovieTrack,
        lead: Lead,
        mut cuts: Cuts,
    ) -> Result<(), Unplayable> {
        let cursor = Cursor::new(movie.samples(source, track)?, lead)?;
        let mut begins: Vec<Cut> = Vec::new();
        let mut walk = cursor.clone();
        let (mut number, mut looked_at) = (0_u64, 0_u32);
        while let Some(sample) = walk.next()? {
            let at = u64::try_from(lead.shift.shown(&sample)).unwrap_or(0);
            // A place that will not be used need not be read.
            let is_of_use = sample.is_sync && at.saturating_sub(cuts.start) >= cuts.target / 2;
            if is_of_use || number == 0 {
                looked_at = looked_at.saturating_add(1);
                let is_closed = (looked_at <= MAX_KEYFRAMES_LOOKED_AT).then(|| is_closed(source, track, &sample));
                let cut = Cut { number, at, is_closed: is_closed.flatten() };
                if number == 0 {
                    begins.push(cut);
                } else {
                    begins.extend(cuts.tell(cut));
                }
                if begins.len() > MAX_SEGMENTS {
                    return Err(Unplayable::TooManySegments);
                }
            }
            number = number.saturating_add(1);
        }
        self.video_samples = number;
        let mut walk = cursor;
        let mut ends = begins.iter().skip(1).map(|cut| cut.number).chain([number]);
        for cut in &begins {
            let end = ends.next().unwrap_or(number);
            let mut run = FragmentTrack::default();
            let mut shown: Option<Shown> = None;
            for _ in cut.number..end {
                let Some(sample) = walk.next()? else { break };
                run.add(&sample)?;
                let at = lead.shift.shown(&sample);
                let first = shown.map_or(at, |shown| shown.first_decoded);
                shown =
                    Some(Shown { first_decoded: first, earliest: shown.map_or(at, |shown| shown.earliest.min(at)) });
                self.end = self.end.max(lead.end_of(&sample));
                self.video_duration = self.video_duration.saturating_add(sample.duration.into());
            }
            let shown = shown.unwrap_or_default();
            let access_point = match (cut.is_closed.filter(|_| run.first_is_sync), shown.is_reordered()) {
                (Some(true), false) => AccessPoint::Closed,
                (Some(true), true) => AccessPoint::Reordered,
                (Some(false), true) => AccessPoint::Open,
                (Some(false), false) | (None, _) => AccessPoint::Unknown,
            };
            let start = if cut.number == 0 { 0 } else { u64::try_from(shown.earliest).unwrap_or(0) };
            let access_delay = shown.first_decoded.abs_diff(shown.earliest);
            self.fragments.push(Fragment { start, access_point, access_delay, video: Some(run), audio: None });
        }
        Ok(())
    }

    /// Lays sound beside the pictures: each sample into the segment in which it begins to be heard.
    fn lay_sound<S: ReadAt + ?Sized>(
        &mut self,
        source: &S,
        movie: &Movie,
        track: &MovieTrack,
        lead: Lead,
        timescale: u32,
    ) -> Result<(), Unplayable> {
        let mut walk = Cursor::new(movie.samples(source, track)?, lead)?;
        let mut next = walk.next()?;
        let starts: Vec<i64> =
            self.fragments.iter().skip(1).map(|one| i64::try_from(one.start).unwrap_or(i64::MAX)).collect();
        let mut starts = starts.into_iter();
        for fragment in &mut self.fragments {
            let end = starts.next().map(|start| convert(start, timescale, track.timescale));
            let mut run = FragmentTrack::default();
            while let Some(sample) = next.filter(|sample| end.is_none_or(|end| lead.shift.shown(sample) < end)) {
                run.add(&sample)?;
                let until = i64::try_from(lead.end_of(&sample)).unwrap_or(i64::MAX);
                self.end = self.end.max(u64::try_from(convert(until, track.timescale, timescale)).unwrap_or(0));
                next = walk.next()?;
            }
            fragment.audio = (run.samples > 0).then_some(run);
        }
        Ok(())
    }

    fn lay_sound_alone<S: ReadAt + ?Sized>(
        &mut self,
        source: &S,
        movie: &Movie,
        track: &MovieTrack,
        lead: Lead,
        cuts: &Cuts,
    ) -> Result<(), Unplayable> {
        let mut walk = Cursor::new(movie.samples(source, track)?, lead)?;
        let (mut start, mut run) = (0, FragmentTrack::default());
        while let Some(sample) = walk.next()? {
            let at = u64::try_from(lead.shift.shown(&sample)).unwrap_or(0);
            if at.saturating_sub(start) >= cuts.target && sample.is_sync && run.samples > 0 {
                self.fragments.push(sound_fragment(start, std::mem::take(&mut run)));
                start = at;
            }
            run.add(&sample)?;
            if self.fragments.len() == MAX_SEGMENTS {
                return Err(Unplayable::TooManySegments);
            }
            self.end = self.end.max(lead.end_of(&sample));
        }
        self.fragments.push(sound_fragment(start, run));
        Ok(())
    }
}

/// When of a segment's pictures some are shown.
#[derive(Clone, Copy, Default)]
struct Shown {
    first_decoded: i64,
    earliest: i64,
}

impl Shown {
    fn is_reordered(self) -> bool {
        self.earliest < self.first_decoded
    }
}

/// A segment of sound alone: every sample of it can be decoded without another.
fn sound_fragment(start: u64, run: FragmentTrack) -> Fragment {
    let access_point = if run.first_is_sync { AccessPoint::Closed } else { AccessPoint::Unknown };
    Fragment { start, access_point, access_delay: 0, video: None, audio: Some(run) }
}

/// Whether all that follows this picture can be decoded from it on; `None` where that can't be told.
fn is_closed<S: ReadAt + ?Sized>(source: &S, track: &MovieTrack, sample: &Sample) -> Option<bool> {
    let Some(units) = track.encoding.nal_units else { return Some(true) };
    let mut start = [0; LOOK_BYTES];
    let length = usize::try_from(sample.bytes).unwrap_or(LOOK_BYTES).min(LOOK_BYTES);
    let start = start.get_mut(..length)?;
    source.read_exact_at(start, sample.offset).ok()?;
    // What stands further on takes a read of its own.
    let head = |at: u64| {
        let mut head = [0; 8];
        let bytes = usize::try_from(u64::from(sample.bytes).checked_sub(at)?.min(8)).ok()?;
        let known = usize::try_from(at).ok().and_then(|at| start.get(at..at.checked_add(bytes)?));
        match known {
            Some(known) => head.get_mut(..bytes)?.copy_from_slice(known),
            None => source.read_exact_at(head.get_mut(..bytes)?, sample.offset.checked_add(at)?).ok()?,
        }
        (bytes > 4).then_some(head)
    };
    begins_cleanly(units, head)
}

/// Copies samples, those that lie behind each other in one go.
struct Copy<'a, S: ?Sized> {
    source: &'a S,
    sink: &'a mut dyn FnMut(&[u8]) -> io::Result<()>,
    buffer: Vec<u8>,
    from: u64,
    bytes: u64,
}

impl<S: ReadAt + ?Sized> Copy<'_, S> {
    fn add(&mut self, offset: u64, bytes: u64) -> io::Result<()> {
        if self.from.checked_add(self.bytes) != Some(offset) {
            self.flush()?;
            self.from = offset;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.bytes > 0 {
            let step = usize::try_from(self.bytes).unwrap_or(usize::MAX).min(self.buffer.len());
            let step = self.buffer.get_mut(..step).unwrap_or_default();
            self.source.read_exact_at(step, self.from)?;
            (self.sink)(step)?;
            self.from = self.from.saturating_add(step.len() as u64);
            self.bytes = self.bytes.saturating_sub(step.len() as u64);
        }
        Ok(())
    }
}
