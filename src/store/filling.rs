//! Filling an index with much: on a thread of its own, many entries at a time, each once and in the order of their keys.
//! Keys are random, and sled takes them in order for a third of what they cost as they come.

use super::index::{Entry, EntryKey, Index, IndexError};
use crate::domain::limits;
use std::collections::BTreeMap;
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;

/// The latest of each entry.
type Chunk = BTreeMap<EntryKey, Option<Vec<u8>>>;

/// An index being filled.
pub(super) struct Filling {
    chunk: Chunk,
    /// Bytes of the entries that were put into it.
    chunk_bytes: usize,
    chunks: SyncSender<Chunk>,
    filler: JoinHandle<Result<(), IndexError>>,
}

impl Filling {
    /// Begins to fill one. What is in it stays, as far as nothing else is said of it.
    pub fn begin(index: Index) -> Result<Self, IndexError> {
        // None waits: one is being taken by the index while another is being gathered.
        let (chunks, received) = mpsc::sync_channel::<Chunk>(0);
        let fill = move || received.into_iter().flatten().try_for_each(|entry| index.take(entry));
        let filler = std::thread::Builder::new().name("index-fill".into()).spawn(fill).map_err(sled::Error::Io)?;
        Ok(Self { chunk: Chunk::new(), chunk_bytes: 0, chunks, filler })
    }

    /// Takes what follows all that it was given before. What went wrong is told in the end.
    pub fn take(&mut self, (key, value): Entry) {
        self.chunk_bytes += size_of::<EntryKey>() + value.as_ref().map_or(0, Vec::len);
        self.chunk.insert(key, value);
        if self.chunk_bytes >= limits::INDEX_CHUNK_BYTES {
            self.send();
        }
    }

    fn send(&mut self) {
        self.chunk_bytes = 0;
        // A filler that has failed says so when it is asked.
        let _ = self.chunks.send(std::mem::take(&mut self.chunk));
    }

    /// Waits until the index has everything.
    pub fn finish(mut self) -> Result<(), IndexError> {
        self.send();
        drop(self.chunks);
        self.filler.join().unwrap_or(Err(IndexError::Panicked))
    }
}
