//! Which samples of a track are kept, and where they are moved.

use super::super::fragment_out::Shift;
use super::super::movie::MovieTrack;
use super::super::samples::{Sample, Samples};
use super::super::source::{ReadAt, Unplayable};
use crate::domain::TrackKind;
use std::io;

/// How much of a sound's beginning that is not shown is kept for the decoder, in milliseconds: codecs overlap by less.
const PREROLL_MS: u64 = 100;

/// How a track is moved to its place.
#[derive(Clone, Copy)]
pub(super) struct Lead {
    /// Samples that are left out at the beginning.
    pub(super) skip: u64,
    /// Samples that are kept after them.
    pub(super) keep: u64,
    pub(super) shift: Shift,
    /// When the track's edit list ends.
    pub(super) until: Option<i64>,
    /// What all kept samples may last together, whatever of it the edit list shows: what is written has to be read again.
    pub(super) longest: u64,
}

impl Lead {
    /// When a moved sample ends. The length of a picture is a distance of decoding times; where pictures are reordered
    /// and their lengths differ, only the edit list knows when the last one goes.
    pub(super) fn end_of(&self, sample: &Sample) -> u64 {
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

/// What of a track is kept, found on a first walk over it.
pub(super) struct Span {
    pub(super) skip: u64,
    pub(super) keep: u64,
    /// Decode time of the first sample kept.
    pub(super) first_decoded: u64,
    /// When the earliest sample kept is shown after its edit list; below zero is before the beginning.
    pub(super) first_shown: i64,
    pub(super) least_composition: i32,
    /// Whether the edit list shows none of it, and is not followed to its end.
    pub(super) is_hidden: bool,
}

impl Span {
    pub(super) fn find<S: ReadAt + ?Sized>(
        mut samples: Samples<'_, S>,
        track: &MovieTrack,
    ) -> Result<Self, Unplayable> {
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
                    span = Some(Self {
                        skip: number,
                        keep: 0,
                        first_decoded,
                        first_shown: at,
                        least_composition,
                        is_hidden: false,
                    });
                }
            }
            number = number.saturating_add(1);
            if track.edit.until.is_none_or(|until| shown_in_media < until) {
                last_shown = number;
            }
        }
        let mut span = span.ok_or(Unplayable::NoMedia)?;
        // An edit list that shows nothing of what there is would leave nothing to package.
        span.is_hidden = last_shown <= span.skip;
        let until = if span.is_hidden { number } else { last_shown };
        span.keep = until.saturating_sub(span.skip);
        Ok(span)
    }
}

/// When a sample is shown, in its media's own time.
fn shown(sample: &Sample) -> i64 {
    i64::try_from(sample.decode_time).unwrap_or(i64::MAX).saturating_add(sample.composition.into())
}

/// A place among the samples that are kept, moved to where they are shown.
pub(super) struct Cursor<'a, S: ?Sized> {
    samples: Samples<'a, S>,
    left: u64,
    /// What those before lasted.
    lasted: u64,
    lead: Lead,
}

impl<S: ?Sized> Clone for Cursor<'_, S> {
    fn clone(&self) -> Self {
        Self { samples: self.samples.clone(), left: self.left, lasted: self.lasted, lead: self.lead }
    }
}

impl<'a, S: ReadAt + ?Sized> Cursor<'a, S> {
    pub(super) fn new(mut samples: Samples<'a, S>, lead: Lead) -> Result<Self, Unplayable> {
        for _ in 0..lead.skip {
            samples.next()?;
        }
        Ok(Self { samples, left: lead.keep, lasted: 0, lead })
    }

    pub(super) fn next(&mut self) -> Result<Option<Sample>, Unplayable> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let Some(sample) = self.samples.next()? else { return Ok(None) };
        let sample = self.lead.shift.apply(sample)?;
        let duration = if left == 0 { self.lead.last_duration(&sample) } else { sample.duration };
        self.lasted = self.lasted.saturating_add(duration.into());
        if self.lasted > self.lead.longest {
            return Err(Unplayable::TooLong);
        }
        Ok(Some(Sample { duration, ..sample }))
    }

    pub(super) fn expect(&mut self) -> io::Result<Sample> {
        let sample = self.next().map_err(io::Error::other)?;
        sample.ok_or_else(|| io::Error::other("the source ends before its plan"))
    }
}

/// `time` in units of `from` a second, in units of `to`, rounded down.
pub(super) fn convert(time: i64, from: u32, to: u32) -> i64 {
    let wide = i128::from(time).saturating_mul(to.into()).div_euclid(i128::from(from.max(1)));
    i64::try_from(wide).unwrap_or(i64::MAX)
}
