//! Identifiers. Each is a type of its own, so that a video's id can never stand where an embed's belongs, and each
//! has exactly one spelling on the wire, so that comparing text is comparing ids.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A version 4 UUID (RFC 9562 §5.4) of 16 random bytes.
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
            }

            /// The id, if `text` is its one spelling: lower-case hexadecimal, hyphenated.
            pub fn parse(text: &str) -> Option<Self> {
                let uuid = Uuid::try_parse(text).ok()?;
                let mut spelling = Uuid::encode_buffer();
                (uuid.hyphenated().encode_lower(&mut spelling) == text).then_some(Self(uuid))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

uuid_id! {
    /// Names an organization, the owner of every other record.
    OrganizationId;
    /// Names a video; a viewer token's `sub`.
    VideoId;
    /// Names an embed, the public handle of a video.
    EmbedId;
    /// Names stored bytes; also their file's name on disk.
    MediaFileId;
    /// Names a signing key; a viewer token's `kid`.
    SigningKeyId;
    /// Names a publishable key's record (not the key itself).
    PublishableKeyId;
    /// Names a private key's record (not the key itself).
    PrivateKeyId;
    /// Names the server secret that asset URLs are signed with.
    AssetKeyId;
    /// Names an entry of the audit log.
    AuditId;
    /// Names a sign-in to the dashboard.
    SignInId;
    /// Names a playback session. All 122 random bits of a version 4 UUID; it appears inside asset URLs.
    SessionId;
}

impl OrganizationId {
    /// Owner of what belongs to the whole appliance, such as asset keys. No credential ever names it.
    pub const APPLIANCE: Self = Self(Uuid::nil());
}

#[cfg(test)]
mod tests {
    use super::VideoId;

    #[test]
    fn an_id_has_exactly_one_spelling() {
        let id = VideoId::from_random([0xab; 16]);
        assert_eq!(VideoId::parse(&id.to_string()), Some(id));
        let text = id.to_string();
        for other in [text.to_uppercase(), text.replace('-', ""), format!("{{{text}}}"), format!("urn:uuid:{text}")] {
            assert_eq!(VideoId::parse(&other), None, "{other}");
        }
    }
}
