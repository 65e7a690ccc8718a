//! The index beside a packaged rendition: where each segment stands, how long it lasts, how much of it is its first
//! keyframe, and how decoding can begin there. Made of the packager's own numbers; read back from our own disk, and still checked.

use std::ops::Range;

/// First bytes of an encoded index; the last one is its version.
const MAGIC: [u8; 4] = *b"SIX2";
/// The version before it, which did not know how a segment begins.
const OLD_MAGIC: [u8; 4] = *b"SIX1";
/// Bytes before the segments: magic, timescale, length of the initialization part, first segment's offset, count.
const HEAD_BYTES: usize = 4 + 4 + 4 + 8 + 4;
/// Bytes of one segment: length, duration, keyframe, type of its access point.
const SEGMENT_BYTES: usize = 13;
/// The same in the version before.
const OLD_SEGMENT_BYTES: usize = 12;

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

/// How decoding can begin with a segment: the type of its stream access point (ISO/IEC 14496-12 Annex I).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccessPoint {
    /// Type 1: all of it can be decoded, and what is decoded first is shown first.
    Closed,
    /// Type 2: all of it can be decoded, and some of it is shown before what is decoded first.
    Reordered,
    /// Type 3: what is shown before its first picture can refer to the segment before.
    Open,
    /// Nothing is known that could be promised.
    Unknown,
}

impl AccessPoint {
    /// The number of its type; `None` where that is not known.
    pub fn sap_type(self) -> Option<u8> {
        match self {
            Self::Closed => Some(1),
            Self::Reordered => Some(2),
            Self::Open => Some(3),
            Self::Unknown => None,
        }
    }

    fn of_type(sap_type: u8) -> Option<Self> {
        Some(match sap_type {
            0 => Self::Unknown,
            1 => Self::Closed,
            2 => Self::Reordered,
            3 => Self::Open,
            _ => return None,
        })
    }

    /// Whether all of a segment can be decoded without another.
    pub fn is_independent(self) -> bool {
        matches!(self, Self::Closed | Self::Reordered)
    }
}

/// One segment: a movie fragment (`moof` and `mdat`) with which decoding can begin after the initialization part.
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
    /// How decoding can begin with it.
    pub access_point: AccessPoint,
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

    /// Whether each segment can be decoded without another.
    pub fn is_independent(&self) -> bool {
        self.segments.iter().all(|segment| segment.access_point.is_independent())
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
            bytes.push(segment.access_point.sap_type().unwrap_or(0));
        }
        bytes
    }

    /// Reads what [`SegmentIndex::encode`] wrote, in this version or the one before; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, segments) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let word = |at: usize| super::boxes::u32_at(head, at);
        let entry_bytes = match head.first_chunk() {
            Some(&MAGIC) => SEGMENT_BYTES,
            Some(&OLD_MAGIC) => OLD_SEGMENT_BYTES,
            _ => return None,
        };
        let (timescale, init_bytes, count) = (word(4)?, word(8)?, word(20)?);
        let mut offset = u64::from(word(12)?) << 32 | u64::from(word(16)?);
        let entries = segments.chunks_exact(entry_bytes);
        if timescale == 0 || !entries.remainder().is_empty() || usize::try_from(count).ok()? != entries.len() {
            return None;
        }
        let mut start = 0_u64;
        let mut segments = Vec::with_capacity(entries.len());
        for entry in entries {
            let word = |at: usize| super::boxes::u32_at(entry, at);
            let (bytes, duration, keyframe_bytes) = (word(0)?, word(4)?, word(8)?);
            let access_point = AccessPoint::of_type(entry.get(OLD_SEGMENT_BYTES).copied().unwrap_or(0))?;
            segments.push(Segment { offset, bytes, start, duration, keyframe_bytes, access_point });
            offset = offset.checked_add(bytes.into())?;
            start = start.checked_add(duration.into())?;
        }
        Some(Self { timescale, init_bytes, segments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> SegmentIndex {
        let access_points = [AccessPoint::Closed, AccessPoint::Reordered, AccessPoint::Open, AccessPoint::Unknown];
        let mut segments = Vec::new();
        let (mut offset, mut start) = (5_000_000_000, 0);
        for (access_point, bytes) in access_points.into_iter().zip(4..) {
            segments.push(Segment { offset, bytes, start, duration: 7, keyframe_bytes: 3, access_point });
            (offset, start) = (offset + u64::from(bytes), start + 7);
        }
        SegmentIndex { timescale: 30, init_bytes: 800, segments }
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let index = index();
        let bytes = index.encode();
        assert_eq!(SegmentIndex::decode(&bytes), Some(index.clone()));
        assert_eq!((index.duration(), index.segment(0), index.segment(2).unwrap().bytes), (28, None, 5));
        for cut in 0..bytes.len() {
            assert_eq!(SegmentIndex::decode(&bytes[..cut]), None);
        }
        let unheard_of = [&bytes[..bytes.len() - 1], &[4]].concat();
        assert_eq!(SegmentIndex::decode(&unheard_of), None);
    }

    #[test]
    fn the_version_before_is_read_and_promises_nothing() {
        // Two segments of 9 and 4 bytes from the place 2³² on.
        let numbers: [u32; 12] = [u32::from_be_bytes(*b"SIX1"), 30, 800, 1, 0, 2, 9, 7, 5, 4, 1, 0];
        let old: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        let read = SegmentIndex::decode(&old).unwrap();
        let second = read.segment(2).unwrap();
        assert_eq!((read.timescale, read.init_bytes, read.segments.len()), (30, 800, 2));
        assert_eq!((second.offset, second.bytes, second.start, second.duration), ((1 << 32) + 9, 4, 7, 1));
        assert!(read.segments.iter().all(|one| one.access_point == AccessPoint::Unknown) && !read.is_independent());
    }

    #[test]
    fn a_segment_stands_alone_unless_it_begins_in_an_open_group_or_nobody_knows() {
        let of = |access_point| {
            let mut index = index();
            index.segments.iter_mut().for_each(|segment| segment.access_point = AccessPoint::Closed);
            index.segments[2].access_point = access_point;
            index.is_independent()
        };
        let all = [AccessPoint::Closed, AccessPoint::Reordered, AccessPoint::Open, AccessPoint::Unknown];
        assert_eq!(all.map(of), [true, true, false, false]);
    }
}
