use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

/// A token with which `video_id` may be watched for five minutes.
pub fn mint(key_id: &str, secret: &str, video_id: &str) -> Result<String, Box<dyn std::error::Error>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let header = Header { kid: Some(key_id.to_owned()), ..Header::new(Algorithm::HS256) };
    let claims = json!({ "sub": video_id, "iat": now, "exp": now + 300 });
    Ok(encode(&header, &claims, &EncodingKey::from_secret(secret.as_bytes()))?)
}
