//! The viewer token: a JWT (RFC 7519) signed with HS256, checked in a fixed order in which the first failure answers.
//!
//! Relies on jsonwebtoken for the MAC alone, in this file alone: its own rules for `exp`, `iat`, `sub` and `crit`
//! are looser than ours. Never looks a key up: it is handed a lookup that answers from memory.

use super::{Secret, mint};
use crate::domain::{SigningKeyId, VideoId, json, limits};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde_json::{Map, Value};

/// A key that a token may be signed with.
pub struct VerifyingKey {
    /// The whole `mvi_sign_…` text.
    pub secret: Secret<Vec<u8>>,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// The checks, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Size, three parts, strict base64url, JSON objects without duplicate names.
    Form,
    /// `alg`, forbidden members, `typ`, and a `kid` of the video's organization.
    Header,
    /// The MAC matches under that key.
    Signature,
    /// The key is not revoked.
    KeyActive,
    /// `exp`, `iat` and `nbf` are numbers and the times hold.
    Times,
    /// `sub` is the video.
    Video,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [Self::Form, Self::Header, Self::Signature, Self::KeyActive, Self::Times, Self::Video];
}

/// Why a token does not open a video. The sentence inside `Invalid` is for the backend's developer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenDenied {
    /// Malformed, wrong algorithm, unknown key, bad MAC, missing or ill-typed claim.
    Invalid(Step, &'static str),
    /// `exp` has passed.
    Expired,
    /// Signed by a revoked key.
    Revoked,
    /// `exp - iat` is more than the organization allows.
    TooLongLived,
    /// Valid, but for another video.
    WrongVideo,
}

impl TokenDenied {
    /// Several tokens came along: none of them is the one.
    pub const REPEATED: Self = Self::Invalid(Step::Form, "the token header is repeated");

    /// The check that failed.
    pub fn step(self) -> Step {
        match self {
            Self::Invalid(step, _) => step,
            Self::Revoked => Step::KeyActive,
            Self::Expired | Self::TooLongLived => Step::Times,
            Self::WrongVideo => Step::Video,
        }
    }

    /// For the backend's developer.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Invalid(_, detail) => detail,
            Self::Expired => "exp has passed",
            Self::Revoked => "the signing key was revoked",
            Self::TooLongLived => "exp - iat is more than the organization's maxTokenLifetime",
            Self::WrongVideo => "sub is another video",
        }
    }
}

/// Header members that change what a JWS means (RFC 7515 §4.1, RFC 7797, RFC 7516): none has a place in these tokens.
const FORBIDDEN_MEMBERS: [&str; 10] = ["crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"];

/// The header members that are read. Of others only the names count (RFC 7515 §4).
pub(super) const HEADER_MEMBERS: [&str; 4] = ["alg", "cty", "kid", "typ"];

/// The claims that are read. Others are ignored (RFC 7519 §4).
const CLAIMS: [&str; 4] = ["exp", "iat", "nbf", "sub"];

/// Checks `token` for `video` at `now` (seconds since the epoch) and says which key signed it.
///
/// `key` finds a signing key of the video's organization, revoked or not.
pub fn verify_token(
    token: &str,
    video: VideoId,
    key: impl FnOnce(SigningKeyId) -> Option<VerifyingKey>,
    max_lifetime_s: u32,
    now: i64,
) -> Result<SigningKeyId, TokenDenied> {
    let form = |detail| TokenDenied::Invalid(Step::Form, detail);
    if token.len() > limits::TOKEN_BYTES {
        return Err(form("longer than 8,192 bytes"));
    }
    let mut parts = token.split('.');
    let (Some(header_text), Some(claims_text), Some(mac_text), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(form("not three parts separated by dots"));
    };
    let header = read_object(header_text, &HEADER_MEMBERS)
        .ok_or(form("the header is not base64url of a JSON object with each name once"))?;
    let claims = read_object(claims_text, &CLAIMS)
        .ok_or(form("the claims are not base64url of a JSON object with each name once"))?;
    if read_part(mac_text).is_none() {
        return Err(form("the signature is not base64url"));
    }

    let head = |detail| TokenDenied::Invalid(Step::Header, detail);
    if header.get("alg").and_then(Value::as_str) != Some("HS256") {
        return Err(head("alg is not HS256"));
    }
    if FORBIDDEN_MEMBERS.iter().any(|name| header.contains_key(*name)) {
        return Err(head("the header has a member that is not allowed"));
    }
    if header.get("typ").is_some_and(|typ| !typ.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("JWT"))) {
        return Err(head("typ is not JWT"));
    }
    // RFC 7519 §5.2: a content type of JWT says that the claims are another token.
    if header.get("cty").is_some_and(|cty| cty.as_str().is_none_or(|cty| cty.eq_ignore_ascii_case("JWT"))) {
        return Err(head("cty says that the token is nested"));
    }
    let kid = header.get("kid").and_then(Value::as_str).ok_or(head("kid is missing or not a string"))?;
    let kid = SigningKeyId::parse(kid);
    let found = kid.and_then(|kid| key(kid).map(|key| (kid, key)));

    let signed = token.get(..header_text.len() + 1 + claims_text.len()).unwrap_or_default();
    // An unknown key takes the same path as a known one, so that time tells nothing about which ids exist.
    let secret = found.as_ref().map_or(&[0; mint::SIGNING_CHARS][..], |(_, key)| key.secret.expose());
    let matches = mac_matches(signed, mac_text, secret);
    let (kid, key) = found.ok_or(head("kid names no signing key of the video's organization"))?;
    if !matches {
        return Err(TokenDenied::Invalid(Step::Signature, "the signature does not match"));
    }
    if key.revoked {
        return Err(TokenDenied::Revoked);
    }
    check_times(&claims, max_lifetime_s, now)?;
    match claims.get("sub").and_then(Value::as_str) {
        None | Some("") => Err(TokenDenied::Invalid(Step::Video, "sub is missing or not a string")),
        Some(sub) if sub == video.to_string() => Ok(kid),
        Some(_) => Err(TokenDenied::WrongVideo),
    }
}

