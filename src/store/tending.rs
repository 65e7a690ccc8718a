//! What the writer looks after by itself: the journal, the reserve, the index, and telling how full the disk is.

use super::disk::{Fullness, Room};
use super::index::Index;
use super::journal::{Compacted, JournalError};
use super::writer::{Job, Writer};
use crate::domain::limits;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;

/// What the writer knows of its own troubles.
pub(super) struct Watch {
    /// For threads that have something to say to the writer, and don't keep it running.
    jobs: mpsc::WeakSender<Job>,
    /// How full the disk was when that was last told.
    told: Fullness,
    /// Whether there was a reserve when that was last looked at.
    is_reserve_held: bool,
    rebuilding: Rebuilding,
    is_compacting: bool,
}

/// Where the building of another index stands.
enum Rebuilding {
    /// To be begun, when it is needed, after this many more looks.
    In(u32),
    UnderWay,
}

impl Watch {
    pub fn new(jobs: mpsc::WeakSender<Job>) -> Self {
        let rebuilding = Rebuilding::In(0);
        Self { jobs, told: Fullness::Roomy, is_reserve_held: true, rebuilding, is_compacting: false }
    }
}

impl Writer {
    /// Puts right what the disk has refused and may take now, and tells how full it is where that has changed.
    pub(super) fn tend(&mut self) {
        self.tend_journal();
        self.tend_reserve();
        let Ok(room) = self.disk.room() else { return };
        if room.fullness != self.watch.told {
            self.watch.told = room.fullness;
            tell(&room);
        }
        if self.shared.rows.has_failed() {
            self.shared.rows.nudge();
            let is_writable = room.fullness < Fullness::NoChanges && !room.is_read_only;
            if self.is_index_due() && is_writable {
                self.build_index();
            }
        }
    }

    fn tend_journal(&mut self) {
        if self.journal.is_sound() {
            return;
        }
        match self.journal.mend() {
            Ok(()) => tracing::info!("the journal is sound again; changes are taken"),
            Err(error) => tracing::warn!(%error, "the journal is still not sound"),
        }
        self.shared.is_journal_unsound.store(!self.journal.is_sound(), Ordering::SeqCst);
    }

    fn tend_reserve(&mut self) {
        let is_held = self.disk.hold_reserve().unwrap_or_else(|error| {
            tracing::debug!(%error, "the reserve was not made");
            false
        });
        // As long as there is any: what is full in a moment leaves none.
        let is_full = self.disk.room().is_ok_and(|room| room.fullness == Fullness::NoChanges);
        if is_full && self.journal.is_sound() && self.journal.room() == 0 {
            self.journal.hold_room(limits::JOURNAL_HELD_BYTES);
        }
        if is_held != std::mem::replace(&mut self.watch.is_reserve_held, is_held) {
            tracing::info!(is_held, "the disk's reserve; there is none on a full disk, and where room can't be held");
        }
    }

    fn is_index_due(&mut self) -> bool {
        match &mut self.watch.rebuilding {
            Rebuilding::UnderWay => false,
            Rebuilding::In(looks) => {
                *looks = looks.saturating_sub(1);
                *looks == 0
            }
        }
    }

    /// Has another index built from the journal, while everything goes on.
    fn build_index(&mut self) {
        self.watch.rebuilding = Rebuilding::UnderWay;
        let (builder, jobs) = (self.shared.rows.builder(), self.watch.jobs.clone());
        let frozen = self.journal.freeze().map_err(|error| error.to_string());
        let begun = frozen.and_then(|frozen| {
            let build = move || {
                let built = builder.build(&frozen).map_err(|error| error.to_string());
                // A writer that has ended wants no index.
                jobs.upgrade().map(|jobs| jobs.blocking_send(Job::Rebuilt(built)))
            };
            let thread = std::thread::Builder::new().name("index-build".into()).spawn(build);
            thread.map(drop).map_err(|error| error.to_string())
        });
        if let Err(error) = begun {
            self.take_index(Err(error));
        }
    }

