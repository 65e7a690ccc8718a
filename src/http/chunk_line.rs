//! The line before a chunk, byte by byte. actix-http looks for its end alone, and takes for an extension what is none; a
//! proxy in front may read that differently.

/// Where the next byte of the line stands:
/// `chunk-size *( BWS ";" BWS name [ BWS "=" BWS value ] ) CRLF` (RFC 9112 §7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkLine {
    /// Before the first digit.
    Start,
    /// Behind a digit.
    Size,
    /// In white space that an extension must follow.
    Gap,
    /// Behind a semicolon: a name is due.
    Semicolon,
    /// In a name.
    Name,
    /// In white space behind a name.
    NameGap,
    /// Behind an equals sign: a value is due.
    Equals,
    /// In a value without quotes.
    Value,
    /// Inside quotes.
    Quoted,
    /// Behind a backslash inside quotes.
    Escaped,
    /// Behind the closing quote.
    Closed,
    /// Behind the CR.
    Return,
    /// Behind the LF.
    End,
}

impl ChunkLine {
    /// Where the byte behind `byte` stands; `None` where no line goes on like this.
    pub fn step(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Start | Self::Size, _) if byte.is_ascii_hexdigit() => Self::Size,
            (Self::Size | Self::Name | Self::Value | Self::Closed, b'\r') => Self::Return,
            (Self::Size | Self::Gap | Self::Value | Self::Closed, b' ' | b'\t') => Self::Gap,
            (Self::Size | Self::Gap | Self::Name | Self::NameGap | Self::Value | Self::Closed, b';') => Self::Semicolon,
            (Self::Semicolon, b' ' | b'\t') => Self::Semicolon,
            (Self::Semicolon | Self::Name, _) if is_tchar(byte) => Self::Name,
            (Self::Name | Self::NameGap, b' ' | b'\t') => Self::NameGap,
            (Self::Name | Self::NameGap, b'=') => Self::Equals,
            (Self::Equals, b' ' | b'\t') => Self::Equals,
            (Self::Equals, b'"') => Self::Quoted,
            (Self::Equals | Self::Value, _) if is_tchar(byte) => Self::Value,
            (Self::Quoted, b'"') => Self::Closed,
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Quoted | Self::Escaped, b'\t' | b' '..=b'~' | 0x80..) => Self::Quoted,
            (Self::Return, b'\n') => Self::End,
            _ => return None,
        })
    }
}

/// Of a token (RFC 9110 §5.6.2).
pub(super) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_size_extensions_and_an_end_and_nothing_else() {
        let is_line = |text: &str| text.bytes().try_fold(ChunkLine::Start, ChunkLine::step) == Some(ChunkLine::End);
        for line in [
            "5",
            "0aF",
            "5;a",
            "5;a=b",
            "5;a=b;c",
            "5;a=\"\"",
            "5;a=\"b;\\\"c\" ;d",
            "5 ; a = b",
            "5\t;\ta\t;b",
            "5;!#$%&'*+-.^_`|~0Zz",
            "5;a=\"\t ä\"",
        ] {
            assert!(is_line(&format!("{line}\r\n")), "{line:?}");
            assert!(!is_line(line) && !is_line(&format!("{line}\n")) && !is_line(&format!("{line}\r")), "{line:?}");
        }
        for line in [
            "",
            " 5",
            "+5",
            "-5",
            "0x5",
            "5_0",
            "5 0",
            "5 ",
            "5\t",
            "5;",
            "5; ",
            "5;;a",
            "5;a ",
            "5;a=",
            "5;a= ",
            "5;=b",
            "5;a=b ",
            "5;a=b=c",
            "5;a=b c",
            "5;a b",
            "5;a=\"b",
            "5;a=\"b\\\"",
            "5;a=\"b\"c",
            "5;a=b\"c\"",
            "5;[",
            "5;a=[",
            "5;ä",
            "5;\0",
            "5;a\rb",
            "5;a\nb",
            "5;a=\"\u{7f}\"",
            "5;a=\"\r\"",
            "5\r",
        ] {
            assert!(!is_line(&format!("{line}\r\n")), "{line:?}");
        }
    }
}
