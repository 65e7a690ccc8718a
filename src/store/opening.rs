//! Opening a catalog: the journal is read whole and fills memory; the index is caught up, compared, or built anew.

use super::access::Access;
use super::disk::Disk;
use super::filling::Filling;
use super::index::{Expected, Index, IndexError, IndexPlace, entry};
use super::journal::{Journal, JournalError, sync_directory};
use super::lists::Lists;
use super::op::{Commit, Op};
use super::remedy::with_remedy;
use super::rows::drop_behind;
use super::state_dir::StateDir;
use crate::domain::limits;
use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::sync::mpsc;

/// Everything, as the journal tells it.
pub(super) struct Opened {
    pub journal: Journal,
    pub access: Access,
    pub lists: Lists,
    pub index: Index,
}

impl Opened {
    /// Opens what is in `directory`, or makes it. Where there is no room for an index, the reserve of `disk` is its room.
    pub fn at(directory: &Path, place: &IndexPlace, disk: &Disk) -> Result<Self, JournalError> {
        let path = directory.join("journal");
        let found = look_at(&path).map_err(|error| JournalError::Io { path: path.clone(), error })?;
        // An empty journal would forget every revocation, and every media file would be swept away. What is no file is
        // refused where it is opened.
        let is_empty = found.as_ref().is_none_or(|found| found.is_file() && found.len() == 0);
        if is_empty && StateDir::is_finished(directory) {
            return Err(JournalError::Missing(path));
        }
        if found.is_none() {
            Journal::create(&path)?;
            sync_directory(directory).map_err(|error| JournalError::Io { path: directory.to_owned(), error })?;
        }
        let mut slot = IndexSlot { place: place.clone(), open: None };
        let opened = Self::with(&path, &mut slot, disk);
        if let Err(JournalError::Io { .. } | JournalError::NoRoom(_)) = &opened {
            // sled panics where it is dropped and its last sync fails, as it may on such a disk. The process is about to end.
            std::mem::forget(slot.open.take());
        }
        opened
    }

    fn with(path: &Path, slot: &mut IndexSlot, disk: &Disk) -> Result<Self, JournalError> {
        let place = slot.place.clone();
        let no_index = |error: IndexError| match error.is_for_room() {
            true => JournalError::NoRoom(place.path.clone()),
            false => JournalError::Io { path: place.path.clone(), error: io::Error::other(error.to_string()) },
        };
        let known_seq = slot.open_existing(disk).map_err(no_index)?;
        let mut given_up = None;
        let mut opened = Self::run(path, slot, known_seq)?;
        for _ in 0..2 {
            let Err(error) = &opened else { break };
            // Whatever the index can't take, a new one can; and where that has no room, once more.
            if !error.is_for_room() {
                slot.set_aside(&error.to_string()).map_err(no_index)?;
            } else if let Some(freed) = disk.give_up_reserve() {
                given_up = Some(freed);
                slot.forget().map_err(no_index)?;
            } else {
                break;
            }
            opened = Self::run(path, slot, 0)?;
        }
        let opened = opened.map_err(no_index)?;
        if let Some(freed) = given_up {
            disk.hold_rest(freed);
        }
        if opened.journal.seq() > known_seq {
            tracing::info!(from = known_seq, to = opened.journal.seq(), "the index was caught up from the journal");
        }
        Ok(opened)
    }

    /// Fills memory from the journal and the index from where it has got to (`known_seq`). The outer error is the
    /// journal's, the inner one the index's.
    fn run(path: &Path, slot: &mut IndexSlot, known_seq: u64) -> Result<Result<Self, IndexError>, JournalError> {
        let limit = slot.place.limit;
        // Beside the journal: nearly always there is nothing to be added to it.
        let summing = slot.open.as_ref().filter(|_| known_seq != 0).map(Index::sum);
        let mut taken = Taken::new(slot, known_seq);
        let journal = taken.read(path, known_seq)?;
        let Taken { slot, behind, filling, access, expected, unreadable, index_error } = taken;
        if let Some((seq, what)) = unreadable {
            let error = io::Error::other(format!("change {seq} does not read: {what}"));
            return Err(JournalError::Io { path: path.to_owned(), error });
        }
        let filled = filling.map_or(Ok(()), Filling::finish);
        Ok(index_error.map_or(filled, Err).and_then(|()| slot.get()).and_then(|index| {
            index.set_applied(journal.seq())?;
            // Built from nothing, it holds what it was given just now.
            if behind != 0 {
                let summing = match summing {
                    Some(summing) if journal.seq() == known_seq => summing?,
                    _ => index.sum()?,
                };
                summing.check(&expected, limit)?;
            }
            Ok(Self { journal, access, lists: expected.lists(), index })
        }))
    }
}

/// What was read of a journal, taken into memory and into the index that is in the slot.
struct Taken<'a> {
    slot: &'a mut IndexSlot,
    /// The last commit that the index has; 0 while it is built anew.
    behind: u64,
    filling: Option<Filling>,
    access: Access,
    expected: Expected,
    /// The first commit that does not read, and why.
    unreadable: Option<(u64, String)>,
    index_error: Option<IndexError>,
}

impl<'a> Taken<'a> {
    fn new(slot: &'a mut IndexSlot, behind: u64) -> Self {
        let (filling, unreadable, index_error) = (None, None, None);
        Self {
            slot,
            behind,
            filling,
            access: Access::default(),
            expected: Expected::default(),
            unreadable,
            index_error,
        }
    }

