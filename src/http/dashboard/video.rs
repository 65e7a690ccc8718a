//! A video: what it looks like, and the files it is made of.

use super::frame::{Frame, Section};
use super::operator::{Operator, Posted, Refused, check_typed, done, status_of};
use super::upload::SentFile;
use super::videos::{percent, poster_url};
use super::words;
use crate::domain::{Embed, MediaFile, Rendition, RenditionOrigin, TrackKind, Video, VideoId, VideoStatus, Visibility};
use crate::http::admin::extras::{drop_captions, drop_poster, keep_captions, keep_poster};
use crate::http::admin::renditions::{add, is_label};
use crate::http::admin::source::{announced_bytes, receive_stream};
use crate::http::admin::videos::{remove, set};
use crate::http::extract::{named_id, path_id};
use crate::http::form::read_long;
use crate::http::problem::Problem;
use crate::media::{MAX_CAPTIONS_BYTES, MAX_PICTURE_BYTES, is_language_tag};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

#[derive(Template)]
#[template(path = "video.html")]
struct Page {
    frame: Frame,
    head: Head,
    /// The player's address; `Err` says why it would show nothing.
    player: Result<String, &'static str>,
    duration: Option<String>,
    reference_id: Option<String>,
    original: Option<Original>,
    qualities: Vec<Quality>,
    captions: Vec<(String, String)>,
    poster: Option<String>,
    has_poster: bool,
    making: Option<Making>,
    transcodes: bool,
    max_size: String,
}

/// What stands at the head of each of a video's pages.
pub struct Head {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Whether it needs a token.
    pub is_private: bool,
    /// Where it stands.
    pub status: VideoStatus,
    /// Why it can't be played.
    pub detail: Option<String>,
    /// How much of it is processed.
    pub percent: Option<u8>,
    /// Which of its pages this is.
    pub tab: &'static str,
}

impl Head {
    /// Of a video's page.
    pub fn of(operator: &Operator, video: &Video, tab: &'static str) -> Self {
        let status = operator.app.status_of(video);
        Self {
            id: video.id.to_string(),
            title: video.title.clone(),
            is_private: video.visibility == Visibility::Private,
            status,
            detail: video.status_detail.clone().filter(|_| status == video.status),
            percent: percent(&operator.app, video),
            tab,
        }
    }

    /// Where it stands, in words.
    pub fn in_words(&self) -> &'static str {
        words::status(self.status)
    }

    /// Whether it plays.
    pub fn is_ready(&self) -> bool {
        self.status == VideoStatus::Ready
    }

    /// Whether it can't be played.
    pub fn is_broken(&self) -> bool {
        self.status == VideoStatus::Error
    }

    /// Whether it is being processed.
    pub fn is_processing(&self) -> bool {
        self.status == VideoStatus::Processing
    }

    /// Whether a film has yet to be uploaded.
    pub fn needs_film(&self) -> bool {
        matches!(self.status, VideoStatus::PendingUpload | VideoStatus::Error)
    }
}

/// The film as it was uploaded.
struct Original {
    size: String,
    tracks: Vec<String>,
}

impl Original {
    async fn of(operator: &Operator, video: &Video) -> Result<Option<Self>, Problem> {
        let Some(source) = video.source.as_ref().or(video.next_source.as_ref()) else { return Ok(None) };
        let Some(file) = operator.app.store.find::<MediaFile>(source.file.0).await? else { return Ok(None) };
        let tracks = source.tracks.iter().map(|track| {
            let kind = match track.kind {
                TrackKind::Video => "picture",
                TrackKind::Audio => "sound",
                TrackKind::Other => "other track",
            };
            let language = track.language.as_deref().map(|tag| format!(" in {tag}")).unwrap_or_default();
            let not_played = if track.played == Some(false) { ", not played" } else { "" };
            format!("{kind} {}{language}{not_played}", track.codec)
        });
        Ok(Some(Self { size: words::bytes(file.size_bytes), tracks: tracks.collect() }))
    }
}

struct Quality {
    label: String,
    size: String,
    codecs: String,
    rate: String,
    bytes: String,
    origin: &'static str,
    is_own: bool,
}

impl From<&Rendition> for Quality {
    fn from(one: &Rendition) -> Self {
        Self {
            label: one.label.clone(),
            size: one.dimensions().map(|(width, height)| format!("{width} × {height}")).unwrap_or_default(),
            codecs: one.codecs(),
            rate: words::bit_rate(one.average_bits_per_s),
            bytes: words::bytes(one.size_bytes),
            origin: match one.origin {
                RenditionOrigin::Source => "as uploaded",
                RenditionOrigin::Uploaded => "added",
                RenditionOrigin::Transcoded => "made here",
            },
            is_own: one.origin == RenditionOrigin::Source,
        }
    }
}

