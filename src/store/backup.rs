//! Backup and restore. A backup is the journal as of one commit, the media files it names, and a manifest with their
//! hashes, written last. The master key is not part of it. A media file that can't be had is left out and named: a disk that
//! begins to fail must not be why the latest revocations are in no backup.
//!
//! Restoring keeps every revocation that either side knows: a restored backup never brings a revoked key back.

mod known;
mod merge;

use super::catalog::Catalog;
use super::disk::Disk;
use super::journal::{FrozenJournal, Journal, JournalError, sync_directory};
use super::media_dir::{MediaDir, MediaError};
use super::op::Op;
use super::small_file::{private_directory, read_small};
use super::state_dir::{StateDir, StateDirError};
use super::verify::{MissingMedia, Records, VerifyReport, replay, replay_of, sha256_of, verify_lacking};
use crate::domain::{Kind, MediaFile, MediaFileId, Timestamp, hex, limits};
use known::read_known;
use merge::merged;
use rustix::fs::Access;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The one place within the state directory for backups: what the unit lets the server write to, and one mount with the
/// media, so that files can be linked.
const WITHIN_STATE: &str = "backups";

/// What the name of a backup ends with that is being made.
const UNFINISHED: &str = ".unfinished";
/// The longest name that Linux has for a file, in bytes: `NAME_MAX` of limits.h.
const LONGEST_NAME_BYTES: usize = 255;

/// Why a backup could not be made, checked or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The directory to restore into.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The backup is not whole.
    #[error("{path} is not a whole backup: {what}")]
    NotWhole {
        /// The backup.
        path: PathBuf,
        /// What is missing or wrong.
        what: String,
    },
    /// Its name, or that of what it is made as, is longer than the file system takes.
    #[error(
        "{0}: the name is too long; choose one of at most {limit} bytes",
        limit = LONGEST_NAME_BYTES - UNFINISHED.len()
    )]
    NameTooLong(PathBuf),
    /// So much is gone that a backup would be none.
    #[error(
        "{0} lacks more than {limit} media files, or they can't be read: is its disk there?",
        limit = limits::BACKUP_MISSING_FILES
    )]
    MediaGone(PathBuf),
    /// There is something where the backup should go to.
    #[error("{0} is not empty; name a directory that is missing or empty")]
    NotEmpty(PathBuf),
    /// It would lie among the server's own files.
    #[error("{path} lies within the state directory, where backups belong below {}", place.display())]
    AmongOurs {
        /// Where it should have gone to.
        path: PathBuf,
        /// Where it may go to.
        place: PathBuf,
    },
    /// Anything else.
    #[error("{path}: {error}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// What was done.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupReport {
    /// Number of the last change in it.
    pub seq: u64,
    /// Media files in it.
    pub media_files: usize,
    /// Media files that it lacks, since they were gone or unreadable when it was made.
    pub missing_media: Vec<MissingMedia>,
    /// Keys that the backup held as active and that stay revoked.
    pub revocations_kept: usize,
    /// Keys made after the backup that were kept.
    pub keys_kept: usize,
    /// Videos that the backup held as public and that stay private.
    pub kept_private: usize,
    /// Organizations for which the backup held token access as on, and for which it stays off.
    pub token_access_kept_off: usize,
    /// Organizations whose new videos were public as of the backup, and whose new videos stay private.
    pub default_kept_private: usize,
    /// Embeds that were deleted after the backup, of videos that were not, and that stay deleted.
    pub embeds_kept_deleted: usize,
    /// Videos that were deleted after the backup, and are there again, all of them private; `None` where that is not known.
    pub videos_back: Option<usize>,
    /// Of the videos that are there again, or may be, those that the backup held as public.
    pub back_private: usize,
    /// How much of the state directory in use until now could be asked.
    pub known_state: KnownState,
    /// Why that was not all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_doubt: Option<String>,
}

