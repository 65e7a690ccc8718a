//! `Range` and the conditional headers, a line each.

use screener::domain::Timestamp;
use screener::http::conditional::{Conditions, Validators, Verdict};
use screener::http::range::{Wanted, wanted};

/// What headers begin with: `Range`, `If-Match`, `If-None-Match`, `If-Modified-Since`, `If-Unmodified-Since`, `If-Range`.
pub const SEEDS: &[&[u8]] = &[
    b"bytes=0-499\n\"a\", W/\"b\"\n*\nSun, 06 Nov 1994 08:49:37 GMT\nSunday, 06-Nov-94 08:49:37 GMT\n\"a\"",
    b"bytes=-500\n\n\n\n\nSun Nov  6 08:49:37 1994",
    b"BYTES=18446744073709551615-18446744073709551616\n\"a\"\n\"a\"",
    b"bytes=0-1,5-6\n*\nW/\"a\"\n\n\nW/\"a\"",
    b"bytes= 9999999- \n\"\n\\\n0\n-1\n9",
];

const LENGTHS: [u64; 5] = [0, 1, 500, 10_000_000, u64::MAX];

/// Checks one request's headers.
pub fn hold(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lines: Vec<&str> = text.split('\n').collect();
    let line = |number: usize| lines.get(number).copied().filter(|line| !line.is_empty());
    for length in LENGTHS {
        match wanted(line(0), length) {
            Wanted::Whole => {}
            Wanted::Part(part) => assert!(part.start < part.end && part.end <= length, "{part:?} of {length}"),
            // Only a range in bytes can be beyond the end.
            Wanted::Unsatisfiable => {
                let unit = line(0).and_then(|header| header.split_once('=')).map(|(unit, _)| unit.trim());
                assert!(unit.is_some_and(|unit| unit.eq_ignore_ascii_case("bytes")), "{:?}", line(0));
            }
        }
    }
    let validators = Validators { etag: "\"a\"".into(), last_modified: Some(Timestamp::from_secs(784_111_777)) };
    let conditions = Conditions {
        if_match: line(1),
        if_none_match: line(2),
        if_modified_since: line(3),
        if_unmodified_since: line(4),
        if_range: line(5),
    };
    let verdict = validators.evaluate(&conditions);
    // RFC 9110 §13.2.2: without If-Match and If-Unmodified-Since nothing fails, without the others nothing is unchanged.
    assert!(verdict != Verdict::Failed || line(1).is_some() || line(4).is_some());
    assert!(verdict != Verdict::NotModified || line(2).is_some() || line(3).is_some());
    // Neither a weak tag nor a date is good enough to continue a download by.
    if line(5).is_some_and(|value| value != "\"a\"") {
        assert!(!validators.admits_range(&conditions));
    }
}
