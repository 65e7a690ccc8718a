//! Names nobody knows: which key was probably meant, and whether the value may be a secret.
//!
//! Relies on the table of keys alone. Never sees a value.

use super::keys::{KEYS, Key};

/// Longest name worth comparing, in bytes; the longest real one has 32.
const NAME_MAX_BYTES: usize = 64;

/// Whether a name suggests that its value is a secret, so that the value must not be repeated.
pub(super) fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["key", "secret", "password", "passphrase", "token", "credential"].iter().any(|word| name.contains(word))
}

/// What is wrong with the unknown `name`, and what to write; `spell` is how the place spells a key.
pub(super) fn remedy_for_unknown(name: &str, spell: impl Fn(&'static Key) -> String) -> String {
    let file_of_secret = Key::named(&format!("{name}_file")).or_else(|| {
        let key = nearest(&format!("{name}_file")).filter(|key| key.name.ends_with("key_file"));
        key.filter(|_| sounds_secret(name) && nearest(name).is_none())
    });
    if let Some(key) = file_of_secret {
        return format!("is not a known key; secrets are given as files: use {}", spell(key));
    }
    match nearest(name) {
        Some(key) => format!("is not a known key; did you mean {}?", spell(key)),
        None => "is not a known key; remove it (config.example.toml lists every key)".to_owned(),
    }
}

/// The known key that `name` probably means: the same key in another section, or a few letters away.
fn nearest(name: &str) -> Option<&'static Key> {
    if name.len() > NAME_MAX_BYTES {
        return None;
    }
    let name = name.to_ascii_lowercase().replace('-', "_");
    let last = name.rsplit('.').next().unwrap_or(&name);
    if let Some(key) = KEYS.iter().find(|key| key.parts().1 == last) {
        return Some(key);
    }
    let tolerance = (name.len() / 4).min(3);
    KEYS.iter()
        .map(|key| (distance(&name, key.name), key))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= tolerance)
        .map(|(_, key)| key)
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (pair, right) in row.windows(2).zip(&b) {
            let &[diagonal, above] = pair else { continue };
            let before = next.last().copied().unwrap_or_default();
            next.push((diagonal + usize::from(left != *right)).min(above + 1).min(before + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remedy(name: &str) -> String {
        remedy_for_unknown(name, |key| key.name.to_owned())
    }

    #[test]
    fn distance_counts_single_changes() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn the_nearest_key_is_suggested_for_a_slip() {
        for (written, meant) in [
            ("server.lisen", "server.listen"),
            ("sevrer.listen", "server.listen"),
            ("Server.Listen", "server.listen"),
            ("listen", "server.listen"),
            ("server.max-connections", "server.max_connections"),
            ("server.static_dir", "ui.static_dir"),
            ("server.tls.certificate_file", "server.tls_certificate_file"),
            ("log.levl", "log.level"),
        ] {
            assert_eq!(remedy(written), format!("is not a known key; did you mean {meant}?"), "{written}");
        }
    }

    #[test]
    fn nothing_is_suggested_for_a_name_that_is_like_none() {
        for written in ["database.url", "x", "", &"server.listen".repeat(1000)] {
            assert!(remedy(written).contains("remove it"), "{written}");
        }
    }

    #[test]
    fn a_secret_in_the_configuration_is_answered_with_the_key_of_its_file() {
        for (written, meant) in [
            ("state.master_key", "state.master_key_file"),
            ("server.tls_key", "server.tls_key_file"),
            ("state.masterkey", "state.master_key_file"),
        ] {
            let expected = format!("is not a known key; secrets are given as files: use {meant}");
            assert_eq!(remedy(written), expected, "{written}");
        }
    }
}
