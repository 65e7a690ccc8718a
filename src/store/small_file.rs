//! Small files that are read whole and replaced whole: formats, keys, notes. Whatever lies in such a file's place, reading
//! it ends at once and takes little memory.

use super::journal::sync_directory;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The bytes of a regular file, the first `limit_bytes` of them if it has more. Never waits for the writer of a FIFO.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] if something else lies in its place.
pub fn read_small(path: &Path, limit_bytes: u64) -> io::Result<Vec<u8>> {
    let file = open_file(path, OpenOptions::new().read(true))?;
    let mut bytes = Vec::new();
    file.take(limit_bytes).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens what must be a regular file. Never waits for the other end of a FIFO.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] if something else lies in its place.
pub(super) fn open_file(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_a_file()) }
}

/// What is said of anything else in the place of a file.
pub(super) fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a regular file; move it away, or put the right one back")
}

/// Gives a file (0600) other bytes, whole or not at all, on disk when this answers.
pub fn replace_small(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    write_synced(unfinished.as_ref(), bytes)?;
    std::fs::rename(&unfinished, path)?;
    sync_directory(parent(path))
}

/// Writes a file (0600) and syncs it. The caller syncs the directory.
pub(super) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a directory (0700), and syncs the one that it is in.
pub(super) fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    sync_directory(parent(path))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}
