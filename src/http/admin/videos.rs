//! `/videos`: creating, listing, reading, renaming, re-classifying, deleting.

use super::organization::difference;
use super::{Refused, created, event, no_content, ok, page, with};
use crate::app::App;
use crate::auth::derived_id;
use crate::domain::{
    Embed, EmbedId, Kind, Mandate, MediaFile, MediaFileId, OrganizationId, Reference, TrackKind, Upload, Video,
    VideoId, VideoStatus, Visibility, limits,
};
use crate::http::extract::{Admin, PageRequest, path_id, query_text};
use crate::http::form::Form;
use crate::http::playback::seconds;
use crate::http::problem::Problem;
use crate::store::{Draft, Page};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use uuid::Uuid;

/// `POST /videos`: makes a video and an embed for it.
pub async fn create(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    Ok(created(&make(&app, &admin, Form::read(&request, payload).await?).await?))
}

/// Makes a video and an embed for it: its answer, with `embedId`.
pub async fn make(app: &App, admin: &Admin, mut form: Form) -> Result<Value, Problem> {
    let title = form.required_name("title");
    let visibility = form.word("visibility", "\"public\" or \"private\"");
    let reference_id = form.name("referenceId");
    form.finish()?;
    let new = NewVideo::draw(app, admin.organization, title, visibility, reference_id)?;
    let shown = with(shown(app, &new.video), "embedId", new.embed.id.to_string());
    let mandate = admin.mandate();
    app.store.write(new.video.created_at, move |draft| new.put(draft, mandate)).await?;
    Ok(shown)
}

/// A video that is yet to be stored, and the embed that is made with it.
pub(super) struct NewVideo {
    pub video: Video,
    embed: Embed,
}

impl NewVideo {
    /// Draws the ids of both. Unless told, it is as visible as the organization has it.
    pub fn draw(
        app: &App,
        organization: OrganizationId,
        title: String,
        visibility: Option<Visibility>,
        reference_id: Option<String>,
    ) -> Result<Self, Problem> {
        let settings = app.organization(organization).ok_or_else(Problem::not_found)?;
        let now = app.moment();
        let visibility = visibility.unwrap_or(settings.settings.default_visibility);
        let id = VideoId::from_random(app.random());
        let video = Video { reference_id, ..Video::new(id, organization, title, visibility, now) };
        let embed = Embed { id: EmbedId::from_random(app.random()), organization, video: video.id, created_at: now };
        Ok(Self { video, embed })
    }

    /// Stores both, unless another video has the `referenceId`.
    pub fn put(&self, draft: &mut Draft<'_>, mandate: Mandate) -> Result<(), Refused> {
        let Self { video, embed } = self;
        if let Some(text) = &video.reference_id {
            let id = reference_key(video.organization, text);
            if let Some(taken) = draft.find::<Reference>(id) {
                let sentence = format!("Video {} already has this referenceId.", taken.video);
                return Err(Problem::conflict("reference_taken", sentence).into());
            }
            draft.put(&Reference { id, organization: video.organization, video: video.id });
        }
        draft.put(video);
        draft.put(embed);
        let detail = json!({ "title": video.title, "visibility": video.visibility, "embedId": embed.id.to_string() });
        draft.audit(event(mandate, video.organization, "video.create", (Kind::Video, video.id.0), detail));
        Ok(())
    }
}

/// `GET /videos`, `?search=`
pub async fn list(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let search = query_text(&request, "search")?.unwrap_or_default();
    let found = find_page(&app, admin.organization, &PageRequest::of(&request)?, &search).await?;
    let items: Vec<Value> = found.items.iter().map(|video| shown(&app, video)).collect();
    Ok(page(&items, found.next))
}

/// A page of an organization's videos: all of them, or those that have `search` in their title or reference, in any
/// case, or for their id. A page of a search may be short and have more behind it.
pub async fn find_page(
    app: &App,
    organization: OrganizationId,
    wanted: &PageRequest,
    search: &str,
) -> Result<Page<Video>, Problem> {
    let search = search.trim().to_lowercase();
    if search.is_empty() {
        return Ok(app.store.list::<Video>(organization, wanted.cursor, wanted.limit).await?);
    }
    let is_found = |video: &Video| {
        let reference = video.reference_id.as_deref().unwrap_or_default();
        [&video.title, reference].iter().any(|text| text.to_lowercase().contains(&search))
            || video.id.to_string() == search
    };
    let found = app.store.search(organization, wanted.cursor, wanted.limit, limits::SEARCH_SCAN, is_found).await?;
    Ok(found)
}

/// `POST /videos/visibility`: `{"visibility"}` for every video there is.
pub async fn change_all(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let changed = set_all(&app, &admin, Form::read(&request, payload).await?).await?;
    Ok(ok(&json!({ "changed": changed })))
}

