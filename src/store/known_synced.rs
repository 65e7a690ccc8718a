//! How much of an upload's file is known to be on disk. A sync that fails may leave pages that the kernel has given up and
//! calls clean: the next one succeeds, and says nothing of what was lost. What a failed sync was to vouch for is never
//! believed again.

use super::appending::write_floor;
use crate::domain::MediaFileId;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What is known of each upload that was looked at since the start.
#[derive(Default)]
pub(super) struct KnownSynced(Mutex<HashMap<MediaFileId, Arc<Mutex<Known>>>>);

/// What is known of one. Held while its file is synced, so that nobody asks between a failure and its being known here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Bytes that a sync has found on disk.
    synced: u64,
    /// Whether a later one failed, and what lies behind is still in the file.
    is_doubted: bool,
}

impl KnownSynced {
    /// What is known of one; of one that nobody has asked for yet, nothing.
    pub fn of(&self, id: MediaFileId) -> Arc<Mutex<Known>> {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default())
    }

    /// Forgets one that is gone.
    pub fn forget(&self, id: MediaFileId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

impl Known {
    /// How many bytes may be believed at most: [`u64::MAX`] where no sync has failed.
    pub fn bound(&self) -> u64 {
        if self.is_doubted { self.synced } else { u64::MAX }
    }

    /// Waits until all of the file is on disk, of which `right` bytes are right at most. Where that fails, it is kept in mind,
    /// and in a floor for the next start: where the disk does not take that either, memory alone knows it.
    pub fn sync(&mut self, file: &File, floor: &Path, right: u64) -> io::Result<()> {
        if self.is_doubted {
            return Err(io::Error::other(
                "an earlier sync of the upload failed, and what it was for is not cut off yet",
            ));
        }
        let length = file.metadata()?.len();
        if self.synced >= length {
            return Ok(());
        }
        if let Err(error) = file.sync_data() {
            *self = Self { synced: self.synced.min(right), is_doubted: true };
            tracing::warn!(floor = %floor.display(), %error, offset = self.synced, "an upload could not be synced; it goes back to where it was known to be on disk");
            self.write_down(floor, right);
            return Err(error);
        }
        self.synced = length;
        Ok(())
    }

    /// Writes down what is doubted, if `right`, which is what is there, does not say so.
    pub fn write_down(&self, floor: &Path, right: u64) {
        if self.bound() < right
            && let Err(error) = write_floor(floor, self.synced)
        {
            tracing::warn!(floor = %floor.display(), %error, "where an upload goes back to was not written down; a start before that would not know");
        }
    }

    /// Nothing is left of the file behind `length`, and that is on disk.
    pub fn cut(&mut self, length: u64) {
        *self = Self { synced: self.synced.min(length), is_doubted: false };
    }
}

/// A descriptor of a file that knows its length and can be neither synced nor cut.
#[cfg(test)]
pub(super) fn unsyncable(path: &Path) -> File {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::PATH.bits().cast_signed();
    File::options().read(true).custom_flags(flags).open(path).unwrap()
}
