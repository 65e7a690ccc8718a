//! The list of videos: searching, uploading, and the first steps where there is nothing yet.

use super::frame::{Frame, Section};
use super::operator::{Operator, Refused, done, status_of};
use super::upload::{SentFile, title_of};
use super::words::{self, Moment};
use crate::app::App;
use crate::auth::{Caller, PageOrigin, ViewerRequest, admit_viewer};
use crate::domain::{MediaFileId, Organization, Upload, Video, VideoId, VideoStatus, Visibility, limits};
use crate::http::admin::source::{announced_bytes, receive_stream};
use crate::http::admin::videos::{find_page, make};
use crate::http::extract::{PageRequest, path_id, query_text};
use crate::http::form::Form;
use crate::http::media::asset_path;
use crate::http::playback::first_grant;
use crate::http::problem::Problem;
use crate::store::Cursor;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde_json::Value;
use std::sync::Arc;

const HERE: &str = "/dashboard/videos";

#[derive(Template)]
#[template(path = "videos.html")]
struct Page {
    frame: Frame,
    videos: Vec<VideoRow>,
    search: String,
    next: Option<String>,
    /// Whether this is where the list begins.
    is_first: bool,
    /// Whether something goes on that the page should show.
    is_live: bool,
    unfinished: Vec<UnfinishedRow>,
    is_private_by_default: bool,
    max_bytes: u64,
    /// What is yet to be done before a private video plays; `None` once it is.
    steps: Option<Steps>,
}

/// The way from nothing to a private video.
struct Steps {
    has_token_access: bool,
    has_key: bool,
    has_video: bool,
}

/// A video as lists show it.
struct VideoRow {
    id: String,
    title: String,
    poster: Option<String>,
    is_private: bool,
    status: VideoStatus,
    percent: Option<u8>,
    duration: Option<String>,
    created: Moment,
}

/// An upload that broke off, or is under way.
struct UnfinishedRow {
    id: String,
    /// Its video.
    video: String,
    title: String,
    percent: u64,
    size: String,
    expires: Option<Moment>,
}

impl VideoRow {
    fn of(operator: &Operator, video: &Video) -> Self {
        Self {
            id: video.id.to_string(),
            title: video.title.clone(),
            poster: poster_url(&operator.app, &operator.organization, video),
            is_private: video.visibility == Visibility::Private,
            status: operator.app.status_of(video),
            percent: percent(&operator.app, video),
            duration: video.source.as_ref().map(|source| words::duration(source.duration_ms)),
            created: video.created_at.into(),
        }
    }

    fn in_words(&self) -> &'static str {
        words::status(self.status)
    }

    fn is_ready(&self) -> bool {
        self.status == VideoStatus::Ready
    }

    fn is_broken(&self) -> bool {
        self.status == VideoStatus::Error
    }
}

impl Page {
    fn max_size(&self) -> String {
        words::bytes(self.max_bytes)
    }
}

/// How much of a video's packaging is done.
pub fn percent(app: &App, video: &Video) -> Option<u8> {
    let progress = app.packaging_progress(video.id)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to 1")]
    let percent = (progress * 100.0) as u8;
    Some(percent.min(100))
}

/// Where a signed-in browser finds a video's poster: behind the gate, as a viewer with a token of the newest key would.
/// `None` where there is no poster, or where the video plays for nobody.
pub fn poster_url(app: &App, organization: &Organization, video: &Video) -> Option<String> {
    let poster = video.poster.as_ref()?;
    let token = match video.visibility {
        Visibility::Private => Some(app.preview_token(organization.id, video.id)?.text),
        Visibility::Public => None,
    };
    let now = app.now();
    let request = ViewerRequest {
        organization,
        video,
        caller: Caller::EmbedPage,
        page: &PageOrigin::Unsaid,
        own_origin: &app.own_origin,
        token: Ok(token.as_deref()),
    };
    let viewer = admit_viewer(&request, |kid| app.verifying_key(organization.id, kid), now).ok()?;
    let grant = first_grant(app, &viewer, &organization.settings, now);
    Some(asset_path(video.id, &app.asset_keys().sign(&grant)?, &poster.name()))
}

