//! Viewer tokens: hostile ones are refused with the contract's code, and what six libraries make is accepted.

use crate::hostile_tokens::{Forge, Hostile, sign_bytes};
use crate::support::{Claims, Options, Reply, Server, now, sign, wait_for};
use screener::domain::limits;
use serde_json::json;
use std::time::Duration;

/// A server that does not count requests: these tests ask thousands of times.
fn unlimited() -> Server {
    Server::with(Options { config: "[limits]\nplayback_per_second = 0\n".into(), ..Options::default() })
}

/// Whether a token can stand in a query as it is.
fn fits_a_query(token: &str) -> bool {
    token.len() <= 9_000 && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.=".contains(&byte))
}

/// Sends every token of a table through every door that takes it, over one connection; all must be refused as told.
fn expect_all_refused(table: fn(&Forge) -> Vec<Hostile>) {
    let server = unlimited();
    let forge = Forge::new(&server);
    server.playback(&forge.embed, Some(&forge.valid())).expect(200);
    let table = table(&forge);
    let mut wrong = Vec::new();
    for hostile in &table {
        // Bytes, not text: a header may hold more than ASCII.
        let value = reqwest::header::HeaderValue::from_bytes(hostile.token.as_bytes()).unwrap();
        let request = server.playback_request(&forge.embed).header("x-moviie-playback-token", value);
        // What fills a whole head is no request, and its connection is closed before it has all been sent.
        let fills_a_head = hostile.token.len() > limits::HEAD_BYTES - 1_024;
        let again = request.try_clone().unwrap();
        // Nor is the one after it, where it is sent over the same connection.
        let sent = request.send().or_else(|_| again.send());
        if fills_a_head && sent.is_err() {
            continue;
        }
        let mut replies = vec![("API", Reply::read(sent.unwrap()))];
        if fits_a_query(&hostile.token) {
            replies.push(("page", server.embed_page(&forge.embed, Some(&hostile.token))));
        }
        for (door, reply) in replies {
            if fills_a_head && [400, 431].contains(&reply.status) {
                continue;
            }
            let seen = (reply.status, reply.code());
            if seen != (hostile.status(), hostile.code.to_owned()) {
                wrong.push(format!("{}: {door} answers {} {}", hostile.name, seen.0, seen.1));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.len(), wrong.join("\n"));
    server.playback(&forge.embed, Some(&forge.valid())).expect(200);
    server.embed_page(&forge.embed, Some(&forge.valid())).expect(200);
}

#[test]
fn a_token_of_any_other_algorithm_is_refused() {
    expect_all_refused(Forge::algorithms);
}

#[test]
fn a_name_given_twice_makes_a_token_ambiguous_and_is_refused() {
    expect_all_refused(Forge::duplicates);
}

#[test]
fn a_kid_that_names_no_key_of_the_organization_is_refused() {
    expect_all_refused(Forge::kids);
}

#[test]
fn a_token_signed_with_something_a_forger_could_have_is_refused() {
    expect_all_refused(Forge::secrets);
}

#[test]
fn times_that_are_no_times_or_the_wrong_ones_are_refused() {
    expect_all_refused(Forge::times_wrong);
}

#[test]
fn a_token_for_anything_but_this_very_video_is_refused() {
    expect_all_refused(Forge::subjects);
}

#[test]
fn header_members_that_change_the_meaning_of_a_token_are_refused() {
    expect_all_refused(Forge::members);
}

#[test]
fn a_token_has_one_spelling() {
    expect_all_refused(Forge::spellings);
}

#[test]
fn header_and_claims_are_json_objects_and_nothing_else() {
    expect_all_refused(Forge::documents);
}

#[test]
fn the_tables_hold_more_than_four_hundred_hostile_tokens() {
    let server = Server::start();
    let forge = Forge::new(&server);
    let all: Vec<Hostile> = Forge::TABLES.iter().flat_map(|table| table(&forge)).collect();
    let different: std::collections::HashSet<&str> = all.iter().map(|hostile| hostile.token.as_str()).collect();
    assert!(different.len() >= 400, "{} different tokens in {} rows", different.len(), all.len());
}

#[test]
fn a_token_of_8192_bytes_is_accepted_and_a_megabyte_harms_nobody() {
    let server = Server::start();
    let forge = Forge::new(&server);
    let longest = forge.of_length(8_192);
    server.playback(&forge.embed, Some(&longest)).expect(200);
    server.embed_page(&forge.embed, Some(&longest)).expect(200);
    for length in [64 << 10, 1 << 20] {
        let headers = format!(
            "Connection: close\r\nAuthorization: Bearer {}\r\nx-moviie-playback-token: {}\r\n",
            server.publishable_key,
            "A".repeat(length)
        );
        let line = format!("GET /api/v1/embeds/{}/playback HTTP/1.1", forge.embed);
        let status = server.raw(&line, &headers).status;
        assert!([0, 400, 401, 413, 431].contains(&status), "{length} bytes: {status}");
        let page = server
            .raw(&format!("GET /embed/{}?token={} HTTP/1.1", forge.embed, "A".repeat(length)), "Connection: close\r\n");
        assert!([0, 400, 413, 414, 431].contains(&page.status), "{length} bytes: {}", page.status);
    }
    server.playback(&forge.embed, Some(&longest)).expect(200);
}

#[test]
fn a_token_turns_from_good_to_expired_once_and_at_exp() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let iat = now();
    let exp = iat + 2;
    let token = sign(&server.kid, &server.secret, &json!({ "sub": video, "iat": iat, "exp": exp }));
    let mut seen: Vec<(i64, i64, u16, String)> = Vec::new();
    wait_for("two seconds after exp", Duration::from_secs(20), || {
        let before = now();
        let reply = server.playback(&embed, Some(&token));
        seen.push((before, now(), reply.status, reply.code()));
        before > exp + 1
    });
    for (before, after, status, code) in &seen {
        if *after < exp {
            assert_eq!(*status, 200, "refused before exp: {code}");
        }
        if *before >= exp {
            assert_eq!((*status, code.as_str()), (401, "playback_token_expired"));
        }
    }
    let changes = seen.windows(2).filter(|pair| pair[0].2 != pair[1].2).count();
    assert_eq!((changes, seen[0].2), (1, 200), "of {} answers", seen.len());
}

/// Texts as the libraries write them. `KID`, `SUB`, `IAT`, `EXP`, `NBF` are put in.
const LIBRARIES: [(&str, &str, &str); 19] = [
    ("Node jsonwebtoken", r#"{"alg":"HS256","typ":"JWT","kid":"KID"}"#, r#"{"sub":"SUB","iat":IAT,"exp":EXP}"#),
    (
        "Node jsonwebtoken, with options",
        r#"{"alg":"HS256","typ":"JWT","kid":"KID"}"#,
        r#"{"plan":"gold","nbf":NBF,"iat":IAT,"exp":EXP,"aud":"player","iss":"https://acme.com","sub":"SUB","jti":"1f"}"#,
    ),
    ("Node jose", r#"{"alg":"HS256","kid":"KID"}"#, r#"{"sub":"SUB","iat":IAT,"exp":EXP}"#),
    ("PyJWT 2", r#"{"alg":"HS256","kid":"KID","typ":"JWT"}"#, r#"{"sub":"SUB","iat":IAT,"exp":EXP}"#),
    ("PyJWT 1", r#"{"typ":"JWT","alg":"HS256","kid":"KID"}"#, r#"{"exp":EXP,"iat":IAT,"sub":"SUB"}"#),
    (
        "PyJWT with time.time()",
        r#"{"alg":"HS256","kid":"KID","typ":"JWT"}"#,
        r#"{"sub":"SUB","iat":IAT.5339842,"exp":EXP.5339842}"#,
    ),
    (
        "PyJWT with a name beyond ASCII",
        r#"{"alg":"HS256","kid":"KID","typ":"JWT"}"#,
        r#"{"sub":"SUB","iat":IAT,"exp":EXP,"name":"Andr\u00e9 \ud83c\udfac"}"#,
    ),
    (
        "Node jsonwebtoken with a name cut off inside a character",
        r#"{"alg":"HS256","typ":"JWT","kid":"KID"}"#,
        r#"{"name":"Jo\ud83d","sub":"SUB","iat":IAT,"exp":EXP}"#,
    ),
    (
        "Node jsonwebtoken with a tree",
        r#"{"alg":"HS256","typ":"JWT","kid":"KID"}"#,
        r#"{"a":{"a":[{"a":[{"a":[{"a":[{"a":[{"a":[{"a":[{"a":[{"a":[1]}]}]}]}]}]}]}]}]},"sub":"SUB","iat":IAT,"exp":EXP}"#,
    ),
    ("golang-jwt MapClaims", r#"{"alg":"HS256","kid":"KID","typ":"JWT"}"#, r#"{"exp":EXP,"iat":IAT,"sub":"SUB"}"#),
    (
        "golang-jwt RegisteredClaims",
        r#"{"alg":"HS256","kid":"KID","typ":"JWT"}"#,
        r#"{"iss":"https://acme.com?a=1\u0026b=2","sub":"SUB","aud":["player"],"exp":EXP,"nbf":NBF,"iat":IAT,"jti":"1f"}"#,
    ),
    (
        "golang-jwt with TimePrecision",
        r#"{"alg":"HS256","kid":"KID","typ":"JWT"}"#,
        r#"{"sub":"SUB","exp":EXP.123,"iat":IAT.123}"#,
    ),
    (
        "firebase/php-jwt",
        r#"{"typ":"JWT","alg":"HS256","kid":"KID"}"#,
        r#"{"iss":"https:\/\/acme.com","sub":"SUB","iat":IAT,"exp":EXP}"#,
    ),
    (
        "firebase/php-jwt with microtime()",
        r#"{"typ":"JWT","alg":"HS256","kid":"KID"}"#,
        r#"{"sub":"SUB","iat":IAT.1234,"exp":EXP.1234}"#,
    ),
    ("ruby-jwt", r#"{"kid":"KID","alg":"HS256"}"#, r#"{"sub":"SUB","iat":IAT,"exp":EXP}"#),
    ("ruby-jwt with typ", r#"{"typ":"jwt","kid":"KID","alg":"HS256"}"#, r#"{"exp":EXP,"sub":"SUB","iat":IAT}"#),
    ("java auth0", r#"{"kid":"KID","typ":"JWT","alg":"HS256"}"#, r#"{"sub":"SUB","aud":"player","exp":EXP,"iat":IAT}"#),
    ("java jjwt", r#"{"kid":"KID","alg":"HS256"}"#, r#"{"sub":"SUB","iat":IAT,"exp":EXP,"aud":["player"],"jti":"1f"}"#),
    (
        "pretty-printed, with everything",
        "{\r\n  \"typ\" : \"JWT\",\r\n  \"alg\" : \"HS256\",\r\n  \"kid\" : \"KID\"\r\n}",
        "\n {\t\"exp\" : EXP.0 ,\n \"iat\":IAT.0, \"nbf\": NBF.75, \"roles\":{\"a\":[1,null,true]}, \"sub\" : \"SUB\" }\n",
    ),
];

#[test]
fn tokens_as_the_libraries_make_them_are_accepted() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let at = now();
    for (library, header, claims) in LIBRARIES {
        let make = |iat: i64, exp: i64| {
            let claims = claims
                .replace("SUB", &video)
                .replace("IAT", &iat.to_string())
                .replace("EXP", &exp.to_string())
                .replace("NBF", &(iat - 30).to_string());
            sign_bytes(header.replace("KID", &server.kid).as_bytes(), claims.as_bytes(), server.secret.as_bytes())
        };
        let token = make(at, at + 300);
        let (api, page) = (server.playback(&embed, Some(&token)), server.embed_page(&embed, Some(&token)));
        assert_eq!((api.status, page.status), (200, 200), "{library}: {}", api.text());
        let past = server.playback(&embed, Some(&make(at - 300, at - 10)));
        assert_eq!((past.status, past.code().as_str()), (401, "playback_token_expired"), "{library}");
    }
}

#[test]
fn times_within_the_tolerance_are_accepted() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let (forge, at) = (Forge::new(&server), now());
    for (name, iat, exp, more) in [
        ("iat 30 s ahead", (at + 30).to_string(), (at + 300).to_string(), String::new()),
        ("iat long ago", (at - 86_000).to_string(), (at + 300).to_string(), String::new()),
        ("exp fractional", at.to_string(), format!("{}.5", at + 300), String::new()),
        ("exp in scientific notation", at.to_string(), format!("{:e}", at + 300), String::new()),
        ("nbf past", at.to_string(), (at + 300).to_string(), format!(",\"nbf\":{}", at - 1)),
        ("nbf 0", at.to_string(), (at + 300).to_string(), ",\"nbf\":0".into()),
        ("nbf 30 s ahead", at.to_string(), (at + 300).to_string(), format!(",\"nbf\":{}", at + 30)),
    ] {
        let claims = format!(r#"{{"sub":"{video}","iat":{iat},"exp":{exp}{more}}}"#);
        let header = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, server.kid);
        let token = sign_bytes(header.as_bytes(), claims.as_bytes(), server.secret.as_bytes());
        let reply = server.playback(&embed, Some(&token));
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
    }
    let escaped: String = forge.video.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    server.playback(&forge.embed, Some(&forge.sub(&format!("\"{escaped}\"")))).expect(200);
    assert_eq!(server.playback(&embed, Some(&sign(&server.kid, &server.secret, &Claims::of(&video)))).status, 200);
}
