//! The playback answer, and the API door to it: `GET /api/v1/embeds/{id}/playback`.

use super::admin::with;
use super::assets::MASTER;
use super::cors;
use super::extract::{bundle_id, path_id, playback_token, publishable_key};
use super::headers::single;
use super::media::asset_path;
use super::problem::Problem;
use super::rate::RateLimits;
use super::trace::LoggedOrganization;
use crate::app::App;
use crate::auth::{Caller, Denied, Grant, LiveSession, PageOrigin, Purpose, Viewer, ViewerRequest, admit_viewer};
use crate::domain::{
    Embed, EmbedId, MediaFileId, Organization, Origin, Playable, SessionId, Settings, Timestamp, Video, limits,
};
use actix_web::http::header::{CACHE_CONTROL, ORIGIN};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, ResponseError, web};
use serde_json::{Value, json};

/// Answers GET and HEAD.
pub async fn playback(request: HttpRequest, app: web::Data<App>, rates: web::Data<RateLimits>) -> HttpResponse {
    let answer = answer(&request, &app, &rates).await;
    let origin = match &answer {
        // A blocked site learns nothing, not even why.
        Err((problem, _)) if problem.code() == "referrer_blocked" => None,
        Ok((_, owner)) | Err((_, Some(owner))) => cors::allowed_origin(&request, &app, Some(*owner)),
        // Refused before anything was looked up. A script may know why where its preflight was let in.
        Err((_, None)) if request.headers().contains_key(ORIGIN) => {
            cors::allowed_origin(&request, &app, embed_owner(&request, &app).await)
        }
        Err((_, None)) => None,
    };
    let mut response = match answer {
        Ok((body, _)) => HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(body),
        Err((problem, _)) => problem.error_response(),
    };
    cors::expose(&mut response, origin.as_ref(), &cors::API);
    response
}

/// Answers preflights, which carry no key: the embed's organization decides.
pub async fn preflight(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    cors::preflight(cors::allowed_origin(&request, &app, embed_owner(&request, &app).await).as_ref(), &cors::API)
}

/// The organization of the embed that is asked for.
async fn embed_owner(request: &HttpRequest, app: &App) -> Option<Owner> {
    let id = path_id(request, EmbedId::parse).ok()?;
    app.store.find::<Embed>(id.0).await.ok().flatten().map(|embed| embed.organization)
}

type Owner = crate::domain::OrganizationId;

async fn answer(
    request: &HttpRequest,
    app: &App,
    rates: &RateLimits,
) -> Result<(Value, Owner), (Problem, Option<Owner>)> {
    let early = |problem: Problem| (problem, None);
    rates.count_playback(request).map_err(early)?;
    let key = publishable_key(request, app).map_err(early)?;
    request.extensions_mut().insert(LoggedOrganization(key.organization));
    let owner = key.organization;
    let later = |problem: Problem| (problem, Some(owner));
    let now = app.now();
    let id = path_id(request, EmbedId::parse).map_err(later)?;
    let page = page_of_origin(request);
    let body = until_settled(async || {
        let subject = Subject::find(app, id).await?;
        let subject = subject.filter(|subject| subject.organization.id == owner).ok_or_else(Problem::not_found)?;
        let viewer = admit_viewer(
            &ViewerRequest {
                organization: &subject.organization,
                video: &subject.video,
                caller: Caller::Api { key: &key, bundle_id: bundle_id(request) },
                page: &page,
                own_origin: &app.own_origin,
                token: playback_token(request),
            },
            |kid| app.verifying_key(owner, kid),
            now,
        )?;
        rates.count_viewer(&viewer)?;
        if let Some(key) = viewer.authority() {
            app.note_use(key, now);
        }
        open_session(app, &subject, &viewer, &app.config.server.public_url, now)
    });
    body.await.map(|body| (body, owner)).map_err(later)
}

/// What `attempt` comes to; made anew where what it rested on has changed meanwhile, and 503 where that goes on and on.
pub async fn until_settled<T>(mut attempt: impl AsyncFnMut() -> Result<Option<T>, Problem>) -> Result<T, Problem> {
    for _ in 0..limits::ADMISSIONS {
        if let Some(settled) = attempt().await? {
            return Ok(settled);
        }
    }
    Err(Problem::changing())
}