fn check_times(claims: &Map<String, Value>, max_lifetime_s: u32, now: i64) -> Result<(), TokenDenied> {
    let invalid = |detail| TokenDenied::Invalid(Step::Times, detail);
    let exp = seconds(claims, "exp").ok_or(invalid("exp is missing or not a number"))?;
    let iat = seconds(claims, "iat").ok_or(invalid("iat is missing or not a number"))?;
    if exp <= now {
        return Err(TokenDenied::Expired);
    }
    let latest = now.saturating_add(limits::TOKEN_CLOCK_SKEW_S);
    if iat > latest {
        return Err(invalid("iat is in the future"));
    }
    if claims.contains_key("nbf") {
        let nbf = seconds(claims, "nbf").filter(|nbf| *nbf >= 0).ok_or(invalid("nbf is not a time"))?;
        if nbf > latest {
            return Err(invalid("nbf is in the future"));
        }
    }
    if exp <= iat {
        return Err(invalid("exp is not after iat"));
    }
    if exp.saturating_sub(iat) > i64::from(max_lifetime_s) {
        return Err(TokenDenied::TooLongLived);
    }
    Ok(())
}

pub(super) fn mac_matches(signed: &str, mac_text: &str, secret: &[u8]) -> bool {
    let key = DecodingKey::from_secret(secret);
    jsonwebtoken::crypto::verify(mac_text, signed.as_bytes(), &key, Algorithm::HS256).unwrap_or(false)
}

/// Signs a token as a backend would: for `screener token mint` and the demo.
pub fn mint_token(kid: SigningKeyId, secret: &[u8], video: VideoId, issued_at: i64, lifetime_s: i64) -> Option<String> {
    let header = Header { kid: Some(kid.to_string()), ..Header::new(Algorithm::HS256) };
    let claims = serde_json::json!({
        "sub": video.to_string(), "iat": issued_at, "exp": issued_at.saturating_add(lifetime_s)
    });
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret)).ok()
}

/// Bytes of a part: base64url without padding, canonical (no stray bits), not empty.
pub(super) fn read_part(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() { None } else { BASE64_URL_SAFE_NO_PAD.decode(text).ok() }
}

/// The object in a part. Of members that are not in `names` the values are null.
pub(super) fn read_object(text: &str, names: &[&str]) -> Option<Map<String, Value>> {
    json::read_members(&read_part(text)?, names).ok()
}

/// A NumericDate (RFC 7519 §2), fractions floored. Beyond ±2^53 the exact value no longer matters.
fn seconds(claims: &Map<String, Value>, name: &str) -> Option<i64> {
    const FAR: f64 = 9_007_199_254_740_992.0;
    let Value::Number(number) = claims.get(name)? else { return None };
    number.as_i64().or_else(|| {
        let seconds = number.as_f64().filter(|seconds| seconds.is_finite())?;
        #[expect(clippy::cast_possible_truncation, reason = "clamped to what an i64 holds exactly")]
        let seconds = seconds.floor().clamp(-FAR, FAR) as i64;
        Some(seconds)
    })
}
