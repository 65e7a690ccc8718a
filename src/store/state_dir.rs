//! The state directory: its layout, its lock, its format, and the master key's file.
//!
//! ```text
//! format      what wrote this directory
//! lock        held by the one process that uses it
//! journal     the catalog
//! index/      sled; may be deleted while nothing runs, and is rebuilt
//! media/      immutable media files
//! incoming/   uploads under way that end with their connection
//! uploads/    resumable uploads: what has come of each
//! tls/        the self-made certificate, where none is configured
//! last-backup when a backup was last made, in milliseconds since 1970
//! admin.sock  the appliance's admin API, mode 0600
//! ```

use super::journal::sync_directory;
use crate::domain::Timestamp;
use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const FORMAT: &str = "screener state 1\n";
const LAST_BACKUP: &str = "last-backup";

/// A state directory that this process alone uses.
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

/// Why a state directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// There is none.
    #[error("{0} is not a state directory; make one with `screener init`")]
    Missing(PathBuf),
    /// There is one already.
    #[error(
        "{0} exists already; `screener init` never writes over one: name another directory, or start with `screener serve`"
    )]
    Exists(PathBuf),
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
    /// Makes a state directory (0700) where there is none or an empty one, and locks it.
    pub fn create(path: &Path) -> Result<Self, StateDirError> {
        let to_error = |error| StateDirError::Io { path: path.to_owned(), error };
        let is_empty = match std::fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(to_error)?;
                true
            }
            Err(error) => return Err(to_error(error)),
        };
        if !is_empty {
            return Err(StateDirError::Exists(path.to_owned()));
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(to_error)?;
        let lock = lock(path)?;
        write_new(&path.join("format"), FORMAT.as_bytes()).map_err(to_error)?;
        sync_directory(path).map_err(to_error)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Opens and locks an existing one.
    pub fn open(path: &Path) -> Result<Self, StateDirError> {
        let to_error = |error| StateDirError::Io { path: path.to_owned(), error };
        let found = match std::fs::read_to_string(path.join("format")) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StateDirError::Missing(path.to_owned()));
            }
            Err(error) => return Err(to_error(error)),
        };
        if found != FORMAT {
            return Err(StateDirError::Format { path: path.to_owned(), found: found.chars().take(80).collect() });
        }
        check_mode(path, 0o700)?;
        Ok(Self { path: path.to_owned(), _lock: lock(path)? })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When a backup was last made; `None` if it is not known.
    pub fn last_backup(&self) -> Option<Timestamp> {
        let text = std::fs::read_to_string(self.path.join(LAST_BACKUP)).ok()?;
        text.trim_end().parse().ok().map(Timestamp::from_millis)
    }

    /// Notes that a backup was made.
    pub fn note_backup(&self, at: Timestamp) -> io::Result<()> {
        let unfinished = self.path.join(format!("{LAST_BACKUP}.new"));
        std::fs::write(&unfinished, format!("{}\n", at.millis()))?;
        std::fs::rename(unfinished, self.path.join(LAST_BACKUP))
    }

    /// The socket of the appliance's admin API.
    pub fn socket(path: &Path) -> PathBuf {
        path.join("admin.sock")
    }
}

/// Writes the master key's file (0600), which must not exist, and syncs it.
pub fn write_master_key(path: &Path, key: &[u8; 32]) -> Result<(), StateDirError> {
    let to_error = |error| StateDirError::Io { path: path.to_owned(), error };
    if path.exists() {
        return Err(StateDirError::Exists(path.to_owned()));
    }
    let text: zeroize::Zeroizing<String> =
        zeroize::Zeroizing::new(key.iter().map(|byte| format!("{byte:02x}")).chain(["\n".to_owned()]).collect());
    write_new(path, text.as_bytes()).map_err(to_error)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent).map_err(to_error),
        _ => Ok(()),
    }
}

/// Reads the master key's file.
pub fn read_master_key(path: &Path) -> Result<zeroize::Zeroizing<[u8; 32]>, StateDirError> {
    check_mode(path, 0o600)?;
    let mut text = zeroize::Zeroizing::new(String::new());
    File::open(path)
        .and_then(|file| file.take(1024).read_to_string(&mut text))
        .map_err(|error| StateDirError::Io { path: path.to_owned(), error })?;
    let digits = text.trim_end();
    let mut key = zeroize::Zeroizing::new([0_u8; 32]);
    let is_key = digits.len() == 64
        && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
        && key.iter_mut().enumerate().all(|(at, byte)| {
            digits.get(2 * at..2 * at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).is_some_and(|value| {
                *byte = value;
                true
            })
        });
    if is_key { Ok(key) } else { Err(StateDirError::MasterKey(path.to_owned())) }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn lock(path: &Path) -> Result<File, StateDirError> {
    let lock_path = path.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock_path)
        .map_err(|error| StateDirError::Io { path: lock_path, error })?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| StateDirError::InUse(path.to_owned()))?;
    Ok(file)
}

fn check_mode(path: &Path, wanted: u32) -> Result<(), StateDirError> {
    let mode = match std::fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode() & 0o7777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StateDirError::NoMasterKey(path.to_owned()));
        }
        Err(error) => return Err(StateDirError::Io { path: path.to_owned(), error }),
    };
    // systemd hands credentials out as 0400 or, with an ACL, 0440 in a directory that only the service can enter.
    let is_credential = path.starts_with("/run/credentials");
    if mode & 0o077 != 0 && !is_credential {
        return Err(StateDirError::TooOpen { path: path.to_owned(), mode, wanted });
    }
    Ok(())
}
