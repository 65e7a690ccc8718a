//! `/signing-keys`: creating, listing, rotating, revoking. The secret is in the answer that creates a key, nowhere else.

use super::{Refused, created, event, ok, page, with};
use crate::app::{App, NewSigningKey, TooManyKeys, new_signing_key};
use crate::domain::{Kind, Mandate, OrganizationId, SigningKey, SigningKeyId, limits};
use crate::http::extract::{Admin, PageRequest, path_id};
use crate::http::form::Form;
use crate::http::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

/// `GET /signing-keys`
pub async fn list(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let wanted = PageRequest::of(&request)?;
    let found = app.store.list::<SigningKey>(admin.organization, wanted.cursor, wanted.limit).await?;
    let live = app.sessions.count_by_key(admin.organization, app.now());
    let items = found.items.iter().map(|key| body(&app, key, live.get(&key.id).copied().unwrap_or_default()));
    Ok(page(&items.collect::<Vec<_>>(), found.next))
}

/// `POST /signing-keys`
pub async fn create(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let form = Form::read_optional(&request, payload).await?;
    Ok(created(&make(&app, &admin, form).await?))
}

/// Makes a key: its answer, secret and all.
pub async fn make(app: &App, admin: &Admin, mut form: Form) -> Result<Value, Problem> {
    let label = form.name("label").unwrap_or_default();
    form.finish()?;
    let key = new_signing_key(app, admin.organization, label);
    let (record, mandate) = (key.record.clone(), admin.mandate());
    app.store
        .write(app.now(), move |draft| {
            NewSigningKey::store(draft, &record, mandate, "signing_key.create").map_err(too_many)?;
            Ok::<_, Refused>(())
        })
        .await?;
    Ok(with_secret(app, &key))
}

/// `POST /signing-keys/{id}/rotate`: a new active key; the old one stays active until it is revoked.
pub async fn rotate(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let old = path_id(&request, SigningKeyId::parse)?;
    Ok(created(&make_successor(&app, &admin, old).await?))
}

/// Makes the key that is to follow `old`: its answer, secret and all.
pub async fn make_successor(app: &App, admin: &Admin, old: SigningKeyId) -> Result<Value, Problem> {
    let old: SigningKey = app.store.find(old.0).await?.ok_or_else(Problem::not_found)?;
    if old.organization != admin.organization {
        return Err(Problem::not_found());
    }
    let key = new_signing_key(app, admin.organization, old.label.clone());
    let (record, mandate) = (key.record.clone(), admin.mandate());
    app.store
        .write(app.now(), move |draft| {
            let old: SigningKey = draft.find(old.id.0).ok_or_else(Problem::not_found)?;
            if old.revoked_at.is_some() {
                let sentence = "This signing key is revoked. Create a new one instead.";
                return Err(Problem::conflict("signing_key_revoked", sentence).into());
            }
            NewSigningKey::store(draft, &record, mandate, "signing_key.rotate").map_err(too_many)?;
            Ok::<_, Refused>(())
        })
        .await?;
    Ok(with_secret(app, &key))
}

/// `POST /signing-keys/{id}/revoke`: again is the same as once; durable and in force before it is answered.
pub async fn revoke(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let id = path_id(&request, SigningKeyId::parse)?;
    let key = revoke_key(&app, admin.mandate(), Some(admin.organization), id).await?;
    Ok(ok(&body(&app, &key, 0)))
}

/// Revokes a key; of any organization where `organization` is `None`, as from the appliance's socket.
pub async fn revoke_key(
    app: &App,
    mandate: Mandate,
    organization: Option<OrganizationId>,
    id: SigningKeyId,
) -> Result<SigningKey, Problem> {
    let now = app.now();
    let revoked = app.store.write_urgent(now, move |draft| {
        let key = draft.find::<SigningKey>(id.0);
        let mut key = key
            .filter(|key| organization.is_none_or(|owner| owner == key.organization))
            .ok_or_else(Problem::not_found)?;
        if key.revoked_at.is_none() {
            key.revoked_at = Some(now);
            draft.put(&key);
            let detail = json!({ "label": key.label });
            draft.audit(event(mandate, key.organization, "signing_key.revoke", (Kind::SigningKey, id.0), detail));
        }
        Ok::<_, Refused>(key)
    });
    let key = revoked.await?;
    let access = app.store.access();
    let is_other = |other: &SigningKey| other.organization == key.organization && other.revoked_at.is_none();
    if !access.signing_keys().any(|other| is_other(other)) {
        tracing::warn!(organization = %key.organization, "no active signing key is left: private videos play for nobody until there is one");
    }
    Ok(key)
}

fn too_many(_: TooManyKeys) -> Problem {
    let sentence = format!("An organization has {} signing keys at most, revoked ones included.", limits::SIGNING_KEYS);
    Problem::conflict("too_many_keys", sentence)
}

fn with_secret(app: &App, key: &NewSigningKey) -> Value {
    with(body(app, &key.record, 0), "secret", key.secret.expose().as_str())
}

/// A key on the wire; never its secret.
pub fn body(app: &App, key: &SigningKey, live_sessions: usize) -> Value {
    json!({
        "id": key.id.to_string(),
        "label": key.label,
        "status": if key.revoked_at.is_some() { "revoked" } else { "active" },
        "createdAt": key.created_at.to_string(),
        "lastUsedAt": app.last_used(key).map(|at| at.to_string()),
        "revokedAt": key.revoked_at.map(|at| at.to_string()),
        "liveSessions": if key.revoked_at.is_some() { 0 } else { live_sessions }
    })
}
