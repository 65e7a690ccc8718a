//! Captions and pictures: refused with a reason, or of a form that browsers take.

use screener::media::{SegmentIndex, is_language_tag, read_captions, read_picture};

/// What captions and pictures begin with.
pub const SEEDS: &[&[u8]] = &[
    include_bytes!("../../tests/fixtures/captions.srt"),
    include_bytes!("../../tests/fixtures/captions.vtt"),
    include_bytes!("../../tests/fixtures/poster.avif"),
    include_bytes!("../../tests/fixtures/poster.jpg"),
    include_bytes!("../../tests/fixtures/poster.png"),
    include_bytes!("../../tests/fixtures/poster.webp"),
    b"WEBVTT\n\nSTYLE\n::cue { background: \\75rl(https://example.com/x) }\n\n1\n00:01.000 --> 00:02.000\n<b>A</b> &amp; B\n",
    b"1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Hello</i>\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\nBye & bye\r\n",
    b"pt-BR",
    b"SIX2",
];

/// Checks one upload as all of them.
pub fn hold(upload: &[u8]) {
    match read_captions(upload) {
        Ok(text) => {
            assert!(text.starts_with("WEBVTT"), "{text:?}");
            // What was taken once is taken again, unchanged.
            assert_eq!(read_captions(text.as_bytes()).as_deref().ok(), Some(text.as_str()));
        }
        Err(reason) => assert!(!reason.to_string().is_empty()),
    }
    match read_picture(upload) {
        Ok(picture) => assert!(picture.width_px > 0 && picture.height_px > 0),
        Err(reason) => assert!(!reason.to_string().is_empty()),
    }
    if let Ok(text) = std::str::from_utf8(upload)
        && is_language_tag(text)
    {
        // It becomes a part of file names and addresses.
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{text:?}");
    }
    if let Some(index) = SegmentIndex::decode(upload) {
        assert_eq!(SegmentIndex::decode(&index.encode()), Some(index));
    }
}
