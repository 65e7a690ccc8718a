//! The places at which sources are packaged, and whose turn it is when all are taken: one organization's films must not
//! keep another's waiting, however many they are.

use crate::domain::{OrganizationId, limits};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// The places: [`limits::SOURCES_PACKAGED_AT_ONCE`] of them.
#[derive(Default)]
pub(super) struct Places(Mutex<Turns>);

#[derive(Default)]
struct Turns {
    /// How many places each organization has, and when it got its last one; those that have none and wait for none are
    /// not listed.
    organizations: HashMap<OrganizationId, Taken>,
    /// Who waits, in the order in which they came.
    waiting: Vec<Waiting>,
    turn: u64,
}

struct Waiting {
    organization: OrganizationId,
    urgency: Urgency,
    grant: oneshot::Sender<Place>,
}

/// Whether somebody waits for what is done at a place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::app) enum Urgency {
    /// A client waits for its answer.
    Awaited,
    /// It is done behind everybody's back.
    Behind,
}

#[derive(Clone, Copy, Default)]
struct Taken {
    places: usize,
    last_turn: u64,
}

/// A place that is taken, until it is dropped.
pub(in crate::app) struct Place {
    places: Arc<Places>,
    organization: OrganizationId,
}

impl Places {
    /// Takes a place for a film of `organization`, as soon as there is one and it is its turn.
    pub(super) async fn take(self: &Arc<Self>, organization: OrganizationId, urgency: Urgency) -> Place {
        loop {
            let granted = {
                let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if turns.taken() < limits::SOURCES_PACKAGED_AT_ONCE {
                    turns.grant(organization);
                    return Place { places: Arc::clone(self), organization };
                }
                let (grant, granted) = oneshot::channel();
                // Who comes now has waited for no turn yet.
                let turn = turns.turn;
                turns.organizations.entry(organization).or_insert(Taken { places: 0, last_turn: turn });
                turns.waiting.push(Waiting { organization, urgency, grant });
                granted
            };
            // It is granted sooner or later: whoever has a place hands it on.
            if let Ok(place) = granted.await {
                return place;
            }
        }
    }
}

impl Turns {
    fn taken(&self) -> usize {
        self.organizations.values().map(|taken| taken.places).sum()
    }

    fn grant(&mut self, organization: OrganizationId) {
        self.turn += 1;
        let taken = self.organizations.entry(organization).or_default();
        *taken = Taken { places: taken.places + 1, last_turn: self.turn };
    }

