//! Numbers and names as playlists and manifests write them.

use std::fmt::Write;

const MICROS_PER_S: u64 = 1_000_000;

/// A time in units of `timescale`, in microseconds, rounded down. Durations are differences of two such times, so that
/// a sum of them is off by a microsecond at most, however many they are.
pub(super) fn to_micros(time: u64, timescale: u32) -> u64 {
    let timescale = u64::from(timescale.max(1));
    // The rest is below 2³², a million below 2²⁰: their product fits.
    let rest = (time % timescale).saturating_mul(MICROS_PER_S) / timescale;
    (time / timescale).saturating_mul(MICROS_PER_S).saturating_add(rest)
}

/// Microseconds as seconds rounded to the nearest whole number.
pub(super) fn to_rounded_seconds(micros: u64) -> u64 {
    micros.saturating_add(MICROS_PER_S / 2) / MICROS_PER_S
}

/// Writes microseconds as seconds with as many decimals as they need.
pub(super) fn push_seconds(text: &mut String, micros: u64) {
    push_number(text, micros / MICROS_PER_S);
    let (mut fraction, mut digits) = (micros % MICROS_PER_S, 6);
    if fraction == 0 {
        return;
    }
    while fraction % 10 == 0 {
        fraction /= 10;
        digits -= 1;
    }
    // Writing to a string can't fail.
    let _ = write!(text, ".{fraction:0digits$}");
}

/// Writes a number.
pub(super) fn push_number(text: &mut String, number: u64) {
    let _ = write!(text, "{number}");
}

/// `text` without whatever some parser takes for the end of a line, and without what XML can't hold.
pub(super) fn on_one_line(text: &str) -> String {
    let breaks = |one: char| one.is_control() || matches!(one, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}');
    text.replace(breaks, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(micros: u64) -> String {
        let mut text = String::new();
        push_seconds(&mut text, micros);
        text
    }

    #[test]
    fn seconds_have_the_decimals_that_they_need() {
        let expected = [(0, "0"), (1, "0.000001"), (2_000_000, "2"), (2_002_000, "2.002"), (61_500_000, "61.5")];
        for (micros, text) in expected {
            assert_eq!(seconds(micros), text);
        }
    }

    #[test]
    fn times_are_rounded_down_and_never_overflow() {
        assert_eq!((to_micros(10, 3), to_micros(48_048, 24_000), to_micros(7, 0)), (3_333_333, 2_002_000, 7_000_000));
        assert_eq!(to_micros(u64::MAX, 1), u64::MAX);
        let last = u64::from(u32::MAX) - 1;
        assert_eq!(to_micros(last, u32::MAX), 999_999);
    }

    #[test]
    fn seconds_are_rounded_as_the_target_duration_wants_it() {
        assert_eq!([2_499_999, 2_500_000, 0].map(to_rounded_seconds), [2, 3, 0]);
    }
}
