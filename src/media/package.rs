//! Packaging: from a source to one fragmented MP4 with a fragment per segment, so that the same file is the segments
//! and the progressive download.
//!
//! Everything is laid out before a byte is written: a first walk over the samples finds where segments begin, a second
//! adds up what each holds, and a third writes. Between them only segments are remembered, never samples.

mod kept;
mod layout;

use super::encoding::is_below_mp3;
use super::fragment_out::{Fragment, Shift, init_part, segment_index_box};
use super::movie::{Movie, MovieTrack};
use super::segment_index::{Segment, SegmentIndex};
use super::source::{
    AIMED_SEGMENTS, MAX_DURATION_MS, MAX_GROWTH, MAX_GROWTH_BYTES, MAX_SEGMENT_BYTES, ReadAt, Unplayable,
};
use crate::domain::{AudioFormat, Track, TrackKind, VideoFormat};
use kept::{Cursor, Lead, Span, convert};
use layout::{Cuts, Layout};
use std::io;

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;

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

impl Package {
    /// Reads a source's index and decides where its segments begin, aiming at `segment_s` seconds, or at a multiple where
    /// those would be too many.
    ///
    /// # Errors
    /// What can't be played as it is.
    pub fn plan<S: ReadAt + ?Sized>(source: &S, segment_s: u32) -> Result<Self, Unplayable> {
        let movie = Movie::read(source)?;
        let played = movie.tracks.iter().filter(|track| track.played == Some(true));
        let segment_s = lengthened(segment_s, played.map(|track| track.duration_ms).max().unwrap_or(0));
        let spans = |track: &Option<MovieTrack>| -> Result<Option<Span>, Unplayable> {
            track.as_ref().map(|track| Span::find(movie.samples(source, track)?, track)).transpose()
        };
        if let Some(track) = movie.audio.as_ref().filter(|track| track.encoding.has_layers()) {
            check_layer(source, &movie, track)?;
        }
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
            let until = track.edit.until.filter(|_| !span.is_hidden).map(|until| until.saturating_add(edit));
            let shift = Shift::new(edit, span.first_decoded, span.least_composition);
            let longest = MAX_DURATION_MS.saturating_mul(track.timescale.into()) / 1_000;
            Lead { skip: span.skip, keep: span.keep, shift, until, longest }
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
        let timescale = if movie.video.is_some() { video_scale } else { audio_scale };
        let package = Self::finish(movie, layout, timescale, segment_s, video, audio)?;
        if package.size_bytes() > source.len().saturating_mul(MAX_GROWTH).saturating_add(MAX_GROWTH_BYTES) {
            return Err(Unplayable::Grows);
        }
        Ok(package)
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

/// Refuses MPEG audio of layers I and II, which has the name of MP3.
fn check_layer<S: ReadAt + ?Sized>(source: &S, movie: &Movie, track: &MovieTrack) -> Result<(), Unplayable> {
    let mut head = [0; 2];
    match movie.samples(source, track)?.next()? {
        Some(first) if first.bytes >= 2 => source.read_exact_at(&mut head, first.offset)?,
        _ => return Ok(()),
    }
    match is_below_mp3(head) {
        true => Err(Unplayable::AudioCodec("MPEG audio, layer I or II".to_owned())),
        false => Ok(()),
    }
}

/// The length of segments that a film of `duration_ms` is not cut into too many with. It grows in large steps: the
/// qualities of a film, whose lengths differ by some milliseconds, are to be cut alike.
fn lengthened(segment_s: u32, duration_ms: u64) -> u32 {
    let mut length_s = segment_s.max(1);
    while duration_ms / 1_000 / u64::from(length_s) > AIMED_SEGMENTS && length_s < MAX_SEGMENT_S {
        length_s = length_s.saturating_mul(2);
    }
    length_s
}

/// What segments are not made longer than, in seconds: [`MAX_DURATION_MS`] has enough of them.
const MAX_SEGMENT_S: u32 = 60;

/// Units for comparing times of different tracks.
const NANO: u32 = 1_000_000_000;

fn frames_per_1000_s(samples: u64, duration: u64, timescale: u32) -> u32 {
    let frames = u128::from(samples).saturating_mul(timescale.into()).saturating_mul(1000);
    let half = u128::from(duration / 2);
    let rate = frames.saturating_add(half).checked_div(duration.into()).unwrap_or(0);
    u32::try_from(rate).unwrap_or(u32::MAX)
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
