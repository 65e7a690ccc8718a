//! Sample tables (ISO/IEC 14496-12 §8.6 and §8.7), read in place: nothing is copied out of them, no run length is
//! expanded, and time is linear in the bytes and samples they hold.

use super::boxes::{child, required, u32_at};
use super::source::{MAX_SAMPLES_PER_TRACK, MediaData, Unplayable};

/// What a track's sample tables add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TableTotals {
    pub(super) samples: u64,
    /// In units of the track's timescale.
    pub(super) duration: u64,
    pub(super) bytes: u64,
}

/// Adds up the tables of `stbl`, and checks that every chunk they name is media.
pub(super) fn read_tables(stbl: &[u8], media: &MediaData) -> Result<TableTotals, Unplayable> {
    let sizes = Sizes::read(required(stbl, *b"stsz")?)?;
    let samples = sizes.samples();
    let duration = sum_of_durations(entries(required(stbl, *b"stts")?)?)?;
    let chunks = ChunkRuns::read(required(stbl, *b"stsc")?)?;
    let bytes = match (child(stbl, *b"stco")?, child(stbl, *b"co64")?) {
        (Some(offsets), None) => {
            let offsets = entries::<4>(offsets)?.iter().map(|offset| u32::from_be_bytes(*offset).into());
            check_chunks(offsets, chunks, sizes, media)?
        }
        (None, Some(offsets)) => {
            let offsets = entries::<8>(offsets)?.iter().map(|offset| u64::from_be_bytes(*offset));
            check_chunks(offsets, chunks, sizes, media)?
        }
        _ => return Err(Unplayable::Damaged("a track has no one list of chunks")),
    };
    Ok(TableTotals { samples, duration, bytes })
}

/// How many samples `stbl` claims, for a track whose tables are of no use to us.
pub(super) fn claimed_samples(stbl: &[u8]) -> Result<u64, Unplayable> {
    Ok(child(stbl, *b"stsz")?.and_then(|stsz| u32_at(stsz, 8)).unwrap_or(0).into())
}

/// One streaming pass over chunks and samples together. Answers how many bytes all samples have.
fn check_chunks(
    offsets: impl Iterator<Item = u64>,
    mut runs: ChunkRuns<'_>,
    mut sizes: Sizes<'_>,
    media: &MediaData,
) -> Result<u64, Unplayable> {
    let mut sum = 0_u64;
    for (number, offset) in (1_u64..).zip(offsets) {
        let bytes = sizes.take(runs.samples_in(number))?;
        media.check(offset, bytes)?;
        sum = sum.saturating_add(bytes);
    }
    if sizes.samples() > 0 { Err(Unplayable::Damaged("some of its samples stand in no chunk")) } else { Ok(sum) }
}

/// Sizes of the samples that are yet to be placed (`stsz`).
#[derive(Clone)]
pub(super) enum Sizes<'a> {
    Uniform { bytes: u64, samples: u64 },
    Each(&'a [[u8; 4]]),
}

impl<'a> Sizes<'a> {
    pub(super) fn read(stsz: &'a [u8]) -> Result<Self, Unplayable> {
        let bytes = u32_at(stsz, 4).ok_or(Unplayable::Damaged(SHORT_TABLE))?;
        let samples = u32_at(stsz, 8).ok_or(Unplayable::Damaged(SHORT_TABLE))?;
        if u64::from(samples) > MAX_SAMPLES_PER_TRACK {
            return Err(Unplayable::TooManySamples);
        }
        Ok(match bytes {
            // The rest is laid out like any table, four bytes later.
            0 => Self::Each(entries(stsz.get(4..).unwrap_or_default())?),
            _ => Self::Uniform { bytes: bytes.into(), samples: samples.into() },
        })
    }

    pub(super) fn samples(&self) -> u64 {
        match self {
            Self::Uniform { samples, .. } => *samples,
            Self::Each(sizes) => sizes.len() as u64,
        }
    }

    /// Bytes of the next `count` samples, or of all that are left. Writers round the last chunk up.
    pub(super) fn take(&mut self, count: u32) -> Result<u64, Unplayable> {
        match self {
            Self::Uniform { bytes, samples } => {
                let taken = u64::from(count).min(*samples);
                *samples = samples.saturating_sub(taken);
                bytes.checked_mul(taken).ok_or(Unplayable::IndexPastEnd)
            }
            Self::Each(sizes) => {
                let taken = usize::try_from(count).unwrap_or(usize::MAX).min(sizes.len());
                let (now, later) = sizes.split_at_checked(taken).unwrap_or_default();
                *sizes = later;
                // At most MAX_SAMPLES_PER_TRACK numbers of 32 bits: far from the end of 64.
                Ok(now.iter().map(|size| u64::from(u32::from_be_bytes(*size))).sum())
            }
        }
    }
}

/// How many samples stand in each chunk (`stsc`), asked for chunk after chunk.
#[derive(Clone)]
pub(super) struct ChunkRuns<'a> {
    rest: &'a [[u8; 12]],
    samples_per_chunk: u32,
}

impl<'a> ChunkRuns<'a> {
    pub(super) fn read(stsc: &'a [u8]) -> Result<Self, Unplayable> {
        Ok(Self { rest: entries(stsc)?, samples_per_chunk: 0 })
    }

    pub(super) fn samples_in(&mut self, chunk: u64) -> u32 {
        while let Some((&[a, b, c, d, e, f, g, h, ..], later)) = self.rest.split_first() {
            if u64::from(u32::from_be_bytes([a, b, c, d])) > chunk {
                break;
            }
            self.samples_per_chunk = u32::from_be_bytes([e, f, g, h]);
            self.rest = later;
        }
        self.samples_per_chunk
    }
}

/// Length of all runs of `stts`, in units of the track's timescale.
fn sum_of_durations(runs: &[[u8; 8]]) -> Result<u64, Unplayable> {
    let mut samples = 0_u64;
    let mut duration = 0_u64;
    for &[a, b, c, d, e, f, g, h] in runs {
        let count = u64::from(u32::from_be_bytes([a, b, c, d]));
        let delta = u64::from(u32::from_be_bytes([e, f, g, h]));
        samples = samples.saturating_add(count);
        if samples > MAX_SAMPLES_PER_TRACK {
            return Err(Unplayable::TooManySamples);
        }
        let run = count.checked_mul(delta).and_then(|run| duration.checked_add(run));
        duration = run.ok_or(Unplayable::TooLong)?;
    }
    Ok(duration)
}

/// The entries of a table: version and flags, a count, then that many entries of `N` bytes.
pub(super) fn entries<const N: usize>(body: &[u8]) -> Result<&[[u8; N]], Unplayable> {
    let count = u32_at(body, 4).and_then(|count| usize::try_from(count).ok());
    let (entries, _) = body.get(8..).unwrap_or_default().as_chunks::<N>();
    count.and_then(|count| entries.get(..count)).ok_or(Unplayable::Damaged(SHORT_TABLE))
}

const SHORT_TABLE: &str = "a table holds less than it claims";
