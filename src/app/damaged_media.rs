//! Media files that are not what was stored: refused, named once, and looked at again until they are whole.

use super::App;
use crate::domain::{MediaFile, MediaFileId, OrganizationId, Timestamp, limits};
use crate::store::{Damage, MediaFacts, StoredMedia, Trace, Unavailable};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Why a media file is not served.
#[derive(Debug, thiserror::Error)]
pub enum Unserved {
    /// No record names it any more.
    #[error("there is no such media file")]
    Gone,
    /// It is not what was stored; the log has said so.
    #[error("the media file is damaged")]
    Damaged,
    /// The system has no descriptor or no memory for it.
    #[error("a media file can't be opened or read at the moment: {0}")]
    Busy(io::Error),
}

/// A media file that is known to be damaged.
#[derive(Clone, Debug)]
pub struct DamagedFile {
    /// Its id.
    pub id: MediaFileId,
    /// Its owner and its video.
    pub facts: MediaFacts,
    /// What is wrong.
    pub damage: Damage,
    /// Since when that is known.
    pub found_at: Timestamp,
}

/// Damaged media files, as many as there is room to tell of.
#[derive(Clone, Debug)]
pub struct DamagedList {
    /// How many there are.
    pub count: usize,
    /// Some of them, in the order of their ids.
    pub first: Vec<DamagedFile>,
}

/// All that are known. What was found by reading is also in the note beside the journal (`scrub.rs`), so that it is
/// refused after a restart, too.
#[derive(Default)]
pub struct DamagedMedia {
    known: Mutex<Known>,
    /// How many there are: with each request it is asked whether there are any.
    count: AtomicUsize,
}

#[derive(Default)]
struct Known {
    files: BTreeMap<MediaFileId, Found>,
    /// Files that could not be opened and now can: served, and to be read once.
    put_back: BTreeSet<MediaFileId>,
}

struct Found {
    file: DamagedFile,
    /// Whether opening it does not show that it is whole again, so that it has to be read.
    needs_reading: bool,
    /// What it was when it was looked at last, and when that was.
    trace: Option<Trace>,
    looked_at: Instant,
}

impl DamagedMedia {
    /// How many are known.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// How many are one owner's, or anybody's; with the first [`limits::DAMAGED_LISTED`] of them.
    pub fn list(&self, owner: Option<OrganizationId>) -> DamagedList {
        let known = self.lock();
        let files = known.files.values().map(|found| &found.file);
        let wanted = files.filter(|file| owner.is_none_or(|owner| file.facts.organization == owner));
        let count = wanted.clone().count();
        DamagedList { count, first: wanted.take(limits::DAMAGED_LISTED).cloned().collect() }
    }

    /// Those that are refused until they were read.
    pub(super) fn unread(&self) -> Vec<MediaFileId> {
        self.lock().files.values().filter(|found| found.needs_reading).map(|found| found.file.id).collect()
    }

    /// Those that were put back and not read since, which this forgets.
    pub(super) fn take_put_back(&self) -> BTreeSet<MediaFileId> {
        std::mem::take(&mut self.lock().put_back)
    }

    fn needs_reading(&self, id: MediaFileId) -> bool {
        self.count() > 0 && self.lock().files.get(&id).is_some_and(|found| found.needs_reading)
    }

    /// Answers whether it was not known before.
    fn note(&self, file: DamagedFile, trace: Option<Trace>) -> bool {
        let mut known = self.lock();
        let id = file.id;
        let needs_reading = matches!(file.damage, Damage::Unreadable(_) | Damage::Altered);
        let mut found = Found { file, needs_reading, trace, looked_at: Instant::now() };
        if let Some(before) = known.files.get(&id) {
            found.needs_reading |= before.needs_reading;
            found.file.found_at = before.file.found_at;
        }
        let is_new = known.files.insert(id, found).is_none();
        self.count.store(known.files.len(), Ordering::Relaxed);
        is_new
    }

    /// Takes a file for whole that could be opened, where that is enough; answers whether it was known to be damaged.
    fn put_back(&self, id: MediaFileId) -> bool {
        let mut known = self.lock();
        if known.files.get(&id).is_none_or(|found| found.needs_reading) {
            return false;
        }
        known.files.remove(&id);
        known.put_back.insert(id);
        self.count.store(known.files.len(), Ordering::Relaxed);
        true
    }

