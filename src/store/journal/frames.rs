//! How commits stand in a journal's file, and reading them back.

use super::super::op::Commit;
use super::{JournalError, io_error};
use crate::domain::limits;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(super) const FRAME_BYTES: usize = 8;
/// Longest JSON of a frame: a commit at its limit, with room for its own members.
const MAX_JSON_BYTES: usize = limits::COMMIT_BYTES + 4096;
/// How the JSON of every commit begins.
const JSON_BEGINS: &[u8] = b"{\"seq\":";
/// Longest append, in bytes: as many commits as share one sync, each at its limit.
pub(super) const APPEND_BYTES: u64 = (limits::GROUP_COMMITS * limits::COMMIT_BYTES) as u64;
/// Most zeros that are written ahead of need: so many, and fewer than a quarter of it before.
const MOST_PREPARED_BYTES: u64 = limits::JOURNAL_PREPARED_BYTES + limits::JOURNAL_PREPARED_BYTES / 4;
/// Bytes of an unreadable end that are looked through at a time.
pub(super) const WINDOW_BYTES: usize = 1 << 20;
/// How many times its own length may be summed up in checksums when an unreadable end is looked through.
const TIMES_SUMMED: u64 = 8;

/// A commit as it stands in the file.
pub(super) fn frame(commit: &Commit) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; FRAME_BYTES];
    serde_json::to_writer(&mut bytes, commit)?;
    let (head, json) = bytes.split_at_mut(FRAME_BYTES);
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    let (length_field, crc_field) = head.split_at_mut(4);
    length_field.copy_from_slice(&length.to_le_bytes());
    crc_field.copy_from_slice(&crc32c::crc32c(json).to_le_bytes());
    Ok(bytes)
}

/// What a journal holds.
pub(super) struct ReadThrough {
    /// End of the last whole commit, in bytes.
    pub(super) end: u64,
    /// End of the compacted head, in bytes.
    pub(super) head_end: u64,
    /// Number of the last whole commit.
    pub(super) seq: u64,
    /// Bytes that a commit says were on disk before it.
    pub(super) vouched: u64,
}

/// Hands every commit of the first `length` bytes to `each`. There must be one, unless `length` is 0.
pub(super) fn read_all(
    path: &Path,
    file: &File,
    length: u64,
    mut each: impl FnMut(Commit),
) -> Result<ReadThrough, JournalError> {
    let mut reader = BufReader::with_capacity(1 << 20, FileFrom { file, offset: 0 });
    let (mut offset, mut head_end, mut seq, mut vouched) = (0_u64, 0_u64, 0_u64, 0_u64);
    let (mut in_head, mut is_head_closed) = (true, true);
    let damaged = |offset, what| JournalError::Damaged { path: path.to_owned(), offset, what };
    while offset < length {
        let read = read_frame(&mut reader, length - offset).map_err(|error| io_error(path, error))?;
        let (commit, size) = match read {
            Frame::Whole(commit, size) => (commit, size),
            Frame::Foreign => {
                return Err(damaged(offset, "a record is whole but says nothing this version understands"));
            }
            Frame::Broken => match damage_behind(file, offset, length).map_err(|error| io_error(path, error))? {
                Some(what) => return Err(damaged(offset, what)),
                None => break,
            },
        };
        in_head &= commit.snapshot;
        // The commits of a head share one number; what each says was written before it is where it stands.
        let follows = if in_head {
            (commit.seq == seq || offset == 0) && commit.durable == offset
        } else {
            is_head_closed && !commit.snapshot && commit.seq == seq + 1 && commit.durable <= offset
        };
        if !follows {
            let what = "it does not follow the record before it: records are missing, repeated or out of order";
            return Err(damaged(offset, what));
        }
        seq = commit.seq;
        vouched = commit.durable;
        offset += size;
        if in_head {
            head_end = offset;
            is_head_closed = commit.ops.is_empty();
        }
        each(commit);
    }
    // Zeros, or another file: the unfinished end of a journal has something before it.
    if offset == 0 && length > 0 {
        return Err(damaged(offset, "it does not begin with a record"));
    }
    if !is_head_closed {
        return Err(damaged(offset, "its compacted head ends too early"));
    }
    Ok(ReadThrough { end: offset, head_end, seq, vouched })
}

/// How long a journal is without the zeros that were written behind its end ahead of need. No frame ends with one. More than
/// that, or nothing else, are none of ours.
pub(super) fn written_length(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let (from, mut tail) = (length.saturating_sub(MOST_PREPARED_BYTES + 1), Vec::new());
    // A server that is running may take them away meanwhile.
    FileFrom { file, offset: from }.take(length - from).read_to_end(&mut tail)?;
    Ok(tail.iter().rposition(|byte| *byte != 0).map_or(length, |last| from + last as u64 + 1))
}

