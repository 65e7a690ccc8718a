//! The admin API, `/admin/v1`: one noun a file. Every handler takes an [`super::extract::Admin`], so that a forgotten
//! check does not compile; every answer is `no-store`.

pub mod api_keys;
pub mod audit;
pub mod embeds;
pub mod explain;
pub mod extras;
pub mod organization;
pub mod preview;
pub mod renditions;
pub mod sessions;
pub mod signing_keys;
pub mod source;
pub mod system;
pub mod uploads;
pub mod videos;

use super::problem::Problem;
use crate::domain::{AuditEvent, Kind, Mandate, OrganizationId};
use crate::store::{Cursor, WriteError};
use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::{Value, json};

/// Why a change of the admin API was not made.
pub enum Refused {
    /// The request.
    Problem(Problem),
    /// The store.
    Write(WriteError),
}

impl From<WriteError> for Refused {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Problem(problem) => problem,
            Refused::Write(error) => error.into(),
        }
    }
}

/// An answer of this API with its headers.
pub fn answer(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header((CACHE_CONTROL, "no-store"));
    response
}

/// 200 with a body.
pub fn ok(body: &Value) -> HttpResponse {
    answer(StatusCode::OK).json(body)
}

/// 201 with a body.
pub fn created(body: &Value) -> HttpResponse {
    answer(StatusCode::CREATED).json(body)
}

/// 202 with a body.
pub fn accepted(body: &Value) -> HttpResponse {
    answer(StatusCode::ACCEPTED).json(body)
}

/// 204.
pub fn no_content() -> HttpResponse {
    answer(StatusCode::NO_CONTENT).finish()
}

/// A body with one more member.
pub fn with(mut body: Value, name: &str, value: impl Into<Value>) -> Value {
    if let Some(members) = body.as_object_mut() {
        members.insert(name.to_owned(), value.into());
    }
    body
}

/// A page of a list.
pub fn page(items: &[Value], next: Option<Cursor>) -> HttpResponse {
    ok(&json!({ "items": items, "pageInfo": { "nextCursor": next.map(Cursor::encode) } }))
}

/// An audit event of this API.
pub fn event(
    mandate: Mandate,
    organization: OrganizationId,
    action: &'static str,
    (kind, id): (Kind, uuid::Uuid),
    detail: Value,
) -> AuditEvent {
    AuditEvent { mandate, organization, action, subject: crate::app::subject(kind, id), detail }
}
