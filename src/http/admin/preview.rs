//! `POST /videos/{id}/preview-token`: a viewer token for whoever looks after a video, as their backend would sign it.

use super::created;
use crate::app::{App, PreviewToken};
use crate::domain::{Embed, VideoId};
use crate::http::extract::{Admin, path_id};
use crate::http::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

/// Signs a token for a video, with the newest signing key.
pub async fn create(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    Ok(created(&make(&app, &admin, path_id(&request, VideoId::parse)?).await?))
}

/// The token's answer, with the address at which it plays.
pub async fn make(app: &App, admin: &Admin, id: VideoId) -> Result<Value, Problem> {
    let video = app.video_of(admin.organization, id).await?.ok_or_else(Problem::not_found)?;
    let PreviewToken { text, key, expires_at } =
        app.preview_token(admin.organization, video.id).ok_or_else(no_signing_key)?;
    let embeds = app.store.children::<Embed>(id.0, 1).await?;
    let url = embeds.first().map(|embed| app.url(&format!("/embed/{}?token={text}", embed.id)));
    Ok(json!({
        "token": text,
        "signingKeyId": key.to_string(),
        "expiresAt": expires_at.to_string(),
        "url": url
    }))
}

/// 409 where no key is active.
pub fn no_signing_key() -> Problem {
    Problem::conflict("no_signing_key", "There is no active signing key to sign a token with. Create one first.")
}
