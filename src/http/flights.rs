//! Media answers under way. When what a grant stands on goes, the connections that still carry its bytes are cut at
//! once: a slow viewer's kernel buffers included.
//!
//! An answer whose last byte was handed over may still lie in buffers, whole if it is short, so it stays on the list
//! until its connection takes another request or ends.

use crate::app::App;
use crate::auth::Grant;
use actix_web::rt::net::TcpStream;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A connection, for cutting what it carries.
#[derive(Clone)]
pub struct Connection {
    socket: Arc<TcpStream>,
    /// The last media answer on this connection, from its last byte to the next request.
    lingering: Arc<Mutex<Option<Seat>>>,
}

impl Connection {
    /// A connection that has carried nothing.
    pub fn new(socket: Arc<TcpStream>) -> Self {
        Self { socket, lingering: Arc::default() }
    }

    /// Notes that another request came: the peer has the answer before it, or asked for more than it has read.
    pub fn begin_request(&self) {
        self.linger(None);
    }

    fn linger(&self, seat: Option<Seat>) {
        let before = std::mem::replace(&mut *self.lingering.lock().unwrap_or_else(PoisonError::into_inner), seat);
        drop(before);
    }
}

/// Every media answer that has not ended.
#[derive(Default)]
pub struct Flights(Mutex<Registry>);

#[derive(Default)]
struct Registry {
    next: u64,
    under_way: HashMap<u64, (Grant, Option<Arc<TcpStream>>)>,
}

/// A place on the list, given back when dropped.
struct Seat {
    flights: Arc<Flights>,
    number: u64,
}

/// An answer on the list. When its body is dropped, what the connection still holds of it stays there.
pub struct Flight {
    seat: Option<Seat>,
    connection: Option<Connection>,
}

impl Flights {
    /// Puts an answer on the list.
    pub fn depart(self: &Arc<Self>, grant: Grant, connection: Option<Connection>) -> Flight {
        let mut registry = self.lock();
        let number = registry.next;
        registry.next += 1;
        let socket = connection.as_ref().map(|connection| Arc::clone(&connection.socket));
        registry.under_way.insert(number, (grant, socket));
        Flight { seat: Some(Seat { flights: Arc::clone(self), number }), connection }
    }

    /// Looks at all of them without holding up who begins or ends, then cuts those that are still under way.
    fn cut(&self, stands: impl Fn(&Grant) -> bool) {
        let listed: Vec<(u64, Grant)> =
            self.lock().under_way.iter().map(|(number, (grant, _))| (*number, grant.clone())).collect();
        let fallen: Vec<u64> =
            listed.into_iter().filter(|(_, grant)| !stands(grant)).map(|(number, _)| number).collect();
        let registry = self.lock();
        for number in fallen {
            if let Some((_, Some(socket))) = registry.under_way.get(&number) {
                // Dissolves a TCP connection with a reset; what waits in the kernel to be sent is thrown away.
                if let Err(error) = rustix::net::connect_unspec(socket) {
                    tracing::warn!(%error, "a connection could not be cut");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.linger(self.seat.take());
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.flights.lock().under_way.remove(&self.number);
    }
}

/// Looks at every answer under way whenever what decides access changes. Runs as long as the server.
pub async fn cut_when_revoked(app: actix_web::web::Data<App>, flights: Arc<Flights>) {
    let mut changes = app.store.changes();
    while changes.changed().await.is_ok() {
        flights.cut(|grant| app.standing(grant).owner(grant).is_some());
    }
}
