//! Indexes of packaged renditions, read from disk once and kept in memory while they are asked for.

use super::App;
use crate::domain::{MediaFileId, Rendition, limits};
use crate::media::SegmentIndex;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Why an index could not be had: the file is missing, cut or not what was written.
#[derive(Debug, thiserror::Error)]
#[error("the segment index {file} can't be read: {error}")]
pub struct SegmentIndexError {
    /// The index's file.
    pub file: MediaFileId,
    /// What went wrong.
    pub error: io::Error,
}

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
        while kept.bytes > limits::SEGMENT_INDEXES_BYTES && kept.indexes.len() > 1 {
            let oldest = kept.indexes.iter().min_by_key(|(_, (_, turn))| *turn).map(|(file, _)| *file);
            let Some((index, _)) = oldest.and_then(|file| kept.indexes.remove(&file)) else { break };
            kept.bytes -= size_in_memory(&index);
        }
    }
}

fn size_in_memory(index: &SegmentIndex) -> usize {
    size_of::<SegmentIndex>() + size_of_val(index.segments.as_slice())
}

impl App {
    /// Where the segments of a rendition stand.
    pub async fn segment_index(&self, rendition: &Rendition) -> Result<Arc<SegmentIndex>, SegmentIndexError> {
        let file = rendition.index;
        if let Some(index) = self.segment_indexes.get(file) {
            return Ok(index);
        }
        let index = self.read_segment_index(file).await.map_err(|error| SegmentIndexError { file, error })?;
        let index = Arc::new(index);
        self.segment_indexes.keep(file, &index);
        Ok(index)
    }

    async fn read_segment_index(&self, file: MediaFileId) -> io::Result<SegmentIndex> {
        let media = self.media.open_file(file)?.ok_or(io::ErrorKind::NotFound)?;
        if self.store.access().media_bytes(file) != Some(media.size_bytes()) {
            return Err(io::Error::other(format!("it has {} bytes", media.size_bytes())));
        }
        let length = usize::try_from(media.size_bytes()).map_err(io::Error::other)?;
        let bytes = media.read(0, length).await?;
        SegmentIndex::decode(&bytes).ok_or_else(|| io::Error::other("it is damaged"))
    }
}
