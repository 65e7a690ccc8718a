//! `/videos/{id}/poster` and `/videos/{id}/captions/{language}`: what goes with a video. Checked by content, kept as
//! they are (SubRip becomes WebVTT), and given out through the gate alone.

use super::ok;
use super::source::{check_room, check_whole};
use super::videos::shown;
use crate::app::{App, take_captions};
use crate::domain::{MediaFileId, Video, VideoId, is_name};
use crate::http::extract::{Admin, path_id, query_text};
use crate::http::form::read_long;
use crate::http::problem::Problem;
use crate::media::{MAX_CAPTIONS_BYTES, MAX_PICTURE_BYTES, is_language_tag, read_captions, read_picture};
use crate::store::Received;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;

/// `PUT /videos/{id}/poster`: JPEG, PNG, WebP or AVIF.
pub async fn put_poster(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let id = find_video(&admin, &request, &app).await?;
    check_whole(&request)?;
    let body = read_long(payload, MAX_PICTURE_BYTES, admin.organization).await?;
    Ok(ok(&shown(&app, &keep_poster(&app, &admin, id, body.bytes.clone()).await?)))
}

/// Keeps a picture as a video's poster.
pub async fn keep_poster(app: &App, admin: &Admin, id: VideoId, bytes: Bytes) -> Result<Video, Problem> {
    let picture = read_picture(&bytes).map_err(|error| unusable("picture_unusable", "picture", &error))?;
    let received = receive(app, bytes).await?;
    let facts = (picture.format, picture.width_px, picture.height_px);
    Ok(app.keep_poster(admin.mandate(), id, received, facts).await?)
}

/// `DELETE /videos/{id}/poster`
pub async fn delete_poster(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let id = find_video(&admin, &request, &app).await?;
    Ok(ok(&shown(&app, &drop_poster(&app, &admin, id).await?)))
}

/// Takes a video's poster away.
pub async fn drop_poster(app: &App, admin: &Admin, id: VideoId) -> Result<Video, Problem> {
    let dropped = app.drop_files(admin.mandate(), id, "video.poster_delete", |video| {
        let old = video.poster.take()?;
        // Whoever deletes it wants none, and not one that is made anew.
        video.leave_out("poster", "it was deleted".to_owned());
        Some(vec![old.file])
    });
    Ok(dropped.await?)
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
    check_whole(&request)?;
    let body = read_long(payload, MAX_CAPTIONS_BYTES, admin.organization).await?;
    Ok(ok(&shown(&app, &keep_captions(&app, &admin, id, &body.bytes, language, label).await?)))
}

/// Keeps WebVTT or SubRip as a video's captions in one language.
pub async fn keep_captions(
    app: &App,
    admin: &Admin,
    id: VideoId,
    bytes: &[u8],
    language: String,
    label: String,
) -> Result<Video, Problem> {
    let text = read_captions(bytes).map_err(|error| unusable("captions_unusable", "captions", &error))?;
    let received = receive(app, Bytes::from(text)).await?;
    Ok(app.keep_captions(admin.mandate(), id, received, language, label).await?)
}

/// `DELETE /videos/{id}/captions/{language}`
pub async fn delete_captions(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let id = find_video(&admin, &request, &app).await?;
    let language = language_of(&request)?;
    Ok(ok(&shown(&app, &drop_captions(&app, &admin, id, language).await?)))
}

/// Takes a video's captions in one language away.
pub async fn drop_captions(app: &App, admin: &Admin, id: VideoId, language: String) -> Result<Video, Problem> {
    let dropped = app.drop_files(admin.mandate(), id, "video.captions_delete", move |video| {
        take_captions(video, &language).map(|file| vec![file])
    });
    Ok(dropped.await?)
}

async fn find_video(admin: &Admin, request: &HttpRequest, app: &App) -> Result<VideoId, Problem> {
    let id = path_id(request, VideoId::parse)?;
    let video = app.video_of(admin.organization, id).await?.ok_or_else(Problem::not_found)?;
    Ok(video.id)
}

/// BCP 47 tags are the same in any case; in URLs they are lower case. 422 for what is none.
fn language_of(request: &HttpRequest) -> Result<String, Problem> {
    let wrong = "must be a language tag such as en or pt-br: 2 to 8 letters, and behind hyphens up to three parts of \
                 1 to 8 letters or digits";
    let tag = request.match_info().get("language").filter(|text| is_language_tag(text));
    tag.map(str::to_ascii_lowercase).ok_or_else(|| Problem::invalid_field("language", wrong))
}

fn read_label(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let Some(label) = query_text(request, "label")?.map(|label| label.trim().to_owned()) else { return Ok(None) };
    let wrong = || Problem::invalid_field("label", "must be 1 to 200 characters, none of them control characters");
    if is_name(&label) { Ok(Some(label)) } else { Err(wrong()) }
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
