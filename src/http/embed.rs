//! The embed page: `GET /embed/{embedId}?token=…`. The player where the viewer may watch, a page of the same look that
//! says why where not.

use super::blocked::Blocked;
use super::extract::{Admin, path_id};
use super::headers::{lone, single};
use super::oembed;
use super::playback::{Subject, open_session, until_settled};
use super::problem::{Problem, ProblemCode};
use super::rate::RateLimits;
use super::trace::LoggedOrganization;
use super::ui::{Ui, compressed, takes_brotli};
use crate::app::App;
use crate::auth::{Caller, PageOrigin, ViewerRequest, admit_viewer};
use crate::domain::{EmbedId, Origin, OriginRule};
use crate::media::master_playlist;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERER,
    REFERRER_POLICY, RETRY_AFTER, VARY,
};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use askama::Template;
use serde_json::{Value, json};

/// A playlist of a quarter of an hour. A longer one is fetched: the page must not become slower than that request.
const INLINE_PLAYLIST_BYTES: usize = 8 << 10;
/// Bytes that a segment takes in a playlist at least: `#EXTINF:2,`, `1.m4s`, and two ends of a line.
const LEAST_SEGMENT_BYTES: usize = 17;

#[derive(Template)]
#[template(path = "player.html")]
struct PlayerPage<'a> {
    title: &'a str,
    lang: &'a str,
    script_url: String,
    style_url: String,
    playback_json: String,
    /// What plays without the script.
    media_uri: Option<&'a str>,
    media_preload: &'static str,
    /// What the script fetches first.
    preload: Vec<String>,
    poster: Option<&'a str>,
    captions: Vec<TextTrack<'a>>,
    /// Where the page is described; of public videos only.
    oembed_url: Option<String>,
}

struct TextTrack<'a> {
    uri: &'a str,
    language: &'a str,
    label: &'a str,
}

impl<'a> TextTrack<'a> {
    fn of(captions: &'a Value) -> Self {
        let text = |name| captions.get(name).and_then(Value::as_str).unwrap_or_default();
        Self { uri: text("uri"), language: text("language"), label: text("label") }
    }
}

/// Answers GET and HEAD.
pub async fn page(
    request: HttpRequest,
    app: web::Data<App>,
    rates: web::Data<RateLimits>,
    ui: web::Data<Ui>,
) -> HttpResponse {
    let (rules, answer) = match find(&request, &app, &rates).await {
        Ok(subject) => {
            let rules = subject.organization.settings.origin_rules.clone();
            let video = subject.video.id;
            let answer = admit_with_playlists(&request, &app, &rates, subject).await;
            (rules, answer.map_err(|problem| Blocked::of(problem, &app, video)))
        }
        Err(problem) => (Vec::new(), Err(problem.into())),
    };
    let answer_is_player = answer.is_ok();
    let rendered = match answer {
        Ok(playback) => render_player(&ui, &app.config.server.public_url, &playback, request.query_string())
            .map(|html| (StatusCode::OK, html, None)),
        Err(blocked) => blocked.render(&ui).map(|html| (blocked.problem.status(), html, Some(blocked.problem))),
    };
    let style_sources = if answer_is_player { PLAYER_STYLES } else { STYLES };
    let (status, html, problem) = match rendered {
        Ok(rendered) => rendered,
        Err(error) => return actix_web::ResponseError::error_response(&Problem::internal(&error)),
    };
    let small = if takes_brotli(&request) { compressed(&html) } else { None };
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((CONTENT_SECURITY_POLICY, content_security_policy(&rules, style_sources)))
        .insert_header((
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
        ))
        .insert_header((HeaderName::from_static("x-robots-tag"), "noindex"))
        .insert_header((HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"))
        .insert_header((VARY, ACCEPT_ENCODING.as_str()));
    if small.is_some() {
        response.insert_header((CONTENT_ENCODING, "br"));
    }
    let mut response = response.body(small.unwrap_or_else(|| html.into_bytes()));
    if let Some(problem) = problem {
        if let Some(seconds) = problem.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, seconds.clone());
        }
        response.extensions_mut().insert(ProblemCode(problem.code()));
    }
    response
}

async fn find(request: &HttpRequest, app: &App, rates: &RateLimits) -> Result<Subject, Problem> {
    rates.count_playback(request)?;
    let id = path_id(request, EmbedId::parse)?;
    let subject = Subject::find(app, id).await?.ok_or_else(Problem::not_found)?;
    request.extensions_mut().insert(LoggedOrganization(subject.organization.id));
    Ok(subject)
}

