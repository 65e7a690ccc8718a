//! Signing in to the dashboard with a private key, staying signed in, signing out.

use super::{App, subject};
use crate::auth::{Credential, Secret, is_ahead, mint};
use crate::domain::{Actor, AuditEvent, Kind, Mandate, PrivateKey, SignIn, SignInId, Timestamp, limits};
use crate::store::WriteError;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// When each sign-in was last used. In memory alone: after a restart all of them count as used just now.
#[derive(Default)]
pub struct SignIns(Mutex<HashMap<SignInId, Timestamp>>);

impl App {
    /// Opens a sign-in that stands on `key`: the cookie's value, the only time it is seen. The oldest of the organization
    /// ends where there are [`limits::SIGN_INS`].
    pub async fn sign_in(&self, key: &PrivateKey) -> Result<Secret<String>, WriteError> {
        let minted = mint::cookie(self.random());
        let sign_in = SignIn {
            id: SignInId::from_random(self.random()),
            organization: key.organization,
            private_key: key.id,
            hash: minted.hash,
            created_at: self.now(),
        };
        let (id, opened_at) = (sign_in.id, sign_in.created_at);
        // Whoever has to make room on a full disk signs in to do so.
        self.store
            .write_urgent(self.now(), move |draft| {
                let mut others = draft.sign_ins(sign_in.organization);
                others.sort_by_key(|other| std::cmp::Reverse(other.created_at));
                let surplus = others.iter().skip(limits::SIGN_INS - 1);
                surplus.take(limits::RECORDS_PER_COMMIT).for_each(|other| draft.remove(other));
                draft.put(&sign_in);
                // The key may have been revoked while this waited.
                let mandate = Mandate::Key { id: sign_in.private_key, sign_in: None };
                draft.audit(event(mandate, &sign_in, "dashboard.sign_in"));
                Ok::<_, WriteError>(())
            })
            .await?;
        self.sign_ins.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, opened_at);
        Ok(minted.text)
    }

    /// The sign-in that a cookie's value is for, if it is not over.
    pub fn signed_in(&self, cookie: &str, now: Timestamp) -> Option<Arc<SignIn>> {
        let hash = Credential::cookie_hash(cookie)?;
        let access = self.store.access();
        let sign_in = access.sign_in(&hash).filter(|sign_in| !is_over(sign_in, now))?;
        if !access.is_active(sign_in.private_key) {
            return None;
        }
        let mut used = self.sign_ins.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = used.entry(sign_in.id).or_insert(now);
        (now < last.plus_secs(limits::SIGN_IN_IDLE_S)).then(|| Arc::clone(sign_in))
    }

    /// Notes that someone uses a sign-in: it may lie unused for as long again.
    pub fn note_sign_in_use(&self, sign_in: &SignIn, now: Timestamp) {
        self.sign_ins.0.lock().unwrap_or_else(PoisonError::into_inner).insert(sign_in.id, now);
    }

    /// Ends a sign-in.
    pub async fn sign_out(&self, sign_in: Arc<SignIn>) -> Result<(), WriteError> {
        self.store
            .write_urgent(self.now(), move |draft| {
                if draft.find::<SignIn>(sign_in.id.0).is_some() {
                    draft.remove(&*sign_in);
                    let mandate = Actor::PrivateKey { id: sign_in.private_key }.into();
                    draft.audit(event(mandate, &sign_in, "dashboard.sign_out"));
                }
                Ok::<_, WriteError>(())
            })
            .await
    }

    /// Removes the records of sign-ins that are over.
    pub(super) async fn forget_old_sign_ins(&self, now: Timestamp) {
        let over: Vec<Arc<SignIn>> = {
            let access = self.store.access();
            let used = self.sign_ins.0.lock().unwrap_or_else(PoisonError::into_inner);
            let is_idle =
                |id: &SignInId| used.get(id).is_some_and(|last| last.plus_secs(limits::SIGN_IN_IDLE_S) <= now);
            let is_gone = |one: &SignIn| is_over(one, now) || is_idle(&one.id) || !access.is_active(one.private_key);
            access.sign_ins().filter(|one| is_gone(one)).take(limits::RECORDS_PER_COMMIT).cloned().collect()
        };
        if !over.is_empty() {
            let forgotten = self.store.write_urgent(now, move |draft| {
                over.iter().for_each(|one| draft.remove(&**one));
                Ok::<_, WriteError>(())
            });
            if let Err(error) = forgotten.await {
                tracing::warn!(%error, "sign-ins that are over were not forgotten");
            }
        }
        let known: HashSet<SignInId> = self.store.access().sign_ins().map(|one| one.id).collect();
        self.sign_ins.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| known.contains(id));
    }
}

/// Whether its time is over, or has not come: then a clock was ahead when it was opened, and its twelve hours would be
/// as many more.
fn is_over(sign_in: &SignIn, now: Timestamp) -> bool {
    sign_in.ends_at() <= now || is_ahead(sign_in.created_at, now)
}

