//! Signing in with a private key, and with everything that is none.

use super::{Browser, COOKIE, cookie_of, enter, form, pages};
use crate::support::{Options, Reply, Server};
use reqwest::Method;
use serde_json::Value;

/// Wrong keys are not counted: there are many in these tests.
fn unhurried() -> Server {
    Server::with(Options { config: "[limits]\nadmin_failures_per_minute = 0\n".to_owned(), ..Options::default() })
}

#[test]
fn the_right_key_is_answered_with_a_cookie_that_no_script_and_no_other_host_gets() {
    let server = Server::start();
    let reply = enter(&server, &server.private_key, "").expect(303);
    assert_eq!(reply.header("location"), Some("/dashboard/videos"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.headers.get_all("set-cookie").iter().count(), 1);
    let set = reply.header("set-cookie").unwrap();
    let mut attributes: Vec<&str> = set.split("; ").skip(1).collect();
    attributes.sort_unstable();
    assert_eq!(attributes, ["HttpOnly", "Path=/", "SameSite=Strict", "Secure"], "{set}");
    let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
    assert_eq!(name, COOKIE);
    assert!(
        value.len() >= 40 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
        "a guessable value"
    );
    Browser::with(&server, &cookie_of(&reply)).page("/dashboard/videos");
    // A key that was pasted with white space around it is the same key, and each sign-in has a cookie of its own.
    let again = enter(&server, &format!(" {}\r\n", server.private_key), "").expect(303);
    assert_ne!(cookie_of(&again), cookie_of(&reply));
}

#[test]
fn everything_that_is_no_private_key_of_ours_gets_a_sentence_and_no_cookie() {
    let server = unhurried();
    let revoked = server.admin(Method::POST, "/private-keys", &Value::Null).expect(201).json();
    let path = format!("/private-keys/{}/revoke", super::text(&revoked["id"]));
    let revoked = super::text(&revoked["key"]);
    Browser::sign_in_with(&server, &revoked).page("/dashboard/videos");
    server.admin(Method::POST, &path, &Value::Null).expect(200);
    let mut unknown = server.private_key.clone();
    unknown.replace_range(20..21, if &unknown[20..21] == "A" { "B" } else { "A" });
    let shorter = &server.private_key[..server.private_key.len() - 1];
    for (key, sentence) in [
        (revoked.as_str(), "This key is unknown or revoked."),
        (&server.publishable_key, "This is a publishable key."),
        (&server.secret, "This is a signing key&#39;s secret."),
        (&unknown, "This key is unknown or revoked."),
        (shorter, "This is not a private key"),
        ("", "This is not a private key"),
        ("\"><script>alert(1)</script>", "This is not a private key"),
        ("mvi_priv_", "This is not a private key"),
    ] {
        let reply = enter(&server, key, "").expect(401);
        pages::check(&reply);
        assert!(reply.header("set-cookie").is_none());
        let page = reply.text();
        assert!(page.contains(sentence) && page.contains("role=\"alert\""), "{page}");
        assert!(key.len() < 10 || !page.contains(key), "what was typed is on the page");
    }
    // A form without the field, and one that is no form.
    let empty = form(server.request(Method::POST, "/dashboard/sign-in"), &[]).header("sec-fetch-site", "same-origin");
    Reply::read(empty.send().unwrap()).expect(401);
    let bytes = server.request(Method::POST, "/dashboard/sign-in").header("sec-fetch-site", "same-origin");
    let reply = Reply::read(bytes.body(vec![0xff, 0xfe, b'=', 0x80]).send().unwrap()).expect(400);
    pages::check(&reply);
    let long = server.request(Method::POST, "/dashboard/sign-in").header("sec-fetch-site", "same-origin");
    let reply = Reply::read(long.body(vec![b'k'; 10 << 20]).send().unwrap()).expect(413);
    assert!(reply.header("set-cookie").is_none());
    enter(&server, &server.private_key, "").expect(303);
}

#[test]
fn many_wrong_keys_are_held_up_and_the_right_one_is_not() {
    let config = "[limits]\nadmin_failures_per_minute = 5\n".to_owned();
    let server = Server::with(Options { config, ..Options::default() });
    let replies: Vec<Reply> = (0..12).map(|_| enter(&server, "mvi_priv_wrong", "")).collect();
    assert!(replies[..5].iter().all(|reply| reply.status == 401));
    let held_up = replies.last().unwrap();
    assert_eq!(held_up.status, 429);
    pages::check(held_up);
    let wait: u64 = held_up.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert!(held_up.header("set-cookie").is_none());
    enter(&server, &server.private_key, "").expect(303);
}

#[test]
fn signing_in_again_and_again_is_held_up_and_whoever_is_signed_in_goes_on() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    let replies: Vec<Reply> = (0..200).map(|_| enter(&server, &server.private_key, "")).collect();
    let taken = replies.iter().filter(|reply| reply.status == 303).count();
    let held_up = replies.iter().find(|reply| reply.status != 303).unwrap();
    assert_eq!(held_up.status, 429);
    pages::check(held_up);
    assert!(held_up.header("set-cookie").is_none() && held_up.header("retry-after").is_some());
    // 120 at once, and one more every half second.
    assert!((119..160).contains(&taken), "{taken}");
    // The newest hundred stand.
    browser.get("/dashboard/videos").expect(303);
    Browser::with(&server, &cookie_of(replies.iter().rfind(|reply| reply.status == 303).unwrap()))
        .page("/dashboard/videos");
}

