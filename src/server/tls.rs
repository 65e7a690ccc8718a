//! TLS 1.2 and 1.3, with a certificate that is exchanged while the server runs.

use super::{ServeError, certificate};
use crate::config::{Config, Problem, read_tls_pair};
use crate::domain::Timestamp;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// The certificate that is shown, and the files it comes from.
pub(super) struct Certificate {
    chain_file: PathBuf,
    key_file: PathBuf,
    /// The authority to trust, where we made our own.
    pub ca: Option<PathBuf>,
    shown: RwLock<Arc<CertifiedKey>>,
    /// The files as they were when they were last read, whatever came of it.
    read: Mutex<[Option<Stamp>; 2]>,
}

/// What changes when a file does, or who may read it: change time in seconds and nanoseconds, size, inode.
type Stamp = (i64, i64, u64, u64);

impl Certificate {
    /// The configured one, or one of our own making below `state`.
    pub fn of(config: &Config, state: &Path) -> Result<Self, ServeError> {
        let (chain_file, key_file, ca) = match (&config.server.tls_certificate_file, &config.server.tls_key_file) {
            (Some(chain), Some(key)) => (chain.clone(), key.clone(), None),
            _ => {
                let made = certificate::self_made(&state.join("tls"), config).map_err(ServeError::Tls)?;
                (made.chain, made.key, Some(made.ca))
            }
        };
        let stamps = [stamp(&chain_file), stamp(&key_file)];
        let pair = read_tls_pair(&chain_file, &key_file).map_err(|problems| ServeError::Tls(sentence(&problems)))?;
        Ok(Self { chain_file, key_file, ca, shown: RwLock::new(Arc::new(pair)), read: Mutex::new(stamps) })
    }

    /// Whether a file is not what it was when both were last read.
    pub fn has_changed_on_disk(&self) -> bool {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) != [stamp(&self.chain_file), stamp(&self.key_file)]
    }

    /// Reads the files again; what is shown changes only if they are a pair.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it.
    pub fn reload(&self) -> Result<(), String> {
        // Taken before reading: a file that changes meanwhile is looked at again.
        let stamps = [stamp(&self.chain_file), stamp(&self.key_file)];
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = stamps;
        let pair = read_tls_pair(&self.chain_file, &self.key_file).map_err(|problems| sentence(&problems))?;
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
        Ok(())
    }

    /// When what is shown is no longer good; `None` if it does not say so in a way we read.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.shown().cert.first().and_then(certificate::ends_at)
    }

    fn shown(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Without the key's bytes.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("chain_file", &self.chain_file).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown())
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.ctime(), found.ctime_nsec(), found.size(), found.ino()))
}

fn sentence(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What the listener needs.
pub(super) fn listener_config(certificate: Arc<Certificate>) -> Result<rustls::ServerConfig, ServeError> {
    let wrong = |error: rustls::Error| ServeError::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(wrong)?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    // HTTP/1.1 alone, and said so: a client that offers others must not guess.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Resuming spares a viewer the second round trip of every new connection.
    tls.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(wrong)?;
    Ok(tls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// Writes a new pair over the one in `directory`.
    fn install(directory: &Path, names: &str) {
        let made = rcgen::generate_simple_self_signed([names.to_owned()]).unwrap();
        std::fs::write(directory.join("chain.pem"), made.cert.pem()).unwrap();
        std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        std::fs::set_permissions(directory.join("key.pem"), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    #[test]
    fn a_change_on_disk_is_seen_once_and_only_a_pair_that_fits_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        install(directory.path(), "old.example");
        let mut config = Config::default_for(directory.path().join("state"));
        config.server.tls_certificate_file = Some(directory.path().join("chain.pem"));
        config.server.tls_key_file = Some(directory.path().join("key.pem"));
        let certificate = Certificate::of(&config, directory.path()).unwrap();
        let shown = || certificate.shown().cert.clone();
        let old = shown();
        assert!(!certificate.has_changed_on_disk());
        std::fs::write(directory.path().join("key.pem"), "half a key").unwrap();
        assert!(certificate.has_changed_on_disk());
        assert!(certificate.reload().unwrap_err().contains("key.pem"));
        // What is wrong is told once, not every minute.
        assert!(!certificate.has_changed_on_disk());
        assert!(shown() == old);
        install(directory.path(), "new.example");
        assert!(certificate.has_changed_on_disk());
        certificate.reload().unwrap();
        assert!(!certificate.has_changed_on_disk());
        assert!(shown() != old);
        // What the log asks for is a change, too.
        for mode in [0o644, 0o600] {
            std::fs::set_permissions(directory.path().join("key.pem"), std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(certificate.has_changed_on_disk());
            assert_eq!(certificate.reload().is_ok(), mode == 0o600);
        }
    }
}
