//! `GET /audit`: who changed what and when, newest first.

use super::page;
use crate::app::App;
use crate::domain::{Actor, AuditEntry};
use crate::http::extract::{Admin, PageRequest};
use crate::http::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

/// The organization's log. Each entry's `hash` is SHA-256 over the `hash` before it and its own content, so that
/// nothing can be taken out or changed unnoticed; `screener store verify` checks the chain. All that is hashed is in the
/// answer (with the organization's id), `at` to the millisecond, so that a reader can check it too.
pub async fn list(admin: Admin, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let wanted = PageRequest::of(&request)?;
    let found = app.store.list::<AuditEntry>(admin.organization, wanted.cursor, wanted.limit).await?;
    let items: Vec<Value> = found.items.iter().map(body).collect();
    Ok(page(&items, found.next))
}

fn body(entry: &AuditEntry) -> Value {
    let actor = match &entry.actor {
        Actor::PrivateKey { id } => json!({ "type": "private_key", "id": id.to_string() }),
        Actor::Appliance => json!({ "type": "appliance" }),
        Actor::Server => json!({ "type": "server" }),
    };
    json!({
        "id": entry.id.to_string(),
        "number": entry.number,
        "at": entry.at.precise(),
        "actor": actor,
        "action": entry.action,
        "subject": { "kind": entry.subject.kind, "id": entry.subject.id.to_string() },
        "detail": entry.detail,
        "previous": entry.previous,
        "hash": entry.hash
    })
}
