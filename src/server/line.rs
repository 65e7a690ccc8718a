//! A client's connection, with TLS or without, which takes no more from it than its intake allows, and gives actix-http one
//! request at a time.
//!
//! actix-http reads up to 128 KiB before it looks at them, makes requests of all that lies there, times the first head
//! alone, drains what is left of a body without end, and answers what it can't read with an empty body and a reset. All
//! of this is bounded or made good here, below it.

use super::crowd::Place;
use super::parting::Parting;
use super::socket::Socket;
use crate::app::App;
use crate::domain::limits;
use crate::http::{Carrier, Connection, Consent, Intake, Refusal, Stage};
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use bytes::{Buf, Bytes, BytesMut};
use rustls::ServerConfig;
use socket2::SockRef;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What actix-http writes for `Expect: 100-continue`.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Bytes that are read of what follows while an answer is under way.
const AHEAD_BYTES: usize = 4 << 10;

/// A client's connection.
pub(super) struct Line {
    app: Data<App>,
    stream: Stream,
    peer: Option<SocketAddr>,
    intake: Intake,
    /// What was read behind the head or body that was being read.
    held: BytesMut,
    /// The peer has said its last.
    has_ended: bool,
    /// What is to be sent before anything else: [`CONTINUE`], or a refusal.
    own: Bytes,
    /// The server has refused to read more, and says no more than that.
    has_refused: bool,
    /// How long the peer may still speak, once the server has said its last.
    parting: Option<Parting>,
    /// Its place among those of its address, where they are counted.
    _place: Option<Place>,
}

/// What the bytes of a connection go through.
pub(super) enum Stream {
    Plain(Socket),
    // The state of TLS is large.
    Tls(Box<TlsStream<Socket>>),
}

impl Line {
    /// Sets up what was accepted: its socket, and TLS within [`limits::TLS_HANDSHAKE_S`] where it is spoken.
    pub(super) async fn open(
        socket: TcpStream,
        tls: Option<Arc<ServerConfig>>,
        app: Data<App>,
        place: Option<Place>,
    ) -> io::Result<(Self, Option<SocketAddr>)> {
        set_limits(&socket);
        let peer = socket.peer_addr().ok();
        let socket = Socket(Arc::new(Carrier::new(socket)));
        let stream = match tls {
            None => Stream::Plain(socket),
            Some(tls) => {
                let handshake = TlsAcceptor::from(tls).accept(socket);
                Stream::Tls(Box::new(timeout(Duration::from_secs(limits::TLS_HANDSHAKE_S), handshake).await??))
            }
        };
        let line = Self {
            app,
            stream,
            peer,
            intake: Intake::of_new_connection(),
            held: BytesMut::new(),
            has_ended: false,
            own: Bytes::new(),
            has_refused: false,
            parting: None,
            _place: place,
        };
        Ok((line, peer))
    }