/// Hands every commit that was acknowledged between two places to `each`, the first of which follows number `seq`; answers
/// the number of the last.
pub(super) fn read_on(
    path: &Path,
    file: &File,
    range: Range<u64>,
    mut seq: u64,
    mut each: impl FnMut(Commit),
) -> Result<u64, JournalError> {
    let mut reader = BufReader::with_capacity(1 << 20, FileFrom { file, offset: range.start });
    let mut offset = range.start;
    while offset < range.end {
        match read_frame(&mut reader, range.end - offset).map_err(|error| io_error(path, error))? {
            Frame::Whole(commit, size) if commit.seq == seq + 1 => {
                (seq, offset) = (commit.seq, offset + size);
                each(commit);
            }
            _ => {
                let what = "what was acknowledged can't be read back";
                return Err(JournalError::Damaged { path: path.to_owned(), offset, what });
            }
        }
    }
    Ok(seq)
}

/// A file from some place on, read by position: others may read it, too.
struct FileFrom<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for FileFrom<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// What stands at a place of the journal.
enum Frame {
    /// A commit, and the bytes it takes.
    Whole(Commit, u64),
    /// Bytes that match their checksum and are no commit that we know.
    Foreign,
    /// Anything else.
    Broken,
}

fn read_frame(reader: &mut impl Read, left: u64) -> io::Result<Frame> {
    if left < FRAME_BYTES as u64 {
        return Ok(Frame::Broken);
    }
    let mut head = [0; FRAME_BYTES];
    reader.read_exact(&mut head)?;
    let Some((length, crc)) = read_head(head, left) else { return Ok(Frame::Broken) };
    let mut json = vec![0; length];
    reader.read_exact(&mut json)?;
    if crc32c::crc32c(&json) != crc {
        return Ok(Frame::Broken);
    }
    let size = (FRAME_BYTES + length) as u64;
    Ok(serde_json::from_slice(&json).map_or(Frame::Foreign, |commit| Frame::Whole(commit, size)))
}

/// Length and checksum of the JSON, if such a frame can be in `left` bytes.
fn read_head(head: [u8; FRAME_BYTES], left: u64) -> Option<(usize, u32)> {
    let [l0, l1, l2, l3, c0, c1, c2, c3] = head;
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
    let is_possible = (1..=MAX_JSON_BYTES).contains(&length) && (FRAME_BYTES + length) as u64 <= left;
    is_possible.then_some((length, u32::from_le_bytes([c0, c1, c2, c3])))
}

/// Why what begins at `bad` is no unfinished append; `None` if it is one: it is no longer than one, and no whole commit behind
/// it says that `bad` was on disk already when it was written.
///
/// A frame may begin at any byte, and the checksum of each that seems to begin would take time by the square of what is
/// there. So one is computed only where a commit's first word stands, which garbage does not have by chance. Frames don't
/// overlap unless a length is damaged: bytes that ask for many times as much were made up, and are refused, not believed.
fn damage_behind(file: &File, bad: u64, length: u64) -> io::Result<Option<&'static str>> {
    /// What must be seen of a frame to know whether a commit may begin there.
    const SEEN_BYTES: usize = FRAME_BYTES + JSON_BEGINS.len();
    let tail = length - bad;
    if tail > APPEND_BYTES {
        return Ok(Some("no record stands there, and more follows than is ever appended at once"));
    }
    let (mut at, mut summed, mut window) = (bad + 1, 0, Vec::new());
    loop {
        window.clear();
        FileFrom { file, offset: at }.take((length - at).min(WINDOW_BYTES as u64)).read_to_end(&mut window)?;
        for (start, seen) in (at..).zip(window.windows(SEEN_BYTES)) {
            let left = length - start;
            let head = seen.first_chunk().filter(|_| seen.ends_with(JSON_BEGINS));
            let Some((json_bytes, _)) = head.and_then(|head| read_head(*head, left)) else { continue };
            summed += json_bytes as u64;
            if summed > tail * TIMES_SUMMED {
                return Ok(Some("what begins there looks like records and is none"));
            }
            if let Frame::Whole(commit, _) = read_frame(&mut FileFrom { file, offset: start }, left)?
                && commit.durable > bad
            {
                return Ok(Some("a record before the acknowledged end does not match its checksum"));
            }
        }
        // A last record that was acknowledged and damaged since looks the same from here; the index, which counts what it
        // has applied, knows better (`Catalog::open`).
        if window.len() < SEEN_BYTES {
            return Ok(None);
        }
        // What begins in the last bytes of a window is seen in the next.
        at += (window.len() - SEEN_BYTES + 1) as u64;
    }
}