/// How much was known, beside a backup, of what happened after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KnownState {
    /// There was no state directory: revocations newer than the backup are not known.
    #[default]
    Absent,
    /// Its journal is damaged, cut off, an older one, or of another state: what it says counts, what it lacks is not known.
    Partial,
    /// All of it: nothing speaks against that.
    Whole,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    format: u32,
    created_at: String,
    seq: u64,
    journal_bytes: u64,
    journal_sha256: String,
    media_files: usize,
    /// Those that the journal names and that are not in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    missing_media: Vec<MissingMedia>,
    /// SHA-256 over the members above, so that a manifest damaged anywhere is not believed.
    sha256: String,
}

const FORMAT: u32 = 1;

impl Manifest {
    /// The file's text, which is this and no other.
    fn text(mut self) -> Result<Vec<u8>, serde_json::Error> {
        self.sha256 = String::new();
        self.sha256 = hex(&Sha256::digest(serde_json::to_vec(&self)?));
        serde_json::to_vec_pretty(&self)
    }
}

/// One at a time: what is left of one that was cut off is then nobody's.
static BACKING_UP: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Backs a running catalog up into `to`, which must not exist yet. Changes go on being made meanwhile. It gets its name
/// last: a backup that fails leaves nothing behind, and one that is cut off leaves `to` with `.unfinished` behind it, which
/// the next one of that name removes.
pub async fn create_backup(
    catalog: &Catalog,
    media: &MediaDir,
    disk: Arc<Disk>,
    to: &Path,
    now: Timestamp,
) -> Result<BackupReport, BackupError> {
    let alone = BACKING_UP.lock().await;
    let unfinished = {
        let (media, to) = (media.directory().to_owned(), to.to_owned());
        in_the_background(move || prepare(&media, &to)).await?
    };
    // From here on no file goes away, so that what the frozen journal names is there to be linked.
    let hold = media.hold().await;
    let journal = catalog.freeze_journal().await?;
    let (media, to) = (media.directory().to_owned(), to.to_owned());
    in_the_background(move || {
        // As long as this goes on, even where nobody waits for it any more.
        let _guards = (alone, hold);
        let made = private_directory(&unfinished)
            .map_err(io_error(&unfinished))
            .and_then(|()| write_backup(&journal, &media, &disk, &unfinished, now))
            .and_then(|report| std::fs::rename(&unfinished, &to).map(|()| report).map_err(io_error(&to)))
            .inspect_err(|_| drop(std::fs::remove_dir_all(&unfinished)))?;
        to.parent()
            .map_or(Ok(()), sync_directory)
            .map_err(io_error(&to))
            .inspect_err(|_| drop(std::fs::remove_dir_all(&to)))?;
        Ok(made)
    })
    .await
}

async fn in_the_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io_error(Path::new("backup"))(io::Error::other(error))))
}

/// Looks whether a backup may be made there, and clears the place in which it is made.
fn prepare(media: &Path, to: &Path) -> Result<PathBuf, BackupError> {
    let state = media.parent().unwrap_or(Path::new("/"));
    let place = state.join(WITHIN_STATE);
    let (real_state, real_to) = (resolved(state), resolved(to));
    let is_in_place = real_to.parent().is_some_and(|parent| parent.starts_with(real_state.join(WITHIN_STATE)));
    if real_to.starts_with(&real_state) && !is_in_place {
        return Err(BackupError::AmongOurs { path: to.to_owned(), place });
    }
    if to.symlink_metadata().is_ok() {
        return Err(io_error(to)(io::ErrorKind::AlreadyExists.into()));
    }
    if is_in_place {
        // The one directory that is ours to make: a missing one elsewhere may be a disk that is not there.
        if !place.exists() {
            private_directory(&place).map_err(io_error(&place))?;
        }
    } else if let Some(parent) = to.parent() {
        rustix::fs::access(parent, Access::WRITE_OK).map_err(|error| match error {
            Errno::ROFS => {
                let what = format!(
                    "it is read-only for the server. Under systemd that writes below {} alone, unless a drop-in says more (ReadWritePaths=)",
                    place.display()
                );
                io_error(parent)(io::Error::new(io::ErrorKind::PermissionDenied, what))
            }
            error => io_error(parent)(error.into()),
        })?;
    }
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(UNFINISHED);
    let unfinished = to.with_file_name(name);
    match std::fs::remove_dir_all(&unfinished) {
        Err(error) if error.raw_os_error() == Some(Errno::NAMETOOLONG.raw_os_error()) => {
            Err(BackupError::NameTooLong(to.to_owned()))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(&unfinished)(error)),
        _ => Ok(unfinished),
    }
}

