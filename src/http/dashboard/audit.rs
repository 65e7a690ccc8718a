//! The audit log, in words.

use super::frame::{Frame, Section};
use super::operator::Operator;
use super::words::Moment;
use crate::domain::{Actor, AuditEntry, PrivateKey};
use crate::http::extract::PageRequest;
use crate::http::problem::Problem;
use crate::store::Cursor;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde_json::Value;
use std::collections::HashMap;

#[derive(Template)]
#[template(path = "audit.html")]
struct Page {
    frame: Frame,
    entries: Vec<EntryRow>,
    next: Option<String>,
}

struct EntryRow {
    number: u64,
    at: Moment,
    actor: String,
    action: String,
    subject: String,
    detail: Vec<(String, String)>,
    hash: String,
}

impl EntryRow {
    /// Enough of the hash to tell entries apart.
    fn short_hash(&self) -> &str {
        self.hash.get(..8).unwrap_or_default()
    }
}

/// `GET /dashboard/audit`
pub async fn show(operator: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (wanted, owner) = (PageRequest::of(&request)?, operator.admin.organization);
    let found = operator.app.store.list::<AuditEntry>(owner, wanted.cursor, wanted.limit).await?;
    let names: HashMap<_, _> = {
        let access = operator.app.store.access();
        let mine = access.private_keys().filter(|key| key.organization == owner);
        mine.map(|key| (key.id, name_of(key))).collect()
    };
    let entries = found.items.into_iter().map(|entry| EntryRow {
        number: entry.number,
        at: entry.at.into(),
        actor: match entry.actor {
            Actor::PrivateKey { id } => names.get(&id).cloned().unwrap_or_else(|| format!("private key {id}")),
            Actor::Appliance => "a shell on the server".to_owned(),
            Actor::Server => "the server".to_owned(),
        },
        action: entry.action,
        subject: entry.subject.id.to_string(),
        detail: in_words(&entry.detail),
        hash: entry.hash,
    });
    let page = Page {
        frame: operator.frame("Audit log", Section::Audit),
        entries: entries.collect(),
        next: found.next.map(Cursor::encode),
    };
    operator.page(StatusCode::OK, &page)
}

fn name_of(key: &PrivateKey) -> String {
    if key.label.is_empty() { format!("private key …{}", key.hint) } else { key.label.clone() }
}

/// Each member of an entry's detail; a change as what it was and what it is.
fn in_words(detail: &Value) -> Vec<(String, String)> {
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    };
    let members = detail.as_object().into_iter().flatten();
    let worded = members.map(|(name, value)| match (value.get("from"), value.get("to")) {
        (Some(from), Some(to)) => (name.clone(), format!("{} → {}", plain(from), plain(to))),
        _ => (name.clone(), plain(value)),
    });
    worded.collect()
}
