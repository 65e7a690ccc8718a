//! Media answers on their way. When what a grant stands on goes, the connections that still carry bytes of it are cut at
//! once: a slow viewer's kernel buffers included.
//!
//! An answer whose last byte was handed over may still lie in the kernel, whole if it is short, and whoever asks for
//! something else behind it need not have read it. So a connection keeps a seat for each grant that it was given bytes
//! under, with how much it had been given by their end, and is left alone once its peer has acknowledged as much. One that
//! has ended drains ([`drain`]): it is kept open until its peer has closed it, too, for the kernel goes on sending what a closed
//! socket holds, and nobody could cut it.

mod drain;

use self::drain::{Drain, Draining};
use super::rate::network;
use crate::app::App;
use crate::auth::Grant;
use crate::domain::limits;
use actix_web::rt::net::TcpStream;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The end of an answer that has none yet.
const UNDER_WAY: u64 = u64::MAX;
/// The end of answers that the peer has, all of them.
const DELIVERED: u64 = 0;

/// A client's socket, and how much it was given.
pub struct Carrier {
    /// The socket.
    pub stream: TcpStream,
    /// Bytes that the kernel has taken, to be sent.
    given: AtomicU64,
    /// Whether it may have taken more that are not counted yet.
    is_giving: AtomicBool,
}

impl Carrier {
    /// A socket that was given nothing.
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, given: AtomicU64::new(0), is_giving: AtomicBool::new(false) }
    }

    /// Gives the kernel bytes by `write`, which answers how many it has taken.
    pub fn give<E>(&self, write: impl FnOnce(&TcpStream) -> Result<usize, E>) -> Result<usize, E> {
        self.is_giving.store(true, Ordering::SeqCst);
        let taken = write(&self.stream);
        self.given.fetch_add(taken.as_ref().map_or(0, |count| *count as u64), Ordering::SeqCst);
        self.is_giving.store(false, Ordering::SeqCst);
        taken
    }

    fn given(&self) -> u64 {
        self.given.load(Ordering::SeqCst)
    }

    /// Whether the connection lasts: one whose both ends have closed it is none any more, once all of it has arrived.
    fn is_connected(&self) -> bool {
        self.stream.peer_addr().is_ok()
    }

    /// Dissolves a TCP connection with a reset; what waits in the kernel to be sent is thrown away.
    fn cut(&self) {
        if let Err(error) = rustix::net::connect_unspec(&self.stream) {
            tracing::warn!(%error, "a connection could not be cut");
        }
    }
}

/// A connection, for cutting what it carries.
pub struct Connection {
    carrier: Arc<Carrier>,
    /// Behind the others the one of the last media answer, which alone may be under way.
    seats: RefCell<Vec<Seat>>,
}

impl Connection {
    /// A connection that has carried nothing.
    pub fn new(carrier: Arc<Carrier>) -> Self {
        Self { carrier, seats: RefCell::default() }
    }

    /// Notes that another request has come: the kernel has taken all of the answer before it (`intake.rs`).
    pub fn begin_request(&self) {
        if let Some(seat) = self.seats.borrow().last() {
            let end = &seat.load.end;
            // The end of one that has ended stays where it is.
            let _ = end.compare_exchange(UNDER_WAY, self.carrier.given(), Ordering::SeqCst, Ordering::SeqCst);
        }
    }

    /// Whether it has to end with the answer that is under way: it has carried as many viewings as are kept in mind.
    pub fn is_full(&self) -> bool {
        self.seats.borrow().len() >= limits::CONNECTION_VIEWINGS
    }
}

