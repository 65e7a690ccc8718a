//! Media answers under way. When what a grant stands on goes, the connections that still carry its bytes are cut at
//! once: a slow viewer's kernel buffers included.

use crate::app::App;
use crate::auth::Grant;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

/// A second handle on a connection's socket, kept for as long as the connection.
#[derive(Clone)]
pub struct Connection(pub Arc<OwnedFd>);

/// Every media answer that has not ended.
#[derive(Default)]
pub struct Flights(Mutex<Registry>);

#[derive(Default)]
struct Registry {
    next: u64,
    under_way: HashMap<u64, (Grant, Option<Connection>)>,
}

/// Takes an answer off the list when its body is dropped.
pub struct Flight {
    flights: Arc<Flights>,
    number: u64,
}

impl Flights {
    /// Puts an answer on the list.
    pub fn depart(self: &Arc<Self>, grant: Grant, connection: Option<Connection>) -> Flight {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = registry.next;
        registry.next += 1;
        registry.under_way.insert(number, (grant, connection));
        Flight { flights: Arc::clone(self), number }
    }

    fn cut(&self, stands: impl Fn(&Grant) -> bool) {
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (grant, connection) in registry.under_way.values() {
            if !stands(grant)
                && let Some(Connection(socket)) = connection
            {
                // Dissolves a TCP connection with a reset; what waits in the kernel to be sent is thrown away.
                if let Err(error) = rustix::net::connect_unspec(socket) {
                    tracing::warn!(%error, "a connection could not be cut");
                }
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.0.lock().unwrap_or_else(PoisonError::into_inner).under_way.remove(&self.number);
    }
}

/// Looks at every answer under way whenever what decides access changes. Runs as long as the server.
pub async fn cut_when_revoked(app: actix_web::web::Data<App>, flights: Arc<Flights>) {
    let mut changes = app.store.changes();
    while changes.changed().await.is_ok() {
        flights.cut(|grant| app.standing(grant).owner(grant).is_some());
    }
}
