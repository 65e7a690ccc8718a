//! The certificate that a server without one makes for itself: a small authority of its own, whose key is thrown
//! away, and a certificate for the names the server goes by. Browsers warn; `curl --cacert` and the demo trust it.

use crate::config::Config;
use crate::domain::{Origin, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// Files of a certificate.
pub(super) struct SelfMade {
    pub chain: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
}

/// The certificate in `directory`, made if it is not there or is for other names.
pub(super) fn self_made(directory: &Path, config: &Config) -> Result<SelfMade, String> {
    let files = SelfMade {
        chain: directory.join("certificate.pem"),
        key: directory.join("key.pem"),
        ca: directory.join("ca.pem"),
    };
    let names = names(config);
    let names_file = directory.join("names");
    let made_for = std::fs::read_to_string(&names_file).unwrap_or_default();
    if made_for == names.join("\n") && files.chain.exists() && files.key.exists() && files.ca.exists() {
        return Ok(files);
    }
    let (chain, key, ca) = make(&names).map_err(|error| error.to_string())?;
    let write_all = || {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        for (path, text) in
            [(&files.key, &key), (&files.chain, &chain), (&files.ca, &ca), (&names_file, &names.join("\n"))]
        {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
        }
        Ok::<_, std::io::Error>(())
    };
    write_all().map_err(|error| format!("{}: {error}", directory.display()))?;
    tracing::info!(directory = %directory.display(), names = names.join(", "), "made a self-signed certificate");
    Ok(files)
}

/// When a certificate is no longer good (RFC 5280 §4.1.2.5); `None` for one that does not say so in a way we read.
pub(super) fn ends_at(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let read = Certificate::from_der(certificate).ok()?;
    let seconds = read.tbs_certificate().validity().not_after.to_unix_duration().as_secs();
    i64::try_from(seconds).ok().map(Timestamp::from_secs)
}

fn make(names: &[String]) -> Result<(String, String, String), rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "Screener self-made authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let mut server = CertificateParams::new(names.to_vec())?;
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
