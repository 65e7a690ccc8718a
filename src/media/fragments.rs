//! Movie fragments (`moof`, ISO/IEC 14496-12 §8.8), added up one after the other.
//!
//! Runs are read in place: `mp4_atom::Trun` makes 40 bytes of every 4, which at our limit would be 160 MiB.

use super::boxes::{Boxes, child, decode, required, u32_at};
use super::source::{MAX_SAMPLES_PER_TRACK, MediaData, Unplayable};
use super::track::SourceTrack;
use mp4_atom::{Mehd, Mvhd, Tfhd, Trex};

/// What `mvex` says of the samples of the tracks `ids`, where their fragments do not: of each what is said first.
pub(super) fn read_defaults(mvex: &[u8], ids: &[u32]) -> Result<Vec<Trex>, Unplayable> {
    let mut defaults: Vec<Trex> = Vec::new();
    for each in Boxes::new(mvex) {
        let (kind, body) = each?;
        if kind == *b"trex" {
            let trex: Trex = decode(body)?;
            // Bounded by the number of tracks.
            if ids.contains(&trex.track_id) && defaults.iter().all(|known| known.track_id != trex.track_id) {
                defaults.push(trex);
            }
        }
    }
    Ok(defaults)
}

/// What the movie says about all of its fragments (`mvex`).
pub(super) struct FragmentDefaults {
    tracks: Vec<Trex>,
    /// In units of the movie's timescale.
    duration: Option<u64>,
}

impl FragmentDefaults {
    pub(super) fn read(mvex: &[u8], tracks: &[SourceTrack]) -> Result<Self, Unplayable> {
        let duration = child(mvex, *b"mehd")?.map(decode::<Mehd>).transpose()?.map(|mehd| mehd.fragment_duration);
        let ids: Vec<u32> = tracks.iter().map(|track| track.id).collect();
        if (1..).zip(&ids).any(|(later, id)| ids.get(later..).unwrap_or_default().contains(id)) {
            // Whose a fragment is could not be told.
            return Err(Unplayable::Damaged("two of its tracks have the same number"));
        }
        let defaults = read_defaults(mvex, &ids)?;
        Ok(Self { tracks: defaults, duration })
    }

    /// How long the movie says it is, in milliseconds.
    pub(super) fn duration_ms(&self, movie: &Mvhd) -> Option<u64> {
        self.duration.and_then(super::track::known).map(|duration| super::track::to_ms(duration, movie.timescale))
    }
}

/// Adds the fragment that begins at `moof_at` to the tracks it belongs to.
pub(super) fn add_fragment(
    tracks: &mut [SourceTrack],
    defaults: &FragmentDefaults,
    moof: &[u8],
    moof_at: u64,
    media: &MediaData,
) -> Result<(), Unplayable> {
    // Without a base of its own, a track fragment's media follow those of the one before it (§8.8.7).
    let mut data_end = moof_at;
    for each in Boxes::new(moof) {
        let (kind, traf) = each?;
        if kind != *b"traf" {
            continue;
        }
        let tfhd: Tfhd = decode(required(traf, *b"tfhd")?)?;
        let mut track = tracks.iter_mut().find(|track| track.id == tfhd.track_id);
        let trex = defaults.tracks.iter().find(|trex| trex.track_id == tfhd.track_id);
        let duration = tfhd.default_sample_duration.or(trex.map(|trex| trex.default_sample_duration)).unwrap_or(0);
        let bytes = tfhd.default_sample_size.or(trex.map(|trex| trex.default_sample_size)).unwrap_or(0);
        let base = tfhd.base_data_offset.unwrap_or(if tfhd.default_base_is_moof { moof_at } else { data_end });
        data_end = base;
        for each in Boxes::new(traf) {
            let (kind, trun) = each?;
            if kind != *b"trun" {
                continue;
            }
            let run = Run::read(trun, duration, bytes)?;
            let start = run.data_offset.map_or(Some(data_end), |offset| base.checked_add_signed(offset.into()));
            let start = start.ok_or(Unplayable::IndexPastEnd)?;
            data_end = start.saturating_add(run.bytes);
            let Some(track) = &mut track else { continue };
            track.samples = track.samples.saturating_add(run.samples);
            if track.samples > MAX_SAMPLES_PER_TRACK {
                return Err(Unplayable::TooManySamples);
            }
            let sum = track.sum_of_durations.checked_add(run.duration);
            track.sum_of_durations = sum.ok_or(Unplayable::TooLong)?;
            track.sum_of_bytes = track.sum_of_bytes.saturating_add(run.bytes);
            media.check(start, run.bytes)?;
        }
    }
    Ok(())
}

/// A track run (`trun`, §8.8.8), added up.
struct Run {
    samples: u64,
    duration: u64,
    bytes: u64,
    data_offset: Option<i32>,
}

impl Run {
    fn read(trun: &[u8], default_duration: u32, default_bytes: u32) -> Result<Self, Unplayable> {
        let short = || Unplayable::Damaged("a fragment holds less than it claims");
        let flags = u32_at(trun, 0).ok_or_else(short)?;
        let count = u32_at(trun, 4).ok_or_else(short)?;
        let samples = u64::from(count);
        if samples > MAX_SAMPLES_PER_TRACK {
            return Err(Unplayable::TooManySamples);
        }
        let mut at = 8_usize;
        let mut data_offset = None;
        if flags & DATA_OFFSET != 0 {
            data_offset = Some(u32_at(trun, at).ok_or_else(short)?.cast_signed());
            at = at.saturating_add(4);
        }
        if flags & FIRST_SAMPLE_FLAGS != 0 {
            at = at.saturating_add(4);
        }
        // At most MAX_SAMPLES_PER_TRACK numbers of 32 bits each: neither sum nor product nears the end of 64.
        let mut run = Self {
            samples,
            duration: samples.saturating_mul(default_duration.into()),
            bytes: samples.saturating_mul(default_bytes.into()),
            data_offset,
        };
        let words_per_sample = (flags & PER_SAMPLE).count_ones() as usize;
        if words_per_sample == 0 {
            return Ok(run);
        }
        let words = trun.get(at..).unwrap_or_default().as_chunks::<4>().0;
        let needed = usize::try_from(count).ok().and_then(|count| count.checked_mul(words_per_sample));
        let words = needed.and_then(|needed| words.get(..needed)).ok_or_else(short)?;
        let sum_of_field = |field: usize| -> u64 {
            let column = words.iter().skip(field).step_by(words_per_sample);
            column.map(|word| u64::from(u32::from_be_bytes(*word))).sum()
        };
        if flags & SAMPLE_DURATION != 0 {
            run.duration = sum_of_field(0);
        }
        if flags & SAMPLE_SIZE != 0 {
            run.bytes = sum_of_field(usize::from(flags & SAMPLE_DURATION != 0));
        }
        Ok(run)
    }
}

const DATA_OFFSET: u32 = 0x1;
const FIRST_SAMPLE_FLAGS: u32 = 0x4;
const SAMPLE_DURATION: u32 = 0x100;
const SAMPLE_SIZE: u32 = 0x200;
/// Duration, size, flags and composition offset: a word each.
const PER_SAMPLE: u32 = 0xf00;

#[cfg(test)]
mod tests;
