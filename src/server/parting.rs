//! The end of a connection: what the peer still sends is thrown away, so that it gets the answer and not a reset.

use super::line::Stream;
use crate::domain::limits;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::ReadBuf;
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that are thrown away before others have a turn.
const DISCARD_BYTES: usize = 256 << 10;

/// Until when the peer may still speak, once the server has said its last.
pub(super) struct Parting {
    over: Pin<Box<Sleep>>,
    latest: Instant,
}

impl Parting {
    /// Begins `now`.
    pub(super) fn begin(now: Instant) -> Self {
        let silence = Duration::from_secs(limits::LINGER_S);
        let over = Box::pin(sleep_until(now + silence));
        Self { over, latest: now + Duration::from_secs(limits::LINGER_MAX_S) }
    }

    /// Something came `now`.
    fn heard(&mut self, now: Instant) {
        let silence = Duration::from_secs(limits::LINGER_S);
        self.over.as_mut().reset((now + silence).min(self.latest));
    }

    /// Waits until the peer has said its last, too, or nothing for [`limits::LINGER_S`], or for [`limits::LINGER_MAX_S`]; a
    /// server that `is_stopping` does not wait on for whoever goes on.
    pub(super) fn poll(
        &mut self,
        stream: &mut Stream,
        is_stopping: bool,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let (mut scratch, mut discarded) = ([0; 8 << 10], 0);
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match stream.poll_read(context, &mut buffer)? {
                Poll::Pending => break,
                Poll::Ready(()) if buffer.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(()) if is_stopping => {}
                Poll::Ready(()) => self.heard(Instant::now()),
            }
            discarded += buffer.filled().len();
            if discarded >= DISCARD_BYTES {
                context.waker().wake_by_ref();
                break;
            }
        }
        self.over.as_mut().poll(context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn whoever_goes_on_is_heard_and_not_for_ever() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let mut parting = Parting::begin(began);
        assert_eq!(parting.over.deadline(), after(limits::LINGER_S));
        for second in 0..2 * limits::LINGER_MAX_S {
            parting.heard(after(second));
            assert_eq!(parting.over.deadline(), after((second + limits::LINGER_S).min(limits::LINGER_MAX_S)));
        }
    }
}