    /// Reads a journal, and takes in all of it: one thread reads while another takes in.
    fn read(&mut self, path: &Path, known_seq: u64) -> Result<Journal, JournalError> {
        let (batches, received) = mpsc::sync_channel::<Vec<Commit>>(limits::JOURNAL_BATCHES);
        std::thread::scope(|scope| {
            let take_all = move || received.iter().flatten().for_each(|commit| self.take(&commit));
            let thread = std::thread::Builder::new().name("journal-take".into()).spawn_scoped(scope, take_all);
            thread.map_err(|error| JournalError::Io { path: path.to_owned(), error })?;
            let mut batch = Vec::new();
            let journal = Journal::open(path, known_seq, |commit| {
                batch.push(commit);
                if batch.len() == limits::JOURNAL_BATCH {
                    // Nobody takes them only if that thread has panicked, which this one then does, too.
                    let _ = batches.send(std::mem::take(&mut batch));
                }
            });
            let _ = batches.send(batch);
            // Or it would wait for more.
            drop(batches);
            journal
        })
    }

    fn take(&mut self, commit: &Commit) {
        // A compacted head newer than the index says nothing of what it should forget: begin anew.
        if commit.snapshot && self.behind != 0 && self.behind < commit.seq {
            self.behind = 0;
            if let Err(error) = self.slot.set_aside("it is older than the compacted journal") {
                self.index_error.get_or_insert(error);
            }
        }
        if let Err(error) = commit.ops.iter().try_for_each(|op| self.take_op(op, commit.seq)) {
            self.unreadable.get_or_insert((commit.seq, error.to_string()));
        }
    }

    /// Takes in one operation. The error is that it does not read.
    fn take_op(&mut self, op: &Op, seq: u64) -> Result<(), serde_json::Error> {
        let (place, entry) = (self.access.apply(op)?, entry(op));
        self.expected.apply(op.target(), place, &entry);
        if (seq > self.behind || self.behind == 0) && self.index_error.is_none() {
            match self.filling() {
                Ok(filling) => filling.take(entry),
                Err(error) => self.index_error = Some(error),
            }
        }
        Ok(())
    }

    fn filling(&mut self) -> Result<&mut Filling, IndexError> {
        let filling = match self.filling.take() {
            Some(filling) => filling,
            None => Filling::begin(self.slot.get()?, self.slot.place.limit),
        };
        Ok(self.filling.insert(filling))
    }
}

/// The index while it is being opened: whatever is wrong with it ends in a new, empty one.
struct IndexSlot {
    place: IndexPlace,
    open: Option<Index>,
}

impl IndexSlot {
    /// Opens what is there; answers the last commit it has applied, 0 if it must be built anew.
    fn open_existing(&mut self, disk: &Disk) -> Result<u64, IndexError> {
        self.remove_unfinished_snapshots();
        let opened = match self.place.open() {
            // sled writes a snapshot when it opens.
            Err(error) if error.is_for_room() => match disk.give_up_reserve() {
                Some(freed) => {
                    self.remove_unfinished_snapshots();
                    let opened = self.place.open();
                    disk.hold_rest(freed);
                    opened
                }
                None => Err(error),
            },
            opened => opened,
        };
        match opened.and_then(|index| Ok((index.applied()?, index))) {
            // Its building was interrupted: what it holds may be more than the journal says.
            Ok((0, index)) if !index.is_empty() => {
                drop(index);
                self.set_aside("it was not finished")?;
                Ok(0)
            }
            Ok((applied, index)) => {
                self.open = Some(index);
                Ok(applied)
            }
            Err(error) if error.is_for_room() => Err(error),
            Err(error) => {
                self.set_aside(&error.to_string())?;
                Ok(0)
            }
        }
    }

    /// Left behind by an interrupted snapshot; sled refuses to open beside one (spacejam/sled #1527).
    fn remove_unfinished_snapshots(&self) {
        let Ok(entries) = std::fs::read_dir(&self.place.path) else { return };
        for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().ends_with(".generating")) {
            tracing::warn!(file = %entry.path().display(), "removing an unfinished snapshot of the index");
            let _ = std::fs::remove_file(entry.path());
        }
    }

    /// Removes what was built and is not whole.
    fn forget(&mut self) -> Result<(), IndexError> {
        drop_behind(self.open.take());
        self.place.clear()
    }

    /// Makes room for a new one. What stays in its place would be taken for it.
    fn set_aside(&mut self, why: &str) -> Result<(), IndexError> {
        drop_behind(self.open.take());
        let aside = (1..).map(|n| self.place.path.with_extension(format!("set-aside-{n}"))).find(|path| !path.exists());
        let Some(aside) = aside else { return Ok(()) };
        match std::fs::rename(&self.place.path, &aside) {
            Ok(()) => {
                tracing::warn!(
                    why,
                    set_aside = %aside.display(),
                    "the index was set aside and is rebuilt from the journal; nothing is lost, the directory may be deleted"
                );
                Ok(())
            }
            // It was never made.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(IndexError::NotSetAside { path: self.place.path.clone(), error }),
        }
    }

    fn get(&mut self) -> Result<Index, IndexError> {
        if let Some(index) = &self.open {
            return Ok(index.clone());
        }
        let index = self.place.open()?;
        self.open = Some(index.clone());
        Ok(index)
    }
}

/// What stands at a path; `None` if nothing does. Of what can't be looked at, nobody knows that it is missing.
fn look_at(path: &Path) -> io::Result<Option<Metadata>> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some).map_err(|error| with_remedy(path, error)),
    }
}