fn event(mandate: Mandate, sign_in: &SignIn, action: &'static str) -> AuditEvent {
    AuditEvent {
        mandate,
        organization: sign_in.organization,
        action,
        subject: subject(Kind::PrivateKey, sign_in.private_key.0),
        detail: json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::seams::SetClock;
    use crate::app::{SystemEntropy, new_organization};
    use crate::config::Config;
    use crate::store::{StateDir, write_master_key};
    use std::sync::atomic::{AtomicI64, Ordering};

    /// Runs `test` with a server's insides, a private key, and a clock that it sets.
    fn with_clock(test: impl AsyncFnOnce(App, PrivateKey, Arc<AtomicI64>)) {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::default_for(directory.path().join("state"));
        let state = StateDir::create(&config.state.dir).unwrap();
        write_master_key(&config.state.master_key_file, &[7; 32]).unwrap();
        let seconds = Arc::new(AtomicI64::new(1_795_500_000));
        let clock = Box::new(SetClock(Arc::clone(&seconds)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let app = App::start(config, state, clock, Box::new(SystemEntropy)).await.unwrap();
            let made = new_organization(&app, Actor::Appliance, "Acme".to_owned()).await.unwrap();
            let key = app.store.access().private_keys().next().map(|key| PrivateKey::clone(key)).unwrap();
            assert_eq!(key.organization, made.organization.id);
            test(app, key, seconds).await;
        });
    }

    fn is_signed_in(app: &App, cookie: &Secret<String>) -> bool {
        app.signed_in(cookie.expose(), app.now()).is_some()
    }

    /// Someone uses it, if it is not over.
    fn uses(app: &App, cookie: &Secret<String>) -> bool {
        let found = app.signed_in(cookie.expose(), app.now());
        found.inspect(|sign_in| app.note_sign_in_use(sign_in, app.now())).is_some()
    }

    #[test]
    fn a_sign_in_ends_after_its_time_however_much_it_is_used() {
        with_clock(async |app, key, seconds| {
            let cookie = app.sign_in(&key).await.unwrap();
            for _ in 1..limits::SIGN_IN_S / 3_600 {
                seconds.fetch_add(3_600, Ordering::SeqCst);
                assert!(uses(&app, &cookie), "it ended before its time");
            }
            seconds.fetch_add(3_600, Ordering::SeqCst);
            assert!(!uses(&app, &cookie));
            app.housekeeping().await;
            assert_eq!(app.store.access().sign_ins().count(), 0, "its record stays");
            let anew = app.sign_in(&key).await.unwrap();
            assert!(is_signed_in(&app, &anew) && !is_signed_in(&app, &cookie));
        });
    }

    #[test]
    fn a_sign_in_ends_when_it_lies_unused_and_its_use_alone_keeps_it() {
        with_clock(async |app, key, seconds| {
            let (idle, looked_at, used) =
                (app.sign_in(&key).await.unwrap(), app.sign_in(&key).await.unwrap(), app.sign_in(&key).await.unwrap());
            seconds.fetch_add(limits::SIGN_IN_IDLE_S - 1, Ordering::SeqCst);
            assert!(is_signed_in(&app, &looked_at) && uses(&app, &used));
            seconds.fetch_add(1, Ordering::SeqCst);
            assert!(!is_signed_in(&app, &idle) && !is_signed_in(&app, &looked_at) && is_signed_in(&app, &used));
            assert!(!uses(&app, &idle) && !is_signed_in(&app, &idle), "being refused counted as use");
            app.housekeeping().await;
            assert_eq!(app.store.access().sign_ins().count(), 1);
            assert!(uses(&app, &used));
        });
    }

    #[test]
    fn there_are_no_more_sign_ins_than_a_hundred_however_many_come_at_once() {
        with_clock(async |app, key, _| {
            for _ in 0..3 {
                let at_once = (0..limits::GROUP_COMMITS).map(|_| app.sign_in(&key));
                let cookies = futures_util::future::join_all(at_once).await;
                assert!(cookies.iter().all(Result::is_ok));
                assert!(app.store.access().sign_ins().count() <= limits::SIGN_INS);
            }
            assert_eq!(app.store.access().sign_ins().count(), limits::SIGN_INS);
        });
    }

    #[test]
    fn a_clock_that_was_ahead_makes_no_sign_in_longer() {
        with_clock(async |app, key, seconds| {
            let right = seconds.load(Ordering::SeqCst);
            seconds.fetch_add(10 * 365 * 86_400, Ordering::SeqCst);
            let ahead = app.sign_in(&key).await.unwrap();
            assert!(is_signed_in(&app, &ahead));
            seconds.store(right, Ordering::SeqCst);
            assert!(!is_signed_in(&app, &ahead), "it would last for ten years");
            let after = app.sign_in(&key).await.unwrap();
            assert!(uses(&app, &after));
            seconds.fetch_add(limits::SIGN_IN_S, Ordering::SeqCst);
            assert!(!is_signed_in(&app, &after));
        });
    }

    #[test]
    fn nothing_is_remembered_of_a_sign_in_that_is_signed_out() {
        with_clock(async |app, key, _| {
            let cookie = app.sign_in(&key).await.unwrap();
            let sign_in = app.signed_in(cookie.expose(), app.now()).unwrap();
            app.sign_out(sign_in).await.unwrap();
            assert!(!is_signed_in(&app, &cookie));
            app.housekeeping().await;
            assert!(app.sign_ins.0.lock().unwrap().is_empty());
        });
    }
}
