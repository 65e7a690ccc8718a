//! The body of a media answer: a range of a file, read in large steps, or of a text; checked before each step.

use super::flights::Flight;
use crate::app::App;
use crate::auth::Asset;
use crate::domain::{MediaFileId, limits};
use crate::store::StoredMedia;
use actix_web::body::SizedStream;
use actix_web::web;
use bytes::Bytes;
use futures_util::stream;
use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

struct Sending {
    app: web::Data<App>,
    file: MediaFileId,
    media: StoredMedia,
    left: Range<u64>,
    asset: Asset,
    /// When the last step was handed over.
    stepped_at: Option<Instant>,
    /// Steps in a row that were taken at once.
    fast_steps: u32,
    flight: Flight,
}

/// The bytes `range` of `media`, for whoever holds `asset`. Its length is known before its first byte. It ends early,
/// with the connection, when the file turns out to be damaged or what the grant stands on goes.
pub fn media_body(
    app: web::Data<App>,
    (file, media): (MediaFileId, StoredMedia),
    range: Range<u64>,
    asset: Asset,
    flight: Flight,
) -> SizedStream<impl futures_util::Stream<Item = Result<Bytes, io::Error>>> {
    let length = range.end - range.start;
    let sending = Sending { app, file, media, left: range, asset, stepped_at: None, fast_steps: 0, flight };
    SizedStream::new(length, stream::try_unfold(sending, next_step))
}

async fn next_step(mut sending: Sending) -> Result<Option<(Bytes, Sending)>, io::Error> {
    let left = sending.left.end - sending.left.start;
    if left == 0 {
        return Ok(None);
    }
    let grant = sending.asset.grant();
    if sending.app.standing(grant).owner(grant).is_none() {
        sending.flight.cut();
        return Err(io::Error::other("withdrawn"));
    }
    // The connection asks for more when little is left to send.
    let fast = Duration::from_millis(limits::FAST_STEP_MS);
    let is_fast = sending.stepped_at.is_some_and(|at| at.elapsed() < fast);
    sending.fast_steps = if is_fast { sending.fast_steps.saturating_add(1) } else { 0 };
    let step =
        if sending.fast_steps >= limits::FAST_STEPS { limits::MEDIA_STEP_BYTES } else { limits::SLOW_MEDIA_STEP_BYTES };
    let step = usize::try_from(left).unwrap_or(usize::MAX).min(step);
    sending.app.check_media(sending.file).map_err(io::Error::other)?;
    let read = sending.media.read(sending.left.start, step).await;
    let bytes = read.map_err(|error| io::Error::other(sending.app.note_unreadable(sending.file, error)))?;
    sending.left.start += step as u64;
    sending.stepped_at = Some(Instant::now());
    Ok(Some((bytes, sending)))
}

/// What is left of a text for a viewer.
struct Telling {
    app: web::Data<App>,
    left: Bytes,
    asset: Asset,
    flight: Flight,
}

/// The bytes `range` of a written text, for whoever holds `asset`: memory that everyone who is sent it shares, handed on
/// in steps, of which a connection copies one or two. It ends early when what the grant stands on goes.
pub fn text_body(
    app: web::Data<App>,
    mut text: Bytes,
    range: Range<u64>,
    asset: Asset,
    flight: Flight,
) -> SizedStream<impl futures_util::Stream<Item = Result<Bytes, io::Error>>> {
    let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(text.len());
    text = text.slice(within(range.start)..within(range.end));
    let length = text.len() as u64;
    let telling = Telling { app, left: text, asset, flight };
    SizedStream::new(length, stream::try_unfold(telling, next_words))
}

async fn next_words(mut telling: Telling) -> Result<Option<(Bytes, Telling)>, io::Error> {
    if telling.left.is_empty() {
        return Ok(None);
    }
    let grant = telling.asset.grant();
    if telling.app.standing(grant).owner(grant).is_none() {
        telling.flight.cut();
        return Err(io::Error::other("withdrawn"));
    }
    Ok(Some((next_of(&mut telling.left), telling)))
}

/// The next step of a text: the same memory, as much as may wait in a connection.
fn next_of(left: &mut Bytes) -> Bytes {
    left.split_to(left.len().min(limits::SLOW_MEDIA_STEP_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_sent_in_steps_of_the_memory_that_holds_it() {
        let text = Bytes::from(vec![b'#'; 3 * limits::SLOW_MEDIA_STEP_BYTES / 2]);
        let mut left = text.clone();
        let (first, second) = (next_of(&mut left), next_of(&mut left));
        assert_eq!((first.len(), second.len()), (limits::SLOW_MEDIA_STEP_BYTES, limits::SLOW_MEDIA_STEP_BYTES / 2));
        assert_eq!(first.as_ptr(), text.as_ptr());
        assert_eq!(second.as_ptr(), text.slice(first.len()..).as_ptr());
        assert!(left.is_empty());
    }
}
