//! `/sessions`: who is watching, and ending it.

use super::{Refused, event, no_content, ok};
use crate::app::App;
use crate::auth::{LiveSession, derived_id};
use crate::domain::{EndedSession, Kind, OrganizationId, SessionId, VideoId, limits};
use crate::http::extract::{Admin, path_id};
use crate::http::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use std::cmp::Reverse;

/// `GET /sessions`: those that can still have bytes, newest first.
pub async fn list(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let wanted = SessionsPage::of(&request)?;
    let live = live(&app, admin.organization);
    let begin = wanted.after.map_or(0, |after| live.partition_point(|session| Place::of(session) <= after));
    let items: Vec<&LiveSession> = live.iter().skip(begin).take(wanted.limit).collect();
    let next = items.last().filter(|_| begin + items.len() < live.len()).map(|session| Place::of(session).encode());
    let items: Vec<Value> = items.into_iter().map(body).collect();
    Ok(ok(&json!({ "items": items, "pageInfo": { "nextCursor": next } })))
}

/// An organization's sessions that can still have bytes, newest first.
pub fn live(app: &App, organization: OrganizationId) -> Vec<LiveSession> {
    let stands = |session: &LiveSession| {
        let access = app.store.access();
        let key_stands =
            session.authority.is_none_or(|key| access.signing_key(key).is_some_and(|key| key.revoked_at.is_none()));
        access.video(session.video).is_some_and(|video| video.epoch == session.epoch)
            && key_stands
            && !access.is_ended(session.video, session.session)
    };
    app.sessions.list(organization, app.now()).into_iter().filter(stands).collect()
}

/// `POST /sessions/{id}/end`, or `DELETE /sessions/{id}`: its URLs stop within a second, and it can't be renewed, not even after a restart. One that
/// was begun before the last restart is not remembered; `?videoId=` then says what it watches.
pub async fn end(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let id = path_id(&request, SessionId::parse)?;
    let organization = admin.organization;
    let named = request.query_string().split('&').find_map(|pair| pair.strip_prefix("videoId="));
    let video = match named.map(VideoId::parse) {
        Some(Some(video)) => app.video_of(organization, video).await?.map(|video| video.id),
        Some(None) => None,
        None => app.sessions.video_of(organization, id).or_else(|| ended_video(&app, organization, id)),
    };
    end_one(&app, &admin, video.ok_or_else(Problem::not_found)?, id).await?;
    Ok(no_content())
}

/// Ends a session of a video of `admin`'s.
pub async fn end_one(app: &App, admin: &Admin, video: VideoId, id: SessionId) -> Result<(), Problem> {
    let (organization, actor, now) = (admin.organization, admin.actor(), app.now());
    if app.store.access().is_ended(video, id) {
        return Ok(());
    }
    let key = derived_id(&format!("screener ended session {video} {id}"));
    let ended = EndedSession::new(key, id, organization, video, now);
    app.store
        .write_urgent(now, move |draft| {
            draft.put(&ended);
            let detail = json!({ "videoId": video.to_string() });
            draft.audit(event(actor, organization, "session.end", (Kind::EndedSession, id.0), detail));
            Ok::<_, Refused>(())
        })
        .await?;
    app.sessions.forget(organization, video, id);
    Ok(())
}

/// What a session watched that was ended before: ending it again is the same as once.
fn ended_video(app: &App, organization: OrganizationId, session: SessionId) -> Option<VideoId> {
    let access = app.store.access();
    let mut ended = access.ended_sessions();
    ended.find(|ended| ended.session == session && ended.organization == organization).map(|ended| ended.video)
}

struct SessionsPage {
    limit: usize,
    after: Option<Place>,
}

/// Where a session stands in the list: newest first, then by id. A place stays where it is when its session ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(Reverse<i64>, SessionId);

impl Place {
    fn of(session: &LiveSession) -> Self {
        Self(Reverse(session.started_at.millis()), session.session)
    }

    fn encode(self) -> String {
        format!("{}.{}", self.0.0, self.1)
    }

    fn decode(text: &str) -> Option<Self> {
        let (started, session) = text.split_once('.')?;
        Some(Self(Reverse(started.parse().ok()?), SessionId::parse(session)?))
    }
}

impl SessionsPage {
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let mut page = Self { limit: limits::PAGE_ITEMS_DEFAULT, after: None };
        let mut errors = serde_json::Map::new();
        for (name, value) in request.query_string().split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "limit" => match value.parse().ok().filter(|n| limits::PAGE_ITEMS.contains(n)) {
                    Some(limit) => page.limit = limit,
                    None => drop(errors.insert("limit".into(), json!(["must be a whole number from 1 to 100"]))),
                },
                "cursor" => match Place::decode(value) {
                    Some(after) => page.after = Some(after),
                    None => drop(errors.insert("cursor".into(), json!(["is not one that a list gave out"]))),
                },
                _ => {}
            }
        }
        if errors.is_empty() { Ok(page) } else { Err(Problem::invalid_fields(errors)) }
    }
}

fn body(session: &LiveSession) -> Value {
    json!({
        "id": session.session.to_string(),
        "videoId": session.video.to_string(),
        "embedId": session.embed.map(|embed| embed.to_string()),
        "signingKeyId": session.authority.map(|key| key.to_string()),
        "startedAt": session.started_at.to_string(),
        "liveUntil": session.live_until.to_string(),
        "endsAt": session.ends_at.to_string()
    })
}
