//! The appliance: health, disk, certificate, backup, version.

use super::frame::{Frame, Section};
use super::operator::Operator;
use super::words::{Moment, bytes};
use crate::config::DiskConfig;
use crate::domain::{Timestamp, limits};
use crate::http::admin::system::System;
use crate::http::health;
use crate::http::problem::Problem;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

/// A backup that is older is shown as a trouble, in seconds: one a day, and two hours to make it.
const BACKUP_WARNING_S: i64 = 26 * 3_600;

#[derive(Template)]
#[template(path = "system.html")]
struct Page {
    frame: Frame,
    system: System,
    version: &'static str,
    disk: DiskConfig,
    certificate: Option<Moment>,
    certificate_ends_soon: bool,
    backup: Option<Moment>,
    backup_is_old: bool,
    transcodes: bool,
}

impl Page {
    fn free(&self) -> String {
        bytes(self.system.room.free_bytes)
    }

    fn total(&self) -> String {
        bytes(self.system.room.total_bytes)
    }

    /// What is to be looked after, in sentences.
    fn concerns(&self) -> impl Iterator<Item = &'static str> {
        self.system.concerns.iter().map(|concern| health::sentence(*concern))
    }
}

/// `GET /dashboard/system`
pub async fn show(operator: Operator) -> Result<HttpResponse, Problem> {
    let system = System::of(&operator.app, operator.organization.id)?;
    let now = operator.app.now();
    let is_within = |at: Timestamp, seconds: i64| at < now.plus_secs(seconds);
    let page = Page {
        frame: operator.frame("System", Section::System),
        version: env!("CARGO_PKG_VERSION"),
        disk: operator.app.config.disk.clone(),
        certificate: system.certificate_ends_at.map(Moment::from),
        certificate_ends_soon: system
            .certificate_ends_at
            .is_some_and(|at| is_within(at, limits::CERTIFICATE_WARNING_S)),
        backup: system.last_backup_at.map(Moment::from),
        backup_is_old: system.last_backup_at.is_none_or(|at| is_within(at, -BACKUP_WARNING_S)),
        transcodes: operator.app.config.transcode.enabled,
        system,
    };
    operator.page(StatusCode::OK, &page)
}
