//! Looking at the clock while the server runs.

use crate::app::{App, ClockBehind};
use crate::domain::limits;
use actix_web::web;
use std::time::Duration;

/// Looks at the clock again and again; returns when it can no longer be right. Nothing that is answered then would be,
/// and TLS itself can't tell what time it is before 1970.
pub async fn until_behind(app: web::Data<App>) -> ClockBehind {
    let mut tick = tokio::time::interval(Duration::from_secs(limits::CLOCK_LOOK_S));
    loop {
        tick.tick().await;
        if let Err(behind) = app.look_at_clock() {
            return behind;
        }
    }
}
