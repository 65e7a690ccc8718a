//! The middleware around every request: an id, one log line, and the headers that every answer carries.
//!
//! The log line names the route, never the path: paths carry grants, and the embed page's query a token.

use super::flights::Connection;
use super::intake::{Answer, Intake};
use super::problem::{Problem, ProblemCode};
use super::trace_id;
use crate::app::App;
use crate::domain::limits;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{
    HOST, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, ResponseError, web};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::time::Instant;
use tracing::Instrument;

/// Request id on the wire, and `traceId` of error bodies.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// What the log says of a request whose answering panicked.
const PANICKED: &str = "its handler panicked";

/// Whose request it turned out to be; put into the request's extensions for the log line.
#[derive(Clone, Copy)]
pub struct LoggedOrganization(pub crate::domain::OrganizationId);

/// Wraps one request.
pub async fn request(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<Answer>, Error> {
    if let Some(connection) = request.request().conn_data::<Connection>() {
        connection.begin_request();
    }
    let intake = request.request().conn_data::<Intake>().cloned();
    if let Some(intake) = &intake {
        let body = request.take_payload();
        let expects = request.head().expect();
        request.set_payload(intake.begin(body, expects));
    }
    let app = request.app_data::<web::Data<App>>().cloned();
    let random: [u8; 8] = app.as_ref().map(|app| app.random()).unwrap_or_default();
    let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let span = tracing::info_span!("request", request_id = %id);
    // A browser that remembers this for "localhost" would refuse every other local server: not for a self-made
    // certificate.
    let is_pinned = app.as_ref().is_some_and(|app| app.config.server.tls_certificate_file.is_some());
    let work = async {
        let answered = AssertUnwindSafe(respond(request, next)).catch_unwind().await;
        // One panic is one answer, not the end of a connection. What was shared bears it: no lock is left half-changed.
        answered.map_err(|_| Problem::internal(&PANICKED).error_response())
    };
    match trace_id::answering(id.clone(), work).instrument(span).await {
        Ok(answered) => {
            let mut response = answered?;
            // Whoever asks again does so on a new connection, which is not about to be closed.
            if intake.as_ref().is_some_and(Intake::ends) || app.is_some_and(|app| app.condition.is_stopping()) {
                response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
            }
            dress(response.headers_mut(), &id, is_pinned);
            Ok(response.map_body(|_, body| Answer::new(body, intake)))
        }
        Err(mut failed) => {
            dress(failed.headers_mut(), &id, is_pinned);
            Err(InternalError::from_response(PANICKED, failed).into())
        }
    }
}

/// Adds what every answer carries.
fn dress(headers: &mut HeaderMap, id: &str, is_pinned: bool) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let defaults = [
        (REFERRER_POLICY, "no-referrer"),
        (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
        (STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    ];
    for (name, value) in defaults.into_iter().take(if is_pinned { 3 } else { 2 }) {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

async fn respond(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let began = Instant::now();
    let method = request.method().clone();
    let peer = request.peer_addr().map(|peer| peer.ip().to_string());
    let response = match odd_head(&request).or_else(|| odd_target(&request)) {
        Some(problem) => request.error_response(problem).map_into_boxed_body(),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    let code = response.response().extensions().get::<ProblemCode>().map(|code| code.0);
    let organization = response.request().extensions().get::<LoggedOrganization>().map(|owner| owner.0.to_string());
    tracing::info!(
        method = %method,
        route = response.request().match_pattern().as_deref().unwrap_or("none"),
        status = response.status().as_u16(),
        code,
        organization,
        peer,
        duration_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        "answered"
    );
    Ok(response)
}

/// A head that is longer than one may be is read as far as the connection let it come. A `Host` that is none is nobody's
/// mistake but a try (RFC 9112 §3.2).
fn odd_head(request: &ServiceRequest) -> Option<Problem> {
    let is_overlong = request.request().conn_data::<Intake>().is_some_and(Intake::is_overlong);
    if is_overlong || request.headers().len() > limits::HEADERS {
        let sentence = format!("A request's head may have {} bytes and {} lines.", limits::HEAD_BYTES, limits::HEADERS);
        return Some(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", sentence));
    }
    let host = request.headers().get(HOST)?.as_bytes();
    let is_host = !host.is_empty() && host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte));
    (!is_host).then(|| Problem::bad_request("The Host header is not the name of a host."))
}

/// Every URL of ours has one spelling. One that needs decoding or tidying to match is none of ours: so no two layers
/// can read it differently.
fn odd_target(request: &ServiceRequest) -> Option<Problem> {
    let uri = request.uri();
    let path = uri.path();
    let length = uri.path_and_query().map_or(0, |target| target.as_str().len());
    if length > limits::TARGET_BYTES {
        return Some(Problem::new(StatusCode::URI_TOO_LONG, "uri_too_long", "The URL is too long."));
    }
    let is_plain = path.starts_with('/')
        && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte))
        && !path.split('/').skip(1).any(|segment| segment == "." || segment == "..")
        && !path.contains("//");
    (!is_plain).then(Problem::not_found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::to_bytes;
    use actix_web::dev::Service;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, init_service};
    use actix_web::{App as Actix, HttpResponse};

    #[actix_web::test]
    async fn a_handler_that_panics_is_answered_500_and_tells_nothing() {
        async fn panics() -> HttpResponse {
            let text = String::from("mvi_priv_of_somebody");
            panic!("{text}")
        }
        let routes = Actix::new().wrap(from_fn(request)).route("/panics", web::get().to(panics));
        let service = init_service(routes.route("/answers", web::get().to(HttpResponse::Ok))).await;
        let error = service.call(TestRequest::get().uri("/panics").to_request()).await.unwrap_err();
        let response = error.error_response();
        assert_eq!(response.status().as_u16(), 500);
        for name in [X_REQUEST_ID, X_CONTENT_TYPE_OPTIONS, REFERRER_POLICY] {
            assert!(response.headers().contains_key(&name), "{name}");
        }
        let body = to_bytes(response.into_body()).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["code"], "internal_error");
        assert!(!body.to_string().contains("mvi_"), "{body}");
        let response = service.call(TestRequest::get().uri("/answers").to_request()).await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
    }
}
