//! The grant of an asset URL: as it stands, and with its fields correctly signed. One that was not signed is nothing.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use screener::auth::{AssetKeyring, Secret};
use sha2::Sha256;

/// What grants begin with: a video, and a grant or its fields.
pub const SEEDS: &[&[u8]] = &[
    b"0b9f3a52-6f0c-4a53-9d3e-0f8f4f5f7c11/p1.k1.3.5d7f3c1e-9a44-4c1b-8b43-2d6a1f0e9b77.c2a1e0d4-77b8-4f4e-b0cf-3b6f5a1d2e90.1795500000.1795500300.1795543200",
    b"0b9f3a52-6f0c-4a53-9d3e-0f8f4f5f7c11/r1.k1.0.5d7f3c1e-9a44-4c1b-8b43-2d6a1f0e9b77.-.1795500000.1795500300.1795543200",
    b"0b9f3a52-6f0c-4a53-9d3e-0f8f4f5f7c11/p1.k1.3.x.-.0.0.0.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
];

const SECRET: &[u8] = b"a secret of the fuzzer's server";
/// As `docs/asset-urls.md` gives it to those who verify at an edge.
const LABEL: &str = "screener asset grant v1";

/// Checks one path below `/media/`.
pub fn hold(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some((video, grant)) = text.split_once('/') else { return };
    let keyring = AssetKeyring::new(vec![("k1".into(), Secret::new(SECRET.to_vec()))]);
    if let Some(opened) = keyring.verify(video, grant) {
        let (fields, given) = grant.rsplit_once('.').expect("fields and a MAC");
        assert_eq!(given, mac(video, fields), "opened without its MAC");
        assert_eq!(opened.video.to_string(), video);
    }
    let signed = format!("{grant}.{}", mac(video, grant));
    if let Some(opened) = keyring.verify(video, &signed) {
        // Seconds beyond the range of our clock are its end; whatever else is signed is read as it was written.
        let again = keyring.sign(&opened).expect("a key");
        let reread = keyring.verify(video, &again).expect("our own grant");
        assert_eq!((reread.epoch, reread.session, reread.authority), (opened.epoch, opened.session, opened.authority));
        // What is signed for one video opens no other.
        assert_eq!(keyring.verify("ffffffff-ffff-4fff-bfff-ffffffffffff", &signed), None);
    }
}

fn mac(video: &str, fields: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("a key of any length");
    mac.update(format!("{LABEL}\n{video}\n{fields}").as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}
