//! Wycheproof's vectors (figure R25), where `SCREENER_WYCHEPROOF` names a copy of its `testvectors_v1`.

use super::crypto::{hmac_matches, hmac_sha256};
use super::playback_token::{HEADER_MEMBERS, mac_matches, read_object, read_part};
use crate::domain::hex;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;
use std::path::Path;

/// Where the vectors and the letter of RFC 7515 differ: two lost the padding that should make them wrong, and two have a
/// `?` in a part and are called valid.
const DOCUMENTED: [u64; 4] = [367, 370, 372, 373];

fn groups(directory: &Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(directory.join(file)).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["testGroups"].as_array().unwrap().clone()
}

fn bytes(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Form, `alg` and MAC of a token, as they are asked of a viewer's; what is signed need not be claims here.
fn is_accepted(token: &str, secret: &[u8]) -> bool {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, mac] = parts[..] else { return false };
    let members = read_object(header, &HEADER_MEMBERS);
    let is_hs256 = members.is_some_and(|header| header.get("alg").and_then(Value::as_str) == Some("HS256"));
    let signed = &token[..header.len() + 1 + payload.len()];
    is_hs256 && read_part(payload).is_some() && read_part(mac).is_some() && mac_matches(signed, mac, secret)
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure is what it is run for")]
fn wycheproofs_macs_and_hs256_strings_are_judged_as_it_says() {
    let Some(directory) = std::env::var_os("SCREENER_WYCHEPROOF") else { return };
    let directory = Path::new(&directory);
    let (mut macs, mut macs_right) = (0, 0);
    for group in groups(directory, "hmac_sha256_test.json") {
        for test in group["tests"].as_array().unwrap() {
            let (key, message, tag) = (bytes(&test["key"]), bytes(&test["msg"]), bytes(&test["tag"]));
            let is_valid = test["result"] == "valid";
            let begins_so = hex(&hmac_sha256(&key, &message)).starts_with(test["tag"].as_str().unwrap());
            // A tag that was cut is never enough.
            let matches = hmac_matches(&key, &message, &tag) == (is_valid && tag.len() == 32);
            macs += 1;
            macs_right += usize::from(begins_so == is_valid && matches);
        }
    }
    let (mut strings, mut differ) = (0, Vec::new());
    for group in groups(directory, "json_web_signature_test.json") {
        if group["private"]["kty"] != "oct" {
            continue;
        }
        let secret = BASE64_URL_SAFE_NO_PAD.decode(group["private"]["k"].as_str().unwrap()).unwrap();
        for test in group["tests"].as_array().unwrap() {
            strings += 1;
            if is_accepted(test["jws"].as_str().unwrap(), &secret) != (test["result"] == "valid") {
                differ.push(test["tcId"].as_u64().unwrap());
            }
        }
    }
    let is_met = (macs, macs_right, strings) == (174, 174, 40) && differ == DOCUMENTED;
    println!(
        "R25 {} hmac={macs_right}/{macs} jws={}/{strings} documented={}",
        if is_met { "PASS" } else { "FAIL" },
        strings - differ.len(),
        DOCUMENTED.len()
    );
    assert!(is_met, "{differ:?}");
}
