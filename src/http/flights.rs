//! Media answers on their way. When what a grant stands on goes, the connections that still carry bytes of it are cut at
//! once: a slow viewer's kernel buffers included.
//!
//! An answer whose last byte was handed over may still lie in the kernel, whole if it is short, and whoever asks for
//! something else behind it need not have read it. So a connection keeps a seat for each grant that it was given bytes
//! under, with how much it had been given by their end, and is left alone once its peer has acknowledged as much. One that
//! has ended is kept open until then: the kernel goes on sending what a closed socket holds, and nobody could cut it.

use crate::app::App;
use crate::auth::Grant;
use crate::domain::limits;
use actix_web::rt::net::TcpStream;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

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
    /// The kernel goes on sending what it holds when a socket is closed: it is kept open until the peer has it.
    fn drop(&mut self) {
        let seats = self.seats.take();
        let is_delivered = seats.iter().all(|seat| seat.load.end.load(Ordering::SeqCst) == DELIVERED);
        if let Some(flights) = seats.first().filter(|_| !is_delivered).map(|seat| Arc::clone(&seat.flights)) {
            flights.part(Parted { since: Instant::now(), carrier: Arc::clone(&self.carrier), seats });
        }
    }
}

/// Everything that connections carry, or have carried.
pub struct Flights {
    registry: Mutex<Registry>,
    /// How many connections that have ended may be kept.
    room: usize,
    crowded: Notify,
}

#[derive(Default)]
struct Registry {
    next: u64,
    loads: HashMap<u64, Arc<Load>>,
    /// Oldest first.
    parted: VecDeque<Parted>,
}

/// A connection that has ended for whoever served it, and whose peer may not have all that it was given.
struct Parted {
    since: Instant,
    carrier: Arc<Carrier>,
    /// Off the list when they are dropped.
    seats: Vec<Seat>,
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
    /// Nothing yet. `room` connections that have ended may be kept until their peers have everything.
    pub fn new(room: usize) -> Self {
        Self { registry: Mutex::default(), room: room.max(1), crowded: Notify::new() }
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
        for look in 1..=limits::CUT_LOOKS {
            if ended.is_empty() {
                return;
            }
            let before: Vec<u64> = ended.iter().map(|(load, _)| load.carrier.given()).collect();
            let sockets: Vec<&TcpStream> = ended.iter().map(|(load, _)| &load.carrier.stream).collect();
            let waiting = unacknowledged(&sockets);
            let mut told = before.into_iter().zip(waiting);
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
                if is_known || look == limits::CUT_LOOKS {
                    load.carrier.cut();
                }
                !is_known
            });
        }
    }

    fn part(&self, parted: Parted) {
        for seat in &parted.seats {
            let _ =
                seat.load.end.compare_exchange(UNDER_WAY, parted.carrier.given(), Ordering::SeqCst, Ordering::SeqCst);
        }
        // The peer is told the end as if the socket were closed.
        let _ = rustix::net::shutdown(&parted.carrier.stream, rustix::net::Shutdown::Write);
        let kept = {
            let mut registry = self.lock();
            registry.parted.push_back(parted);
            registry.parted.len()
        };
        if kept > self.room {
            self.crowded.notify_one();
        }
    }

    /// Lets go of the connections whose peers have everything or are gone, and cuts those that are kept for too long, or are
    /// too many: what is not kept in mind could not be taken back.
    fn see_off(&self, unacknowledged: impl Fn(&[&TcpStream]) -> Vec<u64>, now: Instant) {
        // Their seats leave the list when they are dropped: not while it is locked.
        let parted = std::mem::take(&mut self.lock().parted);
        if parted.is_empty() {
            return;
        }
        let sockets: Vec<&TcpStream> = parted.iter().map(|parted| &parted.carrier.stream).collect();
        let waiting = unacknowledged(&sockets);
        let is_open = |(parted, waiting): &(Parted, u64)| *waiting > 0 && parted.carrier.stream.peer_addr().is_ok();
        let kept = parted.into_iter().zip(waiting).filter(is_open).map(|(parted, _)| parted);
        let mut kept: VecDeque<Parted> = kept.collect();
        let too_many = kept.len().saturating_sub(self.room);
        let limit = Duration::from_secs(limits::PARTED_S);
        let old = kept.iter().take_while(|parted| now.saturating_duration_since(parted.since) > limit).count();
        kept.drain(..too_many.max(old)).for_each(|parted| parted.carrier.cut());
        let mut registry = self.lock();
        kept.append(&mut registry.parted);
        registry.parted = kept;
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Keeps connections that have ended for as long as bytes of theirs are on their way. Runs as long as the server.
pub async fn see_off(flights: Arc<Flights>, unacknowledged: impl Fn(&[&TcpStream]) -> Vec<u64>) {
    loop {
        // Early where there are many.
        let _ = tokio::time::timeout(Duration::from_secs(limits::PARTED_LOOK_S), flights.crowded.notified()).await;
        flights.see_off(&unacknowledged, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Purpose;
    use crate::domain::{SessionId, Timestamp, VideoId};
    use tokio::net::TcpListener;

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
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        (Connection::new(Arc::new(Carrier::new(socket))), peer)
    }

    fn taken(count: usize) -> Result<usize, ()> {
        Ok(count)
    }

    fn is_cut(connection: &Connection) -> bool {
        connection.carrier.stream.peer_addr().is_err()
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
        flights.see_off(|sockets| vec![1; sockets.len()], Instant::now());
        assert!(flights.lock().loads.is_empty(), "its peer is gone");
    }

    #[actix_web::test]
    async fn what_an_ended_connection_has_on_its_way_is_cut_all_the_same() {
        let flights = Arc::new(Flights::new(2));
        let waiting = |waiting: u64| move |sockets: &[&TcpStream]| vec![waiting; sockets.len()];
        let ended = async |session: u8| {
            let (connection, peer) = connection().await;
            let carrier = Arc::clone(&connection.carrier);
            flights.depart(&grant(session), Some(&connection));
            carrier.give(|_| taken(1_000)).unwrap();
            drop(connection);
            (carrier, peer)
        };
        let is_cut = |carrier: &Carrier| carrier.stream.peer_addr().is_err();
        let (fallen, _peer) = ended(1).await;
        let (standing, _other) = ended(2).await;
        flights.see_off(waiting(1), Instant::now());
        flights.cut(|other| other.session != grant(1).session, waiting(1));
        assert!(is_cut(&fallen) && !is_cut(&standing));
        flights.see_off(waiting(1), Instant::now());
        assert_eq!(flights.lock().loads.len(), 1);
        flights.see_off(waiting(0), Instant::now());
        assert!(flights.lock().loads.is_empty() && !is_cut(&standing), "the peer has everything");
        // The oldest of more than there is room for, and whoever takes nothing for long.
        let (first, _first) = ended(3).await;
        let (second, _second) = ended(4).await;
        let (third, _third) = ended(5).await;
        flights.see_off(waiting(1), Instant::now());
        assert!(is_cut(&first) && !is_cut(&second) && !is_cut(&third));
        flights.see_off(waiting(1), Instant::now() + Duration::from_secs(limits::PARTED_S + 1));
        assert!(is_cut(&second) && is_cut(&third));
        assert!(flights.lock().loads.is_empty());
    }
}
