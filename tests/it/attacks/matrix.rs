//! Every route with every method and every credential (R9), and in all of its answers no secret (R20).

use super::access::{ALTERED, Access, Credential, Documented, notes};
use super::canaries::Canaries;
use crate::support::routes::{Listed, Objects, PAGE, Route, Sent, listed};
use crate::support::{Exchange, Options, Reply, Server, Wire, assert_no_media, path_of};
use reqwest::Method;
use serde_json::Value;
use std::time::Instant;

/// What each route is asked with; the last is no method of HTTP's.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"];

/// Paths that no route has.
const NOWHERE: [&str; 6] =
    ["/nowhere", "/api/v1/nowhere", "/admin/v1/nowhere", "/admin/v1/videos/", "/dashboard/nowhere", "/metrics"];

/// A server with everything that the matrix asks for, and whoever asks.
struct Stage {
    server: Server,
    /// In the order of [`Credential::ALL`].
    headers: Vec<Vec<(&'static str, String)>>,
    objects: Objects,
    token: String,
    /// An asset's URL as it was handed out.
    asset: String,
    /// Where the scripts of pages are.
    script: String,
    canaries: Canaries,
}

impl Stage {
    fn set() -> Self {
        let config = "[limits]\nadmin_failures_per_minute = 0\nplayback_per_second = 0\n".to_owned();
        let environment = vec![("SCREENER_CANARY".to_owned(), "the environment is searched".to_owned())];
        let server = Server::with(Options { config, environment, ..Options::default() });
        let (others_private, others_publishable) = server.other_organization();
        let revoked = server.admin(Method::POST, "/private-keys", &Value::Null).expect(201).json();
        let path = format!("/private-keys/{}/revoke", revoked["id"].as_str().unwrap());
        server.admin(Method::POST, &path, &Value::Null).expect(200);
        let objects = Objects::of(&server);
        let token = server.token(&objects.video);
        let answer = server.playback(&objects.embed, Some(&token)).expect(200).json();
        let page = server.embed_page(&objects.embed, Some(&token)).expect(200).text();
        let script = page.split('"').find(|text| text.starts_with("/assets/")).unwrap().to_owned();
        let form = server.request(Method::POST, "/dashboard/sign-in").header("sec-fetch-site", "same-origin");
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        let signed_in = Reply::read(form.body(format!("key={}", server.private_key)).send().unwrap()).expect(303);
        let cookie = signed_in.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let bearer = |key: &str| vec![("Authorization", format!("Bearer {key}"))];
        let viewer = ("x-moviie-playback-token", token.clone());
        let mut both = bearer(&server.publishable_key);
        both.push(viewer.clone());
        let headers = vec![
            vec![],
            bearer("garbage"),
            bearer(&server.publishable_key),
            bearer(&others_publishable),
            bearer(&server.secret),
            vec![bearer(&token).remove(0), viewer],
            both,
            bearer(&others_private),
            bearer(revoked["key"].as_str().unwrap()),
            bearer(&server.private_key),
            vec![("Cookie", cookie), ("sec-fetch-site", "same-origin".to_owned())],
        ];
        let asset = path_of(answer["playback"]["uri"].as_str().unwrap()).to_owned();
        let canaries = Canaries::of(&server, &token, &asset);
        Self { server, headers, objects, token, asset, script, canaries }
    }

    /// All routes, the one of the pages' files included, which no list has.
    fn routes() -> Vec<Listed> {
        let file = Listed { pattern: "/assets/{version}/{name}".into(), methods: vec![Method::GET, Method::HEAD] };
        listed().into_iter().chain([file]).collect()
    }

    fn target(&self, pattern: &str, note: &str) -> String {
        match pattern {
            "/media/{tail:.*}" => {
                let altered =
                    if self.asset.contains(".0.") { self.asset.replacen(".0.", ".1.", 1) } else { String::new() };
                assert!(!altered.is_empty(), "no epoch in {}", self.asset);
                if note == ALTERED { altered } else { self.asset.clone() }
            }
            "/assets/{version}/{name}" => self.script.clone(),
            "/oembed" => format!("/oembed?url={}/embed/{}", self.server.base_url, self.objects.embed),
            _ => self.objects.path(pattern),
        }
    }
}

/// One request of the matrix.
struct Cell {
    route: Route,
    target: String,
    credential: Credential,
    documented: Documented,
}

impl Cell {
    fn name(&self) -> String {
        format!("{} {} with {:?}", self.route.method, self.target, self.credential)
    }

