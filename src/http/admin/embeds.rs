//! `/embeds`: public handles, each pointing at one video.

use super::{Refused, created, event, no_content, ok, page};
use crate::app::App;
use crate::domain::{Embed, EmbedId, Kind, OrganizationId, Video, VideoId};
use crate::http::extract::{Admin, PageRequest, path_id};
use crate::http::form::Form;
use crate::http::problem::Problem;
use crate::store::Draft;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

/// `GET /embeds`
pub async fn list(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let wanted = PageRequest::of(&request)?;
    let found = app.store.list::<Embed>(admin.organization, wanted.cursor, wanted.limit).await?;
    let items: Vec<Value> = found.items.iter().map(|embed| body(&app, embed)).collect();
    Ok(page(&items, found.next))
}

/// `GET /embeds/{id}`
pub async fn read(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let id = path_id(&request, EmbedId::parse)?;
    let embed = app.store.find::<Embed>(id.0).await?.filter(|embed| embed.organization == admin.organization);
    Ok(ok(&body(&app, &embed.ok_or_else(Problem::not_found)?)))
}

/// `POST /embeds`
pub async fn create(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let mut form = Form::read(&request, payload).await?;
    let video = read_video(&mut form);
    form.finish()?;
    let now = app.moment();
    let embed = Embed {
        id: EmbedId::from_random(app.random()),
        organization: admin.organization,
        video: video.ok_or_else(Problem::not_found)?,
        created_at: now,
    };
    let (record, mandate) = (embed.clone(), admin.mandate());
    app.store
        .write(now, move |draft| {
            check_video(draft, record.organization, record.video)?;
            draft.put(&record);
            let detail = json!({ "videoId": record.video.to_string() });
            draft.audit(event(mandate, record.organization, "embed.create", (Kind::Embed, record.id.0), detail));
            Ok::<_, Refused>(())
        })
        .await?;
    Ok(created(&body(&app, &embed)))
}

/// `PATCH /embeds/{id}`: points it at another video.
pub async fn change(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let id = path_id(&request, EmbedId::parse)?;
    let mut form = Form::read(&request, payload).await?;
    let video = read_video(&mut form);
    form.finish()?;
    let video = video.ok_or_else(Problem::not_found)?;
    let (organization, mandate) = (admin.organization, admin.mandate());
    let changed = app.store.write(app.now(), move |draft| {
        let mut embed = find(draft, organization, id)?;
        check_video(draft, organization, video)?;
        if embed.video != video {
            let detail = json!({ "videoId": { "from": embed.video.to_string(), "to": video.to_string() } });
            embed.video = video;
            draft.put(&embed);
            draft.audit(event(mandate, organization, "embed.change", (Kind::Embed, id.0), detail));
        }
        Ok::<_, Refused>(embed)
    });
    Ok(ok(&body(&app, &changed.await?)))
}

/// `DELETE /embeds/{id}`
pub async fn delete(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let id = path_id(&request, EmbedId::parse)?;
    let (organization, mandate) = (admin.organization, admin.mandate());
    app.store
        .write_urgent(app.now(), move |draft| {
            let embed = find(draft, organization, id)?;
            draft.remove(&embed);
            let detail = json!({ "videoId": embed.video.to_string() });
            draft.audit(event(mandate, organization, "embed.delete", (Kind::Embed, id.0), detail));
            Ok::<_, Refused>(())
        })
        .await?;
    Ok(no_content())
}

fn read_video(form: &mut Form) -> Option<VideoId> {
    let text = form.required_text("videoId");
    let id = VideoId::parse(&text);
    if id.is_none() && !text.is_empty() {
        form.wrong("videoId", "must be the id of a video");
    }
    id
}

fn find(draft: &mut Draft<'_>, organization: OrganizationId, id: EmbedId) -> Result<Embed, Problem> {
    let embed = draft.find::<Embed>(id.0).filter(|embed| embed.organization == organization);
    embed.ok_or_else(Problem::not_found)
}

fn check_video(draft: &mut Draft<'_>, organization: OrganizationId, id: VideoId) -> Result<(), Problem> {
    if draft.find::<Video>(id.0).is_some_and(|video| video.organization == organization) {
        return Ok(());
    }
    Err(Problem::invalid_field("videoId", "there is no such video"))
}

fn body(app: &App, embed: &Embed) -> Value {
    json!({
        "id": embed.id.to_string(),
        "videoId": embed.video.to_string(),
        "url": app.url(&format!("/embed/{}", embed.id)),
        "createdAt": embed.created_at.to_string()
    })
}
