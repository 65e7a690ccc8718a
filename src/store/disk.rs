//! Room on the one file system that everything at rest shares: how full it is, by which marks, and the reserve.
//!
//! The reserve is a file of allocated blocks and no bytes beside the journal. It is given up when the journal has no room
//! any more, so that a revocation still fits, or the index none at a start. Half of it is the journal's then, the rest stays
//! a reserve; it is whole again when there is room. While it is not there its room counts
//! as used: nothing but a revocation or a removal gets it.

use super::journal::sync_directory;
use super::media_dir::MediaError;
use super::small_file::open_own_file;
use crate::domain::limits;
use rustix::fs::{FallocateFlags, StatVfsMountFlags};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// When a disk counts as how full. Shares are of the room that users have, as `df` tells it: blocks that root alone may
/// use are no room.
#[derive(Clone, Copy, Debug)]
pub struct Watermarks {
    /// Used per cent from which on it is told.
    pub warn_percent: u8,
    /// Used per cent from which on nothing large is taken.
    pub uploads_percent: u8,
    /// Used per cent from which on no change is taken but what revokes or removes.
    pub changes_percent: u8,
    /// Bytes that uploads leave free where [`Self::uploads_percent`] would leave less.
    pub min_free_bytes: u64,
    /// Size of the reserve; a disk where that is more than a twentieth has one of a twentieth.
    pub reserve_bytes: u64,
}

impl Watermarks {
    /// Marks that only a disk without a free byte passes, and no reserve.
    pub const OFF: Self =
        Self { warn_percent: 100, uploads_percent: 100, changes_percent: 100, min_free_bytes: 0, reserve_bytes: 0 };
}

/// How full a disk is, by the marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fullness {
    /// Nothing to tell.
    Roomy,
    /// To be told.
    Filling,
    /// Nothing large is taken.
    NoUploads,
    /// No change is taken but what revokes or removes.
    NoChanges,
}

/// Room at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Bytes free for an ordinary user.
    pub free_bytes: u64,
    /// Bytes of the file system.
    pub total_bytes: u64,
    /// Bytes that uploads leave free.
    pub floor_bytes: u64,
    /// Files that may still be made, where the file system counts them (`df -i`).
    pub free_files: Option<u64>,
    /// Used per cent, rounded up, as `df` has it.
    pub used_percent: u8,
    /// What that means.
    pub fullness: Fullness,
    /// Whether the file system takes no writes at all: a kernel that met an error mounts it so.
    pub is_read_only: bool,
    /// Free bytes without what is yet to become the reserve.
    left_bytes: u64,
}

/// The file system below a state directory.
pub struct Disk {
    directory: PathBuf,
    marks: Watermarks,
}

impl Disk {
    /// The one that `directory` is on.
    pub fn new(directory: &Path, marks: Watermarks) -> Self {
        Self { directory: directory.to_owned(), marks }
    }

    /// How much room there is now.
    pub fn room(&self) -> io::Result<Room> {
        self.room_after(0)
    }

    /// How much there would be after so many bytes more.
    fn room_after(&self, bytes_more: u64) -> io::Result<Room> {
        let stat = rustix::fs::statvfs(&self.directory)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        let (free, used) = (bytes(stat.f_bavail), bytes(stat.f_blocks.saturating_sub(stat.f_bfree)));
        let users = used.saturating_add(free);
        let missing = self.wanted_reserve(users).saturating_sub(self.held_bytes());
        let left = free.saturating_sub(missing).saturating_sub(bytes_more);
        let is_past = |percent: u8| left <= share(users, 100_u8.saturating_sub(percent));
        let marks = [
            (self.marks.changes_percent, Fullness::NoChanges),
            (self.marks.uploads_percent, Fullness::NoUploads),
            (self.marks.warn_percent, Fullness::Filling),
        ];
        let floor = share(users, 100_u8.saturating_sub(self.marks.uploads_percent)).max(self.marks.min_free_bytes);
        let mut fullness =
            marks.into_iter().find(|(percent, _)| is_past(*percent)).map_or(Fullness::Roomy, |mark| mark.1);
        // Where the file system counts its files, too.
        let has_few_files = stat.f_files > 0 && stat.f_favail < limits::FREE_FILES;
        if left <= floor || has_few_files {
            fullness = fullness.max(Fullness::NoUploads);
        }
        let used_percent = users.saturating_sub(left).saturating_mul(100).div_ceil(users.max(1));
        Ok(Room {
            free_bytes: free,
            total_bytes: bytes(stat.f_blocks),
            floor_bytes: floor,
            free_files: (stat.f_files > 0).then_some(stat.f_favail),
            used_percent: u8::try_from(used_percent).unwrap_or(100),
            fullness,
            is_read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
            left_bytes: left,
        })
    }

