//! `GET /system`: what an operator looks at on Mondays. Figures of the appliance; nothing of any other organization.

use super::ok;
use crate::app::App;
use crate::http::extract::Admin;
use crate::http::problem::Problem;
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

/// `GET /system`
pub async fn read(_: Admin, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let system = System::of(&app)?;
    let instant = |at: Option<crate::domain::Timestamp>| at.map(|at| at.to_string());
    Ok(ok(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "healthy": system.is_healthy,
        "disk": { "freeBytes": system.free_bytes, "totalBytes": system.total_bytes, "keptFreeBytes": system.floor_bytes },
        "certificateEndsAt": instant(system.certificate_ends_at),
        "lastBackupAt": instant(system.last_backup_at),
        "transcoding": app.config.transcode.enabled,
        "maxSourceBytes": app.config.media.max_source_mib << 20
    }) as &Value))
}

/// The appliance at this moment.
pub struct System {
    /// Whether changes are taken and reads answered.
    pub is_healthy: bool,
    /// Bytes free for an ordinary user where the media lie.
    pub free_bytes: u64,
    /// Bytes of that file system.
    pub total_bytes: u64,
    /// Below this many free bytes no upload is taken.
    pub floor_bytes: u64,
    /// When the certificate is no longer good; `None` without TLS.
    pub certificate_ends_at: Option<crate::domain::Timestamp>,
    /// When a backup was last made whole.
    pub last_backup_at: Option<crate::domain::Timestamp>,
}

impl System {
    /// Asks the appliance.
    pub fn of(app: &App) -> Result<Self, Problem> {
        let (free_bytes, total_bytes) = app.media.space().map_err(|error| Problem::internal(&error))?;
        Ok(Self {
            is_healthy: app.store.is_healthy(),
            free_bytes,
            total_bytes,
            floor_bytes: app.config.media.min_free_mib << 20,
            certificate_ends_at: app.condition.certificate_ends_at(),
            last_backup_at: app.state().last_backup(),
        })
    }
}
