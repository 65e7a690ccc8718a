//! What another site's page makes a signed-in browser send.

use super::{Browser, FROM_HERE, pages};
use crate::support::routes::{Objects, Route, operators_routes};
use crate::support::{Reply, Server};
use reqwest::Method;

/// What tells of another site's page, or of none.
pub const FOREIGN: &[(&str, &str)] = &[
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-site", "same-site"),
    ("sec-fetch-site", "none"),
    ("sec-fetch-site", "same-origin, cross-site"),
    ("sec-fetch-site", "Same-Origin"),
    ("sec-fetch-site", ""),
    ("origin", "https://evil.example"),
    ("origin", "null"),
    ("origin", ""),
];

fn changes(objects: &Objects) -> Vec<Route> {
    let is_change = |route: &Route| route.method != Method::GET && route.method != Method::HEAD;
    operators_routes(objects).into_iter().filter(is_change).collect()
}

/// Sends a route's request with these headers.
fn send(browser: &Browser<'_>, route: &Route, objects: &Objects, headers: &[(&str, &str)]) -> Reply {
    let request = route.filled(browser.request(route.method.clone(), &route.path), objects);
    Reply::read(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().unwrap())
}

#[test]
fn no_change_is_made_by_a_cookie_that_another_sites_page_sent() {
    let server = Server::start();
    let objects = Objects::of(&server);
    let browser = Browser::sign_in(&server);
    let before = server.told();
    let (plain, host) = (server.base_url.replace("https", "http"), server.base_url.replace("https://", ""));
    let sub = format!("https://evil.{host}");
    let here = server.base_url.as_str();
    let mut foreign: Vec<Vec<(&str, &str)>> = FOREIGN.iter().map(|header| vec![*header]).collect();
    foreign.extend([
        vec![],
        vec![("origin", plain.as_str())],
        vec![("origin", sub.as_str())],
        vec![("origin", host.as_str())],
        vec![("origin", "https://127.0.0.1")],
        vec![("sec-fetch-site", "cross-site"), ("origin", here)],
        vec![FROM_HERE, FROM_HERE],
        vec![FROM_HERE, ("sec-fetch-site", "cross-site")],
        vec![("origin", here), ("origin", here)],
        vec![("referer", here)],
    ]);
    for route in changes(&objects) {
        for headers in &foreign {
            let reply = send(&browser, &route, &objects, headers);
            let what = format!("{} {} with {headers:?}: {}", route.method, route.path, reply.text());
            assert_eq!(reply.status, 403, "{what}");
            if route.is_page() {
                pages::check(&reply);
                assert!(reply.text().contains("<code>cross_site_request · "), "{what}");
            } else {
                assert_eq!(reply.code(), "cross_site_request", "{what}");
            }
        }
    }
    assert_eq!(server.told(), before);
}

#[test]
fn every_change_that_a_page_of_ours_sends_is_taken_whichever_way_the_browser_says_so() {
    let server = Server::start();
    let objects = Objects::of(&server);
    let here = server.base_url.clone();
    // What leaves the objects there comes first.
    let mut routes = changes(&objects);
    routes.sort_by_key(|route| route.method == Method::DELETE || route.path.ends_with("/delete"));
    for headers in [vec![FROM_HERE], vec![("origin", here.as_str())], vec![FROM_HERE, ("origin", "null")]] {
        let mut browser = Browser::sign_in(&server);
        for route in &routes {
            let reply = send(&browser, route, &objects, &headers);
            if route.path.ends_with("/sign-out") {
                browser = Browser::sign_in(&server);
            }
            let what = format!("{} {} with {headers:?}: {}", route.method, route.path, reply.text());
            assert!(![401, 403, 405].contains(&reply.status) && reply.status < 500, "{what}");
        }
    }
    // It was not all for nothing.
    let actions: Vec<String> = server.all("audit").iter().map(|entry| super::text(&entry["action"])).collect();
    for action in ["signing_key.create", "signing_key.revoke", "video.change", "video.delete", "dashboard.sign_out"] {
        assert!(actions.iter().any(|other| other == action), "no {action} in {actions:?}");
    }
}

#[test]
fn with_a_bearer_key_no_header_of_a_browser_is_asked_for() {
    let server = Server::start();
    let objects = Objects::of(&server);
    let browser = Browser::sign_in(&server);
    for route in changes(&objects).iter().filter(|route| !route.is_page()) {
        for headers in [&[][..], &[("sec-fetch-site", "cross-site")], &[("origin", "https://evil.example")]] {
            let request = browser.request(route.method.clone(), &route.path).bearer_auth(&server.private_key);
            let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            let reply = Reply::read(route.filled(request, &objects).send().unwrap());
            let what = format!("{} {} with {headers:?}: {}", route.method, route.path, reply.text());
            assert!(![401, 403].contains(&reply.status), "{what}");
        }
    }
    // A wrong key is not made good by the cookie beside it.
    let request = browser.request(Method::GET, "/admin/v1/videos").bearer_auth("mvi_priv_wrong");
    Reply::read(request.send().unwrap()).expect_code(401, "private_key_invalid");
}

#[test]
fn reading_changes_nothing_wherever_it_comes_from() {
    let server = Server::start();
    let objects = Objects::of(&server);
    let browser = Browser::sign_in(&server);
    let before = server.told();
    for route in operators_routes(&objects) {
        for method in [Method::GET, Method::HEAD] {
            let request = browser.request(method.clone(), &route.path).header("sec-fetch-site", "cross-site");
            let reply = Reply::read(request.send().unwrap());
            assert!([200, 303, 404, 405, 412].contains(&reply.status), "{method} {}: {}", route.path, reply.text());
            if route.method == Method::GET && method == Method::GET {
                assert_eq!(reply.status, 200, "{}: {}", route.path, reply.text());
            }
        }
    }
    assert_eq!(server.told(), before);
    browser.page("/dashboard/videos");
}
