//! What every stored record has in common: a kind, a key, an owner, a place in its owner's list.

use super::{OrganizationId, VideoId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The kinds of stored records. The name is what the journal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`super::Organization`]
    Organization,
    /// [`super::Video`]
    Video,
    /// [`super::Embed`]
    Embed,
    /// [`super::MediaFile`]
    MediaFile,
    /// [`super::SigningKey`]
    SigningKey,
    /// [`super::PublishableKey`]
    PublishableKey,
    /// [`super::PrivateKey`]
    PrivateKey,
    /// [`super::AssetKey`]
    AssetKey,
    /// [`Reference`]
    Reference,
    /// [`super::EndedSession`]
    EndedSession,
    /// [`super::AuditEntry`]
    Audit,
    /// [`super::SignIn`]
    SignIn,
    /// [`super::Upload`]
    Upload,
}

impl Kind {
    /// All of them, the newest last: the index knows them by their place.
    pub const ALL: [Self; 13] = [
        Self::Organization,
        Self::Video,
        Self::Embed,
        Self::MediaFile,
        Self::SigningKey,
        Self::PublishableKey,
        Self::PrivateKey,
        Self::AssetKey,
        Self::Reference,
        Self::EndedSession,
        Self::Audit,
        Self::SignIn,
        Self::Upload,
    ];

    /// Whether what a grant stands on may be among such records: a change of others cuts nobody off.
    pub fn decides_access(self) -> bool {
        matches!(self, Self::Organization | Self::Video | Self::SigningKey | Self::AssetKey | Self::EndedSession)
    }
}

/// A stored record.
pub trait Record: Serialize + DeserializeOwned {
    /// Its kind.
    const KIND: Kind;

    /// Unique within its kind.
    fn key(&self) -> Uuid;

    /// The organization in whose lists it stands. Never changes.
    fn owner(&self) -> OrganizationId;

    /// Its place in its owner's list, newest (highest) first. Never changes.
    fn order(&self) -> u64;

    /// The record it hangs on and is listed under as well, if any.
    fn parent(&self) -> Option<Uuid> {
        None
    }
}

/// Implements [`Record`] for what has an `id`, an `organization` and a `created_at`, and may hang on another record.
macro_rules! record {
    ($name:ident $(, parent: $parent:ident)?) => {
        impl $crate::domain::Record for $name {
            const KIND: $crate::domain::Kind = $crate::domain::Kind::$name;

            fn key(&self) -> uuid::Uuid {
                self.id.0
            }

            fn owner(&self) -> $crate::domain::OrganizationId {
                self.organization
            }

            fn order(&self) -> u64 {
                self.created_at.millis().unsigned_abs()
            }

            $(fn parent(&self) -> Option<uuid::Uuid> {
                Some(self.$parent.0)
            })?
        }
    };
}

pub(super) use record;

/// Holds an operator's `referenceId` for one video, so that no second one takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Derived from organization and reference by whoever makes it.
    pub id: Uuid,
    /// Whose it is.
    pub organization: OrganizationId,
    /// The video that has it.
    pub video: VideoId,
}

impl Record for Reference {
    const KIND: Kind = Kind::Reference;

    fn key(&self) -> Uuid {
        self.id
    }

    fn owner(&self) -> OrganizationId {
        self.organization
    }

    fn order(&self) -> u64 {
        0
    }
}
