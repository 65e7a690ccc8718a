//! A sign-in: what lets a browser use the dashboard in place of the private key it was opened with.

use super::record::record;
use super::{OrganizationId, PrivateKeyId, SecretHash, SignInId, Timestamp, limits};
use serde::{Deserialize, Serialize};

/// A sign-in's record. It ends when its time is over, when it is signed out, or with its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignIn {
    /// Its id.
    pub id: SignInId,
    /// What it rules.
    pub organization: OrganizationId,
    /// The private key that it was opened with, and stands on.
    pub private_key: PrivateKeyId,
    /// Hash of the cookie's value.
    pub hash: SecretHash,
    /// When it was opened.
    pub created_at: Timestamp,
}

impl SignIn {
    /// From when on it is over whatever happens.
    pub fn ends_at(&self) -> Timestamp {
        self.created_at.plus_secs(limits::SIGN_IN_S)
    }
}

record!(SignIn);
