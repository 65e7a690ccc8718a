//! Certificates that are wrong at the start, and certificates that are exchanged while it runs.

use crate::support::{Serving, configured, run, send_signal, wait_for, write_closed};
use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A certificate for this machine, its own authority.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        Self::good_until(4_096)
    }

    fn good_until(year: i32) -> Self {
        let mut parameters = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(1999, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        Self { certificate: parameters.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// A server with a pair of its own in two files.
struct Site {
    files: tempfile::TempDir,
    server: tempfile::TempDir,
    config: String,
}

impl Site {
    fn with(pair: &Pair) -> Self {
        let files = tempfile::tempdir().unwrap();
        let (certificate, key) = (files.path().join("chain.pem"), files.path().join("key.pem"));
        let (server, config) = configured(&format!(
            "[server]\nlisten = \"127.0.0.1:0\"\ntls_certificate_file = {certificate:?}\ntls_key_file = {key:?}"
        ));
        run(&["init", "--config", &config]).expect(0);
        let site = Self { files, server, config };
        site.install(pair);
        site
    }

    fn install(&self, pair: &Pair) {
        std::fs::write(self.files.path().join("chain.pem"), &pair.certificate).unwrap();
        write_closed(&self.files.path().join("key.pem"), &pair.key);
    }

    fn key(&self) -> PathBuf {
        self.files.path().join("key.pem")
    }

    fn serve(&self) -> Serving {
        Serving::start(&["serve", "--config", &self.config])
    }

    /// Both say the same, and nothing starts.
    #[track_caller]
    fn is_refused(&self, words: &[&str]) {
        for verb in ["check-config", "serve"] {
            let said = run(&[verb, "--config", &self.config]).expect(78);
            for word in words {
                assert!(said.errors.contains(word), "{verb}: {word} is not in {}", said.errors);
            }
        }
    }
}

/// A connection that trusts this certificate alone; `None` if another one is shown.
fn connect(base_url: &str, pair: &Pair) -> Option<rustls::StreamOwned<rustls::ClientConnection, TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(base_url.strip_prefix("https://").unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, socket);
    asks(&mut stream).then_some(stream)
}

/// Whether a request on this connection is answered.
fn asks(stream: &mut rustls::StreamOwned<rustls::ClientConnection, TcpStream>) -> bool {
    let mut answer = [0; 12];
    stream.write_all(b"HEAD /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && &answer == b"HTTP/1.1 200"
}

#[test]
fn a_certificate_that_can_t_be_used_is_refused_by_name_before_anything_listens() {
    let pair = Pair::new();
    let site = Site::with(&pair);
    std::fs::set_permissions(site.key(), std::fs::Permissions::from_mode(0o604)).unwrap();
    site.is_refused(&["server.tls_key_file", "key.pem", "is open to other users (mode 0604); run: chmod o= "]);
    write_closed(&site.key(), &Pair::new().key);
    site.is_refused(&["server.tls_certificate_file", "does not make a pair with server.tls_key_file"]);
    write_closed(&site.key(), "no key at all");
    site.is_refused(&["server.tls_key_file", "holds no unencrypted private key"]);
    std::fs::remove_file(site.key()).unwrap();
    site.is_refused(&["server.tls_key_file", "does not exist"]);
    assert!(!site.server.path().join("state/admin.sock").exists());
    // The twin.
    site.install(&pair);
    run(&["check-config", "--config", &site.config]).expect(0);
    let mut serving = site.serve();
    assert!(connect(&serving.base_url(), &pair).is_some());
    assert_eq!(serving.end(), 0);
}

#[test]
fn an_expired_certificate_is_served_with_a_warning_and_a_good_one_without() {
    for (year, is_warned_of) in [(2001, true), (4_096, false)] {
        let site = Site::with(&Pair::good_until(year));
        let mut serving = site.serve();
        serving.base_url();
        if is_warned_of {
            serving.event("the certificate has expired: browsers refuse it; renew it");
        }
        assert_eq!(serving.end(), 0);
        assert_eq!(serving.log().contains("the certificate has expired"), is_warned_of);
    }
}

#[test]
fn a_new_certificate_is_shown_after_a_reload_and_running_connections_go_on() {
    let (old, new) = (Pair::new(), Pair::new());
    let site = Site::with(&old);
    let mut serving = site.serve();
    let base_url = serving.base_url();
    let mut before = connect(&base_url, &old).unwrap();
    site.install(&new);
    assert!(connect(&base_url, &new).is_none(), "shown without a reload");
    send_signal(serving.process.id(), Signal::HUP);
    serving.event("\"message\":\"reloaded\"");
    assert!(connect(&base_url, &new).is_some());
    assert!(connect(&base_url, &old).is_none(), "the old one is still shown");
    let mut rest = [0; 4096];
    // What is left of the first answer's head.
    assert!(before.read(&mut rest).unwrap() > 0);
    assert!(asks(&mut before), "a running connection was cut");
    assert_eq!(serving.end(), 0);
}

#[test]
fn a_broken_certificate_leaves_the_old_one_in_force_and_is_named() {
    let (old, new) = (Pair::new(), Pair::new());
    let site = Site::with(&old);
    let mut serving = site.serve();
    let base_url = serving.base_url();
    // Files that are found changed are read without being told, too: one refusal may stand there twice.
    let is_refused = |words: &str| {
        let refusal = "the certificate can't be used; the one in force stays";
        serving.log().lines().any(|line| line.contains(refusal) && line.contains(words))
    };
    let broken = [
        ("holds no certificate", Pair { certificate: "-----BEGIN nonsense".to_owned(), key: new.key.clone() }),
        ("does not make a pair", Pair { certificate: new.certificate.clone(), key: old.key.clone() }),
        ("holds no unencrypted private key", Pair { certificate: new.certificate.clone(), key: String::new() }),
    ];
    for (words, pair) in &broken {
        site.install(pair);
        send_signal(serving.process.id(), Signal::HUP);
        wait_for(words, Duration::from_secs(20), || is_refused(words));
        assert!(connect(&base_url, &old).is_some(), "{words}");
    }
    std::fs::remove_file(site.key()).unwrap();
    send_signal(serving.process.id(), Signal::HUP);
    wait_for("the missing file", Duration::from_secs(20), || is_refused("does not exist"));
    assert!(connect(&base_url, &old).is_some());
    // Put right, it is taken.
    site.install(&new);
    send_signal(serving.process.id(), Signal::HUP);
    serving.event("\"message\":\"reloaded\"");
    assert!(connect(&base_url, &new).is_some());
    assert_eq!(serving.end(), 0);
}
