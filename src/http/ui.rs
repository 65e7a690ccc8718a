//! The pages' scripts and styles: compiled in (build.rs makes them), or laid over from `ui.static_dir`.

use super::headers::{list, lone};
use super::problem::Problem;
use crate::config::Config;
use crate::domain::{hex, limits};
use actix_files::Files;
use actix_web::body::{MessageBody, SizedStream};
use actix_web::dev::RequestHead;
use actix_web::guard::{self, Guard};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, IF_NONE_MATCH, VARY,
};
use actix_web::{HttpRequest, HttpResponse, web};
use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use futures_util::stream;
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::path::Path;

/// One file of the bundle.
struct BuiltIn {
    name: &'static str,
    content_type: &'static str,
    /// Of the plain bytes, in hexadecimal.
    hash: &'static str,
    plain: &'static [u8],
    brotli: &'static [u8],
}

const FILES: &[BuiltIn] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));
/// What others wrote and we ship, with its licences: the bundle's name for it.
const LICENCES: &str = "licences.txt";
const WRAPPER: &str = "screener-player.js";
/// How hard brotli tries. A page is made for each reader, so more would be paid at each start.
const BROTLI_QUALITY: i32 = 5;
/// Base-two logarithm of the bytes that it looks back: a page is shorter. With 16 or less the encoder (brotli 8) has no
/// tables of its own for this quality, and fills 32 MiB of others for each page: 2.7 ms instead of 0.14.
const BROTLI_WINDOW: i32 = 17;
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";

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
        for file in FILES {
            hash.update(file.name.as_bytes());
            hash.update(file.hash.as_bytes());
        }
        let version = hex(&hash.finalize()).chars().take(16).collect();
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
        Some(directory) => {
            // What is hidden or a directory is not meant, and a pipe would hold whoever opens it.
            let is_file = {
                let directory = directory.clone();
                move |path: &Path, _: &RequestHead| {
                    let is_hidden = path.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."));
                    !is_hidden && directory.join(path).is_file()
                }
            };
            let files = Files::new("", directory).disable_content_disposition().use_etag(false).use_hidden_files();
            let files = files.path_filter(is_file).default_handler(web::to(built_in));
            scope
                .service(files.guard(guard::fn_guard(|it| guard::Get().check(it) || guard::Head().check(it))))
                .default_service(web::to(not_allowed))
        }
        None => scope.service(
            web::resource("/{name}")
                .route(web::get().to(built_in))
                .route(web::head().to(built_in))
                .default_service(web::to(not_allowed)),
        ),
    }
}

async fn not_allowed() -> Result<HttpResponse, Problem> {
    Err(Problem::method_not_allowed("GET, HEAD"))
}

async fn built_in(request: HttpRequest, ui: web::Data<Ui>) -> Result<HttpResponse, Problem> {
    let name = request.uri().path().rsplit('/').next().unwrap_or_default();
    // Laid-over files may change at any time, and the built-in ones then belong to a mixed set.
    file(&request, name, if ui.is_overlaid { ASK_AGAIN } else { FOR_EVER })
}

/// Answers GET and HEAD: `/licenses`.
pub async fn licences(request: HttpRequest) -> Result<HttpResponse, Problem> {
    file(&request, LICENCES, ASK_AGAIN)
}

/// Answers GET and HEAD: `/screener-player.js`, the module with which pages of others drive the player. Everybody may
/// read it; it says nothing of anybody.
pub async fn wrapper(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut response = file(&request, WRAPPER, "public, max-age=3600")?;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));
    Ok(response)
}

fn file(request: &HttpRequest, name: &str, cache: &str) -> Result<HttpResponse, Problem> {
    let file = FILES.iter().find(|file| file.name == name).ok_or_else(Problem::not_found)?;
    let is_brotli = takes_brotli(request);
    // Two representations, two tags (RFC 9110 §8.8.3).
    let etag = format!("\"{}{}\"", file.hash, if is_brotli { "-br" } else { "" });
    let mut response = HttpResponse::Ok();
    response
        .insert_header((ETAG, etag.as_str()))
        .insert_header((CACHE_CONTROL, cache))
        .insert_header((VARY, ACCEPT_ENCODING.as_str()));
    if lone(request, &IF_NONE_MATCH) == Some(etag.as_str()) {
        return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
    }
    response.insert_header((CONTENT_TYPE, file.content_type));
    if is_brotli {
        response.insert_header((CONTENT_ENCODING, "br"));
    }
    Ok(response.body(in_steps(if is_brotli { file.brotli } else { file.plain })))
}

