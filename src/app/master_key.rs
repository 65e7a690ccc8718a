//! Another master key: every secret that is sealed is sealed again, while no server runs.

use super::{App, Clock, Entropy, StartError, SystemClock, SystemEntropy, open_catalog, subject};
use crate::auth::{MasterKey, Secret, Unsealable};
use crate::config::Config;
use crate::domain::{Actor, AssetKey, AuditEvent, Kind, OrganizationId, Sealed, SigningKey, limits};
use crate::store::{StateDir, WriteError, compact_journal, read_master_key, write_master_key};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

/// What is sealed to tell two keys apart: no record has this id.
const PROBE: &str = "probe";

/// A sealed secret: whose it is, what it was sealed for, and itself.
struct Seal {
    kind: Kind,
    key: Uuid,
    owner: String,
    sealed: Sealed,
}

impl App {
    /// Seals every signing key and asset key in `state` under the master key in `new_file`, which is made if missing, and
    /// answers how many were not yet. What opens with neither key stops it before anything is changed, and so does a copy of
    /// the key in use; a run that was cut off is gone on with by the next, for what is sealed anew opens with the new key.
    pub async fn reseal(config: &Config, state: &StateDir, new_file: &Path) -> Result<usize, StartError> {
        let (clock, entropy): (&dyn Clock, &dyn Entropy) = (&SystemClock, &SystemEntropy);
        let old = MasterKey::new(&*read_master_key(&config.state.master_key_file)?);
        let made = (!new_file.exists()).then(|| Secret::new(entropy.random::<{ MasterKey::BYTES }>()));
        let new = match &made {
            Some(bytes) => MasterKey::new(bytes.expose()),
            None => MasterKey::new(&*read_master_key(new_file)?),
        };
        // Whatever the file is called: what the one seals, the other opens.
        if old.open(PROBE, &new.seal(PROBE, &[], entropy.random())).is_ok() {
            return Err(StartError::SameMasterKey(new_file.to_owned()));
        }
        let (store, _disk) = open_catalog(config, state)?;
        let seals: Vec<Seal> = {
            let access = store.access();
            let of_signing = |key: &Arc<SigningKey>| Seal {
                kind: Kind::SigningKey,
                key: key.id.0,
                owner: key.id.to_string(),
                sealed: key.secret.clone(),
            };
            let of_asset = |key: &AssetKey| Seal {
                kind: Kind::AssetKey,
                key: key.id.0,
                owner: key.id.to_string(),
                sealed: key.secret.clone(),
            };
            access.signing_keys().map(of_signing).chain(access.asset_keys().map(of_asset)).collect()
        };
        let mut again = Vec::new();
        for Seal { kind, key, owner, sealed } in seals {
            if new.open(&owner, &sealed).is_ok() {
                continue;
            }
            let secret = old.open(&owner, &sealed).map_err(|Unsealable| {
                let what = if kind == Kind::SigningKey { "signing key" } else { "asset key" };
                StartError::WrongMasterKey(config.state.master_key_file.clone(), format!("{what} {owner}"))
            })?;
            again.push((kind, key, new.seal(&owner, secret.expose(), entropy.random())));
        }
        // On disk before anything can be opened by it alone.
        if let Some(bytes) = &made {
            write_master_key(new_file, bytes.expose())?;
        }
        let count = again.len();
        for chunk in again.chunks(limits::RECORDS_PER_COMMIT) {
            let chunk = chunk.to_vec();
            let written = store.write(clock.now(), move |draft| {
                let sealed = chunk.len();
                for (kind, key, secret) in chunk {
                    if kind == Kind::SigningKey {
                        if let Some(found) = draft.find::<SigningKey>(key) {
                            draft.put(&SigningKey { secret, ..found });
                        }
                    } else if let Some(found) = draft.find::<AssetKey>(key) {
                        draft.put(&AssetKey { secret, ..found });
                    }
                }
                draft.audit(AuditEvent {
                    mandate: Actor::Appliance.into(),
                    organization: OrganizationId::APPLIANCE,
                    action: "master_key.rotate",
                    subject: subject(Kind::Organization, OrganizationId::APPLIANCE.0),
                    detail: json!({ "sealedKeys": sealed }),
                });
                Ok::<_, WriteError>(())
            });
            written.await?;
        }
        store.close();
        // What the old key opens is not to stay in the journal's past.
        compact_journal(state.path())?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{new_organization, new_signing_key};

    async fn start(config: &Config, state: StateDir) -> Result<App, StartError> {
        App::start(config.clone(), state, Box::new(SystemClock), Box::new(SystemEntropy)).await
    }

    #[test]
    fn what_is_sealed_anew_opens_with_the_new_key_alone_and_a_second_run_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default_for(directory.path().join("state"));
        let state = StateDir::create(&config.state.dir).unwrap();
        write_master_key(&config.state.master_key_file, &[7; 32]).unwrap();
        let new_file = directory.path().join("new.key");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let app = start(&config, state).await.unwrap();
            let organization = new_organization(&app, Actor::Appliance, "One".into()).await.unwrap().organization.id;
            let made = new_signing_key(&app, organization, "first".into());
            let (record, id) = (made.record.clone(), made.record.id);
            let stored = app.store.write(app.now(), move |draft| {
                draft.put(&record);
                Ok::<_, WriteError>(())
            });
            stored.await.unwrap();
            let before = app.store.access().signing_key(id).unwrap().secret.clone();
            app.state().finish().unwrap();
            app.store.close();
            drop(app);

            let state = StateDir::open(&config.state.dir).unwrap();
            assert_eq!(App::reseal(&config, &state, &new_file).await.unwrap(), 2);
            // Cut off behind its last commit, or asked for twice.
            assert_eq!(App::reseal(&config, &state, &new_file).await.unwrap(), 0);
            let journal = std::fs::read(config.state.dir.join("journal")).unwrap();
            let holds = |text: &str| journal.windows(text.len()).any(|bytes| bytes == text.as_bytes());
            assert!(!holds(&before.0), "the journal still has what the old key opens");
            drop(state);

            let state = StateDir::open(&config.state.dir).unwrap();
            assert!(matches!(start(&config, state).await, Err(StartError::WrongMasterKey(..))), "the old key opens it");
            config.state.master_key_file = new_file;
            let app = start(&config, StateDir::open(&config.state.dir).unwrap()).await.unwrap();
            let key = app.verifying_key(organization, id).unwrap();
            assert_eq!(key.secret.expose(), made.secret.expose().as_bytes());
            app.store.close();
            drop(app);

            // Neither key opens: nothing is changed, and no key is made.
            let state = StateDir::open(&config.state.dir).unwrap();
            let right = std::mem::replace(&mut config.state.master_key_file, directory.path().join("other.key"));
            write_master_key(&config.state.master_key_file, &[8; 32]).unwrap();
            let unmade = directory.path().join("unmade.key");
            let refused = App::reseal(&config, &state, &unmade).await;
            assert!(matches!(refused, Err(StartError::WrongMasterKey(..))));
            assert!(!unmade.exists());
            drop(state);
            config.state.master_key_file = right;
            assert!(start(&config, StateDir::open(&config.state.dir).unwrap()).await.is_ok());
        });
    }
}
