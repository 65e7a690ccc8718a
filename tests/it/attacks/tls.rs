//! The handshake, with ClientHellos made by hand, and openssl where a whole session is needed (attacks J19–J24; R17).

use crate::support::{Options, Server, plain, terminate};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

/// TLS records and messages of RFC 8446 §5.1, §4 and §6.
const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const SERVER_HELLO: u8 = 2;

/// ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, which every server of TLS 1.2 with our kind of certificate has.
const GOOD: u16 = 0xc02b;

/// What a ClientHello says.
struct Hello<'a> {
    version: u16,
    suites: &'a [u16],
    compression: &'a [u8],
    /// `server_name` (RFC 6066 §3) as it stands in the message, if it stands there.
    name: Option<&'a [u8]>,
}

/// What came back: the kind of the first record and the first byte of its message, or nothing but the end.
#[derive(Debug, PartialEq)]
enum Came {
    Hello,
    Alert(u8),
    End,
}

fn with_length(bytes: usize, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u64).to_be_bytes()[8 - bytes..], body].concat()
}

impl Hello<'_> {
    fn record(&self) -> Vec<u8> {
        let extension = |kind: u16, body: &[u8]| [&kind.to_be_bytes()[..], &with_length(2, body)].concat();
        let groups: Vec<u8> = [0x001d_u16, 0x0017, 0x0018].iter().flat_map(|group| group.to_be_bytes()).collect();
        let schemes: Vec<u8> =
            [0x0403_u16, 0x0503, 0x0804, 0x0401].iter().flat_map(|scheme| scheme.to_be_bytes()).collect();
        let mut extensions = [
            extension(10, &with_length(2, &groups)),
            extension(11, &[1, 0]),
            extension(13, &with_length(2, &schemes)),
            extension(23, &[]),
        ]
        .concat();
        if let Some(name) = self.name {
            let entry = [&[0][..], &with_length(2, name)].concat();
            extensions.extend(extension(0, &with_length(2, &entry)));
        }
        let suites: Vec<u8> = self.suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
        let body = [
            &self.version.to_be_bytes()[..],
            &[7; 32],
            &[0],
            &with_length(2, &suites),
            &with_length(1, self.compression),
            &with_length(2, &extensions),
        ]
        .concat();
        let message = [&[1][..], &with_length(3, &body)].concat();
        [&[HANDSHAKE, 3, 1][..], &with_length(2, &message)].concat()
    }

    fn send(&self, server: &Server) -> Came {
        let mut socket = plain(server);
        socket.write_all(&self.record()).unwrap();
        let mut head = [0; 7];
        match socket.read_exact(&mut head) {
            Ok(()) if head[0] == HANDSHAKE && head[5] == SERVER_HELLO => Came::Hello,
            Ok(()) if head[0] == ALERT => Came::Alert(head[6]),
            Ok(()) => panic!("neither a handshake nor an alert: {head:?}"),
            Err(_) => Came::End,
        }
    }
}

const PLAIN: Hello<'_> = Hello { version: 0x0303, suites: &[GOOD], compression: &[0], name: None };

#[test]
fn old_versions_and_weak_suites_are_refused_in_the_handshake() {
    let server = Server::start();
    let refused = [
        ("SSL 3.0", Hello { version: 0x0300, ..PLAIN }),
        ("TLS 1.0", Hello { version: 0x0301, ..PLAIN }),
        ("TLS 1.1", Hello { version: 0x0302, ..PLAIN }),
        ("NULL", Hello { suites: &[0x0002, 0x003b, 0xc006, 0xc010], ..PLAIN }),
        ("EXPORT", Hello { suites: &[0x0003, 0x0006, 0x0008, 0x0014], ..PLAIN }),
        ("RC4", Hello { suites: &[0x0004, 0x0005, 0xc007, 0xc011], ..PLAIN }),
        ("3DES", Hello { suites: &[0x000a, 0x0016, 0xc008, 0xc012], ..PLAIN }),
        ("anonymous", Hello { suites: &[0x0018, 0x0034, 0x006c, 0xc018], ..PLAIN }),
        ("RSA key exchange", Hello { suites: &[0x002f, 0x0035, 0x009c, 0x009d], ..PLAIN }),
        ("finite-field DHE", Hello { suites: &[0x0033, 0x0039, 0x009e, 0x009f], ..PLAIN }),
        ("CBC", Hello { suites: &[0xc009, 0xc00a, 0xc023, 0xc024], ..PLAIN }),
        ("static ECDH", Hello { suites: &[0xc004, 0xc005, 0xc02d, 0xc02e], ..PLAIN }),
        ("no suite at all", Hello { suites: &[], ..PLAIN }),
        ("compression alone", Hello { compression: &[1], ..PLAIN }),
    ];
    let taken: Vec<&str> =
        refused.iter().filter(|(_, hello)| hello.send(&server) == Came::Hello).map(|(what, _)| *what).collect();
    let verdict = if taken.is_empty() { "PASS" } else { "FAIL" };
    println!("R17 {verdict} {} probes, refused all but {taken:?}", refused.len());
    assert!(taken.is_empty());
    // The twins: the same hello with a suite of ours among them; compression is not chosen where it is offered.
    for suites in [&[GOOD][..], &[0xc02c], &[0xcca9], &[0x000a, 0x0005, GOOD]] {
        assert_eq!(Hello { suites, ..PLAIN }.send(&server), Came::Hello, "{suites:x?}");
    }
    assert_eq!(Hello { compression: &[1, 0], ..PLAIN }.send(&server), Came::Hello);
    server.get("/healthz").expect(200);
}

