//! Renders `config.example.toml` from the table of keys, so that the file cannot say anything else than the code.
//!
//! Relies on the table alone. Never writes a file.

use super::keys::{Form, KEYS, Key, Preset};

/// Width of comment lines, in characters.
const WIDTH: usize = 100;

/// What the example file opens with.
const HEAD: &str = "Screener's configuration. Every key is here, commented out at its default, or at an example where \
    it says what happens when not set. Remove the # in front of a key to set it. A file with no keys is a valid one.";

/// How the rest is to be read.
const RULES: &str = "An environment variable SCREENER__SECTION__KEY, such as SCREENER__SERVER__LISTEN, overrides the \
    file. A name that is no key is an error, in the file as in the environment. Relative paths start at the directory \
    of this file. No key holds a secret: secrets are files, and keys name them. Before a restart run screener \
    check-config; with --print it shows each value in force and where it came from. A reload (SIGHUP) takes over the \
    certificate, [limits], log.level and server.trusted_proxies; what else has changed waits for a restart, and the log \
    names it.";

/// The example file: every key commented out at its default, under its meaning, unit and reason.
pub fn render_example() -> String {
    let mut lines = wrapped(HEAD);
    lines.push("#".to_owned());
    lines.extend(wrapped(RULES));
    let mut section_above = "";
    for key in &KEYS {
        let (section, name) = key.parts();
        lines.push(String::new());
        if section != section_above {
            lines.extend([format!("[{section}]"), String::new()]);
            section_above = section;
        }
        lines.extend(wrapped(key.meaning));
        lines.extend(wrapped(&facts(key)));
        lines.extend(wrapped(&format!("Why: {}", key.reason)));
        let (Preset::Value(literal) | Preset::Unset { example: literal, .. }) = key.preset;
        lines.push(format!("# {name} = {literal}"));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Unit and range or form, and what happens without the key.
fn facts(key: &Key) -> String {
    let unit = key.unit;
    let facts = match key.form {
        Form::Integer { min, max } => format!("Unit: {unit}; from {min} to {max}."),
        Form::Flag | Form::Text | Form::Path | Form::List => format!("Value: {unit}."),
    };
    match key.preset {
        Preset::Value(_) => facts,
        Preset::Unset { otherwise, .. } => format!("{facts} When not set: {otherwise}."),
    }
}

/// `text` as comment lines of at most [`WIDTH`] characters.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, String::from("#")));
        }
        line.push(' ');
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Source};
    use super::*;
    use std::collections::BTreeSet;

    /// The file in the repository with the lines of `uncommented` keys made real.
    fn example_with(uncommented: impl Fn(&Key) -> bool) -> String {
        let assignments: BTreeSet<String> = KEYS
            .iter()
            .filter(|key| uncommented(key))
            .map(|key| {
                let (Preset::Value(literal) | Preset::Unset { example: literal, .. }) = key.preset;
                format!("{} = {literal}", key.parts().1)
            })
            .collect();
        let real = |line: &'static str| line.strip_prefix("# ").filter(|rest| assignments.contains(*rest));
        let lines = include_str!("../../config.example.toml").lines();
        lines.map(|line| real(line).unwrap_or(line)).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_example_file_is_what_the_table_renders() {
        // After a change of the table: SCREENER_BLESS=1 cargo test the_example_file, then read the difference.
        if std::env::var_os("SCREENER_BLESS").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml"), render_example()).unwrap();
        }
        assert_eq!(include_str!("../../config.example.toml"), render_example());
    }

    #[test]
    fn no_line_of_the_example_is_wider_than_100_columns() {
        for line in render_example().lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }

    #[test]
    fn the_example_with_every_default_uncommented_is_the_default_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, example_with(|key| matches!(key.preset, Preset::Value(_)))).unwrap();
        let loaded = Config::load(Some(&file), []).unwrap();
        let default = Config::load(None, []).unwrap();
        assert_eq!(format!("{:?}", loaded.config), format!("{:?}", default.config));
        for key in &KEYS {
            let written = matches!(key.preset, Preset::Value(_));
            assert_eq!(loaded.source(key.name) != Source::Default, written, "{}", key.name);
        }
    }

    #[test]
    fn every_example_value_is_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, example_with(|_| true)).unwrap();
        let loaded = Config::load(Some(&file), []).unwrap();
        assert_eq!(loaded.config.server.public_url, "https://video.example.com");
        assert_eq!(loaded.config.state.master_key_file, Config::load(None, []).unwrap().config.state.master_key_file);
        assert!(KEYS.iter().all(|key| loaded.source(key.name) != Source::Default));
    }
}
