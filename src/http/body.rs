//! The body of a media answer: a range of a file, read in large steps, checked before each of them.

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
    /// Keeps the answer on the list of those under way.
    _flight: Flight,
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
    let sending = Sending { app, file, media, left: range, asset, stepped_at: None, fast_steps: 0, _flight: flight };
    SizedStream::new(length, stream::try_unfold(sending, next_step))
}

async fn next_step(mut sending: Sending) -> Result<Option<(Bytes, Sending)>, io::Error> {
    let left = sending.left.end - sending.left.start;
    if left == 0 {
        return Ok(None);
    }
    let grant = sending.asset.grant();
    if sending.app.standing(grant).owner(grant).is_none() {
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

/// The bytes `range` of a written text, for whoever holds `asset`.
pub fn text_body(text: &Bytes, range: Range<u64>, _asset: &Asset) -> Bytes {
    let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(text.len());
    text.slice(within(range.start)..within(range.end))
}
