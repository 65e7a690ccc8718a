//! Making an organization with its first keys, and signing keys. Used by the command line, the appliance's socket and
//! the admin API alike.

use super::{App, subject};
use crate::auth::{Secret, mint};
use crate::domain::{
    Actor, AuditEvent, Kind, Mandate, Organization, OrganizationId, PrivateKey, PrivateKeyId, PublishableKey,
    PublishableKeyId, Settings, SigningKey, SigningKeyId, limits,
};
use crate::store::{Draft, WriteError};
use serde_json::json;

/// A new organization's keys: the only time they are seen.
pub struct FirstKeys {
    /// The organization.
    pub organization: Organization,
    /// `mvi_priv_…`
    pub private_key: Secret<String>,
    /// `mvi_pub_…`
    pub publishable_key: Secret<String>,
}

/// A new signing key: the only time its secret is seen.
pub struct NewSigningKey {
    /// Its record.
    pub record: SigningKey,
    /// `mvi_sign_…`
    pub secret: Secret<String>,
}

/// An organization has as many signing keys as it may.
#[derive(Debug, Clone, Copy)]
pub struct TooManyKeys;

/// Makes an organization with one private and one publishable key.
pub async fn new_organization(app: &App, actor: Actor, name: String) -> Result<FirstKeys, WriteError> {
    let now = app.moment();
    let organization = Organization {
        id: OrganizationId::from_random(app.random()),
        name,
        created_at: now,
        settings: Settings::default(),
    };
    let (private, publishable) = (mint::private(app.random()), mint::publishable(app.random()));
    let private_record = PrivateKey {
        id: PrivateKeyId::from_random(app.random()),
        organization: organization.id,
        label: "first".into(),
        hash: private.hash,
        hint: private.hint,
        created_at: now,
        revoked_at: None,
    };
    let publishable_record = PublishableKey {
        id: PublishableKeyId::from_random(app.random()),
        organization: organization.id,
        label: "first".into(),
        hash: publishable.hash,
        hint: publishable.hint,
        origin_rules: Vec::new(),
        bundle_ids: Vec::new(),
        created_at: now,
        revoked_at: None,
    };
    let record = organization.clone();
    app.store
        .write(now, move |draft| {
            draft.put(&record);
            draft.put(&private_record);
            draft.put(&publishable_record);
            draft.audit(AuditEvent {
                mandate: actor.into(),
                organization: record.id,
                action: "organization.create",
                subject: subject(Kind::Organization, record.id.0),
                detail: json!({
                    "name": record.name,
                    "privateKeyId": private_record.id.to_string(),
                    "publishableKeyId": publishable_record.id.to_string()
                }),
            });
            Ok::<_, WriteError>(())
        })
        .await?;
    Ok(FirstKeys { organization, private_key: private.text, publishable_key: publishable.text })
}

/// A signing key that is not stored yet, to be put by [`NewSigningKey::store`] inside a change.
pub fn new_signing_key(app: &App, organization: OrganizationId, label: String) -> NewSigningKey {
    let id = SigningKeyId::from_random(app.random());
    let secret = mint::signing(app.random());
    let record = SigningKey {
        id,
        organization,
        label,
        secret: app.seal(id, &secret),
        created_at: app.moment(),
        last_used_at: None,
        revoked_at: None,
    };
    NewSigningKey { record, secret }
}

impl NewSigningKey {
    /// Puts a key's record, with its audit entry.
    pub fn store(
        draft: &mut Draft<'_>,
        record: &SigningKey,
        mandate: Mandate,
        action: &'static str,
    ) -> Result<(), TooManyKeys> {
        if draft.key_counts(record.organization).0 >= limits::SIGNING_KEYS {
            return Err(TooManyKeys);
        }
        draft.put(record);
        draft.audit(AuditEvent {
            mandate,
            organization: record.organization,
            action,
            subject: subject(Kind::SigningKey, record.id.0),
            detail: json!({ "label": record.label }),
        });
        Ok(())
    }
}
