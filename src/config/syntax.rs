//! Turns the TOML parser's error into a problem that names line and key.
//!
//! Relies on the wording of `toml` 1.x, checked by tests. Never repeats the line itself: it may hold a secret.

use super::problem::{Problem, Source};
use ::config::ConfigError;
use std::collections::BTreeMap;

/// The problem behind `error`, which parsing `text` gave.
pub(super) fn problem(error: &ConfigError, text: &str, source: Source) -> Problem {
    let ConfigError::FileParse { cause, .. } = error else {
        return Problem::of_source(source, format!("cannot be read as TOML: {error}"));
    };
    let report = cause.to_string();
    // "TOML parse error at line 2, column 5", the line drawn with "|" on its left, then what was expected.
    if let Some(place) = report.lines().next().and_then(|line| line.split_once(" at ")).map(|(_, place)| place) {
        let what: Vec<&str> = report
            .lines()
            .skip(1)
            .filter(|line| !line.contains('|'))
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect();
        let line = place.trim_start_matches("line ").split(',').next().and_then(|number| number.parse().ok());
        let key = line.and_then(|number| key_at(text, number)).unwrap_or_default();
        let what = what.join(", ");
        let remedy = if what.contains("duplicate") { "keep one of the two" } else { "correct the TOML there" };
        return Problem::of_key(&key, "", source, format!("is not TOML at {place}: {what}; {remedy}"));
    }
    match too_large_number(text) {
        Some((line, number)) => {
            let key = key_at(text, line).unwrap_or_default();
            let message = format!("is out of range at line {line}; write a number below 2^63");
            Problem::of_key(&key, number, source, message)
        }
        None => {
            let message = format!("is not TOML: {}; write one value per key, below its [section]", report.trim());
            Problem::of_source(source, message)
        }
    }
}

/// Where each dotted key of `text` is assigned, counted from 1, as far as the text alone tells.
pub(super) struct Lines(BTreeMap<String, usize>);

impl Lines {
    /// Reads the headers and assignments of a TOML document.
    pub(super) fn of(text: &str) -> Self {
        let mut lines = BTreeMap::new();
        let mut section = String::new();
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(name) = header(line) {
                section = name;
            } else if let Some(name) = assigned(line) {
                lines.entry(dotted(&section, name)).or_insert(number);
            }
        }
        Self(lines)
    }

    /// The line of `name`, or of the inline table that it stands in.
    pub(super) fn of_key(&self, name: &str) -> Option<usize> {
        let tables = std::iter::successors(Some(name), |name| Some(name.rsplit_once('.')?.0));
        tables.into_iter().find_map(|name| self.0.get(name).copied())
    }
}

/// The dotted key that line `number`, counted from 1, assigns, as far as the text alone tells.
fn key_at(text: &str, number: usize) -> Option<String> {
    let name = assigned(text.lines().nth(number.checked_sub(1)?)?)?;
    let section = text.lines().take(number - 1).filter_map(header).last();
    Some(dotted(&section.unwrap_or_default(), name))
}

/// The section that a line opens.
fn header(line: &str) -> Option<String> {
    let inner = line.trim().strip_prefix('[')?.split_once(']')?.0.trim();
    is_name(inner).then(|| inner.to_owned())
}

/// The name that a line gives a value to.
fn assigned(line: &str) -> Option<&str> {
    line.trim().split_once('=').map(|(name, _)| name.trim()).filter(|name| is_name(name))
}

fn dotted(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// Line and digits of the first whole number above 64 bits, which the parser refuses without saying where.
fn too_large_number(text: &str) -> Option<(usize, &str)> {
    (1..).zip(text.lines()).find_map(|(line, written)| {
        let number = written.split_once('=')?.1.split('#').next()?.trim();
        let digits = number.trim_start_matches(['+', '-']).replace('_', "");
        let (digits, radix) = match digits.get(..2) {
            Some("0x") => (digits.get(2..)?, 16),
            Some("0o") => (digits.get(2..)?, 8),
            Some("0b") => (digits.get(2..)?, 2),
            _ => (digits.as_str(), 10),
        };
        let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        (is_number && i64::from_str_radix(digits, radix).is_err()).then_some((line, number))
    })
}