/// The playback answer; `None` where what the viewer was admitted on has changed since.
fn admit(request: &HttpRequest, app: &App, rates: &RateLimits, subject: &Subject) -> Result<Option<Value>, Problem> {
    let now = app.now();
    let page = embedding_page(request);
    let viewer = admit_viewer(
        &ViewerRequest {
            organization: &subject.organization,
            video: &subject.video,
            caller: Caller::EmbedPage,
            page: &page,
            own_origin: &app.own_origin,
            token: token_in_query(request.query_string()),
        },
        |kid| app.verifying_key(subject.organization.id, kid),
        now,
    )?;
    rates.count_viewer(&viewer)?;
    // Whoever looks after the video is no viewer whose backend has switched to another key.
    let is_own = Admin::signed_in(request).is_some_and(|admin| admin.organization == subject.organization.id);
    if let Some(key) = viewer.authority().filter(|_| !is_own) {
        app.note_use(key, now);
    }
    open_session(app, subject, &viewer, "", now)
}

async fn admit_with_playlists(
    request: &HttpRequest,
    app: &App,
    rates: &RateLimits,
    mut subject: Subject,
) -> Result<Value, Problem> {
    until_settled(async || {
        let Some(mut answer) = admit(request, app, rates, &subject)? else {
            subject = Subject::find(app, subject.embed.id).await?.ok_or_else(Problem::not_found)?;
            return Ok(None);
        };
        if let (Some(inline), Some(members)) = (inline(app, &subject).await?, answer.as_object_mut()) {
            members.insert("inline".to_owned(), inline);
        }
        Ok(Some(answer))
    })
    .await
}

/// What a start would have to ask for before it knows its first segment: the playlists, and the names of the init and
/// first segment of the quality that stands first. Other qualities' playlists wait until they are chosen.
async fn inline(app: &App, subject: &Subject) -> Result<Option<Value>, Problem> {
    let playable = subject.video.playable();
    let first = playable.renditions.iter().find(|rendition| rendition.video.is_some());
    let Some(rendition) = first.or(playable.renditions.first()) else { return Ok(None) };
    let id = rendition.file.to_string();
    let mut media = serde_json::Map::new();
    // One that can't be short enough is not even written.
    let segments = app.segment_index(rendition).await?.segments.len();
    if segments <= INLINE_PLAYLIST_BYTES / LEAST_SEGMENT_BYTES {
        let list = app.segments_playlist(rendition).await?;
        if let Some(text) = std::str::from_utf8(&list.bytes).ok().filter(|text| text.len() <= INLINE_PLAYLIST_BYTES) {
            media.insert(format!("{id}/index.m3u8"), text.into());
        }
    }
    Ok(Some(json!({
        "master": master_playlist(&playable),
        "media": media,
        "preload": [format!("{id}/init.mp4"), format!("{id}/1.m4s")],
    })))
}

/// `token` of the query, undecoded: nothing in a token needs encoding. `Err` if it is repeated.
fn token_in_query(query: &str) -> Result<Option<&str>, ()> {
    let mut tokens = query.split('&').filter_map(|pair| pair.strip_prefix("token="));
    let first = tokens.next();
    if tokens.next().is_some() { Err(()) } else { Ok(first) }
}

/// The page around the frame, where the browser names it. A page that is no frame is embedded by nobody: following a
/// link to it is not embedding.
fn embedding_page(request: &HttpRequest) -> PageOrigin {
    if lone(request, &HeaderName::from_static("sec-fetch-dest")) == Some("document") {
        return PageOrigin::Unsaid;
    }
    match single(request, &REFERER) {
        Ok(None) => PageOrigin::Unsaid,
        Ok(Some(text)) => Origin::of(text).map_or(PageOrigin::Opaque, PageOrigin::Page),
        Err(()) => PageOrigin::Opaque,
    }
}

/// Where styles may come from.
const STYLES: &str = "'self'";
/// The interface's elements bring their styles along as `<style>` in their shadow trees, which neither a nonce nor a
/// hash reaches.
const PLAYER_STYLES: &str = "'self' 'unsafe-inline'";

fn content_security_policy(rules: &[OriginRule], style_sources: &str) -> String {
    let ancestors = if rules.is_empty() {
        "*".to_owned()
    } else {
        let sources: Vec<String> = rules.iter().map(OriginRule::csp_sources).collect();
        format!("'self' {}", sources.join(" "))
    };
    format!(
        "default-src 'none'; script-src 'self'; style-src {style_sources}; media-src 'self' blob:; connect-src 'self'; \
         img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
    )
}

