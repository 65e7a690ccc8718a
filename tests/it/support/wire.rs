//! One TLS connection in the test's own hands: targets go out as they stand, bodies are read at the test's pace.

use super::Server;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A connection that stays open between requests.
pub struct Wire {
    stream: rustls::StreamOwned<rustls::ClientConnection, TcpStream>,
    host: String,
}

/// Status and headers of an answer.
#[derive(Debug, Clone)]
pub struct Head {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Status and headers.
    pub head: Head,
    /// Its body.
    pub body: Vec<u8>,
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Self { status, headers }
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// `Content-Length`.
    pub fn length(&self) -> Option<u64> {
        self.header("content-length").map(|text| text.parse().unwrap())
    }
}

impl Exchange {
    /// The status.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// `code` of an error answer; empty where there is none.
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Parts what came back on one connection into its answers, as a client does that sent no HEAD.
#[track_caller]
pub fn answers(mut bytes: &[u8]) -> Vec<Exchange> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(bytes))) + 4;
        let head = Head::parse(std::str::from_utf8(&bytes[..end]).unwrap());
        let has_body = head.status >= 200 && head.status != 204 && head.status != 304;
        let length = if has_body { usize::try_from(head.length().expect("a length")).unwrap() } else { 0 };
        assert!(bytes.len() >= end + length, "an answer breaks off: {}", String::from_utf8_lossy(bytes));
        let body = bytes[end..end + length].to_vec();
        bytes = &bytes[end + length..];
        found.push(Exchange { head, body });
    }
    found
}

/// A connection below TLS.
pub fn plain(server: &Server) -> TcpStream {
    let authority = server.base_url.split_once("://").unwrap().1;
    let socket = TcpStream::connect(authority).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

impl Wire {
    /// A connection to a server.
    pub fn connect(server: &Server) -> Self {
        Self::over(server, |_| {})
    }

    /// A connection from another address of this machine, as another viewer has.
    pub fn from_address(server: &Server, address: IpAddr) -> Self {
        Self::over(server, |socket| socket.bind(&SocketAddr::new(address, 0).into()).unwrap())
    }

    /// A connection whose end of it holds few bytes, so that a reader who stops is soon felt by the server.
    pub fn narrow(server: &Server, receive_buffer_bytes: usize) -> Self {
        // Before connecting: the window that is offered follows from it.
        Self::over(server, |socket| socket.set_recv_buffer_size(receive_buffer_bytes).unwrap())
    }

    fn over(server: &Server, prepare: impl FnOnce(&Socket)) -> Self {
        let authority = server.base_url.strip_prefix("https://").unwrap().to_owned();
        let address: SocketAddr = authority.parse().unwrap();
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        prepare(&socket);
        socket.connect(&address.into()).unwrap();
        socket.set_tcp_nodelay(true).unwrap();
        let socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(server.ca()).unwrap()).unwrap();
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(address.ip().to_string()).unwrap();
        let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        Self { stream: rustls::StreamOwned::new(connection, socket), host: authority }
    }

    /// Sends a request without a body.
    pub fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) {
        self.try_send(method, target, headers, &[]).unwrap();
    }

    fn try_send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        self.stream.write_all(&[request.as_bytes(), body].concat())
    }

    /// Sends bytes as they stand.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Says that nothing more comes, and still listens (RFC 8446 §6.1).
    pub fn finish(&mut self) {
        self.stream.conn.send_close_notify();
        let _ = self.stream.flush();
    }

    /// Reads an answer's head.
    pub fn head(&mut self) -> Head {
        self.try_head().unwrap()
    }

    fn try_head(&mut self) -> io::Result<Head> {
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte)?;
            text.push(byte[0]);
        }
        Ok(Head::parse(&String::from_utf8(text).unwrap()))
    }

    /// Reads what is there of a body.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }

    /// Reads exactly as much of a body.
    pub fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.stream.read_exact(buffer)
    }

    /// What still comes until the connection ends, in whatever way.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut came = Vec::new();
        let _ = self.stream.read_to_end(&mut came);
        came
    }

    /// Reads until the connection ends, in whatever way; how many bytes still came.
    pub fn drain(&mut self) -> u64 {
        let mut buffer = vec![0; 64 << 10];
        let mut total = 0;
        while let Ok(count @ 1..) = self.stream.read(&mut buffer) {
            total += count as u64;
        }
        total
    }

    /// The socket below TLS.
    pub fn socket(&self) -> &TcpStream {
        &self.stream.sock
    }

    /// One request and its whole answer.
    pub fn exchange(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> Exchange {
        self.try_exchange(method, target, headers).unwrap()
    }

    /// The same, where the server may end the connection instead.
    pub fn try_exchange(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> io::Result<Exchange> {
        self.try_exchange_with(method, target, headers, &[])
    }

    /// The same with a body.
    pub fn try_exchange_with(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Exchange> {
        self.try_send(method, target, headers, body)?;
        let head = self.try_head()?;
        let has_body = method != "HEAD" && head.status != 304 && head.status != 204;
        let mut body = Vec::new();
        if has_body {
            body.resize(usize::try_from(head.length().ok_or(io::ErrorKind::InvalidData)?).unwrap(), 0);
            self.stream.read_exact(&mut body)?;
        }
        Ok(Exchange { head, body })
    }
}
