//! Renewing a session in place: `POST /api/v1/videos/{video}/sessions/{session}/renew`.

use super::cors;
use super::extract::{named_id, playback_token};
use super::form::Form;
use super::media::asset_path;
use super::playback::{Urls, main_asset, page_of_origin, remember};
use super::problem::Problem;
use super::rate::RateLimits;
use super::trace::LoggedOrganization;
use crate::app::App;
use crate::auth::{
    Caller, Denied, Grant, Purpose, ViewerRequest, admit_renewal, admit_viewer_by_token, deny_without_video,
};
use crate::domain::{Embed, OrganizationId, SessionId, Timestamp, Video, VideoId, Visibility};
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, ResponseError, web};
use serde_json::Value;

/// Answers POST: `{"renewToken":"…"}`, or a fresh viewer token in its header instead.
pub async fn renew(
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
    rates: web::Data<RateLimits>,
) -> HttpResponse {
    let answer = answer(&request, payload, &app, &rates).await;
    let origin = match &answer {
        Err(problem) if problem.code() == "referrer_blocked" => None,
        _ => cors::allowed_origin(&request, &app, owner(&request, &app)),
    };
    let mut response = match answer {
        Ok(body) => HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(body),
        Err(problem) => problem.error_response(),
    };
    cors::expose(&mut response, origin.as_ref(), &cors::API);
    response
}

/// Answers preflights.
pub async fn preflight(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    cors::preflight(cors::allowed_origin(&request, &app, owner(&request, &app)).as_ref(), &cors::API)
}

fn owner(request: &HttpRequest, app: &App) -> Option<OrganizationId> {
    let video = named_id(request, "video", VideoId::parse).ok()?;
    app.store.access().video(video).map(|video| video.organization)
}

async fn answer(request: &HttpRequest, payload: web::Payload, app: &App, rates: &RateLimits) -> Result<Value, Problem> {
    rates.count_playback(request)?;
    let video = named_id(request, "video", VideoId::parse)?;
    let session = named_id(request, "session", SessionId::parse)?;
    let mut form = Form::read_optional(request, payload).await?;
    let renew_token = form.text("renewToken");
    form.finish()?;
    // A body may take its time: what was good when it began may not be any more.
    let now = app.now();
    // A public video ignores whatever viewer token comes along: only the renew token tells its viewer from someone
    // who merely saw the session's id in an asset URL.
    let is_public = app.store.access().video(video).is_some_and(|video| video.visibility == Visibility::Public);
    let viewer_token = if is_public { Ok(None) } else { playback_token(request) };
    let (grant, organization) = match viewer_token {
        Ok(None | Some("")) => by_renew_token(app, video, session, &renew_token.unwrap_or_default(), now)?,
        _ => by_viewer_token(request, app, rates, video, session, now).await?,
    };
    request.extensions_mut().insert(LoggedOrganization(organization));
    let embed = app.sessions.find(organization, video, session).and_then(|live| live.embed);
    remember(app, &grant, embed, organization, now);
    let urls = Urls::sign(app, &grant, &app.config.server.public_url, now)?;
    let playable = app.store.access().video(video).map(|video| video.playable).ok_or(Denied::VideoNotReady)?;
    let (name, _) = main_asset(&playable).ok_or(Denied::VideoNotReady)?;
    Ok(urls.renewed(&app.url(&asset_path(video, &urls.grant, &name)), &grant, now))
}

/// The same session, with URLs that live longer.
fn by_renew_token(
    app: &App,
    video: VideoId,
    session: SessionId,
    token: &str,
    now: Timestamp,
) -> Result<(Grant, OrganizationId), Problem> {
    let grant = app.asset_keys().verify(&video.to_string(), token).filter(|grant| grant.session == session);
    let grant = grant.ok_or(Denied::RenewTokenInvalid)?;
    let standing = app.standing(&grant);
    let settings = owner_settings(app, video);
    let (max_age_s, ttl_s) = settings.unwrap_or_default();
    let organization = admit_renewal(&grant, &standing, max_age_s, now)?;
    let expires_at = now.plus_secs(i64::from(ttl_s)).min(grant.ends_at);
    Ok((Grant { purpose: Purpose::Play, expires_at, ..grant }, organization))
}

/// The same session, begun anew on a token that is checked like any other. One that nobody here remembers may never have
/// been: it begins where a viewer could come, and counts as one.
async fn by_viewer_token(
    request: &HttpRequest,
    app: &App,
    rates: &RateLimits,
    video: VideoId,
    session: SessionId,
    now: Timestamp,
) -> Result<(Grant, OrganizationId), Problem> {
    let owner = app.store.access().video(video).map(|video| video.organization);
    let record = match owner {
        Some(owner) => app.video_of(owner, video).await?,
        // Looked for all the same: nothing tells one that does not exist from one that is private.
        None => app.store.find::<Video>(video.0).await?,
    };
    let (Some(record), Some(organization)) = (record, owner.and_then(|owner| app.organization(owner))) else {
        return Err(deny_without_video(playback_token(request), video, || app.no_key(), now).into());
    };
    let owner = organization.id;
    let page = page_of_origin(request);
    let viewer = admit_viewer_by_token(
        &ViewerRequest {
            organization: &organization,
            video: &record,
            caller: Caller::EmbedPage,
            page: &page,
            own_origin: &app.own_origin,
            token: playback_token(request),
        },
        |kid| app.verifying_key(owner, kid),
        now,
    )?;
    // None where the video became public a moment ago.
    let key = viewer.authority().ok_or(Denied::RenewTokenInvalid)?;
    if app.store.access().is_ended(owner, video, session) {
        return Err(Denied::SessionRevoked.into());
    }
    let settings = &organization.settings;
    if settings.session_max_age_s == 0 {
        return Err(Denied::SessionTooOld.into());
    }
    if app.sessions.find(owner, video, session).is_none() {
        if app.store.children::<Embed>(video.0, 1).await?.is_empty() {
            return Err(Denied::SessionRevoked.into());
        }
        rates.count_viewer(&viewer)?;
    }
    let expires_at = now.plus_secs(i64::from(settings.asset_url_ttl_s));
    app.note_use(key, now);
    let grant = Grant {
        purpose: Purpose::Play,
        video,
        epoch: viewer.epoch(),
        session,
        authority: Some(key),
        started_at: now,
        expires_at,
        ends_at: now.plus_secs(i64::from(settings.session_max_age_s)).max(expires_at),
        asset_key: None,
    };
    Ok((grant, owner))
}

/// `sessionMaxAge` and `assetUrlTtl` of a video's owner, as they are now.
fn owner_settings(app: &App, video: VideoId) -> Option<(u32, u32)> {
    let access = app.store.access();
    let settings = &access.organization(access.video(video)?.organization)?.settings;
    Some((settings.session_max_age_s, settings.asset_url_ttl_s))
}
