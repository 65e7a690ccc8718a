//! What concerns the whole appliance, over the unix socket: how it is, organizations, keys of any organization, backups.
//! Whoever may open the socket is root or the service's own user.

use super::admin::signing_keys::{self, revoke_key};
use super::admin::{created, explain as explaining, ok, page, with};
use super::extract::{PageRequest, path_id};
use super::form::Form;
use super::health::{self, is_healthy};
use super::problem::Problem;
use crate::app::{App, OldAssetKeys, new_organization};
use crate::domain::{Actor, MediaFileId, Organization, OrganizationId, SigningKey, SigningKeyId, limits};
use crate::store::{Cursor, create_backup};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use std::io;
use std::path::PathBuf;

/// `GET /appliance/v1/status`
pub async fn status(app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let room = app.disk.room().map_err(|error| Problem::storage_unavailable(&error))?;
    let concerns = app.concerns();
    let organizations = app.store.access().organizations().count();
    Ok(ok(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "publicUrl": app.config.server.public_url,
        "stateDir": app.state().path().display().to_string(),
        "organizations": organizations,
        "freeBytes": room.free_bytes,
        "freeFiles": room.free_files,
        "usedPercent": room.used_percent,
        "healthy": is_healthy(&concerns),
        "concerns": health::list(&concerns),
        "damagedMedia": health::list_damaged(&app.damaged.list(None))
    })))
}

/// `GET /appliance/v1/organizations`
pub async fn organizations(request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let wanted = PageRequest::of(&request)?;
    let found = app.store.list::<Organization>(OrganizationId::APPLIANCE, wanted.cursor, wanted.limit).await?;
    let items = found.items.iter().map(|organization| {
        json!({
            "id": organization.id.to_string(),
            "name": organization.name,
            "createdAt": organization.created_at.to_string()
        })
    });
    Ok(page(&items.collect::<Vec<_>>(), found.next))
}

/// `POST /appliance/v1/organizations`: another organization, with its first keys, shown once.
pub async fn create_organization(
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let mut form = Form::read(&request, payload).await?;
    let name = form.required_name("name");
    form.finish()?;
    let keys = new_organization(&app, Actor::Appliance, name).await?;
    Ok(created(&json!({
        "organizationId": keys.organization.id.to_string(),
        "name": keys.organization.name,
        "privateKey": keys.private_key.expose(),
        "publishableKey": keys.publishable_key.expose()
    })))
}

/// `GET /appliance/v1/signing-keys`: of every organization.
pub async fn signing_keys(app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let mut keys: Vec<std::sync::Arc<SigningKey>> = app.store.access().signing_keys().cloned().collect();
    keys.sort_by_key(|key| std::cmp::Reverse((key.created_at, key.id)));
    let items: Vec<Value> = keys
        .iter()
        .map(|key| with(signing_keys::body(&app, key, 0), "organizationId", key.organization.to_string()))
        .collect();
    Ok(page(&items, None::<Cursor>))
}

/// `POST /appliance/v1/signing-keys/{id}/revoke`
pub async fn revoke_signing_key(request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let id = path_id(&request, SigningKeyId::parse)?;
    let key = revoke_key(&app, Actor::Appliance.into(), None, id).await?;
    Ok(ok(&signing_keys::body(&app, &key, 0)))
}

/// `POST /appliance/v1/asset-keys/rotate`: `{"dropOld"}`, false unless given.
pub async fn rotate_asset_key(
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let mut form = Form::read_optional(&request, payload).await?;
    let drop_old = form.boolean("dropOld").unwrap_or(false);
    form.finish()?;
    if !drop_old && app.store.access().asset_keys().count() >= limits::ASSET_KEYS {
        let sentence = format!(
            "{} asset keys still verify. The oldest is forgotten 7 days after the one that followed it; or drop them all.",
            limits::ASSET_KEYS
        );
        return Err(Problem::conflict("too_many_keys", sentence));
    }
    let old = if drop_old { OldAssetKeys::Dropped } else { OldAssetKeys::Kept };
    Ok(ok(&json!({ "assetKey": app.rotate_asset_key(old).await? })))
}

/// `POST /appliance/v1/explain`
pub async fn explain(
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let form = Form::read(&request, payload).await?;
    Ok(ok(&explaining::explained(&app, None, form).await?))
}

/// `POST /appliance/v1/media/check`: `{"files"}`, ids of media files to be read again at once, besides those that are
/// known to be damaged.
pub async fn check_media(
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let mut form = Form::read(&request, payload).await?;
    let is_id = |text: &str| MediaFileId::parse(text).ok_or_else(|| "is not the id of a media file".to_owned());
    let files = form.list("files", limits::CHECKED_FILES, is_id).unwrap_or_default();
    form.finish()?;
    app.look_at_media(files).await;
    app.write_scrub_note().await;
    Ok(ok(&health::list_damaged(&app.damaged.list(None))))
}

/// `POST /appliance/v1/backup`: `{"directory"}`, an absolute path that does not exist yet, written by the server.
pub async fn backup(request: HttpRequest, payload: web::Payload, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let mut form = Form::read(&request, payload).await?;
    let directory = PathBuf::from(form.required_text("directory"));
    if !directory.is_absolute() {
        form.wrong("directory", "must be an absolute path");
    }
    form.finish()?;
    let now = app.now();
    let report = create_backup(&app.store, &app.media, app.disk.clone(), &directory, now).await?;
    // A disk that hangs is not to keep the loop that revokes.
    if let Err(error) = web::block(move || app.state().note_backup(now)).await.map_err(io::Error::other).flatten() {
        tracing::warn!(%error, "the backup is whole; that it was made could not be written down");
    }
    Ok(ok(&json!(report)))
}
