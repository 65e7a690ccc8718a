//! Signing keys: made, and their secret shown once; rotated in three steps; revoked, with word of what that cuts off.

use super::frame::{Frame, Section};
use super::operator::{Operator, Posted, Refused, check_typed, done, see_other, status_of};
use super::words::{self, Moment};
use crate::domain::{SigningKey, SigningKeyId};
use crate::http::admin::signing_keys::{make, make_successor, revoke_key};
use crate::http::extract::{PageRequest, path_id, query_text};
use crate::http::problem::Problem;
use crate::store::Cursor;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde_json::Value;
use std::collections::HashMap;

const HERE: &str = "/dashboard/signing-keys";

#[derive(Template)]
#[template(path = "signing_keys.html")]
struct Page {
    frame: Frame,
    keys: Vec<KeyRow>,
    next: Option<String>,
    token_access: bool,
    fresh: Option<FreshKey>,
}

#[derive(Template)]
#[template(path = "rotate.html")]
struct RotatePage {
    frame: Frame,
    old: KeyRow,
    new: Option<KeyRow>,
    fresh: Option<FreshKey>,
}

/// A key as a page shows it.
struct KeyRow {
    id: String,
    label: String,
    created: Moment,
    last_used: Option<Moment>,
    revoked: Option<Moment>,
    live_sessions: usize,
}

/// A key that was made just now.
struct FreshKey {
    id: String,
    secret: String,
}

impl KeyRow {
    fn of(operator: &Operator, key: &SigningKey, live: &HashMap<SigningKeyId, usize>) -> Self {
        Self {
            id: key.id.to_string(),
            label: key.label.clone(),
            created: key.created_at.into(),
            last_used: operator.app.last_used(key).map(Moment::from),
            revoked: key.revoked_at.map(Moment::from),
            live_sessions: live.get(&key.id).copied().filter(|_| key.revoked_at.is_none()).unwrap_or_default(),
        }
    }

    fn name(&self) -> &str {
        if self.label.is_empty() { "without a name" } else { &self.label }
    }

    fn viewers(&self) -> String {
        words::counted(self.live_sessions, "viewer", "viewers")
    }
}

impl FreshKey {
    fn of(made: &Value) -> Self {
        let text = |name| made.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self { id: text("id"), secret: text("secret") }
    }
}

/// `GET /dashboard/signing-keys`
pub async fn show(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    page(&operator, &PageRequest::of(&request)?, None, None).await
}

/// `POST /dashboard/signing-keys`: makes one. Its secret is on the page that answers and nowhere else.
pub async fn create(operator: Operator, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let (form, refused) = Posted::read(payload).await?.split();
    let first = PageRequest::first();
    match make(&operator.app, &operator.admin, form).await {
        Ok(made) => page(&operator, &first, Some(FreshKey::of(&made)), None).await,
        Err(problem) => page(&operator, &first, None, Some(refused(problem))).await,
    }
}

/// `POST /dashboard/signing-keys/{id}/revoke`
pub async fn revoke(operator: Operator, request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let id = path_id(&request, SigningKeyId::parse)?;
    let posted = Posted::read(payload).await?;
    let revoked = match check_typed(&posted, "revoke") {
        Ok(()) => {
            let owner = Some(operator.admin.organization);
            revoke_key(&operator.app, operator.admin.mandate(), owner, id).await.map(drop)
        }
        Err(problem) => Err(problem),
    };
    match revoked {
        Ok(()) => Ok(done(HERE, "key_revoked")),
        Err(problem) => page(&operator, &PageRequest::first(), None, Some(posted.refused(problem))).await,
    }
}

/// `GET /dashboard/signing-keys/{id}/rotate`, `?to=` the key that follows once it is made.
pub async fn show_rotation(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let old = path_id(&request, SigningKeyId::parse)?;
    let new = query_text(&request, "to")?.as_deref().and_then(SigningKeyId::parse);
    if new.is_none() && find(&operator, old).await?.revoked_at.is_some() {
        return Ok(see_other(HERE));
    }
    rotation(&operator, old, new, None, None).await
}

/// `POST /dashboard/signing-keys/{id}/rotate`: makes the key that follows.
pub async fn rotate(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let old = path_id(&request, SigningKeyId::parse)?;
    match make_successor(&operator.app, &operator.admin, old).await {
        Ok(made) => {
            let fresh = FreshKey::of(&made);
            let new = SigningKeyId::parse(&fresh.id);
            rotation(&operator, old, new, Some(fresh), None).await
        }
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => Err(problem),
        Err(problem) => rotation(&operator, old, None, None, Some(Refused::of(problem))).await,
    }
}

async fn find(operator: &Operator, id: SigningKeyId) -> Result<SigningKey, Problem> {
    let found = operator.app.store.find::<SigningKey>(id.0).await?;
    found.filter(|key| key.organization == operator.admin.organization).ok_or_else(Problem::not_found)
}

async fn rotation(
    operator: &Operator,
    old: SigningKeyId,
    new: Option<SigningKeyId>,
    fresh: Option<FreshKey>,
    refused: Option<Refused>,
) -> Result<HttpResponse, Problem> {
    let live = operator.app.sessions.count_by_key(operator.admin.organization, operator.app.now());
    let old = KeyRow::of(operator, &find(operator, old).await?, &live);
    let new = match new {
        Some(new) => Some(KeyRow::of(operator, &find(operator, new).await?, &live)),
        None => None,
    };
    let status = status_of(refused.as_ref());
    let frame = operator.frame_again("Rotate a signing key", Section::SigningKeys, refused);
    operator.page(status, &RotatePage { frame, old, new, fresh })
}

async fn page(
    operator: &Operator,
    wanted: &PageRequest,
    fresh: Option<FreshKey>,
    refused: Option<Refused>,
) -> Result<HttpResponse, Problem> {
    let owner = operator.admin.organization;
    let found = operator.app.store.list::<SigningKey>(owner, wanted.cursor, wanted.limit).await?;
    let live = operator.app.sessions.count_by_key(owner, operator.app.now());
    let keys = found.items.iter().map(|key| KeyRow::of(operator, key, &live)).collect();
    let status = status_of(refused.as_ref());
    let page = Page {
        frame: operator.frame_again("Signing keys", Section::SigningKeys, refused),
        keys,
        next: found.next.map(Cursor::encode),
        token_access: operator.organization.settings.token_access,
        fresh,
    };
    operator.page(status, &page)
}