/// A path with what exists of it written without links and `..`.
fn resolved(path: &Path) -> PathBuf {
    let real = |known: &Path| Some(known.canonicalize().ok()?.join(path.strip_prefix(known).ok()?));
    path.ancestors().find_map(real).unwrap_or_else(|| path.to_owned())
}

fn write_backup(
    journal: &FrozenJournal,
    media: &Path,
    disk: &Disk,
    to: &Path,
    now: Timestamp,
) -> Result<BackupReport, BackupError> {
    let is_on_our_disk = share_room(media, to).map_err(io_error(to))?;
    // What fills another disk harms nobody here.
    let check = |has_room: Result<(), MediaError>, bytes: u64| match has_room {
        Err(MediaError::Io(error)) if is_on_our_disk => Err(io_error(to)(error)),
        Err(_) if is_on_our_disk => Err(io_error(to)(io::Error::new(
            io::ErrorKind::StorageFull,
            format!("the server's own disk has no room for {} KiB more ([disk] in the configuration)", bytes >> 10),
        ))),
        _ => Ok(()),
    };
    // The journal grows as long as changes are taken; so may its copy.
    check(disk.check_room_for_changes(journal.length_bytes()), journal.length_bytes())?;
    let journal_path = to.join("journal");
    journal.copy_to(&journal_path)?;
    // A server that runs on must not hold the whole catalog once more for it.
    let records = replay_of(&journal_path, Kind::MediaFile)?;
    let to_media = to.join("media");
    private_directory(&to_media).map_err(io_error(&to_media))?;
    let (media_files, missing_media) =
        link_media(&records, media, &to_media, &HashSet::new(), |bytes| check(disk.check_room(bytes), bytes))?;
    let (journal_bytes, journal_sha256) = sha256_of(&journal_path).map_err(io_error(&journal_path))?;
    let manifest = Manifest {
        format: FORMAT,
        created_at: now.to_string(),
        seq: journal.seq,
        journal_bytes,
        journal_sha256,
        media_files,
        missing_media: missing_media.clone(),
        sha256: String::new(),
    };
    let path = to.join("manifest.json");
    let text = manifest.text().map_err(io::Error::other).map_err(io_error(&path))?;
    std::fs::write(&path, text).and_then(|()| std::fs::File::open(&path)?.sync_all()).map_err(io_error(&path))?;
    sync_directory(to).map_err(io_error(to))?;
    Ok(BackupReport { seq: journal.seq, media_files, missing_media, ..BackupReport::default() })
}

/// Whether what is written to one takes the room of the other. File systems within one pool (btrfs, ZFS) are devices of
/// their own, and tell of the same blocks.
fn share_room(one: &Path, other: &Path) -> io::Result<bool> {
    let blocks = |path| {
        let told = rustix::fs::statvfs(path)?;
        io::Result::Ok((told.f_frsize, told.f_blocks, told.f_bfree))
    };
    let device = |path| std::fs::metadata(path).map(|facts| facts.dev());
    Ok(device(one)? == device(other)? || blocks(one)? == blocks(other)?)
}

