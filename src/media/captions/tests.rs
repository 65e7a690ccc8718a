//! What is kept of captions, what is refused, and that nothing else gets through. Fixtures: `tests/fixtures/make.sh`.

use super::*;

const WEBVTT: &[u8] = include_bytes!("../../../tests/fixtures/captions.vtt");
const SUBRIP: &[u8] = include_bytes!("../../../tests/fixtures/captions.srt");
const CUE: &str = "00:01.000 --> 00:02.000\nHello\n";

fn read(text: &str) -> Result<String, CaptionsError> {
    read_captions(text.as_bytes())
}

/// What must hold of anything that is kept.
fn assert_kept_well(kept: &str) {
    assert!(kept.starts_with("WEBVTT\n") && kept.ends_with('\n'), "{kept:?}");
    assert!(!kept.contains(['\r', '\0']), "{kept:?}");
    if kept.len() <= MAX_CAPTIONS_BYTES {
        assert_eq!(read(kept).as_deref(), Ok(kept));
    }
}

#[test]
fn webvtt_passes_through() {
    let kept = read_captions(WEBVTT).unwrap();
    assert_eq!(kept.as_bytes(), WEBVTT);
    assert_kept_well(&kept);
}

#[test]
fn subrip_becomes_webvtt() {
    let kept = read_captions(SUBRIP).unwrap();
    let expected = "WEBVTT\n\n00:00:00.000 --> 00:00:00.900\n<b>One</b> &amp; <i>two</i>\n\
                    \n00:00:01.000 --> 00:00:01.900\nThree &lt;3\n1984\n";
    assert_eq!(kept, expected);
    assert_kept_well(&kept);
}

#[test]
fn every_block_of_webvtt_is_kept_as_it_is() {
    let blocks = "WEBVTT\nKind: captions\n\nNOTE see url(x)\n\nSTYLE\n::cue(b) { color: red }\n\n\
                  REGION\nid:fred\nwidth:40%\n\nintro\n00:00.000 --> 100:00:01.000 align:start line:0\n<v Ann>Hi &amp; <c.x>bye</c>\n\
                  \n\n1:00:00.000\t-->1:00:00.001\nSTYLE\nurl(x) is no style here\n\nstray line\n";
    assert_eq!(read(blocks).as_deref(), Ok(blocks));
}

#[test]
fn all_line_ends_a_byte_order_mark_and_a_comment_are_normalised() {
    let expected = format!("WEBVTT\n\n{CUE}");
    for end in ["\n", "\r\n", "\r"] {
        for head in ["WEBVTT", "WEBVTT made by hand", "WEBVTT\t"] {
            let text = format!("\u{feff}{head}\n\n{CUE}").replace('\n', end);
            assert_eq!(read(&text).as_deref(), Ok(&*expected), "{text:?}");
            assert_eq!(read(text.trim_end()).as_deref(), Ok(&*expected));
        }
    }
}

#[test]
fn other_encodings_are_refused_with_what_to_do() {
    assert_eq!(read_captions(b"\xff\xfeW\0E\0"), Err(CaptionsError::Utf16));
    assert_eq!(read_captions(b"\xfe\xff\0W\0E"), Err(CaptionsError::Utf16));
    assert!(CaptionsError::Utf16.to_string().contains("save the file as UTF-8"));
    let latin = b"WEBVTT\r\n\r\n00:01.000 --> 00:02.000\r\ncaf\xe9\r\n";
    assert_eq!(read_captions(latin), Err(CaptionsError::NotUtf8 { line: 4 }));
    assert_eq!(read(&format!("WEBVTT\n\n{CUE}\0")), Err(CaptionsError::NulCharacter { line: 5 }));
}

#[test]
fn what_is_neither_format_is_refused() {
    for text in
        ["<!doctype html>", "WEBVTTX\n\n00:01.000 --> 00:02.000\n", "[Script Info]\n", "webvtt\n\n", "{}", "7\n8\n"]
    {
        assert_eq!(read(text), Err(CaptionsError::NotCaptions), "{text:?}");
    }
    for text in ["", "\n\n", "7\n", "WEBVTT", "WEBVTT\n\nNOTE nothing\n"] {
        assert_eq!(read(text), Err(CaptionsError::NoCues), "{text:?}");
    }
}