    /// How much is gone once this was done: nothing first, then what lies deepest, videos, and the sign-in at last.
    fn takes_away(&self, objects: &Objects) -> usize {
        let path = &self.route.path;
        let last = path.rsplit('/').next().unwrap();
        let is_removal = self.route.method == Method::DELETE || ["delete", "revoke", "discard", "end"].contains(&last);
        match last {
            "sign-out" => 300,
            // Other qualities of the source before go with it.
            "source" => 150,
            _ if !is_removal => 0,
            _ if path.ends_with(&format!("/videos/{}", objects.video)) => 200,
            _ if path.ends_with(&format!("/videos/{}/delete", objects.video)) => 200,
            _ => 100 - path.split('/').count(),
        }
    }
}

/// Every request with one credential, in an order in which none takes away what a later one is about.
fn cells(stage: &Stage, access: &Access, credential: Credential) -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut add = |method: &Method, target: &str, names_an_object, documented| {
        let has_token = [Credential::ViewerToken, Credential::PublishableKeyAndViewerToken].contains(&credential);
        let mut asked = target.to_owned();
        // The embed page reads it there, an asset's URL takes no query, and nobody else looks.
        if has_token && !target.starts_with("/media/") {
            asked.push(if target.contains('?') { '&' } else { '?' });
            asked.push_str(&format!("token={}", stage.token));
        }
        let path = target.split('?').next().unwrap().to_owned();
        let route = Route { method: method.clone(), path, names_an_object };
        cells.push(Cell { route, target: asked, credential, documented });
    };
    for method in METHODS.map(|name| Method::from_bytes(name.as_bytes()).unwrap()) {
        for route in Stage::routes() {
            for note in notes(&route.pattern, &method) {
                let documented = access.of(&route, note, &method, credential);
                add(&method, &stage.target(&route.pattern, note), route.pattern.contains('{'), documented);
            }
        }
        for path in NOWHERE {
            add(&method, path, false, access.of_other_path(credential));
        }
    }
    cells.sort_by_key(|cell| cell.takes_away(&stage.objects));
    cells
}

/// Sends requests over one connection for as long as the server keeps it.
struct Client<'a> {
    server: &'a Server,
    wire: Option<Wire>,
}

