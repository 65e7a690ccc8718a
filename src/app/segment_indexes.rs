//! Indexes of packaged renditions, read from disk once and kept in memory while they are asked for.

use super::{App, Unserved};
use crate::domain::{MediaFileId, Rendition, limits};
use crate::media::SegmentIndex;
use crate::store::Damage;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The indexes in memory: at most [`limits::SEGMENT_INDEXES_BYTES`] of them. An index never changes under its id, so
/// nothing here can be out of date.
#[derive(Default)]
pub struct SegmentIndexes(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Each with the turn in which it was last asked for.
    indexes: HashMap<MediaFileId, (Arc<SegmentIndex>, u64)>,
    turn: u64,
    bytes: usize,
}

impl SegmentIndexes {
    fn get(&self, file: MediaFileId) -> Option<Arc<SegmentIndex>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.turn += 1;
        let turn = kept.turn;
        kept.indexes.get_mut(&file).map(|(index, last)| {
            *last = turn;
            Arc::clone(index)
        })
    }

    fn keep(&self, file: MediaFileId, index: &Arc<SegmentIndex>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.turn += 1;
        let turn = kept.turn;
        if kept.indexes.insert(file, (Arc::clone(index), turn)).is_none() {
            kept.bytes += size_in_memory(index);
        }
        if kept.bytes > limits::SEGMENT_INDEXES_BYTES {
            kept.forget_down_to(limits::SEGMENT_INDEXES_BYTES / 4 * 3);
        }
    }

    /// Forgets one whose file is damaged: what is in memory may be of that.
    pub(super) fn forget(&self, file: MediaFileId) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((index, _)) = kept.indexes.remove(&file) {
            kept.bytes -= size_in_memory(&index);
        }
    }
}

impl Kept {
    /// Forgets those that were not asked for the longest, all but the last: so many at once that looking for them is
    /// rare.
    fn forget_down_to(&mut self, bytes: usize) {
        let mut turns: Vec<(u64, MediaFileId)> = self.indexes.iter().map(|(file, (_, turn))| (*turn, *file)).collect();
        turns.sort_unstable();
        turns.pop();
        for (_, file) in turns {
            if self.bytes <= bytes {
                break;
            }
            if let Some((index, _)) = self.indexes.remove(&file) {
                self.bytes -= size_in_memory(&index);
            }
        }
    }
}

fn size_in_memory(index: &SegmentIndex) -> usize {
    size_of::<SegmentIndex>() + size_of_val(index.segments.as_slice())
}

impl App {
    /// Where the segments of a rendition stand.
    pub async fn segment_index(&self, rendition: &Rendition) -> Result<Arc<SegmentIndex>, Unserved> {
        let file = rendition.index;
        if let Some(index) = self.segment_indexes.get(file) {
            return Ok(index);
        }
        let media = self.open_media(file)?;
        let length = usize::try_from(media.size_bytes()).unwrap_or(usize::MAX);
        let bytes = media.read(0, length).await.map_err(|error| self.note_unreadable(file, error))?;
        let ends_within = |index: &SegmentIndex| {
            let end = index.segments.last().map_or(0, |last| last.range().end);
            end.max(index.init_bytes.into()) <= rendition.size_bytes
        };
        let index = SegmentIndex::decode(&bytes).filter(ends_within);
        let index = index.ok_or_else(|| self.note_damage(file, Damage::Altered, self.media.trace(file)))?;
        let index = Arc::new(index);
        self.segment_indexes.keep(file, &index);
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{AccessPoint, Segment};

    /// An index that takes a hundredth of the room there is, and a little more.
    fn index() -> Arc<SegmentIndex> {
        let access_point = AccessPoint::Closed;
        let segment = Segment { offset: 0, bytes: 1, start: 0, duration: 1, keyframe_bytes: 1, access_point };
        let count = limits::SEGMENT_INDEXES_BYTES / 100 / size_of::<Segment>();
        Arc::new(SegmentIndex { timescale: 1, init_bytes: 1, segments: vec![segment; count] })
    }

    fn id(number: u8) -> MediaFileId {
        MediaFileId::from_random([number; 16])
    }

    #[test]
    fn what_is_held_stays_below_its_limit_and_what_was_asked_for_last_stays() {
        let indexes = SegmentIndexes::default();
        for number in 0..=250 {
            indexes.keep(id(number), &index());
            assert!(indexes.get(id(0)).is_some(), "{number}: it is asked for all the time");
            let kept = indexes.0.lock().unwrap();
            let held: usize = kept.indexes.values().map(|(index, _)| size_in_memory(index)).sum();
            assert_eq!(held, kept.bytes);
            assert!(held <= limits::SEGMENT_INDEXES_BYTES, "{number}: {held}");
        }
        // The last time when 100 had become too many, 25 of them went.
        let kept = indexes.0.lock().unwrap();
        assert!((75..100).contains(&kept.indexes.len()), "{}", kept.indexes.len());
        let newest = (0..=250).filter(|number| kept.indexes.contains_key(&id(*number)));
        let newest: Vec<u8> = newest.skip(1).collect();
        assert!(newest.windows(2).all(|pair| pair[1] == pair[0] + 1) && newest.last() == Some(&250), "{newest:?}");
    }

    #[test]
    fn an_index_larger_than_the_limit_is_held_alone() {
        let indexes = SegmentIndexes::default();
        indexes.keep(id(1), &index());
        let mut large = SegmentIndex::clone(&index());
        large.segments = large.segments.repeat(120);
        indexes.keep(id(2), &Arc::new(large));
        assert!(indexes.get(id(1)).is_none() && indexes.get(id(2)).is_some());
    }
}