/// What is made of a film on this machine.
struct Making {
    name: Option<String>,
    percent: u8,
    waiting: usize,
    is_cancelled: bool,
    left_out: Vec<(String, String)>,
}

/// `GET /dashboard/videos/{id}`
pub async fn show(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    page(&operator, find(&operator, &request).await?, None).await
}

/// The video that an address names.
pub async fn find(operator: &Operator, request: &HttpRequest) -> Result<Video, Problem> {
    let id = path_id(request, VideoId::parse)?;
    operator.app.video_of(operator.admin.organization, id).await?.ok_or_else(Problem::not_found)
}

/// `POST /dashboard/videos/{id}`: its title.
pub async fn rename(operator: Operator, request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let video = find(&operator, &request).await?;
    let posted = Posted::read(payload).await?;
    if posted.typed("title").trim().is_empty() {
        let problem = Problem::invalid_field("title", "is required");
        return page(&operator, video, Some(posted.refused(problem))).await;
    }
    let (form, refused) = posted.split();
    match set(&operator.app, &operator.admin, video.id, form).await {
        Ok(video) => Ok(done(&address(video.id), "saved")),
        Err(problem) => page(&operator, video, Some(refused(problem))).await,
    }
}

/// `POST /dashboard/videos/{id}/delete`
pub async fn delete(operator: Operator, request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let video = find(&operator, &request).await?;
    let posted = Posted::read(payload).await?;
    if let Err(problem) = check_typed(&posted, "delete") {
        return page(&operator, video, Some(posted.refused(problem))).await;
    }
    remove(&operator.app, &operator.admin, video.id).await?;
    Ok(done("/dashboard/videos", "video_deleted"))
}

/// `POST /dashboard/videos/{id}/source`: a film for it, in a form.
pub async fn put_source(
    operator: Operator,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let video = find(&operator, &request).await?;
    let taken = async {
        let (_, file) = SentFile::read(&request, payload).await?.required()?;
        let received = receive_stream(file.bytes, announced_bytes(&request), &operator.app, &operator.admin).await?;
        let app = operator.app.clone().into_inner();
        Ok(app.ingest(operator.admin.mandate(), video.id, received).await.map(drop)?)
    };
    answer(&operator, &video, taken.await, "uploaded").await
}

/// `POST /dashboard/videos/{id}/poster`
pub async fn put_poster(
    operator: Operator,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let video = find(&operator, &request).await?;
    let taken = async {
        let (_, file) = SentFile::read(&request, payload).await?.required()?;
        let body = read_long(file.bytes, MAX_PICTURE_BYTES, operator.admin.organization).await?;
        keep_poster(&operator.app, &operator.admin, video.id, body.bytes.clone()).await.map(drop)
    };
    answer(&operator, &video, taken.await, "poster").await
}

/// `POST /dashboard/videos/{id}/poster/delete`
pub async fn delete_poster(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let video = find(&operator, &request).await?;
    let dropped = drop_poster(&operator.app, &operator.admin, video.id).await;
    answer(&operator, &video, dropped.map(drop), "poster_deleted").await
}

/// `POST /dashboard/videos/{id}/captions`: `language`, `label`, and the file.
pub async fn put_captions(
    operator: Operator,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let video = find(&operator, &request).await?;
    let (posted, file) = match SentFile::read(&request, payload).await?.required() {
        Ok(sent) => sent,
        Err(problem) => return page(&operator, video, Some(Refused::of(problem))).await,
    };
    let (mut form, refused) = posted.split();
    let language = form.required_text("language").trim().to_ascii_lowercase();
    if !is_language_tag(&language) {
        form.wrong("language", "must be a language tag such as en or pt-br");
    }
    let label = form.name("label").unwrap_or_else(|| language.clone());
    let taken = async {
        form.finish()?;
        let body = read_long(file.bytes, MAX_CAPTIONS_BYTES, operator.admin.organization).await?;
        keep_captions(&operator.app, &operator.admin, video.id, &body.bytes, language, label).await
    };
    match taken.await {
        Ok(video) => Ok(done(&address(video.id), "captions")),
        Err(problem) => page(&operator, video, Some(refused(problem))).await,
    }
}

/// `POST /dashboard/videos/{id}/captions/{language}/delete`
pub async fn delete_captions(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let video = find(&operator, &request).await?;
    let language = named_id(&request, "language", |text| is_language_tag(text).then(|| text.to_owned()))?;
    let dropped = drop_captions(&operator.app, &operator.admin, video.id, language).await;
    answer(&operator, &video, dropped.map(drop), "captions_deleted").await
}

