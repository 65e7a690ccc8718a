//! What can be done about what the system says of a file: who owns it and who may not touch it, what lies in its place.

use rustix::io::Errno;
use rustix::process::geteuid;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The same error with the way out, where there is one. `path` lies in a state directory, or is one.
pub fn with_remedy(path: &Path, error: io::Error) -> io::Error {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => denied(path),
        io::ErrorKind::IsADirectory => "a file is expected: move the directory away, or put the file back".to_owned(),
        io::ErrorKind::NotADirectory => "a directory is expected: put it back, or move the file away".to_owned(),
        _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            "a file is expected: move the link away, or put the file back".to_owned()
        }
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {remedy}"))
}

/// The same for a directory that could not be made: what it would lie in is not ours to change.
pub(super) fn with_place(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    let me = geteuid().as_raw();
    let remedy = "make the directory and chown it to that user, or name another";
    io::Error::new(error.kind(), format!("{error}; this runs as user {me}: {remedy}"))
}

/// Who may not do what.
fn denied(path: &Path) -> String {
    let me = geteuid().as_raw();
    // What is open to others is not ours alone: /etc is not to be given to whoever runs this.
    let is_private = |directory: &&Path| directory.metadata().is_ok_and(|found| found.mode() & 0o077 == 0);
    for path in [path].into_iter().chain(path.parent().filter(is_private)) {
        let Ok(found) = path.metadata() else { continue };
        let path = path.display();
        if found.uid() != me {
            return format!("{path} belongs to user {}, and this runs as user {me}: chown -R {me} {path}", found.uid());
        }
        let wanted = if found.is_dir() { 0o700 } else { 0o600 };
        if found.mode() & wanted != wanted {
            return format!("its owner may not use {path} (mode {:04o}): chmod u+rwX {path}", found.mode() & 0o7777);
        }
    }
    format!("this runs as user {me}: chown what it needs to that user, and let it through the directories above")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_private_directory_is_opened_up_and_one_that_is_open_to_others_is_given_to_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let mode = |mode| std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let missing = directory.path().join("missing");
        mode(0o500);
        assert!(denied(&missing).contains(&format!("chmod u+rwX {}", directory.path().display())));
        mode(0o555);
        assert!(!denied(&missing).contains("chmod"));
        assert!(!denied(Path::new("/etc/missing")).contains("/etc"));
    }
}
