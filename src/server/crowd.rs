//! How many connections each client address has: one of them must not have them all.

use crate::domain::limits;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The connections of all workers, by address.
#[derive(Clone)]
pub(super) struct Crowd(Arc<Counts>);

struct Counts {
    limit: usize,
    spares_loopback: bool,
    by_address: Mutex<HashMap<IpAddr, Count>>,
}

#[derive(Default)]
struct Count {
    open: usize,
    /// It was logged that there are too many.
    is_told: bool,
}

/// A connection's place among those of its address; given back when it is dropped.
pub(super) struct Place {
    crowd: Crowd,
    address: IpAddr,
}

/// An address has all the connections that it may have.
pub(super) struct Full;

impl Crowd {
    /// With at most `configured` connections of one address. Where that is 0, with their share of the `connections` there
    /// are, and without counting those of this machine: they are a proxy's, or of somebody who has other ways.
    pub(super) fn new(configured: usize, connections: usize) -> Self {
        let (limit, spares_loopback) = match configured {
            0 => (connections.div_ceil(limits::CROWD_SHARE), true),
            limit => (limit, false),
        };
        Self(Arc::new(Counts { limit, spares_loopback, by_address: Mutex::default() }))
    }

    /// A place for one more connection of `address`; none where it is not counted.
    pub(super) fn enter(&self, address: IpAddr) -> Result<Option<Place>, Full> {
        if self.0.spares_loopback && address.is_loopback() {
            return Ok(None);
        }
        let mut counts = self.0.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if count.open >= self.0.limit {
            if !std::mem::replace(&mut count.is_told, true) {
                let connections = count.open;
                tracing::warn!(
                    %address,
                    connections,
                    "an address has all the connections it may have; where it is a proxy, name it in server.trusted_proxies, \
                     or else see server.max_connections_per_address"
                );
            }
            return Err(Full);
        }
        count.open += 1;
        Ok(Some(Place { crowd: self.clone(), address }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.crowd.0.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            count.open -= 1;
            if count.open == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_gets_back_what_it_leaves() {
        let crowd = Crowd::new(0, 2 * limits::CROWD_SHARE);
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let enter = |address| crowd.enter(address).unwrap_or_else(|Full| panic!("{address} has no place"));
        let (first, second) = (enter(one), enter(one));
        assert!(crowd.enter(one).is_err());
        enter(other);
        drop(first);
        let third = enter(one);
        assert!(crowd.enter(one).is_err());
        drop((second, third));
        assert!(crowd.0.by_address.lock().unwrap().is_empty());
    }

    #[test]
    fn this_machine_is_counted_only_where_a_number_is_configured() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let spared = Crowd::new(0, 4);
        assert!((0..10).all(|_| spared.enter(loopback).is_ok_and(|place| place.is_none())));
        let counted = Crowd::new(1, 4);
        let place = counted.enter(loopback);
        assert!(place.is_ok_and(|place| place.is_some() && counted.enter(loopback).is_err()));
    }
}
