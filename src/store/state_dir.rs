//! The state directory: its layout, its lock, its format, and the master key's file.
//!
//! ```text
//! format      what wrote this directory; comes last of all: without it nothing here was ever promised
//! lock        held by the one process that uses it, besides the directory itself
//! journal     the catalog
//! index/      sled; may be deleted while nothing runs, and is rebuilt
//! media/      immutable media files
//! incoming/   uploads under way that end with their connection
//! uploads/    resumable uploads: what has come of each
//! tls/        the self-made certificate, where none is configured
//! last-backup when a backup was last made, in milliseconds since 1970
//! scrub       how far reading all media again has come, and what it found damaged; may be deleted
//! admin.sock  the appliance's admin API, mode 0600
//! backups/    where the server may write backups; not looked into
//! ```

use super::journal::sync_directory;
use super::remedy::{with_place, with_remedy};
use super::small_file::{open_own_file, private_directory, read_small, replace_small, write_synced};
use crate::domain::{Timestamp, hex};
use rustix::fs::{AtFlags, FlockOperation, StatxFlags, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const FORMAT: &str = "screener state 1\n";
/// Name of the format's file until the directory is whole.
const UNFINISHED: &str = "format.unfinished";
const LAST_BACKUP: &str = "last-backup";
/// What an `init` or a restore may have made that did not end. A master key stays: it may be somebody's only copy.
const LEFT_BEHIND: [&str; 5] = ["journal", "index", "media", "incoming", "uploads"];
/// Longest of the small files that is read, in bytes: a master key is 65, and a line more does no harm.
const SMALL_FILE_BYTES: u64 = 1024;

/// A state directory that this process alone uses.
pub struct StateDir {
    path: PathBuf,
    _lock: [File; 2],
}

/// Why a state directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// There is none.
    #[error("{0} is not a state directory; make one with `screener init`")]
    Missing(PathBuf),
    /// There is one already.
    #[error(
        "{0} exists already; `screener init` never writes over one: name another directory, or start with `screener serve`, \
         and make keys with `screener organization create` if the first ones were never seen"
    )]
    Exists(PathBuf),
    /// It was not made to its end.
    #[error(
        "{0} is not whole: the `screener init` or `screener backup restore` that made it was interrupted. Run that again"
    )]
    Unfinished(PathBuf),
    /// There are records, and nothing says how to read them.
    #[error(
        "{0}/format is missing, but there is a journal: this directory held records. Put the file back \
         (one line, {line:?}), or restore a backup", line = FORMAT.trim_end()
    )]
    NoFormat(PathBuf),
    /// Another process uses it.
    #[error("{0} is in use by another screener process")]
    InUse(PathBuf),
    /// A newer version wrote it.
    #[error(
        "{path} was written by another version of screener ({found:?}, this one writes {FORMAT:?}); use that version, or restore a backup made by this one"
    )]
    Format {
        /// The directory.
        path: PathBuf,
        /// What its format file says.
        found: String,
    },
    /// What is renamed from one directory into another could not be.
    #[error(
        "{path} is on another file system, or another mount, than {beside}: what was received could not be moved from one to the \
         other. Mount the disk at the state directory itself, so that media/, incoming/ and uploads/ are on one"
    )]
    OtherMount {
        /// One directory.
        path: PathBuf,
        /// The other.
        beside: PathBuf,
    },
    /// Others may read it.
    #[error("{path} is open to other users (mode {mode:04o}); run: chmod {wanted:04o} {path}")]
    TooOpen {
        /// What is too open.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// The master key's file is not one.
    #[error(
        "{0} does not hold a master key: 64 hexadecimal digits are expected. Put the right file back; a new key would make every signing key unreadable"
    )]
    MasterKey(PathBuf),
    /// There is no master key.
    #[error(
        "{0} is missing: it holds the master key, without which no signing key can be read. Put it back from where you keep it (it is not part of a backup)"
    )]
    NoMasterKey(PathBuf),
    /// Anything else.
    #[error("{path}: {error}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl StateDir {
    /// Makes a state directory (0700) where there is none, an empty one, or one that was never made whole, and locks it.
    /// It is one only when [`StateDir::finish`] has been called: until then nothing that is in it is promised.
    pub fn create(path: &Path) -> Result<Self, StateDirError> {
        let missing: Vec<&Path> =
            path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
        for directory in missing.into_iter().rev() {
            private_directory(directory)
                .map_err(|error| StateDirError::Io { path: directory.to_owned(), error: with_place(error) })?;
        }
        refuse_taken(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(StateDirError::at(path))?;
        let lock = lock(path)?;
        // Whoever held the lock until now may have made it whole.
        refuse_taken(path)?;
        let unfinished = path.join(UNFINISHED);
        write_synced(&unfinished, FORMAT.as_bytes())
            .and_then(|()| sync_directory(path))
            .map_err(StateDirError::at(&unfinished))?;
        for left in LEFT_BEHIND.map(|name| path.join(name)) {
            let removed = if left.is_dir() { std::fs::remove_dir_all(&left) } else { std::fs::remove_file(&left) };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StateDirError::at(&left)(error)),
                _ => {}
            }
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Makes one whole that was just created: what is in it is promised from here on. Its journal must say something.
    pub fn finish(&self) -> Result<(), StateDirError> {
        let format = self.path.join("format");
        sync_directory(&self.path)
            .and_then(|()| std::fs::rename(self.path.join(UNFINISHED), &format))
            .and_then(|()| sync_directory(&self.path))
            .map_err(StateDirError::at(&format))
    }

    /// Whether there is a directory that was created and never made whole.
    pub fn is_unfinished(path: &Path) -> bool {
        path.join(UNFINISHED).exists() && !Self::is_finished(path)
    }

    /// Whether it was made whole: from then on its journal says something, and what is in it is promised.
    pub(super) fn is_finished(path: &Path) -> bool {
        path.join("format").try_exists().unwrap_or(true)
    }

    /// Opens and locks an existing one.
    pub fn open(path: &Path) -> Result<Self, StateDirError> {
        let format = path.join("format");
        let found = match read_small(&format, SMALL_FILE_BYTES) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(match path.to_owned() {
                    path if Self::is_unfinished(&path) => StateDirError::Unfinished(path),
                    path if path.join("journal").exists() => StateDirError::NoFormat(path),
                    path => StateDirError::Missing(path),
                });
            }
            Err(error) => return Err(StateDirError::at(&format)(error)),
        };
        if found != FORMAT.as_bytes() {
            let found = String::from_utf8_lossy(&found).chars().take(80).collect();
            return Err(StateDirError::Format { path: path.to_owned(), found });
        }
        check_mode(path, 0o700)?;
        Ok(Self { path: path.to_owned(), _lock: lock(path)? })
    }

    /// Locks a directory without a look at anything else in it, for whoever must know that no process uses it.
    pub(super) fn lock(path: &Path) -> Result<Self, StateDirError> {
        Ok(Self { path: path.to_owned(), _lock: lock(path)? })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When a backup was last made; `None` if it is not known.
    pub fn last_backup(&self) -> Option<Timestamp> {
        let text = read_small(&self.path.join(LAST_BACKUP), SMALL_FILE_BYTES).ok()?;
        str::from_utf8(&text).ok()?.trim_end().parse().ok().map(Timestamp::from_millis)
    }

    /// Notes that a backup was made.
    pub fn note_backup(&self, at: Timestamp) -> io::Result<()> {
        replace_small(&self.path.join(LAST_BACKUP), format!("{}\n", at.millis()).as_bytes())
    }

    /// The note of how far reading all media again has come.
    pub fn scrub_note(path: &Path) -> PathBuf {
        path.join("scrub")
    }

    /// The socket of the appliance's admin API.
    pub fn socket(path: &Path) -> PathBuf {
        path.join("admin.sock")
    }
}

