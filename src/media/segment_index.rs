//! The index beside a packaged rendition: where each segment stands, how long it lasts, and how much of it is its first
//! keyframe. Made of the packager's own numbers; read back from our own disk, and still checked.

use std::ops::Range;

/// First bytes of an encoded index; the last one is its version.
const MAGIC: [u8; 4] = *b"SIX1";
/// Bytes before the segments: magic, timescale, length of the initialization part, first segment's offset, count.
const HEAD_BYTES: usize = 4 + 4 + 4 + 8 + 4;
/// Bytes of one segment: length, duration, keyframe.
const SEGMENT_BYTES: usize = 12;

/// Where the segments of a packaged rendition stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentIndex {
    /// Units of a second in which durations are counted.
    pub timescale: u32,
    /// Length of the initialization part (`ftyp` and `moov`), with which the file begins.
    pub init_bytes: u32,
    /// The segments, in order, without a gap between them.
    pub segments: Vec<Segment>,
}

/// One segment: a movie fragment (`moof` and `mdat`) that decodes on its own after the initialization part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u32,
    /// When it begins, in units of the timescale.
    pub start: u64,
    /// How long it lasts, in units of the timescale.
    pub duration: u32,
    /// Bytes from its beginning to the end of its first keyframe; 0 where it has no picture.
    pub keyframe_bytes: u32,
}

impl Segment {
    /// Its bytes in the file.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.bytes.into())
    }
}

impl SegmentIndex {
    /// The segment with this number, counted from 1.
    pub fn segment(&self, number: u32) -> Option<&Segment> {
        self.segments.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// How long it all lasts, in units of the timescale.
    pub fn duration(&self) -> u64 {
        self.segments.last().map_or(0, |last| last.start.saturating_add(last.duration.into()))
    }

    /// As it is kept.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.segments.len() * SEGMENT_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(self.timescale.to_be_bytes());
        bytes.extend(self.init_bytes.to_be_bytes());
        bytes.extend(self.segments.first().map_or(0, |first| first.offset).to_be_bytes());
        bytes.extend(u32::try_from(self.segments.len()).unwrap_or(u32::MAX).to_be_bytes());
        for segment in &self.segments {
            for number in [segment.bytes, segment.duration, segment.keyframe_bytes] {
                bytes.extend(number.to_be_bytes());
            }
        }
        bytes
    }

    /// Reads what [`SegmentIndex::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, segments) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let word = |at: usize| super::boxes::u32_at(head, at);
        if !head.starts_with(&MAGIC) {
            return None;
        }
        let (timescale, init_bytes, count) = (word(4)?, word(8)?, word(20)?);
        let mut offset = u64::from(word(12)?) << 32 | u64::from(word(16)?);
        let (entries, rest) = segments.as_chunks::<SEGMENT_BYTES>();
        if timescale == 0 || !rest.is_empty() || usize::try_from(count).ok()? != entries.len() {
            return None;
        }
        let mut start = 0_u64;
        let mut segments = Vec::with_capacity(entries.len());
        for entry in entries {
            let word = |at: usize| super::boxes::u32_at(entry, at);
            let (bytes, duration, keyframe_bytes) = (word(0)?, word(4)?, word(8)?);
            segments.push(Segment { offset, bytes, start, duration, keyframe_bytes });
            offset = offset.checked_add(bytes.into())?;
            start = start.checked_add(duration.into())?;
        }
        Some(Self { timescale, init_bytes, segments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let segments = vec![
            Segment { offset: 5_000_000_000, bytes: 9, start: 0, duration: 7, keyframe_bytes: 5 },
            Segment { offset: 5_000_000_009, bytes: 4, start: 7, duration: 1, keyframe_bytes: 0 },
        ];
        let index = SegmentIndex { timescale: 30, init_bytes: 800, segments };
        let bytes = index.encode();
        assert_eq!(SegmentIndex::decode(&bytes), Some(index.clone()));
        assert_eq!((index.duration(), index.segment(0), index.segment(2).unwrap().bytes), (8, None, 4));
        for cut in 0..bytes.len() {
            assert_eq!(SegmentIndex::decode(&bytes[..cut]), None);
        }
    }
}