    /// Takes a place back, and grants it to who waits of the organization that has the fewest, and of several to the one
    /// that has waited for its turn the longest; within one, what is awaited goes first.
    fn hand_on(&mut self, organization: OrganizationId) -> Option<Waiting> {
        if let Some(taken) = self.organizations.get_mut(&organization) {
            taken.places = taken.places.saturating_sub(1);
        }
        // Whoever does not wait any more is passed over, all of them at once: a stop leaves thousands.
        self.waiting.retain(|one| !one.grant.is_closed());
        let of = |one: &OrganizationId| self.organizations.get(one).copied().unwrap_or_default();
        let next = self.waiting.iter().enumerate().min_by_key(|(at, one)| {
            let taken = of(&one.organization);
            (taken.places, taken.last_turn, one.urgency, *at)
        });
        let next = next.map(|(at, _)| at).map(|at| self.waiting.remove(at));
        if let Some(next) = &next {
            self.grant(next.organization);
        }
        let waiting = &self.waiting;
        self.organizations
            .retain(|one, taken| taken.places > 0 || waiting.iter().any(|waits| waits.organization == *one));
        next
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let next = self.places.0.lock().unwrap_or_else(PoisonError::into_inner).hand_on(self.organization);
        if let Some(Waiting { organization, grant, .. }) = next {
            // Whoever has ceased to wait just now drops it in their turn.
            drop(grant.send(Self { places: Arc::clone(&self.places), organization }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    fn organization(number: u8) -> OrganizationId {
        OrganizationId::from_random([number; 16])
    }

    /// Organizations that ask for a place in this order, and the order in which they get one: whoever has had one for
    /// the longest goes.
    fn served(asking: &[u8]) -> Vec<u8> {
        let places = Arc::new(Places::default());
        let mut waiting: Vec<(u8, BoxFuture<'_, Place>)> = asking
            .iter()
            .map(|number| (*number, places.take(organization(*number), Urgency::Behind).boxed()))
            .collect();
        let (mut served, mut working) = (Vec::new(), Vec::new());
        loop {
            let mut still = Vec::new();
            for (number, mut place) in waiting {
                match (&mut place).now_or_never() {
                    Some(place) => {
                        served.push(number);
                        working.push(place);
                    }
                    None => still.push((number, place)),
                }
            }
            waiting = still;
            assert!(working.len() <= limits::SOURCES_PACKAGED_AT_ONCE);
            if working.is_empty() {
                assert!(waiting.is_empty());
                assert!(places.0.lock().unwrap().organizations.is_empty(), "nothing is remembered of who is done");
                return served;
            }
            drop(working.remove(0));
        }
    }

    #[test]
    fn who_comes_after_many_of_another_gets_the_next_place() {
        assert_eq!(served(&[1, 1, 1, 1, 1, 2]), [1, 1, 2, 1, 1, 1]);
        assert_eq!(served(&[1, 1, 1, 1, 2, 2, 3]), [1, 1, 2, 1, 3, 2, 1]);
    }

    #[test]
    fn what_a_client_waits_for_goes_before_what_is_done_behind_its_organizations_back() {
        let places = Arc::new(Places::default());
        let take = |urgency| places.take(organization(1), urgency).boxed();
        let mut held: Vec<Place> =
            (0..limits::SOURCES_PACKAGED_AT_ONCE).filter_map(|_| take(Urgency::Behind).now_or_never()).collect();
        let mut behind = take(Urgency::Behind);
        assert!((&mut behind).now_or_never().is_none());
        let mut awaited = take(Urgency::Awaited);
        assert!((&mut awaited).now_or_never().is_none());
        drop(held.pop());
        assert!((&mut behind).now_or_never().is_none());
        drop((&mut awaited).now_or_never().expect("it goes first"));
        assert!((&mut behind).now_or_never().is_some());
    }

    #[test]
    fn whoever_comes_again_and_again_keeps_nobody_waiting() {
        let places = Arc::new(Places::default());
        let take = |number| places.take(organization(number), Urgency::Behind).boxed();
        let mut held: Vec<Place> = [98, 99].into_iter().filter_map(|number| take(number).now_or_never()).collect();
        let mut waits = take(1);
        assert!((&mut waits).now_or_never().is_none());
        for newcomer in 3..20 {
            let mut new = take(newcomer);
            assert!((&mut new).now_or_never().is_none());
            drop(held.pop());
            match (&mut new).now_or_never() {
                Some(place) => held.push(place),
                None => return assert!((&mut waits).now_or_never().is_some()),
            }
        }
        panic!("it waits for ever");
    }

    #[test]
    fn a_stop_with_many_who_wait_ends_them_all_at_once() {
        let places = Arc::new(Places::default());
        let held: Vec<Place> = (0..limits::SOURCES_PACKAGED_AT_ONCE)
            .filter_map(|_| places.take(organization(1), Urgency::Behind).now_or_never())
            .collect();
        let mut waiting: Vec<BoxFuture<'_, Place>> =
            (0..20_000).map(|_| places.take(organization(1), Urgency::Behind).boxed()).collect();
        assert!(waiting.iter_mut().all(|place| place.now_or_never().is_none()));
        drop(waiting);
        drop(held);
        assert_eq!(places.0.lock().unwrap().taken(), 0);
    }

    #[test]
    fn one_organization_alone_has_all_places_in_the_order_of_its_films() {
        assert_eq!(served(&[1, 1, 1]), [1, 1, 1]);
        assert_eq!(served(&[1, 2, 3]), [1, 2, 3]);
    }

    #[test]
    fn a_place_that_nobody_waits_for_any_more_goes_to_the_next() {
        let places = Arc::new(Places::default());
        let held: Vec<Place> = (0..limits::SOURCES_PACKAGED_AT_ONCE)
            .filter_map(|_| places.take(organization(1), Urgency::Behind).now_or_never())
            .collect();
        let mut gone = places.take(organization(2), Urgency::Behind).boxed();
        let mut waits = places.take(organization(3), Urgency::Behind).boxed();
        assert!((&mut gone).now_or_never().is_none() && (&mut waits).now_or_never().is_none());
        drop(gone);
        drop(held);
        assert!((&mut waits).now_or_never().is_some());
        assert_eq!(places.0.lock().unwrap().taken(), 0);
    }
}