/// A file as a body: what of it waits for a slow reader is a step, not the whole.
fn in_steps(bytes: &'static [u8]) -> impl MessageBody {
    let steps = bytes.chunks(limits::SLOW_MEDIA_STEP_BYTES).map(Bytes::from_static);
    SizedStream::new(bytes.len() as u64, stream::iter(steps.map(Ok::<_, Infallible>)))
}

/// A page as brotli, or None where that fails.
///
/// The length of an embed page tells nobody of the secrets in it: they are made anew for each answer, and nothing of the
/// request stands beside them, neither the address's parameters nor the token, so that there is nothing to guess with.
pub fn compressed(html: &str) -> Option<Vec<u8>> {
    let parameters = BrotliEncoderParams {
        quality: BROTLI_QUALITY,
        lgwin: BROTLI_WINDOW,
        size_hint: html.len(),
        ..BrotliEncoderParams::default()
    };
    let mut compressed = Vec::new();
    brotli::BrotliCompress(&mut html.as_bytes(), &mut compressed, &parameters).ok()?;
    Some(compressed)
}

/// Whether an answer to this request may come in brotli.
pub fn takes_brotli(request: &HttpRequest) -> bool {
    list(request, &ACCEPT_ENCODING).is_some_and(|accepted| accepts_brotli(&accepted))
}

/// Whether brotli is named, with a weight that is not 0 (RFC 9110 §12.5.3). A mere `*` gets the plain file: whoever
/// sends it is no browser.
fn accepts_brotli(accepted: &str) -> bool {
    accepted.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case("br"));
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        is_named && weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brotli_goes_to_whoever_names_it() {
        for accepted in ["br", "gzip, deflate, br, zstd", "gzip;q=1.0, BR;q=0.1", "br ; q=0.5"] {
            assert!(accepts_brotli(accepted), "{accepted}");
        }
        for refused in ["", "gzip", "*", "br;q=0", "br;q=0.000, gzip", "brotli", "br;q=x"] {
            assert!(!accepts_brotli(refused), "{refused}");
        }
    }

    /// The budgets of what a viewer waits for, in bytes of brotli.
    #[test]
    fn the_bundle_keeps_its_budgets() {
        let size_of_one = |name: &str| FILES.iter().find(|file| file.name == name).map_or(0, |file| file.brotli.len());
        assert!((5_000..=15_000).contains(&size_of_one("player.js")), "what shows the first frame is too large");
        assert!((10_000..=91_000).contains(&size_of_one("library.js")), "what plays on is too large");
        assert!(size_of_one("interface.js") <= 44_000, "the interface is too large");
        assert!(size_of_one("player.css") + size_of_one("interface.css") <= 4_000, "the styles are too large");
        for (name, budget) in [("dashboard.js", 5_000), ("dashboard.css", 10_000), ("upload.js", 17_000)] {
            assert!((300..=budget).contains(&size_of_one(name)), "{name} has {} bytes", size_of_one(name));
        }
    }

    /// A file that the player imports at once would be one request more before the first frame.
    #[test]
    fn the_player_is_one_file() {
        let player = FILES.iter().find(|file| file.name == "player.js").unwrap();
        let text = std::str::from_utf8(player.plain).unwrap();
        let head = text.get(..2_000).unwrap();
        assert!(!head.contains("from\"./") && !head.contains("import\"./"), "{head}");
    }

    #[test]
    fn every_package_in_the_bundle_is_listed_with_its_licence() {
        let list = FILES.iter().find(|file| file.name == LICENCES).unwrap();
        let text = std::str::from_utf8(list.plain).unwrap();
        for name in ["hls.js 1.", "media-chrome 4."] {
            assert!(text.contains(name), "{name} is not in\n{text}");
        }
        assert!(text.contains("Licensed under the Apache License, Version 2.0"));
    }
}
