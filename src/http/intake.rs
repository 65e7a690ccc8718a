//! What a connection may send at each moment: a head of bounded length in bounded time, a body as fast as it is read, and
//! nothing of a body that nobody wants. The next request waits until the answer before it has left.
//!
//! The connection's reader (`server/line.rs`) asks, the middleware around each request (`trace.rs`) tells. Both run on
//! the connection's own thread.

use super::part::Part;
use crate::domain::limits;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, RequestHead};
use actix_web::error::PayloadError;
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use bytes::Bytes;
use futures_util::Stream;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// Where a connection is between two requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The next request's head is awaited, or on its way.
    Head,
    /// A head has come whole: its request begins as soon as it is looked at.
    Whole,
    /// A request is being answered; its body comes as it is read.
    Answer,
    /// The answer has been written, and is on its way out.
    Leaving,
    /// The answer has been written, and its request's body was not read or has no end: the connection ends.
    Unwanted,
}

/// Where a request's `Expect: 100-continue` stands (RFC 9110 §10.1.1). actix-http consents before a handler is asked; here
/// it is the handler that does, by reading the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consent {
    /// Nothing is expected.
    Unasked,
    /// The consent is the next thing that actix-http writes: what it answered before has left.
    Announced,
    /// It was held back.
    Held,
    /// The body is wanted: the consent is to be sent.
    Due,
}

/// The intake of one connection.
#[derive(Clone)]
pub struct Intake(Rc<State>);

struct State {
    stage: Cell<Stage>,
    /// What is yet to come of the head or body that is being read.
    part: Cell<Part>,
    /// Bytes that may still come in this stage, or before more of the body is read.
    room: Cell<usize>,
    /// The stage's reader has been here.
    looked_at: Cell<bool>,
    /// The body of the request that is being answered has not been read to its end.
    body_left: Cell<bool>,
    /// actix-http takes whatever follows the request that is being answered for its body.
    is_endless: Cell<bool>,
    /// What becomes of `100 Continue`.
    consent: Cell<Consent>,
    /// When the head that has begun must be whole. Gone with its stage: a timer that wakes an idle connection would
    /// begin its keep-alive anew.
    deadline: RefCell<Option<Pin<Box<Sleep>>>>,
    /// The reader, where it waits for this connection's next stage or for room.
    reader: RefCell<Option<Waker>>,
}

/// What the connection's reader asks and says.
impl Intake {
    /// Of a new connection, whose first head must come in time.
    pub fn of_new_connection() -> Self {
        Self(Rc::new(State {
            stage: Cell::new(Stage::Head),
            part: Cell::new(Part::HEAD),
            room: Cell::new(limits::HEAD_BYTES),
            looked_at: Cell::new(false),
            body_left: Cell::new(false),
            is_endless: Cell::new(false),
            consent: Cell::new(Consent::Unasked),
            deadline: RefCell::new(Some(head_deadline())),
            reader: RefCell::default(),
        }))
    }

    /// Where the connection is.
    pub fn stage(&self) -> Stage {
        self.0.stage.get()
    }

    /// Bytes that may be taken now.
    pub fn room(&self) -> usize {
        self.0.room.get()
    }

    /// Whether some of a head has come.
    pub fn has_begun(&self) -> bool {
        self.stage() == Stage::Head && self.room() < limits::HEAD_BYTES
    }

    /// Whether not even the first line of a head has come whole.
    pub fn is_in_first_line(&self) -> bool {
        matches!(self.0.part.get(), Part::Head { begun: false, .. })
    }

    /// Whether a head has been on its way for too long. Wakes the reader then.
    pub fn is_late(&self, context: &mut Context<'_>) -> bool {
        let mut deadline = self.0.deadline.borrow_mut();
        if deadline.is_none() && self.has_begun() {
            *deadline = Some(head_deadline());
        }
        deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(context).is_ready())
    }

    /// Whether all of the head or body has come.
    pub fn is_over(&self) -> bool {
        self.0.part.get() == Part::Over
    }

    /// Whether the head has a target that is none, or the body is in such chunks: nothing more is read of it.
    pub fn is_broken(&self) -> bool {
        self.0.part.get() == Part::Broken
    }

    /// Notes what came, and answers how much of it belongs to the head or body that is being read.
    pub fn take(&self, bytes: &[u8]) -> usize {
        let mut part = self.0.part.get();
        let count = part.take(bytes);
        self.0.part.set(part);
        self.0.room.set(self.room().saturating_sub(count));
        if self.stage() == Stage::Head && part == Part::Over {
            self.enter(Stage::Whole, 0);
        }
        count
    }

    /// Notes that the reader is here; whether it was, in this stage, before.
    pub fn look(&self) -> bool {
        self.0.looked_at.replace(true)
    }

    /// Notes that an answer that was written has left.
    pub fn flushed(&self) {
        if self.stage() == Stage::Leaving {
            self.0.part.set(Part::HEAD);
            self.enter(Stage::Head, limits::HEAD_BYTES);
        }
    }

    /// Where the consent to a body stands.
    pub fn consent(&self) -> Consent {
        self.0.consent.get()
    }

    /// Notes where it stands now.
    pub fn set_consent(&self, consent: Consent) {
        self.0.consent.set(consent);
    }

    /// Wakes this reader when there is room again, or the connection is in another stage.
    pub fn wake_later(&self, reader: &Waker) {
        let mut waiting = self.0.reader.borrow_mut();
        if !waiting.as_ref().is_some_and(|waiting| waiting.will_wake(reader)) {
            *waiting = Some(reader.clone());
        }
    }
}

