//! SIGHUP: what of the configuration changes while the server runs, and what is said of the rest.

use crate::support::{Server, send_signal, wait_for};
use rustix::process::Signal;
use std::time::Duration;

/// Writes what the configuration holds from now on, and reloads.
fn reload_with(server: &Server, change: impl Fn(String) -> String) {
    let text = std::fs::read_to_string(server.config()).unwrap();
    std::fs::write(server.config(), change(text)).unwrap();
    send_signal(server.pid(), Signal::HUP);
}

fn says(server: &Server, words: &str) {
    wait_for(words, Duration::from_secs(20), || server.log_text().contains(words));
}

#[test]
fn a_reload_takes_over_rates_and_log_level_and_names_what_waits_for_a_restart() {
    let server = Server::start();
    let (_, embed) = server.video("public");
    let play = || server.playback(&embed, None).status;
    assert!((0..5).all(|_| play() == 200));
    reload_with(&server, |text| {
        text.replace("info,screener=debug", "info")
            + "[limits]\nplayback_per_second = 1\nplayback_burst = 2\n[media]\nsegment_s = 4\n"
    });
    says(&server, "\"message\":\"reloaded\"");
    let log = server.log_text();
    let of_key = |key: &str| log.lines().find(|line| line.contains(&format!("\"key\":\"{key}\""))).unwrap().to_owned();
    assert!(of_key("limits.playback_burst").contains("is in force"));
    assert!(of_key("log.level").contains("is in force"));
    assert!(of_key("media.segment_s").contains("waits for a restart"), "{log}");
    assert!(!log.contains("\"key\":\"server.listen\""), "{log}");
    // Two at once, and then one a second.
    assert!((0..50).any(|_| play() == 429), "the new rate is not in force");
    // Taken back, it is off again.
    reload_with(&server, |text| text.replace("playback_per_second = 1", "playback_per_second = 0"));
    wait_for("no rate", Duration::from_secs(20), || (0..20).all(|_| play() == 200));
}

#[test]
fn a_configuration_that_is_wrong_changes_nothing_and_is_named_with_its_line() {
    let server = Server::start();
    let (_, embed) = server.video("public");
    reload_with(&server, |text| text + "[limits]\nplayback_per_second = 1\nplayback_burst = \"two\"\n");
    says(&server, "the configuration is not right; the one in force stays");
    let log = server.log_text();
    assert!(log.contains("limits.playback_burst") && log.contains(", line "), "{log}");
    assert!(!log.contains("\"message\":\"reloaded\""));
    assert!((0..20).all(|_| server.playback(&embed, None).status == 200), "half of it was taken over");
    // Put right, it is.
    reload_with(&server, |text| text.replace("\"two\"", "2"));
    says(&server, "\"message\":\"reloaded\"");
    assert!((0..50).any(|_| server.playback(&embed, None).status == 429));
}