impl StateDirError {
    /// What the system said of `path`, with the way out where there is one.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |error| Self::Io { error: with_remedy(&path, error), path }
    }
}

/// Refuses two directories between which nothing can be renamed.
pub(super) fn check_one_mount(path: &Path, beside: &Path) -> Result<(), StateDirError> {
    // A bind mount is of the same device, and nothing is renamed into it either (rename(2)).
    let mount_of = |path: &Path| {
        let device = std::fs::metadata(path).map_err(StateDirError::at(path))?.dev();
        // Before Linux 5.8 there are no such numbers.
        let flags = StatxFlags::MNT_ID;
        let found = rustix::fs::statx(rustix::fs::CWD, path, AtFlags::empty(), flags).ok();
        let mount = found.filter(|found| found.stx_mask & flags.bits() != 0).map(|found| found.stx_mnt_id);
        Ok::<_, StateDirError>((device, mount))
    };
    if mount_of(path)? == mount_of(beside)? {
        return Ok(());
    }
    Err(StateDirError::OtherMount { path: path.to_owned(), beside: beside.to_owned() })
}

/// Writes the master key's file (0600), which must not exist: whole or not at all, on disk when this answers.
pub fn write_master_key(path: &Path, key: &[u8; 32]) -> Result<(), StateDirError> {
    if path.exists() {
        return Err(StateDirError::Exists(path.to_owned()));
    }
    let text = zeroize::Zeroizing::new(hex(key) + "\n");
    replace_small(path, text.as_bytes()).map_err(StateDirError::at(path))
}

