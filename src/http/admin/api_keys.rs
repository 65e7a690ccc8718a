//! `/publishable-keys` and `/private-keys`. Both are stored as hashes; the key is in the answer that creates it.

use super::{Refused, created, event, ok, page, with};
use crate::app::App;
use crate::auth::mint;
use crate::domain::{Kind, PrivateKey, PrivateKeyId, PublishableKey, PublishableKeyId, limits};
use crate::http::extract::{Admin, PageRequest, path_id};
use crate::http::form::Form;
use crate::http::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

/// `GET /publishable-keys`
pub async fn list_publishable(
    admin: Admin,
    request: HttpRequest,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let wanted = PageRequest::of(&request)?;
    let found = app.store.list::<PublishableKey>(admin.organization, wanted.cursor, wanted.limit).await?;
    let items: Vec<Value> = found.items.iter().map(publishable_body).collect();
    Ok(page(&items, found.next))
}

/// `POST /publishable-keys`
pub async fn create_publishable(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let form = Form::read_optional(&request, payload).await?;
    Ok(created(&make_publishable(&app, &admin, form).await?))
}

/// Makes a publishable key: its answer, the key itself and all.
pub async fn make_publishable(app: &App, admin: &Admin, mut form: Form) -> Result<Value, Problem> {
    let label = form.name("label").unwrap_or_default();
    let origin_rules = form.origin_rules("originRules").unwrap_or_default();
    let bundle_ids = form.list("bundleIds", limits::BUNDLE_IDS, read_bundle_id).unwrap_or_default();
    form.finish()?;
    let (minted, now) = (mint::publishable(app.random()), app.moment());
    let key = PublishableKey {
        id: PublishableKeyId::from_random(app.random()),
        organization: admin.organization,
        label,
        hash: minted.hash,
        hint: minted.hint,
        origin_rules,
        bundle_ids,
        created_at: now,
        revoked_at: None,
    };
    let (record, mandate) = (key.clone(), admin.mandate());
    app.store
        .write(now, move |draft| {
            check_count(draft.key_counts(record.organization).1)?;
            draft.put(&record);
            let detail = publishable_body(&record);
            let subject = (Kind::PublishableKey, record.id.0);
            draft.audit(event(mandate, record.organization, "publishable_key.create", subject, detail));
            Ok::<_, Refused>(())
        })
        .await?;
    Ok(with(publishable_body(&key), "key", minted.text.expose().as_str()))
}

/// `POST /publishable-keys/{id}/revoke`
pub async fn revoke_publishable(
    admin: Admin,
    request: HttpRequest,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let id = path_id(&request, PublishableKeyId::parse)?;
    Ok(ok(&withdraw_publishable(&app, &admin, id).await?))
}

/// Revokes a publishable key: the key as it is then.
pub async fn withdraw_publishable(app: &App, admin: &Admin, id: PublishableKeyId) -> Result<Value, Problem> {
    let (organization, mandate, now) = (admin.organization, admin.mandate(), app.now());
    let revoked = app.store.write_urgent(now, move |draft| {
        let key = draft.find::<PublishableKey>(id.0).filter(|key| key.organization == organization);
        let mut key = key.ok_or_else(Problem::not_found)?;
        if key.revoked_at.is_none() {
            key.revoked_at = Some(now);
            draft.put(&key);
            let subject = (Kind::PublishableKey, id.0);
            draft.audit(event(mandate, organization, "publishable_key.revoke", subject, json!({ "label": key.label })));
        }
        Ok::<_, Refused>(publishable_body(&key))
    });
    Ok(revoked.await?)
}

/// `GET /private-keys`
pub async fn list_private(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let wanted = PageRequest::of(&request)?;
    let found = app.store.list::<PrivateKey>(admin.organization, wanted.cursor, wanted.limit).await?;
    let items: Vec<Value> = found.items.iter().map(private_body).collect();
    Ok(page(&items, found.next))
}

/// `POST /private-keys`
pub async fn create_private(
    admin: Admin,
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let form = Form::read_optional(&request, payload).await?;
    Ok(created(&make_private(&app, &admin, form).await?))
}

/// Makes a private key: its answer, the key itself and all.
pub async fn make_private(app: &App, admin: &Admin, mut form: Form) -> Result<Value, Problem> {
    let label = form.name("label").unwrap_or_default();
    form.finish()?;
    let (minted, now) = (mint::private(app.random()), app.moment());
    let key = PrivateKey {
        id: PrivateKeyId::from_random(app.random()),
        organization: admin.organization,
        label,
        hash: minted.hash,
        hint: minted.hint,
        created_at: now,
        revoked_at: None,
    };
    let (record, mandate) = (key.clone(), admin.mandate());
    app.store
        .write(now, move |draft| {
            check_count(draft.key_counts(record.organization).1)?;
            draft.put(&record);
            let subject = (Kind::PrivateKey, record.id.0);
            let detail = json!({ "label": record.label });
            draft.audit(event(mandate, record.organization, "private_key.create", subject, detail));
            Ok::<_, Refused>(())
        })
        .await?;
    Ok(with(private_body(&key), "key", minted.text.expose().as_str()))
}

/// `POST /private-keys/{id}/revoke`; the last active one stays, so that nobody locks themselves out.
pub async fn revoke_private(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let id = path_id(&request, PrivateKeyId::parse)?;
    Ok(ok(&withdraw_private(&app, &admin, id).await?))
}

/// Revokes a private key: the key as it is then.
pub async fn withdraw_private(app: &App, admin: &Admin, id: PrivateKeyId) -> Result<Value, Problem> {
    let (organization, mandate, now) = (admin.organization, admin.mandate(), app.now());
    let revoked = app.store.write_urgent(now, move |draft| {
        let key = draft.find::<PrivateKey>(id.0).filter(|key| key.organization == organization);
        let mut key = key.ok_or_else(Problem::not_found)?;
        if key.revoked_at.is_none() {
            if draft.active_private_keys(organization) <= 1 {
                let sentence = "This is the organization's last private key. Create another one first.";
                return Err(Problem::conflict("last_private_key", sentence).into());
            }
            key.revoked_at = Some(now);
            draft.put(&key);
            let subject = (Kind::PrivateKey, id.0);
            draft.audit(event(mandate, organization, "private_key.revoke", subject, json!({ "label": key.label })));
        }
        Ok::<_, Refused>(private_body(&key))
    });
    Ok(revoked.await?)
}

fn check_count(keys: usize) -> Result<(), Problem> {
    if keys < limits::API_KEYS {
        return Ok(());
    }
    let sentence = format!("An organization has {} publishable and private keys at most.", limits::API_KEYS);
    Err(Problem::conflict("too_many_keys", sentence))
}

fn read_bundle_id(text: &str) -> Result<String, String> {
    let is_id = !text.is_empty()
        && text.len() <= limits::BUNDLE_ID_BYTES
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    if is_id { Ok(text.to_owned()) } else { Err("must be a bundle id such as com.acme.app".into()) }
}

fn publishable_body(key: &PublishableKey) -> Value {
    json!({
        "id": key.id.to_string(),
        "label": key.label,
        "hint": key.hint,
        "originRules": key.origin_rules,
        "bundleIds": key.bundle_ids,
        "createdAt": key.created_at.to_string(),
        "revokedAt": key.revoked_at.map(|at| at.to_string())
    })
}

fn private_body(key: &PrivateKey) -> Value {
    json!({
        "id": key.id.to_string(),
        "label": key.label,
        "hint": key.hint,
        "createdAt": key.created_at.to_string(),
        "revokedAt": key.revoked_at.map(|at| at.to_string())
    })
}