#[test]
fn captions_at_the_limit_of_size_are_read_and_larger_ones_refused() {
    let mut text = format!("WEBVTT\n\n{CUE}");
    text.push_str(&"x".repeat(MAX_CAPTIONS_BYTES - text.len() - 1));
    text.push('\n');
    assert_eq!(read(&text).as_deref(), Ok(&*text));
    text.push('x');
    assert_eq!(read(&text), Err(CaptionsError::TooLarge));
}

#[test]
fn as_many_cues_as_allowed_are_read_and_one_more_is_refused() {
    let cue = "00:00.000 --> 00:01.000\n\n";
    for head in ["WEBVTT\n\n", ""] {
        assert!(read(&format!("{head}{}", cue.repeat(MAX_CUES))).is_ok());
        assert_eq!(read(&format!("{head}{}", cue.repeat(MAX_CUES + 1))), Err(CaptionsError::TooManyCues));
    }
}

#[test]
fn a_cue_that_does_not_end_after_it_begins_is_refused_by_its_line() {
    for times in ["00:02.000 --> 00:02.000", "00:00:02.000 --> 00:00:01.999"] {
        let refused = Err(CaptionsError::EndsBeforeStart { line: 6 });
        assert_eq!(read(&format!("WEBVTT\n\n{CUE}\n{times}\nx")), refused);
        assert_eq!(read(&format!("1\n{CUE}\n2\n{times}\nx")), Err(CaptionsError::EndsBeforeStart { line: 6 }));
    }
    assert!(read("WEBVTT\n\n00:02.000 --> 00:02.001\nx").is_ok());
}

#[test]
fn times_of_another_form_are_refused_by_their_line() {
    for times in [
        "00:00:01,000 --> 00:00:02,000",
        "1:02.000 --> 00:02.000",
        "00:60.000 --> 01:02.000",
        "60:00.000 --> 61:00.000",
        "00:01.00 --> 00:02.000",
        "00:01.000 --> 00:02.0000",
        "00:01.000 --> 00:02.000align:start",
        "00:01.000 --> 00:02.000 -->",
        "00000:00:01.000 --> 00000:00:02.000",
        "99999999999999999999:00:01.000 --> 99999999999999999999:00:02.000",
        "+0:00:01.000 --> 00:02.000",
        "-->",
        "NOTE 00:01.000 --> 00:02.000",
    ] {
        assert_eq!(read(&format!("WEBVTT\n\n{times}\nx\n")), Err(CaptionsError::BadTimes { line: 3 }), "{times}");
    }
    assert_eq!(read("1\n00:00:01;000 --> 00:00:02,000\nx"), Err(CaptionsError::BadTimes { line: 2 }));
    assert_eq!(read("00:00:01 --> 00:00:02\nx"), Err(CaptionsError::BadTimes { line: 1 }));
}

#[test]
fn a_style_that_would_ask_a_third_party_is_refused_however_it_is_spelled() {
    for css in [
        "::cue { background: url(https://x) }",
        "::cue { background: URL( 'https://x' ) }",
        "@import 'https://x';",
        "@IMPORT 'https://x';",
        "@\\69mport 'https://x';",
        "::cue { background: \\75 rl(https://x) }",
        "::cue { background: \\000075\nrl(https://x) }",
        "::cue { background: u\\rl(https://x) }",
        "/* \\*/::cue { background: url(https://x) }",
        "::cue { background: image-set('https://x' 1x) }",
    ] {
        let refused = Err(CaptionsError::ExternalStyle { line: 3 });
        assert_eq!(read(&format!("WEBVTT\n\nSTYLE\n{css}\n\n{CUE}")), refused, "{css}");
        assert_eq!(read(&format!("WEBVTT\r\rSTYLE \t\r{css}\r{CUE}")), refused, "{css}");
        let at_end = format!("WEBVTT\n\n{CUE}\nSTYLE\n{css}");
        assert_eq!(read(&at_end), Err(CaptionsError::ExternalStyle { line: 6 }), "{css}");
        let in_header = format!("WEBVTT\nSTYLE\n{css}\n\n{CUE}");
        assert_eq!(read(&in_header), Err(CaptionsError::ExternalStyle { line: 2 }), "{css}");
    }
    let harmless = format!("WEBVTT\n\nSTYLE\n::cue(.curl) {{ color: #f00 /* @media, import, an url */ }}\n\n{CUE}");
    assert_eq!(read(&harmless).as_deref(), Ok(&*harmless));
}