/// `POST /dashboard/videos/{id}/renditions`: `label`, and the file.
pub async fn put_quality(
    operator: Operator,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let video = find(&operator, &request).await?;
    let (posted, file) = match SentFile::read(&request, payload).await?.required() {
        Ok(sent) => sent,
        Err(problem) => return page(&operator, video, Some(Refused::of(problem))).await,
    };
    let label = posted.typed("label").trim().to_owned();
    let taken = async {
        if !is_label(&label) {
            return Err(Problem::invalid_field("label", "must be 1 to 20 letters, digits and hyphens, such as 720p"));
        }
        let received = receive_stream(file.bytes, announced_bytes(&request), &operator.app, &operator.admin).await?;
        add(&operator.app, &operator.admin, &video, label, received).await
    };
    match taken.await {
        Ok(_) => Ok(done(&address(video.id), "quality")),
        Err(problem) => page(&operator, video, Some(posted.refused(problem))).await,
    }
}

/// `POST /dashboard/videos/{id}/renditions/{label}/delete`
pub async fn delete_quality(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let video = find(&operator, &request).await?;
    let label = named_id(&request, "label", |text| is_label(text).then(|| text.to_owned()))?;
    let dropped = operator.app.drop_rendition(operator.admin.mandate(), video.id, label).await;
    answer(&operator, &video, dropped.map(drop).map_err(Problem::from), "quality_deleted").await
}

/// `POST /dashboard/videos/{id}/transcoding`: makes what is missing after all.
pub async fn begin_transcoding(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let video = find(&operator, &request).await?;
    let begun = operator.app.set_transcoding(operator.admin.mandate(), video.id, false).await;
    answer(&operator, &video, begun.map(drop).map_err(Problem::from), "transcoding_begun").await
}

/// `POST /dashboard/videos/{id}/transcoding/cancel`
pub async fn cancel_transcoding(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let video = find(&operator, &request).await?;
    let cancelled = operator.app.set_transcoding(operator.admin.mandate(), video.id, true).await;
    answer(&operator, &video, cancelled.map(drop).map_err(Problem::from), "transcoding_cancelled").await
}

fn address(id: VideoId) -> String {
    format!("/dashboard/videos/{id}")
}

async fn answer(
    operator: &Operator,
    video: &Video,
    outcome: Result<(), Problem>,
    deed: &str,
) -> Result<HttpResponse, Problem> {
    match outcome {
        Ok(()) => Ok(done(&address(video.id), deed)),
        Err(problem) => {
            // What was tried may have changed it: a film that can't be played leaves word of that.
            let found = operator.app.video_of(operator.admin.organization, video.id).await?;
            page(operator, found.ok_or_else(Problem::not_found)?, Some(Refused::of(problem))).await
        }
    }
}

/// The player's address for whoever looks after the video, with a token where it takes one; else why it shows nothing.
pub async fn player(operator: &Operator, video: &Video) -> Result<Result<String, &'static str>, Problem> {
    let embeds = operator.app.store.children::<Embed>(video.id.0, 1).await?;
    Ok(match (embeds.first(), video.visibility) {
        _ if video.status != VideoStatus::Ready => Err("It can be watched here as soon as it is ready."),
        (None, _) => Err("It has no embed any more. Create one through the admin API."),
        (Some(embed), Visibility::Public) => Ok(format!("/embed/{}", embed.id)),
        (Some(_), _) if !operator.organization.settings.token_access => {
            Err("Token access is off: private videos play for nobody. Turn it on in the settings.")
        }
        (Some(embed), _) => match operator.app.preview_token(operator.admin.organization, video.id) {
            Some(token) => Ok(format!("/embed/{}?token={}", embed.id, token.text)),
            None => Err("There is no active signing key to sign a token with. Create one first."),
        },
    })
}

async fn page(operator: &Operator, video: Video, refused: Option<Refused>) -> Result<HttpResponse, Problem> {
    let making = operator.app.transcoding_status(&video).map(|status| Making {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to 1")]
        percent: (status.progress * 100.0) as u8,
        name: status.name,
        waiting: status.waiting,
        is_cancelled: status.cancelled,
        left_out: status.left_out.into_iter().map(|out| (out.name, out.reason)).collect(),
    });
    let status = status_of(refused.as_ref());
    let page = Page {
        frame: operator.frame_again(&video.title, Section::Videos, refused),
        head: Head::of(operator, &video, "film"),
        player: player(operator, &video).await?,
        duration: video.source.as_ref().map(|source| words::duration(source.duration_ms)),
        reference_id: video.reference_id.clone(),
        original: Original::of(operator, &video).await?,
        qualities: video.renditions.iter().rev().map(Quality::from).collect(),
        captions: video.captions.iter().map(|one| (one.language.clone(), one.label.clone())).collect(),
        poster: poster_url(&operator.app, &operator.organization, &video),
        has_poster: video.poster.is_some(),
        making,
        transcodes: operator.app.config.transcode.enabled,
        max_size: words::bytes(operator.app.config.media.max_source_mib << 20),
    };
    operator.page(status, &page)
}
