//! Checking everything at rest: the journal's checksums, the audit log's chain, every media file's hash.

use super::audit_chain::audit_hash;
use super::journal::{Journal, JournalError};
use super::media_dir::open_regular;
use super::op::{Op, Row};
use crate::domain::{AuditEntry, Kind, MediaFile, MediaFileId, OrganizationId, VideoId, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read};
use std::path::Path;
use uuid::Uuid;

/// What a check of a state directory or a backup found.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Number of the last change.
    pub seq: u64,
    /// Bytes of an unfinished append at the journal's end; the next start drops them.
    pub unfinished_bytes: u64,
    /// Records that are there.
    pub records: usize,
    /// Audit entries whose chain holds.
    pub audit_entries: usize,
    /// Media files whose hash matches.
    pub media_files: usize,
    /// Media files that were gone or unreadable when this backup was made, as its manifest says, and are not in it.
    pub missing: Vec<MissingMedia>,
    /// What is wrong, a sentence each.
    pub problems: Vec<String>,
    /// Media files that are damaged, gone or unreadable, each with its sentence among the problems.
    pub damaged: Vec<MediaFileId>,
}

/// A media file that a backup lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MissingMedia {
    /// The file.
    pub file: MediaFileId,
    /// The video that it is of.
    pub video: VideoId,
}

impl MissingMedia {
    pub(super) fn of(file: &MediaFile) -> Self {
        Self { file: file.id, video: file.video }
    }
}

/// The latest state of every record, as the journal tells it.
pub(super) struct Records {
    /// Number of the last change that was read.
    pub seq: u64,
    pub unfinished_bytes: u64,
    pub rows: HashMap<(Kind, Uuid), Row>,
}

pub(super) fn replay(journal: &Path) -> Result<Records, JournalError> {
    match replay_readable(journal) {
        (records, None) => Ok(records),
        (_, Some(error)) => Err(error),
    }
}

/// The same of one kind alone, for whoever must not hold all of them.
pub(super) fn replay_of(journal: &Path, kind: Kind) -> Result<Records, JournalError> {
    match read_records(journal, |other| other == kind) {
        (records, None) => Ok(records),
        (_, Some(error)) => Err(error),
    }
}

/// What a journal says up to its end, or up to the first damage.
pub(super) fn replay_readable(journal: &Path) -> (Records, Option<JournalError>) {
    read_records(journal, |_| true)
}

fn read_records(journal: &Path, is_wanted: impl Fn(Kind) -> bool) -> (Records, Option<JournalError>) {
    let mut records = Records { seq: 0, unfinished_bytes: 0, rows: HashMap::new() };
    let read = Journal::inspect(journal, |commit| {
        records.seq = commit.seq;
        for op in commit.ops {
            let target = op.target();
            if !is_wanted(target.0) {
                continue;
            }
            match op {
                Op::Put { row, .. } => records.rows.insert(target, row),
                Op::Remove { .. } => records.rows.remove(&target),
            };
        }
    });
    match read {
        Ok((_, unfinished_bytes)) => (Records { unfinished_bytes, ..records }, None),
        Err(error) => (records, Some(error)),
    }
}