#[test]
fn the_key_and_the_cookie_are_in_no_page_no_log_and_no_audit_entry() {
    let server = unhurried();
    let reply = enter(&server, &server.private_key, "/dashboard/settings").expect(303);
    let cookie = cookie_of(&reply);
    let value = cookie.split_once('=').unwrap().1;
    let told = format!("{:?}{}", reply.headers.get("location"), reply.text());
    let browser = Browser::with(&server, &cookie);
    let wrong = format!("{}A", server.private_key);
    let refusal = enter(&server, &wrong, "").text();
    let mut seen = vec![told, refusal, server.get("/dashboard/sign-in").text()];
    for path in ["videos", "settings", "signing-keys", "publishable-keys", "private-keys", "audit", "system"] {
        seen.push(browser.page(&format!("/dashboard/{path}")));
    }
    seen.push(browser.get("/admin/v1/audit").expect(200).text());
    let audit = seen.last().unwrap();
    assert!(audit.contains("dashboard.sign_in"), "{audit}");
    seen.push(server.log_text());
    for text in &seen {
        assert!(!text.contains(&server.private_key) && !text.contains(value), "{text}");
    }
    // The twin: the hint that tells keys apart is there.
    assert!(
        seen[7].contains(&format!("mvi_priv_…{}", &server.private_key[server.private_key.len() - 4..])),
        "{}",
        seen[7]
    );
    // What is stored of the cookie is not what is sent.
    let journal = std::fs::read(server.state().join("journal")).unwrap();
    assert!(!journal.windows(value.len()).any(|window| window == value.as_bytes()));
}

#[test]
fn next_leads_to_the_dashboards_own_pages_alone() {
    let server = Server::start();
    for ours in ["/dashboard/settings", "/dashboard/signing-keys", "/dashboard/videos"] {
        assert_eq!(enter(&server, &server.private_key, ours).expect(303).header("location"), Some(ours));
    }
    let foreign = [
        "https://evil.example/",
        "//evil.example/dashboard/",
        "/\\evil.example",
        "/dashboard/../embed/x",
        "/dashboard//evil.example",
        "/dashboard/%2e%2e/x",
        "/dashboard/videos?x=\r\nSet-Cookie: a=b",
        "/dashboard/videos\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "dashboard/videos",
        "/dashboard/sign-in",
        "/dashboard/videos#x",
        "\u{0}",
    ];
    for next in foreign {
        let reply = enter(&server, &server.private_key, next).expect(303);
        assert_eq!(reply.header("location"), Some("/dashboard/videos"), "{next:?}");
        assert_eq!(reply.headers.get_all("set-cookie").iter().count(), 1);
        let shown = server.get(&format!("/dashboard/sign-in?next={}", super::escape(next))).expect(200).text();
        assert!(shown.contains("name=\"next\" value=\"/dashboard/videos\""), "{next:?}: {shown}");
        let browser = Browser::with(&server, &cookie_of(&reply));
        let passed_on = browser.get(&format!("/dashboard/sign-in?next={}", super::escape(next))).expect(303);
        assert_eq!(passed_on.header("location"), Some("/dashboard/videos"), "{next:?}");
    }
    // Whoever is not signed in is brought back to where they wanted to go.
    let sent = server.get("/dashboard/signing-keys").expect(303);
    assert_eq!(sent.header("location"), Some("/dashboard/sign-in?next=/dashboard/signing-keys"));
    assert_eq!(server.get("/dashboard").expect(303).header("location"), Some("/dashboard/videos"));
    for odd in ["/dashboard/%0d%0aSet-Cookie:%20a=b", "/dashboard/videos/%22%3E%3Cscript%3E", "/dashboard/x&said=saved"]
    {
        let reply = server.get(odd);
        assert!(reply.header("set-cookie").is_none() && !reply.text().contains("<script>"), "{odd}");
    }
}

#[test]
fn signing_in_from_another_sites_page_is_refused() {
    let server = Server::start();
    let request = || form(server.request(Method::POST, "/dashboard/sign-in"), &[("key", &server.private_key)]);
    for (name, value) in super::cross_site::FOREIGN {
        let reply = Reply::read(request().header(*name, *value).send().unwrap()).expect(403);
        pages::check(&reply);
        assert!(reply.header("set-cookie").is_none() && reply.text().contains("cross_site_request"), "{name}: {value}");
    }
    Reply::read(request().send().unwrap()).expect(403);
    Reply::read(request().header("origin", &server.base_url).send().unwrap()).expect(303);
}

#[test]
fn the_oldest_sign_in_ends_where_there_are_a_hundred_and_many_at_once_all_get_in() {
    let server = Server::start();
    let first = Browser::sign_in(&server);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let cookie = cookie_of(&enter(&server, &server.private_key, "").expect(303));
                    Browser::with(&server, &cookie).page("/dashboard/system");
                }
            });
        }
    });
    let last = Browser::sign_in(&server);
    last.page("/dashboard/videos");
    first.get("/dashboard/videos").expect(303);
    server.verify();
}