/// Puts every media file that `records` name into another directory, and syncs it; answers how many, and which could not be
/// had. Media files never change, so that one inode may serve both sides. Those that can't be linked are copied, where
/// `check_room` has room for all of them; those named by `without` are left out.
fn link_media(
    records: &Records,
    from: &Path,
    to: &Path,
    without: &HashSet<MediaFileId>,
    check_room: impl Fn(u64) -> Result<(), BackupError>,
) -> Result<(usize, Vec<MissingMedia>), BackupError> {
    let (mut count, mut missing, mut apart, mut apart_bytes) = (0, Vec::new(), Vec::new(), 0);
    let mut leave_out = |file: &MediaFile, why: &str| {
        if missing.len() == limits::BACKUP_MISSING_FILES {
            return Err(BackupError::MediaGone(from.to_owned()));
        }
        if missing.len() < limits::DAMAGED_LISTED {
            tracing::warn!(file = %file.id, video = %file.video, why, "a media file is left out of the backup");
        }
        missing.push(MissingMedia::of(file));
        Ok(())
    };
    for file in records.of::<MediaFile>(Kind::MediaFile) {
        let file = file.map_err(io::Error::other).map_err(io_error(from))?;
        let (source, copy) = (from.join(file.id.to_string()), to.join(file.id.to_string()));
        let why = if without.contains(&file.id) {
            Some("it is damaged".to_owned())
        } else {
            why_not_to_be_had(&source, &file)
        };
        if let Some(why) = why {
            leave_out(&file, &why)?;
            continue;
        }
        match std::fs::hard_link(&source, &copy) {
            Ok(()) => count += 1,
            // The source was looked at just now: what is refused is another name for it.
            Err(error) if !is_for_copying(&error) => return Err(io_error(&copy)(error)),
            Err(_) => {
                apart_bytes += file.size_bytes;
                apart.push((file, source, copy));
            }
        }
    }
    if apart_bytes > 0 {
        check_room(apart_bytes)?;
    }
    for (file, source, copy) in apart {
        let copied = self::copy(&source, &copy).and_then(|()| std::fs::File::open(&copy)?.sync_all());
        let Err(error) = copied else {
            count += 1;
            continue;
        };
        // Either side may have failed: what reads is not to be given up for a disk that does not take it.
        match sha256_of(&source) {
            Ok(_) => return Err(io_error(&copy)(error)),
            Err(unreadable) => leave_out(&file, &format!("it can't be read: {unreadable}"))?,
        }
        match std::fs::remove_file(&copy) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&copy)(error)),
            _ => {}
        }
    }
    sync_directory(to).map_err(io_error(to))?;
    missing.sort_unstable();
    Ok((count, missing))
}

/// Copies a file: one of our own, whatever the other's mode is.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::copy(from, to)?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o600))
}

/// Why a media file can't be part of a backup, if that can be told without reading it.
fn why_not_to_be_had(path: &Path, file: &MediaFile) -> Option<String> {
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => Some("it is not a regular file".to_owned()),
        Ok(found) if found.len() != file.size_bytes => {
            Some(format!("it is damaged ({} bytes on disk, {} stored)", found.len(), file.size_bytes))
        }
        Ok(_) => None,
        Err(error) => Some(format!("it can't be read: {error}")),
    }
}

/// Whether a file that can't be linked may be copied: another file system or mount, or one without links, or a file that has
/// as many as it can have.
fn is_for_copying(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    matches!(error.kind(), CrossesDevices | PermissionDenied | TooManyLinks | Unsupported)
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |error| BackupError::Io { path, error }
}

/// Checks a backup: manifest, journal, audit chain, every media file. What its manifest says that it lacks is no damage.
pub fn verify_backup(backup: &Path) -> Result<VerifyReport, BackupError> {
    let not_whole = |what: String| BackupError::NotWhole { path: backup.to_owned(), what };
    let text = read_small(&backup.join("manifest.json"), limits::BACKUP_MANIFEST_BYTES)
        .map_err(|error| not_whole(format!("its manifest.json can't be read ({error}); it is written last")))?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| not_whole(format!("its manifest.json does not read: {error}")))?;
    if manifest.format != FORMAT {
        return Err(not_whole(format!("its format is {}, this version reads {FORMAT}", manifest.format)));
    }
    let (journal_bytes, journal_sha256) = (manifest.journal_bytes, manifest.journal_sha256.clone());
    let (seq, media_files, missing) = (manifest.seq, manifest.media_files, manifest.missing_media.clone());
    if manifest.text().ok().as_ref() != Some(&text) {
        return Err(not_whole("its manifest.json does not match its own hash".into()));
    }
    let journal = backup.join("journal");
    let found = sha256_of(&journal).map_err(|error| BackupError::Io { path: journal, error })?;
    if found != (journal_bytes, journal_sha256) {
        return Err(not_whole("its journal does not match the manifest's hash".into()));
    }
    let mut report = verify_lacking(backup, &missing.iter().map(|missing| missing.file).collect())?;
    // Some that it lacked may have been put back.
    let counted = report.media_files + report.missing.len();
    if report.problems.is_empty() && (report.seq, counted) != (seq, media_files + missing.len()) {
        report.problems.push(format!(
            "its journal ends with change {} and names {counted} media files, the manifest says {seq} and {}",
            report.seq,
            media_files + missing.len()
        ));
    }
    Ok(report)
}

