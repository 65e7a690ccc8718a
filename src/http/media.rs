//! `GET /media/{videoId}/{grant}/{asset}`: the one door to stored bytes.

use super::assets::{self, Content, Found};
use super::body::{media_body, text_body};
use super::conditional::{Conditions, Validators, Verdict, http_date};
use super::cors;
use super::flights::{Connection, Flights};
use super::headers::{list, lone, single};
use super::problem::Problem;
use super::range::{Wanted, wanted};
use super::trace::{CROSS_ORIGIN_RESOURCE_POLICY, LoggedOrganization};
use crate::app::App;
use crate::auth::{Asset, Denied, Grant, admit_asset, sha256_hex};
use crate::domain::{MediaFileId, OrganizationId, Timestamp, VideoId};
use crate::store::StoredMedia;
use actix_web::body::SizedStream;
use actix_web::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, ResponseError, web};
use bytes::Bytes;
use futures_util::stream;
use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

/// The path of an asset URL, taken apart without decoding: what was signed is what is compared.
struct AssetPath<'a> {
    video: &'a str,
    grant: &'a str,
    asset: &'a str,
}

impl<'a> AssetPath<'a> {
    fn of(request: &'a HttpRequest) -> Option<Self> {
        let (video, rest) = request.uri().path().strip_prefix("/media/")?.split_once('/')?;
        let (grant, asset) = rest.split_once('/')?;
        Some(Self { video, grant, asset })
    }
}

/// The path of an asset under a grant.
pub fn asset_path(video: VideoId, grant: &str, name: &str) -> String {
    format!("/media/{video}/{grant}/{name}")
}

