//! What the state directory in use until now knows beside a backup, and whether that may not be all.

use super::super::index::IndexPlace;
use super::super::journal::JournalError;
use super::super::small_file::open_file;
use super::super::state_dir::{StateDir, StateDirError};
use super::super::verify::{Records, replay_readable};
use super::{BackupError, KnownState};
use crate::domain::{Kind, limits};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// What the state directory in use until now knows.
#[derive(Default)]
pub(super) struct Known {
    pub(super) records: Option<Records>,
    pub(super) state: KnownState,
    /// Why it is [`KnownState::Partial`].
    pub(super) doubt: Option<String>,
    /// A server that starts before the restore has ended would revoke behind its back.
    _lock: Option<StateDir>,
}

/// What the present state directory knows, and how much of what was done since `backup` that is: a damaged journal is a reason
/// to restore, and what stands before the damage still counts. No server starts there as long as the answer lives.
pub(super) fn read_known(directory: Option<&Path>, backup: &Records) -> Result<Known, BackupError> {
    // A running server would go on revoking behind our back. Its lock comes before anything else is looked at: a directory
    // that lost a file or is open to others may be served all the same.
    let Some(directory) = directory else { return Ok(Known::default()) };
    let (lock, journal) = (is_there(&directory.join("lock"))?, is_there(&directory.join("journal"))?);
    let lock = match (lock || journal).then(|| StateDir::lock(directory)) {
        Some(Err(error @ StateDirError::InUse(_))) => return Err(error.into()),
        Some(Err(StateDirError::Io { path, error })) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(BackupError::Io { path, error });
        }
        // What can't be locked, on a disk that is read-only or fails, nobody serves.
        other => other.and_then(Result::ok),
    };
    // Neither is served, and the latter may be what is restored into.
    if !journal || StateDir::is_unfinished(directory) {
        return Ok(Known::default());
    }
    let path = directory.join("journal");
    if let Err(error) = open_file(&path, std::fs::OpenOptions::new().read(true))
        && error.kind() == io::ErrorKind::PermissionDenied
    {
        return Err(BackupError::Io { path, error });
    }
    let (records, damage) = replay_readable(&path);
    let doubt = match damage {
        None => why_not_all(&records, directory, backup),
        Some(JournalError::Missing(_)) => Some("it is empty".to_owned()),
        Some(JournalError::Damaged { offset, what, .. }) => Some(format!("it is damaged at byte {offset}: {what}")),
        Some(error) => Some(error.to_string()),
    };
    let state = if doubt.is_some() { KnownState::Partial } else { KnownState::Whole };
    Ok(Known { records: Some(records), state, doubt, _lock: lock })
}

/// Why a journal that reads to its end may not be all that was done since `backup`; `None` if nothing speaks against that.
fn why_not_all(known: &Records, directory: &Path, backup: &Records) -> Option<String> {
    let seq = known.seq;
    if known.unfinished_bytes > 0 {
        // Nobody can tell a change that was never acknowledged from one that was, and is damaged.
        return Some(format!("{} bytes at its end, after change {seq}, can't be read", known.unfinished_bytes));
    }
    if seq < backup.seq {
        let last = backup.seq;
        return Some(format!(
            "it is an older copy, or of another state: it ends with change {seq}, the backup with {last}"
        ));
    }
    // No entry of an audit log is ever changed or removed, and each has the hash of all those before it.
    let mut audit = backup.rows.iter().filter(|((kind, _), _)| *kind == Kind::Audit);
    if !audit.all(|(target, row)| known.rows.get(target) == Some(row)) {
        return Some("it is of another state: it lacks entries of the backup's audit log".to_owned());
    }
    let path = directory.join("index");
    let found = path.metadata().ok().filter(std::fs::Metadata::is_dir)?;
    // sled writes where it is opened: what another user has made would not open for that one any more.
    let (owner, own) = (found.uid(), rustix::process::geteuid().as_raw());
    if owner != own {
        return Some(format!(
            "its index, which could tell whether its end is gone, belongs to user {owner}, and this runs as user {own}: restore \
             as that user"
        ));
    }
    let limit = Duration::from_secs(limits::KNOWN_INDEX_S);
    let index = IndexPlace { path, cache_bytes: limits::KNOWN_INDEX_CACHE_BYTES, limit };
    // One that does not open says nothing.
    let applied = index.applied().unwrap_or(0);
    (applied > seq)
        .then(|| format!("its end is gone: it ends with change {seq}, and change {applied} was acknowledged"))
}

/// Whether a file is there. Whoever may not look is not told that it isn't; where a disk fails, it is looked at.
fn is_there(path: &Path) -> Result<bool, BackupError> {
    match path.try_exists() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(BackupError::Io { path: path.to_owned(), error })
        }
        Err(_) => Ok(true),
        Ok(is_there) => Ok(is_there),
    }
}
