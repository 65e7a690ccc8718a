//! `GET /system`: what an operator looks at on Mondays. Figures of the appliance; nothing of any other organization.

use super::ok;
use crate::app::{App, Concern, DamagedList};
use crate::domain::{OrganizationId, Timestamp};
use crate::http::extract::Admin;
use crate::http::health::{self, is_healthy};
use crate::http::problem::Problem;
use crate::store::{Fullness, Room};
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

/// `GET /system`
pub async fn read(admin: Admin, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let system = System::of(&app, admin.organization)?;
    let instant = |at: Option<Timestamp>| at.map(|at| at.to_string());
    Ok(ok(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "healthy": is_healthy(&system.concerns),
        "concerns": health::list(&system.concerns),
        "disk": {
            "freeBytes": system.room.free_bytes,
            "totalBytes": system.room.total_bytes,
            "keptFreeBytes": system.room.floor_bytes,
            "freeFiles": system.room.free_files,
            "usedPercent": system.room.used_percent,
            "fullness": match system.room.fullness {
                Fullness::Roomy => "roomy",
                Fullness::Filling => "filling",
                Fullness::NoUploads => "no_uploads",
                Fullness::NoChanges => "no_changes",
            }
        },
        "damagedMedia": health::list_damaged(&system.damaged_media),
        "certificateEndsAt": instant(system.certificate_ends_at),
        "lastBackupAt": instant(system.last_backup_at),
        "transcoding": app.config.transcode.enabled,
        "maxSourceBytes": app.config.media.max_source_mib << 20
    }) as &Value))
}

/// The appliance at this moment.
pub struct System {
    /// What an operator should look after, the worst first.
    pub concerns: Vec<Concern>,
    /// Room on the disk that the state directory is on.
    pub room: Room,
    /// Media files of the organization that are damaged, and not served.
    pub damaged_media: DamagedList,
    /// When the certificate is no longer good; `None` without TLS.
    pub certificate_ends_at: Option<Timestamp>,
    /// When a backup was last made whole.
    pub last_backup_at: Option<Timestamp>,
}

impl System {
    /// Asks the appliance, for an operator of this organization.
    pub fn of(app: &App, organization: OrganizationId) -> Result<Self, Problem> {
        Ok(Self {
            concerns: app.concerns(),
            room: app.disk.room().map_err(|error| Problem::storage_unavailable(&error))?,
            damaged_media: app.damaged.list(Some(organization)),
            certificate_ends_at: app.condition.certificate_ends_at(),
            last_backup_at: app.state().last_backup(),
        })
    }
}
