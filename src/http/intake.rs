//! What a connection may send at each moment: a head of bounded length in bounded time, a body as fast as it is read, and
//! nothing of a body that nobody wants.
//!
//! The connection's reader (`server/line.rs`) asks, the middleware around each request (`trace.rs`) tells. Both run on
//! the connection's own thread.

use crate::domain::limits;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::Stream;
use std::cell::{Cell, RefCell};
use std::error::Error;
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
    /// A request is being answered; its body comes as it is read.
    Answer,
    /// The answer is out and its request's body was not read: the connection ends.
    Unwanted,
}

/// Where a request's `Expect: 100-continue` stands (RFC 9110 §10.1.1). actix-http consents before a handler is asked; here
/// it is the handler that does, by reading the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consent {
    /// Nothing is expected.
    Unasked,
    /// The consent is the next thing that actix-http writes.
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
    /// Bytes that may still come in this stage, or before more of the body is read.
    room: Cell<usize>,
    /// The room was used up and what came has been looked at.
    looked_at: Cell<bool>,
    /// The head did not fit.
    overlong: Cell<bool>,
    /// The body of the request that is being answered has not been read to its end.
    body_left: Cell<bool>,
    /// What becomes of `100 Continue`.
    consent: Cell<Consent>,
    /// When the head that has begun must be whole. Gone with its stage: a timer that wakes an idle connection would
    /// begin its keep-alive anew.
    deadline: RefCell<Option<Pin<Box<Sleep>>>>,
    /// The reader, where it waits for room.
    reader: RefCell<Option<Waker>>,
}

impl Default for Intake {
    fn default() -> Self {
        Self(Rc::new(State {
            stage: Cell::new(Stage::Head),
            room: Cell::new(limits::HEAD_BYTES),
            looked_at: Cell::new(false),
            overlong: Cell::new(false),
            body_left: Cell::new(false),
            consent: Cell::new(Consent::Unasked),
            deadline: RefCell::default(),
            reader: RefCell::default(),
        }))
    }
}

/// What the connection's reader asks and says.
impl Intake {
    /// Where the connection is.
    pub fn stage(&self) -> Stage {
        self.0.stage.get()
    }

    /// Bytes that may be taken now.
    pub fn room(&self) -> usize {
        self.0.room.get()
    }

    /// Whether a head has been on its way for too long. Wakes the reader then.
    pub fn is_late(&self, context: &mut Context<'_>) -> bool {
        if self.stage() != Stage::Head || self.room() == limits::HEAD_BYTES {
            return false;
        }
        let mut deadline = self.0.deadline.borrow_mut();
        let timer = deadline.get_or_insert_with(|| Box::pin(sleep(Duration::from_secs(limits::REQUEST_HEAD_S))));
        timer.as_mut().poll(context).is_ready()
    }

    /// Notes what was taken.
    pub fn take(&self, bytes: usize) {
        self.0.room.set(self.room().saturating_sub(bytes));
    }

    /// Whether what came had no room left in it already when this was last asked: then it is no whole head.
    pub fn is_stuck(&self) -> bool {
        self.0.looked_at.replace(true)
    }

    /// Notes that the head is longer than one may be; whether that is news.
    pub fn end_overlong(&self) -> bool {
        !self.0.overlong.replace(true)
    }

    /// Where the consent to a body stands.
    pub fn consent(&self) -> Consent {
        self.0.consent.get()
    }

    /// Notes where it stands now.
    pub fn set_consent(&self, consent: Consent) {
        self.0.consent.set(consent);
    }

    /// Wakes this reader in the midst of an answer: when there is room again, or its request's body is left unread.
    pub fn wake_later(&self, reader: &Waker) {
        if self.room() > 0 && !self.0.body_left.get() {
            return;
        }
        let mut waiting = self.0.reader.borrow_mut();
        if !waiting.as_ref().is_some_and(|waiting| waiting.will_wake(reader)) {
            *waiting = Some(reader.clone());
        }
    }
}

/// What the middleware says.
impl Intake {
    /// A request's head has come, and whether it expects consent. What reads its body keeps the connection going.
    pub fn begin(&self, body: Payload, expects: bool) -> Payload {
        self.enter(Stage::Answer, limits::BODY_WINDOW_BYTES);
        self.set_consent(if expects { Consent::Announced } else { Consent::Unasked });
        if matches!(body, Payload::None) {
            return body;
        }
        self.0.body_left.set(true);
        Payload::Stream { payload: Box::pin(Body { payload: body, intake: self.clone() }) }
    }

    /// Whether the head is longer than one may be: what there is of it is cut off somewhere.
    pub fn is_overlong(&self) -> bool {
        self.0.overlong.get()
    }

    /// Whether the connection ends with this answer.
    pub fn ends(&self) -> bool {
        self.0.body_left.get() || self.is_overlong()
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
        let stage = if self.0.body_left.get() { Stage::Unwanted } else { Stage::Head };
        self.enter(stage, limits::HEAD_BYTES);
    }

    fn enter(&self, stage: Stage, room: usize) {
        self.0.stage.set(stage);
        self.0.deadline.take();
        self.refill(room);
    }

    fn refill(&self, room: usize) {
        self.0.room.set(room);
        self.0.looked_at.set(false);
        self.wake();
    }

    fn wake(&self) {
        if let Some(reader) = self.0.reader.take() {
            reader.wake();
        }
    }
}

/// A request's body that makes room as it is read.
struct Body {
    payload: Payload,
    intake: Intake,
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = Pin::new(&mut self.payload).poll_next(context);
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
