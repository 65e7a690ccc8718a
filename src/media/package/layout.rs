//! Where segments begin, and what each holds: found on two walks over the samples, before a byte is written.

use super::super::encoding::begins_cleanly;
use super::super::fragment_out::{Fragment, FragmentTrack};
use super::super::movie::{Movie, MovieTrack};
use super::super::samples::Sample;
use super::super::segment_index::AccessPoint;
use super::super::source::{MAX_SEGMENTS, ReadAt, Unplayable};
use super::kept::{Cursor, Lead, convert};

/// A picture that can be shown on its own, but with others before it that can't, is made the beginning of a segment only
/// after this many times the length aimed at.
const UNCLEAN_AFTER: u64 = 3;

/// Most keyframes that are looked into, each at the cost of a read; the rest are believed. 27 hours at ten a second.
const MAX_KEYFRAMES_LOOKED_AT: u32 = 1_000_000;
/// Bytes of a keyframe that are read for that at a time: what stands before the picture itself is rarely longer.
const LOOK_BYTES: usize = 512;

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
pub(super) struct Cuts {
    target: u64,
    start: u64,
    /// A place before the target where a segment could begin.
    early: Option<Cut>,
}

impl Cuts {
    pub(super) fn new(target: u64) -> Self {
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
pub(super) struct Layout {
    pub(super) fragments: Vec<Fragment>,
    /// When all has been shown.
    pub(super) end: u64,
    pub(super) video_samples: u64,
    pub(super) video_duration: u64,
}

impl Layout {
    pub(super) fn lay_video<S: ReadAt + ?Sized>(
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
    pub(super) fn lay_sound<S: ReadAt + ?Sized>(
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

    pub(super) fn lay_sound_alone<S: ReadAt + ?Sized>(
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
    let mut window = [0; LOOK_BYTES];
    let mut known = 0..0_u64;
    // What stands further on takes a read of its own, and with it comes what stands behind it.
    let head = |at: u64| {
        let mut head = [0; 8];
        let left = u64::from(sample.bytes).checked_sub(at)?;
        let bytes = left.min(8);
        let end = at.checked_add(bytes)?;
        if at < known.start || end > known.end {
            let length = left.min(LOOK_BYTES as u64);
            let window = window.get_mut(..usize::try_from(length).ok()?)?;
            source.read_exact_at(window, sample.offset.checked_add(at)?).ok()?;
            known = at..at.checked_add(length)?;
        }
        let from = usize::try_from(at.checked_sub(known.start)?).ok()?;
        let bytes = usize::try_from(bytes).ok()?;
        head.get_mut(..bytes)?.copy_from_slice(window.get(from..from.checked_add(bytes)?)?);
        (bytes > 4).then_some(head)
    };
    begins_cleanly(units, head)
}
