//! The appliance: health, disk, certificate, backup, version.

use super::frame::{Frame, Section};
use super::operator::Operator;
use super::words::{Moment, bytes};
use crate::domain::{Timestamp, limits};
use crate::http::admin::system::System;
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
    used_percent: u64,
    certificate: Option<Moment>,
    certificate_ends_soon: bool,
    backup: Option<Moment>,
    backup_is_old: bool,
    transcodes: bool,
}

impl Page {
    fn free(&self) -> String {
        bytes(self.system.free_bytes)
    }

    fn total(&self) -> String {
        bytes(self.system.total_bytes)
    }

    fn floor(&self) -> String {
        bytes(self.system.floor_bytes)
    }

    /// Whether uploads are refused for want of room.
    fn is_full(&self) -> bool {
        self.system.free_bytes < self.system.floor_bytes
    }
}

/// `GET /dashboard/system`
pub async fn show(operator: Operator) -> Result<HttpResponse, Problem> {
    let system = System::of(&operator.app)?;
    let now = operator.app.now();
    let is_within = |at: Timestamp, seconds: i64| at < now.plus_secs(seconds);
    let used = system.total_bytes.saturating_sub(system.free_bytes);
    let page = Page {
        frame: operator.frame("System", Section::System),
        version: env!("CARGO_PKG_VERSION"),
        used_percent: used.saturating_mul(100).checked_div(system.total_bytes).unwrap_or(0),
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
