//! Every route, read from the page that lists them, with what it takes: a test of all of them is one of the next one, too.

use super::form::{multipart, multipart_kind};
use super::media::FIXTURE;
use super::server::Server;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use reqwest::blocking::RequestBuilder;
use serde_json::{Value, json};

/// `src/http/routes.rs`.
pub const PAGE: &str = include_str!("../../../src/http/routes.rs");

/// A route as the page has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its path, with names in braces for what differs.
    pub pattern: String,
    /// What it takes.
    pub methods: Vec<Method>,
}

/// Every route of the network listener and, where their paths say so, of the appliance's socket.
pub fn listed() -> Vec<Listed> {
    let mut found = Vec::new();
    for (function, prefix) in [
        ("pub fn public(", ""),
        ("fn dashboard_routes()", "/dashboard"),
        ("fn admin_routes()", "/admin/v1"),
        ("pub fn appliance(", ""),
    ] {
        let (_, text) = PAGE.split_once(function).unwrap();
        let (text, _) = text.split_once("\n}\n").unwrap();
        for resource in text.split("resource!(").skip(1) {
            let pattern = format!("{prefix}{}", resource.split('"').nth(1).unwrap());
            let before_arrows = resource.split(" =>").map(|piece| piece.rsplit([' ', '\n', ',']).next().unwrap());
            let is_method = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
            let methods: Vec<Method> =
                before_arrows.filter(is_method).map(|word| Method::from_bytes(word.as_bytes()).unwrap()).collect();
            assert!(!methods.is_empty(), "{pattern} takes nothing");
            found.push(Listed { pattern, methods });
        }
    }
    assert!(found.len() > 70, "{found:?}");
    found
}

/// An object of every kind of one organization.
pub struct Objects {
    /// A private video that plays, with captions, a poster and two qualities.
    pub video: String,
    /// Its embed.
    pub embed: String,
    /// A viewing of it.
    pub session: String,
    signing_key: String,
    publishable_key: String,
    private_key: String,
    upload: String,
}

impl Objects {
    /// Makes them.
    pub fn of(server: &Server) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let id = |reply: super::Reply| text(&reply.expect(201).json()["id"]);
        let make = |path: &str| id(server.admin(Method::POST, path, &json!({ "label": "made for a test" })));
        let (video, embed) = server.video("private");
        let put = |what: &str, kind: &str, bytes: &'static [u8]| {
            let put = server.request(Method::PUT, &format!("/admin/v1/videos/{video}/{what}"));
            let put = put.bearer_auth(&server.private_key).header("content-type", kind).body(bytes).send().unwrap();
            assert!(put.status().is_success(), "{what}: {}", put.status());
        };
        put("captions/en", "text/vtt", CAPTIONS);
        put("poster", "image/jpeg", POSTER);
        put("renditions/360p", "video/mp4", FIXTURE);
        let answer = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
        let begun = server.request(Method::POST, "/admin/v1/uploads").bearer_auth(&server.private_key);
        let begun = begun.header("upload-metadata", upload_metadata());
        let begun = begun.header("tus-resumable", "1.0.0").header("upload-length", "1000").send().unwrap();
        assert_eq!(begun.status(), 201);
        let location = begun.headers().get("location").unwrap().to_str().unwrap().to_owned();
        Self {
            embed,
            session: text(&answer["session"]["id"]),
            signing_key: make("/signing-keys"),
            publishable_key: make("/publishable-keys"),
            private_key: make("/private-keys"),
            upload: location.rsplit('/').next().unwrap().to_owned(),
            video,
        }
    }

    /// All of their ids.
    pub fn ids(&self) -> [&str; 7] {
        [
            &self.video,
            &self.embed,
            &self.session,
            &self.signing_key,
            &self.publishable_key,
            &self.private_key,
            &self.upload,
        ]
    }

    /// A route's path, with these objects' ids in it.
    pub fn path(&self, pattern: &str) -> String {
        let nouns = [
            ("/videos/", &self.video),
            ("/embed/", &self.embed),
            ("/embeds/", &self.embed),
            ("/sessions/", &self.session),
            ("/signing-keys/", &self.signing_key),
            ("/publishable-keys/", &self.publishable_key),
            ("/private-keys/", &self.private_key),
            ("/uploads/", &self.upload),
        ];
        let mut path = pattern.replace("{video}", &self.video).replace("{session}", &self.session);
        path = path.replace("{label}", "360p").replace("{language}", "en");
        if path.contains("{id}") {
            let (_, id) = nouns.iter().find(|(noun, _)| path.contains(&format!("{noun}{{id}}"))).expect("an object");
            path = path.replace("{id}", id);
        }
        assert!(!path.contains('{'), "no object for {pattern}");
        path
    }
}

const CAPTIONS: &[u8] = include_bytes!("../../fixtures/captions.vtt");
const POSTER: &[u8] = include_bytes!("../../fixtures/poster.jpg");
/// What an upload's file is called at home.
pub const FILE_NAME: &str = "canary-of-an-upload.mp4";

/// Names and their values in base64 (tus 1.0, Creation).
fn upload_metadata() -> String {
    let value = |text: &str| BASE64_STANDARD.encode(text);
    format!("title {},filename {}", value("Taken"), value(FILE_NAME))
}

/// A route with one of its methods, on objects that exist.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path, with ids in it.
    pub path: String,
    /// Whether the path names an object.
    pub names_an_object: bool,
}

