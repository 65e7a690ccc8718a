//! Signals, and how a stop goes: no new connections, running answers get their grace, and then it is over.

use super::manager;
use crate::app::App;
use crate::domain::limits;
use actix_web::dev::ServerHandle;
use actix_web::web;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// What ends the server.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on a signal is heard instead of ending the process on the spot.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Signals that mean nothing to us would end the process; heard once, they do nothing for as long as it runs.
pub(super) fn ignore_others() -> std::io::Result<()> {
    for kind in [SignalKind::user_defined1(), SignalKind::user_defined2()] {
        drop(signal(kind)?);
    }
    Ok(())
}

/// What is to be stopped, and how.
pub(super) struct Stop {
    pub app: web::Data<App>,
    /// The public listener's.
    pub server: ServerHandle,
    /// The appliance's.
    pub admin: ServerHandle,
    /// Time that running answers have, from the signal on.
    pub grace: Duration,
    /// Whether the sockets stay open without us, so that nobody is refused meanwhile.
    pub is_kept: bool,
    /// Whoever runs the server listens: it is dropped without waiting any longer.
    pub hurry: oneshot::Sender<()>,
}

impl Stop {
    /// First signal: no new connections, running answers get their grace. Second, or when that is over: now.
    pub async fn on(self, mut signals: Signals) {
        signals.next().await;
        tracing::info!("stopping; once more to stop at once");
        manager::stopping(self.grace);
        // From here on every answer ends its connection, so that nobody asks on one that is about to be closed.
        self.app.condition.begin_stop();
        let graceful = async {
            if self.is_kept {
                // Who connects now waits for the next server. Who did just before is heard first.
                self.server.pause().await;
                tokio::time::sleep(Duration::from_millis(limits::LAST_CONNECTIONS_MS)).await;
            }
            futures_util::future::join(self.server.stop(true), self.admin.stop(true)).await;
        };
        tokio::select! {
            _ = tokio::time::timeout(self.grace, graceful) => {}
            () = signals.next() => tracing::warn!("stopping at once"),
        }
        // A server that waits for its workers hears nothing more; it is dropped instead.
        let _ = self.hurry.send(());
    }
}