/// What the middleware says.
impl Intake {
    /// A request's head has come. What reads its body keeps the connection going.
    pub fn begin(&self, body: Payload, head: &RequestHead) -> Payload {
        self.set_consent(if head.expect() { Consent::Announced } else { Consent::Unasked });
        self.0.is_endless.set(false);
        if matches!(body, Payload::None) {
            self.enter(Stage::Answer, 0);
            return body;
        }
        let length = head.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.trim().parse().ok());
        let length = (!head.headers().contains_key(TRANSFER_ENCODING)).then(|| length.unwrap_or(0));
        self.0.part.set(length.map_or(Part::CHUNKS, Part::of_length));
        let is_endless = head.method == Method::CONNECT || head.headers().contains_key(UPGRADE);
        self.0.body_left.set(true);
        self.0.is_endless.set(is_endless);
        self.enter(Stage::Answer, limits::BODY_WINDOW_BYTES);
        Payload::Stream {
            payload: Box::pin(Body { payload: body, intake: self.clone(), left: length.filter(|_| is_endless) }),
        }
    }

    /// Waits until what came together with a head is there for whoever answers: a small body that is left unread then is
    /// no reason to end the connection. A reader that does not come back is not waited for.
    pub async fn offered(&self) {
        let mut turns = 0..READER_TURNS;
        poll_fn(|context| {
            if !self.0.body_left.get() || self.0.looked_at.get() || turns.next().is_none() {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Whether the connection ends with this answer.
    pub fn ends(&self) -> bool {
        self.0.body_left.get() || self.0.is_endless.get()
    }

    /// Somebody waits for a body.
    fn consent_to_body(&self) {
        match self.consent() {
            Consent::Unasked | Consent::Due => {}
            // It was not held back yet: it needs not be.
            Consent::Announced => self.set_consent(Consent::Unasked),
            Consent::Held => {
                self.set_consent(Consent::Due);
                self.wake();
            }
        }
    }

    fn end(&self) {
        // One that is announced is yet to be held back.
        if self.consent() != Consent::Announced {
            self.set_consent(Consent::Unasked);
        }
        self.enter(if self.ends() { Stage::Unwanted } else { Stage::Leaving }, 0);
    }

    fn enter(&self, stage: Stage, room: usize) {
        self.0.stage.set(stage);
        self.0.looked_at.set(false);
        self.0.deadline.take();
        self.refill(room);
    }

    fn refill(&self, room: usize) {
        self.0.room.set(room);
        self.wake();
    }

    fn wake(&self) {
        if let Some(reader) = self.0.reader.take() {
            reader.wake();
        }
    }
}

/// How often the task of a connection takes its turn until the reader has been asked again. It is asked in the first or
/// the second.
const READER_TURNS: usize = 8;

fn head_deadline() -> Pin<Box<Sleep>> {
    Box::pin(sleep(Duration::from_secs(limits::REQUEST_HEAD_S)))
}

/// A request's body that makes room as it is read.
struct Body {
    payload: Payload,
    intake: Intake,
    /// Bytes that are yet to come, where actix-http knows no end: it takes whatever follows `CONNECT` or `Upgrade` for the
    /// other protocol's, which nobody speaks here (RFC 9110 §7.8).
    left: Option<u64>,
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left == Some(0) {
            return Poll::Ready(None);
        }
        let item = Pin::new(&mut self.payload).poll_next(context);
        if let (Some(left), Poll::Ready(Some(Ok(bytes)))) = (&mut self.left, &item) {
            *left = left.saturating_sub(bytes.len() as u64);
        }
        let intake = &self.intake;
        match &item {
            Poll::Ready(Some(_)) => intake.refill(limits::BODY_WINDOW_BYTES),
            Poll::Ready(None) => intake.0.body_left.set(false),
            // A window of chunk sizes and extensions has brought no byte of a body.
            Poll::Pending if intake.room() == 0 => return Poll::Ready(Some(Err(PayloadError::Overflow))),
            Poll::Pending => intake.consent_to_body(),
        }
        item
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // What has come already is no reason to end the connection.
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match Pin::new(&mut self.payload).poll_next(&mut context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(None) => return self.intake.0.body_left.set(false),
                _ => return,
            }
        }
    }
}

/// The body of an answer; when it ends, the next request may come.
pub struct Answer {
    body: BoxBody,
    intake: Option<Intake>,
}

impl Answer {
    /// An answer on a connection with this intake, if it has one.
    pub fn new(body: BoxBody, intake: Option<Intake>) -> Self {
        Self { body, intake }
    }
}

impl MessageBody for Answer {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(intake) = &self.intake {
            intake.end();
        }
    }
}