/// Re-classifies every video of an organization, a few at a time: how many were of the other class.
pub async fn set_all(app: &App, admin: &Admin, mut form: Form) -> Result<usize, Problem> {
    let visibility: Option<Visibility> = form.word("visibility", "\"public\" or \"private\"");
    form.finish()?;
    let visibility = visibility.ok_or_else(|| Problem::invalid_field("visibility", "is required"))?;
    let others: Vec<VideoId> = app.store.access().videos_of(admin.organization, visibility.other()).collect();
    let mut changed = 0;
    for some in others.chunks(limits::RECORDS_PER_COMMIT) {
        let (some, organization, mandate, now) = (some.to_vec(), admin.organization, admin.mandate(), app.now());
        let change = move |draft: &mut Draft<'_>| {
            let mut count = 0;
            for id in some {
                let video = draft.find::<Video>(id.0).filter(|video| video.organization == organization);
                let Some(mut video) = video.filter(|video| video.visibility != visibility) else { continue };
                let before = body(&video);
                video.classify(visibility);
                video.updated_at = now;
                draft.put(&video);
                let detail = difference(&before, &body(&video));
                draft.audit(event(mandate.clone(), organization, "video.change", (Kind::Video, id.0), detail));
                count += 1;
            }
            Ok::<_, Refused>(count)
        };
        changed += match visibility {
            Visibility::Private => app.store.write_urgent(now, change).await?,
            Visibility::Public => app.store.write(now, change).await?,
        };
    }
    Ok(changed)
}

/// `GET /videos/{id}`
pub async fn read(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let id = path_id(&request, VideoId::parse)?;
    let video = app.video_of(admin.organization, id).await?.ok_or_else(Problem::not_found)?;
    let embeds = app.store.children::<Embed>(id.0, 1).await?;
    Ok(ok(&with(shown(&app, &video), "embedId", embeds.first().map(|embed| embed.id.to_string()))))
}

/// `PATCH /videos/{id}`: `title`, `visibility`. Re-classifying ends every asset URL of the video.
pub async fn change(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let id = path_id(&request, VideoId::parse)?;
    let video = set(&app, &admin, id, Form::read(&request, payload).await?).await?;
    Ok(ok(&shown(&app, &video)))
}

/// Changes what a form names: the video as it is then.
pub async fn set(app: &App, admin: &Admin, id: VideoId, mut form: Form) -> Result<Video, Problem> {
    let title = form.name("title");
    let visibility: Option<Visibility> = form.word("visibility", "\"public\" or \"private\"");
    form.finish()?;
    let only_closes = title.is_none() && visibility == Some(Visibility::Private);
    let (organization, mandate, now) = (admin.organization, admin.mandate(), app.now());
    let change = move |draft: &mut Draft<'_>| {
        let video = draft.find::<Video>(id.0).filter(|video| video.organization == organization);
        let mut video = video.ok_or_else(Problem::not_found)?;
        let before = body(&video);
        if let Some(title) = title {
            video.title = title;
        }
        if let Some(visibility) = visibility.filter(|visibility| *visibility != video.visibility) {
            video.classify(visibility);
        }
        let detail = difference(&before, &body(&video));
        if detail.as_object().is_some_and(|members| !members.is_empty()) {
            video.updated_at = now;
            draft.put(&video);
            draft.audit(event(mandate, organization, "video.change", (Kind::Video, id.0), detail));
        }
        Ok::<_, Refused>(video)
    };
    Ok(if only_closes { app.store.write_urgent(now, change).await? } else { app.store.write(now, change).await? })
}

/// `DELETE /videos/{id}`: the rows first, then the files. Its embeds and uploads go with it.
pub async fn delete(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    remove(&app, &admin, path_id(&request, VideoId::parse)?).await?;
    Ok(no_content())
}

