//! `/uploads`: films that come in pieces, over as many connections as it takes, by tus 1.0
//! (<https://tus.io/protocols/resumable-upload>) with creation, creation-with-upload, termination, checksum, expiration.

mod create;
mod headers;

pub use create::create;
pub use headers::speak_tus;

use super::source::announced_bytes;
use super::{answer, no_content, page};
use crate::app::{App, Piece, UploadState};
use crate::domain::{Mandate, MediaFileId, Upload};
use crate::http::extract::{Admin, PageRequest, check_mandate, path_id};
use crate::http::form::{check_rate, next_chunk};
use crate::http::headers::single;
use crate::http::problem::{Problem, UPLOAD_OFFSET};
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderValue;
use actix_web::{HttpRequest, HttpResponse, web};
use headers::{
    METHOD_OVERRIDE, TUS_CHECKSUM_ALGORITHM, TUS_EXTENSION, TUS_MAX_SIZE, TUS_VERSION, check_piece_type, check_version,
    has_body, read_checksum, read_offset, tell, tell_all,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;
use tracing::Instrument;

/// `OPTIONS`: what this server can do. Needs no key.
pub async fn options(app: web::Data<App>) -> HttpResponse {
    answer(StatusCode::NO_CONTENT)
        .insert_header(TUS_VERSION)
        .insert_header(TUS_EXTENSION)
        .insert_header(TUS_CHECKSUM_ALGORITHM)
        .insert_header((TUS_MAX_SIZE, (app.config.media.max_source_mib << 20).to_string()))
        .finish()
}

/// `GET /uploads`
pub async fn list(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let wanted = PageRequest::of(&request)?;
    let found = app.store.list::<Upload>(admin.organization, wanted.cursor, wanted.limit).await?;
    let mut items = Vec::with_capacity(found.items.len());
    for upload in found.items {
        // One that ended between the two reads is no longer part of the list.
        if let Ok(state) = app.upload_state(Arc::new(upload)).await {
            items.push(body(&state));
        }
    }
    Ok(page(&items, found.next))
}

fn body(state: &UploadState) -> Value {
    let upload = &state.upload;
    let status = match (upload.is_open(), &upload.refusal) {
        (true, _) => "open",
        (false, None) => "received",
        (false, Some(_)) => "refused",
    };
    json!({
        "id": upload.id.to_string(),
        "videoId": upload.video.to_string(),
        "rendition": upload.rendition,
        "status": status,
        "statusDetail": upload.refusal,
        "lengthBytes": upload.length_bytes,
        "offsetBytes": state.offset,
        "createdAt": upload.created_at.to_string(),
        "expiresAt": state.expires_at.map(|at| at.to_string())
    })
}

/// `HEAD /uploads/{id}`: where to go on. A connection that has fallen silent lets go of the upload for this.
pub async fn head(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    check_version(&request)?;
    let id = path_id(&request, MediaFileId::parse)?;
    let state = app.free_upload(admin.organization, id).await?;
    let mut answer = answer(StatusCode::OK);
    tell_all(&mut answer, &state);
    Ok(answer.finish())
}

/// `PATCH /uploads/{id}`: the next piece. What is answered is on disk.
pub async fn patch(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    check_version(&request)?;
    let id = path_id(&request, MediaFileId::parse)?;
    let upload = app.find_upload(admin.organization, id)?;
    check_piece_type(&request)?;
    let (offset, checksum) = (read_offset(&request)?, read_checksum(&request)?);
    let announced = announced_bytes(&request).or_else(|| (!has_body(&request, None)).then_some(0));
    let app = app.into_inner();
    let state = match app.begin_piece(Arc::clone(&upload), offset, announced, checksum).await? {
        Some(piece) => add(piece, payload, app, admin.mandate()).await?,
        None => app.upload_state(upload).await?,
    };
    let mut answer = answer(StatusCode::NO_CONTENT);
    tell(&mut answer, &state);
    Ok(answer.finish())
}

/// `DELETE /uploads/{id}`: ends it, whoever writes to it. A film that it has become stays its video's.
pub async fn delete(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    check_version(&request)?;
    let id = path_id(&request, MediaFileId::parse)?;
    app.delete_upload(admin.mandate(), admin.organization, id).await?;
    Ok(no_content())
}

/// `POST /uploads/{id}`: any of these for whoever can only `POST` (`X-HTTP-Method-Override`).
pub async fn overridden(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    match single(&request, &METHOD_OVERRIDE) {
        Ok(Some("PATCH")) => patch(admin, request, payload, app).await,
        Ok(Some("DELETE")) => delete(admin, request, app).await,
        Ok(Some("HEAD")) => head(admin, request, app).await,
        _ => Err(Problem::method_not_allowed("HEAD, PATCH, DELETE, OPTIONS")),
    }
}

/// Adds what comes to an upload. It goes on when the connection breaks and its handler with it: what came is kept.
async fn add(
    mut piece: Piece,
    mut payload: web::Payload,
    app: Arc<App>,
    mandate: Mandate,
) -> Result<UploadState, Problem> {
    let adding = async move {
        match take(&mut piece, &mut payload, &app, &mandate).await {
            Ok(()) => Ok(piece.finish().await?),
            Err(problem) => {
                let state = piece.break_off().await?;
                Err(problem.with(UPLOAD_OFFSET, HeaderValue::from(state.offset)))
            }
        }
    };
    let added = actix_web::rt::spawn(adding.instrument(tracing::Span::current())).await;
    added.unwrap_or_else(|error| Err(Problem::internal(&error)))
}

async fn take(piece: &mut Piece, payload: &mut web::Payload, app: &App, mandate: &Mandate) -> Result<(), Problem> {
    let (mut came_bytes, began) = (0_u64, Instant::now());
    while let Some(chunk) = piece.await_peer(next_chunk(payload)).await?? {
        came_bytes += chunk.len() as u64;
        check_rate(began, came_bytes)?;
        check_mandate(app, mandate)?;
        piece.write(&chunk).await?;
    }
    Ok(piece.flush().await?)
}
