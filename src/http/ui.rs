//! The pages' scripts and styles: compiled in, or laid over from `ui.static_dir`.

use super::problem::Problem;
use crate::config::Config;
use actix_files::Files;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use actix_web::{HttpRequest, HttpResponse, Responder, web};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

#[derive(RustEmbed)]
#[folder = "static/assets/"]
struct Assets;

/// Where the pages find their assets.
pub struct Ui {
    /// Path segment that changes with any asset, so that each URL's bytes never do.
    version: String,
    is_overlaid: bool,
}

impl Ui {
    /// For this build and configuration.
    pub fn new(config: &Config) -> Self {
        let mut hash = Sha256::new();
        let mut names: Vec<_> = Assets::iter().collect();
        names.sort();
        for name in names {
            if let Some(file) = Assets::get(&name) {
                hash.update(name.as_bytes());
                hash.update(file.metadata.sha256_hash());
            }
        }
        let version = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { version, is_overlaid: config.ui.static_dir.is_some() }
    }

    /// The URL of an asset.
    pub fn url(&self, name: &str) -> String {
        format!("/assets/{}/{name}", self.version)
    }
}

/// The assets, at `/assets/{version}`. Files of `static_dir` come first, through actix-files; what it does not have
/// comes from the binary.
pub fn assets(ui: &Ui, config: &Config) -> actix_web::Scope {
    let scope = web::scope(&format!("/assets/{}", ui.version));
    match &config.ui.static_dir {
        Some(directory) => scope.service(
            Files::new("", directory).disable_content_disposition().use_etag(false).default_handler(web::to(built_in)),
        ),
        None => scope.route("/{name}", web::get().to(built_in)).route("/{name}", web::head().to(built_in)),
    }
}

async fn built_in(request: HttpRequest, ui: web::Data<Ui>) -> Result<impl Responder, Problem> {
    let name = request.uri().path().rsplit('/').next().unwrap_or_default();
    let file = Assets::get(name).ok_or_else(Problem::not_found)?;
    let etag: String = file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{etag}\"");
    // Laid-over files may change at any time, and the built-in ones then belong to a mixed set.
    let cache = if ui.is_overlaid { "no-cache" } else { "public, max-age=31536000, immutable" };
    let mut response = HttpResponse::Ok();
    response.insert_header((ETAG, etag.as_str())).insert_header((CACHE_CONTROL, cache));
    if super::headers::lone(&request, &IF_NONE_MATCH) == Some(etag.as_str()) {
        return Ok(response.status(actix_web::http::StatusCode::NOT_MODIFIED).finish());
    }
    let content_type = match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    Ok(response.insert_header((CONTENT_TYPE, content_type)).body(file.data.into_owned()))
}
