//! Connections that have ended for whoever served them, and whose peers have not closed them yet.

use super::{Carrier, Seat};
use crate::domain::limits;
use actix_web::rt::net::TcpStream;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection that has ended.
pub(super) struct Draining {
    pub(super) since: Instant,
    pub(super) carrier: Arc<Carrier>,
    /// Off the list when they are dropped.
    pub(super) _seats: Vec<Seat>,
}

/// All of them.
pub(super) struct Drain {
    /// How many there may be.
    room: usize,
    /// How many there are.
    count: usize,
    /// By the networks of their peers, none without any; of each the oldest first.
    networks: HashMap<IpAddr, VecDeque<Draining>>,
    /// When those that are closed were last looked for.
    looked_at: Option<Instant>,
}

impl Drain {
    /// None yet, of `room` at most.
    pub(super) fn new(room: usize) -> Self {
        Self { room: room.max(1), count: 0, networks: HashMap::new(), looked_at: None }
    }

    /// One more, whose peer is of `network`. Where there is no room, the oldest of the network that has most is cut, of several
    /// the oldest of all: what is not kept in mind could not be taken back.
    pub(super) fn add(&mut self, network: IpAddr, draining: Draining, now: Instant) {
        let pause = Duration::from_millis(limits::DRAIN_FULL_LOOK_MS);
        if self.count >= self.room && self.looked_at.is_none_or(|at| now.saturating_duration_since(at) >= pause) {
            self.looked_at = Some(now);
            self.release(|draining| !draining.carrier.is_connected());
        }
        if self.count >= self.room {
            self.cut_one();
        }
        self.networks.entry(network).or_default().push_back(draining);
        self.count += 1;
    }

    fn cut_one(&mut self) {
        let by_age =
            |(_, own): &(&IpAddr, &VecDeque<Draining>)| (own.len(), Reverse(own.front().map(|first| first.since)));
        let Some(network) = self.networks.iter().max_by_key(by_age).map(|(network, _)| *network) else { return };
        let Some(own) = self.networks.get_mut(&network) else { return };
        if let Some(oldest) = own.pop_front() {
            oldest.carrier.cut();
            self.count -= 1;
        }
        if own.is_empty() {
            self.networks.remove(&network);
        }
    }

    /// Lets go of those whose peers have closed them, too, or are gone, and cuts those that have been here for too long.
    pub(super) fn look(&mut self, now: Instant) {
        let limit = Duration::from_secs(limits::DRAIN_S);
        self.release(|draining| {
            let is_over = now.saturating_duration_since(draining.since) > limit;
            if is_over {
                draining.carrier.cut();
            }
            is_over || !draining.carrier.is_connected()
        });
    }

    /// Those to ask the kernel of, where more than half the room is taken: many a peer that has everything closes late.
    pub(super) fn crowd(&self) -> Vec<Arc<Carrier>> {
        match self.count > self.room / 2 {
            true => self.networks.values().flatten().map(|draining| Arc::clone(&draining.carrier)).collect(),
            false => Vec::new(),
        }
    }

    /// Lets go of those of `crowd` whose peers have acknowledged everything.
    pub(super) fn release_delivered(&mut self, crowd: &[Arc<Carrier>], waiting: &[u64]) {
        let told = crowd.iter().zip(waiting);
        let delivered: HashSet<_> =
            told.filter(|(_, waiting)| **waiting == 0).map(|(own, _)| Arc::as_ptr(own)).collect();
        self.release(|draining| delivered.contains(&Arc::as_ptr(&draining.carrier)));
    }

    fn release(&mut self, is_over: impl Fn(&Draining) -> bool) {
        self.networks.retain(|_, own| {
            own.retain(|draining| !is_over(draining));
            !own.is_empty()
        });
        self.count = self.networks.values().map(VecDeque::len).sum();
    }
}

/// What `sockets` of a crowd are asked for.
pub(super) fn streams(crowd: &[Arc<Carrier>]) -> Vec<&TcpStream> {
    crowd.iter().map(|carrier| &carrier.stream).collect()
}
