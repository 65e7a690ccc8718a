//! Whose things a sign-in reaches: its own organization's.

use super::Browser;
use crate::support::routes::{Objects, operators_routes};
use crate::support::{Reply, Server};

#[test]
fn another_organizations_things_are_not_found_on_any_page_or_in_the_api() {
    let server = Server::start();
    let (other_key, _) = server.other_organization();
    let objects = Objects::of(&server);
    let before = server.told();
    let routes = operators_routes(&objects);
    assert!(routes.iter().filter(|route| route.names_an_object).count() > 40);
    for route in &routes {
        // One of them signs out, and one makes the last key but one go.
        let stranger = Browser::sign_in_with(&server, &other_key);
        let request = stranger.request(route.method.clone(), &route.path).header("sec-fetch-site", "same-origin");
        let reply = Reply::read(route.filled(request, &objects).send().unwrap());
        let what = format!("{} {}: {}", route.method, route.path, reply.text());
        if route.names_an_object {
            assert_eq!(reply.status, 404, "{what}");
        } else {
            assert!(reply.status < 400 || [404, 422, 400].contains(&reply.status), "{what}");
        }
        let shown = reply.text();
        let told = objects.ids().into_iter().find(|id| shown.contains(id) && !route.path.contains(id));
        assert_eq!(told, None, "{what}");
        assert!(!shown.contains("A test video") && !shown.contains("made for a test"), "{what}");
    }
    assert_eq!(server.told(), before);
    // The twin: whose they are reaches every page of them.
    let own = Browser::sign_in(&server);
    for route in routes.iter().filter(|route| route.method == reqwest::Method::GET) {
        own.get(&route.path).expect(200);
    }
}
