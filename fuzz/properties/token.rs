//! A viewer token: as it stands, and, where it is a header and claims on lines of their own, correctly signed, so that
//! what lies behind the signature is reached. Whatever is accepted fulfils the contract, as read by other means.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use screener::auth::{Secret, VerifyingKey, verify_token};
use screener::domain::{SigningKeyId, VideoId};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::Sha256;
use std::collections::BTreeMap;

/// What tokens begin with.
pub const SEEDS: &[&[u8]] = &[
    b"{\"alg\":\"HS256\",\"kid\":\"c2a1e0d4-77b8-4f4e-b0cf-3b6f5a1d2e90\"}\n{\"sub\":\"0b9f3a52-6f0c-4a53-9d3e-0f8f4f5f7c11\",\"iat\":1795500000,\"exp\":1795500300}",
    b"{\"typ\":\"JWT\",\"alg\":\"HS256\",\"kid\":\"c2a1e0d4-77b8-4f4e-b0cf-3b6f5a1d2e90\"}\n{\"exp\":1795500300.5,\"nbf\":1795499999,\"sub\":\"0b9f3a52-6f0c-4a53-9d3e-0f8f4f5f7c11\",\"iat\":1795500000,\"aud\":[\"x\"]}",
    b"eyJhbGciOiJIUzI1NiIsImtpZCI6ImMyYTFlMGQ0LTc3YjgtNGY0ZS1iMGNmLTNiNmY1YTFkMmU5MCJ9.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    b"{\"alg\":\"HS256\",\"kid\":\"c2a1e0d4-77b8-4f4e-b0cf-3b6f5a1d2e90\"}\n{\"sub\":\"0b9f3a52-6f0c-4a53-9d3e-0f8f4f5f7c11\",\"iat\":1795500000,\"exp\":1795500300,\"x\":{\"y\":[\"Jo\\ud83d\"]}}",
    b"{\"alg\":\"none\",\"crit\":[\"exp\"]}\n{\"sub\":null,\"exp\":1e400,\"iat\":-1}",
];

const KID: &str = "c2a1e0d4-77b8-4f4e-b0cf-3b6f5a1d2e90";
const VIDEO: &str = "0b9f3a52-6f0c-4a53-9d3e-0f8f4f5f7c11";
const SECRET: &[u8] = b"mvi_sign_a key of the fuzzer, and nobody else's";
const NOW: i64 = 1_795_500_100;
const LIFETIME_S: u32 = 86_400;
const SKEW_S: f64 = 60.0;

/// Checks one token.
pub fn hold(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if is_accepted(text) {
        accepted(text);
    }
    if let Some((header, claims)) = text.split_once('\n') {
        let signed = format!("{}.{}", encode(header), encode(claims));
        let token = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac(&signed)));
        if is_accepted(&token) {
            accepted(&token);
        }
    }
}

fn encode(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(text)
}

fn mac(signed: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("a key of any length");
    mac.update(signed.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn is_accepted(token: &str) -> bool {
    let video = VideoId::parse(VIDEO).expect("an id");
    let ours = SigningKeyId::parse(KID).expect("an id");
    let key = |id| (id == ours).then(|| VerifyingKey { secret: Secret::new(SECRET.to_vec()), revoked: false });
    verify_token(token, video, key, LIFETIME_S, NOW).is_ok()
}

/// Reads an accepted token by other means, and looks that it may be.
fn accepted(token: &str) {
    assert!(token.len() <= 8_192);
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, given] = parts[..] else { panic!("{} parts", parts.len()) };
    assert_eq!(given, BASE64_URL_SAFE_NO_PAD.encode(mac(&format!("{header}.{claims}"))));
    // What nobody asks for need be no more than JSON.
    let object = |text: &str, names: &[&str]| -> Value {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).expect("base64url");
        let members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(&bytes).expect("a JSON object");
        let asked_for = members.into_iter().filter(|(name, _)| names.contains(&name.as_str()));
        asked_for.map(|(name, text)| (name, serde_json::from_str::<Value>(text.get()).expect("JSON"))).collect()
    };
    let header = object(header, &["alg", "kid", "crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c", "x5t"]);
    let claims = object(claims, &["sub", "exp", "iat", "nbf"]);
    assert_eq!(header["alg"], "HS256");
    assert_eq!(header["kid"], KID);
    for name in ["crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c", "x5t"] {
        assert!(header.get(name).is_none(), "{header}");
    }
    assert_eq!(claims["sub"], VIDEO);
    let seconds = |name: &str| claims[name].as_f64().unwrap_or_else(|| panic!("{name} in {claims}"));
    let (exp, iat) = (seconds("exp"), seconds("iat"));
    #[expect(clippy::cast_precision_loss, reason = "seconds of this century are exact")]
    let now = NOW as f64;
    assert!(exp.floor() > now && iat.floor() <= now + SKEW_S && iat < exp, "{claims}");
    assert!(exp - iat < f64::from(LIFETIME_S) + 1.0, "{claims}");
    assert!(
        claims.get("nbf").is_none_or(|nbf| nbf.as_f64().is_some_and(|nbf| nbf.floor() <= now + SKEW_S)),
        "{claims}"
    );
}
