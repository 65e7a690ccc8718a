//! An organization and its settings.

use super::{Kind, OrganizationId, OriginRule, Record, Timestamp, Visibility, limits};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The owner of videos and keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// What people call it; shown as `branding.organizationName`.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// What its operator has set.
    pub settings: Settings,
}

/// What an operator decides for a whole organization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Whether viewer tokens open private videos at all. While off, a private video plays for nobody.
    pub token_access: bool,
    /// The visibility of videos created from now on; never touches existing ones.
    pub default_visibility: Visibility,
    /// Life of an asset URL in seconds.
    pub asset_url_ttl_s: u32,
    /// How long a playback session may renew its URLs, in seconds from its start; 0 forbids renewal.
    pub session_max_age_s: u32,
    /// Longest accepted `exp - iat` of a viewer token, in seconds.
    pub max_token_lifetime_s: u32,
    /// Where embeds may be shown and the playback API called from; empty is anywhere.
    pub origin_rules: Vec<OriginRule>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            token_access: false,
            default_visibility: Visibility::Public,
            asset_url_ttl_s: limits::ASSET_URL_TTL_DEFAULT_S,
            session_max_age_s: limits::SESSION_MAX_AGE_DEFAULT_S,
            max_token_lifetime_s: limits::TOKEN_LIFETIME_DEFAULT_S,
            origin_rules: Vec::new(),
        }
    }
}

impl Record for Organization {
    const KIND: Kind = Kind::Organization;

    fn key(&self) -> Uuid {
        self.id.0
    }

    /// Listed under the appliance: only its operator sees several organizations.
    fn owner(&self) -> OrganizationId {
        OrganizationId::APPLIANCE
    }

    fn order(&self) -> u64 {
        self.created_at.millis().unsigned_abs()
    }
}
