//! What keeps the appliance from doing all that it should: asked of its parts at the moment.

use super::App;
use crate::store::{Fullness, StoreHealth};
use std::time::Instant;

/// Something that an operator should look after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// Neither reads nor changes work.
    StoreFailing,
    /// The disk takes no writes.
    DiskReadOnly,
    /// The disk is full: only what revokes or removes is taken.
    DiskFull,
    /// The disk is nearly full: nothing large is taken.
    DiskNearlyFull,
    /// The disk is filling.
    DiskFilling,
    /// Media files are not what was stored, and are not served.
    MediaDamaged,
    /// A task of the server's own has failed and was begun anew.
    TaskFailed,
    /// A stop has begun.
    Stopping,
    /// The clock was set back.
    ClockSetBack,
}

impl App {
    /// All there is, the worst first.
    pub fn concerns(&self) -> Vec<Concern> {
        let store = match self.store.health() {
            StoreHealth::Failing => Some(Concern::StoreFailing),
            StoreHealth::ReadOnly => Some(Concern::DiskReadOnly),
            StoreHealth::Working(Fullness::NoChanges) => Some(Concern::DiskFull),
            StoreHealth::Working(Fullness::NoUploads) => Some(Concern::DiskNearlyFull),
            StoreHealth::Working(Fullness::Filling) => Some(Concern::DiskFilling),
            StoreHealth::Working(Fullness::Roomy) => None,
        };
        let damaged = (self.damaged.count() > 0).then_some(Concern::MediaDamaged);
        let task = self.condition.has_failed_task(Instant::now()).then_some(Concern::TaskFailed);
        let stopping = self.condition.is_stopping().then_some(Concern::Stopping);
        let clock = self.is_clock_suspect().then_some(Concern::ClockSetBack);
        [store, damaged, task, stopping, clock].into_iter().flatten().collect()
    }
}
