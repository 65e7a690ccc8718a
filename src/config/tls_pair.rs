//! The certificate and its private key, read and judged as a pair.
//!
//! Relies on rustls to tell whether they fit. Never repeats what the files hold.

use super::check::{existing, mode};
use super::given::toml_text;
use super::layers::read_bounded;
use super::problem::{Problem, Source};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::io;
use std::path::Path;

/// Largest PEM file that is read, in bytes: a chain has a few KiB.
const PEM_MAX_BYTES: u64 = 1 << 20;

const CERTIFICATE: &str = "server.tls_certificate_file";
const KEY: &str = "server.tls_key_file";

/// The pair in these two PEM files. Blocks on the disk.
///
/// # Errors
/// What is wrong with either, or with both together, under the keys that name them.
pub fn read_tls_pair(certificate_file: &Path, key_file: &Path) -> Result<CertifiedKey, Vec<Problem>> {
    let problem = |key: &str, path: &Path, message: String| {
        Problem::of_key(key, &toml_text(path.display()), Source::InForce, message)
    };
    let chain = read_pem(certificate_file, "certificate (BEGIN CERTIFICATE)", |pem| {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
        if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) }
    });
    let key = read_pem(key_file, "unencrypted private key (BEGIN PRIVATE KEY)", PrivateKeyDer::from_pem_slice)
        .and_then(|key| is_closed(key_file).map(|()| key));
    match (chain, key) {
        (Ok(chain), Ok(key)) => CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| {
            let message = format!(
                "does not make a pair with {KEY} ({}): {error}; name the certificate and key that were made together",
                key_file.display()
            );
            vec![problem(CERTIFICATE, certificate_file, message)]
        }),
        (chain, key) => {
            let chain = chain.err().map(|message| problem(CERTIFICATE, certificate_file, message));
            let key = key.err().map(|message| problem(KEY, key_file, message));
            Err(chain.into_iter().chain(key).collect())
        }
    }
}

/// Whether the key's file is for its owner and group alone.
fn is_closed(key_file: &Path) -> Result<(), String> {
    match existing(key_file)? {
        Some(found) if mode(&found) & 0o007 != 0 => {
            Err(format!("is open to other users (mode {:04o}); run: chmod o= {}", mode(&found), key_file.display()))
        }
        _ => Ok(()),
    }
}

/// What `parse` finds in the file, or why it is no `wanted`.
fn read_pem<T>(path: &Path, wanted: &str, parse: impl Fn(&[u8]) -> Result<T, pem::Error>) -> Result<T, String> {
    match existing(path)? {
        None => return Err("does not exist; correct the path or create the file".to_owned()),
        Some(found) if !found.is_file() => return Err("is not a file; name a PEM file".to_owned()),
        Some(_) => {}
    }
    let bytes = read_bounded(path, PEM_MAX_BYTES).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => "is over 1 MiB; name a PEM file".to_owned(),
        _ => format!("cannot be read: {error}; give the user that runs the server read access"),
    })?;
    // The parser's own words are left out: they may quote the file.
    parse(&bytes).map_err(|_| format!("holds no {wanted} in PEM; name a file that does"))
}