/// What the `Origin` header says of the page.
pub fn page_of_origin(request: &HttpRequest) -> PageOrigin {
    match single(request, &ORIGIN) {
        Ok(None) => PageOrigin::Unsaid,
        Ok(Some(text)) => Origin::of(text).map_or(PageOrigin::Opaque, PageOrigin::Page),
        Err(()) => PageOrigin::Opaque,
    }
}

/// An embed with what it points at.
pub struct Subject {
    /// The handle.
    pub embed: Embed,
    /// The video.
    pub video: Video,
    /// The owner of both.
    pub organization: std::sync::Arc<Organization>,
}

impl Subject {
    /// Finds an embed, its video and their owner; `None` if any is gone.
    pub async fn find(app: &App, id: EmbedId) -> Result<Option<Self>, Problem> {
        let Some(embed) = app.store.find::<Embed>(id.0).await? else { return Ok(None) };
        let Some(video) = app.video_of(embed.organization, embed.video).await? else { return Ok(None) };
        let organization = app.organization(embed.organization);
        Ok(organization.map(|organization| Self { embed, video, organization }))
    }
}

/// Opens a session for an admitted viewer and words the playback answer. URLs begin with `base`: the public URL for
/// the API, nothing for the embed page, which may be reached under another name. `None` where what the viewer was admitted
/// on has changed since: who asks again is told what holds now.
pub fn open_session(
    app: &App,
    subject: &Subject,
    viewer: &Viewer,
    base: &str,
    now: Timestamp,
) -> Result<Option<Value>, Problem> {
    let Subject { embed, video, organization } = subject;
    let source = video.source.as_ref().ok_or(Denied::VideoNotReady)?;
    let playable = video.playable();
    let (main, content_type) = main_asset(&playable).ok_or(Denied::VideoNotReady)?;
    let settings = &organization.settings;
    let grant = first_grant(app, viewer, settings, now);
    if app.standing(&grant).owner(&grant).is_none() {
        return Ok(None);
    }
    remember(app, &grant, Some(embed.id), viewer.organization(), now);
    let urls = Urls::sign(app, &grant, base, now)?;
    let asset = |name: &str| format!("{base}{}", asset_path(video.id, &urls.grant, name));
    let (width, height) = source.dimensions().unwrap_or_default();
    Ok(Some(json!({
        "embedId": embed.id.to_string(),
        "videoId": video.id.to_string(),
        "title": video.title,
        "visibility": video.visibility,
        "durationSeconds": seconds(source.duration_ms),
        "isVertical": height > width,
        "videoWidthPx": width,
        "videoHeightPx": height,
        "playback": urls.playback(&asset(&main), content_type),
        "variants": progressive(&playable).into_iter().map(|(file, label, duration_ms)| json!({
            "id": file.to_string(), "kind": "progressive", "label": label, "durationSeconds": seconds(duration_ms),
            "uri": asset(&format!("{file}.mp4")), "contentType": "mp4"
        })).collect::<Vec<_>>(),
        "session": urls.session(&grant),
        "posterUrl": video.poster.as_ref().map(|poster| asset(&poster.name())),
        "captions": video.captions.iter().map(|captions| json!({
            "language": captions.language, "label": captions.label, "uri": asset(&captions.name())
        })).collect::<Vec<_>>(),
        "storyboardUrl": video.storyboard.as_ref().map(|_| asset("storyboard.vtt")),
        "branding": { "organizationName": organization.name, "primaryColor": null, "showWatermark": false },
        "controls": { "autoplay": false, "muted": false, "loop": false, "rememberPosition": true, "showSpeed": true }
    })))
}