impl Client<'_> {
    fn send(&mut self, cell: &Cell, credential: &[(&'static str, String)], sent: &Sent) -> Exchange {
        let mut headers: Vec<(&str, &str)> =
            credential.iter().chain(&sent.headers).map(|(name, value)| (*name, value.as_str())).collect();
        // What a page's form says of where it comes from is not what is asked here.
        if cell.route.is_page() && headers.iter().all(|(name, _)| *name != "sec-fetch-site") {
            headers.push(("sec-fetch-site", "same-origin"));
        }
        let mut wire = self.wire.take().unwrap_or_else(|| Wire::connect(self.server));
        let answer = wire.try_exchange_with(cell.route.method.as_str(), &cell.target, &headers, &sent.body);
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", cell.name()));
        if answer.header("connection") != Some("close") {
            self.wire = Some(wire);
        }
        answer
    }
}

/// Holds an answer to what is documented, and to what every answer has.
#[track_caller]
fn check(cell: &Cell, answer: &Exchange, objects: &Objects) {
    let status = answer.status();
    let text = String::from_utf8_lossy(&answer.body);
    let what = format!("{}: {status} {text}", cell.name());
    let location = answer.header("location").unwrap_or_default();
    let asks_for_a_key = status == 303 && location.starts_with("/dashboard/sign-in?");
    let goes_on = status == 303 && (!asks_for_a_key || cell.route.path == "/dashboard/sign-out");
    let is_done = (200..300).contains(&status) || goes_on;
    match cell.documented {
        Documented::Refused(documented) => assert_eq!(status, documented, "{what}"),
        Documented::SignIn => assert!(asks_for_a_key, "{what}"),
        Documented::Done => assert!(is_done, "{what}"),
        Documented::NotFoundOrOwn if cell.route.names_an_object => assert_eq!(status, 404, "{what}"),
        Documented::NotFoundOrOwn => assert!(is_done || [404, 422].contains(&status), "{what}"),
    }
    for (name, value) in [("x-content-type-options", "nosniff"), ("x-powered-by", ""), ("server", ""), ("via", "")] {
        assert_eq!(answer.header(name).unwrap_or_default(), value, "{name} of {what}");
    }
    for name in ["x-request-id", "referrer-policy", "cross-origin-resource-policy"] {
        assert!(answer.header(name).is_some_and(|value| !value.is_empty()), "no {name}: {what}");
    }
    let cache = answer.header("cache-control").unwrap_or_default();
    if status == 405 {
        assert!(answer.header("allow").is_some_and(|allow| !allow.contains(cell.route.method.as_str())), "{what}");
    }
    if status >= 400 || asks_for_a_key {
        assert_eq!(cache, "no-store", "{what}");
    }
    if cell.documented == Documented::Done {
        let is_open = ["/healthz", "/readyz", "/licenses", "/screener-player.js", "/assets/"];
        let is_everybodys =
            is_open.iter().any(|path| cell.route.path.starts_with(path)) || status == 204 || status == 303;
        // What a cache between us and the viewers may not keep it can't give to anybody else (RFC 9111 §5.2.2).
        assert!(is_everybodys || cache == "no-store" || cache.starts_with("private, "), "{cache}: {what}");
        return;
    }
    assert_no_media(&answer.body, &what);
    let told = objects.ids().into_iter().find(|id| text.contains(id) && !cell.route.path.contains(id));
    assert_eq!(told, None, "{what}");
    assert!(!text.contains("A test video") && !text.contains("made for a test"), "{what}");
    if answer.header("content-type").is_some_and(|kind| kind.starts_with("application/json")) && !answer.body.is_empty()
    {
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let names: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
        let is_refusal = names == ["code", "error", "traceId"] || names == ["code", "error", "errors", "traceId"];
        assert!(is_refusal || cell.documented == Documented::NotFoundOrOwn, "{what}");
    }
}

/// Asks all of `is_asked` with these credentials; how many requests that were.
fn ask(stage: &Stage, access: &Access, credentials: &[Credential], is_asked: impl Fn(&Cell) -> bool) -> usize {
    let mut requests = 0;
    let before = stage.server.told();
    for credential in credentials {
        if *credential == Credential::PrivateKey {
            // Until here nobody had anything to change with.
            assert_eq!(stage.server.told(), before, "changed by somebody who may not");
        }
        let mut client = Client { server: &stage.server, wire: None };
        for cell in cells(stage, access, *credential).into_iter().filter(&is_asked) {
            let is_taken = cell.documented != Documented::Refused(405);
            let sent = if is_taken { cell.route.sent(&stage.objects) } else { Sent::default() };
            let answer = client.send(&cell, &stage.headers[*credential as usize], &sent);
            check(&cell, &answer, &stage.objects);
            let is_operators = [Credential::PrivateKey, Credential::Cookie].contains(credential);
            stage.canaries.assert_absent_from_answer(&cell.name(), &answer, is_operators);
            requests += 1;
        }
    }
    requests
}

#[test]
fn every_route_answers_every_credential_as_documented_and_no_answer_log_or_file_holds_a_secret() {
    let (began, access, stage) = (Instant::now(), Access::read(), Stage::set());
    let (keys, cookie) = Credential::ALL.split_at(Credential::Cookie as usize);
    let mut requests = ask(&stage, &access, keys, |_| true);
    // It opens the pages and the API, and what one of them takes away the other has not any more.
    requests += ask(&Stage::set(), &access, cookie, |cell| cell.route.is_page());
    requests += ask(&Stage::set(), &access, cookie, |cell| !cell.route.is_page());
    println!(
        "R9 PASS requests={requests} routes={} methods={} credentials={} seconds={:.1}",
        Stage::routes().len(),
        METHODS.len(),
        Credential::ALL.len(),
        began.elapsed().as_secs_f64()
    );
    stage.canaries.search_everywhere_else(&stage.server, requests);
}

#[test]
fn every_url_stands_on_the_page_of_routes() {
    let services = PAGE.matches(".service(").count();
    let others = [".service(admin_routes())", ".service(dashboard_routes())", ".service(ui::assets(ui, &app.config))"];
    let others: usize = others.iter().map(|other| PAGE.matches(other).count()).sum();
    assert_eq!(others, 4, "a new kind of service: it has to get into the table of who may call what");
    assert_eq!(services - others, listed().len(), "a route is on the page and not in the list that is read from it");
}
