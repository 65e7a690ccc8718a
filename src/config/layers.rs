//! The two places values are written in, the TOML file and the environment, each reduced to known keys.
//!
//! Relies on the `config` crate to parse TOML. Never lets an unknown name pass, and never repeats the value of an
//! unknown name that sounds like a secret.

use super::given::{toml_text, toml_value};
use super::keys::{KEYS, Key};
use super::names::{remedy_for_unknown, sounds_secret};
use super::problem::{PROBLEMS_MAX, Problem, Source};
use super::syntax::{self, Lines};
use ::config::{FileFormat, Map, Source as _, Value, ValueKind};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What the name of every variable of ours starts with.
pub(super) const VARIABLE_PREFIX: &str = "SCREENER__";

/// Largest configuration file, in bytes: a full one has 10 KiB, and more is a wrong path.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// The values one place holds for known keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    values: BTreeMap<&'static str, Value>,
    /// Where in a file each stands, as far as it is known.
    lines: BTreeMap<&'static str, usize>,
}

impl Layer {
    /// Reads the file at `path`; whatever is wrong with it goes to `problems`.
    pub(super) fn from_file(path: &Path, problems: &mut Vec<Problem>) -> Self {
        let source = Source::File { path: path.to_owned(), line: None };
        let (table, lines) = match read_text(path).map_err(|message| Problem::of_source(source.clone(), message)) {
            Ok(text) => match ::config::File::from_str(&text, FileFormat::Toml).collect() {
                Ok(table) => (table, Lines::of(&text)),
                Err(error) => {
                    problems.push(syntax::problem(&error, &text, source));
                    return Self::default();
                }
            },
            Err(problem) => {
                problems.push(problem);
                return Self::default();
            }
        };
        let mut layer = Self::default();
        let source = |name: &str| Source::File { path: path.to_owned(), line: lines.of_key(name) };
        for (name, value) in sorted(table) {
            layer.take(&[name], value, &source, problems);
        }
        layer.lines = layer.values.keys().filter_map(|name| Some((*name, lines.of_key(name)?))).collect();
        layer
    }

    /// Reads the variables that start with [`VARIABLE_PREFIX`]; all others belong to somebody else.
    pub(super) fn from_environment(
        environment: impl IntoIterator<Item = (String, String)>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut layer = Self::default();
        let ours: BTreeMap<_, _> =
            environment.into_iter().filter(|(variable, _)| variable.starts_with(VARIABLE_PREFIX)).collect();
        for (variable, text) in ours {
            if let Some(key) = KEYS.iter().find(|key| key.variable() == variable) {
                layer.values.insert(key.name, Value::new(None, text));
                continue;
            }
            let name = variable.trim_start_matches(VARIABLE_PREFIX).to_ascii_lowercase().replace("__", ".");
            let value = if sounds_secret(&name) { HIDDEN.to_owned() } else { toml_text(text) };
            let message = remedy_for_unknown(&name, Key::variable);
            problems.push(Problem::of_key(&name, &value, Source::Environment(variable), message));
        }
        layer
    }

    /// Whether this place holds a value of `key`.
    pub(super) fn holds(&self, key: &Key) -> bool {
        self.values.contains_key(key.name)
    }

    /// Where in a file the value of `key` stands, counted from 1.
    pub(super) fn line(&self, key: &Key) -> Option<usize> {
        self.lines.get(key.name).copied()
    }

    /// Keeps `value` if `path` is a known key, goes down if it is a table, refuses it otherwise.
    fn take(&mut self, path: &[String], value: Value, source: &impl Fn(&str) -> Source, problems: &mut Vec<Problem>) {
        // A quoted name may itself contain a dot: `"server.listen"` is not `server.listen`.
        let spelled = |part: &String| if part.contains('.') { toml_text(part) } else { part.clone() };
        let name = path.iter().map(spelled).collect::<Vec<_>>().join(".");
        if let Some(key) = Key::named(&name) {
            self.values.insert(key.name, value);
            return;
        }
        let is_section = path.len() == 1 && KEYS.iter().any(|key| key.parts().0 == name);
        match value.kind {
            ValueKind::Table(table) if is_section || !table.is_empty() => {
                for (part, value) in sorted(table) {
                    self.take(&[path, &[part]].concat(), value, source, problems);
                }
            }
            _ => {
                let message = if is_section {
                    format!("is a section, not a value; write [{name}] and its keys below")
                } else if problems.len() < PROBLEMS_MAX {
                    remedy_for_unknown(&name, |key| key.name.to_owned())
                } else {
                    // Only counted: comparing a megabyte of wrong names with every key would take half a minute.
                    String::new()
                };
                let value = if sounds_secret(&name) { HIDDEN.to_owned() } else { toml_value(&value) };
                problems.push(Problem::of_key(&name, &value, source(&name), message));
            }
        }
    }
}

impl ::config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn ::config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ::config::ConfigError> {
        Ok(self.values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }
}

/// The environment of this process, as [`super::Config::load`] takes it.
///
/// A value that is not UTF-8 arrives with U+FFFD in it, which no key accepts; `std::env::vars` would panic instead.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    let lossy = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(variable, text)| (lossy(variable), lossy(text)))
}

/// What stands in place of a value that may be a secret.
const HIDDEN: &str = "(not shown)";

/// The text of the file, or what is wrong with it.
fn read_text(path: &Path) -> Result<String, String> {
    let bytes = read_bounded(path, FILE_MAX_BYTES).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "does not exist; create it from config.example.toml or name another".to_owned(),
        io::ErrorKind::FileTooLarge => "is over 1 MiB, so it is not a configuration file; name another".to_owned(),
        io::ErrorKind::InvalidData => "is not a file; name one".to_owned(),
        _ => format!("cannot be read: {error}; give the user that runs the server read access"),
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = 1 + before.filter(|&&byte| byte == b'\n').count();
        format!("is not UTF-8 at line {line}; save it as UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Reads at most `limit_bytes` of a file; a longer one is an error of kind `FileTooLarge`, and what is none of kind
/// `InvalidData`. Never waits for the writer of a FIFO.
pub(super) fn read_bounded(path: &Path, limit_bytes: u64) -> io::Result<Vec<u8>> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    file.take(limit_bytes + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit_bytes) {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::FileTooLarge.into())
    }
}

/// The crate's tables are hash maps: sorted, so that problems come in the same order every time.
fn sorted(table: Map<String, Value>) -> BTreeMap<String, Value> {
    table.into_iter().collect()
}