/// Restores `backup` into `into`, which must be empty or missing. `known` is the state directory in use until now, if
/// it is still there: what it knows of revocations, keys, private videos and token access turned off is kept. All asset URLs
/// end.
///
/// The format's file gets its name last: a restore that fails or is interrupted leaves a directory that does not start,
/// and into which it can be tried again.
pub fn restore_backup(
    backup: &Path,
    into: &Path,
    known: Option<&Path>,
    without_damaged: bool,
    now: Timestamp,
) -> Result<BackupReport, BackupError> {
    let checked = verify_backup(backup)?;
    // Each damaged file is one of the problems.
    let can_do_without = checked.problems.len() == checked.damaged.len();
    if !(checked.problems.is_empty() || can_do_without && without_damaged) {
        let mut what = checked.problems.join("; ");
        if can_do_without {
            what.push_str("; to restore the rest, say --without-damaged");
        }
        return Err(BackupError::NotWhole { path: backup.to_owned(), what });
    }
    let damaged: HashSet<MediaFileId> = checked.damaged.into_iter().collect();
    let records = replay(&backup.join("journal"))?;
    let known = read_known(known, &records)?;
    let state = StateDir::create(into).map_err(|error| match error {
        StateDirError::Exists(path) => BackupError::NotEmpty(path),
        error => error.into(),
    })?;
    let media = into.join("media");
    private_directory(&media).map_err(io_error(&media))?;
    let (media_files, missing_media) = link_media(&records, &backup.join("media"), &media, &damaged, |_| Ok(()))?;
    let expected = damaged.into_iter().chain(checked.missing.iter().map(|missing| missing.file));
    if missing_media.iter().map(|missing| missing.file).collect::<HashSet<_>>() != expected.collect() {
        let what = "media files of it are gone, or can't be read, since it was checked".to_owned();
        return Err(BackupError::NotWhole { path: backup.to_owned(), what });
    }
    let mut report = BackupReport {
        seq: records.seq,
        media_files,
        missing_media,
        known_state: known.state,
        known_doubt: known.doubt,
        ..BackupReport::default()
    };
    let journal_path = into.join("journal");
    copy(&backup.join("journal"), &journal_path).map_err(io_error(&journal_path))?;
    let mut journal = Journal::open(&journal_path, 0, |_| {})?;
    let ops =
        merged(&records, known.records.as_ref(), &mut report).map_err(io::Error::other).map_err(io_error(backup))?;
    append_all(&mut journal, &ops, now).map_err(io_error(&journal_path))?;
    std::fs::File::open(&journal_path).and_then(|file| file.sync_all()).map_err(io_error(&journal_path))?;
    state.finish()?;
    Ok(report)
}

/// Appends operations in as many commits as their number and size take.
fn append_all(journal: &mut Journal, ops: &[Op], now: Timestamp) -> io::Result<()> {
    let mut rest = ops;
    while !rest.is_empty() {
        let seq = journal.seq() + 1;
        let mut count = rest.len().min(limits::COMMIT_OPERATIONS);
        let (head, frame) = loop {
            let (head, _) = rest.split_at(count);
            match journal.frame(seq, now, head.to_vec()) {
                Some((_, frame)) => break (head, frame),
                None if count > 1 => count /= 2,
                None => return Err(io::Error::other("a merged record is too long")),
            }
        };
        journal.append(&frame, seq).map_err(|error| io::Error::other(format!("{error:?}")))?;
        rest = rest.get(head.len()..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
