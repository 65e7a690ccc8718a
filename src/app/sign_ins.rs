//! Signing in to the dashboard with a private key, staying signed in, signing out.

use super::{App, subject};
use crate::auth::{Credential, Secret, mint};
use crate::domain::{Actor, AuditEvent, Kind, PrivateKey, SignIn, SignInId, Timestamp, limits};
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
            created_at: self.moment(),
        };
        let mut others: Vec<Arc<SignIn>> =
            self.store.access().sign_ins().filter(|other| other.organization == key.organization).cloned().collect();
        others.sort_by_key(|other| std::cmp::Reverse(other.created_at));
        let surplus = others.split_off(others.len().min(limits::SIGN_INS - 1));
        self.store
            .write(self.now(), move |draft| {
                surplus.iter().take(limits::RECORDS_PER_COMMIT).for_each(|other| draft.remove(&**other));
                draft.put(&sign_in);
                draft.audit(event(&sign_in, "dashboard.sign_in"));
                Ok::<_, WriteError>(())
            })
            .await?;
        Ok(minted.text)
    }

    /// The sign-in that a cookie's value is for, if it is not over; from now on it counts as used at `now`.
    pub fn signed_in(&self, cookie: &str, now: Timestamp) -> Option<Arc<SignIn>> {
        let hash = Credential::cookie_hash(cookie)?;
        let access = self.store.access();
        let sign_in = access.sign_in(&hash).filter(|sign_in| now < sign_in.ends_at())?;
        if !access.is_active(sign_in.private_key) {
            return None;
        }
        let mut used = self.sign_ins.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = used.entry(sign_in.id).or_insert(now);
        if last.plus_secs(limits::SIGN_IN_IDLE_S) <= now {
            return None;
        }
        *last = now;
        Some(Arc::clone(sign_in))
    }

    /// Ends a sign-in.
    pub async fn sign_out(&self, sign_in: Arc<SignIn>) -> Result<(), WriteError> {
        self.store
            .write(self.now(), move |draft| {
                if draft.find::<SignIn>(sign_in.id.0).is_some() {
                    draft.remove(&*sign_in);
                    draft.audit(event(&sign_in, "dashboard.sign_out"));
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
            let is_over = |one: &SignIn| one.ends_at() <= now || is_idle(&one.id) || !access.is_active(one.private_key);
            access.sign_ins().filter(|one| is_over(one)).take(limits::RECORDS_PER_COMMIT).cloned().collect()
        };
        if over.is_empty() {
            return;
        }
        let forgotten = self.store.write(now, move |draft| {
            over.iter().for_each(|one| draft.remove(&**one));
            Ok::<_, WriteError>(())
        });
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, "sign-ins that are over were not forgotten");
        }
        let known: HashSet<SignInId> = self.store.access().sign_ins().map(|one| one.id).collect();
        self.sign_ins.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| known.contains(id));
    }
}

fn event(sign_in: &SignIn, action: &'static str) -> AuditEvent {
    AuditEvent {
        actor: Actor::PrivateKey { id: sign_in.private_key },
        organization: sign_in.organization,
        action,
        subject: subject(Kind::PrivateKey, sign_in.private_key.0),
        detail: json!({}),
    }
}
