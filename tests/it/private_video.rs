//! The main job, row by row of the contract's tables, through both doors.

use crate::support::{Claims, Server, sign};

#[test]
fn a_valid_token_plays_through_both_doors_and_its_bytes_are_the_source() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let token = server.token(&video);
    let answer = server.playback(&embed, Some(&token)).expect(200).json();
    let bytes = server.get(answer["playback"]["uri"].as_str().unwrap()).expect(200);
    assert_eq!(bytes.body, include_bytes!("../fixtures/h264_aac.mp4"));
    server.embed_page(&embed, Some(&token)).expect(200);
}

#[test]
fn no_token_and_an_expired_one_are_refused() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    server.playback(&embed, None).expect_code(401, "playback_token_missing");
    let mut claims = Claims::of(&video);
    claims["exp"] = (crate::support::now() - 1).into();
    claims["iat"] = (crate::support::now() - 100).into();
    let expired = sign(&server.kid, &server.secret, &claims);
    server.playback(&embed, Some(&expired)).expect_code(401, "playback_token_expired");
    server.embed_page(&embed, Some(&expired)).expect_code(401, "playback_token_expired");
}
