//! Signatures of every other kind (A53): the cases of Wycheproof's JWS vectors, made anew for our own key id.
//!
//! With `SCREENER_WYCHEPROOF=DIRECTORY`, a copy of Wycheproof's `testvectors_v1`, its own strings are sent besides.

use crate::hostile_tokens::{Forge, Hostile, INVALID, encode, hostile, mac, sign_parts};
use serde_json::Value;
use std::path::PathBuf;

/// Algorithms of RFC 7518 §3.1 and RFC 8037, and the length of their signatures in bytes.
const ALGORITHMS: [(&str, usize); 14] = [
    ("HS256", 32),
    ("HS384", 48),
    ("HS512", 64),
    ("RS256", 256),
    ("RS384", 256),
    ("RS512", 512),
    ("PS256", 256),
    ("PS384", 256),
    ("PS512", 512),
    ("ES256", 64),
    ("ES384", 96),
    ("ES512", 132),
    ("EdDSA", 64),
    ("none", 0),
];
/// Vectors with strings that somebody could take for a token of ours.
const FILES: [(&str, &str); 4] = [
    ("json_web_signature_test.json", "jws"),
    ("json_web_crypto_test.json", "jws"),
    ("json_web_key_test.json", "jws"),
    ("json_web_encryption_test.json", "jwe"),
];

/// A signature of every algorithm over payloads of every kind, whole, missing and broken; and characters where none
/// belong, in each part, signed as they stand.
pub fn made(forge: &Forge) -> Vec<Hostile> {
    let claims = forge.claims();
    let payloads: [(&str, &[u8]); 5] =
        [("our claims", claims.as_bytes()), ("foo", b"foo"), ("nothing", b""), ("one byte", b"a"), ("zeros", &[0; 20])];
    let mut all = Vec::new();
    for (algorithm, length) in ALGORITHMS {
        let header = encode(forge.header().replace("HS256", algorithm));
        for (what, payload) in payloads {
            let payload = encode(payload);
            let signed = format!("{header}.{payload}");
            let ours = mac(forge.secret(), signed.as_bytes());
            let stretched: Vec<u8> = ours.iter().copied().cycle().take(length).collect();
            let mut row = |name: &str, token: String| {
                all.push(hostile(format!("{algorithm} over {what}, {name}"), token, INVALID));
            };
            row("no signature", format!("{signed}."));
            row("no third part", signed.clone());
            row("no payload", format!("{header}.{}", encode(&ours)));
            row("no header", format!("{payload}.{}", encode(&ours)));
            row("payload alone", format!(".{payload}."));
            row("a fourth part", format!("{signed}.{}.", encode(&ours)));
            row("zeros", format!("{signed}.{}", encode(vec![0; length.max(1)])));
            if algorithm != "HS256" {
                row("our MAC stretched", format!("{signed}.{}", encode(&stretched)));
            }
            if (algorithm, what) != ("HS256", "our claims") {
                row("our MAC", format!("{signed}.{}", encode(&ours)));
            }
        }
    }
    let (header, claims) = (encode(forge.header()), encode(claims));
    let valid = sign_parts(&header, &claims, forge.secret());
    let signature = valid.rsplit('.').next().unwrap();
    for odd in [" ", "    ", "?", "????", "#", "=", "==", "\t", "+", "/", "%", "~", "\u{e9}"] {
        for (where_to, header, claims) in [
            ("before the header", format!("{odd}x{header}"), claims.clone()),
            ("behind the header", format!("{header}{odd}"), claims.clone()),
            ("inside the header", format!("{}{odd}{}", &header[..8], &header[8..]), claims.clone()),
            ("before the payload", header.clone(), format!("{odd}{claims}")),
            ("behind the payload", header.clone(), format!("{claims}{odd}")),
            ("inside the payload", header.clone(), format!("{}{odd}{}", &claims[..8], &claims[8..])),
        ] {
            let token = sign_parts(&header, &claims, forge.secret());
            all.push(hostile(format!("{odd:?} {where_to}, signed so"), token, INVALID));
            let token = format!("{header}.{claims}.{signature}");
            all.push(hostile(format!("{odd:?} {where_to}"), token, INVALID));
        }
        for (where_to, changed) in [
            ("before the signature", format!("{odd}{signature}")),
            ("behind the signature", format!("{signature}{odd}x")),
            ("in the signature's place", odd.to_owned()),
            ("for the signature's first", format!("{odd}{}", &signature[odd.len().min(4)..])),
        ] {
            all.push(hostile(format!("{odd:?} {where_to}"), format!("{header}.{claims}.{changed}"), INVALID));
        }
    }
    all
}

/// Wycheproof's own strings, as they are and under our key id; none where no copy is named.
pub fn vectors(forge: &Forge) -> Vec<Hostile> {
    let Some(directory) = std::env::var_os("SCREENER_WYCHEPROOF").map(PathBuf::from) else { return Vec::new() };
    let mut all = Vec::new();
    for (file, member) in FILES {
        let text = std::fs::read_to_string(directory.join(file)).unwrap();
        let vectors: Value = serde_json::from_str(&text).unwrap();
        let tests =
            vectors["testGroups"].as_array().unwrap().iter().flat_map(|group| group["tests"].as_array().unwrap());
        for test in tests {
            // One that is no string is a JSON serialization: it goes as text.
            let token = test[member].as_str().map_or_else(|| test[member].to_string(), str::to_owned);
            let name = format!("{file} {} {}", test["tcId"], test["comment"]);
            if let Some((_, rest)) = token.split_once('.') {
                let ours = format!("{}.{rest}", encode(forge.header()));
                all.push(hostile(format!("{name}, under our header"), ours, INVALID));
            }
            if !token.trim().is_empty() {
                all.push(hostile(name, token, INVALID));
            }
        }
    }
    all
}
