//! Filling an index with much: beside whoever gathers it, many entries at a time, each once and in the order of their keys.
//! Keys are random, and sled takes them in order for a third of what they cost as they come.

use super::guarded::Guarded;
use super::index::{Entry, EntryKey, Index, IndexError};
use crate::domain::limits;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// The latest of some entries. Their values lie in one piece of memory, which goes back to the system whole: in pieces of
/// their own they would be holes in a process that stays.
#[derive(Default)]
struct Chunk {
    entries: BTreeMap<EntryKey, Option<Range<usize>>>,
    values: Vec<u8>,
}

/// An index being filled.
pub(super) struct Filling {
    index: Index,
    /// How long the index may take for one chunk.
    limit: Duration,
    chunk: Chunk,
    /// The chunk before, which the index is taking.
    under_way: Option<Guarded<()>>,
    /// What went wrong; then nothing more is taken.
    failed: Option<IndexError>,
}

impl Filling {
    /// Begins to fill one that opens within `limit`. What is in it stays, as far as nothing else is said of it.
    pub fn begin(index: Index, limit: Duration) -> Self {
        let limit = limit * limits::INDEX_CHUNK_TIMES;
        Self { index, limit, chunk: Chunk::default(), under_way: None, failed: None }
    }

    /// Takes what follows all that it was given before. What went wrong is told in the end.
    pub fn take(&mut self, (key, value): Entry) {
        let entries_bytes = self.chunk.entries.len() * size_of::<(EntryKey, Option<Range<usize>>)>();
        let value_bytes = value.as_ref().map_or(0, Vec::len);
        if entries_bytes + self.chunk.values.len() + value_bytes > limits::INDEX_CHUNK_BYTES {
            let next = Chunk { entries: BTreeMap::new(), values: Vec::with_capacity(limits::INDEX_CHUNK_BYTES) };
            let chunk = std::mem::replace(&mut self.chunk, next);
            self.hand_over(chunk);
        }
        let Chunk { entries, values } = &mut self.chunk;
        let range = value.map(|value| {
            let start = values.len();
            values.extend_from_slice(&value);
            start..values.len()
        });
        entries.insert(key, range);
    }

    /// Gives the index a chunk, once it has the one before.
    fn hand_over(&mut self, chunk: Chunk) {
        self.settle();
        if self.failed.is_some() {
            return;
        }
        let index = self.index.clone();
        match Guarded::begin(move || chunk.put_into(&index)) {
            Ok(taking) => self.under_way = Some(taking),
            Err(error) => self.failed = Some(error),
        }
    }

    fn settle(&mut self) {
        let taken = self.under_way.take().map_or(Ok(()), |taking| taking.finish(self.limit));
        if let Err(error) = taken {
            self.failed.get_or_insert(error);
        }
    }

    /// Waits until the index has everything.
    ///
    /// # Errors
    /// What sled answered, that it panicked, or that it was not done with a chunk within the limit.
    pub fn finish(mut self) -> Result<(), IndexError> {
        let chunk = std::mem::take(&mut self.chunk);
        self.hand_over(chunk);
        self.settle();
        self.failed.map_or(Ok(()), Err)
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
    use uuid::Uuid;

    #[test]
    fn an_index_that_does_not_take_it_in_time_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let place =
            IndexPlace { path: directory.path().join("index"), cache_bytes: 8 << 20, limit: Duration::from_secs(10) };
        let index = place.open().unwrap();
        let is_given_up = || {
            let mut filling = Filling::begin(index.clone(), Duration::ZERO);
            // More than is done before anybody asks, unless whoever asks gets no turn for as long.
            for number in 0..50_000 {
                filling.take(entry(&Op::Remove { kind: Kind::Video, key: Uuid::from_u128(number) }));
            }
            matches!(filling.finish(), Err(IndexError::Stuck(_)))
        };
        assert!((0..100).any(|_| is_given_up()));
    }

    #[test]
    fn what_comes_later_counts_whether_or_not_it_was_gathered_with_what_was_before() {
        const ROW_BYTES: usize = 40 << 10;
        let directory = tempfile::tempdir().unwrap();
        let place =
            IndexPlace { path: directory.path().join("index"), cache_bytes: 8 << 20, limit: Duration::from_secs(10) };
        let index = place.open().unwrap();
        let mut filling = Filling::begin(index.clone(), place.limit);
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
