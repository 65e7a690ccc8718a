//! What tests of viewing have in common: more keys, settings, raw requests, and what every embed page must hold to.

use super::client::{Reply, raw_exchange};
use super::server::Server;
use reqwest::Method;
use serde_json::{Value, json};

/// A signing key.
#[derive(Clone)]
pub struct Key {
    /// Its `kid`.
    pub kid: String,
    /// `mvi_sign_…`
    pub secret: String,
}

/// An answer to bytes sent by hand.
pub struct RawReply {
    /// Its status; 0 where the server closed without a word.
    pub status: u16,
    /// Everything that came back.
    pub text: String,
}

impl RawReply {
    /// `code` of an error body; empty where there is none.
    pub fn code(&self) -> String {
        let code = self.text.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next());
        code.unwrap_or_default().to_owned()
    }

    /// Asserts status and code.
    #[track_caller]
    pub fn expect_code(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{}", self.text);
    }
}

impl Server {
    /// Another signing key of the organization.
    pub fn signing_key(&self) -> Key {
        self.signing_key_of(&self.private_key)
    }

    /// A signing key of the organization whose private key this is.
    pub fn signing_key_of(&self, private_key: &str) -> Key {
        let made = self.admin_as(private_key, Method::POST, "/signing-keys", &json!({ "label": "another" }));
        let made = made.expect(201).json();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Key { kid: text("id"), secret: text("secret") }
    }

    /// The signing key that every server has.
    pub fn first_key(&self) -> Key {
        Key { kid: self.kid.clone(), secret: self.secret.clone() }
    }

    /// Revokes a signing key.
    pub fn revoke(&self, kid: &str) {
        self.admin(Method::POST, &format!("/signing-keys/{kid}/revoke"), &Value::Null).expect(200);
    }

    /// Changes settings of the organization.
    pub fn set(&self, settings: &Value) {
        self.admin(Method::PATCH, "/organization", settings).expect(200);
    }

    /// Another publishable key, with rules: its record's id and the key.
    pub fn publishable(&self, rules: &Value) -> (String, String) {
        let made = self.admin(Method::POST, "/publishable-keys", rules).expect(201).json();
        (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
    }

    /// The playback API with these headers and no others.
    pub fn play(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let request = headers.iter().fold(self.request(Method::GET, path), |request, (name, value)| {
            // A repeated name is sent twice.
            request.header(*name, *value)
        });
        Reply::read(request.send().unwrap())
    }

    /// Sends a request byte for byte: `line`, a host, `headers` (each with its line end), and nothing else.
    pub fn raw(&self, line: &str, headers: &str) -> RawReply {
        let request = format!("{line}\r\nHost: 127.0.0.1\r\n{headers}\r\n");
        self.raw_bytes(request.as_bytes())
    }

    /// Sends bytes as they stand, and reads until the server closes.
    pub fn raw_bytes_back(&self, request: &[u8]) -> Vec<u8> {
        raw_exchange(&self.base_url, &self.ca(), request)
    }

    /// Sends bytes as they stand.
    pub fn raw_bytes(&self, request: &[u8]) -> RawReply {
        let text = String::from_utf8_lossy(&self.raw_bytes_back(request)).into_owned();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        RawReply { status, text }
    }
}

/// The path of an absolute URL, or the path that it already is.
pub fn path_of(url: &str) -> &str {
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => url,
    }
}

/// What every embed page holds to, whether it plays or says why not.
#[track_caller]
pub fn check_page(page: &Reply) {
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert!(page.header("set-cookie").is_none());
    assert!(page.header("x-frame-options").is_none(), "it would forbid what frame-ancestors allows");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
    for directive in policy.split(';').map(str::trim) {
        let is_of_ancestors = directive.starts_with("frame-ancestors");
        // The player's elements write styles into their shadow roots; nothing may run but our own files.
        assert!(!directive.contains("unsafe-") || directive == "style-src 'self' 'unsafe-inline'", "{policy}");
        assert!(is_of_ancestors || !directive.contains(['*', '.']), "a foreign origin: {policy}");
    }
    let text = page.text();
    for script in text.split("<script").skip(1) {
        let tag = script.split('>').next().unwrap();
        assert!(tag.contains("src=\"/") || tag.contains("type=\"application/json\""), "an inline script: {tag}");
    }
    assert!(!text.contains(" style=") && !text.contains("<style") && !text.contains(" onload="), "{text}");
}

/// Asserts that the page is a refusal with this status and code, and that it tells nothing of the video.
#[track_caller]
pub fn check_refused_page(page: &Reply, status: u16, code: &str) {
    assert_eq!((page.status, page.code().as_str()), (status, code), "{}", page.text());
    check_page(page);
    let text = page.text();
    for told in ["A test video", "/media/", "mvi_", "p1.", "r1.", "renewToken"] {
        assert!(!text.contains(told), "a refusal tells {told}: {text}");
    }
    assert!(text.contains(page.header("x-request-id").unwrap()), "no trace id on the page");
}
