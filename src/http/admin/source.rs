//! `PUT /videos/{id}/source`: a source of any size, streamed to disk in constant memory.

use super::videos::shown;
use super::{accepted, ok};
use crate::app::App;
use crate::domain::{MediaFileId, OrganizationId, VideoId, VideoStatus, hex};
use crate::http::extract::{Admin, path_id};
use crate::http::form::{check_rate, next_chunk};
use crate::http::headers::single;
use crate::http::problem::Problem;
use crate::store::{Incoming, MediaError, Received};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::Stream;
use std::time::Instant;

/// Takes a body with `Content-Length` or chunked, and `Repr-Digest: sha-256=:…:` (RFC 9530) to check it against.
pub async fn put(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let id = path_id(&request, VideoId::parse)?;
    app.video_of(admin.organization, id).await?.ok_or_else(Problem::not_found)?;
    let received = receive(&request, payload, &app, &admin).await?;
    let video = app.clone().into_inner().ingest(admin.mandate(), id, received).await?;
    Ok(match video.status {
        VideoStatus::Processing => accepted(&shown(&app, &video)),
        _ => ok(&shown(&app, &video)),
    })
}

/// Streams a body of any length into a file: held to the limits, and to `Repr-Digest` where it has one. What is refused
/// has left nothing behind.
pub async fn receive(
    request: &HttpRequest,
    payload: web::Payload,
    app: &App,
    admin: &Admin,
) -> Result<Received, Problem> {
    check_whole(request)?;
    let wanted_digest = read_digest(request)?;
    let received = receive_stream(payload, announced_bytes(request), app, admin).await?;
    if wanted_digest.is_some_and(|wanted| wanted != received.sha256()) {
        received.discard().await;
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "digest_mismatch",
            "The body does not match its Repr-Digest. Nothing was kept; send it again.",
        ));
    }
    Ok(received)
}

/// Refuses a part of a file where the whole is meant (RFC 9110 §14.5).
pub fn check_whole(request: &HttpRequest) -> Result<(), Problem> {
    if request.headers().contains_key(CONTENT_RANGE) {
        return Err(Problem::bad_request(
            "Content-Range says that this is a part. Send the whole file; one that comes in parts goes to /admin/v1/uploads.",
        ));
    }
    Ok(())
}

/// The length in bytes that a request says its body has.
pub fn announced_bytes(request: &HttpRequest) -> Option<u64> {
    single(request, &CONTENT_LENGTH).ok().flatten()?.parse().ok()
}

/// Streams bytes into a file, held to the limits and the organization's quota, as long as whoever sends them is let in;
/// `announced` is how many are said to come.
/// What is refused has left nothing behind.
pub async fn receive_stream<E>(
    payload: impl Stream<Item = Result<Bytes, E>> + Unpin,
    announced: Option<u64>,
    app: &App,
    admin: &Admin,
) -> Result<Received, Problem> {
    let limit_bytes = app.config.media.max_source_mib << 20;
    check_length(app, announced.unwrap_or(0))?;
    check_room_for_film(app, announced.unwrap_or(0))?;
    check_quota(app, admin.organization, announced.unwrap_or(0))?;
    let mut incoming = app.media.receive(MediaFileId::from_random(app.random()), limit_bytes).await?;
    if let Err(problem) = fill(&mut incoming, payload, app, admin, announced).await {
        incoming.discard().await;
        return Err(problem);
    }
    Ok(incoming.finish().await?)
}

async fn fill<E>(
    incoming: &mut Incoming,
    mut payload: impl Stream<Item = Result<Bytes, E>> + Unpin,
    app: &App,
    admin: &Admin,
    announced: Option<u64>,
) -> Result<(), Problem> {
    let (mut received_bytes, mut checked_bytes, began) = (0_u64, 0_u64, Instant::now());
    while let Some(chunk) = next_chunk(&mut payload).await? {
        received_bytes += chunk.len() as u64;
        check_rate(began, received_bytes)?;
        admin.check(app)?;
        incoming.write(chunk).await?;
        // Looked at now and then; of a body of unknown length, what came so far is yet to be packaged.
        if received_bytes - checked_bytes >= ROOM_CHECK_BYTES {
            checked_bytes = received_bytes;
            check_room(app, if announced.is_some() { 0 } else { received_bytes })?;
            check_quota(app, admin.organization, received_bytes)?;
        }
    }
    if received_bytes == 0 {
        return Err(Problem::bad_request("The body is empty. Send the video file as the body."));
    }
    Ok(())
}

/// Refuses what is longer than this server takes.
pub fn check_length(app: &App, length_bytes: u64) -> Result<(), Problem> {
    let limit_bytes = app.config.media.max_source_mib << 20;
    if length_bytes > limit_bytes { Err(MediaError::TooLong { limit_bytes }.into()) } else { Ok(()) }
}

/// Refuses a film for which there is no room: what it is packaged into is about as long, and stands beside it at least
/// for a while.
pub fn check_room_for_film(app: &App, length_bytes: u64) -> Result<(), Problem> {
    check_room(app, length_bytes.saturating_mul(2))
}

/// Refuses what is more than an organization may store.
pub fn check_quota(app: &App, organization: OrganizationId, length_bytes: u64) -> Result<(), Problem> {
    Ok(app.quota().check(app.store.access().usage(organization), length_bytes)?)
}

/// How much of a body is taken between two looks at the free space.
const ROOM_CHECK_BYTES: u64 = 16 << 20;

/// Refuses early what would fill the disk.
pub fn check_room(app: &App, needed_bytes: u64) -> Result<(), Problem> {
    Ok(app.disk.check_room(needed_bytes)?)
}

/// The `sha-256` of `Repr-Digest`, in lower-case hexadecimal. Other algorithms are not ours to check.
fn read_digest(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let malformed = || Problem::bad_request("Repr-Digest must look like sha-256=:<base64 of 32 bytes>:.");
    let header = single(request, &HeaderName::from_static("repr-digest")).map_err(|()| malformed())?;
    let Some(header) = header else { return Ok(None) };
    let Some(member) = header.split(',').find_map(|member| member.trim().strip_prefix("sha-256=")) else {
        return Ok(None);
    };
    let encoded = member.strip_prefix(':').and_then(|rest| rest.strip_suffix(':')).ok_or_else(malformed)?;
    let bytes = BASE64_STANDARD.decode(encoded).ok().filter(|bytes| bytes.len() == 32).ok_or_else(malformed)?;
    Ok(Some(hex(&bytes)))
}