/// Deletes a video.
pub async fn remove(app: &App, admin: &Admin, id: VideoId) -> Result<(), Problem> {
    let organization = admin.organization;
    loop {
        let mandate = admin.mandate();
        let removed = app.store.write_urgent(app.now(), move |draft| {
            let video = draft.find::<Video>(id.0).filter(|video| video.organization == organization);
            let video = video.ok_or_else(Problem::not_found)?;
            let embeds = draft.children::<Embed>(id.0, limits::RECORDS_PER_COMMIT + 1);
            let uploads = draft.children::<Upload>(id.0, limits::RECORDS_PER_COMMIT + 1);
            let has_more = embeds.len() + uploads.len() > limits::RECORDS_PER_COMMIT;
            for key in embeds.iter().take(limits::RECORDS_PER_COMMIT) {
                if let Some(embed) = draft.find::<Embed>(*key).filter(|embed| embed.video == id) {
                    draft.remove(&embed);
                }
            }
            let room = limits::RECORDS_PER_COMMIT.saturating_sub(embeds.len());
            let uploads: Vec<MediaFileId> = uploads.into_iter().take(room).map(MediaFileId).collect();
            for upload in &uploads {
                if let Some(upload) = draft.find::<Upload>(upload.0) {
                    draft.remove(&upload);
                }
            }
            if has_more {
                // Each commit stands on the key, and in the log: it may be the last.
                let ids = |keys: &[Uuid]| keys.iter().map(Uuid::to_string).collect::<Vec<_>>();
                let embeds = embeds.get(..limits::RECORDS_PER_COMMIT).unwrap_or(&embeds);
                let detail = json!({
                    "embeds": ids(embeds), "uploads": uploads.iter().map(ToString::to_string).collect::<Vec<_>>()
                });
                draft.audit(event(mandate, organization, "video.delete_parts", (Kind::Video, id.0), detail));
                return Ok((uploads, None));
            }
            let files = video.files();
            for file in &files {
                if let Some(record) = draft.find::<MediaFile>(file.0) {
                    draft.remove(&record);
                }
            }
            if let Some(text) = &video.reference_id
                && let Some(reference) = draft.find::<Reference>(reference_key(organization, text))
            {
                draft.remove(&reference);
            }
            draft.remove(&video);
            let detail = json!({ "title": video.title });
            draft.audit(event(mandate, organization, "video.delete", (Kind::Video, id.0), detail));
            Ok::<_, Refused>((uploads, Some(files)))
        });
        let (uploads, files) = removed.await?;
        app.forget_uploads(&uploads).await;
        if let Some(files) = files {
            app.cancel_packaging(id);
            app.media.remove(files).await;
            return Ok(());
        }
    }
}

/// The key under which a `referenceId` is held for one video.
fn reference_key(organization: OrganizationId, text: &str) -> Uuid {
    derived_id(&format!("screener reference {organization} {text}"))
}

/// A video on the wire, with how far its packaging is.
pub fn shown(app: &App, video: &Video) -> Value {
    let status = app.status_of(video);
    let progress = (status == VideoStatus::Processing).then(|| app.packaging_progress(video.id).unwrap_or(0.0));
    let detail = video.status_detail.as_deref().filter(|_| status == video.status);
    let transcoding = app.transcoding_status(video).map(|status| {
        json!({
            "label": status.name,
            "progress": status.progress,
            "waiting": status.waiting,
            "cancelled": status.cancelled,
            "leftOut": status.left_out.iter().map(|out| json!({ "label": out.name, "reason": out.reason })).collect::<Vec<_>>()
        })
    });
    let shown = with(with(body(video), "progress", progress), "transcoding", transcoding);
    with(with(shown, "status", json!(status)), "statusDetail", detail)
}

/// A video's record on the wire.
fn body(video: &Video) -> Value {
    let source = video.source.as_ref();
    let tracks = source.map(|source| source.tracks.as_slice()).unwrap_or_default();
    json!({
        "id": video.id.to_string(),
        "title": video.title,
        "visibility": video.visibility,
        "status": video.status,
        "statusDetail": video.status_detail,
        "referenceId": video.reference_id,
        "durationSeconds": source.map(|source| seconds(source.duration_ms)),
        "tracks": tracks.iter().map(|track| json!({
            "kind": match track.kind {
                TrackKind::Video => "video",
                TrackKind::Audio => "audio",
                TrackKind::Other => "other",
            },
            "codec": track.codec,
            "durationSeconds": seconds(track.duration_ms),
            "widthPx": track.width_px,
            "heightPx": track.height_px,
            "played": source.and_then(|source| source.is_played(track)),
            "language": track.language
        })).collect::<Vec<_>>(),
        "renditions": video.renditions.iter().map(|rendition| json!({
            "id": rendition.file.to_string(),
            "label": rendition.label,
            "origin": rendition.origin,
            "sizeBytes": rendition.size_bytes,
            "durationSeconds": seconds(rendition.duration_ms),
            "bitsPerSecond": rendition.average_bits_per_s,
            "codecs": rendition.codecs(),
            "widthPx": rendition.dimensions().map(|(width, _)| width),
            "heightPx": rendition.dimensions().map(|(_, height)| height)
        })).collect::<Vec<_>>(),
        "poster": video.poster.as_ref().map(|poster| json!({
            "contentType": poster.format.content_type(), "widthPx": poster.width_px, "heightPx": poster.height_px
        })),
        "captions": video.captions.iter().map(|captions| json!({
            "language": captions.language, "label": captions.label
        })).collect::<Vec<_>>(),
        "createdAt": video.created_at.to_string(),
        "updatedAt": video.updated_at.to_string()
    })
}
