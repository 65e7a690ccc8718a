//! `GET /oembed?url=<embed page>`: how a site that is given a public video's address shows the player (oEmbed 1.0).
//!
//! No thumbnail is named: a picture leaves only by a URL that expires, and consumers keep what they are told.

use super::cors;
use super::playback::Subject;
use super::problem::Problem;
use super::rate::RateLimits;
use super::trace::LoggedOrganization;
use crate::app::App;
use crate::auth::Denied;
use crate::domain::{EmbedId, MediaSummary, OrganizationId, Origin, Video, Visibility, limits};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, ResponseError, web};
use askama::Template;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How long an answer may be kept, in seconds: a title that was corrected, or a video made private, is soon noticed.
const CACHE_S: u32 = 300;
/// Width and height, in pixels, into which the player is fitted for a site that sets no bounds.
const BOX_PX: u32 = 640;

/// What a site puts into its page. The attributes are those of docs/player.md.
#[derive(Template)]
#[template(
    source = r#"<iframe src="{{ src }}" title="Video: {{ title }}" width="{{ width_px }}" height="{{ height_px }}" allow="autoplay; fullscreen; picture-in-picture; clipboard-write" allowfullscreen loading="lazy" referrerpolicy="strict-origin-when-cross-origin" style="border:0"></iframe>"#,
    ext = "html"
)]
struct Snippet<'a> {
    src: &'a str,
    title: &'a str,
    width_px: u32,
    height_px: u32,
}

/// What was asked for.
#[derive(Debug, PartialEq)]
struct Wish {
    embed: EmbedId,
    max_width_px: Option<u32>,
    max_height_px: Option<u32>,
}

/// Where an embed is described, for the page to say so. Nothing in it needs encoding within a query (RFC 3986 §3.4).
pub fn url_of(public_url: &str, embed: &str) -> String {
    format!("{public_url}/oembed?format=json&url={public_url}/embed/{embed}")
}

/// Answers GET and HEAD.
pub async fn describe(request: HttpRequest, app: web::Data<App>, rates: web::Data<RateLimits>) -> HttpResponse {
    match answer(&request, &app, &rates).await {
        Ok((body, owner)) => {
            let mut response =
                HttpResponse::Ok().insert_header((CACHE_CONTROL, format!("public, max-age={CACHE_S}"))).json(body);
            let origin = cors::allowed_origin(&request, &app, Some(owner));
            cors::expose(&mut response, origin.as_ref(), &cors::API);
            response
        }
        Err(problem) => problem.error_response(),
    }
}

async fn answer(request: &HttpRequest, app: &App, rates: &RateLimits) -> Result<(Value, OrganizationId), Problem> {
    rates.count_playback(request)?;
    let wish = Wish::read(request.query_string(), &app.own_origin)?;
    let subject = Subject::find(app, wish.embed).await?.ok_or_else(Problem::not_found)?;
    let Subject { embed, video, organization } = &subject;
    request.extensions_mut().insert(LoggedOrganization(organization.id));
    if video.visibility == Visibility::Private {
        // 401 is oEmbed's own status for it (§2.3.4). No credential helps, so that none is asked for by name.
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "video_private",
            "This video is private: only the site that it belongs to can embed it.",
        )
        .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
    }
    if video.source.is_none() {
        return Err(Denied::VideoNotReady.into());
    }
    let (width_px, height_px) = fit(dimensions(video), wish.max_width_px, wish.max_height_px);
    let public_url = &app.config.server.public_url;
    let src = format!("{public_url}/embed/{}", embed.id);
    let html = Snippet { src: &src, title: &video.title, width_px, height_px }
        .render()
        .map_err(|error| Problem::internal(&error))?;
    let body = json!({
        "type": "video",
        "version": "1.0",
        "title": video.title,
        "author_name": organization.name,
        "provider_name": "Screener",
        "provider_url": public_url,
        "cache_age": CACHE_S,
        "html": html,
        "width": width_px,
        "height": height_px
    });
    Ok((body, organization.id))
}

impl Wish {
    /// Reads a query; 400 for one that can't be read, 404 for an address that is no embed page of `own_origin`.
    fn read(query: &str, own_origin: &Origin) -> Result<Self, Problem> {
        let unreadable = |_| Problem::bad_request("The query is not percent-encoded UTF-8.");
        let given = web::Query::<BTreeMap<String, String>>::from_query(query).map_err(unreadable)?.into_inner();
        if given.get("format").is_some_and(|format| format != "json") {
            let sentence = "oEmbed is answered as JSON only.";
            return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "format_not_supported", sentence));
        }
        let url =
            given.get("url").ok_or_else(|| Problem::bad_request("The address of an embed page is needed as url."))?;
        let origin = Origin::of(url).ok_or_else(|| Problem::bad_request("The url is not an http or https address."))?;
        Ok(Self {
            embed: embed_of(url).filter(|_| origin == *own_origin).ok_or_else(Problem::not_found)?,
            max_width_px: bound(given.get("maxwidth"))?,
            max_height_px: bound(given.get("maxheight"))?,
        })
    }
}

