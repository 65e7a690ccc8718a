//! Health on the wire: `/healthz` says that the process answers, `/readyz` what it can do, `/system`, `status` and the
//! dashboard say why not.

use super::admin::{answer, ok};
use crate::app::{App, Concern, DamagedList};
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};
use tokio::sync::Mutex;

static ASKING: Mutex<()> = Mutex::const_new(());

/// `GET /healthz`
pub async fn alive() -> HttpResponse {
    ok(&json!({ "status": "ok" }))
}

/// `GET /readyz`: 503 only where nothing can be watched, or will be soon. What is degraded still plays.
pub async fn ready(app: web::Data<App>) -> actix_web::Result<HttpResponse> {
    // The disk is asked, and one that hangs must hold up nobody else: it is asked by one thread, however many want to know.
    let _asking = ASKING.lock().await;
    let concerns = web::block(move || app.concerns()).await?;
    let codes: Vec<&str> = concerns.iter().map(|concern| code(*concern)).collect();
    if concerns.iter().any(|concern| matches!(concern, Concern::StoreFailing | Concern::Stopping)) {
        Ok(answer(StatusCode::SERVICE_UNAVAILABLE).json(json!({ "status": "failing", "causes": codes })))
    } else if concerns.is_empty() {
        Ok(ok(&json!({ "status": "ok" })))
    } else {
        Ok(ok(&json!({ "status": "degraded", "causes": codes })))
    }
}

/// Whether changes are taken and reads answered.
pub fn is_healthy(concerns: &[Concern]) -> bool {
    !concerns.iter().any(|concern| matches!(concern, Concern::StoreFailing | Concern::DiskReadOnly))
}

/// Concerns as `/system` and `status` list them.
pub fn list(concerns: &[Concern]) -> Value {
    concerns.iter().map(|concern| json!({ "code": code(*concern), "sentence": sentence(*concern) })).collect()
}

/// Damaged media files as `/system` and `status` list them.
pub fn list_damaged(damaged: &DamagedList) -> Value {
    let items = damaged.first.iter().map(|file| {
        json!({
            "path": format!("media/{}", file.id),
            "videoId": file.facts.video.to_string(),
            "problem": file.damage.to_string(),
            "foundAt": file.found_at.to_string()
        })
    });
    json!({ "count": damaged.count, "items": items.collect::<Vec<_>>() })
}

/// A concern's stable name.
pub fn code(concern: Concern) -> &'static str {
    match concern {
        Concern::StoreFailing => "store_failing",
        Concern::DiskReadOnly => "disk_read_only",
        Concern::DiskFull => "disk_full",
        Concern::DiskNearlyFull => "disk_nearly_full",
        Concern::DiskFilling => "disk_filling",
        Concern::MediaDamaged => "media_damaged",
        Concern::TaskFailed => "task_failed",
        Concern::Stopping => "stopping",
        Concern::ClockSetBack => "clock_suspect",
    }
}

/// What it means, and what to do.
pub fn sentence(concern: Concern) -> &'static str {
    match concern {
        Concern::StoreFailing => "Neither reads nor changes work. Look into the log, then restart the server.",
        Concern::DiskReadOnly => {
            "The disk takes no writes: videos play, and no change is made. Look into the system's log; changes are \
             taken again by themselves once the disk is sound."
        }
        Concern::DiskFull => {
            "The disk is full: videos play, and only revoking and deleting works. Delete videos, or give the server \
             more room; the rest works again by itself."
        }
        Concern::DiskNearlyFull => {
            "The disk is nearly full: no upload is taken. Delete videos, or give the server more room."
        }
        Concern::DiskFilling => "The disk is filling. Delete videos, or give the server more room, before it is full.",
        Concern::MediaDamaged => {
            "Media files are damaged or gone: they are not served, and everything else is. The log and `screener status` \
             name them. Put them back from a backup, and they are served again by themselves; where there is none, upload \
             the video again."
        }
        Concern::TaskFailed => {
            "A task of the server's own has failed and was begun anew. The log names it; if it goes on, restart the server."
        }
        Concern::Stopping => "The server is stopping: what runs is finished, and nothing new is taken.",
        Concern::ClockSetBack => {
            "The clock was set back: what has expired since may be good again until it has caught up. Look after the \
             machine's time service."
        }
    }
}
