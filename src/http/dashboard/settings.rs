//! Settings: token access, the default for new videos, lives of URLs and sessions, origin rules.

use super::frame::{Frame, Section};
use super::operator::{Operator, Posted, Refused, check_typed, done, status_of};
use super::words;
use crate::domain::{Organization, Visibility, limits};
use crate::http::admin::{organization, videos};
use crate::http::problem::Problem;
use actix_web::{HttpResponse, web};
use askama::Template;
use std::ops::RangeInclusive;
use std::sync::Arc;

const HERE: &str = "/dashboard/settings";

#[derive(Template)]
#[template(path = "settings.html")]
struct Page {
    frame: Frame,
    organization: Arc<Organization>,
    /// Signing keys that may sign.
    signing_keys: usize,
    public_videos: usize,
    private_videos: usize,
    origin_rules: String,
    lives: [Life; 3],
}

impl Page {
    fn has_token_access(&self) -> bool {
        let stored = if self.organization.settings.token_access { "true" } else { "false" };
        self.frame.shown("tokenAccess", stored) == "true"
    }

    fn is_private_by_default(&self) -> bool {
        let stored = match self.organization.settings.default_visibility {
            Visibility::Private => "private",
            Visibility::Public => "public",
        };
        self.frame.shown("defaultVisibility", stored) == "private"
    }
}

/// A length of time that may be set.
struct Life {
    field: &'static str,
    name: &'static str,
    /// What it is for, and what follows from it.
    meaning: &'static str,
    seconds: u32,
    shortest: u32,
    longest: u32,
}

impl Life {
    fn new(
        field: &'static str,
        name: &'static str,
        meaning: &'static str,
        seconds: u32,
        range: &RangeInclusive<u32>,
    ) -> Self {
        Self { field, name, meaning, seconds, shortest: *range.start(), longest: *range.end() }
    }

    fn in_words(&self) -> String {
        words::seconds(self.seconds)
    }

    fn bounds(&self) -> String {
        format!("{} to {}", words::seconds(self.shortest), words::seconds(self.longest))
    }
}

/// `GET /dashboard/settings`
pub async fn show(operator: Operator) -> Result<HttpResponse, Problem> {
    page(&operator, None)
}

/// `POST /dashboard/settings`
pub async fn save(operator: Operator, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let (form, refused) = Posted::read(payload).await?.split();
    match organization::set(&operator.app, &operator.admin, form).await {
        Ok(_) => Ok(done(HERE, "saved")),
        Err(problem) => page(&operator, Some(refused(problem))),
    }
}

/// `POST /dashboard/settings/apply`: the default visibility for every video there is.
pub async fn apply(operator: Operator, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let posted = Posted::read(payload).await?;
    let visibility = posted.typed("visibility").to_owned();
    if let Err(problem) = check_typed(&posted, &visibility) {
        return page(&operator, Some(posted.refused(problem)));
    }
    let (_, refused) = posted.split();
    let form = Posted::of(vec![("visibility".into(), visibility.clone())]).form;
    match videos::set_all(&operator.app, &operator.admin, form).await {
        Ok(_) => Ok(done(HERE, if visibility == "private" { "all_private" } else { "all_public" })),
        Err(problem) => page(&operator, Some(refused(problem))),
    }
}

fn page(operator: &Operator, refused: Option<Refused>) -> Result<HttpResponse, Problem> {
    let organization = operator.app.organization(operator.admin.organization).ok_or_else(Problem::not_found)?;
    let status = status_of(refused.as_ref());
    let settings = &organization.settings;
    let access = operator.app.store.access();
    let count = |visibility| access.videos_of(organization.id, visibility).count();
    let lives = [
        Life::new(
            "assetUrlTtl",
            "Asset URLs live for",
            "A leaked URL plays no longer than this. The player renews its own before they run out.",
            settings.asset_url_ttl_s,
            &limits::ASSET_URL_TTL_S,
        ),
        Life::new(
            "sessionMaxAge",
            "A viewing may go on for",
            "Counted from its start. 0 ends it with its first URLs, unless the page brings a fresh token.",
            settings.session_max_age_s,
            &limits::SESSION_MAX_AGE_S,
        ),
        Life::new(
            "maxTokenLifetime",
            "Tokens may live for",
            "A token whose exp is further from its iat is refused. Minutes are enough: the session carries on.",
            settings.max_token_lifetime_s,
            &limits::TOKEN_LIFETIME_S,
        ),
    ];
    let page = Page {
        signing_keys: access
            .signing_keys()
            .filter(|key| key.organization == organization.id && key.revoked_at.is_none())
            .count(),
        public_videos: count(Visibility::Public),
        private_videos: count(Visibility::Private),
        origin_rules: settings.origin_rules.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        lives,
        organization: Arc::clone(&organization),
        frame: operator.frame_again("Settings", Section::Settings, refused),
    };
    operator.page(status, &page)
}
