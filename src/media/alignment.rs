//! Whether two qualities of a film can be switched between at every segment.

use super::segment_index::SegmentIndex;

/// How far apart two segments may begin and still be the same place, in milliseconds: under two frames at 30 a second.
const TOLERANCE_MS: u64 = 50;

/// Where `other` is not cut like `source`, in sentences for whoever made it; nothing where it is.
pub fn differences(source: &SegmentIndex, other: &SegmentIndex) -> Vec<String> {
    let (wanted, found) = (starts_ms(source), starts_ms(other));
    let mut problems = Vec::new();
    if wanted.len() != found.len() {
        problems.push(format!(
            "It has {} segments where the source has {}: its keyframes stand elsewhere.",
            found.len(),
            wanted.len()
        ));
    }
    let pairs = wanted.iter().zip(&found).enumerate();
    let apart: Vec<_> = pairs.filter(|(_, (wanted, found))| wanted.abs_diff(**found) > TOLERANCE_MS).collect();
    if let Some((at, (wanted, found))) = apart.first() {
        problems.push(format!(
            "Segment {} begins at {} s and the source's at {} s; {} more differ.",
            at + 1,
            seconds(**found),
            seconds(**wanted),
            apart.len() - 1
        ));
    }
    problems
}

fn starts_ms(index: &SegmentIndex) -> Vec<u64> {
    let timescale = u64::from(index.timescale.max(1));
    index.segments.iter().map(|segment| segment.start.saturating_mul(1_000) / timescale).collect()
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{AccessPoint, Segment};

    fn index(timescale: u32, starts: &[u64]) -> SegmentIndex {
        let access_point = AccessPoint::Closed;
        let segment =
            |start: &u64| Segment { offset: 0, bytes: 1, start: *start, duration: 1, keyframe_bytes: 1, access_point };
        SegmentIndex { timescale, init_bytes: 0, segments: starts.iter().map(segment).collect() }
    }

    #[test]
    fn cuts_at_the_same_times_are_the_same_in_any_timescale() {
        let source = index(30_000, &[0, 60_060, 120_120]);
        assert!(differences(&source, &index(90_000, &[0, 180_180, 360_360])).is_empty());
        assert!(differences(&source, &index(1_000, &[0, 2_030, 4_000])).is_empty());
        let told = differences(&source, &index(1_000, &[0, 2_500, 4_500, 6_000]));
        assert_eq!(told.len(), 2);
        assert!(told[0].contains("4 segments where the source has 3"), "{told:?}");
        assert_eq!(told[1], "Segment 2 begins at 2.500 s and the source's at 2.002 s; 1 more differ.");
    }
}