    /// Answers whether it was known.
    fn forget(&self, id: MediaFileId) -> bool {
        let mut known = self.lock();
        let was_known = known.files.remove(&id).is_some();
        self.count.store(known.files.len(), Ordering::Relaxed);
        was_known
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// Opens a media file to be served, if it is as long as it was stored and not known to be damaged.
    pub fn open_media(&self, id: MediaFileId) -> Result<StoredMedia, Unserved> {
        self.check_media(id)?;
        let facts = self.store.access().media_file(id).ok_or(Unserved::Gone)?;
        match self.media.open_stored(id, facts.size_bytes) {
            Ok(media) => {
                if self.damaged.count() > 0 && self.damaged.put_back(id) {
                    tell_that_it_is_whole(id);
                }
                Ok(media)
            }
            Err(Unavailable::Damaged(damage)) => Err(self.note_damage(id, damage, self.media.trace(id))),
            Err(Unavailable::Busy(error)) => Err(Unserved::Busy(error)),
        }
    }

    /// Refuses a media file of which it is known that its bytes are damaged. Costs next to nothing while none is.
    pub fn check_media(&self, id: MediaFileId) -> Result<(), Unserved> {
        if self.damaged.needs_reading(id) { Err(Unserved::Damaged) } else { Ok(()) }
    }

    /// Remembers that an open media file could not be read.
    pub fn note_unreadable(&self, id: MediaFileId, error: io::Error) -> Unserved {
        match Unavailable::of_read(error) {
            Unavailable::Damaged(damage) => self.note_damage(id, damage, self.media.trace(id)),
            Unavailable::Busy(error) => Unserved::Busy(error),
        }
    }

    /// Remembers what is wrong with a media file; the first time, the log says so.
    pub(super) fn note_damage(&self, id: MediaFileId, damage: Damage, trace: Option<Trace>) -> Unserved {
        // A file goes after its record: one that is missing without a record is none that is damaged.
        let Some(facts) = self.store.access().media_file(id) else { return Unserved::Gone };
        self.segment_indexes.forget(id);
        let file = DamagedFile { id, facts, damage, found_at: self.now() };
        let (path, problem) = (self.media.path(id), file.damage.to_string());
        if self.damaged.note(file, trace) {
            tracing::error!(
                path = %path.display(),
                video = %facts.video,
                problem,
                "a media file is damaged and is not served: put it back from a backup, and it is served again by itself; \
                 where there is none, upload the video again. `screener store verify` looks at all of them at once"
            );
        }
        Unserved::Damaged
    }

    /// Reads all of a media file again and remembers what comes of it. `pause` is waited for after each step, and told
    /// how many bytes that took.
    pub(super) async fn read_media_again(&self, id: MediaFileId, pause: impl AsyncFn(usize)) {
        // Where the index fails, or a file went meanwhile, there is nothing to compare with.
        let Ok(Some(record)) = self.store.find::<MediaFile>(id.0).await else { return };
        // Before it is read: what is done to it meanwhile has it looked at once more.
        let trace = self.media.trace(id);
        let outcome = async {
            let mut reading = self.media.read_again(&record)?;
            loop {
                match reading.step().await? {
                    0 => return Ok(()),
                    bytes => pause(bytes).await,
                }
            }
        };
        match outcome.await {
            Ok(()) if self.damaged.forget(id) => tell_that_it_is_whole(id),
            Ok(()) => {}
            Err(Unavailable::Damaged(damage)) => drop(self.note_damage(id, damage, trace)),
            Err(Unavailable::Busy(error)) => tracing::warn!(%error, file = %id, "a media file could not be read again"),
        }
    }

    /// Reads these media files again, and those that are known to be damaged, as fast as the disk gives them.
    pub async fn look_at_media(self: &Arc<Self>, files: impl IntoIterator<Item = MediaFileId>) {
        let mut files: BTreeSet<MediaFileId> = files.into_iter().collect();
        files.extend(self.damaged.unread());
        for id in files {
            self.read_media_again(id, async |_| {}).await;
        }
        self.look_at_damaged().await;
    }

    /// Looks whether anything was done to damaged files, and takes for whole what is so again.
    pub(super) async fn look_at_damaged(self: &Arc<Self>) {
        if self.damaged.count() == 0 {
            return;
        }
        let app = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || app.touched_since()).await;
        for (id, needs_reading) in looked.unwrap_or_default() {
            if self.store.access().media_file(id).is_none() {
                self.damaged.forget(id);
            } else if needs_reading {
                self.read_media_again(id, async |_| {}).await;
            } else {
                // Opening it notes what comes of it.
                let _ = self.open_media(id);
            }
        }
    }

    /// Damaged files that something was done to since they were looked at, or that are to be tried again; each with
    /// whether it needs reading.
    fn touched_since(&self) -> Vec<(MediaFileId, bool)> {
        let retry = Duration::from_secs(limits::DAMAGED_RETRY_S);
        let known: Vec<_> = {
            let known = self.damaged.lock();
            let files = known.files.iter().map(|(id, found)| {
                let is_due = matches!(found.file.damage, Damage::Unreadable(_)) && found.looked_at.elapsed() >= retry;
                (*id, found.needs_reading, found.trace, is_due)
            });
            files.collect()
        };
        let is_named = |id| self.store.access().media_file(id).is_some();
        let touched = known
            .into_iter()
            .filter(|(id, _, trace, is_due)| *is_due || !is_named(*id) || self.media.trace(*id) != *trace);
        touched.map(|(id, needs_reading, ..)| (id, needs_reading)).collect()
    }
}

fn tell_that_it_is_whole(id: MediaFileId) {
    tracing::info!(file = %id, "a media file that was damaged is whole again and is served");
}
