//! The server secrets behind asset URLs: making the first, opening them at start, rotating, and forgetting old ones.

use super::{App, Entropy, subject};
use crate::auth::{AssetKeyring, MasterKey, Secret, Unsealable};
use crate::domain::{Actor, AssetKey, AssetKeyId, AuditEvent, Kind, OrganizationId, Timestamp, limits};
use crate::store::{Access, Catalog, Draft, WriteError};
use serde_json::json;
use std::sync::{Arc, PoisonError};

/// What becomes of the keys before a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldAssetKeys {
    /// They go on verifying until nothing they signed can be valid any more: nobody notices.
    Kept,
    /// They are removed at once, and every URL and renew token with them: one has leaked.
    Dropped,
}

/// A key that is not stored yet.
pub(super) fn new_key(master: &MasterKey, entropy: &dyn Entropy, now: Timestamp) -> AssetKey {
    let id = AssetKeyId::from_random(entropy.random());
    let secret = Secret::new(entropy.random::<32>());
    AssetKey { id, secret: master.seal(&id.to_string(), secret.expose(), entropy.random()), created_at: now }
}

/// Stores the first key, where there is none. However full the disk is: without a key nothing starts, and it takes a
/// server to make room.
pub(super) async fn make_first(store: &Catalog, key: AssetKey) -> Result<(), WriteError> {
    if store.access().asset_keys().next().is_some() {
        return Ok(());
    }
    let now = key.created_at;
    let change = move |draft: &mut Draft<'_>| {
        draft.put(&key);
        Ok(())
    };
    store.write_urgent(now, change).await
}

/// Opens every key, newest first. The error names the one that the master key does not open.
pub(super) fn open_all(access: &Access, master: &MasterKey) -> Result<AssetKeyring, AssetKeyId> {
    let mut keys: Vec<&AssetKey> = access.asset_keys().collect();
    keys.sort_by_key(|key| std::cmp::Reverse((key.created_at, key.id)));
    let open = |key: &AssetKey| {
        let secret = master.open(&key.id.to_string(), &key.secret);
        secret.map(|secret| (key.short_id(), secret)).map_err(|Unsealable| key.id)
    };
    keys.into_iter().map(open).collect::<Result<_, _>>().map(AssetKeyring::new)
}

