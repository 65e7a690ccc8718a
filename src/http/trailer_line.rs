//! A line behind the last chunk, byte by byte: a field, or the empty line that ends them. actix-http skips whatever stands
//! there; a proxy in front may take it for the next request.

use super::chunk_line::is_tchar;

/// Where the next byte of the line stands: `[ field-name ":" OWS field-value OWS ] CRLF` (RFC 9112 §5, §7.1.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrailerLine {
    /// Before the first byte.
    Start,
    /// In a field's name.
    Name,
    /// Behind its colon.
    Value,
    /// Behind the CR of a field.
    Return,
    /// Behind the CR of the empty line.
    LastReturn,
    /// Behind its LF: no line follows.
    Last,
}

impl TrailerLine {
    /// Where the byte behind `byte` stands; `None` where no line goes on like this.
    pub fn step(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Start, b'\r') => Self::LastReturn,
            (Self::LastReturn, b'\n') => Self::Last,
            (Self::Start | Self::Name, _) if is_tchar(byte) => Self::Name,
            (Self::Name, b':') => Self::Value,
            (Self::Value, b'\t' | b' '..=b'~' | 0x80..) => Self::Value,
            (Self::Value, b'\r') => Self::Return,
            (Self::Return, b'\n') => Self::Start,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_are_fields_up_to_an_empty_line_and_nothing_else() {
        let end = |text: &str| text.bytes().try_fold(TrailerLine::Start, TrailerLine::step);
        for lines in ["", "X: y\r\n", "X:\r\n", "X:y \t\r\nX: \"a: b\" ä\r\n", "!#$%&'*+-.^_`|~0Zz: 1\r\n"] {
            assert_eq!(end(&format!("{lines}\r\n")), Some(TrailerLine::Last), "{lines:?}");
            assert_eq!(end(lines), Some(TrailerLine::Start), "{lines:?}");
        }
        for lines in [
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "no colon\r\n",
            "nocolon\r\n",
            ": y\r\n",
            " X: y\r\n",
            "X : y\r\n",
            "X\t: y\r\n",
            "X: y\r\n z\r\n",
            "X: a\0b\r\n",
            "X: \u{7f}\r\n",
            "X: a\rb\r\n",
            "X: a\n",
            "X\r\n",
            "ä: y\r\n",
            "\n",
        ] {
            assert_eq!(end(&format!("{lines}\r\n")), None, "{lines:?}");
        }
        assert_eq!(end("\r\n\r\n"), None);
    }
}
