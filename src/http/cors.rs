//! Cross-origin answers (Fetch Standard §3.2): only origins that the rules allow are echoed, never `*`, never with
//! credentials. A refusal that was made before anybody's rules were known may be read by all.

use super::headers::lone;
use crate::app::App;
use crate::domain::{OrganizationId, Origin, admits};
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderValue, ORIGIN, VARY,
};
use actix_web::{HttpRequest, HttpResponse};

/// Seconds a browser may remember a preflight answer (Chromium keeps two hours at most).
const PREFLIGHT_AGE_S: &str = "600";

/// Which requests a resource takes from other origins.
pub struct Policy {
    /// Methods, as in `Allow`.
    pub methods: &'static str,
    /// Request headers.
    pub request_headers: &'static str,
    /// Answer headers that a script may read.
    pub exposed_headers: &'static str,
}

/// The playback API and renewals.
pub const API: Policy = Policy {
    methods: "GET, HEAD, POST",
    request_headers: "authorization, content-type, x-api-key, x-moviie-client, x-moviie-playback-token",
    exposed_headers: "Retry-After, X-Request-Id",
};

/// Media.
pub const MEDIA: Policy = Policy {
    methods: "GET, HEAD",
    request_headers: "range, if-range, if-none-match, if-modified-since, if-match",
    exposed_headers: "Content-Range, Content-Length, ETag, Accept-Ranges, X-Request-Id",
};

/// The origin that was sent, whosever it is: for an answer that tells nothing of anybody.
pub fn any_origin(request: &HttpRequest) -> Option<HeaderValue> {
    sent_origin(request).map(|(_, text)| text)
}

fn sent_origin(request: &HttpRequest) -> Option<(Origin, HeaderValue)> {
    let text = lone(request, &ORIGIN)?;
    let origin = Origin::of(text).filter(|origin| origin.to_string() == text)?;
    Some((origin, HeaderValue::from_str(text).ok()?))
}

/// The origin to echo, if `organization`'s rules and at least one of its publishable keys let it in.
pub fn allowed_origin(request: &HttpRequest, app: &App, organization: Option<OrganizationId>) -> Option<HeaderValue> {
    let (origin, text) = sent_origin(request)?;
    if origin == app.own_origin {
        return Some(text);
    }
    let organization = organization?;
    let access = app.store.access();
    let rules = &access.organization(organization)?.settings.origin_rules;
    let mut keys = access.publishable_keys_of(organization).filter(|key| key.revoked_at.is_none());
    let is_admitted = admits(rules, &origin) && keys.any(|key| admits(&key.origin_rules, &origin));
    is_admitted.then_some(text)
}

/// Adds what lets a script of `origin` read an answer.
pub fn expose(response: &mut HttpResponse, origin: Option<&HeaderValue>, policy: &Policy) {
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(policy.exposed_headers));
    }
}

/// The answer to a preflight: 204 for everyone, with permissions for those that the rules let in.
pub fn preflight(origin: Option<&HeaderValue>, policy: &Policy) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response.insert_header((VARY, "Origin"));
    if let Some(origin) = origin {
        response
            .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()))
            .insert_header((ACCESS_CONTROL_ALLOW_METHODS, policy.methods))
            .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, policy.request_headers))
            .insert_header((ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE_S));
    }
    response.finish()
}
