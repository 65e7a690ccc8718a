//! Filling an index with much: on a thread of its own, many entries at a time, each once and in the order of their keys.
//! Keys are random, and sled takes them in order for a third of what they cost as they come.

use super::index::{Entry, EntryKey, Index, IndexError};
use crate::domain::limits;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;

/// The latest of some entries. Their values lie in one piece of memory, which goes back to the system whole: in pieces of
/// their own they would be holes in a process that stays.
#[derive(Default)]
struct Chunk {
    entries: BTreeMap<EntryKey, Option<Range<usize>>>,
    values: Vec<u8>,
}

/// An index being filled.
pub(super) struct Filling {
    chunk: Chunk,
    chunks: SyncSender<Chunk>,
    filler: JoinHandle<Result<(), IndexError>>,
}

impl Filling {
    /// Begins to fill one. What is in it stays, as far as nothing else is said of it.
    pub fn begin(index: Index) -> Result<Self, IndexError> {
        // None waits: one is being taken by the index while another is being gathered.
        let (chunks, received) = mpsc::sync_channel::<Chunk>(0);
        let fill = move || received.into_iter().try_for_each(|chunk| chunk.put_into(&index));
        let filler = std::thread::Builder::new().name("index-fill".into()).spawn(fill).map_err(sled::Error::Io)?;
        Ok(Self { chunk: Chunk::default(), chunks, filler })
    }

    /// Takes what follows all that it was given before. What went wrong is told in the end.
    pub fn take(&mut self, (key, value): Entry) {
        if self.chunk.values.len() + value.as_ref().map_or(0, Vec::len) > limits::INDEX_CHUNK_BYTES {
            let next = Chunk { entries: BTreeMap::new(), values: Vec::with_capacity(limits::INDEX_CHUNK_BYTES) };
            // A filler that has failed says so when it is asked.
            let _ = self.chunks.send(std::mem::replace(&mut self.chunk, next));
        }
        let Chunk { entries, values } = &mut self.chunk;
        let range = value.map(|value| {
            let start = values.len();
            values.extend_from_slice(&value);
            start..values.len()
        });
        entries.insert(key, range);
    }

    /// Waits until the index has everything.
    pub fn finish(self) -> Result<(), IndexError> {
        let Self { chunk, chunks, filler } = self;
        let _ = chunks.send(chunk);
        drop(chunks);
        filler.join().unwrap_or(Err(IndexError::Panicked))
    }
}

impl Chunk {
    fn put_into(self, index: &Index) -> Result<(), IndexError> {
        let Self { entries, values } = self;
        entries.into_iter().try_for_each(|(key, range)| index.take(key, range.and_then(|range| values.get(range))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::index::{IndexPlace, entry};
    use super::super::op::{Op, Row};
    use super::*;
    use crate::domain::Kind;
    use std::time::Duration;
    use uuid::Uuid;

    #[test]
    fn what_comes_later_counts_whether_or_not_it_was_gathered_with_what_was_before() {
        const ROW_BYTES: usize = 40 << 10;
        let directory = tempfile::tempdir().unwrap();
        let place =
            IndexPlace { path: directory.path().join("index"), cache_bytes: 8 << 20, limit: Duration::from_secs(10) };
        let index = place.open().unwrap();
        let mut filling = Filling::begin(index.clone()).unwrap();
        let row = |name: &str| Row::of(&name.repeat(ROW_BYTES)).unwrap();
        let short = |name: &str| Row::of(&name).unwrap();
        let key = |number: usize| Uuid::from_u128(number as u128);
        let mut take = |op: Op| filling.take(entry(&op));
        let put = |number, row| Op::Put { kind: Kind::Video, key: key(number), v: 1, row };
        let remove = |number| Op::Remove { kind: Kind::Video, key: key(number) };
        // Half as much again as is gathered at a time: the first are in the index when the last are not.
        let count = limits::INDEX_CHUNK_BYTES * 3 / 2 / ROW_BYTES;
        (0..count).for_each(|number| take(put(number, row("a"))));
        for number in [0, count - 1] {
            take(remove(number));
        }
        for number in [1, count - 2] {
            take(put(number, short("b")));
        }
        take(put(0, short("c")));
        filling.finish().unwrap();
        let found = |number| index.row(Kind::Video, key(number)).unwrap();
        assert_eq!(
            [0, 1, count - 2, count - 1].map(found),
            [Some(short("c")), Some(short("b")), Some(short("b")), None]
        );
        assert!((2..count - 2).all(|number| found(number) == Some(row("a"))));
    }
}
