//! The certificate that a server without one makes for itself: a small authority of its own, whose key is thrown
//! away, and a certificate for the names the server goes by. Browsers warn; `curl --cacert` and the demo trust it.

use crate::config::Config;
use crate::domain::{Origin, Timestamp};
use crate::store::{read_small, replace_small, with_remedy};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// Longest file of a certificate that is read, in bytes: ours have about one KiB.
const PEM_BYTES: u64 = 1 << 16;
/// The same of the names it is for: a host name has 253 at most, and there are a few.
const NAMES_BYTES: u64 = 4096;

/// Files of a certificate.
pub(super) struct SelfMade {
    pub chain: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
}

/// The certificate in `directory`, made if it is not there or is for other names. One that nobody who trusts its authority
/// would take is set aside with all that lies beside it.
pub(super) fn self_made(directory: &Path, config: &Config) -> Result<SelfMade, String> {
    let files = SelfMade {
        chain: directory.join("certificate.pem"),
        key: directory.join("key.pem"),
        ca: directory.join("ca.pem"),
    };
    let names = names(config).join("\n");
    let names_file = directory.join("names");
    match read_small(&names_file, NAMES_BYTES) {
        Ok(made_for) if made_for == names.as_bytes() => match check(&files) {
            Ok(()) => return Ok(files),
            Err(trouble) => set_aside(directory, &trouble)?,
        },
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => set_aside(directory, &format!("{}: {error}", names_file.display()))?,
    }
    let (chain, key, ca) = make(&names).map_err(|error| error.to_string())?;
    let trouble = |path: &Path| {
        let path = path.to_owned();
        move |error| format!("{}: {}", path.display(), with_remedy(&path, error))
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(trouble(directory))?;
    // In this order: until the chain is there it fits neither the key nor the authority, and until the names are it is not
    // looked at.
    for (path, text) in [(&files.ca, &ca), (&files.key, &key), (&files.chain, &chain), (&names_file, &names)] {
        replace_small(path, text.as_bytes()).map_err(trouble(path))?;
    }
    tracing::info!(directory = %directory.display(), names, "made a self-signed certificate");
    Ok(files)
}

/// Whether whoever trusts the authority takes the certificate, and the key is its key.
fn check(files: &SelfMade) -> Result<(), String> {
    let read = |path: &Path| read_small(path, PEM_BYTES).map_err(|error| format!("{}: {error}", path.display()));
    let unsound = |path: &Path, error: &dyn Display| format!("{}: {error}", path.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(&files.chain)?)
        .collect::<Result<_, _>>()
        .map_err(|error| unsound(&files.chain, &error))?;
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(|error| unsound(&files.key, &error))?;
    let ca = CertificateDer::from_pem_slice(&read(&files.ca)?).map_err(|error| unsound(&files.ca, &error))?;
    let (first, rest) = chain.split_first().ok_or_else(|| unsound(&files.chain, &"there is no certificate in it"))?;
    if rest.iter().ne([&ca]) {
        return Err(unsound(&files.chain, &"it does not end with the authority"));
    }
    let mut roots = RootCertStore::empty();
    roots.add(ca).map_err(|error| unsound(&files.ca, &error))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let client = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| unsound(&files.ca, &error))?;
    let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
    // Any moment will do: what we make does not end before the year 4096.
    let moment = UnixTime::since_unix_epoch(Duration::from_secs(1 << 30));
    client.verify_server_cert(first, rest, &name, &[], moment).map_err(|error| unsound(&files.chain, &error))?;
    CertifiedKey::from_der(chain, key, &provider).map_err(|error| unsound(&files.key, &error)).map(drop)
}

/// Moves what is in the way of a certificate beside it.
fn set_aside(directory: &Path, trouble: &str) -> Result<(), String> {
    let free = (1..).map(|number| directory.with_extension(format!("set-aside-{number}"))).find(|path| !path.exists());
    let Some(aside) = free else { return Ok(()) };
    std::fs::rename(directory, &aside)
        .map_err(|error| format!("{}: {}", directory.display(), with_remedy(directory, error)))?;
    tracing::warn!(
        trouble,
        set_aside = %aside.display(),
        "the self-made certificate is damaged; another is made, and whoever trusted ca.pem has to trust the new one"
    );
    Ok(())
}

/// When a certificate is no longer good (RFC 5280 §4.1.2.5); `None` for one that does not say so in a way we read.
pub(super) fn ends_at(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let read = Certificate::from_der(certificate).ok()?;
    let seconds = read.tbs_certificate().validity().not_after.to_unix_duration().as_secs();
    i64::try_from(seconds).ok().map(Timestamp::from_secs)
}

fn make(names: &str) -> Result<(String, String, String), rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "Screener self-made authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let mut server = CertificateParams::new(names.lines().map(str::to_owned).collect::<Vec<_>>())?;
    server.distinguished_name.push(DnType::CommonName, "Screener");
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &issuer)?;
    let ca = authority_certificate.pem();
    Ok((format!("{}{ca}", certificate.pem()), key.serialize_pem(), ca))
}

/// What the server may be called: loopback, its address, the host of its public URL.
fn names(config: &Config) -> Vec<String> {
    let mut names: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let address = config.server.listen.ip();
    if !address.is_unspecified() {
        names.insert(address.to_string());
    }
    names.extend(Origin::of(&config.server.public_url).map(|origin| origin.host().to_owned()));
    names.into_iter().collect()
}
