//! The playback answer: every member that section 3 of the contract promises, from the API and inside the embed page.

use crate::support::{Server, now};
use serde_json::Value;

/// Every member that section 3 promises, with its type.
const SHAPE: [(&str, &str); 39] = [
    ("/embedId", "id"),
    ("/videoId", "id"),
    ("/title", "string"),
    ("/visibility", "string"),
    ("/durationSeconds", "number"),
    ("/isVertical", "boolean"),
    ("/videoWidthPx", "number"),
    ("/videoHeightPx", "number"),
    ("/playback", "object"),
    ("/playback/uri", "url"),
    ("/playback/contentType", "string"),
    ("/playback/expiresAt", "time"),
    ("/playback/refreshAfter", "time"),
    ("/playback/requestHeaders", "object"),
    ("/variants", "array"),
    ("/variants/0/id", "id"),
    ("/variants/0/kind", "string"),
    ("/variants/0/label", "string"),
    ("/variants/0/durationSeconds", "number"),
    ("/variants/0/uri", "url"),
    ("/variants/0/contentType", "string"),
    ("/session", "object"),
    ("/session/id", "id"),
    ("/session/renewUri", "url"),
    ("/session/renewToken", "string"),
    ("/session/endsAt", "time"),
    ("/posterUrl", "url or null"),
    ("/captions", "array"),
    ("/storyboardUrl", "url or null"),
    ("/branding", "object"),
    ("/branding/organizationName", "string"),
    ("/branding/primaryColor", "string or null"),
    ("/branding/showWatermark", "boolean"),
    ("/controls", "object"),
    ("/controls/autoplay", "boolean"),
    ("/controls/muted", "boolean"),
    ("/controls/loop", "boolean"),
    ("/controls/rememberPosition", "boolean"),
    ("/controls/showSpeed", "boolean"),
];

/// Checks an answer against the shape; URLs begin with `base`.
fn check_shape(answer: &Value, base: &str) {
    for (member, kind) in SHAPE {
        let value = answer.pointer(member).unwrap_or_else(|| panic!("{member} is missing: {answer}"));
        let text = value.as_str();
        let fits = match kind {
            "string" => text.is_some_and(|text| !text.is_empty()),
            "string or null" => value.is_null() || value.is_string(),
            "number" => value.as_f64().is_some_and(|number| number > 0.0),
            "boolean" => value.is_boolean(),
            "object" => value.is_object(),
            "array" => value.is_array(),
            "id" => text.is_some_and(|text| text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()),
            "url" => text.is_some_and(|text| text.strip_prefix(base).is_some_and(|path| path.starts_with('/'))),
            "url or null" => value.is_null() || text.is_some_and(|text| text.starts_with(base)),
            "time" => text.is_some_and(|text| seconds_of(text) >= now()),
            kind => panic!("no such kind: {kind}"),
        };
        assert!(fits, "{member} is no {kind}: {value}");
    }
}

/// Seconds since the epoch of an RFC 3339 text that ends with `Z`.
fn seconds_of(text: &str) -> i64 {
    assert!(text.ends_with('Z'), "{text}");
    let format = &time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(text, format).unwrap().unix_timestamp()
}

#[test]
fn the_playback_answer_has_every_member_of_the_contract() {
    let server = Server::start();
    for visibility in ["private", "public"] {
        let (video, embed) = server.video(visibility);
        let token = server.token(&video);
        let before = now();
        let reply = server.playback(&embed, Some(&token)).expect(200);
        assert!(reply.header("content-type").unwrap().starts_with("application/json"));
        let answer = reply.json();
        check_shape(&answer, &server.base_url);
        assert_eq!(answer["embedId"], *embed);
        assert_eq!(answer["videoId"], *video);
        assert_eq!(answer["title"], "A test video");
        assert_eq!(answer["visibility"], visibility);
        assert!(["hls", "mp4"].contains(&answer["playback"]["contentType"].as_str().unwrap()));
        let time = |pointer: &str| seconds_of(answer.pointer(pointer).unwrap().as_str().unwrap());
        let (expires, refresh) = (time("/playback/expiresAt"), time("/playback/refreshAfter"));
        assert!((before + 300..=now() + 300).contains(&expires), "assetUrlTtl is 300 s at first");
        assert!(before < refresh && refresh < expires);
        assert!(
            (before + 43_200..=now() + 43_200).contains(&time("/session/endsAt")),
            "sessionMaxAge is 12 h at first"
        );
        let uri = answer["playback"]["uri"].as_str().unwrap();
        assert!(uri.contains(&format!("/media/{video}/")));
        server.get(uri).expect(200);
        server.get(answer["variants"][0]["uri"].as_str().unwrap()).expect(200);
        assert!(!answer.to_string().contains(&server.secret) && !answer.to_string().contains(&token));

        let page = server.embed_page(&embed, Some(&token)).expect(200).text();
        let carried = page.split("<script type=\"application/json\" id=\"playback\">").nth(1).unwrap();
        let carried: Value = serde_json::from_str(carried.split("</script>").next().unwrap()).unwrap();
        check_shape(&carried, "");
        assert_eq!(carried["videoId"], *video);
        assert!(!page.contains(&token), "the page repeats the token");
    }
}