#[test]
fn subrip_text_cannot_end_its_cue_or_begin_another() {
    let text = "1\n00:00:01,000 --> 00:00:02,000 X1:0 X2:9\n{\\an8}<font color=\"red\">a --> b</FONT>\n\n<font>\n\n\
                --<font>>\n<<font>b>x\nSTYLE\n";
    let kept = "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\na --&gt; b\n--&gt;\n&lt;b&gt;x\nSTYLE\n";
    assert_eq!(read(text).as_deref(), Ok(kept));
    assert_kept_well(kept);
}

#[test]
fn tags_that_webvtt_has_are_kept_and_others_are_shown() {
    let text = "00:00:01,000 --> 00:00:02,000\n<B>x</B> <i>y</i> <u >z</u> <sigh> 1 < b > 2 {no} AT&T &amp; &#39;&#;\n";
    let kept = "<b>x</b> <i>y</i> <u>z</u> &lt;sigh&gt; 1 &lt; b &gt; 2 {no} AT&amp;T &amp; &#39;&amp;#;\n";
    assert_eq!(read(text).unwrap(), format!("WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n{kept}"));
}

#[test]
fn numbers_of_subrip_cues_are_told_from_text() {
    let first = "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n";
    let second = "\n00:01:00.000 --> 00:01:01.000\n";
    for (between, text) in [
        ("a\n\n2\n", "a\n"),
        ("a\n2\n", "a\n"),
        ("a\n\n", "a\n"),
        ("a\n\n2\n\n", "a\n"),
        ("42\n\n2\n", "42\n"),
        ("42\n\n", "42\n"),
        ("a\n42\n\n2\n", "a\n42\n"),
        ("a\n\n42\nb\n\n2\n", "a\n42\nb\n"),
        ("\n\n2\n", ""),
    ] {
        let subrip = format!("\u{feff}1\r\n0:00:01,000 --> 0:00:02.000\n{between}00:01:00,000-->00:01:01,000\n7");
        assert_eq!(read(&subrip).unwrap(), format!("{first}{text}{second}7\n"), "{between:?}");
    }
}

#[test]
fn a_file_of_brackets_takes_no_longer_than_another() {
    for part in ["<", "<b", "{\\", "&", "&#", ">"] {
        let head = "00:00:01,000 --> 00:00:02,000\n";
        let kept = read(&format!("{head}{}", part.repeat((MAX_CAPTIONS_BYTES - head.len()) / part.len()))).unwrap();
        assert!(kept.len() <= 5 * MAX_CAPTIONS_BYTES);
    }
}

#[test]
fn truncated_and_damaged_captions_are_refused_or_kept_well() {
    for file in [WEBVTT, SUBRIP] {
        for at in 0..file.len() {
            read_captions(&file[..at]).iter().for_each(|kept| assert_kept_well(kept));
            for flip in (0..8).map(|bit| 1 << bit).chain([0xff]) {
                let mut damaged = file.to_vec();
                damaged[at] ^= flip;
                read_captions(&damaged).iter().for_each(|kept| assert_kept_well(kept));
            }
        }
    }
}

#[test]
fn language_tags_that_are_safe_in_a_url_are_known() {
    for tag in [
        "en",
        "de-CH",
        "zh-Hant-TW",
        "es-419",
        "sl-rozaj-biske-1994",
        "de-CH-x-a",
        "abcdefgh-12345678-12345678-12345678",
    ] {
        assert!(is_language_tag(tag), "{tag}");
    }
    for tag in [
        "",
        "e",
        "abcdefghi",
        "e1",
        "en-",
        "-en",
        "en--US",
        "en_US",
        "en-123456789",
        "en-a-b-c-d",
        "en/..",
        "en US",
        "dé",
        "en-ü",
        "en\n",
        "..",
        "x-a",
    ] {
        assert!(!is_language_tag(tag), "{tag}");
    }
}