    /// Puts another index in its place, or has it tried again in a while.
    pub(super) fn take_index(&mut self, built: Result<Index, String>) {
        let adopted = built
            .and_then(|index| self.shared.rows.adopt(index, self.journal.seq()).map_err(|error| error.to_string()));
        self.watch.rebuilding = Rebuilding::In(match adopted {
            Ok(()) => {
                tracing::info!("another index was built from the journal and is in use");
                0
            }
            Err(error) => {
                tracing::warn!(error, "another index could not be built; it is tried again in a minute");
                limits::INDEX_BUILD_RETRY_LOOKS
            }
        });
    }
}

impl Writer {
    /// Has the journal compacted, while everything goes on.
    pub(super) fn compact(&mut self) {
        if !std::mem::replace(&mut self.watch.is_compacting, true) {
            let begun =
                self.journal.begin_compaction().and_then(|compaction| self.compact_behind(move || compaction.run()));
            if let Err(error) = begun {
                self.take_compacted(Err(error));
            }
        }
    }

    /// Has another thread do it.
    fn compact_behind(
        &self,
        work: impl FnOnce() -> Result<Option<Compacted>, JournalError> + Send + 'static,
    ) -> Result<(), JournalError> {
        let jobs = self.watch.jobs.clone();
        let work = move || {
            let compacted = work();
            // A writer that has ended leaves the journal as it is.
            jobs.upgrade().map(|jobs| jobs.blocking_send(Job::Compacted(compacted)))
        };
        let thread = std::thread::Builder::new().name("journal-compact".into()).spawn(work);
        thread.map(drop).map_err(|error| JournalError::Io { path: PathBuf::from("journal"), error })
    }

    /// Puts a compacted journal in its place; one that is far behind follows first, and no change waits for that.
    pub(super) fn take_compacted(&mut self, compacted: Result<Option<Compacted>, JournalError>) {
        let before_bytes = self.journal.end();
        let finished = match compacted {
            Ok(Some(compacted)) if self.journal.bytes_behind(&compacted) > limits::JOURNAL_FOLLOW_BYTES => {
                let followed = self
                    .journal
                    .freeze()
                    .and_then(|journal| self.compact_behind(move || compacted.follow(&journal).map(Some)));
                match followed {
                    Ok(()) => return,
                    Err(error) => Err(error),
                }
            }
            Ok(Some(compacted)) => self.journal.finish_compaction(compacted),
            Ok(None) => Ok(false),
            Err(error) => Err(error),
        };
        self.watch.is_compacting = false;
        match finished {
            Ok(true) => {
                let after_bytes = self.journal.end();
                tracing::info!(before_bytes, after_bytes, "journal compacted");
            }
            // A full disk is asked again only after as much growth again.
            Ok(false) => self.journal.give_up_compaction(),
            Err(error) => {
                tracing::error!(%error, "the journal was not compacted");
                self.journal.give_up_compaction();
                self.shared.is_journal_unsound.store(!self.journal.is_sound(), Ordering::SeqCst);
            }
        }
    }
}

fn tell(room: &Room) {
    let (used_percent, free_bytes, free_files) = (room.used_percent, room.free_bytes, room.free_files);
    match room.fullness {
        Fullness::Roomy => tracing::info!(used_percent, free_bytes, free_files, "the disk has room again"),
        Fullness::Filling => {
            tracing::warn!(used_percent, free_bytes, free_files, "the disk is filling; uploads still work");
        }
        Fullness::NoUploads => {
            tracing::warn!(used_percent, free_bytes, free_files, "the disk is nearly full; no upload is taken");
        }
        Fullness::NoChanges => {
            tracing::error!(used_percent, free_bytes, free_files, "the disk is full; only revoking and deleting works");
        }
    }
}
