//! Viewer tokens made by hand, so that they can be wrong in any way.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// The claims of a token that is right but for what a test changes.
pub struct Claims;

impl Claims {
    /// `sub`, `iat` now, `exp` in five minutes.
    pub fn of(video: &str) -> Value {
        let now = super::now();
        json!({ "sub": video, "iat": now, "exp": now + 300 })
    }
}

/// A token with the usual header.
pub fn sign(kid: &str, secret: &str, claims: &Value) -> String {
    sign_raw(&json!({ "alg": "HS256", "kid": kid }).to_string(), &claims.to_string(), secret.as_bytes())
}

/// A token of any two texts, correctly signed under any key.
pub fn sign_raw(header: &str, claims: &str, key: &[u8]) -> String {
    let signed = format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}