#[test]
fn a_name_that_nobody_has_gets_the_one_certificate_or_an_alert() {
    let server = Server::start();
    let long = [b'a'; 255];
    for name in [None, Some(&b"unknown.example"[..]), Some(b"localhost")] {
        assert_eq!(Hello { name, ..PLAIN }.send(&server), Came::Hello, "{name:?}");
    }
    // RFC 6066 §3 allows neither addresses nor what is no name.
    for name in [&b"127.0.0.1"[..], b"::1", b"", b"a\0b", b"../x", &long, &[0xff; 3]] {
        let came = Hello { name: Some(name), ..PLAIN }.send(&server);
        assert!(matches!(came, Came::Hello | Came::Alert(_)), "{name:?}: {came:?}");
    }
    server.get("/healthz").expect(200);
}

#[test]
fn what_is_no_tls_gets_no_http_and_tls_is_no_http() {
    let server = Server::start();
    let exchange = |server: &Server, bytes: &[u8]| {
        let mut socket = plain(server);
        socket.write_all(bytes).unwrap();
        let _ = socket.shutdown(Shutdown::Write);
        let mut came = Vec::new();
        let _ = socket.read_to_end(&mut came);
        came
    };
    let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for bytes in
        [&request[..], b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", b"SSH-2.0-x\r\n", b"\x16\x03\x01\x00\x00", &[0; 64]]
    {
        let came = exchange(&server, bytes);
        assert!(came.is_empty() || came[0] == ALERT, "{:?}", String::from_utf8_lossy(&came));
    }
    server.get("/healthz").expect(200);
    let environment = vec![("SCREENER__SERVER__PLAIN_HTTP".to_owned(), "true".to_owned())];
    let server = Server::with(Options { environment, ..Options::default() });
    for bytes in
        [PLAIN.record(), b"\x16\x03\x01\x02\x00\x01".to_vec(), b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec()]
    {
        let came = String::from_utf8_lossy(&exchange(&server, &bytes)).into_owned();
        assert!(came.starts_with("HTTP/1.1 400 "), "{came}");
    }
    assert!(exchange(&server, request).starts_with(b"HTTP/1.1 200 "));
}

/// What openssl says of a session in which these words were typed.
fn openssl(server: &Server, arguments: &[&str], typed: &str) -> String {
    let authority = server.base_url.strip_prefix("https://").unwrap();
    let mut process = Command::new("openssl")
        .args(["s_client", "-connect", authority, "-CAfile", server.ca().to_str().unwrap()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat()
}

#[test]
fn a_session_is_not_renegotiated_not_compressed_and_carries_no_early_data() {
    let server = Server::start();
    let get = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let modern = openssl(&server, &["-tls1_3", "-ign_eof"], get);
    for words in ["Compression: NONE", "HTTP/1.1 200 OK", "Max Early Data: 0", "Verification: OK"] {
        assert!(modern.contains(words), "{words}: {modern}");
    }
    let older = openssl(&server, &["-tls1_2", "-ign_eof"], get);
    assert!(older.contains("HTTP/1.1 200 OK") && older.contains("Secure Renegotiation IS supported"), "{older}");
    let again = openssl(&server, &["-tls1_2"], &format!("R\n{get}"));
    assert!(again.contains("RENEGOTIATING") && !again.contains("HTTP/1.1 200 OK"), "{again}");
    server.get("/healthz").expect(200);
}

#[test]
fn a_certificate_that_has_ended_is_served_with_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = (directory.path().join("chain.pem"), directory.path().join("key.pem"));
    let serve = |not_after: (i32, u8, u8)| {
        let mut parameters = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2000, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(not_after.0, not_after.1, not_after.2);
        let made_key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(&chain, parameters.self_signed(&made_key).unwrap().pem()).unwrap();
        std::fs::write(&key, made_key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let state = tempfile::tempdir().unwrap();
        let config = state.path().join("config.toml");
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\ntls_certificate_file = {chain:?}\ntls_key_file = {key:?}\n[state]\ndir = {:?}\n",
            state.path().join("state")
        );
        std::fs::write(&config, text).unwrap();
        let config = config.to_str().unwrap();
        crate::support::run(&["init", "--config", config]).expect(0);
        let mut process = Command::new(env!("CARGO_BIN_EXE_screener"))
            .args(["serve", "--config", config])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(process.stderr.take().unwrap()));
        let mut is_told = false;
        for line in lines.map_while(Result::ok) {
            is_told |= line.contains("the certificate has expired");
            if is_told {
                break;
            }
            // A good one is not spoken of until it stops.
            if line.contains("\"message\":\"serving\"") && not_after.0 > 3_000 {
                terminate(process.id());
            }
        }
        process.kill().unwrap();
        process.wait().unwrap();
        is_told
    };
    assert!(serve((2020, 1, 1)));
    assert!(!serve((4000, 1, 1)));
}
