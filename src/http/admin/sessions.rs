//! `/sessions`: who is watching, and ending it.

use super::{Refused, event, no_content, ok};
use crate::app::App;
use crate::auth::{LiveSession, derived_id};
use crate::domain::{EndedSession, Kind, OrganizationId, SessionId, VideoId};
use crate::http::extract::{Admin, PageRequest, path_id};
use crate::http::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// `GET /sessions`: those that can still have bytes, newest first.
pub async fn list(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let wanted = PageRequest::read(&request, Place::decode)?;
    let is_behind = |session: &LiveSession| wanted.cursor.is_none_or(|after| Place::of(session) > after);
    let mut live = newest(&app, admin.organization, is_behind);
    let items: Vec<LiveSession> = live.by_ref().take(wanted.limit).collect();
    let next = items.last().filter(|_| live.next().is_some()).map(|session| Place::of(session).encode());
    let items: Vec<Value> = items.iter().map(body).collect();
    Ok(ok(&json!({ "items": items, "pageInfo": { "nextCursor": next } })))
}

/// An organization's sessions that are `wanted` and can still have bytes, newest first. There may be very many: they are
/// put in order, and what they stand on is looked at, as far as somebody goes on asking.
pub fn newest(
    app: &App,
    organization: OrganizationId,
    wanted: impl Fn(&LiveSession) -> bool,
) -> impl Iterator<Item = LiveSession> {
    let live = app.sessions.list(organization, app.now(), wanted);
    let places = live.iter().enumerate().map(|(at, session)| (Reverse(Place::of(session)), at));
    let mut places: BinaryHeap<_> = places.collect();
    let in_order = std::iter::from_fn(move || places.pop()).filter_map(move |(_, at)| live.get(at).cloned());
    in_order.filter(|session| stands(app, session))
}

/// Whether what a session stands on still does.
pub fn stands(app: &App, session: &LiveSession) -> bool {
    let access = app.store.access();
    let is_active = |key| access.signing_key(key).is_some_and(|key| key.revoked_at.is_none());
    access.video(session.video).is_some_and(|video| video.epoch == session.epoch)
        && session.authority.is_none_or(is_active)
        && !access.is_ended(session.organization, session.video, session.session)
}

/// `POST /sessions/{id}/end`, or `DELETE /sessions/{id}`: its URLs stop within a second, and it can't be renewed, not even after a restart. One that
/// was begun before the last restart is not remembered; `?videoId=` then says what it watches. Without that, the id ends for
/// every video of the organization.
pub async fn end(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let id = path_id(&request, SessionId::parse)?;
    let organization = admin.organization;
    let named = request.query_string().split('&').find_map(|pair| pair.strip_prefix("videoId="));
    let video = match named.map(VideoId::parse) {
        Some(Some(video)) => app.video_of(organization, video).await?.map(|video| Some(video.id)),
        Some(None) => None,
        None => (app.sessions.knows(organization, id) || was_ended(&app, organization, id)).then_some(None),
    };
    end_one(&app, &admin, video.ok_or_else(Problem::not_found)?, id).await?;
    Ok(no_content())
}

/// Ends a session of one of `admin`'s videos, or of all of them.
pub async fn end_one(app: &App, admin: &Admin, video: Option<VideoId>, id: SessionId) -> Result<(), Problem> {
    let (organization, mandate, now) = (admin.organization, admin.mandate(), app.now());
    let scope = video.map_or(organization.0, |video| video.0);
    if app.store.access().is_ended(organization, VideoId(scope), id) {
        return Ok(());
    }
    let key = derived_id(&format!("screener ended session {scope} {id}"));
    let ended = EndedSession::new(key, id, organization, video, now);
    app.store
        .write_urgent(now, move |draft| {
            draft.put(&ended);
            let detail = json!({ "videoId": video.map(|video| video.to_string()) });
            draft.audit(event(mandate, organization, "session.end", (Kind::EndedSession, id.0), detail));
            Ok::<_, Refused>(())
        })
        .await?;
    app.sessions.forget(organization, video, id);
    Ok(())
}

/// Whether a session was ended before, for one video or for all.
fn was_ended(app: &App, organization: OrganizationId, session: SessionId) -> bool {
    let access = app.store.access();
    access.ended_sessions().any(|ended| ended.session == session && ended.organization == organization)
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
