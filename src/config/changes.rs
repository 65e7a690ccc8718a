//! What of a configuration may change while the server runs, and what only a restart takes over.
//!
//! Relies on the table of keys to compare. A key that is not named here needs a restart.

use super::Config;
use super::keys::KEYS;

/// Takes one key's value over into the configuration in force.
type Take = fn(&mut Config, &Config);

/// The keys that a reload takes over.
const LIVE: [(&str, Take); 9] = [
    ("server.trusted_proxies", |ours, new| ours.server.trusted_proxies.clone_from(&new.server.trusted_proxies)),
    ("limits.playback_per_second", |ours, new| ours.limits.playback_per_second = new.limits.playback_per_second),
    ("limits.playback_burst", |ours, new| ours.limits.playback_burst = new.limits.playback_burst),
    ("limits.organization_per_second", |ours, new| {
        ours.limits.organization_per_second = new.limits.organization_per_second;
    }),
    ("limits.organization_burst", |ours, new| ours.limits.organization_burst = new.limits.organization_burst),
    ("limits.admin_per_second", |ours, new| ours.limits.admin_per_second = new.limits.admin_per_second),
    ("limits.admin_burst", |ours, new| ours.limits.admin_burst = new.limits.admin_burst),
    ("limits.admin_failures_per_minute", |ours, new| {
        ours.limits.admin_failures_per_minute = new.limits.admin_failures_per_minute;
    }),
    ("log.level", |ours, new| ours.log.level.clone_from(&new.log.level)),
];

/// What differs between the configuration in force and the one on disk, by key.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Taken over.
    pub live: Vec<&'static str>,
    /// Not in force before a restart.
    pub waiting: Vec<&'static str>,
}

impl Config {
    /// Takes over from `new` what may change while the server runs, and says what differs.
    pub fn take_live(&mut self, new: &Self) -> Changes {
        let mut changes = Changes::default();
        for key in KEYS.iter().filter(|key| (key.show)(self) != (key.show)(new)) {
            match LIVE.iter().find(|(name, _)| *name == key.name) {
                Some((name, _)) => changes.live.push(name),
                None => changes.waiting.push(key.name),
            }
        }
        for (name, take) in LIVE {
            if changes.live.contains(&name) {
                take(self, new);
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_may_change_live_is_taken_over_and_any_other_waits() {
        let mut ours = Config::default_for("/srv".into());
        let mut new = ours.clone();
        assert_eq!(ours.take_live(&new), Changes::default());
        new.log.level = "debug".to_owned();
        new.limits.playback_burst = 7;
        new.server.workers = 3;
        let changes = ours.take_live(&new);
        assert_eq!(changes.live, ["limits.playback_burst", "log.level"]);
        assert_eq!(changes.waiting, ["server.workers"]);
        assert_eq!((ours.log.level.as_str(), ours.limits.playback_burst, ours.server.workers), ("debug", 7, 0));
        // What waits is named again at the next reload.
        assert_eq!(ours.take_live(&new), Changes { live: Vec::new(), waiting: vec!["server.workers"] });
    }

    #[test]
    fn every_live_key_is_a_key_and_takes_over_its_own_value() {
        let default = Config::default_for("/srv".into());
        let mut new = default.clone();
        new.server.trusted_proxies = vec![std::net::Ipv4Addr::LOCALHOST.into()];
        new.limits = super::super::LimitsConfig {
            playback_per_second: 1,
            playback_burst: 2,
            admin_failures_per_minute: 3,
            organization_per_second: 4,
            organization_burst: 5,
            admin_per_second: 6,
            admin_burst: 7,
        };
        new.log.level = "off".to_owned();
        let changed: Vec<&str> = default.clone().take_live(&new).live;
        let mut names = LIVE.map(|(name, _)| name).to_vec();
        names.sort_unstable();
        assert_eq!(
            {
                let mut sorted = changed;
                sorted.sort_unstable();
                sorted
            },
            names
        );
        // The operator's manual names them, and no other.
        let manual = include_str!("../../docs/OPERATIONS.md");
        let row = manual.lines().find(|line| line.starts_with("| at a reload |")).unwrap();
        let mut told: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        told.sort_unstable();
        assert_eq!(told, names);
        let mut ours = default;
        ours.take_live(&new);
        assert_eq!(ours.take_live(&new), Changes::default());
    }
}
