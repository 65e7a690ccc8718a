//! The nouns of Screener: records, their ids, the rules they carry, and every limit.
//!
//! Relies on serde alone. Never does I/O, never asks what time it is, never holds the bytes of a secret.

mod audit;
mod credentials;
mod embed;
mod hex;
mod ids;
pub mod json;
pub mod limits;
mod media_file;
mod name;
mod organization;
mod origin;
mod record;
mod rendition;
mod session;
mod sign_in;
mod time;
mod transcoding;
mod upload;
mod video;

pub use audit::{Actor, AuditEntry, AuditEvent, Mandate, Subject};
pub use credentials::{AssetKey, PrivateKey, PublishableKey, Sealed, SecretHash, SigningKey};
pub use embed::Embed;
pub use hex::hex;
pub use ids::{
    AssetKeyId, AuditId, EmbedId, MediaFileId, OrganizationId, PrivateKeyId, PublishableKeyId, SessionId, SignInId,
    SigningKeyId, VideoId,
};
pub use media_file::{MediaFile, MediaKind};
pub use name::is_name;
pub use organization::{Organization, Settings};
pub use origin::{Origin, OriginRule, OriginRuleError, admits, is_authority};
pub use record::{Kind, Record, Reference};
pub use rendition::{AudioFormat, PACKAGER_VERSION, Rendition, RenditionOrigin, VideoFormat};
pub use session::EndedSession;
pub use sign_in::SignIn;
pub use time::Timestamp;
pub use transcoding::{LADDER_PX, LeftOut, Making, NOT_STARTED_CODE, TRANSCODER_VERSION, TranscodingNote};
pub use upload::{Upload, upload_expiry};
pub use video::{
    Captions, MediaSummary, PictureFormat, Playable, Poster, Storyboard, Track, TrackKind, Unpackaged, Video,
    VideoStatus, Visibility,
};