/// The grant of a new session for an admitted viewer.
pub fn first_grant(app: &App, viewer: &Viewer, settings: &Settings, now: Timestamp) -> Grant {
    let expires_at = now.plus_secs(i64::from(settings.asset_url_ttl_s));
    Grant {
        purpose: Purpose::Play,
        video: viewer.video(),
        epoch: viewer.epoch(),
        session: SessionId::from_random(app.random()),
        authority: viewer.authority(),
        started_at: now,
        expires_at,
        // A session lasts at least as long as its first URL.
        ends_at: now.plus_secs(i64::from(settings.session_max_age_s)).max(expires_at),
        asset_key: None,
    }
}

/// The asset that a player begins with, and its kind on the wire; `None` while nothing plays.
pub fn main_asset(playable: &Playable) -> Option<(String, &'static str)> {
    match &playable.source {
        _ if !playable.renditions.is_empty() => Some((MASTER.to_owned(), "hls")),
        Some(source) => Some((format!("{}.mp4", source.file), "mp4")),
        None => None,
    }
}

/// Files that play without a playlist, the best quality first: id, label, length in milliseconds.
fn progressive(playable: &Playable) -> Vec<(MediaFileId, String, u64)> {
    let source = playable.source.iter().map(|source| (source.file, source.label(), source.duration_ms));
    let renditions = playable.renditions.iter().rev();
    source.chain(renditions.map(|one| (one.file, one.label.clone(), one.duration_ms))).collect()
}

/// Milliseconds as the seconds of the wire.
pub fn seconds(millis: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "no video is 285,000 years long")]
    let seconds = millis as f64 / 1000.0;
    seconds
}

/// Notes a session as live.
pub fn remember(app: &App, grant: &Grant, embed: Option<EmbedId>, organization: Owner, now: Timestamp) {
    let session = LiveSession {
        session: grant.session,
        video: grant.video,
        embed,
        organization,
        authority: grant.authority,
        epoch: grant.epoch,
        started_at: grant.started_at,
        live_until: grant.expires_at,
        ends_at: grant.ends_at,
    };
    app.sessions.remember(session, now);
}

/// The signed texts of one opening or renewal.
pub struct Urls {
    /// The grant in asset URLs.
    pub grant: String,
    renew_token: String,
    renew_uri: String,
    expires_at: Timestamp,
    lives_s: i64,
}

impl Urls {
    /// Signs a grant for playing, and its twin for renewing.
    pub fn sign(app: &App, grant: &Grant, base: &str, now: Timestamp) -> Result<Self, Problem> {
        let no_key = || Problem::internal(&"there is no asset key to sign with");
        // A viewer who pauses for an hour comes back to a session that can go on: its end is what bounds the token.
        let renew = Grant { purpose: Purpose::Renew, expires_at: grant.ends_at, ..grant.clone() };
        Ok(Self {
            grant: app.asset_keys().sign(&Grant { started_at: now, ..grant.clone() }).ok_or_else(no_key)?,
            renew_token: app.asset_keys().sign(&renew).ok_or_else(no_key)?,
            renew_uri: format!("{base}/api/v1/videos/{}/sessions/{}/renew", grant.video, grant.session),
            expires_at: grant.expires_at,
            lives_s: grant.expires_at.secs() - now.secs(),
        })
    }

    /// From when on a player should renew: three fifths into the URL's life, which leaves time to try again.
    fn refresh_in_s(&self) -> i64 {
        self.lives_s * 3 / 5
    }

    /// An asset's URL, and until when it is good. The two durations spare a player from trusting the viewer's clock.
    fn asset(&self, uri: &str) -> Value {
        json!({
            "uri": uri,
            "expiresAt": self.expires_at.to_string(),
            "refreshAfter": self.expires_at.plus_secs(self.refresh_in_s() - self.lives_s).to_string(),
            "expiresInSeconds": self.lives_s,
            "refreshInSeconds": self.refresh_in_s()
        })
    }

    fn playback(&self, uri: &str, content_type: &str) -> Value {
        with(with(self.asset(uri), "contentType", content_type), "requestHeaders", json!({}))
    }

    fn session(&self, grant: &Grant) -> Value {
        json!({
            "id": grant.session.to_string(),
            "renewUri": self.renew_uri,
            "renewToken": self.renew_token,
            "endsAt": grant.ends_at.to_string(),
            "endsInSeconds": grant.ends_at.secs() - grant.started_at.secs()
        })
    }