    /// Refuses early what would fill the disk: `needed_bytes` more have to leave the floor free.
    pub fn check_room(&self, needed_bytes: u64) -> Result<(), MediaError> {
        let room = self.room()?;
        let fits = room.left_bytes >= room.floor_bytes.saturating_add(needed_bytes);
        if fits && room.fullness < Fullness::NoUploads { Ok(()) } else { Err(MediaError::NoSpace) }
    }

    /// The same for what is written as long as changes are taken: they have to be taken after it.
    pub fn check_room_for_changes(&self, needed_bytes: u64) -> Result<(), MediaError> {
        let fits = self.room_after(needed_bytes)?.fullness < Fullness::NoChanges;
        if fits { Ok(()) } else { Err(MediaError::NoSpace) }
    }

    /// Makes the reserve where there is none, or a smaller one, and there is room for it; whether there is one then. Some
    /// file systems can't hold room: there only the marks keep it free.
    pub(super) fn hold_reserve(&self) -> io::Result<bool> {
        let stat = rustix::fs::statvfs(&self.directory)?;
        let users = stat.f_blocks.saturating_sub(stat.f_bfree).saturating_add(stat.f_bavail);
        let wanted = self.wanted_reserve(users.saturating_mul(stat.f_frsize));
        let mut before = self.held_bytes();
        // Less is wanted than before. File systems round up.
        if before > wanted.saturating_add(limits::HELD_LEAST_BYTES) && before > 0 {
            std::fs::remove_file(self.reserve())?;
            before = 0;
        }
        if before >= wanted || self.room()?.fullness == Fullness::NoChanges {
            return Ok(wanted == 0 || before > 0);
        }
        let held = self.open_reserve().and_then(|file| allocate(&file, wanted));
        // What could not be made whole takes room and may hold none, and what is no file is in the way; what is left of one
        // that was given up stays.
        if let Err(error) = held {
            if before == 0 {
                let _ = std::fs::remove_file(self.reserve());
            }
            return Err(error);
        }
        Ok(self.held_bytes() > 0)
    }

    /// Gives the reserve up; its size in bytes, if there was one.
    pub fn give_up_reserve(&self) -> Option<u64> {
        let held = self.held_bytes();
        if held == 0 || std::fs::remove_file(self.reserve()).is_err() {
            return None;
        }
        // Blocks that were freed may be had once the file system has committed that.
        if let Err(error) = sync_directory(&self.directory) {
            tracing::warn!(%error, "the reserve was given up, and the disk did not take note");
        }
        tracing::warn!(freed_bytes = held, "the disk is full; its reserve was given up for what revokes and removes");
        Some(held)
    }

    /// Makes a reserve, as near to so many bytes as can be had, however full the disk is: of one that was given up, what
    /// nobody needed.
    pub(super) fn hold_rest(&self, bytes: u64) {
        if self.open_reserve().is_ok_and(|file| allocate_up_to(&file, 0, bytes) == 0) {
            let _ = std::fs::remove_file(self.reserve());
        }
    }

    fn open_reserve(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        open_own_file(&self.reserve(), options.write(true).create(true).truncate(false).mode(0o600))
    }

    fn reserve(&self) -> PathBuf {
        self.directory.join("reserve")
    }

    fn held_bytes(&self) -> u64 {
        // In units of 512 bytes, whatever the file system's blocks are (stat(2)).
        let file = std::fs::symlink_metadata(self.reserve()).ok().filter(std::fs::Metadata::is_file);
        file.map_or(0, |file| file.blocks().saturating_mul(512))
    }

    fn wanted_reserve(&self, users_bytes: u64) -> u64 {
        self.marks.reserve_bytes.min(users_bytes / 20)
    }
}

/// Holds room for a file of this length, where the file system can.
pub(super) fn allocate(file: &File, length_bytes: u64) -> io::Result<()> {
    match rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, length_bytes)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        other => Ok(other?),
    }
}

/// Holds room for as much of `bytes` behind `from` as can be had, halving it as long as it can't; how much that is.
pub(super) fn allocate_up_to(file: &File, from: u64, bytes: u64) -> u64 {
    let mut bytes = bytes;
    while bytes >= limits::HELD_LEAST_BYTES {
        if allocate(file, from.saturating_add(bytes)).is_ok() {
            return bytes;
        }
        bytes /= 2;
    }
    0
}

