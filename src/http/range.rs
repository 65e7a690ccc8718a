//! One byte range of a request (RFC 9110 §14.1.2, §14.2).

use std::ops::Range;

/// What a `Range` header asks of a representation of known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The whole representation: no header, one that is not ours to read, or several ranges.
    Whole,
    /// These bytes, never empty.
    Part(Range<u64>),
    /// Nothing that exists.
    Unsatisfiable,
}

/// Reads a `Range` header. An invalid one is ignored, as RFC 9110 §14.2 has it; several ranges get the whole
/// representation, so that no request makes us send more than one copy.
pub fn wanted(header: Option<&str>, length: u64) -> Wanted {
    let Some(header) = header else { return Wanted::Whole };
    let Some((unit, set)) = header.split_once('=') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    // A list may have empty elements (RFC 9110 §5.6.1.2).
    let mut specs = set.split(',').map(|spec| spec.trim_matches([' ', '\t'])).filter(|spec| !spec.is_empty());
    let (Some(spec), None) = (specs.next(), specs.next()) else { return Wanted::Whole };
    let Some((first, last)) = spec.split_once('-') else { return Wanted::Whole };
    match (position(first), position(last)) {
        (Some(Position::Absent), Some(Position::At(suffix))) => {
            if suffix == 0 || length == 0 {
                Wanted::Unsatisfiable
            } else {
                Wanted::Part(length.saturating_sub(suffix)..length)
            }
        }
        (Some(Position::At(first)), Some(Position::Absent)) => from(first, length, length),
        (Some(Position::At(first)), Some(Position::At(last))) if first <= last => {
            from(first, last.saturating_add(1).min(length), length)
        }
        _ => Wanted::Whole,
    }
}

enum Position {
    Absent,
    At(u64),
}

/// Digits alone; more than fit in 64 bits mean "beyond any end".
fn position(text: &str) -> Option<Position> {
    if text.is_empty() {
        return Some(Position::Absent);
    }
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Position::At(text.parse().unwrap_or(u64::MAX)))
}

fn from(first: u64, end: u64, length: u64) -> Wanted {
    if first < length { Wanted::Part(first..end) } else { Wanted::Unsatisfiable }
}

#[cfg(test)]
mod tests {
    use super::{Wanted, wanted};

    #[test]
    fn a_range_is_read_as_rfc_9110_says() {
        let n = 10_000_000;
        let part = |range| Wanted::Part(range);
        for (header, expected) in [
            ("bytes=0-0", part(0..1)),
            ("bytes=0-", part(0..n)),
            ("bytes=0-9999999", part(0..n)),
            ("bytes=0-99999999", part(0..n)),
            ("bytes=0-18446744073709551615", part(0..n)),
            ("bytes=0-18446744073709551616", part(0..n)),
            ("bytes=-1", part(n - 1..n)),
            ("bytes=-500", part(n - 500..n)),
            ("bytes=-10000001", part(0..n)),
            ("bytes=9999999-", part(n - 1..n)),
            ("BYTES=0-1", part(0..2)),
            ("bytes= 0-1", part(0..2)),
            ("bytes=0-1 ,", part(0..2)),
            ("bytes=,0-1", part(0..2)),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=10000000-", Wanted::Unsatisfiable),
            ("bytes=10000000-10000001", Wanted::Unsatisfiable),
            ("bytes=18446744073709551616-", Wanted::Unsatisfiable),
        ] {
            assert_eq!(wanted(Some(header), n), expected, "{header}");
        }
        for header in [
            "bytes=5-4",
            "bytes=abc",
            "bytes=",
            "",
            "bytes=1",
            "bytes=0-1-2",
            "bytes=--1",
            "bytes=+1-2",
            "bytes=0x1-2",
            "bytes=1-a",
            "bytes 0-1",
            "items=0-1",
            "seconds=1-2",
            "bytes=0 - 1",
            "bytes=0-1,5-6",
            "bytes=10000000-,0-1",
            "bytes=-",
        ] {
            assert_eq!(wanted(Some(header), n), Wanted::Whole, "{header}");
        }
        assert_eq!(wanted(None, n), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
        assert_eq!(wanted(Some("bytes=-1"), 0), Wanted::Unsatisfiable);
    }
}
