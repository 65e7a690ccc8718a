//! What `screener check-config` looks at beyond the text: files, their modes, and whether key and certificate fit.
//!
//! Relies on rustls to judge the pair. Never binds a port, never changes a file.

use super::keys::Key;
use super::problem::{Problem, Source};
use super::tls_pair::read_tls_pair;
use super::{Config, Loaded, TranscodeConfig};
use rustix::fs::StatVfsMountFlags;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// File systems that forget, or that other machines change: type, name, and why the state may not lie there.
/// Types are those of linux/magic.h.
const UNSUITABLE: [(i64, &str, &str); 6] = [
    (0x0102_1994, "tmpfs", "it is gone after a reboot"),
    (0x8584_58f6, "ramfs", "it is gone after a reboot"),
    (0x6969, "NFS", "its locks and syncs are another machine's"),
    (0x517b, "SMB", "its locks and syncs are another machine's"),
    (0xff53_4d42, "CIFS", "its locks and syncs are another machine's"),
    (0xfe53_4d42, "SMB2", "its locks and syncs are another machine's"),
];

/// The appliance's socket within the state directory, as `store::StateDir::socket` has it.
const SOCKET: &str = "/admin.sock";
/// The longest path of a unix socket in bytes: `sun_path` of unix(7), without the zero that ends it.
const SOCKET_PATH_BYTES: usize = 107;

impl Config {
    /// Looks at the files the configuration names and returns everything that would stop or endanger the server.
    ///
    /// Blocks on the disk. Whether the listen address is free is not tested: the running server holds it.
    pub fn check_environment(&self) -> Vec<Problem> {
        let mut problems = self.check_before_serving();
        self.check_ffmpeg(&mut problems);
        self.check_static_dir(&mut problems);
        problems
    }

    /// The part of [`Config::check_environment`] without which a server does not even start.
    pub fn check_before_serving(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_public_url(&mut problems);
        self.check_certificate(&mut problems);
        self.check_socket_path(&mut problems);
        self.check_state_dir(&mut problems);
        self.check_master_key_file(&mut problems);
        self.check_what_is_public(&mut problems);
        problems
    }

    /// Whether the state directory's mount takes no writes. Nothing is wrong with the configuration then: where a disk has
    /// failed, videos go on playing, and a reload exchanges the certificate.
    pub fn is_state_read_only(&self) -> bool {
        rustix::fs::statvfs(&self.state.dir).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
    }

    /// How what is public and what is secret lie in one another, by the paths that `resolve` makes of theirs.
    pub(super) fn overlap(&self, resolve: impl Fn(&Path) -> PathBuf) -> Option<String> {
        let public = resolve(self.ui.static_dir.as_deref()?);
        let (state, server) = (&self.state, &self.server);
        let secret = [
            ("state.dir", Some(&state.dir)),
            ("state.master_key_file", Some(&state.master_key_file).filter(|path| !path.as_os_str().is_empty())),
            ("server.tls_key_file", server.tls_key_file.as_ref()),
        ];
        let overlaps = |path: &Path| path.starts_with(&public) || public.starts_with(path);
        let found = secret.into_iter().find_map(|(name, path)| {
            let path = path?;
            overlaps(&resolve(path)).then_some((name, path))
        });
        found.map(|(name, path)| {
            format!("overlaps {name} ({}), and everything in it is public; name a directory of its own", path.display())
        })
    }

    /// Links and `..` give one place two names.
    fn check_what_is_public(&self, problems: &mut Vec<Problem>) {
        if let Some(message) = self.overlap(resolved) {
            problems.push(self.problem("ui.static_dir", message));
        }
    }

    fn check_public_url(&self, problems: &mut Vec<Problem>) {
        if self.server.listen.ip().is_unspecified()
            && self.server.public_url == self.server.url_of_address(self.server.listen)
        {
            let message = "is no address a viewer can open; set server.public_url to what viewers reach";
            problems.push(self.problem("server.public_url", message));
        }
    }

