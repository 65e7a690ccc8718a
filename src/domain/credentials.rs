//! Records of keys. Secrets stand here sealed or hashed, never open.

use super::record::record;
use super::{
    AssetKeyId, Kind, OrganizationId, OriginRule, PrivateKeyId, PublishableKeyId, Record, SigningKeyId, Timestamp,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// A secret encrypted under the master key: base64url of nonce, ciphertext and tag.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(pub String);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(…)")
    }
}

/// SHA-256 of a credential of at least 256 random bits, lower-case hexadecimal.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretHash(pub String);

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// An HS256 key with which a backend signs viewer tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SigningKey {
    /// A token's `kid`.
    pub id: SigningKeyId,
    /// Its owner.
    pub organization: OrganizationId,
    /// What the operator calls it.
    pub label: String,
    /// The secret, sealed with `id` as associated data.
    pub secret: Sealed,
    /// When it was created.
    pub created_at: Timestamp,
    /// When a token signed by it was last accepted; written in batches.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked. Never taken back.
    pub revoked_at: Option<Timestamp>,
}

/// Names the calling site or app on the playback API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublishableKey {
    /// Its record's id.
    pub id: PublishableKeyId,
    /// Its owner.
    pub organization: OrganizationId,
    /// What the operator calls it.
    pub label: String,
    /// Hash of the key.
    pub hash: SecretHash,
    /// The key's last four characters, to tell keys apart.
    pub hint: String,
    /// Where the playback API may be called from with it; empty is anywhere.
    pub origin_rules: Vec<OriginRule>,
    /// Apps that may use it; empty is any.
    pub bundle_ids: Vec<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was revoked. Never taken back.
    pub revoked_at: Option<Timestamp>,
}

/// A backend's or operator's credential for the admin API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrivateKey {
    /// Its record's id.
    pub id: PrivateKeyId,
    /// Its owner.
    pub organization: OrganizationId,
    /// What the operator calls it.
    pub label: String,
    /// Hash of the key.
    pub hash: SecretHash,
    /// The key's last four characters, to tell keys apart.
    pub hint: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was revoked. Never taken back.
    pub revoked_at: Option<Timestamp>,
}

/// A random server secret under which asset URLs are signed. Several live at once, so that it can be rotated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AssetKey {
    /// Its id; the first eight hexadecimal digits name it inside a grant.
    pub id: AssetKeyId,
    /// The secret, sealed with `id` as associated data.
    pub secret: Sealed,
    /// When it was created; the newest signs.
    pub created_at: Timestamp,
}

impl AssetKey {
    /// How a grant names this key.
    pub fn short_id(&self) -> String {
        self.id.to_string().chars().take(8).collect()
    }
}

record!(SigningKey);

record!(PublishableKey);

record!(PrivateKey);

impl Record for AssetKey {
    const KIND: Kind = Kind::AssetKey;

    fn key(&self) -> Uuid {
        self.id.0
    }

    fn owner(&self) -> OrganizationId {
        OrganizationId::APPLIANCE
    }

    fn order(&self) -> u64 {
        self.created_at.millis().unsigned_abs()
    }
}
