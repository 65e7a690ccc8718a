//! A client's connection, with TLS or without, which takes no more from it than its intake allows.
//!
//! actix-http reads up to 128 KiB before it looks at them, times the first head alone, and drains what is left of a
//! body without end. All three are bounded here, below it.

use crate::domain::limits;
use crate::http::{Connection, Consent, Intake, Stage};
use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Ends a head that is too long, wherever it was cut, so that it is read as far as it came and refused (RFC 9112 §2.2 lets
/// a line end so).
const HEAD_END: &[u8] = b"\n\n";

/// What actix-http writes for `Expect: 100-continue`.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Bytes that are thrown away before others have a turn.
const DISCARD_BYTES: usize = 256 << 10;

/// A client's connection.
pub(super) struct Line {
    stream: Stream,
    intake: Intake,
    /// How much of [`CONTINUE`] is still to be sent.
    consent: &'static [u8],
    /// Until when the peer may still speak, once the server has said its last.
    parting: Option<Pin<Box<Sleep>>>,
}

enum Stream {
    Plain(TcpStream),
    // The state of TLS is large.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Line {
    /// Sets up what was accepted: its socket, and TLS within [`limits::TLS_HANDSHAKE_S`] where it is spoken.
    pub(super) async fn open(
        socket: TcpStream,
        tls: Option<Arc<ServerConfig>>,
    ) -> io::Result<(Self, Option<SocketAddr>)> {
        set_limits(&socket);
        let peer = socket.peer_addr().ok();
        let stream = match tls {
            None => Stream::Plain(socket),
            Some(tls) => {
                let handshake = TlsAcceptor::from(tls).accept(socket);
                Stream::Tls(Box::new(timeout(Duration::from_secs(limits::TLS_HANDSHAKE_S), handshake).await??))
            }
        };
        Ok((Self { stream, intake: Intake::default(), consent: &[], parting: None }, peer))
    }

    /// What the handlers of its requests know it by. It keeps a second handle on the socket, for cutting what it carries.
    pub(super) fn note(&self, data: &mut actix_web::dev::Extensions) {
        data.insert(self.intake.clone());
        match self.socket().as_fd().try_clone_to_owned() {
            Ok(socket) => drop(data.insert(Connection::new(socket))),
            Err(error) => tracing::warn!(%error, "a connection has no second handle; it can't be cut in mid-answer"),
        }
    }

    fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Some of a head; the end of the line where one takes too long.
    fn poll_head(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.intake.room() == 0 {
            if !self.intake.is_stuck() {
                // It may be whole: let it be read first.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.intake.end_overlong() {
                buffer.put_slice(HEAD_END);
            }
            return Poll::Ready(Ok(()));
        }
        match self.poll_some(context, buffer) {
            Poll::Pending if self.intake.is_late(context) => Poll::Ready(Ok(())),
            other => other,
        }
    }

    /// No more than there is room for.
    fn poll_some(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (room, before) = (self.intake.room(), buffer.filled().len());
        if room >= buffer.remaining() {
            ready!(self.stream.poll_read(context, buffer))?;
        } else {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
            ready!(self.stream.poll_read(context, &mut part))?;
            let count = part.filled().len();
            buffer.advance(count);
        }
        self.intake.take(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }

    /// Sends the consent to a body that somebody has begun to read.
    fn poll_consent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.intake.consent() == Consent::Due {
            self.intake.set_consent(Consent::Unasked);
            self.consent = CONTINUE;
        }
        while !self.consent.is_empty() {
            let count = ready!(self.stream.poll_write(context, self.consent))?;
            self.consent = self.consent.get(count..).unwrap_or_default();
        }
        Poll::Ready(Ok(()))
    }

    /// Throws away what still comes, so that an answer is not lost to a reset.
    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (mut scratch, mut discarded) = ([0; 8 << 10], 0);
        while discarded < DISCARD_BYTES {
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(self.stream.poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            discarded += buffer.filled().len();
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Stream {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.intake.stage() {
            Stage::Head => self.poll_head(context, buffer),
            Stage::Unwanted => Poll::Ready(Ok(())),
            Stage::Answer => {
                self.intake.wake_later(context.waker());
                if self.intake.room() == 0 { Poll::Pending } else { self.poll_some(context, buffer) }
            }
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.intake.consent() == Consent::Announced {
            if bytes.starts_with(CONTINUE) {
                self.intake.set_consent(Consent::Held);
                return Poll::Ready(Ok(CONTINUE.len()));
            }
            self.intake.set_consent(Consent::Unasked);
        }
        ready!(self.poll_consent(context))?;
        self.stream.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_consent(context))?;
        match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(context),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    /// Says that nothing more comes, and waits until the peer has said so, too, or for [`limits::LINGER_S`].
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.parting.is_none() {
            match &mut self.stream {
                Stream::Plain(socket) => ready!(Pin::new(socket).poll_shutdown(context))?,
                Stream::Tls(tls) => ready!(Pin::new(tls).poll_shutdown(context))?,
            }
        }
        let parting = self.parting.get_or_insert_with(|| Box::pin(sleep(Duration::from_secs(limits::LINGER_S))));
        if parting.as_mut().poll(context).is_ready() { Poll::Ready(Ok(())) } else { self.poll_discard(context) }
    }
}

/// A connection answers at once, keeps little unsent, and gives up on a peer that acknowledges nothing.
fn set_limits(socket: &TcpStream) {
    let stall = Duration::from_secs(limits::WRITE_STALL_S);
    let socket = SockRef::from(socket);
    let set = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_user_timeout(Some(stall)))
        .and_then(|()| socket.set_tcp_notsent_lowat(limits::UNSENT_BYTES));
    if let Err(error) = set {
        tracing::debug!(%error, "a connection's limits were not set");
    }
}