impl Drop for Connection {
    /// The kernel goes on sending what it holds when a socket is closed: it is kept open until the peer closes it, too.
    fn drop(&mut self) {
        let seats = self.seats.take();
        let is_delivered = seats.iter().all(|seat| seat.load.end.load(Ordering::SeqCst) == DELIVERED);
        let Ok(peer) = self.carrier.stream.peer_addr() else { return };
        let Some(flights) = seats.first().filter(|_| !is_delivered).map(|seat| Arc::clone(&seat.flights)) else {
            return;
        };
        let given = self.carrier.given();
        for seat in &seats {
            let _ = seat.load.end.compare_exchange(UNDER_WAY, given, Ordering::SeqCst, Ordering::SeqCst);
        }
        // The peer is told the end as if the socket were closed. One that has closed it before, and is near, has it by now.
        let _ = rustix::net::shutdown(&self.carrier.stream, rustix::net::Shutdown::Write);
        if self.carrier.is_connected() {
            let now = Instant::now();
            let draining = Draining { since: now, carrier: Arc::clone(&self.carrier), _seats: seats };
            flights.draining().add(network(peer.ip().to_canonical()), draining, now);
        }
    }
}

/// Everything that connections carry, or have carried.
pub struct Flights {
    registry: Mutex<Registry>,
    /// Locked before the registry, or alone.
    draining: Mutex<Drain>,
}

#[derive(Default)]
struct Registry {
    next: u64,
    loads: HashMap<u64, Arc<Load>>,
}

/// What one connection was given under one grant.
struct Load {
    grant: Grant,
    carrier: Arc<Carrier>,
    /// How much the connection had been given by the end of it; or [`UNDER_WAY`], or [`DELIVERED`].
    end: AtomicU64,
}

/// A place on the list, given back when dropped.
struct Seat {
    flights: Arc<Flights>,
    number: u64,
    load: Arc<Load>,
}

/// An answer on the list.
pub struct Flight(Option<Arc<Carrier>>);

impl Flight {
    /// Ends the connection, and what the kernel holds of the answer with it: a closed socket would go on sending that.
    pub fn cut(&self) {
        if let Some(carrier) = &self.0 {
            carrier.cut();
        }
    }
}

impl Flights {
    /// Nothing yet. `room` connections that have ended may drain.
    pub fn new(room: usize) -> Self {
        Self { registry: Mutex::default(), draining: Mutex::new(Drain::new(room)) }
    }

    /// Puts an answer under `grant` on the list, before the first of its bytes.
    pub fn depart(self: &Arc<Self>, grant: &Grant, connection: Option<&Connection>) -> Flight {
        let Some(connection) = connection else { return Flight(None) };
        let mut seats = connection.seats.borrow_mut();
        let seat = match seats.iter().rposition(|seat| seat.load.grant.falls_with(grant)) {
            Some(known) => {
                let seat = seats.remove(known);
                seat.load.end.store(UNDER_WAY, Ordering::SeqCst);
                seat
            }
            None => self.seat(grant.clone(), Arc::clone(&connection.carrier)),
        };
        seats.push(seat);
        Flight(Some(Arc::clone(&connection.carrier)))
    }

    fn seat(self: &Arc<Self>, grant: Grant, carrier: Arc<Carrier>) -> Seat {
        let load = Arc::new(Load { grant, carrier, end: AtomicU64::new(UNDER_WAY) });
        let mut registry = self.lock();
        let number = registry.next;
        registry.next += 1;
        registry.loads.insert(number, Arc::clone(&load));
        Seat { flights: Arc::clone(self), number, load }
    }