    fn check_certificate(&self, problems: &mut Vec<Problem>) {
        if let (Some(certificate), Some(key)) = (&self.server.tls_certificate_file, &self.server.tls_key_file) {
            problems.extend(read_tls_pair(certificate, key).err().into_iter().flatten());
        }
    }

    fn check_socket_path(&self, problems: &mut Vec<Problem>) {
        let (length, longest) = (self.state.dir.as_os_str().len(), SOCKET_PATH_BYTES - SOCKET.len());
        if length > longest {
            let message = format!(
                "is a path of {length} bytes, too long for the socket that is made in it; name one of at most {longest}"
            );
            problems.push(self.problem("state.dir", message));
        }
    }

    /// Whether the state directory lies where it can be served from.
    fn check_place(&self, problems: &mut Vec<Problem>) {
        let dir = &self.state.dir;
        if let Some((name, why)) = dir.ancestors().find(|part| part.exists()).and_then(unsuitable) {
            problems.push(self.problem("state.dir", unsuitable_place(name, why)));
        }
    }

    fn check_state_dir(&self, problems: &mut Vec<Problem>) {
        let dir = &self.state.dir;
        let message = match existing(dir) {
            Ok(None) => return,
            Ok(Some(found)) if !found.is_dir() => "is not a directory; name one, or a path that is free".to_owned(),
            Ok(Some(found)) if mode(&found) & 0o077 != 0 => {
                format!("is open to other users (mode {:04o}); run: chmod 0700 {}", mode(&found), dir.display())
            }
            Ok(Some(_)) => match unsuitable(dir) {
                Some((name, why)) => unsuitable_place(name, why),
                None => match apart(dir) {
                    Some(name) => format!(
                        "is not on one file system: {name}/ is on another than media/; mount the disk at {} itself",
                        dir.display()
                    ),
                    None => return,
                },
            },
            Err(message) => message,
        };
        problems.push(self.problem("state.dir", message));
    }

    fn check_master_key_file(&self, problems: &mut Vec<Problem>) {
        let file = &self.state.master_key_file;
        // systemd's LoadCredential grants the service user by an ACL, whose mask shows as the group's bits.
        let forbidden = if file.starts_with("/run/credentials") { 0o007 } else { 0o077 };
        let message = match existing(file) {
            Ok(None) => return,
            Ok(Some(found)) if !found.is_file() => "is not a file; name one, or a path that is free".to_owned(),
            Ok(Some(found)) if mode(&found) & forbidden != 0 => {
                format!("is open to other users (mode {:04o}); run: chmod 0600 {}", mode(&found), file.display())
            }
            Ok(Some(_)) => return,
            Err(message) => message,
        };
        problems.push(self.problem("state.master_key_file", message));
    }

    fn check_ffmpeg(&self, problems: &mut Vec<Problem>) {
        if self.transcode.enabled && self.transcode.program().is_none() {
            let message = "is no program that can be run; install ffmpeg, or set transcode.enabled to false";
            problems.push(self.problem("transcode.ffmpeg", message));
        }
    }

    fn check_static_dir(&self, problems: &mut Vec<Problem>) {
        let Some(dir) = &self.ui.static_dir else { return };
        let message = match existing(dir) {
            Ok(Some(found)) if found.is_dir() => return,
            Ok(Some(_)) => "is not a directory; name one or remove the key".to_owned(),
            Ok(None) => "does not exist; create the directory or remove the key".to_owned(),
            Err(message) => message,
        };
        problems.push(self.problem("ui.static_dir", message));
    }

    /// A problem of `name` with the value in force.
    fn problem(&self, name: &'static str, message: impl Into<String>) -> Problem {
        let value = Key::named(name).and_then(|key| (key.show)(self)).unwrap_or_default();
        Problem::of_key(name, &value, Source::InForce, message)
    }
}

