//! Small files that are read whole and replaced whole: formats, keys, notes. Whatever lies in such a file's place, reading
//! it ends at once and takes little memory.

use super::journal::sync_directory;
use rustix::fs::OFlags;
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
    open_with(path, options, OFlags::NONBLOCK)
}

/// The same for a file that is ours to write: no link is followed to one that is not.
pub(super) fn open_own_file(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    open_with(path, options, OFlags::NONBLOCK | OFlags::NOFOLLOW)
}

fn open_with(path: &Path, options: &mut OpenOptions, flags: OFlags) -> io::Result<File> {
    let file = options.custom_flags(flags.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file; move it away, or put the right one back"))
}

/// Gives a file (0600) other bytes, whole or not at all, on disk when this answers.
pub fn replace_small(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    write_synced(unfinished.as_ref(), bytes)?;
    std::fs::rename(&unfinished, path)?;
    sync_directory(parent(path))
}

/// Writes a file (0600) and syncs it. What is no file in its place goes. The caller syncs the directory.
pub(super) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        std::fs::remove_file(path)?;
    }
    let mut file = open_own_file(path, OpenOptions::new().write(true).create(true).truncate(true).mode(0o600))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, mkfifoat};
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_no_file_in_the_place_of_an_unfinished_one_goes_and_what_it_leads_to_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (note, unfinished) = (directory.path().join("note"), directory.path().join("note.unfinished"));
        mkfifoat(CWD, unfinished.as_path(), Mode::from_raw_mode(0o600)).unwrap();
        replace_small(&note, b"first").unwrap();
        let other = directory.path().join("other");
        std::fs::write(&other, "not ours").unwrap();
        symlink(&other, &unfinished).unwrap();
        replace_small(&note, b"second").unwrap();
        // What a run that was cut off has left.
        std::fs::write(&unfinished, "half of something longer").unwrap();
        replace_small(&note, b"third").unwrap();
        let read = |path| std::fs::read_to_string(path).unwrap();
        assert_eq!((read(&note), read(&other)), ("third".to_owned(), "not ours".to_owned()));
        assert!(note.symlink_metadata().unwrap().is_file());
        // A directory may hold something.
        std::fs::create_dir(&unfinished).unwrap();
        assert_eq!(replace_small(&note, b"fourth").unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }

    #[test]
    fn a_file_of_ours_is_no_link_and_nobody_waits_at_a_fifo() {
        let directory = tempfile::tempdir().unwrap();
        let [file, link, fifo] = ["file", "link", "fifo"].map(|name| directory.path().join(name));
        std::fs::write(&file, "").unwrap();
        symlink(&file, &link).unwrap();
        mkfifoat(CWD, fifo.as_path(), Mode::from_raw_mode(0o600)).unwrap();
        let open = |path: &Path| open_own_file(path, OpenOptions::new().write(true));
        assert!(open(&file).is_ok() && open(&link).is_err() && open(&fifo).is_err());
        let read = |path: &Path| open_file(path, OpenOptions::new().read(true));
        assert!(read(&file).is_ok() && read(&link).is_ok());
        assert_eq!(read(&fifo).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