/// Reads the master key's file.
pub fn read_master_key(path: &Path) -> Result<zeroize::Zeroizing<[u8; 32]>, StateDirError> {
    let no_key = || StateDirError::MasterKey(path.to_owned());
    // The mode of a device or a directory is not for us to change.
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return Err(no_key());
    }
    check_mode(path, 0o600)?;
    let text = zeroize::Zeroizing::new(read_small(path, SMALL_FILE_BYTES).map_err(StateDirError::at(path))?);
    let digits = str::from_utf8(&text).map_err(|_| no_key())?.trim_end();
    let mut key = zeroize::Zeroizing::new([0_u8; 32]);
    let is_key = digits.len() == 64
        && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
        && key.iter_mut().enumerate().all(|(at, byte)| {
            digits.get(2 * at..2 * at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).is_some_and(|value| {
                *byte = value;
                true
            })
        });
    if is_key { Ok(key) } else { Err(no_key()) }
}

/// Refuses a directory that holds anything, unless it was never made whole.
fn refuse_taken(path: &Path) -> Result<(), StateDirError> {
    let mut has_others = false;
    for entry in std::fs::read_dir(path).map_err(StateDirError::at(path))? {
        let name = entry.map_err(StateDirError::at(path))?.file_name();
        // The lock is made before anything is written, and says nothing; backups are of another state.
        // ext4 makes a directory of its own in the root of a disk.
        has_others |= name != "lock" && name != "backups" && name != "lost+found";
    }
    if has_others && !StateDir::is_unfinished(path) { Err(StateDirError::Exists(path.to_owned())) } else { Ok(()) }
}

/// Locks the directory itself, since a file in it may be deleted; and a file in it, since not every file system locks
/// directories (NFS).
fn lock(path: &Path) -> Result<[File; 2], StateDirError> {
    let in_use = || StateDirError::InUse(path.to_owned());
    let directory = File::open(path).map_err(StateDirError::at(path))?;
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Err(in_use()),
        Err(error) => {
            tracing::warn!(%error, "this file system locks no directories: never delete the file `lock` in the state directory");
        }
        Ok(()) => {}
    }
    let lock_path = path.join("lock");
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).mode(0o600);
    let file = open_own_file(&lock_path, &mut options).map_err(StateDirError::at(&lock_path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(in_use()),
        Err(error) => Err(StateDirError::at(&lock_path)(error.into())),
        Ok(()) => Ok([directory, file]),
    }
}

fn check_mode(path: &Path, wanted: u32) -> Result<(), StateDirError> {
    let mode = match std::fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode() & 0o7777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StateDirError::NoMasterKey(path.to_owned()));
        }
        Err(error) => return Err(StateDirError::at(path)(error)),
    };
    // systemd hands credentials out as 0400 or, with an ACL, 0440 in a directory that only the service can enter.
    let is_credential = path.starts_with("/run/credentials");
    if mode & 0o077 != 0 && !is_credential {
        return Err(StateDirError::TooOpen { path: path.to_owned(), mode, wanted });
    }
    Ok(())
}