    /// Waits until the first head is whole, or can't become one any more. actix-http takes 20 KiB for a connection at once:
    /// whoever only knocks, or is slow about a head, is not given them.
    ///
    /// # Errors
    /// Nothing was asked in time, or before `stopping`. A head that took too long has got its refusal then.
    pub(super) async fn asked(mut self, stopping: impl Future<Output = ()>) -> io::Result<Self> {
        let mut stopping = pin!(stopping);
        let asked = poll_fn(|context| match self.poll_first_head(context) {
            // actix-http reads nothing more of a connection by then.
            Poll::Pending => stopping.as_mut().poll(context).map(|()| Err(io::ErrorKind::ConnectionAborted.into())),
            other => other,
        });
        match asked.await {
            Ok(true) => return Ok(self),
            // Whoever has asked nothing is owed no answer.
            Ok(false) if !self.held.is_empty() => self.refuse(Refusal::SlowHead),
            _ => {}
        }
        poll_fn(|context| Pin::new(&mut self).poll_shutdown(context)).await?;
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    /// Whether something was asked, be it what can't be answered; within the time for a head.
    fn poll_first_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let mut scratch = [MaybeUninit::uninit(); AHEAD_BYTES];
            let mut come = ReadBuf::uninit(&mut scratch);
            match self.stream.poll_read(context, &mut come)? {
                Poll::Pending if self.intake.is_late(context) => return Poll::Ready(Ok(false)),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => {}
            }
            let (come, is_first) = (come.filled(), self.held.is_empty());
            self.held.extend_from_slice(come);
            self.has_ended = come.is_empty();
            if self.has_ended {
                return Poll::Ready(Ok(!self.held.is_empty()));
            }
            let is_looked_at = is_first || come.contains(&b'\n');
            if self.held.len() >= limits::HEAD_BYTES || is_looked_at && !may_become_a_head(&self.held) {
                return Poll::Ready(Ok(true));
            }
        }
    }

    /// What the handlers of its requests know it by: how far a request is, and what cuts an answer.
    pub(super) fn note(&self, data: &mut actix_web::dev::Extensions) {
        let Socket(carrier) = match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => tls.get_ref().0,
        };
        data.insert(self.intake.clone());
        data.insert(Connection::new(Arc::clone(carrier)));
    }

    /// Some of a head; the end of the line where it is none, too long, or takes too long.
    fn poll_head(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.intake.room() == 0 {
            let refusal = if self.intake.is_in_first_line() { Refusal::LongTarget } else { Refusal::LongHead };
            self.refuse(refusal);
            return Poll::Ready(Ok(()));
        }
        let polled = self.poll_part(context, buffer);
        if self.intake.is_broken() {
            self.refuse(Refusal::Malformed);
            return Poll::Ready(Ok(()));
        }
        match polled {
            Poll::Pending if self.intake.is_late(context) => {
                // Whoever has asked nothing is owed no answer.
                if self.intake.has_begun() {
                    self.refuse(Refusal::SlowHead);
                }
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }

    /// Some of a request's body, or of what follows it.
    fn poll_body(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.intake.look();
        if self.intake.is_over() {
            return self.poll_ahead(context);
        }
        if self.intake.is_broken() {
            // As if the peer had ended in mid-body.
            return Poll::Ready(Ok(()));
        }
        // Woken, too, when it is left unread.
        self.intake.wake_later(context.waker());
        if self.intake.room() == 0 {
            return Poll::Pending;
        }
        // As in `poll_ahead`: the end of a body that nobody may be reading must not end who answers.
        Poll::Ready(ready!(self.poll_part(context, buffer)).or_else(|_| {
            self.has_ended = true;
            Ok(())
        }))
    }

    /// More of the head or body that is being read, and nothing that follows it.
    fn poll_part(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (room, before) = (self.intake.room(), buffer.filled().len());
        if !self.held.is_empty() {
            let come = self.held.get(..room.min(buffer.remaining())).unwrap_or(&self.held);
            let count = self.intake.take(come);
            buffer.put_slice(&self.held.split_to(count));
            if self.held.is_empty() {
                self.held = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        if self.has_ended {
            return Poll::Ready(Ok(()));
        }
        if room >= buffer.remaining() {
            ready!(self.stream.poll_read(context, buffer))?;
        } else {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
            ready!(self.stream.poll_read(context, &mut part))?;
            let count = part.filled().len();
            buffer.advance(count);
        }
        let come = buffer.filled().get(before..).unwrap_or_default();
        let count = self.intake.take(come);
        self.held.extend_from_slice(come.get(count..).unwrap_or_default());
        buffer.set_filled(before + count);
        Poll::Ready(Ok(()))
    }

    /// Waits for the next stage, and takes in a little of what follows meanwhile: so the end of a connection is noticed,
    /// and whoever sends nothing need not be asked again. A line that breaks has ended: actix-http drops a handler whose
    /// reader fails, in the midst of a change, and asks no more of one that failed together with a head.
    fn poll_ahead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held.is_empty() && !self.has_ended {
            let mut scratch = [MaybeUninit::uninit(); AHEAD_BYTES];
            let mut ahead = ReadBuf::uninit(&mut scratch);
            let read = ready!(self.stream.poll_read(context, &mut ahead));
            self.held.extend_from_slice(ahead.filled());
            self.has_ended = read.is_err() || ahead.filled().is_empty();
        }
        self.intake.wake_later(context.waker());
        Poll::Pending
    }

    /// Says why no more is read.
    fn refuse(&mut self, refusal: Refusal) {
        if !self.has_refused {
            self.has_refused = true;
            self.own = refusal.answer(&self.app, self.peer);
        }
    }

    /// Sends what is ours: the consent to a body that somebody has begun to read, or a refusal.
    fn poll_own(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.intake.consent() == Consent::Due {
            self.intake.set_consent(Consent::Unasked);
            self.own = Bytes::from_static(CONTINUE);
        }
        while !self.own.is_empty() {
            let count = ready!(self.stream.poll_write(context, &self.own))?;
            self.own.advance(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl Stream {
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
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
            _ if self.has_refused => Poll::Ready(Ok(())),
            Stage::Head => self.poll_head(context, buffer),
            // It was looked at and is no request: the rest is none either.
            Stage::Whole if self.intake.look() => Poll::Ready(Ok(())),
            Stage::Whole | Stage::Leaving => self.poll_ahead(context),
            Stage::Answer => self.poll_body(context, buffer),
            Stage::Unwanted => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if matches!(self.intake.stage(), Stage::Head | Stage::Whole) {
            // What it answered has left, and no request has begun: this is of its own, about a head it can't read. With
            // the last byte it drops the connection, which therefore ends here.
            self.refuse(Refusal::of(bytes));
            ready!(self.poll_shutdown(context))?;
            return Poll::Ready(Ok(bytes.len()));
        }
        if self.intake.consent() == Consent::Announced {
            if bytes.starts_with(CONTINUE) {
                self.intake.set_consent(Consent::Held);
                return Poll::Ready(Ok(CONTINUE.len()));
            }
            self.intake.set_consent(Consent::Unasked);
        }
        ready!(self.poll_own(context))?;
        self.stream.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_own(context))?;
        match &mut self.stream {
            Stream::Plain(socket) => ready!(Pin::new(socket).poll_flush(context))?,
            Stream::Tls(tls) => ready!(Pin::new(tls).poll_flush(context))?,
        }
        self.intake.flushed();
        Poll::Ready(Ok(()))
    }

    /// Says that nothing more comes, and waits for the end of what the peer says.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.parting.is_none() {
            ready!(self.poll_own(context))?;
            match &mut self.stream {
                Stream::Plain(socket) => ready!(Pin::new(socket).poll_shutdown(context))?,
                Stream::Tls(tls) => ready!(Pin::new(tls).poll_shutdown(context))?,
            }
        }
        let is_stopping = self.app.condition.is_stopping();
        let Self { stream, parting, .. } = &mut *self;
        parting.get_or_insert_with(|| Parting::begin(Instant::now())).poll(stream, is_stopping, context)
    }
}

/// Whether a head has begun so and is not whole yet.
fn may_become_a_head(bytes: &[u8]) -> bool {
    let mut lines = [httparse::EMPTY_HEADER; limits::HEADERS + 1];
    matches!(httparse::Request::new(&mut lines).parse(bytes), Ok(httparse::Status::Partial))
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