impl Records {
    pub fn of<'a, R: Deserialize<'a>>(&'a self, kind: Kind) -> impl Iterator<Item = Result<R, serde_json::Error>> + 'a {
        self.rows.iter().filter(move |((other, _), _)| *other == kind).map(|(_, row)| row.read())
    }
}

/// Checks the catalog and media below `directory`: a state directory, running or not, or a backup.
pub fn verify_store(directory: &Path) -> Result<VerifyReport, JournalError> {
    verify_lacking(directory, &HashSet::new())
}

/// The same of one that is known to lack some media files.
pub(super) fn verify_lacking(directory: &Path, lacking: &HashSet<MediaFileId>) -> Result<VerifyReport, JournalError> {
    let records = replay(&directory.join("journal"))?;
    let mut report = VerifyReport {
        seq: records.seq,
        unfinished_bytes: records.unfinished_bytes,
        records: records.rows.len(),
        ..VerifyReport::default()
    };
    verify_audit(&records, &mut report);
    verify_media(directory, &records, lacking, &mut report)?;
    Ok(report)
}

/// Reads every media file that `records` name. What a running server has removed meanwhile is not missing: reading takes as
/// long as there are bytes.
fn verify_media(
    directory: &Path,
    records: &Records,
    lacking: &HashSet<MediaFileId>,
    report: &mut VerifyReport,
) -> Result<(), JournalError> {
    let is_gone = |file: &MediaFile| {
        let found = directory.join("media").join(file.id.to_string()).symlink_metadata();
        found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    let mut wrong = Vec::new();
    for file in records.of::<MediaFile>(Kind::MediaFile) {
        match file {
            // One that was put back since is looked at like any other.
            Ok(file) if lacking.contains(&file.id) && is_gone(&file) => report.missing.push(MissingMedia::of(&file)),
            Ok(file) => match problem_of(directory, &file) {
                None => report.media_files += 1,
                Some(problem) => wrong.push((file, problem)),
            },
            Err(error) => report.problems.push(format!("a media file's record does not read: {error}")),
        }
    }
    report.missing.sort_unstable();
    if wrong.is_empty() {
        return Ok(());
    }
    let now = replay_of(&directory.join("journal"), Kind::MediaFile)?;
    for (file, problem) in wrong {
        if now.rows.contains_key(&(Kind::MediaFile, file.id.0)) {
            report.problems.push(format!("media file {} of video {} {problem}", file.id, file.video));
            report.damaged.push(file.id);
        }
    }
    Ok(())
}

fn verify_audit(records: &Records, report: &mut VerifyReport) {
    let mut logs: BTreeMap<OrganizationId, BTreeMap<u64, AuditEntry>> = BTreeMap::new();
    for entry in records.of::<AuditEntry>(Kind::Audit) {
        match entry {
            Ok(entry) => {
                logs.entry(entry.organization).or_default().insert(entry.number, entry);
            }
            Err(error) => report.problems.push(format!("an audit entry does not read: {error}")),
        }
    }
    for (organization, log) in logs {
        let (mut number, mut previous) = (0, super::access::NO_AUDIT.to_owned());
        for entry in log.into_values() {
            number += 1;
            if entry.number != number || entry.previous != previous || entry.hash != audit_hash(&entry) {
                report.problems.push(format!("the audit log of organization {organization} breaks at entry {number}"));
                break;
            }
            previous = entry.hash;
            report.audit_entries += 1;
        }
    }
}

/// What is wrong with a media file, if anything is.
fn problem_of(directory: &Path, file: &MediaFile) -> Option<String> {
    match sha256_of(&directory.join("media").join(file.id.to_string())) {
        Ok((size, sha256)) if size == file.size_bytes && sha256 == file.sha256 => None,
        Ok((size, _)) => Some(format!("is damaged ({size} bytes on disk, {} stored)", file.size_bytes)),
        Err(error) => Some(format!("can't be read: {error}")),
    }
}

pub(super) fn sha256_of(path: &Path) -> io::Result<(u64, String)> {
    let (mut file, _) = open_regular(path)?;
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0_u64, vec![0; 1 << 20]);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hash.update(buffer.get(..count).unwrap_or_default());
        size += count as u64;
    }
    Ok((size, hex(&hash.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{MediaKind, Timestamp};

    #[test]
    fn a_media_file_removed_while_others_are_read_is_not_missing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let file = MediaFile {
            id: MediaFileId(Uuid::from_u128(1)),
            organization: OrganizationId(Uuid::from_u128(2)),
            video: VideoId(Uuid::from_u128(3)),
            kind: MediaKind::Source,
            size_bytes: 1,
            sha256: String::new(),
            created_at: Timestamp::from_secs(0),
        };
        let mut journal = Journal::create(&path).unwrap();
        let mut commit = |op: Op| {
            let seq = journal.seq() + 1;
            let (_, frame) = journal.frame(seq, Timestamp::from_secs(1), vec![op]).unwrap();
            journal.append(&frame, seq).unwrap();
        };
        commit(Op::put(&file).unwrap());
        let records = replay(&path).unwrap();
        let problems = || {
            let mut report = VerifyReport::default();
            verify_media(directory.path(), &records, &HashSet::new(), &mut report).unwrap();
            (report.problems.len(), report.damaged)
        };
        assert_eq!(problems(), (1, vec![file.id]));
        commit(Op::Remove { kind: Kind::MediaFile, key: file.id.0 });
        assert_eq!(problems(), (0, Vec::new()));
    }

    #[test]
    fn a_fifo_in_the_place_of_a_journal_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        let refused = |result: Result<(), JournalError>| {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()) && error.contains("not a regular file"), "{error}");
        };
        refused(verify_store(directory.path()).map(drop));
        refused(Journal::open(&path, 0, |_| {}).map(drop));
    }
}
