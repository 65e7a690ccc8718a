//! What is wrong with a configuration, where it was written and how to put it right.
//!
//! Relies on nothing. Never holds a secret: values under names that look like secrets are left out by the caller.

use std::fmt;
use std::path::PathBuf;

/// Most problems reported at once; a file with more is some other file.
pub(super) const PROBLEMS_MAX: usize = 100;

/// Longest part of a refused value that is repeated, in characters: enough to find it, too short to flood a log.
const VALUE_SHOWN_CHARS: usize = 100;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nowhere: the built-in default is in force.
    Default,
    /// In this configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Where in it, counted from 1; `None` for the file as a whole, and for a key spelled in a way not looked for.
        line: Option<usize>,
    },
    /// In the environment variable of this name.
    Environment(String),
    /// Not known: the configuration was handed over as a struct.
    InForce,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: None } => write!(f, "file {}", path.display()),
            Self::File { path, line: Some(line) } => write!(f, "file {}, line {line}", path.display()),
            // The name of a variable is whatever somebody set.
            Self::Environment(variable) => write!(f, "environment {}", shown(variable)),
            Self::InForce => f.write_str("configuration in force"),
        }
    }
}

/// One thing that is wrong, with its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The dotted key, such as `server.listen`; empty when the whole source is at fault.
    pub key: String,
    /// The value as TOML, cut to 100 characters; empty when there is none, `(not shown)` where it may be a secret.
    pub value: String,
    /// Where it was written.
    pub source: Source,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl Problem {
    /// A problem of one key's value.
    pub(super) fn of_key(key: &str, value: &str, source: Source, message: impl Into<String>) -> Self {
        Self { key: shown(key), value: shown(value), source, message: message.into() }
    }

    /// A problem of a source as a whole.
    pub(super) fn of_source(source: Source, message: impl Into<String>) -> Self {
        Self::of_key("", "", source, message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            return write!(f, "{}: {}", self.source, self.message);
        }
        f.write_str(&self.key)?;
        if !self.value.is_empty() {
            write!(f, " = {}", self.value)?;
        }
        write!(f, " (from {}): {}", self.source, self.message)
    }
}

impl std::error::Error for Problem {}

/// `text` in at most [`VALUE_SHOWN_CHARS`] characters, without control characters.
fn shown(text: &str) -> String {
    let mut short: String =
        text.chars().take(VALUE_SHOWN_CHARS).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(VALUE_SHOWN_CHARS).is_some() {
        short.pop();
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_key_value_source_and_remedy() {
        let file = |line| Source::File { path: "F".into(), line };
        let problem = Problem::of_key("server.listen", "\"x\"", file(Some(3)), "is not A; write B");
        assert_eq!(problem.to_string(), "server.listen = \"x\" (from file F, line 3): is not A; write B");
        let problem = Problem::of_source(file(None), "does not exist");
        assert_eq!(problem.to_string(), "file F: does not exist");
    }

    #[test]
    fn a_long_value_is_cut_to_100_characters() {
        let problem = Problem::of_key("k", &"é".repeat(300), Source::Default, "m");
        assert_eq!(problem.value.chars().count(), 100);
        assert!(problem.value.ends_with('…'));
    }
}