impl TranscodeConfig {
    /// The ffmpeg to run, if there is one now.
    pub fn program(&self) -> Option<PathBuf> {
        let is_program =
            |path: &PathBuf| existing(path).ok().flatten().is_some_and(|it| it.is_file() && mode(&it) & 0o111 != 0);
        match &self.ffmpeg {
            Some(path) => Some(path.clone()).filter(is_program),
            None => {
                let directories = std::env::var_os("PATH").unwrap_or_default();
                std::env::split_paths(&directories).map(|directory| directory.join("ffmpeg")).find(is_program)
            }
        }
    }
}

impl Loaded {
    /// [`Config::check_environment`], with each problem saying where its value was written.
    pub fn check_environment(&self) -> Vec<Problem> {
        self.sourced(self.config.check_environment())
    }

    /// [`Config::check_before_serving`], in the same way.
    pub fn check_before_serving(&self) -> Vec<Problem> {
        self.sourced(self.config.check_before_serving())
    }

    /// The part of [`Loaded::check_before_serving`] that decides whether what is made now can ever be served.
    pub fn check_before_init(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.config.check_socket_path(&mut problems);
        self.config.check_place(&mut problems);
        self.sourced(problems)
    }

    fn sourced(&self, problems: Vec<Problem>) -> Vec<Problem> {
        let sourced = |problem: Problem| Problem { source: self.source(&problem.key), ..problem };
        problems.into_iter().map(sourced).collect()
    }
}

/// Which of its directories is on another file system than its media, so that nothing can be renamed into those. What is
/// not there yet will be beside them.
fn apart(state: &Path) -> Option<&'static str> {
    let device = |name| fs::metadata(state.join(name)).ok().map(|found| found.dev());
    let media = device("media")?;
    ["incoming", "uploads"].into_iter().find(|name| device(name).is_some_and(|device| device != media))
}

/// Where `path` lies: links followed as far as it is there, and the rest as it is written.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = absolute.ancestors().find_map(|part| Some((fs::canonicalize(part).ok()?, part)));
    there.map_or_else(
        || absolute.clone(),
        |(real, part)| match absolute.strip_prefix(part) {
            Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
            _ => real,
        },
    )
}

/// The file system that `dir` lies on, and what is wrong with it, if something is.
fn unsuitable(dir: &Path) -> Option<(&'static str, &'static str)> {
    // 32 bits in a word that may extend their sign.
    let found = rustix::fs::statfs(dir).ok()?.f_type & 0xffff_ffff;
    UNSUITABLE.iter().find(|(kind, _, _)| *kind == found).map(|(_, name, why)| (*name, *why))
}

fn unsuitable_place(name: &str, why: &str) -> String {
    format!("lies on {name}: {why}; name a directory on a disk of this machine")
}

/// What stands at `path`, `None` if nothing.
pub(super) fn existing(path: &Path) -> Result<Option<Metadata>, String> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot be looked at: {error}; give the user that runs the server access")),
    }
}

