//! Who may: viewer tokens, asset grants, playback sessions, credentials, and the one gate they all meet in.
//!
//! Relies on `domain`, jsonwebtoken and the crypto crates. Never reads the store or the clock: it is handed what it
//! needs, and `now`.

mod asset_grant;
mod credentials;
mod crypto;
mod gate;
mod playback_token;
mod sessions;
#[cfg(test)]
mod tests;

pub use asset_grant::{AssetKeyring, Grant, Purpose};
pub use credentials::{Credential, mint};
pub use crypto::{MasterKey, Secret, Unsealable, derived_id, sha256_hex};
pub use gate::{
    Asset, Authority, Caller, Denied, GrantStanding, KeyStanding, PageOrigin, Viewer, ViewerRequest, admit_asset,
    admit_renewal, admit_viewer, admit_viewer_by_token, deny_without_video, is_ahead,
};
pub use playback_token::{Step, TokenDenied, VerifyingKey, mint_token, verify_token};
pub use sessions::{LiveSession, Sessions};
