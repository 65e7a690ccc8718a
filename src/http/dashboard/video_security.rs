//! A video's Security page: who may watch it, who does, and why a token is refused.

use super::frame::{Frame, Section};
use super::operator::{Operator, Posted, Refused, done, status_of};
use super::video::{Head, find};
use super::words::{self, Moment};
use crate::domain::{Embed, SessionId, Video, Visibility};
use crate::http::admin::explain::explained;
use crate::http::admin::sessions::{end_one, newest, stands};
use crate::http::admin::videos::set;
use crate::http::extract::named_id;
use crate::http::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde_json::Value;

/// Sessions that the page shows; the API lists them all.
const SESSIONS_SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "video_security.html")]
struct Page {
    frame: Frame,
    head: Head,
    token_access: bool,
    origin_rules: Vec<String>,
    sessions: Vec<SessionRow>,
    /// How many there are in all.
    session_count: usize,
    /// What became of the token that was tried.
    tested: Option<Tested>,
}

impl Page {
    fn viewers(&self) -> String {
        words::counted(self.session_count, "viewer", "viewers")
    }
}

struct SessionRow {
    id: String,
    started: Moment,
    live_until: Moment,
    key: Option<String>,
}

struct Tested {
    plays: bool,
    code: String,
    checks: Vec<CheckRow>,
}

struct CheckRow {
    outcome: String,
    name: String,
    detail: String,
}

/// `GET /dashboard/videos/{id}/security`
pub async fn show(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    page(&operator, &find(&operator, &request).await?, None, None)
}

/// `POST /dashboard/videos/{id}/security`: its visibility.
pub async fn save(operator: Operator, request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let video = find(&operator, &request).await?;
    let (form, refused) = Posted::read(payload).await?.split();
    match set(&operator.app, &operator.admin, video.id, form).await {
        Ok(video) => {
            let deed = if video.visibility == Visibility::Private { "private" } else { "public" };
            Ok(done(&format!("/dashboard/videos/{}/security", video.id), deed))
        }
        Err(problem) => page(&operator, &video, None, Some(refused(problem))),
    }
}

/// `POST /dashboard/videos/{id}/security/test`: `token` and `origin`; says which check fails.
pub async fn test(operator: Operator, request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let video = find(&operator, &request).await?;
    let posted = Posted::read(payload).await?;
    let embeds = operator.app.store.children::<Embed>(video.id.0, 1).await?;
    let mut fields = vec![("embedId".to_owned(), embeds.first().map(|one| one.id.to_string()).unwrap_or_default())];
    for name in ["token", "origin"] {
        let value = posted.typed(name).trim();
        if !value.is_empty() {
            fields.push((name.to_owned(), value.to_owned()));
        }
    }
    match explained(&operator.app, Some(operator.admin.organization), Posted::of(fields).form).await {
        Ok(answer) => page(&operator, &video, Some(Tested::of(&answer)), None),
        Err(problem) => page(&operator, &video, None, Some(posted.refused(problem))),
    }
}

/// `POST /dashboard/videos/{id}/sessions/{session}/end`
pub async fn end(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let video = find(&operator, &request).await?;
    let session = named_id(&request, "session", SessionId::parse)?;
    let app = &operator.app;
    let known = app.sessions.find(operator.admin.organization, video.id, session);
    let is_watching = known.is_some_and(|known| known.live_until > app.now() && stands(app, &known));
    if !is_watching && !app.store.access().is_ended(video.organization, video.id, session) {
        return Err(Problem::not_found());
    }
    end_one(&operator.app, &operator.admin, Some(video.id), session).await?;
    Ok(done(&format!("/dashboard/videos/{}/security", video.id), "session_ended"))
}

impl Tested {
    fn of(answer: &Value) -> Self {
        fn text(value: &Value, name: &str) -> String {
            value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        let checks = answer.get("checks").and_then(Value::as_array).into_iter().flatten();
        let rows = checks.map(|check| CheckRow {
            outcome: text(check, "result"),
            name: text(check, "check").replace('_', " "),
            detail: text(check, "detail"),
        });
        Self { plays: text(answer, "outcome") == "plays", code: text(answer, "code"), checks: rows.collect() }
    }
}

fn page(
    operator: &Operator,
    video: &Video,
    tested: Option<Tested>,
    refused: Option<Refused>,
) -> Result<HttpResponse, Problem> {
    let organization = operator.admin.organization;
    let mut live = newest(&operator.app, organization, |session| session.video == video.id);
    let shown: Vec<_> = live.by_ref().take(SESSIONS_SHOWN).collect();
    let session_count = shown.len() + live.count();
    let rows = shown.iter().map(|session| SessionRow {
        id: session.session.to_string(),
        started: session.started_at.into(),
        live_until: session.live_until.into(),
        key: session.authority.map(|key| {
            let label = operator.app.store.access().signing_key(key).map(|key| key.label.clone()).unwrap_or_default();
            if label.is_empty() { key.to_string() } else { label }
        }),
    });
    let settings = &operator.organization.settings;
    let status = status_of(refused.as_ref());
    let page = Page {
        frame: operator.frame_again(&video.title, Section::Videos, refused),
        head: Head::of(operator, video, "security"),
        token_access: settings.token_access,
        origin_rules: settings.origin_rules.iter().map(ToString::to_string).collect(),
        sessions: rows.collect(),
        session_count,
        tested,
    };
    operator.page(status, &page)
}
