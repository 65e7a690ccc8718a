//! Publishable keys and private keys.

use super::frame::{Frame, Section};
use super::operator::{Operator, Posted, Refused, check_typed, done, status_of};
use super::words::Moment;
use crate::domain::{PrivateKey, PrivateKeyId, PublishableKey, PublishableKeyId};
use crate::http::admin::api_keys::{make_private, make_publishable, withdraw_private, withdraw_publishable};
use crate::http::extract::{PageRequest, path_id};
use crate::http::problem::Problem;
use crate::store::Cursor;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde_json::Value;

const PUBLISHABLE: &str = "/dashboard/publishable-keys";
const PRIVATE: &str = "/dashboard/private-keys";

#[derive(Template)]
#[template(path = "publishable_keys.html")]
struct PublishablePage {
    frame: Frame,
    keys: Vec<KeyRow>,
    next: Option<String>,
    fresh: Option<String>,
}

#[derive(Template)]
#[template(path = "private_keys.html")]
struct PrivatePage {
    frame: Frame,
    keys: Vec<KeyRow>,
    next: Option<String>,
    fresh: Option<String>,
    /// How many are not revoked: the last one stays.
    active: usize,
}

/// A key as a page shows it.
struct KeyRow {
    id: String,
    label: String,
    hint: String,
    created: Moment,
    revoked: Option<Moment>,
    origin_rules: Vec<String>,
    bundle_ids: Vec<String>,
    /// Whether this browser is signed in with it.
    is_own: bool,
}

impl KeyRow {
    fn name(&self) -> &str {
        if self.label.is_empty() { "without a name" } else { &self.label }
    }
}

/// `GET /dashboard/publishable-keys`
pub async fn show_publishable(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    publishable(&operator, &PageRequest::of(&request)?, None, None).await
}

/// `POST /dashboard/publishable-keys`
pub async fn create_publishable(operator: Operator, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let (form, refused) = Posted::read(payload).await?.split();
    let first = PageRequest::first();
    match make_publishable(&operator.app, &operator.admin, form).await {
        Ok(made) => publishable(&operator, &first, key_of(&made), None).await,
        Err(problem) => publishable(&operator, &first, None, Some(refused(problem))).await,
    }
}

/// `POST /dashboard/publishable-keys/{id}/revoke`
pub async fn revoke_publishable(
    operator: Operator,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let id = path_id(&request, PublishableKeyId::parse)?;
    let posted = Posted::read(payload).await?;
    let revoked = match check_typed(&posted, "revoke") {
        Ok(()) => withdraw_publishable(&operator.app, &operator.admin, id).await,
        Err(problem) => Err(problem),
    };
    match revoked {
        Ok(_) => Ok(done(PUBLISHABLE, "key_revoked")),
        Err(problem) => publishable(&operator, &PageRequest::first(), None, Some(posted.refused(problem))).await,
    }
}

/// `GET /dashboard/private-keys`
pub async fn show_private(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    private(&operator, &PageRequest::of(&request)?, None, None).await
}

/// `POST /dashboard/private-keys`
pub async fn create_private(operator: Operator, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let (form, refused) = Posted::read(payload).await?.split();
    let first = PageRequest::first();
    match make_private(&operator.app, &operator.admin, form).await {
        Ok(made) => private(&operator, &first, key_of(&made), None).await,
        Err(problem) => private(&operator, &first, None, Some(refused(problem))).await,
    }
}

/// `POST /dashboard/private-keys/{id}/revoke`
pub async fn revoke_private(
    operator: Operator,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let id = path_id(&request, PrivateKeyId::parse)?;
    let posted = Posted::read(payload).await?;
    let revoked = match check_typed(&posted, "revoke") {
        Ok(()) => withdraw_private(&operator.app, &operator.admin, id).await,
        Err(problem) => Err(problem),
    };
    match revoked {
        Ok(_) => Ok(done(PRIVATE, "key_revoked")),
        Err(problem) => private(&operator, &PageRequest::first(), None, Some(posted.refused(problem))).await,
    }
}

fn key_of(made: &Value) -> Option<String> {
    made.get("key").and_then(Value::as_str).map(str::to_owned)
}

async fn publishable(
    operator: &Operator,
    wanted: &PageRequest,
    fresh: Option<String>,
    refused: Option<Refused>,
) -> Result<HttpResponse, Problem> {
    let owner = operator.admin.organization;
    let found = operator.app.store.list::<PublishableKey>(owner, wanted.cursor, wanted.limit).await?;
    let rows = found.items.iter().map(|key| KeyRow {
        id: key.id.to_string(),
        label: key.label.clone(),
        hint: key.hint.clone(),
        created: key.created_at.into(),
        revoked: key.revoked_at.map(Moment::from),
        origin_rules: key.origin_rules.iter().map(ToString::to_string).collect(),
        bundle_ids: key.bundle_ids.clone(),
        is_own: false,
    });
    let status = status_of(refused.as_ref());
    let page = PublishablePage {
        frame: operator.frame_again("Publishable keys", Section::PublishableKeys, refused),
        keys: rows.collect(),
        next: found.next.map(Cursor::encode),
        fresh,
    };
    operator.page(status, &page)
}

async fn private(
    operator: &Operator,
    wanted: &PageRequest,
    fresh: Option<String>,
    refused: Option<Refused>,
) -> Result<HttpResponse, Problem> {
    let owner = operator.admin.organization;
    let own = operator.admin.sign_in.as_ref().map(|sign_in| sign_in.private_key);
    let found = operator.app.store.list::<PrivateKey>(owner, wanted.cursor, wanted.limit).await?;
    let rows = found.items.iter().map(|key| KeyRow {
        id: key.id.to_string(),
        label: key.label.clone(),
        hint: key.hint.clone(),
        created: key.created_at.into(),
        revoked: key.revoked_at.map(Moment::from),
        origin_rules: Vec::new(),
        bundle_ids: Vec::new(),
        is_own: Some(key.id) == own,
    });
    let status = status_of(refused.as_ref());
    let page = PrivatePage {
        frame: operator.frame_again("Private keys", Section::PrivateKeys, refused),
        keys: rows.collect(),
        next: found.next.map(Cursor::encode),
        fresh,
        active: operator.app.store.access().tally(owner).private_keys.len(),
    };
    operator.page(status, &page)
}