fn render_player(ui: &Ui, public_url: &str, playback: &Value, query: &str) -> Result<String, askama::Error> {
    let text = |pointer| playback.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let is_file = text("/playback/contentType") == "mp4";
    let media_uri = playback.pointer(if is_file { "/playback/uri" } else { "/variants/0/uri" }).and_then(Value::as_str);
    let captions = playback.get("captions").and_then(Value::as_array).into_iter().flatten();
    PlayerPage {
        title: text("/title"),
        lang: "en",
        script_url: ui.url("player.js"),
        style_url: ui.url("player.css"),
        playback_json: json_in_html(playback),
        media_uri,
        // Where the script plays segments, the file is for browsers without it, and must cost the others nothing.
        media_preload: if is_file { "metadata" } else { "none" },
        preload: if starts_at_once(query) { preload(playback) } else { Vec::new() },
        poster: playback.get("posterUrl").and_then(Value::as_str),
        captions: captions.map(TextTrack::of).collect(),
        oembed_url: (text("/visibility") == "public").then(|| oembed::url_of(public_url, text("/embedId"))),
    }
    .render()
}

/// The start's first assets, under the grant of this page.
fn preload(playback: &Value) -> Vec<String> {
    let uri = playback.pointer("/playback/uri").and_then(Value::as_str).unwrap_or_default();
    let Some((prefix, _)) = uri.rsplit_once('/') else { return Vec::new() };
    let names = playback.pointer("/inline/preload").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).map(|name| format!("{prefix}/{name}")).collect()
}

/// Whether the address wants the beginning, and wants it loaded: a later spot needs other bytes.
fn starts_at_once(query: &str) -> bool {
    query.split('&').all(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "t" | "start" | "startTime" | "start-time" | "start_time" => value.is_empty() || value == "0",
            "preload" => value != "none",
            "quality" => matches!(value, "" | "auto"),
            _ => true,
        }
    })
}

/// JSON that can stand inside a `<script>` element: no character that HTML could read as markup.
fn json_in_html(value: &Value) -> String {
    value
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{AccessPoint, Segment, SegmentIndex, media_playlist};

    #[test]
    fn json_cannot_break_out_of_its_element() {
        let text = json_in_html(&json!({ "title": "</script><!--&\u{2028}" }));
        assert!(!text.contains(['<', '>', '&', '\u{2028}']), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({ "title": "</script><!--&\u{2028}" }));
    }

    #[test]
    fn a_token_is_read_from_the_query_once() {
        assert_eq!(token_in_query(""), Ok(None));
        assert_eq!(token_in_query("a=b&token=x.y.z&c"), Ok(Some("x.y.z")));
        assert_eq!(token_in_query("token="), Ok(Some("")));
        assert_eq!(token_in_query("token=a&token=a"), Err(()));
        assert_eq!(token_in_query("xtoken=a"), Ok(None));
    }

    #[test]
    fn only_a_start_at_the_beginning_is_fetched_ahead() {
        for query in ["", "autoplay=muted", "t=0", "t=", "token=x.y.z&preload=auto"] {
            assert!(starts_at_once(query), "{query}");
        }
        for query in ["t=90", "token=x&start=1m", "preload=none", "quality=720"] {
            assert!(!starts_at_once(query), "{query}");
        }
        let answer =
            json!({ "playback": { "uri": "/media/v/g/master.m3u8" }, "inline": { "preload": ["a/init.mp4"] } });
        assert_eq!(preload(&answer), ["/media/v/g/a/init.mp4"]);
        assert!(preload(&json!({})).is_empty());
    }

    #[test]
    fn a_policy_names_the_pages_that_may_embed() {
        let rules = [OriginRule::parse("*.acme.com").unwrap(), OriginRule::parse("localhost:3000").unwrap()];
        assert!(content_security_policy(&rules, STYLES).ends_with(
            "frame-ancestors 'self' https://*.acme.com http://*.acme.com https://localhost:3000 http://localhost:3000"
        ));
        assert!(content_security_policy(&[], STYLES).ends_with("frame-ancestors *"));
    }

    #[test]
    fn no_playlist_that_is_short_enough_is_passed_over_unwritten() {
        let access_point = AccessPoint::Closed;
        let segment = Segment { offset: 0, bytes: 1, start: 0, duration: 1, keyframe_bytes: 1, access_point };
        let count = INLINE_PLAYLIST_BYTES / LEAST_SEGMENT_BYTES + 1;
        let index = SegmentIndex { timescale: 1, init_bytes: 1, segments: vec![segment; count] };
        assert!(media_playlist(&index).len() > INLINE_PLAYLIST_BYTES);
    }
}