fn share(bytes: u64, percent: u8) -> u64 {
    bytes / 100 * u64::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No disk is so empty that it does not pass this one.
    const PASSED: u8 = 1;

    fn disk(directory: &Path, marks: Watermarks) -> Disk {
        Disk::new(directory, marks)
    }

    #[test]
    fn each_mark_is_passed_by_itself_and_the_highest_counts() {
        let directory = tempfile::tempdir().unwrap();
        let fullness = |marks| disk(directory.path(), marks).room().unwrap().fullness;
        assert_eq!(fullness(Watermarks::OFF), Fullness::Roomy);
        let warned = Watermarks { warn_percent: PASSED, ..Watermarks::OFF };
        assert_eq!(fullness(warned), Fullness::Filling);
        let nearly_full = Watermarks { uploads_percent: PASSED, ..warned };
        assert_eq!(fullness(nearly_full), Fullness::NoUploads);
        assert_eq!(fullness(Watermarks { changes_percent: PASSED, ..nearly_full }), Fullness::NoChanges);
    }

    #[test]
    fn uploads_leave_the_share_or_the_bytes_that_are_more() {
        let directory = tempfile::tempdir().unwrap();
        let free = disk(directory.path(), Watermarks::OFF).room().unwrap().free_bytes;
        let takes = |marks, bytes| disk(directory.path(), marks).check_room(bytes).is_ok();
        // Others write to this disk meanwhile.
        let (half, all) = (free / 2, free.saturating_add(1 << 40));
        assert!(takes(Watermarks::OFF, half) && !takes(Watermarks::OFF, all));
        let with_bytes = Watermarks { min_free_bytes: free / 4 * 3, ..Watermarks::OFF };
        assert!(!takes(with_bytes, half) && takes(with_bytes, 0));
        assert!(!takes(Watermarks { uploads_percent: PASSED, ..Watermarks::OFF }, 0));
        let none = Watermarks { min_free_bytes: all, ..Watermarks::OFF };
        assert!(!takes(none, 0));
        // What is refused is told.
        assert_eq!(disk(directory.path(), none).room().unwrap().fullness, Fullness::NoUploads);
    }

    #[test]
    fn the_reserve_is_blocks_without_bytes_given_up_once_and_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let disk = disk(directory.path(), Watermarks { reserve_bytes: 8 << 20, ..Watermarks::OFF });
        let before = disk.room().unwrap();
        for _ in 0..2 {
            assert!(disk.hold_reserve().unwrap());
            let file = std::fs::metadata(directory.path().join("reserve")).unwrap();
            assert_eq!((file.len(), file.mode() & 0o777), (0, 0o600));
            assert!(file.blocks() * 512 >= 8 << 20, "{} blocks", file.blocks());
            assert!(disk.give_up_reserve().is_some_and(|bytes| bytes >= 8 << 20));
            assert_eq!(disk.give_up_reserve(), None, "there is none any more");
        }
        // A smaller one is made of a larger one, and none of any.
        let held = |bytes| {
            let marks = Watermarks { reserve_bytes: bytes, ..Watermarks::OFF };
            let disk = Disk::new(directory.path(), marks);
            assert!(disk.hold_reserve().unwrap());
            disk.held_bytes()
        };
        assert!(held(8 << 20) >= 8 << 20 && (2 << 20..3 << 20).contains(&held(2 << 20)));
        assert_eq!(held(0), 0);
        // What is to become the reserve counts as used, so that nobody takes its place.
        assert!(before.left_bytes <= before.free_bytes - (8 << 20));
    }

    #[test]
    fn what_is_no_file_in_the_reserves_place_goes_and_nothing_is_held_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (directory.path().join("reserve"), directory.path().join("elsewhere"));
        let disk = disk(directory.path(), Watermarks { reserve_bytes: 1 << 20, ..Watermarks::OFF });
        std::fs::write(&elsewhere, "").unwrap();
        let fifo = |path: &Path| rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RWXU).unwrap();
        let link = |path: &Path| std::os::unix::fs::symlink(&elsewhere, path).unwrap();
        for put in [&fifo as &dyn Fn(&Path), &link] {
            put(&path);
            disk.hold_rest(1 << 20);
            assert!(disk.hold_reserve().is_err());
            assert!(disk.hold_reserve().unwrap() && disk.give_up_reserve().is_some());
        }
        assert_eq!(std::fs::metadata(&elsewhere).unwrap().blocks(), 0);
    }

    #[test]
    fn a_full_disk_gets_no_reserve() {
        let directory = tempfile::tempdir().unwrap();
        let marks = Watermarks { reserve_bytes: 8 << 20, changes_percent: PASSED, ..Watermarks::OFF };
        assert!(!disk(directory.path(), marks).hold_reserve().unwrap());
        assert!(!directory.path().join("reserve").exists());
        let none = Watermarks { reserve_bytes: 0, ..marks };
        assert!(disk(directory.path(), none).hold_reserve().unwrap(), "none is wanted");
    }
}
