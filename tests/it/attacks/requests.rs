//! Group B: what `presentation` does not ask of the playback API.

use crate::support::{Server, wait_for};
use std::time::Duration;

#[test]
fn without_a_publishable_key_public_and_private_videos_are_told_apart_by_nothing() {
    let server = Server::start();
    let (video, private) = server.video("private");
    let (_, public) = server.video("public");
    let token = server.token(&video);
    let ask = |embed: &str, headers: &[(&str, &str)]| {
        let reply = server.play(&format!("/api/v1/embeds/{embed}/playback"), headers);
        let trace = reply.header("x-request-id").unwrap().to_owned();
        (reply.status, reply.text().replace(&trace, "the request's id"))
    };
    let nobody = "00000000-0000-4000-8000-000000000000";
    for headers in
        [&[][..], &[("authorization", "Bearer mvi_pub_unknown")], &[("x-moviie-playback-token", token.as_str())]]
    {
        let answers = [&private, &public, nobody].map(|embed| ask(embed, headers));
        assert_eq!(answers[0].0, 401, "B09 {headers:?}: {}", answers[0].1);
        assert!(answers[0].1.contains("publishable_key_invalid"), "{}", answers[0].1);
        assert!(answers.iter().all(|answer| *answer == answers[0]), "B09 {headers:?}: {answers:?}");
    }
    server.playback(&public, None).expect(200);
    server.playback(&private, Some(&token)).expect(200);
}

#[test]
fn a_private_key_in_a_players_place_is_refused_and_reported_if_it_is_one() {
    const WARNING: &str = "a private key was sent as a publishable key: revoke it";
    let server = Server::start();
    let (_, embed) = server.video("public");
    let warnings = || server.log_text().matches(WARNING).count();
    // Whatever only looks like one is no news, and must not fill the log.
    let unknown = format!("mvi_priv_{}", "A".repeat(43));
    let call = |key: &str| {
        server.play(&format!("/api/v1/embeds/{embed}/playback"), &[("authorization", &format!("Bearer {key}"))])
    };
    call(&unknown).expect_code(403, "private_key_not_allowed");
    call(&server.private_key).expect_code(403, "private_key_not_allowed");
    wait_for("the warning", Duration::from_secs(10), || warnings() == 1);
    assert!(!server.log_text().contains(&server.private_key));
    call(&server.publishable_key).expect(200);
}
