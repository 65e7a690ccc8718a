//! Reading one value as the type its key asks for, and writing values back as TOML.
//!
//! Relies on the row of the key for range and form. Never guesses: a quoted number in a file is refused. Only the
//! environment, which knows nothing but text, has its text read as numbers, flags and lists.

use super::keys::{Form, Key, Preset};
use super::problem::Source;
use ::config::{Value, ValueKind};
use std::fmt::{Display, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Most elements of a list: far above any real number of proxies.
const LIST_MAX: usize = 256;

/// One value that was written for one key.
pub(super) struct Given<'a> {
    pub(super) key: &'static Key,
    pub(super) value: &'a Value,
    pub(super) source: &'a Source,
    /// What relative paths are relative to.
    pub(super) base: &'a Path,
}

impl Given<'_> {
    /// A whole number within the key's range.
    pub(super) fn number<T: TryFrom<u64>>(&self) -> Result<T, String> {
        let number = match (&self.value.kind, self.source) {
            (ValueKind::I64(number), _) => i128::from(*number),
            (ValueKind::String(text), Source::Environment(_)) => text.trim().parse().map_err(|_| self.refused())?,
            _ => return Err(self.refused()),
        };
        let Form::Integer { min, max } = self.key.form else { return Err(self.refused()) };
        u64::try_from(number)
            .ok()
            .filter(|number| (min..=max).contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("is out of range; write a number from {min} to {max} ({})", self.key.unit))
    }

    /// `true` or `false`.
    pub(super) fn flag(&self) -> Result<bool, String> {
        match (&self.value.kind, self.source) {
            (ValueKind::Boolean(flag), _) => Ok(*flag),
            (ValueKind::String(text), Source::Environment(_)) => text.trim().parse().map_err(|_| self.refused()),
            _ => Err(self.refused()),
        }
    }

    /// A text that `T` understands.
    pub(super) fn parsed<T: FromStr>(&self) -> Result<T, String> {
        self.accepted(|text| text.parse().ok())
    }

    /// A text that `accept` understands.
    pub(super) fn accepted<T>(&self, accept: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        accept(self.text()?.trim()).ok_or_else(|| self.refused())
    }

    /// A list of texts that `accept` understands; in the environment they are separated by commas.
    pub(super) fn list<T>(&self, accept: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
        let items: Vec<&str> = match (&self.value.kind, self.source) {
            (ValueKind::Array(items), _) => items
                .iter()
                .map(|item| if let ValueKind::String(text) = &item.kind { Ok(text.as_str()) } else { Err(()) })
                .collect::<Result<_, ()>>()
                .map_err(|()| self.refused())?,
            (ValueKind::String(text), Source::Environment(_)) => text.split(',').collect(),
            _ => return Err(self.refused()),
        };
        if items.len() > LIST_MAX {
            return Err(format!("has {} elements; write at most {LIST_MAX}", items.len()));
        }
        let items = items.into_iter().map(str::trim).filter(|item| !item.is_empty());
        items.map(|item| accept(item).ok_or_else(|| format!("contains {item:?}; {}", self.list_wanted()))).collect()
    }

    /// A path; a relative one is taken from the directory of the configuration file.
    pub(super) fn path(&self) -> Result<PathBuf, String> {
        let text = self.text()?;
        if text.is_empty() || text.contains('\0') { Err(self.refused()) } else { Ok(self.base.join(text)) }
    }

    /// The value `read` finds, or `None` for the empty text, by which a variable takes back what the file says.
    pub(super) fn unless_empty<T>(&self, read: impl Fn(&Self) -> Result<T, String>) -> Result<Option<T>, String> {
        if matches!(&self.value.kind, ValueKind::String(text) if text.is_empty()) {
            return Ok(None);
        }
        read(self).map(Some)
    }

    fn text(&self) -> Result<&str, String> {
        match &self.value.kind {
            // `process_environment` leaves this character where bytes were not UTF-8; no valid value contains it.
            ValueKind::String(text) if text.contains('\u{fffd}') => Err("is not UTF-8; write it in UTF-8".to_owned()),
            ValueKind::String(text) => Ok(text),
            _ => Err(self.refused()),
        }
    }

    /// What the value is not, and what to write.
    fn refused(&self) -> String {
        let unit = self.key.unit;
        let (Preset::Value(example) | Preset::Unset { example, .. }) = self.key.preset;
        let example = match self.source {
            Source::Environment(_) => example.trim_matches(['"', '[', ']']).to_owned(),
            _ => example.to_owned(),
        };
        match (self.key.form, self.source) {
            (Form::Integer { min, max }, Source::Environment(_)) => {
                format!("is not a whole number; write one from {min} to {max} ({unit})")
            }
            (Form::Integer { min, max }, _) => {
                format!("is not a whole number; write one from {min} to {max} ({unit}), without quotes")
            }
            (Form::Flag, Source::Environment(_)) => "is neither true nor false; write true or false".to_owned(),
            (Form::Flag, _) => "is neither true nor false; write true or false, without quotes".to_owned(),
            (Form::Text | Form::Path, _) => format!("is not {unit}; write one such as {example}"),
            (Form::List, _) => format!("is not {unit}; {}", self.list_wanted()),
        }
    }

    fn list_wanted(&self) -> String {
        let written = match self.source {
            Source::Environment(_) => "such as 192.0.2.1,2001:db8::1",
            _ => "such as [\"192.0.2.1\", \"2001:db8::1\"]",
        };
        format!("write {}, {written}", self.key.unit)
    }
}