/// Headers and body with which a route is taken.
#[derive(Default)]
pub struct Sent {
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Sent {
    fn of(kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { headers: vec![("content-type", kind.to_owned())], body: body.into() }
    }

    fn json(body: &Value) -> Self {
        Self::of("application/json", body.to_string())
    }

    fn form(fields: &[(&str, &str)]) -> Self {
        let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Self::of("application/x-www-form-urlencoded", pairs.join("&"))
    }

    fn file(fields: &[(&str, &str)], name: &str, file: &[u8]) -> Self {
        Self::of(&multipart_kind(), multipart(fields, name.as_bytes(), file))
    }
}

impl Route {
    /// Whether it is the dashboard's, not the API's.
    pub fn is_page(&self) -> bool {
        self.path.starts_with("/dashboard")
    }

    /// Whether it only reads.
    pub fn reads(&self) -> bool {
        [Method::GET, Method::HEAD, Method::OPTIONS].contains(&self.method)
    }

    /// What this route takes: enough to do what it is for.
    pub fn sent(&self, objects: &Objects) -> Sent {
        let last = self.path.rsplit('/').next().unwrap();
        if self.path.starts_with("/admin/v1/uploads") {
            return self.sent_by_tus();
        }
        if self.reads() {
            return Sent::default();
        }
        if self.is_page() {
            return match last {
                "source" => Sent::file(&[], FILE_NAME, FIXTURE),
                "renditions" => Sent::file(&[("label", "240p")], FILE_NAME, FIXTURE),
                "poster" => Sent::file(&[], "poster.jpg", POSTER),
                "captions" => Sent::file(&[("language", "de"), ("label", "Deutsch")], "de.vtt", CAPTIONS),
                "videos" => Sent::file(&[("visibility", "private")], FILE_NAME, FIXTURE),
                "sign-in" => Sent::form(&[("key", "mvi_priv_wrong")]),
                "delete" => Sent::form(&[("confirm", "delete")]),
                "revoke" => Sent::form(&[("confirm", "revoke")]),
                "apply" => Sent::form(&[("visibility", "private"), ("confirm", "private")]),
                "security" => Sent::form(&[("visibility", "private")]),
                "test" => Sent::form(&[("token", "a.b.c")]),
                "settings" => Sent::form(&[("name", "Taken")]),
                "signing-keys" | "publishable-keys" | "private-keys" => Sent::form(&[("label", "Taken")]),
                _ if last == objects.video => Sent::form(&[("title", "Taken")]),
                _ => Sent::form(&[]),
            };
        }
        match (self.method.as_str(), last) {
            ("PUT", "poster") => Sent::of("image/jpeg", POSTER),
            ("PUT", "en") => Sent::of("text/vtt", CAPTIONS),
            ("PUT", _) => Sent::of("video/mp4", FIXTURE),
            ("DELETE", _) | ("POST", "revoke" | "rotate" | "end" | "transcoding" | "preview-token") => Sent::default(),
            ("POST", "videos") => Sent::json(&json!({ "title": "Taken" })),
            ("POST", "visibility") => Sent::json(&json!({ "visibility": "private" })),
            ("POST", "embeds") | ("PATCH", _) if self.path.contains("/embeds") => {
                Sent::json(&json!({ "videoId": objects.video }))
            }
            ("PATCH", _) if self.path.contains("/videos") => Sent::json(&json!({ "title": "Taken" })),
            ("POST", "explain") => Sent::json(&json!({ "embedId": objects.embed })),
            _ => Sent::json(&json!({})),
        }
    }

    fn sent_by_tus(&self) -> Sent {
        let mut headers = vec![("tus-resumable", "1.0.0".to_owned())];
        let is_piece = self.method == Method::PATCH || (self.method == Method::POST && self.names_an_object);
        if is_piece {
            headers.push(("upload-offset", "0".to_owned()));
            headers.push(("content-type", "application/offset+octet-stream".to_owned()));
            if self.method == Method::POST {
                headers.push(("x-http-method-override", "PATCH".to_owned()));
            }
            // Sent both ways, it must stay where it is for the second.
            let body = if self.method == Method::POST { Vec::new() } else { b"film".to_vec() };
            return Sent { headers, body };
        }
        if self.method == Method::POST {
            headers.push(("upload-length", "1000".to_owned()));
            headers.push(("upload-metadata", upload_metadata()));
        }
        Sent { headers, body: Vec::new() }
    }

    /// Adds them to a request.
    pub fn filled(&self, request: RequestBuilder, objects: &Objects) -> RequestBuilder {
        let Sent { headers, body } = self.sent(objects);
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        if body.is_empty() { request } else { request.body(body) }
    }
}

/// Every route of the dashboard and of the admin API but signing in, which is for whoever is not signed in.
pub fn operators_routes(objects: &Objects) -> Vec<Route> {
    let is_theirs = |route: &Listed| {
        let is_api = route.pattern.starts_with("/admin/v1/");
        is_api || (route.pattern.starts_with("/dashboard/") && route.pattern != "/dashboard/sign-in")
    };
    let mut routes = Vec::new();
    for route in listed().into_iter().filter(is_theirs) {
        for method in route.methods.into_iter().filter(|method| *method != Method::OPTIONS) {
            let names_an_object = route.pattern.contains('{');
            routes.push(Route { method, path: objects.path(&route.pattern), names_an_object });
        }
    }
    assert!(routes.iter().filter(|route| route.is_page()).count() > 35, "{routes:?}");
    assert!(routes.iter().filter(|route| !route.is_page()).count() > 40, "{routes:?}");
    routes
}
