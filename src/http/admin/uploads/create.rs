//! `POST /uploads`: a new upload, for a video that is there or made with it. Length, quota and room are checked before its
//! first byte.

use super::super::renditions::check_ready;
use super::super::source::{announced_bytes, check_length, check_quota, check_room_for_film};
use super::super::videos::NewVideo;
use super::super::{Refused, answer, event};
use super::add;
use super::headers::{Metadata, Target, check_piece_type, check_version, has_body, read_checksum, read_length, tell};
use crate::app::{App, IngestError, UploadError, UploadState};
use crate::domain::{Kind, Mandate, MediaFileId, OrganizationId, Upload, Video, limits};
use crate::http::extract::Admin;
use crate::http::problem::Problem;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use std::sync::Arc;

const SCREENER_VIDEO_ID: HeaderName = HeaderName::from_static("screener-video-id");

/// `POST /uploads`, with the first bytes or none. Once it is made the answer says so, and how many bytes were taken.
pub async fn create(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    check_version(&request)?;
    let (length_bytes, metadata) = (read_length(&request)?, Metadata::read(&request)?);
    let (announced, checksum) = (announced_bytes(&request), read_checksum(&request)?);
    let has_piece = has_body(&request, announced);
    if has_piece {
        check_piece_type(&request)?;
    }
    if announced.is_some_and(|bytes| bytes > length_bytes) {
        return Err(UploadError::TooLong { length_bytes }.into());
    }
    check_length(&app, length_bytes)?;
    check_room_for_film(&app, length_bytes)?;
    check_quota(&app, admin.organization, length_bytes)?;
    let new = New { length_bytes, metadata: metadata.text.clone(), mandate: admin.mandate() };
    let upload = new.make(&app, admin.organization, metadata.target()?).await?;

    let app = app.into_inner();
    if has_piece {
        let taken = match app.begin_piece(Arc::clone(&upload), 0, announced, checksum).await {
            Ok(Some(piece)) => add(piece, payload, app.clone(), admin.mandate()).await.map(drop),
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(problem) = taken {
            // It is made all the same, and the client goes on from where it stands.
            tracing::info!(upload = %upload.id, code = problem.code(), "the first piece of an upload was not taken whole");
        }
    }
    let state: UploadState = app.upload_state(Arc::clone(&upload)).await?;
    let mut answer = answer(StatusCode::CREATED);
    answer.insert_header((LOCATION, format!("/admin/v1/uploads/{}", upload.id)));
    answer.insert_header((SCREENER_VIDEO_ID, upload.video.to_string()));
    tell(&mut answer, &state);
    Ok(answer.finish())
}

/// What a new upload is, whatever it is for.
struct New {
    length_bytes: u64,
    metadata: Option<String>,
    mandate: Mandate,
}

impl New {
    /// File first, row second, with the video's where one is made.
    async fn make(
        self,
        app: &web::Data<App>,
        organization: OrganizationId,
        target: Target,
    ) -> Result<Arc<Upload>, Problem> {
        let mut of = None;
        let (video, rendition, new_video) = match target {
            Target::New { title, visibility } => {
                let new = NewVideo::draw(app, organization, title, visibility, None)?;
                (new.video.id, None, Some(new))
            }
            Target::Video { id, rendition } => {
                of = check_video(app.video_of(organization, id).await?, rendition.as_deref())?;
                (id, rendition, None)
            }
        };
        let upload = Upload {
            id: MediaFileId::from_random(app.random()),
            organization,
            video,
            rendition,
            of,
            length_bytes: self.length_bytes,
            metadata: self.metadata,
            actor: self.mandate.actor(),
            created_at: app.moment(),
            received_at: None,
            refusal: None,
        };
        app.uploads.create(upload.id, upload.length_bytes).await?;
        let (record, quota, mandate) = (upload.clone(), app.quota(), self.mandate);
        let written = app.store.write(upload.created_at, move |draft| {
            let usage = draft.usage(organization);
            if usage.open_uploads >= limits::OPEN_UPLOADS {
                return Err(Problem::from(UploadError::TooMany).into());
            }
            quota.check(usage, record.length_bytes).map_err(Problem::from)?;
            match &new_video {
                Some(new) => new.put(draft, mandate.clone())?,
                None => {
                    let found = draft.find::<Video>(video.0).filter(|video| video.organization == organization);
                    if check_video(found, record.rendition.as_deref())? != record.of {
                        return Err(Problem::from(IngestError::SourceChanged).into());
                    }
                }
            }
            draft.put(&record);
            let detail = json!({
                "videoId": video.to_string(), "rendition": record.rendition, "lengthBytes": record.length_bytes
            });
            let subject = (Kind::Upload, record.id.0);
            draft.audit(event(mandate, organization, "upload.create", subject, detail));
            Ok::<_, Refused>(())
        });
        if let Err(refused) = written.await {
            app.uploads.abandon(upload.id).await;
            return Err(refused.into());
        }
        Ok(Arc::new(upload))
    }
}

/// Refuses an upload for a video that is not there, or does not play and should get a further quality: of the source that
/// is answered.
fn check_video(video: Option<Video>, rendition: Option<&str>) -> Result<Option<MediaFileId>, Problem> {
    let video = video.ok_or_else(Problem::not_found)?;
    rendition.map(|_| check_ready(&video)).transpose()
}