/// A text as a TOML basic string (TOML 1.0, "String").
pub(super) fn toml_text(text: impl Display) -> String {
    let mut quoted = String::from("\"");
    for c in text.to_string().chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                write!(quoted, "\\u{:04X}", u32::from(c)).expect("writing to a String cannot fail");
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Texts as a TOML array.
pub(super) fn toml_list(texts: impl IntoIterator<Item = impl Display>) -> String {
    let texts: Vec<String> = texts.into_iter().map(toml_text).collect();
    format!("[{}]", texts.join(", "))
}

/// A value that was read, as TOML.
pub(super) fn toml_value(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => toml_text(text),
        ValueKind::Array(items) => format!("[{}]", items.iter().map(toml_value).collect::<Vec<_>>().join(", ")),
        ValueKind::Table(table) => {
            let mut entries: Vec<String> = table.iter().map(|(k, v)| format!("{k} = {}", toml_value(v))).collect();
            entries.sort();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// `scheme://host[:port]` in the form browsers send it (RFC 6454 §6.2): lower case, without the scheme's own port.
pub(super) fn web_origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, rest) = text.split_once("://")?;
    let default_port = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let port = match port {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok().filter(|&p| p > 0)?),
        Some(_) => return None,
        None => None,
    };
    is_host(host).then(|| match port.filter(|&port: &u16| port != default_port) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}

/// A host name (RFC 1123 §2.1), an IPv4 address or a bracketed IPv6 address.
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let ends_in_number = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if ends_in_number { host.parse::<Ipv4Addr>().is_ok() } else { host.len() <= 253 && host.split('.').all(is_label) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_kept_in_the_form_browsers_send() {
        for (written, kept) in [
            ("https://Video.Example.com", "https://video.example.com"),
            ("https://video.example.com:443", "https://video.example.com"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("https://[::1]:8443", "https://[::1]:8443"),
            ("https://[::1]", "https://[::1]"),
            ("https://192.0.2.1", "https://192.0.2.1"),
        ] {
            assert_eq!(web_origin(written).as_deref(), Some(kept), "{written}");
        }
    }

    #[test]
    fn anything_more_or_less_than_an_origin_is_refused() {
        for written in [
            "",
            "video.example.com",
            "https://",
            "https://video.example.com/",
            "https://video.example.com/videos",
            "https://video.example.com?x",
            "https://user@video.example.com",
            "https://video.example.com:",
            "https://video.example.com:0",
            "https://video.example.com:65536",
            "https://video.example.com:+443",
            "https://a..b",
            "https://-a.example",
            "https://300.1.2.3",
            "https://[::1",
            "https://video example.com",
            "ftp://video.example.com",
        ] {
            assert_eq!(web_origin(written), None, "{written}");
        }
    }

    #[test]
    fn control_characters_and_quotes_are_escaped_as_toml_wants() {
        assert_eq!(toml_text("a\"b\\c\n"), r#""a\"b\\c\u000A""#);
    }
}
