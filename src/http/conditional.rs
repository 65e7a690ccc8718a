//! Conditional requests (RFC 9110 §13), for representations that never change under their entity tag.

use crate::domain::Timestamp;
use httpdate::HttpDate;
use std::time::{Duration, UNIX_EPOCH};

/// What a representation is compared by.
pub struct Validators {
    /// Strong entity tag, quotes included.
    pub etag: String,
    /// When it was stored, in whole seconds; `None` where its name may stand for something else within that second, or
    /// for something older later.
    pub last_modified: Option<Timestamp>,
}

/// The request's conditional headers, each as received.
#[derive(Default)]
pub struct Conditions<'a> {
    /// `If-Match`
    pub if_match: Option<&'a str>,
    /// `If-None-Match`
    pub if_none_match: Option<&'a str>,
    /// `If-Modified-Since`
    pub if_modified_since: Option<&'a str>,
    /// `If-Unmodified-Since`
    pub if_unmodified_since: Option<&'a str>,
    /// `If-Range`
    pub if_range: Option<&'a str>,
}

/// What the conditions say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer as if there were none.
    Proceed,
    /// 304
    NotModified,
    /// 412
    Failed,
}

impl Validators {
    /// Evaluates everything but `If-Range`, in the order of RFC 9110 §13.2.2, for GET and HEAD. Without a date of its own a
    /// representation ignores those of the request (§13.1.3, §13.1.4).
    pub fn evaluate(&self, conditions: &Conditions<'_>) -> Verdict {
        if let Some(list) = conditions.if_match {
            if !self.is_listed(list, Comparison::Strong) {
                return Verdict::Failed;
            }
        } else if let Some(date) = conditions.if_unmodified_since.and_then(seconds_of)
            && self.last_modified.is_some_and(|at| at.secs() > date)
        {
            return Verdict::Failed;
        }
        if let Some(list) = conditions.if_none_match {
            if self.is_listed(list, Comparison::Weak) {
                return Verdict::NotModified;
            }
        } else if let Some(date) = conditions.if_modified_since.and_then(seconds_of)
            && self.last_modified.is_some_and(|at| at.secs() <= date)
        {
            return Verdict::NotModified;
        }
        Verdict::Proceed
    }

    /// Whether a `Range` may be honoured (RFC 9110 §13.1.5): the validator must match exactly and strongly. A date never
    /// does: it is strong only where the answer that told it came a second later (§8.8.2.2), which nobody knows any more.
    pub fn admits_range(&self, conditions: &Conditions<'_>) -> bool {
        conditions.if_range.is_none_or(|value| value == self.etag)
    }

    fn is_listed(&self, list: &str, comparison: Comparison) -> bool {
        if list.trim() == "*" {
            return true;
        }
        tags(list).any(|(weak, tag)| tag == self.etag && !(weak && comparison == Comparison::Strong))
    }
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Comparison {
    Strong,
    Weak,
}

/// The entity tags of a list, each with whether it is weak. Stops at what is no tag.
fn tags(list: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (weak, after) = rest.strip_prefix("W/").map_or((false, rest), |after| (true, after));
        let inner = after.strip_prefix('"')?;
        let end = inner.find('"')?;
        let tag = after.get(..end + 2)?;
        rest = after.get(end + 2..)?;
        Some((weak, tag))
    })
}

/// A time as it stands in a header (RFC 9110 §5.6.7).
pub fn http_date(at: Timestamp) -> String {
    let seconds = u64::try_from(at.secs()).unwrap_or(0);
    HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

fn seconds_of(date: &str) -> Option<i64> {
    let at = httpdate::parse_http_date(date).ok()?;
    i64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::{Conditions, Validators, Verdict, http_date};
    use crate::domain::Timestamp;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn validators() -> Validators {
        Validators { etag: "\"a\"".into(), last_modified: Some(Timestamp::from_millis(784_111_777_500)) }
    }

    #[expect(clippy::needless_pass_by_value, reason = "each test writes its conditions where it calls this")]
    fn verdict(conditions: Conditions<'_>) -> Verdict {
        validators().evaluate(&conditions)
    }

    #[test]
    fn if_match_compares_strongly_and_goes_first() {
        for (list, expected) in [
            ("\"a\"", Verdict::Proceed),
            ("\"b\", \"a\"", Verdict::Proceed),
            ("*", Verdict::Proceed),
            ("\"b\"", Verdict::Failed),
            ("W/\"a\"", Verdict::Failed),
            ("a", Verdict::Failed),
        ] {
            assert_eq!(verdict(Conditions { if_match: Some(list), ..Conditions::default() }), expected, "{list}");
        }
        let both = Conditions { if_match: Some("\"b\""), if_none_match: Some("\"a\""), ..Conditions::default() };
        assert_eq!(verdict(both), Verdict::Failed);
        let over = Conditions { if_match: Some("\"a\""), if_unmodified_since: Some(BEFORE), ..Conditions::default() };
        assert_eq!(verdict(over), Verdict::Proceed);
    }

    #[test]
    fn if_none_match_compares_weakly_and_hides_if_modified_since() {
        for (list, expected) in [
            ("\"a\"", Verdict::NotModified),
            ("W/\"a\"", Verdict::NotModified),
            ("\"b\" , W/\"a\"", Verdict::NotModified),
            ("*", Verdict::NotModified),
            ("\"b\"", Verdict::Proceed),
            ("\"a", Verdict::Proceed),
        ] {
            assert_eq!(verdict(Conditions { if_none_match: Some(list), ..Conditions::default() }), expected, "{list}");
        }
        let over = Conditions { if_none_match: Some("\"b\""), if_modified_since: Some(AFTER), ..Conditions::default() };
        assert_eq!(verdict(over), Verdict::Proceed);
    }

    #[test]
    fn dates_are_compared_in_whole_seconds() {
        for (date, since, unmodified) in [
            (BEFORE, Verdict::Proceed, Verdict::Failed),
            (SAME, Verdict::NotModified, Verdict::Proceed),
            (AFTER, Verdict::NotModified, Verdict::Proceed),
            ("yesterday", Verdict::Proceed, Verdict::Proceed),
        ] {
            assert_eq!(verdict(Conditions { if_modified_since: Some(date), ..Conditions::default() }), since, "{date}");
            let condition = Conditions { if_unmodified_since: Some(date), ..Conditions::default() };
            assert_eq!(verdict(condition), unmodified, "{date}");
        }
        assert_eq!(validators().last_modified.map(http_date).as_deref(), Some(SAME));
    }

    #[test]
    fn what_has_no_date_ignores_those_of_a_request() {
        let undated = Validators { last_modified: None, ..validators() };
        for date in [BEFORE, SAME, AFTER] {
            for conditions in [
                Conditions { if_modified_since: Some(date), ..Conditions::default() },
                Conditions { if_unmodified_since: Some(date), ..Conditions::default() },
            ] {
                assert_eq!(undated.evaluate(&conditions), Verdict::Proceed, "{date}");
            }
        }
    }

    #[test]
    fn if_range_takes_the_very_tag_alone() {
        for (value, expected) in [
            ("\"a\"", true),
            (SAME, false),
            ("\"b\"", false),
            ("W/\"a\"", false),
            (BEFORE, false),
            (AFTER, false),
            ("garbage", false),
        ] {
            let conditions = Conditions { if_range: Some(value), ..Conditions::default() };
            assert_eq!(validators().admits_range(&conditions), expected, "{value}");
        }
        assert!(validators().admits_range(&Conditions::default()));
    }
}
