//! The middleware around every request: an id, one log line, and the headers that every answer carries. What never becomes a
//! request has them, too (`refusal.rs`).
//!
//! The log line names the route, never the path: paths carry grants, and the embed page's query a token.

use super::answer_lines::AnswerLines;
use super::flights::Connection;
use super::intake::{Answer, Intake};
use super::problem::{Problem, ProblemCode};
use super::refusal::Refusal;
use super::trace_id;
use crate::app::App;
use crate::domain::{OrganizationId, hex, is_authority, limits};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{
    HOST, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{ConnectionType, Method};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, ResponseError, web};
use futures_util::FutureExt;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::time::Instant;
use tracing::{Instrument, Span};

/// Request id on the wire, and `traceId` of error bodies.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// What the log says of a request whose answering panicked.
const PANICKED: &str = "its handler panicked";
/// What actix-web is told of a request without an answer of its own.
const FAILED: &str = "not answered by a handler";
/// The target of an `OPTIONS` that asks whether the server is there, and of nothing else (RFC 9112 §3.2.4).
const SERVER: &str = "*";

/// Whose request it turned out to be; put into the request's extensions for the log line.
#[derive(Clone, Copy)]
pub struct LoggedOrganization(pub OrganizationId);

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
        let body = intake.begin(body, request.head());
        request.set_payload(body);
        intake.offered().await;
    }
    // actix-http takes nothing more from whoever has asked for another protocol.
    let is_last = request.head().upgrade();
    let app = request.app_data::<web::Data<App>>().cloned();
    let traced = Traced::new(app.as_ref().map(web::Data::get_ref));
    let work = async {
        let (began, method, peer) = (Instant::now(), request.method().clone(), request.peer_addr());
        match AssertUnwindSafe(respond(request, next)).catch_unwind().await {
            Ok(Ok(response)) => {
                let organization = response.request().extensions().get::<LoggedOrganization>().map(|owner| owner.0);
                let route = response.request().match_pattern();
                let route = route.as_deref().unwrap_or("none");
                log_answer(response.response(), known(&method), route, organization, peer, began);
                Ok(response)
            }
            // One panic is one answer. What was shared bears it: no lock is left half-changed.
            failed => {
                let failed = match failed {
                    Ok(Err(error)) => error.error_response(),
                    _ => Problem::internal(&PANICKED).error_response(),
                };
                log_answer(&failed, known(&method), "none", None, peer, began);
                Err(failed)
            }
        }
    };
    match traced.scope(work).await {
        Ok(mut response) => {
            // Whoever asks again does so on a new connection, which is not about to be closed.
            if is_last
                || intake.as_ref().is_some_and(Intake::ends)
                || app.is_some_and(|app| app.condition.is_stopping())
            {
                response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
            }
            traced.dress(response.headers_mut());
            Ok(response.map_body(|_, body| Answer::new(body, intake)))
        }
        Err(mut failed) => {
            failed.head_mut().set_connection_type(ConnectionType::Close);
            traced.dress(failed.headers_mut());
            let failed = failed.map_body(|_, body| BoxBody::new(Answer::new(body, intake)));
            Err(InternalError::from_response(FAILED, failed).into())
        }
    }
}

/// What an answer is known by, in the log and to whoever gets it.
pub(super) struct Traced {
    id: String,
    span: Span,
    is_pinned: bool,
}

impl Traced {
    /// The next answer of this server.
    pub(super) fn new(app: Option<&App>) -> Self {
        let random: [u8; 8] = app.map(App::random).unwrap_or_default();
        let id = hex(&random);
        let span = tracing::info_span!("request", request_id = %id);
        // A browser that remembers this for "localhost" would refuse every other local server: not for a self-made
        // certificate.
        let is_pinned = app.is_some_and(|app| app.config.server.tls_certificate_file.is_some());
        Self { id, span, is_pinned }
    }

    fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        trace_id::answering(self.id.clone(), work).instrument(self.span.clone())
    }

    /// Runs `work` as a part of answering.
    pub(super) fn sync_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        self.span.in_scope(|| trace_id::answering_now(self.id.clone(), work))
    }

    /// Adds what every answer carries.
    pub(super) fn dress(&self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            headers.insert(X_REQUEST_ID, id);
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let defaults = [
            (REFERRER_POLICY, "no-referrer"),
            (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
            (STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
        ];
        for (name, value) in defaults.into_iter().take(if self.is_pinned { 3 } else { 2 }) {
            if !headers.contains_key(&name) {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
    }
}

/// The method as it stands in the log: one of RFC 9110 §9.3 or RFC 5789 by its name. Any other is a word of the client's
/// own, which could be a secret, and as long as a request's head.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        _ => "other",
    }
}

/// Lines of answers in this process's log; of what failed here (5xx), more of their own.
static ANSWER_LINES: AnswerLines = AnswerLines::new();
static FAILURE_LINES: AnswerLines = AnswerLines::new();

/// One line in the log, where there are not too many. `peer` is who is connected: a proxy, where there is one.
pub(super) fn log_answer<B>(
    response: &HttpResponse<B>,
    method: &str,
    route: &str,
    organization: Option<OrganizationId>,
    peer: Option<SocketAddr>,
    began: Instant,
) {
    let lines = if response.status().is_server_error() { &FAILURE_LINES } else { &ANSWER_LINES };
    let (is_written, left_out) = lines.count(Instant::now());
    if let Some(left_out) = left_out {
        tracing::warn!(left_out, "more was answered in a second than is written here");
    }
    if !is_written {
        return;
    }
    tracing::info!(
        method,
        route,
        status = response.status().as_u16(),
        code = response.extensions().get::<ProblemCode>().map(|code| code.0),
        organization = organization.map(|organization| organization.to_string()),
        peer = peer.map(|peer| peer.ip().to_string()),
        duration_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        "answered"
    );
}

async fn respond(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match odd_head(&request).or_else(|| odd_target(&request)) {
        Some(problem) => Ok(request.error_response(problem).map_into_boxed_body()),
        None if request.path() == SERVER => Ok(request.into_response(HttpResponse::NoContent().finish())),
        None => Ok(next.call(request).await?.map_into_boxed_body()),
    }
}

/// A head has so many lines and no more. A `Host` that is none is nobody's mistake but a try (RFC 9112 §3.2).
fn odd_head(request: &ServiceRequest) -> Option<Problem> {
    if request.headers().len() > limits::HEADERS {
        return Some(Refusal::LongHead.problem());
    }
    let is_host = request.headers().get(HOST)?.to_str().is_ok_and(is_authority);
    (!is_host).then(|| Problem::bad_request("The Host header is not the name of a host."))
}

/// Every URL of ours has one spelling. One that needs decoding or tidying to match is none of ours: so no two layers
/// can read it differently.
fn odd_target(request: &ServiceRequest) -> Option<Problem> {
    let uri = request.uri();
    let path = uri.path();
    let length = uri.path_and_query().map_or(0, |target| target.as_str().len());
    if length > limits::TARGET_BYTES {
        return Some(Refusal::LongTarget.problem());
    }
    if !path.starts_with('/') && *request.method() != Method::CONNECT {
        let is_ping = path == SERVER && *request.method() == Method::OPTIONS;
        return (!is_ping).then(|| Problem::bad_request("The request's target is not a path."));
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
    use actix_web::error::ErrorBadGateway;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, init_service};
    use actix_web::{App as Actix, HttpServer};
    use std::future::ready;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpStream;

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

    #[actix_web::test]
    async fn a_connection_ends_with_an_answer_that_failed() {
        async fn panics() -> HttpResponse {
            panic!()
        }
        let routes = || {
            let fails = web::resource("/fails")
                .wrap_fn(|_, _| ready(Err::<ServiceResponse, _>(ErrorBadGateway("no handler was asked"))))
                .to(HttpResponse::Ok);
            let answers = web::resource("/answers").to(HttpResponse::Ok);
            Actix::new().wrap(from_fn(request)).route("/panics", web::get().to(panics)).service(fails).service(answers)
        };
        let server = HttpServer::new(routes)
            .workers(1)
            .disable_signals()
            .on_connect(|_, data| drop(data.insert(Intake::of_new_connection())))
            .bind(("127.0.0.1", 0))
            .unwrap();
        let address = server.addrs().remove(0);
        let running = server.run();
        let handle = running.handle();
        actix_web::rt::spawn(running);
        for (path, status, ends) in [("/panics", 500, true), ("/fails", 502, true), ("/answers", 200, false)] {
            let exchange = move || {
                let mut socket = TcpStream::connect(address).unwrap();
                write!(socket, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                let lines = BufReader::new(socket).lines().map(Result::unwrap);
                lines.take_while(|line| !line.is_empty()).collect::<Vec<String>>()
            };
            let head = web::block(exchange).await.unwrap();
            assert!(head[0].starts_with(&format!("HTTP/1.1 {status} ")), "{head:?}");
            assert_eq!(head.contains(&"connection: close".to_owned()), ends, "{head:?}");
            assert!(head.iter().any(|line| line.starts_with("x-request-id: ")), "{head:?}");
        }
        handle.stop(false).await;
    }
}
