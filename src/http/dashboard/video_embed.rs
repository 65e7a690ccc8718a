//! A video's Embed page: what to paste where, with its own ids in it.

use super::frame::{Frame, Section};
use super::operator::{Operator, Refused, status_of};
use super::video::{Head, find};
use super::words::Moment;
use crate::app::PreviewToken;
use crate::domain::{Embed, Video};
use crate::http::problem::Problem;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

#[derive(Template)]
#[template(path = "video_embed.html")]
struct Page {
    frame: Frame,
    head: Head,
    embed: Option<String>,
    public_url: String,
    /// A signing key to write into the samples.
    key: Option<String>,
    preview: Option<Preview>,
}

struct Preview {
    token: String,
    url: String,
    expires: Moment,
}

impl Page {
    fn embed_id(&self) -> &str {
        self.embed.as_deref().unwrap_or("EMBED_ID")
    }

    fn key_id(&self) -> &str {
        self.key.as_deref().unwrap_or("SIGNING_KEY_ID")
    }
}

/// `GET /dashboard/videos/{id}/embed`
pub async fn show(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    page(&operator, &find(&operator, &request).await?, None, None).await
}

/// `POST /dashboard/videos/{id}/embed/preview`: a token to try it with.
pub async fn preview(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let video = find(&operator, &request).await?;
    match operator.app.preview_token(operator.admin.organization, video.id) {
        Some(token) => page(&operator, &video, Some(token), None).await,
        None => page(&operator, &video, None, Some(Refused::of(crate::http::admin::preview::no_signing_key()))).await,
    }
}

async fn page(
    operator: &Operator,
    video: &Video,
    token: Option<PreviewToken>,
    refused: Option<Refused>,
) -> Result<HttpResponse, Problem> {
    let embeds = operator.app.store.children::<Embed>(video.id.0, 1).await?;
    let embed = embeds.first().map(|embed| embed.id.to_string());
    let key = {
        let access = operator.app.store.access();
        let owner = operator.admin.organization;
        let mine = access.signing_keys().filter(|key| key.organization == owner && key.revoked_at.is_none());
        mine.max_by_key(|key| key.created_at).map(|key| key.id.to_string())
    };
    let public_url = operator.app.config.server.public_url.clone();
    let preview = token.map(|token| Preview {
        url: format!("{public_url}/embed/{}?token={}", embed.as_deref().unwrap_or_default(), token.text),
        token: token.text,
        expires: token.expires_at.into(),
    });
    let status = status_of(refused.as_ref());
    let frame = operator.frame_again(&video.title, Section::Videos, refused);
    let head = Head::of(operator, video, "embed");
    operator.page(status, &Page { frame, head, embed, public_url, key, preview })
}
