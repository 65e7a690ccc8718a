//! The values of tus 1.0's headers, read strictly: what means one thing is read, anything else is `None`.

use crate::domain::limits;
use crate::store::Checksum;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::collections::HashMap;

/// A count of bytes (`Upload-Length`, `Upload-Offset`): digits alone.
pub fn count(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `Upload-Checksum`: an algorithm that there is, a space, and a digest of its length in base64.
pub fn checksum(text: &str) -> Option<Checksum> {
    let (algorithm, digest) = text.split_once(' ')?;
    Checksum::new(algorithm, BASE64_STANDARD.decode(digest).ok()?)
}

/// `Upload-Metadata`: pairs separated by commas, each a key and, after a space, a value in base64; no key twice. Some
/// clients send the header with nothing in it.
pub fn metadata(text: &str) -> Option<HashMap<String, Vec<u8>>> {
    let mut values = HashMap::new();
    if text.is_empty() {
        return Some(values);
    }
    if text.len() > limits::UPLOAD_METADATA_BYTES {
        return None;
    }
    for pair in text.split(',') {
        let (key, value) = pair.trim().split_once(' ').unwrap_or((pair.trim(), ""));
        let value = BASE64_STANDARD.decode(value).ok()?;
        let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_key || values.insert(key.to_owned(), value).is_some() {
            return None;
        }
    }
    Some(values)
}