pub(super) fn mode(found: &Metadata) -> u32 {
    found.permissions().mode() & 0o7777
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// A configuration whose files are all in a fresh directory, with a certificate made for it.
    fn sound() -> (TempDir, Config) {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default_for(dir.path().join("state"));
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate_file = dir.path().join("cert.pem");
        let key_file = dir.path().join("key.pem");
        fs::write(&certificate_file, made.cert.pem()).unwrap();
        fs::write(&key_file, made.signing_key.serialize_pem()).unwrap();
        set_mode(&key_file, 0o640);
        fs::create_dir(&config.state.dir).unwrap();
        set_mode(&config.state.dir, 0o700);
        fs::write(&config.state.master_key_file, [0; 32]).unwrap();
        set_mode(&config.state.master_key_file, 0o600);
        config.server.tls_certificate_file = Some(certificate_file);
        config.server.tls_key_file = Some(key_file);
        let public = dir.path().join("static");
        fs::create_dir(&public).unwrap();
        config.ui.static_dir = Some(public);
        (dir, config)
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The only problem, as key and message.
    fn only_problem(config: &Config) -> (String, String) {
        let problems = config.check_environment();
        assert_eq!(problems.len(), 1, "{problems:?}");
        (problems[0].key.clone(), problems[0].message.clone())
    }

    #[test]
    fn files_that_are_in_order_and_files_yet_to_be_made_are_no_problem() {
        let (_dir, config) = sound();
        assert_eq!(config.check_environment(), []);
        assert_eq!(Config::default_for("/nonexistent/state".into()).check_environment(), []);
    }

    #[test]
    fn a_certificate_of_another_key_is_refused() {
        let (_dir, config) = sound();
        let (other_dir, other) = sound();
        let mut mixed = config;
        mixed.server.tls_key_file = other.server.tls_key_file;
        let (key, message) = only_problem(&mixed);
        assert_eq!(key, "server.tls_certificate_file");
        assert!(message.starts_with("does not make a pair with server.tls_key_file"), "{message}");
        drop(other_dir);
        let (key, message) = only_problem(&mixed);
        assert_eq!((key.as_str(), message.starts_with("does not exist; ")), ("server.tls_key_file", true));
    }

    #[test]
    fn a_key_that_any_user_may_read_is_refused_with_the_command_that_closes_it() {
        let (_dir, config) = sound();
        let file = config.server.tls_key_file.clone().unwrap();
        set_mode(&file, 0o644);
        let remedy = format!("is open to other users (mode 0644); run: chmod o= {}", file.display());
        assert_eq!(only_problem(&config), ("server.tls_key_file".to_owned(), remedy));
    }

    #[test]
    fn state_on_two_file_systems_is_refused() {
        let (_dir, mut config) = sound();
        let state = tempfile::tempdir().unwrap();
        set_mode(state.path(), 0o700);
        config.state.dir = state.path().to_owned();
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::create_dir(state.path().join("media")).unwrap();
        fs::create_dir(state.path().join("uploads")).unwrap();
        assert_eq!(config.check_environment(), []);
        std::os::unix::fs::symlink(memory.path(), state.path().join("incoming")).unwrap();
        let (key, message) = only_problem(&config);
        assert_eq!(key, "state.dir");
        assert!(message.starts_with("is not on one file system: incoming/ is on another than media/"), "{message}");
    }

    #[test]
    fn a_state_directory_whose_socket_has_no_name_is_refused() {
        let (_dir, mut config) = sound();
        let longest = SOCKET_PATH_BYTES - SOCKET.len();
        for (length, fits) in [(longest, true), (longest + 1, false)] {
            config.state.dir = format!("/{}", "s".repeat(length - 1)).into();
            let socket = crate::store::StateDir::socket(&config.state.dir);
            assert!(socket.ends_with(SOCKET.trim_start_matches('/')));
            assert_eq!(std::os::unix::net::SocketAddr::from_pathname(&socket).is_ok(), fits, "{length}");
            if fits {
                assert_eq!(config.check_environment(), []);
            } else {
                let (key, message) = only_problem(&config);
                assert_eq!(key, "state.dir");
                assert!(message.contains("name one of at most 96"), "{message}");
            }
        }
    }

    #[test]
    fn state_on_a_file_system_in_memory_is_refused() {
        let (_dir, mut config) = sound();
        // Every Linux has one there (file-hierarchy(7)).
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        set_mode(memory.path(), 0o700);
        config.state.dir = memory.path().to_owned();
        let (key, message) = only_problem(&config);
        assert_eq!(key, "state.dir");
        assert!(message.starts_with("lies on tmpfs: it is gone after a reboot; "), "{message}");
    }

    #[test]
    fn files_without_certificate_or_key_are_refused_and_not_quoted() {
        let (_dir, mut config) = sound();
        std::mem::swap(&mut config.server.tls_certificate_file, &mut config.server.tls_key_file);
        let problems = config.check_environment();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["server.tls_certificate_file", "server.tls_key_file"]);
        fs::write(config.server.tls_key_file.as_ref().unwrap(), "-----BEGIN hunter2\nhunter2\n").unwrap();
        assert!(!format!("{:?}", config.check_environment()).contains("hunter2"));
    }

    #[test]
    fn state_open_to_other_users_is_refused_with_the_command_that_closes_it() {
        let (_dir, config) = sound();
        set_mode(&config.state.dir, 0o750);
        let remedy = format!("is open to other users (mode 0750); run: chmod 0700 {}", config.state.dir.display());
        assert_eq!(only_problem(&config), ("state.dir".to_owned(), remedy));
        set_mode(&config.state.dir, 0o700);
        set_mode(&config.state.master_key_file, 0o640);
        let (key, message) = only_problem(&config);
        assert_eq!(key, "state.master_key_file");
        assert!(message.contains("(mode 0640); run: chmod 0600 "), "{message}");
    }

    #[test]
    fn a_file_where_a_directory_belongs_is_refused() {
        let (dir, mut config) = sound();
        config.ui.static_dir = Some(dir.path().join("cert.pem"));
        assert_eq!(only_problem(&config).0, "ui.static_dir");
        config.ui.static_dir = Some(dir.path().join("nothing"));
        assert!(only_problem(&config).1.starts_with("does not exist; "));
        config.ui.static_dir = None;
        config.state.dir = dir.path().join("cert.pem");
        assert_eq!(only_problem(&config).0, "state.dir");
    }

    #[test]
    fn public_files_that_are_secret_under_another_name_are_refused() {
        let (dir, mut config) = sound();
        let link = dir.path().join("public");
        std::os::unix::fs::symlink(&config.state.dir, &link).unwrap();
        fs::create_dir(dir.path().join("beside")).unwrap();
        for public in [link.clone(), link.join("not-there-yet"), dir.path().join("beside/../state")] {
            config.ui.static_dir = Some(public);
            let problems = config.check_before_serving();
            let found: Vec<_> =
                problems.iter().map(|problem| (problem.key.as_str(), problem.message.as_str())).collect();
            assert!(
                matches!(found[..], [("ui.static_dir", said)] if said.starts_with("overlaps state.dir")),
                "{found:?}"
            );
        }
        config.ui.static_dir = Some(dir.path().join("beside"));
        assert_eq!(config.check_environment(), []);
        // The twin: the secret is the link.
        config.state.dir = dir.path().join("linked");
        std::os::unix::fs::symlink(dir.path().join("beside"), &config.state.dir).unwrap();
        assert!(config.check_before_serving().iter().any(|problem| problem.key == "ui.static_dir"));
    }

    #[test]
    fn a_public_url_nobody_can_open_is_refused() {
        let (_dir, mut config) = sound();
        config.server.listen = "0.0.0.0:443".parse().unwrap();
        config.server.public_url = config.server.url_of_address(config.server.listen);
        assert_eq!(only_problem(&config).0, "server.public_url");
        config.server.public_url = "https://video.example.com".to_owned();
        assert_eq!(config.check_environment(), []);
    }

    #[test]
    fn a_problem_of_a_loaded_configuration_says_where_the_value_was_written() {
        let environment = [("SCREENER__UI__STATIC_DIR".to_owned(), "/nonexistent".to_owned())];
        let problems = Config::load(None, environment).unwrap().check_environment();
        let found = problems.iter().find(|problem| problem.key == "ui.static_dir").unwrap();
        let said = "ui.static_dir = \"/nonexistent\" (from environment SCREENER__UI__STATIC_DIR): does not exist; ";
        assert!(found.to_string().starts_with(said), "{found}");
    }
}
