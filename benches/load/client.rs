//! One connection of a client, and what it is to ask for.

use crate::support::Server;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longest that anything may take before it counts as lost.
const LOST: Duration = Duration::from_secs(20);

/// The server, and an embed of it with a token that opens it.
pub struct Target {
    address: SocketAddr,
    tls: TlsConnector,
    /// A request for the embed's playback answer, token included.
    pub playback: String,
    /// The same with a token whose signature does not match.
    pub forged: String,
}

/// A connection with TLS.
pub struct Line {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

/// An answer, read whole.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// From the last byte of the request to the first of the answer.
    pub first_byte: Duration,
    /// Its body.
    pub body: Vec<u8>,
}

impl Target {
    /// What a server has to be asked.
    pub fn of(server: &Server, embed: &str, token: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(server.ca()).unwrap()).unwrap();
        let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        // Every viewer is another client.
        config.resumption = rustls::client::Resumption::disabled();
        let playback = |token: &str| {
            format!(
                "GET /api/v1/embeds/{embed}/playback HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
                 x-moviie-playback-token: {token}\r\n\r\n",
                server.publishable_key
            )
        };
        Self {
            address: server.base_url.strip_prefix("https://").unwrap().parse().unwrap(),
            tls: TlsConnector::from(Arc::new(config)),
            playback: playback(token),
            forged: playback(&format!("{}AAAA", &token[..token.len() - 4])),
        }
    }

    /// A new connection.
    pub async fn connect(&self) -> Result<Line> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream = timely(self.tls.connect(name, socket)).await?;
        Ok(Line { stream, buffer: vec![0; 32 << 10] })
    }
}

impl Line {
    /// Sends bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Whether the server ends the connection within so long.
    pub async fn ends_within(&mut self, patience: Duration) -> bool {
        let mut scratch = [0; 256];
        match tokio::time::timeout(patience, self.stream.read(&mut scratch)).await {
            Ok(Ok(count)) => count == 0,
            Ok(Err(_)) => true,
            Err(_) => false,
        }
    }

    /// A request and its answer.
    pub async fn exchange(&mut self, request: &str) -> Result<Answer> {
        timely(self.exchange_at_leisure(request)).await
    }

    async fn exchange_at_leisure(&mut self, request: &str) -> Result<Answer> {
        self.send(request.as_bytes()).await?;
        let (sent, mut first_byte, mut came) = (Instant::now(), None, Vec::new());
        let (mut end, mut length) = (None, 0);
        loop {
            if let Some(end) = end
                && came.len() >= end + length
            {
                let status = std::str::from_utf8(&came[9..12]).ok().and_then(|digits| digits.parse().ok());
                let status = status.ok_or_else(|| Error::from(ErrorKind::InvalidData))?;
                let body = came.split_off(end);
                return Ok(Answer { status, first_byte: first_byte.unwrap_or_default(), body });
            }
            let count = self.stream.read(&mut self.buffer).await?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            first_byte.get_or_insert_with(|| sent.elapsed());
            came.extend_from_slice(&self.buffer[..count]);
            if end.is_none()
                && let Some(at) = came.windows(4).position(|four| four == b"\r\n\r\n")
            {
                let head = String::from_utf8_lossy(&came[..at]).to_ascii_lowercase();
                let said = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                (end, length) = (Some(at + 4), said.and_then(|length| length.parse().ok()).unwrap_or(0));
            }
        }
    }
}

async fn timely<T>(what: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(LOST, what).await.map_err(|_| Error::from(ErrorKind::TimedOut))?
}

/// Runs `clients` on a thread of their own.
pub fn on_a_thread<T: Send + 'static>(clients: impl AsyncFnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        runtime.block_on(local.run_until(clients()))
    })
}