    /// Looks at all of them without holding up who begins or ends, and cuts what carries bytes under a grant that has
    /// fallen. `unacknowledged` tells how many bytes that sockets were given their peers have not acknowledged.
    fn cut(&self, stands: impl Fn(&Grant) -> bool, unacknowledged: impl Fn(&[&TcpStream]) -> Vec<u64>) {
        let listed: Vec<Arc<Load>> = self.lock().loads.values().cloned().collect();
        let mut ended = Vec::new();
        for load in listed.iter().filter(|load| !stands(&load.grant)) {
            match load.end.load(Ordering::SeqCst) {
                DELIVERED => {}
                UNDER_WAY => load.carrier.cut(),
                end => ended.push((load, end)),
            }
        }
        // Where a socket was given more while the kernel told of it, it is asked again, and in the end not believed.
        let began = Instant::now();
        for look in 1..=limits::CUT_LOOKS {
            if ended.is_empty() {
                return;
            }
            let before: Vec<u64> = ended.iter().map(|(load, _)| load.carrier.given()).collect();
            let sockets: Vec<&TcpStream> = ended.iter().map(|(load, _)| &load.carrier.stream).collect();
            let waiting = unacknowledged(&sockets);
            let mut told = before.into_iter().zip(waiting);
            let is_last = look == limits::CUT_LOOKS || began.elapsed() >= Duration::from_millis(limits::CUT_LOOKS_MS);
            ended.retain(|(load, end)| {
                let (given, waiting) = told.next().unwrap_or((0, u64::MAX));
                if given.saturating_sub(waiting) >= *end {
                    // Unless it carries more of it by now.
                    let _ = load.end.compare_exchange(*end, DELIVERED, Ordering::SeqCst, Ordering::SeqCst);
                    return false;
                }
                // In this order: what is not being given is counted.
                let is_giving = load.carrier.is_giving.load(Ordering::SeqCst);
                let is_known = !is_giving && load.carrier.given().saturating_sub(waiting) < *end;
                if is_known || is_last {
                    load.carrier.cut();
                }
                !is_known && !is_last
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draining(&self) -> MutexGuard<'_, Drain> {
        self.draining.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.flights.lock().loads.remove(&self.number);
    }
}

/// Looks at every answer on the list whenever what decides access changes. Runs as long as the server.
pub async fn cut_when_revoked(
    app: actix_web::web::Data<App>,
    flights: Arc<Flights>,
    unacknowledged: impl Fn(&[&TcpStream]) -> Vec<u64>,
) {
    let mut changes = app.store.changes();
    // What was changed before this was begun, too.
    changes.mark_changed();
    while changes.changed().await.is_ok() {
        flights.cut(|grant| app.standing(grant).owner(grant).is_some(), &unacknowledged);
    }
}

/// Lets go of connections that have ended once their peers have closed them, too. Runs as long as the server.
pub async fn release_drained(
    flights: Arc<Flights>,
    unacknowledged: impl Fn(&[&TcpStream]) -> Vec<u64> + Copy + Send + 'static,
) {
    let mut tick = tokio::time::interval(Duration::from_secs(limits::DRAIN_LOOK_S));
    loop {
        tick.tick().await;
        flights.draining().look(Instant::now());
        let crowd = flights.draining().crowd();
        if !crowd.is_empty() {
            let told = move || (unacknowledged(&drain::streams(&crowd)), crowd);
            if let Ok((waiting, crowd)) = tokio::task::spawn_blocking(told).await {
                flights.draining().release_delivered(&crowd, &waiting);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Purpose;
    use crate::domain::{SessionId, Timestamp, VideoId};
    use std::net::SocketAddr;
    use tokio::net::{TcpListener, TcpSocket};

    fn grant(session: u8) -> Grant {
        let at = Timestamp::from_secs(1_795_500_000);
        Grant {
            purpose: Purpose::Play,
            video: VideoId::from_random([1; 16]),
            epoch: 0,
            session: SessionId::from_random([session; 16]),
            authority: None,
            started_at: at,
            expires_at: at.plus_secs(300),
            ends_at: at.plus_secs(600),
            asset_key: None,
        }
    }

    async fn connection() -> (Connection, TcpStream) {
        connection_from("127.0.0.1").await
    }

    async fn connection_from(address: &str) -> (Connection, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let from = TcpSocket::new_v4().unwrap();
        from.bind(SocketAddr::new(address.parse().unwrap(), 0)).unwrap();
        let peer = from.connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        (Connection::new(Arc::new(Carrier::new(socket))), peer)
    }

    fn taken(count: usize) -> Result<usize, ()> {
        Ok(count)
    }

    fn is_cut(connection: &Connection) -> bool {
        !connection.carrier.is_connected()
    }

    /// Gives a connection an answer of 1,000 bytes and another request; whether losing `fallen` cuts it while `waiting`
    /// bytes are not acknowledged.
    async fn cut_after(sessions: &[u8], fallen: u8, waiting: u64) -> bool {
        let flights = Arc::new(Flights::new(2));
        let (connection, _peer) = connection().await;
        for session in sessions {
            flights.depart(&grant(*session), Some(&connection));
            connection.carrier.give(|_| taken(1_000)).unwrap();
            connection.begin_request();
        }
        flights.cut(|other| other.session != grant(fallen).session, |sockets| vec![waiting; sockets.len()]);
        is_cut(&connection)
    }

    #[actix_web::test]
    async fn a_connection_is_left_alone_once_its_peer_has_all_of_what_fell() {
        assert!(cut_after(&[1], 1, 1).await, "the last byte is not there");
        assert!(!cut_after(&[1], 1, 0).await);
        assert!(!cut_after(&[1], 2, 1_000).await, "another's");
        assert!(cut_after(&[1, 2], 1, 1_001).await);
        assert!(!cut_after(&[1, 2], 1, 1_000).await, "what is not there is the other's");
        assert!(cut_after(&[1, 2, 1], 1, 1).await, "of two answers, the last one counts");
        assert!(cut_after(&[1], 1, u64::MAX).await, "nobody knows");
    }

    #[actix_web::test]
    async fn a_connection_that_is_given_more_while_the_kernel_tells_is_asked_again() {
        for (given_at, is_left) in [(1, true), (limits::CUT_LOOKS, false)] {
            let flights = Arc::new(Flights::new(2));
            let (connection, _peer) = connection().await;
            flights.depart(&grant(1), Some(&connection));
            connection.carrier.give(|_| taken(1_000)).unwrap();
            connection.begin_request();
            // The answer to what came behind it, which the peer has not acknowledged either.
            let (looks, later) = (std::cell::Cell::new(0), 200);
            let told = |sockets: &[&TcpStream]| {
                looks.set(looks.get() + 1);
                if looks.get() <= given_at {
                    connection.carrier.give(|_| taken(later)).unwrap();
                }
                vec![looks.get().min(given_at) as u64 * later as u64; sockets.len()]
            };
            flights.cut(|_| false, told);
            assert_eq!((looks.get(), is_cut(&connection)), (given_at + usize::from(is_left), !is_left));
        }
    }

    #[actix_web::test]
    async fn an_answer_that_has_not_ended_is_cut_whatever_the_peer_has() {
        let flights = Arc::new(Flights::new(2));
        let (connection, _peer) = connection().await;
        flights.depart(&grant(1), Some(&connection));
        connection.carrier.give(|_| taken(1_000)).unwrap();
        connection.begin_request();
        let none_waiting = |sockets: &[&TcpStream]| vec![0; sockets.len()];
        flights.cut(|_| false, none_waiting);
        assert!(!is_cut(&connection), "all of it is there");
        flights.depart(&grant(1), Some(&connection));
        flights.cut(|_| true, none_waiting);
        assert!(!is_cut(&connection), "it stands again");
        flights.cut(|_| false, none_waiting);
        assert!(is_cut(&connection));
    }

    #[actix_web::test]
    async fn one_viewing_has_one_seat_and_a_connection_has_so_many() {
        let flights = Arc::new(Flights::new(2));
        let (connection, _peer) = connection().await;
        let viewings = u8::try_from(limits::CONNECTION_VIEWINGS).unwrap();
        for session in 0..viewings {
            assert!(!connection.is_full(), "{session}");
            for later_s in [0, 60] {
                let renewed = grant(session).expires_at.plus_secs(later_s);
                flights.depart(&Grant { expires_at: renewed, ..grant(session) }, Some(&connection));
            }
        }
        assert!(connection.is_full());
        assert_eq!(flights.lock().loads.len(), limits::CONNECTION_VIEWINGS);
        connection.carrier.cut();
        drop(connection);
        assert!(flights.lock().loads.is_empty(), "its peer is gone");
    }

    /// A connection from `address` that has carried a short answer and ended.
    async fn ended(flights: &Arc<Flights>, address: &str, session: u8) -> (Arc<Carrier>, TcpStream) {
        let (connection, peer) = connection_from(address).await;
        let carrier = Arc::clone(&connection.carrier);
        flights.depart(&grant(session), Some(&connection));
        carrier.give(|_| taken(1_000)).unwrap();
        drop(connection);
        (carrier, peer)
    }

    fn count(flights: &Flights) -> usize {
        flights.lock().loads.len()
    }

    #[actix_web::test]
    async fn what_an_ended_connection_has_on_its_way_is_cut_all_the_same() {
        let flights = Arc::new(Flights::new(2));
        let (fallen, _peer) = ended(&flights, "127.0.0.1", 1).await;
        let (standing, other) = ended(&flights, "127.0.0.1", 2).await;
        flights.draining().look(Instant::now());
        flights.cut(|other| other.session != grant(1).session, |sockets| vec![1; sockets.len()]);
        assert!(!fallen.is_connected() && standing.is_connected());
        flights.draining().look(Instant::now());
        assert_eq!(count(&flights), 1);
        // Its peer closes it, too; the other end hears of it as soon as it has been told.
        drop(other);
        standing.stream.readable().await.unwrap();
        flights.draining().look(Instant::now());
        assert_eq!(count(&flights), 0);
        // Whoever keeps it open for long.
        let (idle, _idle) = ended(&flights, "127.0.0.1", 3).await;
        flights.draining().look(Instant::now() + Duration::from_secs(limits::DRAIN_S - 1));
        assert!(idle.is_connected());
        flights.draining().look(Instant::now() + Duration::from_secs(limits::DRAIN_S + 1));
        assert!(!idle.is_connected());
        assert_eq!(count(&flights), 0);
    }

    #[actix_web::test]
    async fn a_connection_whose_peer_has_closed_it_is_not_kept() {
        let flights = Arc::new(Flights::new(2));
        let (connection, peer) = connection_from("127.0.0.1").await;
        flights.depart(&grant(1), Some(&connection));
        drop(peer);
        connection.carrier.stream.readable().await.unwrap();
        drop(connection);
        assert_eq!(count(&flights), 0);
    }

    #[actix_web::test]
    async fn where_there_is_no_room_the_oldest_of_the_network_that_has_most_is_cut() {
        let flights = Arc::new(Flights::new(3));
        let (first, _first) = ended(&flights, "127.0.0.1", 1).await;
        let (second, _second) = ended(&flights, "127.0.0.2", 2).await;
        let (third, _third) = ended(&flights, "127.0.0.2", 3).await;
        let (fourth, _fourth) = ended(&flights, "127.0.0.2", 4).await;
        assert!(first.is_connected() && !second.is_connected() && third.is_connected() && fourth.is_connected());
        let (fifth, _fifth) = ended(&flights, "127.0.0.3", 5).await;
        assert!(first.is_connected() && !third.is_connected() && fourth.is_connected() && fifth.is_connected());
        // Of networks that have as many, the one that has it longest.
        let (sixth, _sixth) = ended(&flights, "127.0.0.4", 6).await;
        assert!(!first.is_connected() && fourth.is_connected() && fifth.is_connected() && sixth.is_connected());
        assert_eq!(count(&flights), 3);
    }

    #[actix_web::test]
    async fn whoever_has_everything_or_has_closed_gives_room_before_anybody_is_cut() {
        let flights = Arc::new(Flights::new(2));
        let (first, _first) = ended(&flights, "127.0.0.1", 1).await;
        assert!(flights.draining().crowd().is_empty(), "there is room");
        let (second, _second) = ended(&flights, "127.0.0.1", 2).await;
        let crowd = flights.draining().crowd();
        let waiting: Vec<u64> = crowd.iter().map(|carrier| u64::from(Arc::ptr_eq(carrier, &first))).collect();
        flights.draining().release_delivered(&crowd, &waiting);
        assert_eq!(count(&flights), 1);
        drop(crowd);
        assert!(second.is_connected(), "it is let go of and not cut");
        let (third, peer) = ended(&flights, "127.0.0.2", 3).await;
        drop(peer);
        third.stream.readable().await.unwrap();
        let (fourth, _fourth) = ended(&flights, "127.0.0.2", 4).await;
        assert!(first.is_connected() && !third.is_connected() && fourth.is_connected());
        assert_eq!(count(&flights), 2);
    }
}