/// `GET /dashboard/videos`
pub async fn show(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let search = query_text(&request, "search")?.unwrap_or_default();
    page(&operator, &PageRequest::of(&request)?, search, None).await
}

/// `POST /dashboard/videos`: one film, in a form.
pub async fn upload(operator: Operator, request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Problem> {
    match take(&operator, &request, payload).await {
        Ok(()) => Ok(done(HERE, "uploaded")),
        Err(problem) => page(&operator, &PageRequest::first(), String::new(), Some(Refused::of(problem))).await,
    }
}

async fn take(operator: &Operator, request: &HttpRequest, payload: web::Payload) -> Result<(), Problem> {
    let (posted, file) = SentFile::read(request, payload).await?.required()?;
    let received = receive_stream(file.bytes, announced_bytes(request), &operator.app, &operator.admin).await?;
    let fields = vec![
        ("title".to_owned(), title_of(&file.name)),
        ("visibility".to_owned(), posted.typed("visibility").to_owned()),
    ];
    let fields = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let made = make(&operator.app, &operator.admin, Form::of_fields(fields)).await?;
    let id = made.get("id").and_then(Value::as_str).and_then(VideoId::parse).ok_or_else(Problem::not_found)?;
    operator.app.clone().into_inner().ingest(operator.admin.mandate(), id, received).await?;
    Ok(())
}

/// `POST /dashboard/uploads/{id}/discard`
pub async fn discard(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let id = path_id(&request, MediaFileId::parse)?;
    operator.app.delete_upload(operator.admin.mandate(), operator.admin.organization, id).await?;
    Ok(done(HERE, "upload_discarded"))
}

/// The newest uploads that are not whole.
async fn unfinished(operator: &Operator) -> Result<Vec<UnfinishedRow>, Problem> {
    let (app, owner) = (&operator.app, operator.admin.organization);
    let found = app.store.list::<Upload>(owner, None, limits::PAGE_ITEMS_DEFAULT).await?;
    let mut rows = Vec::new();
    for upload in found.items.into_iter().filter(Upload::is_open) {
        let Ok(state) = app.upload_state(Arc::new(upload)).await else { continue };
        let Some(video) = app.video_of(owner, state.upload.video).await? else { continue };
        if state.offset < state.upload.length_bytes {
            rows.push(UnfinishedRow {
                id: state.upload.id.to_string(),
                video: video.id.to_string(),
                title: video.title,
                percent: state.offset.saturating_mul(100).checked_div(state.upload.length_bytes).unwrap_or(0),
                size: words::bytes(state.upload.length_bytes),
                expires: state.expires_at.map(Moment::from),
            });
        }
    }
    Ok(rows)
}

async fn page(
    operator: &Operator,
    wanted: &PageRequest,
    search: String,
    refused: Option<Refused>,
) -> Result<HttpResponse, Problem> {
    let owner = operator.admin.organization;
    let found = find_page(&operator.app, owner, wanted, &search).await?;
    let videos: Vec<VideoRow> = found.items.iter().map(|video| VideoRow::of(operator, video)).collect();
    let settings = &operator.organization.settings;
    let steps = {
        let access = operator.app.store.access();
        let mut keys = access.signing_keys().filter(|key| key.organization == owner);
        let mut videos = [Visibility::Public, Visibility::Private].into_iter();
        Steps {
            has_token_access: settings.token_access,
            has_key: keys.any(|key| key.revoked_at.is_none()),
            has_video: videos.any(|visibility| access.videos_of(owner, visibility).next().is_some()),
        }
    };
    let is_done = steps.has_token_access && steps.has_key && steps.has_video;
    let status = status_of(refused.as_ref());
    let page = Page {
        frame: operator.frame_again("Videos", Section::Videos, refused),
        is_live: videos.iter().any(|video| video.status == VideoStatus::Processing),
        videos,
        search,
        next: found.next.map(Cursor::encode),
        is_first: wanted.cursor.is_none(),
        unfinished: unfinished(operator).await?,
        is_private_by_default: settings.default_visibility == Visibility::Private,
        max_bytes: operator.app.config.media.max_source_mib << 20,
        steps: (!is_done).then_some(steps),
    };
    operator.page(status, &page)
}
