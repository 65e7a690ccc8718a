//! How commits stand in a journal's file, and reading them back.

use super::super::op::Commit;
use super::{JournalError, io_error};
use crate::domain::limits;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(super) const FRAME_BYTES: usize = 8;
/// Longest JSON of a frame: a commit at its limit, with room for its own members.
const MAX_JSON_BYTES: usize = limits::COMMIT_BYTES + 4096;

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

/// Hands every commit of the first `length` bytes to `each`.
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
            Frame::Broken if tail_is_unfinished(file, offset, length).map_err(|error| io_error(path, error))? => break,
            Frame::Broken => {
                return Err(damaged(offset, "a record before the acknowledged end does not match its checksum"));
            }
        };
        in_head &= commit.snapshot;
        let follows = if in_head {
            commit.seq == seq || offset == 0
        } else {
            is_head_closed && !commit.snapshot && commit.seq == seq + 1
        };
        if !follows {
            let what = "its number does not follow the one before it: records are missing, repeated or out of order";
            return Err(damaged(offset, what));
        }
        seq = commit.seq;
        vouched = commit.durable.min(offset);
        offset += size;
        if in_head {
            head_end = offset;
            is_head_closed = commit.ops.is_empty();
        }
        each(commit);
    }
    if !is_head_closed {
        return Err(damaged(offset, "its compacted head ends too early"));
    }
    Ok(ReadThrough { end: offset, head_end, seq, vouched })
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
    let [l0, l1, l2, l3, c0, c1, c2, c3] = head;
    let (length, crc) = (u32::from_le_bytes([l0, l1, l2, l3]), u32::from_le_bytes([c0, c1, c2, c3]));
    let size = u64::from(length) + FRAME_BYTES as u64;
    if length == 0 || length as usize > MAX_JSON_BYTES || size > left {
        return Ok(Frame::Broken);
    }
    let mut json = vec![0; length as usize];
    reader.read_exact(&mut json)?;
    if crc32c::crc32c(&json) != crc {
        return Ok(Frame::Broken);
    }
    Ok(serde_json::from_slice(&json).map_or(Frame::Foreign, |commit| Frame::Whole(commit, size)))
}

/// Whether what begins at `bad` was never acknowledged: no whole commit behind it says that `bad` was on disk already
/// when it was written.
fn tail_is_unfinished(file: &File, bad: u64, length: u64) -> io::Result<bool> {
    let mut tail = Vec::new();
    FileFrom { file, offset: bad }.take(length - bad).read_to_end(&mut tail)?;
    for start in 1..tail.len() {
        let rest = tail.get(start..).unwrap_or_default();
        // Nearly every start fails on its length field at once.
        if let Frame::Whole(commit, _) = read_frame(&mut &*rest, rest.len() as u64)?
            && commit.durable > bad
        {
            return Ok(false);
        }
    }
    // A last record that was acknowledged and damaged since looks the same from here; the index, which counts what it
    // has applied, knows better (`Catalog::open`).
    Ok(true)
}
