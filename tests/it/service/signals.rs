//! Signals at any time: during a start, several at once, those that mean nothing here, and a long sleep.

use crate::support::{
    Claims, Dice, Options, Server, Serving, Wire, configured, now, padded, progressive_uri, run, send_signal, sign,
    terminate, wait_for,
};
use rustix::process::Signal;
use serde_json::json;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

#[test]
fn signals_that_mean_nothing_here_change_nothing() {
    let mut server = Server::start();
    let (_, embed) = server.video("public");
    for signal in [Signal::PIPE, Signal::USR1, Signal::USR2, Signal::WINCH] {
        send_signal(server.pid(), signal);
        server.playback(&embed, None).expect(200);
    }
    assert!(server.stop());
}

#[test]
fn sigint_ends_a_server_as_sigterm_does() {
    let mut server = Server::start();
    send_signal(server.pid(), Signal::INT);
    assert!(server.stop(), "it did not end with exit code 0");
    assert!(server.log_text().contains("\"message\":\"stopped\""));
}

#[test]
fn a_server_that_was_asleep_refuses_what_expired_meanwhile_at_once() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let until = now() + 2;
    let token = sign(&server.kid, &server.secret, &json!({ "sub": video, "iat": until - 10, "exp": until }));
    server.playback(&embed, Some(&token)).expect(200);
    send_signal(server.pid(), Signal::STOP);
    wait_for("the token's end", Duration::from_secs(10), || now() > until);
    send_signal(server.pid(), Signal::CONT);
    server.playback(&embed, Some(&token)).expect_code(401, "playback_token_expired");
    let fresh = sign(&server.kid, &server.secret, &Claims::of(&video));
    server.playback(&embed, Some(&fresh)).expect(200);
}

#[test]
fn a_server_is_ended_by_sigterm_at_any_moment_of_its_start_and_starts_again() {
    let mut dice = Dice::seeded("SIGTERM during a start");
    let (_directory, config) = configured("[server]\nlisten = \"127.0.0.1:0\"");
    run(&["init", "--config", &config]).expect(0);
    for _ in 0..20 {
        let mut serving = Serving::start(&["serve", "--config", &config]);
        let moment = Instant::now() + Duration::from_millis(dice.below(80));
        wait_for("the moment", Duration::from_secs(1), || Instant::now() >= moment);
        terminate(serving.process.id());
        let ended = serving.process.wait().unwrap();
        // Before it has anything to finish, the signal itself ends it; systemd counts that as a clean exit, too.
        assert!(ended.code() == Some(0) || ended.signal() == Some(15), "{ended}: {}", serving.log());
    }
    let mut serving = Serving::start(&["serve", "--config", &config]);
    serving.base_url();
    assert_eq!(serving.end(), 0);
    run(&["store", "verify", "--config", &config]).expect(0);
}

#[test]
fn the_grace_of_running_answers_ends_even_if_they_do_not() {
    let mut server = Server::with(Options {
        environment: vec![("SCREENER__SERVER__SHUTDOWN_GRACE_S".to_owned(), "2".to_owned())],
        ..Default::default()
    });
    let (video, embed) = server.pending_video("public");
    // Longer than the buffers between hold, and never read.
    server.upload(&video, padded(48 << 20));
    server.wait_until_ready(&video);
    let uri = progressive_uri(&server.playback(&embed, None).expect(200).json()).to_owned();
    let answer = server.new_client().get(&uri).send().unwrap();
    let began = Instant::now();
    assert!(server.stop(), "it did not end with exit code 0");
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(5), "{took:?}");
    drop(answer);
}

#[test]
fn a_request_that_was_under_way_is_answered_during_a_stop_and_its_connection_ended() {
    let mut server = Server::start();
    let mut late = Wire::connect(&server);
    let body = br#"{"label": "late"}"#;
    let head = format!(
        "POST /admin/v1/signing-keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        server.private_key,
        body.len()
    );
    late.send_raw(head.as_bytes()).unwrap();
    // From here on it is known to be under way.
    assert_eq!(late.head().status, 100);
    late.send_raw(&body[..5]).unwrap();
    terminate(server.pid());
    wait_for("the stop", Duration::from_secs(10), || server.log_text().contains("once more to stop at once"));
    late.send_raw(&body[5..]).unwrap();
    let answer = late.head();
    assert_eq!((answer.status, answer.header("connection")), (201, Some("close")));
    assert!(server.stop());
}
