//! What people call something.

use super::limits;

/// Whether a text may be a title, a label or a name: 1 to [`limits::NAME_CHARS`] characters, none of them control characters.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= limits::NAME_CHARS && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_to_two_hundred_characters_and_no_control_characters() {
        let longest = "ü".repeat(limits::NAME_CHARS);
        for (text, is_one) in
            [("", false), ("a", true), (&longest, true), (&format!("{longest}x"), false), ("a\nb", false)]
        {
            assert_eq!(is_name(text), is_one, "{text:?}");
        }
    }
}