fn bound(text: Option<&String>) -> Result<Option<u32>, Problem> {
    let read = |text: &String| text.parse().ok().filter(|pixels| limits::OEMBED_SIDE_PX.contains(pixels));
    text.map(read).map_or(Ok(None), |pixels| match pixels {
        Some(pixels) => Ok(Some(pixels)),
        None => Err(Problem::bad_request("maxwidth and maxheight are whole numbers of pixels from 1 to 10,000.")),
    })
}

/// The embed that an address names. What follows its path is the player's, not ours.
fn embed_of(url: &str) -> Option<EmbedId> {
    let (_, rest) = url.split_once("://")?;
    let (_, path) = rest.split_once('/')?;
    EmbedId::parse(path.split(['?', '#']).next()?.strip_prefix("embed/")?)
}

/// Displayed width and height in pixels; those of a wide screen where there is no picture.
fn dimensions(video: &Video) -> (u32, u32) {
    let dimensions = video.source.as_ref().and_then(MediaSummary::dimensions);
    dimensions.filter(|(width, height)| *width > 0 && *height > 0).unwrap_or((16, 9))
}

/// The largest size of this shape within the bounds: a player is as good as the room it gets.
fn fit((width, height): (u32, u32), max_width_px: Option<u32>, max_height_px: Option<u32>) -> (u32, u32) {
    let (max_width_px, max_height_px) = match (max_width_px, max_height_px) {
        (None, None) => (BOX_PX, BOX_PX),
        (width, height) => (width.unwrap_or(u32::MAX), height.unwrap_or(u32::MAX)),
    };
    let scaled = |side: u32, by: u32, of: u32| {
        let rounded = (u64::from(side) * u64::from(by) + u64::from(of) / 2) / u64::from(of);
        u32::try_from(rounded).unwrap_or(u32::MAX).max(1)
    };
    let for_width = scaled(height, max_width_px, width);
    if for_width <= max_height_px {
        (max_width_px, for_width)
    } else {
        (scaled(width, max_height_px, height).min(max_width_px), max_height_px)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_player_fills_the_bounds_and_keeps_its_shape() {
        assert_eq!(fit((1920, 1080), None, None), (640, 360));
        assert_eq!(fit((1080, 1920), None, None), (360, 640));
        assert_eq!(fit((1920, 1080), Some(320), None), (320, 180));
        assert_eq!(fit((1920, 1080), None, Some(1080)), (1920, 1080));
        assert_eq!(fit((1920, 1080), Some(1000), Some(90)), (160, 90));
        assert_eq!(fit((16, 9), Some(1), Some(1)), (1, 1));
        assert_eq!(fit((u32::MAX, 1), Some(10), Some(10)), (10, 1));
        assert_eq!(fit((1, u32::MAX), Some(10), None), (10, u32::MAX));
    }

    #[test]
    fn only_the_address_of_an_embed_page_here_names_an_embed() {
        let own = Origin::of("https://video.example.com").unwrap();
        let id = "5b0c8f10-5d2c-4b1e-9a3f-0123456789ab";
        let read = |url: &str| Wish::read(&format!("url={url}"), &own).map(|wish| wish.embed.to_string());
        for url in ["https://video.example.com/embed/", "https%3A%2F%2FVIDEO.example.com:443%2Fembed%2F"] {
            assert_eq!(read(&format!("{url}{id}")).unwrap(), id);
            assert_eq!(read(&format!("{url}{id}?token=x%23t=3")).unwrap(), id);
        }
        for (url, status) in [
            (format!("https://example.com/embed/{id}"), 404),
            (format!("http://video.example.com/embed/{id}"), 404),
            (format!("https://video.example.com/embed/{id}/"), 404),
            (format!("https://video.example.com/media/{id}"), 404),
            (format!("https://video.example.com@example.com/embed/{id}"), 400),
            ("https://video.example.com".to_owned(), 404),
            (format!("ftp://video.example.com/embed/{id}"), 400),
            (format!("/embed/{id}"), 400),
            ("%FF".to_owned(), 400),
        ] {
            assert_eq!(read(&url).unwrap_err().status().as_u16(), status, "{url}");
        }
    }
}
