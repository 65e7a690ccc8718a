//! Every route of the dashboard and of the admin API, read from the page that lists them, on objects that exist.

use crate::support::Server;
use reqwest::Method;
use reqwest::blocking::RequestBuilder;
use serde_json::{Value, json};

const ROUTES: &str = include_str!("../../../src/http/routes.rs");

/// An object of every kind of one organization.
pub struct Objects {
    /// A private video that plays, with captions and two qualities.
    pub video: String,
    embed: String,
    session: String,
    signing_key: String,
    publishable_key: String,
    private_key: String,
    upload: String,
}

impl Objects {
    /// Makes them.
    pub fn of(server: &Server) -> Self {
        let id = |reply: crate::support::Reply| super::text(&reply.expect(201).json()["id"]);
        let make = |path: &str| id(server.admin(Method::POST, path, &json!({ "label": "made for a test" })));
        let (video, embed) = server.video("private");
        let captions = include_bytes!("../../fixtures/captions.vtt").to_vec();
        let put = server.request(Method::PUT, &format!("/admin/v1/videos/{video}/captions/en"));
        let put = put.bearer_auth(&server.private_key).header("content-type", "text/vtt").body(captions);
        assert!(put.send().unwrap().status().is_success());
        let answer = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
        let begun = server.request(Method::POST, "/admin/v1/uploads").bearer_auth(&server.private_key);
        // `title` and its value in base64 (tus 1.0, Creation).
        let begun = begun.header("upload-metadata", "title QSB0ZXN0IHZpZGVv");
        let begun = begun.header("tus-resumable", "1.0.0").header("upload-length", "1000").send().unwrap();
        assert_eq!(begun.status(), 201);
        let location = begun.headers().get("location").unwrap().to_str().unwrap().to_owned();
        Self {
            video,
            embed,
            session: super::text(&answer["session"]["id"]),
            signing_key: make("/signing-keys"),
            publishable_key: make("/publishable-keys"),
            private_key: make("/private-keys"),
            upload: location.rsplit('/').next().unwrap().to_owned(),
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

    fn id_in(&self, path: &str) -> &str {
        let noun = path.trim_start_matches("/dashboard").trim_start_matches("/admin/v1").split('/').nth(1).unwrap();
        match noun {
            "videos" => &self.video,
            "embeds" => &self.embed,
            "sessions" => &self.session,
            "signing-keys" => &self.signing_key,
            "publishable-keys" => &self.publishable_key,
            "private-keys" => &self.private_key,
            "uploads" => &self.upload,
            other => panic!("no object for {other}"),
        }
    }
}

/// A route.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path, with ids in it.
    pub path: String,
    /// Whether the path names an object.
    pub names_an_object: bool,
}

impl Route {
    /// Whether it is the dashboard's, not the API's.
    pub fn is_page(&self) -> bool {
        self.path.starts_with("/dashboard")
    }

    /// Adds the body and the headers with which this route is taken.
    pub fn filled(&self, request: RequestBuilder, objects: &Objects) -> RequestBuilder {
        if self.method == Method::GET || self.method == Method::HEAD {
            return request.header("tus-resumable", "1.0.0");
        }
        if self.path.starts_with("/admin/v1/uploads") {
            let request = request.header("tus-resumable", "1.0.0").header("x-http-method-override", "PATCH");
            let request = request.header("upload-offset", "0").header("upload-length", "1000");
            return request.header("content-type", "application/offset+octet-stream").body("film");
        }
        if self.is_page() {
            let word = if self.path.ends_with("/delete") { "delete" } else { "revoke" };
            let fields = [("confirm", word), ("title", "Taken"), ("label", "Taken"), ("visibility", "public")];
            let fields = if self.path.ends_with("/revoke") || word == "delete" { &fields[..1] } else { &fields[..] };
            return super::form(request, fields);
        }
        let last = self.path.rsplit('/').next().unwrap();
        match (self.method.as_str(), last) {
            ("PUT", _) => request.body(crate::support::FIXTURE),
            ("DELETE", _) | ("POST", "revoke" | "rotate" | "end" | "transcoding" | "preview-token") => request,
            ("POST", "videos") => request.json(&json!({ "title": "Taken" })),
            ("POST", "visibility") => request.json(&json!({ "visibility": "public" })),
            ("POST", "embeds") | ("PATCH", _) if self.path.contains("/embeds") => {
                request.json(&json!({ "videoId": objects.video }))
            }
            ("PATCH", _) if self.path.contains("/videos") => request.json(&json!({ "title": "Taken" })),
            ("POST", "explain") => request.json(&json!({ "embedId": objects.embed })),
            _ => request.json(&Value::Object(serde_json::Map::new())),
        }
    }
}

/// Every route of the dashboard and of the admin API but signing in, which is for whoever is not signed in.
pub fn all(objects: &Objects) -> Vec<Route> {
    let pages = super::between(ROUTES, "fn dashboard_routes()", "\n}\n");
    let api = super::between(ROUTES, "fn admin_routes()", "\n}\n");
    let mut routes = Vec::new();
    for (prefix, text) in [("/dashboard", pages), ("/admin/v1", api)] {
        for resource in text.split("resource!(").skip(1) {
            let pattern = format!("{prefix}{}", resource.split('"').nth(1).unwrap());
            if pattern == "/dashboard/sign-in" {
                continue;
            }
            let names_an_object = pattern.contains('{');
            let mut path = pattern.clone();
            if path.contains("{id}") {
                path = path.replace("{id}", objects.id_in(&pattern));
            }
            let path =
                path.replace("{session}", &objects.session).replace("{label}", "360p").replace("{language}", "en");
            assert!(!path.contains('{'), "no object for {pattern}");
            for before in resource.split(" =>").map(|piece| piece.rsplit([' ', '\n', ',']).next().unwrap()) {
                let Ok(method) = Method::from_bytes(before.as_bytes()) else { continue };
                let is_known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].contains(&before);
                if is_known {
                    routes.push(Route { method, path: path.clone(), names_an_object });
                }
            }
        }
    }
    assert!(routes.iter().filter(|route| route.is_page()).count() > 35, "{routes:?}");
    assert!(routes.iter().filter(|route| !route.is_page()).count() > 40, "{routes:?}");
    routes
}
