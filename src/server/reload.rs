//! What changes while the server runs: the certificate, and the keys of the configuration that may. On SIGHUP; the
//! certificate also when its files change. What is wrong is named in the log, and what was in force stays.

use super::manager;
use super::tls::Certificate;
use crate::app::App;
use crate::config::Config;
use crate::domain::limits;
use crate::http::RateLimits;
use actix_web::web;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::Signal;

/// What a reload needs of whoever started the server.
pub struct Reload {
    /// Reads the configuration again; an error lists every problem.
    pub read: Box<dyn Fn() -> Result<Config, Vec<String>>>,
    /// Changes what is logged.
    pub set_log_level: Box<dyn Fn(&str)>,
}

/// What a reload changes.
pub(super) struct Reloading {
    pub app: web::Data<App>,
    pub rates: web::Data<RateLimits>,
    pub certificate: Option<Arc<Certificate>>,
    /// As read from the file, but for what a reload has changed since.
    pub in_force: Config,
    /// What is told when the server serves.
    pub status: String,
}

impl Reloading {
    /// Reloads on each signal, until the server stops: a manager that heard of a stop must not hear that it is ready.
    pub async fn on(mut self, mut hangup: Signal, given: Reload) {
        while hangup.recv().await.is_some() {
            if self.app.condition.is_stopping() {
                tracing::info!("the server stops, and reloads nothing");
                return;
            }
            manager::reloading();
            let is_taken = self.take_configuration(&given);
            let is_shown = self.certificate.as_ref().is_none_or(|certificate| exchange(&self.app, certificate));
            if is_taken && is_shown {
                tracing::info!("reloaded");
                manager::ready(&self.status);
            } else {
                manager::ready(&format!("{}. The last reload was refused: look into the log", self.status));
            }
        }
    }

    fn take_configuration(&mut self, given: &Reload) -> bool {
        let new = match (given.read)() {
            Ok(new) => new,
            Err(problems) => {
                for problem in problems {
                    tracing::error!(problem, "the configuration is not right; the one in force stays");
                }
                return false;
            }
        };
        let changes = self.in_force.take_live(&new);
        if changes.live.contains(&"log.level") {
            (given.set_log_level)(&self.in_force.log.level);
        }
        if changes.live.iter().any(|key| *key != "log.level") {
            self.rates.set(&self.in_force);
        }
        for key in changes.live {
            tracing::info!(key, "a change of the configuration is in force");
        }
        for key in changes.waiting {
            tracing::warn!(key, "a change of the configuration waits for a restart");
        }
        true
    }
}

/// Exchanges the certificate when its files change, and warns while it is about to end. Runs as long as the server.
pub(super) async fn watch_certificate(app: web::Data<App>, certificate: Arc<Certificate>) {
    let mut tick = tokio::time::interval(Duration::from_secs(limits::CERTIFICATE_POLL_S));
    let mut warned_on = None;
    loop {
        tick.tick().await;
        if certificate.has_changed_on_disk() {
            exchange(&app, &certificate);
        }
        let day = app.now().secs().div_euclid(86_400);
        if warned_on != Some(day) {
            warned_on = Some(day);
            warn_of_end(&app, &certificate);
        }
    }
}

/// Shows what the files hold now; whether it could.
fn exchange(app: &App, certificate: &Certificate) -> bool {
    match certificate.reload() {
        Ok(()) => {
            app.condition.note_certificate_end(certificate.ends_at());
            let ends_at = certificate.ends_at().map(|at| at.to_string());
            tracing::info!(ends_at, "the certificate was read again");
            warn_of_end(app, certificate);
            true
        }
        Err(problem) => {
            tracing::error!(problem, "the certificate can't be used; the one in force stays");
            false
        }
    }
}

/// Says so when the certificate ends soon, or has ended.
fn warn_of_end(app: &App, certificate: &Certificate) {
    let Some(ends_at) = certificate.ends_at() else { return };
    let now = app.now();
    if ends_at <= now {
        tracing::warn!(%ends_at, "the certificate has expired: browsers refuse it; renew it");
    } else if ends_at < now.plus_secs(limits::CERTIFICATE_WARNING_S) {
        tracing::warn!(%ends_at, "the certificate ends soon; renew it");
    }
}