/// Answers GET and HEAD.
pub async fn serve(request: HttpRequest, app: web::Data<App>, flights: web::Data<Arc<Flights>>) -> HttpResponse {
    let grant = verified(&request, &app);
    let origin = readable_by(&request, &app, grant.as_ref());
    let mut response = match answer(&request, &app, &flights, grant).await {
        Ok(response) => response,
        Err(problem) => problem.error_response(),
    };
    cors::expose(&mut response, origin.as_ref(), &cors::MEDIA);
    let own = [
        // Pages of other sites may play what they hold a URL of, with or without CORS.
        (CROSS_ORIGIN_RESOURCE_POLICY, "cross-origin"),
        // What somebody uploaded is nobody's page: opened by itself it runs nothing, sends no form and opens no window. A
        // browser starts a film by itself only where a sandbox lets scripts run, of which there are none; Chromium 156 asks
        // for the film of a page without an origin as a stranger, who is not let in.
        (CONTENT_SECURITY_POLICY, "sandbox allow-scripts allow-same-origin; script-src 'none'"),
    ];
    for (name, value) in own {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Answers preflights: nothing of the video is told, and whether there is one to those alone who hold a grant for it.
pub async fn preflight(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    let grant = verified(&request, &app);
    cors::preflight(readable_by(&request, &app, grant.as_ref()).as_ref(), &cors::MEDIA)
}

/// The origin whose scripts may read the answer: by the rules of the video's owner, once a grant is known to be one. That it is
/// none, or that there is no such video any more, is told to all: a player that does not learn why it is refused tries on and
/// on.
fn readable_by(request: &HttpRequest, app: &App, grant: Option<&Grant>) -> Option<HeaderValue> {
    let origin = cors::any_origin(request)?;
    match grant.and_then(|grant| owner(app, grant)) {
        Some(owner) => cors::allowed_origin(request, app, Some(owner)),
        None => Some(origin),
    }
}

/// The grant that is shown, once its MAC holds: before that nothing else is looked up.
fn verified(request: &HttpRequest, app: &App) -> Option<Grant> {
    let path = AssetPath::of(request)?;
    app.asset_keys().verify(path.video, path.grant)
}

/// Who owns the video of a grant.
fn owner(app: &App, grant: &Grant) -> Option<OrganizationId> {
    app.store.access().video(grant.video).map(|video| video.organization)
}

async fn answer(
    request: &HttpRequest,
    app: &web::Data<App>,
    flights: &web::Data<Arc<Flights>>,
    grant: Option<Grant>,
) -> Result<HttpResponse, Problem> {
    let grant = grant.ok_or(Denied::AssetUrlInvalid)?;
    let now = app.now();
    let asset = admit(request, app, &grant, now)?;
    let (content, etag, fixed_since, content_type) = match find(request, app, &grant).await {
        Ok(found) => found,
        // Deleted between the gate and here, it is refused as it is from now on.
        Err(problem) => return Err(admit(request, app, &grant, app.now()).err().unwrap_or(problem)),
    };
    let validators = Validators { etag, last_modified: fixed_since };
    let header = |name| lone(request, &name);
    let (if_match, if_none_match) = (list(request, &IF_MATCH), list(request, &IF_NONE_MATCH));
    let conditions = Conditions {
        if_match: if_match.as_deref(),
        if_none_match: if_none_match.as_deref(),
        if_modified_since: header(IF_MODIFIED_SINCE),
        if_unmodified_since: header(IF_UNMODIFIED_SINCE),
        // Of two validators at least one is not ours.
        if_range: single(request, &IF_RANGE).unwrap_or(Some("")),
    };
    let mut response = HttpResponse::build(StatusCode::OK);
    let max_age = asset.expires_at().secs().saturating_sub(now.secs()).max(0);
    let mut cache = format!("private, max-age={max_age}");
    if let Some(at) = fixed_since {
        cache.push_str(", immutable");
        response.insert_header((LAST_MODIFIED, http_date(at)));
    }
    response
        .insert_header((ETAG, validators.etag.as_str()))
        .insert_header((CACHE_CONTROL, cache))
        .insert_header((ACCEPT_RANGES, "bytes"));
    match validators.evaluate(&conditions) {
        Verdict::Proceed => {}
        Verdict::NotModified => return Ok(response.status(StatusCode::NOT_MODIFIED).finish()),
        Verdict::Failed => {
            return Err(Problem::new(
                StatusCode::PRECONDITION_FAILED,
                "precondition_failed",
                "The file is not the one this request is about.",
            ));
        }
    }
    let size = content.size_bytes();
    let is_get = request.method() == Method::GET;
    // RFC 9110 §14.2: a Range is defined for GET alone.
    let range_header = if is_get && validators.admits_range(&conditions) { header(RANGE) } else { None };
    let range = match wanted(range_header, size) {
        Wanted::Whole => 0..size,
        Wanted::Part(range) => {
            response
                .status(StatusCode::PARTIAL_CONTENT)
                .insert_header((CONTENT_RANGE, format!("bytes {}-{}/{size}", range.start, range.end - 1)));
            range
        }
        Wanted::Unsatisfiable => {
            return Err(Problem::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "range_not_satisfiable",
                "The file has no such bytes.",
            )
            .with(CONTENT_RANGE, format!("bytes */{size}").try_into().map_err(|_| Problem::not_found())?));
        }
    };
    response.insert_header((CONTENT_TYPE, content_type));
    if !is_get {
        // A body of known length that is never asked for: HEAD tells what GET would.
        return Ok(response.body(SizedStream::new(size, stream::empty::<Result<Bytes, Infallible>>())));
    }
    let connection = request.conn_data::<Connection>();
    let flight = flights.depart(asset.grant(), connection);
    let mut response = match content {
        Opened::Text(text) => response.body(text_body(app.clone(), text, range, asset, flight)),
        Opened::File(file, media, part) => {
            let range = part.start + range.start..part.start + range.end;
            response.body(media_body(app.clone(), (file, media), range, asset, flight))
        }
    };
    if connection.is_some_and(Connection::is_full) {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

/// What is asked for behind a grant, with its entity tag, since when it is fixed under its name, and its type.
async fn find(
    request: &HttpRequest,
    app: &App,
    grant: &Grant,
) -> Result<(Opened, String, Option<Timestamp>, &'static str), Problem> {
    let name = AssetPath::of(request).map_or("", |path| path.asset);
    let Found { content, fixed_since, content_type } = assets::find(app, grant.video, name).await?;
    let (content, etag) = match content {
        Content::Text(text) => {
            let etag = entity_tag(&text.sha256);
            (Opened::Text(text.bytes.clone()), etag)
        }
        Content::File(file, part) => open(app, file, part)?,
    };
    Ok((content, etag, fixed_since, content_type))
}

/// An asset's bytes, ready to be sent.
enum Opened {
    Text(Bytes),
    /// The part of an open file.
    File(MediaFileId, StoredMedia, Range<u64>),
}

impl Opened {
    fn size_bytes(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::File(_, _, part) => part.end - part.start,
        }
    }
}

/// Opens a stored file, or a part of it; with its entity tag. One of another length would be answered as the whole, and
/// remembered as such: the tag is the same.
fn open(app: &App, file: MediaFileId, part: Option<Range<u64>>) -> Result<(Opened, String), Problem> {
    let media = app.open_media(file)?;
    let etag = match &part {
        None => entity_tag(&file.to_string()),
        Some(part) => entity_tag(&format!("{file} {}-{}", part.start, part.end)),
    };
    let part = part.unwrap_or(0..media.size_bytes());
    Ok((Opened::File(file, media, part), etag))
}

/// A stored file's bytes never change under its id, so the tag follows from the id and the part; it is not the id
/// itself, which is the file's name on the disk. Neither inode nor times of the disk are in it. A written text is its own.
fn entity_tag(what: &str) -> String {
    let hash = sha256_hex(format!("screener entity tag {what}").as_bytes());
    format!("\"{}\"", hash.get(..32).unwrap_or(&hash))
}

/// The gate, for a grant whose MAC holds.
fn admit(request: &HttpRequest, app: &App, grant: &Grant, now: Timestamp) -> Result<Asset, Problem> {
    if request.uri().query().is_some() {
        return Err(Denied::AssetUrlInvalid.into());
    }
    let standing = app.standing(grant);
    if let Some(owner) = standing.owner(grant) {
        request.extensions_mut().insert(LoggedOrganization(owner));
    }
    Ok(admit_asset(grant.clone(), &standing, || app.prolonged_until(grant, now), now)?)
}