    /// The answer to a renewal.
    pub fn renewed(&self, uri: &str, grant: &Grant, now: Timestamp) -> Value {
        let body = with(self.asset(uri), "renewToken", self.renew_token.as_str());
        let body = with(body, "endsAt", grant.ends_at.to_string());
        with(body, "endsInSeconds", grant.ends_at.secs() - now.secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::test_app::{pending_video, put, received, with_app};
    use crate::auth::{TokenDenied, mint_token};
    use crate::domain::{Actor, SigningKey, Visibility};

    const FILM: &[u8] = include_bytes!("../../tests/fixtures/h264_aac.mp4");

    #[actix_web::test]
    async fn what_never_settles_is_given_up_and_a_refusal_ends_it() {
        let mut attempts = 0;
        let endless = until_settled::<()>(async || {
            attempts += 1;
            Ok(None)
        });
        let problem = endless.await.unwrap_err();
        assert_eq!((problem.status().as_u16(), problem.code(), attempts), (503, "video_changing", limits::ADMISSIONS));
        let mut left = limits::ADMISSIONS;
        let last = until_settled(async || {
            left -= 1;
            Ok((left == 0).then_some("settled"))
        });
        assert_eq!(last.await.unwrap(), "settled");
        let refused = until_settled::<()>(async || Err(Problem::not_found()));
        assert_eq!(refused.await.unwrap_err().code(), "not_found");
    }

    #[test]
    fn what_changes_between_admission_and_session_opens_none() {
        let test = async |app: std::sync::Arc<App>, _| {
            let (organization, video) = pending_video(&app).await;
            app.ingest(Actor::Appliance.into(), video, received(&app, FILM).await).await.unwrap();
            let now = app.now();
            let embed = Embed { id: EmbedId::from_random(app.random()), organization, video, created_at: now };
            let embed_id = embed.id;
            let made = crate::app::new_signing_key(&app, organization, "one".to_owned());
            let (key, kid) = (made.record.clone(), made.record.id);
            put(&app, now, move |draft| {
                let mut owner: Organization = draft.find(organization.0).unwrap();
                owner.settings.token_access = true;
                draft.put(&owner);
                draft.put(&embed);
                draft.put(&key);
            })
            .await;
            let token = mint_token(kid, made.secret.expose().as_bytes(), video, now.secs(), 60).unwrap();
            let find = async || Subject::find(&app, embed_id).await.unwrap().unwrap();
            let admit = |subject: &Subject, token: Option<&str>| {
                let request = ViewerRequest {
                    organization: &subject.organization,
                    video: &subject.video,
                    caller: Caller::EmbedPage,
                    page: &PageOrigin::Unsaid,
                    own_origin: &app.own_origin,
                    token: Ok(token),
                };
                admit_viewer(&request, |kid| app.verifying_key(organization, kid), now)
            };
            let opens =
                |subject: &Subject, viewer: &Viewer| open_session(&app, subject, viewer, "", now).unwrap().is_some();

            let subject = find().await;
            let viewer = admit(&subject, None).unwrap();
            assert!(opens(&subject, &viewer), "the twin: nothing has changed");
            put(&app, now, move |draft| {
                let mut changed: Video = draft.find(video.0).unwrap();
                changed.classify(Visibility::Private);
                draft.put(&changed);
            })
            .await;
            assert!(!opens(&subject, &viewer), "it was public when it was looked at");

            let subject = find().await;
            assert!(admit(&subject, None).is_err());
            let viewer = admit(&subject, Some(&token)).unwrap();
            assert!(opens(&subject, &viewer), "the twin");
            put(&app, now, move |draft| {
                let key: SigningKey = draft.find(kid.0).unwrap();
                draft.put(&SigningKey { revoked_at: Some(now), ..key });
            })
            .await;
            assert!(!opens(&subject, &viewer), "its key was good when it was looked at");
            assert!(matches!(admit(&subject, Some(&token)), Err(Denied::Token(TokenDenied::Revoked))));
        };
        with_app(test, |_| {});
    }
}
