//! A client that looks at everything an answer must have.

use reqwest::blocking::Response;
use reqwest::header::HeaderMap;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// An answer, read whole and checked.
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads an answer and checks what every answer must hold to.
    pub fn read(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().unwrap().to_vec();
        let reply = Self { status, headers, body };
        reply.check();
        reply
    }

    /// The same for a server that may be killed meanwhile: `None` for an answer that was cut off.
    pub fn try_read(response: Response) -> Option<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let reply = Self { status, headers, body: response.bytes().ok()?.to_vec() };
        reply.check();
        Some(reply)
    }

    fn check(&self) {
        let text = |name| self.header(name).unwrap_or_default();
        // What is no request is refused before it has an id.
        if self.status == 400 && self.body.is_empty() {
            return;
        }
        assert!(!text("x-request-id").is_empty(), "an answer without X-Request-Id: {}", self.status);
        assert_eq!(text("x-content-type-options"), "nosniff");
        assert!(self.header("server").is_none() && self.header("x-powered-by").is_none());
        if self.status >= 400 && text("content-type").starts_with("application/json") && !self.body.is_empty() {
            let body = self.json();
            assert_eq!(body["traceId"], text("x-request-id"), "{body}");
            assert!(body["error"].as_str().is_some_and(|sentence| sentence.ends_with('.')), "{body}");
            assert!(body["code"].is_string(), "{body}");
            assert_eq!(text("cache-control"), "no-store");
        }
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON ({}): {}", self.status, String::from_utf8_lossy(&self.body)))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `code` of an error, or what the embed page shows of it; empty for a success.
    pub fn code(&self) -> String {
        if self.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            let text = self.text();
            let code = text.split("data-code=\"").nth(1).and_then(|rest| rest.split('"').next());
            return code.unwrap_or_default().to_owned();
        }
        if self.status < 400 { String::new() } else { self.json()["code"].as_str().unwrap_or_default().to_owned() }
    }

    /// Asserts the status, showing the body where it differs.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Asserts status and code.
    #[track_caller]
    pub fn expect_code(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{}", self.text());
        self
    }
}

/// Sends `request` as it stands over TLS and reads until the server closes or falls silent: no client that tidies.
pub fn raw_exchange(base_url: &str, ca: &Path, request: &[u8]) -> Vec<u8> {
    let address = base_url.strip_prefix("https://").unwrap();
    let host = address.rsplit_once(':').unwrap().0;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, socket);
    // A server that closes before it has read everything has answered, too.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    // A server that closes without TLS's farewell has still answered.
    let _ = stream.read_to_end(&mut answer);
    answer
}
