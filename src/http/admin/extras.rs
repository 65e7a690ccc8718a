//! `/videos/{id}/poster` and `/videos/{id}/captions/{language}`: what goes with a video. Checked by content, kept as
//! they are (SubRip becomes WebVTT), and given out through the gate alone.

use super::ok;
use super::source::check_room;
use super::videos::shown;
use crate::app::{App, take_captions};
use crate::domain::{MediaFileId, VideoId, limits};
use crate::http::extract::{Admin, named_id, path_id};
use crate::http::form::read_bytes;
use crate::http::problem::Problem;
use crate::media::{MAX_CAPTIONS_BYTES, MAX_PICTURE_BYTES, is_language_tag, read_captions, read_picture};
use crate::store::Received;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use std::collections::BTreeMap;

/// `PUT /videos/{id}/poster`: JPEG, PNG, WebP or AVIF.
pub async fn put_poster(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let id = find_video(&admin, &request, &app).await?;
    let bytes = read_bytes(payload, MAX_PICTURE_BYTES).await?.freeze();
    let picture = read_picture(&bytes).map_err(|error| unusable("picture_unusable", "picture", &error))?;
    let received = receive(&app, bytes).await?;
    let facts = (picture.format, picture.width_px, picture.height_px);
    Ok(ok(&shown(&app, &app.keep_poster(admin.actor(), id, received, facts).await?)))
}

/// `DELETE /videos/{id}/poster`
pub async fn delete_poster(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let id = find_video(&admin, &request, &app).await?;
    let dropped = app.drop_files(admin.actor(), id, "video.poster_delete", |video| {
        let old = video.poster.take()?;
        // Whoever deletes it wants none, and not one that is made anew.
        video.leave_out("poster", "it was deleted".to_owned());
        Some(vec![old.file])
    });
    Ok(ok(&shown(&app, &dropped.await?)))
}

/// `PUT /videos/{id}/captions/{language}?label=…`: WebVTT or SubRip.
pub async fn put_captions(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let id = find_video(&admin, &request, &app).await?;
    let language = language_of(&request)?;
    let label = read_label(&request)?.unwrap_or_else(|| language.clone());
    let bytes = read_bytes(payload, MAX_CAPTIONS_BYTES).await?;
    let text = read_captions(&bytes).map_err(|error| unusable("captions_unusable", "captions", &error))?;
    let received = receive(&app, Bytes::from(text)).await?;
    Ok(ok(&shown(&app, &app.keep_captions(admin.actor(), id, received, language, label).await?)))
}

/// `DELETE /videos/{id}/captions/{language}`
pub async fn delete_captions(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let id = find_video(&admin, &request, &app).await?;
    let language = language_of(&request)?;
    let dropped = app.drop_files(admin.actor(), id, "video.captions_delete", move |video| {
        take_captions(video, &language).map(|file| vec![file])
    });
    Ok(ok(&shown(&app, &dropped.await?)))
}

async fn find_video(admin: &Admin, request: &HttpRequest, app: &App) -> Result<VideoId, Problem> {
    let id = path_id(request, VideoId::parse)?;
    let video = app.video_of(admin.organization, id).await?.ok_or_else(Problem::not_found)?;
    Ok(video.id)
}

/// BCP 47 tags are the same in any case; in URLs they are lower case.
fn language_of(request: &HttpRequest) -> Result<String, Problem> {
    named_id(request, "language", |text| is_language_tag(text).then(|| text.to_ascii_lowercase()))
}

fn read_label(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let wrong = |what: &str| {
        let mut errors = serde_json::Map::new();
        errors.insert("label".into(), serde_json::json!([what]));
        Problem::invalid_fields(errors)
    };
    let query = web::Query::<BTreeMap<String, String>>::from_query(request.query_string());
    let label = query.map_err(|_| wrong("must be percent-encoded UTF-8"))?.into_inner().remove("label");
    let Some(label) = label.map(|label| label.trim().to_owned()) else { return Ok(None) };
    let is_name =
        !label.is_empty() && label.chars().count() <= limits::NAME_CHARS && !label.chars().any(char::is_control);
    if is_name { Ok(Some(label)) } else { Err(wrong("must be 1 to 200 characters, none of them control characters")) }
}

async fn receive(app: &App, bytes: Bytes) -> Result<Received, Problem> {
    let length = bytes.len() as u64;
    check_room(app, length)?;
    let mut incoming = app.media.receive(MediaFileId::from_random(app.random()), length).await?;
    incoming.write(bytes).await?;
    Ok(incoming.finish().await?)
}

fn unusable(code: &'static str, what: &str, error: &dyn std::fmt::Display) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, format!("The {what} can't be used: {error}."))
}
