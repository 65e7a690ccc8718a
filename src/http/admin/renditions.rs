//! `/videos/{id}/renditions/{label}`: qualities that an operator adds. `/videos/{id}/transcoding`: those made here.

use super::source::receive;
use super::videos::shown;
use super::{ok, with};
use crate::app::{App, IngestError};
use crate::auth::Denied;
use crate::domain::{MediaFileId, RenditionOrigin, Video, VideoId};
use crate::http::extract::{Admin, named_id, path_id};
use crate::http::problem::Problem;
use crate::store::Received;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

/// Longest label, in characters: it stands in a menu.
const LABEL_CHARS: usize = 20;

/// `PUT /videos/{id}/renditions/{label}`: a ready-made quality, in place of a former one of this label. The answer says
/// how well its segments fit the source's.
pub async fn put(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let (video, label) = (find_video(&admin, &request, &app).await?, label_of(&request)?);
    // Before the body is sent, not after.
    check_ready(&video)?;
    let received = receive(&request, payload, &app, &admin).await?;
    let (video, problems) = add(&app, &admin, &video, label, received).await?;
    let alignment = json!({ "aligned": problems.is_empty(), "problems": problems });
    Ok(ok(&with(shown(&app, &video), "alignment", alignment)))
}

/// Adds a received file as a quality of the source that `video` had: the video as it is then, and where its segments don't fit the source's.
pub async fn add(
    app: &web::Data<App>,
    admin: &Admin,
    video: &Video,
    label: String,
    received: Received,
) -> Result<(Video, Vec<String>), Problem> {
    let of = match check_ready(video) {
        Ok(of) => of,
        Err(problem) => {
            received.discard().await;
            return Err(problem);
        }
    };
    let added = app.clone().into_inner().add_rendition(admin.mandate(), video.id, label, of, received).await;
    added.map_err(|error| match error {
        IngestError::Unplayable(reason) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "rendition_unplayable",
            format!("The file can't be played: {reason}."),
        ),
        error => error.into(),
    })
}

/// `DELETE /videos/{id}/renditions/{label}`: any but the source's own.
pub async fn delete(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let (video, label) = (find_video(&admin, &request, &app).await?, label_of(&request)?);
    Ok(ok(&shown(&app, &app.drop_rendition(admin.mandate(), video.id, label).await?)))
}

/// `DELETE /videos/{id}/transcoding`: makes nothing more of the present source.
pub async fn cancel(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let video = find_video(&admin, &request, &app).await?;
    Ok(ok(&shown(&app, &app.set_transcoding(admin.mandate(), video.id, true).await?)))
}

/// `POST /videos/{id}/transcoding`: makes what was cancelled, failed or deleted after all.
pub async fn begin(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let video = find_video(&admin, &request, &app).await?;
    Ok(ok(&shown(&app, &app.set_transcoding(admin.mandate(), video.id, false).await?)))
}

async fn find_video(admin: &Admin, request: &HttpRequest, app: &App) -> Result<Video, Problem> {
    let id = path_id(request, VideoId::parse)?;
    app.video_of(admin.organization, id).await?.ok_or_else(Problem::not_found)
}

/// Whether a text may be a quality's label.
pub fn is_label(text: &str) -> bool {
    (1..=LABEL_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn label_of(request: &HttpRequest) -> Result<String, Problem> {
    named_id(request, "label", |text| is_label(text).then(|| text.to_owned()))
}

/// The source of a video that plays; refuses what can only be added to one.
pub(super) fn check_ready(video: &Video) -> Result<MediaFileId, Problem> {
    let is_ready = video.renditions.iter().any(|one| one.origin == RenditionOrigin::Source);
    let source = video.source.as_ref().filter(|_| is_ready).map(|source| source.file);
    source.ok_or_else(|| Denied::VideoNotReady.into())
}