impl App {
    /// The keys as they are now.
    pub fn asset_keys(&self) -> Arc<AssetKeyring> {
        Arc::clone(&self.asset_keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a new key, which signs from now on; answers how a grant names it.
    pub async fn rotate_asset_key(&self, old: OldAssetKeys) -> Result<String, WriteError> {
        let before: Vec<AssetKey> = self.store.access().asset_keys().cloned().collect();
        // The newest key signs: this one must be it, even where the clock was set back.
        let newest = before.iter().map(|key| key.created_at.millis()).max().unwrap_or(0);
        let made_at = self.moment().max(Timestamp::from_millis(newest.saturating_add(1)));
        let key = new_key(&self.master, &*self.entropy, made_at);
        let (short_id, now) = (key.short_id(), key.created_at);
        let change = move |draft: &mut Draft<'_>| {
            draft.put(&key);
            if old == OldAssetKeys::Dropped {
                before.iter().for_each(|key| draft.remove(key));
            }
            draft.audit(AuditEvent {
                mandate: Actor::Appliance.into(),
                organization: OrganizationId::APPLIANCE,
                action: "asset_key.rotate",
                subject: subject(Kind::AssetKey, key.id.0),
                detail: json!({ "oldKeysDropped": old == OldAssetKeys::Dropped }),
            });
            Ok::<_, WriteError>(())
        };
        match old {
            OldAssetKeys::Dropped => self.store.write_urgent(now, change).await?,
            OldAssetKeys::Kept => self.store.write(now, change).await?,
        }
        self.reload_asset_keys();
        Ok(short_id)
    }

    /// Removes keys of which nothing that they signed can be valid any more.
    pub(super) async fn forget_old_asset_keys(&self, now: Timestamp) {
        let longest_s = i64::from((*limits::SESSION_MAX_AGE_S.end()).max(*limits::ASSET_URL_TTL_S.end()));
        let old: Vec<AssetKey> = {
            let access = self.store.access();
            let mut keys: Vec<AssetKey> = access.asset_keys().cloned().collect();
            keys.sort_by_key(|key| std::cmp::Reverse((key.created_at, key.id)));
            // A key signed last when the one after it was made.
            let successors = keys.iter().map(|key| key.created_at).collect::<Vec<_>>();
            let is_over = |made: &Timestamp| made.plus_secs(longest_s + 1) < now;
            keys.into_iter().skip(1).zip(successors).filter(|(_, next)| is_over(next)).map(|(key, _)| key).collect()
        };
        if old.is_empty() {
            return;
        }
        let removed = self.store.write_urgent(now, move |draft| {
            old.iter().for_each(|key| draft.remove(key));
            Ok::<_, WriteError>(())
        });
        match removed.await {
            Ok(()) => self.reload_asset_keys(),
            Err(error) => tracing::warn!(%error, "old asset keys were not forgotten"),
        }
    }

    fn reload_asset_keys(&self) {
        match open_all(&self.store.access(), &self.master) {
            Ok(keys) => *self.asset_keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys),
            Err(id) => tracing::error!(key = %id, "an asset key just sealed does not open"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::SystemEntropy;
    use crate::app::seams::SetClock;
    use crate::auth::{Grant, Purpose};
    use crate::config::Config;
    use crate::domain::{SessionId, VideoId};
    use crate::store::{StateDir, write_master_key};
    use std::sync::atomic::{AtomicI64, Ordering};

    #[test]
    fn an_old_key_verifies_until_nothing_that_it_signed_can_be_valid() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::default_for(directory.path().join("state"));
        let state = StateDir::create(&config.state.dir).unwrap();
        write_master_key(&config.state.master_key_file, &[7; 32]).unwrap();
        let seconds = Arc::new(AtomicI64::new(1_795_500_000));
        let clock = Box::new(SetClock(Arc::clone(&seconds)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let app = App::start(config, state, clock, Box::new(SystemEntropy)).await.unwrap();
            let video = VideoId::from_random([1; 16]);
            let grant = Grant {
                purpose: Purpose::Renew,
                video,
                epoch: 0,
                session: SessionId::from_random([2; 16]),
                authority: None,
                started_at: app.now(),
                expires_at: app.now(),
                ends_at: app.now(),
                asset_key: None,
            };
            let verifies = |text: &str| app.asset_keys().verify(&video.to_string(), text).is_some();
            let old = app.asset_keys().sign(&grant).unwrap();
            // Even a clock that was set back makes a key that signs.
            seconds.fetch_sub(1, Ordering::SeqCst);
            app.rotate_asset_key(OldAssetKeys::Kept).await.unwrap();
            let new = app.asset_keys().sign(&grant).unwrap();
            assert_ne!(old, new);
            seconds.fetch_add(i64::from(*limits::SESSION_MAX_AGE_S.end()) + 1, Ordering::SeqCst);
            app.housekeeping().await;
            assert!(verifies(&old) && verifies(&new), "a session of the longest life may still be under way");
            seconds.fetch_add(10, Ordering::SeqCst);
            app.housekeeping().await;
            assert!(!verifies(&old) && verifies(&new));
            app.rotate_asset_key(OldAssetKeys::Dropped).await.unwrap();
            assert!(!verifies(&new));
        });
    }

    #[test]
    fn the_first_key_is_made_on_a_full_disk_too() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default_for(directory.path().join("state"));
        // No disk is so empty that it is not past this.
        config.disk.changes_percent = 1;
        let state = StateDir::create(&config.state.dir).unwrap();
        write_master_key(&config.state.master_key_file, &[7; 32]).unwrap();
        let clock = Box::new(SetClock(Arc::new(AtomicI64::new(1_795_500_000))));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let app = App::start(config, state, clock, Box::new(SystemEntropy)).await.unwrap();
            assert_eq!(app.store.access().asset_keys().count(), 1);
        });
    }
}
