//! How far a part of a request goes, its head or its body. What it says is actix-http's to read, which is given one part at
//! a time; but where a request's target or the chunks of its body are none, there is nothing more to give.

use super::chunk_line::ChunkLine;
use super::trailer_line::TrailerLine;

/// What is left of a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Nothing.
    Over,
    /// The lines of a head, up to an empty one.
    Head {
        /// Whether an empty line ends it: those before it do not (RFC 9112 §2.2).
        begun: bool,
        /// Whether the line that is coming is empty so far.
        is_empty: bool,
    },
    /// As many bytes of a body.
    Length(u64),
    /// The line with a chunk's size.
    Size {
        /// The digits so far.
        bytes: u64,
        /// Where the next byte stands.
        line: ChunkLine,
    },
    /// As many bytes of a chunk and of the line end behind it.
    Chunk(u64),
    /// The lines behind the last chunk, up to an empty one.
    Trailers(TrailerLine),
    /// A target, chunks or trailers that are none.
    Broken,
}

/// The line end behind a chunk, in bytes.
const LINE_END: u64 = 2;

impl Part {
    /// A head.
    pub const HEAD: Self = Self::Head { begun: false, is_empty: true };
    /// A body in chunks.
    pub const CHUNKS: Self = Self::Size { bytes: 0, line: ChunkLine::Start };
    /// What follows the last chunk.
    const TRAILERS: Self = Self::Trailers(TrailerLine::Start);

    /// A body of this length.
    pub fn of_length(bytes: u64) -> Self {
        if bytes == 0 { Self::Over } else { Self::Length(bytes) }
    }

    /// How many of the `bytes` that come next belong to it.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !matches!(self, Self::Over | Self::Broken) && !rest.is_empty() {
            let count = self.step(rest);
            rest = rest.get(count..).unwrap_or_default();
        }
        bytes.len() - rest.len()
    }

    /// Goes on to the end of a line, of a chunk or of `bytes`, or to where it breaks, and answers how far that is.
    fn step(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Over | Self::Broken => 0,
            Self::Length(left) => {
                let count = up_to(*left, bytes);
                *self = Self::of_length(*left - count as u64);
                count
            }
            Self::Chunk(left) => {
                let count = up_to(*left, bytes);
                *left -= count as u64;
                if *left == 0 {
                    *self = Self::CHUNKS;
                }
                count
            }
            Self::Head { begun, is_empty } => {
                let end = bytes.iter().position(|byte| *byte == b'\n');
                let line = end.map_or(bytes, |end| bytes.get(..end).unwrap_or_default());
                // No target has a fragment (RFC 9112 §3.2). actix-http would drop it, and answer what is left.
                if let Some(fragment) = line.iter().position(|byte| !*begun && *byte == b'#') {
                    *self = Self::Broken;
                    return fragment;
                }
                *is_empty &= line.iter().all(|byte| *byte == b'\r');
                let Some(end) = end else { return bytes.len() };
                *self = match (*begun, *is_empty) {
                    (true, true) => Self::Over,
                    (begun, is_empty) => Self::Head { begun: begun || !is_empty, is_empty: true },
                };
                end + 1
            }
            Self::Size { bytes: size, line } => {
                for (index, byte) in bytes.iter().enumerate() {
                    let Some(next) = line.step(*byte) else {
                        *self = Self::Broken;
                        return index;
                    };
                    *line = next;
                    if let (ChunkLine::Size, Some(digit)) = (next, char::from(*byte).to_digit(16)) {
                        *size = size.saturating_mul(16).saturating_add(digit.into());
                    }
                    if next == ChunkLine::End {
                        *self = if *size == 0 { Self::TRAILERS } else { Self::Chunk(size.saturating_add(LINE_END)) };
                        return index + 1;
                    }
                }
                bytes.len()
            }
            Self::Trailers(line) => {
                for (index, byte) in bytes.iter().enumerate() {
                    let Some(next) = line.step(*byte) else {
                        *self = Self::Broken;
                        return index;
                    };
                    *line = next;
                    if next == TrailerLine::Last {
                        *self = Self::Over;
                        return index + 1;
                    }
                }
                bytes.len()
            }
        }
    }
}

fn up_to(left: u64, bytes: &[u8]) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is taken of `text`, however it is cut into two.
    fn taken(part: Part, text: &str) -> (usize, bool) {
        let whole = |cut: usize| {
            let (mut part, (before, after)) = (part, text.as_bytes().split_at(cut));
            let count = part.take(before);
            (count + if count == cut { part.take(after) } else { 0 }, part == Part::Over)
        };
        let found = whole(0);
        assert!((0..=text.len()).all(|cut| whole(cut) == found), "{text:?}");
        found
    }

    #[test]
    fn a_head_ends_with_its_first_empty_line() {
        for (head, behind) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /"),
            ("GET / HTTP/1.0\n\n", "\n\n"),
            ("\r\n\n\r\nGET / HTTP/1.1\nHost: a\r\n\n", "\r\n"),
            ("GET / HTTP/1.1\r\nX: #\r\n\r\n", "GET /#"),
        ] {
            assert_eq!(taken(Part::HEAD, &format!("{head}{behind}")), (head.len(), true), "{head:?}");
        }
        for unfinished in ["", "\r\n\r\n", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r"] {
            assert_eq!(taken(Part::HEAD, unfinished), (unfinished.len(), false), "{unfinished:?}");
        }
    }

    #[test]
    fn nothing_is_taken_of_a_head_from_a_fragment_on() {
        for (good, bad) in [("GET /", "#a HTTP/1.1\r\nHost: a\r\n\r\n"), ("\r\nGET /a?b", "#"), ("", "#\r\n\r\n")] {
            let mut part = Part::HEAD;
            assert_eq!((part.take(format!("{good}{bad}").as_bytes()), part), (good.len(), Part::Broken));
            assert_eq!(taken(Part::HEAD, &format!("{good}{bad}")), (good.len(), false));
        }
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        assert_eq!(taken(Part::of_length(0), "GET"), (0, true));
        assert_eq!(taken(Part::of_length(5), "\r\n\r\n5GET"), (5, true));
        assert_eq!(taken(Part::of_length(u64::MAX), "\n\n"), (2, false));
        for body in [
            "0\r\n\r\n",
            "3\r\n\r\n0\r\n0\r\n\r\n",
            "0003;a=b\r\nabc\r\n1A ;c=\"d\"\r\nabcdefghijklmnopqrstuvwxyz\r\n00\r\nX: y\r\nZ: 0\r\n\r\n",
        ] {
            assert_eq!(taken(Part::CHUNKS, &format!("{body}GET / HTTP/1.1")), (body.len(), true), "{body:?}");
        }
        for unfinished in ["", "0\r\n", "3\r\nabc\r\n", "ffffffffffffffff\r\n0\r\n\r\n", "0\r\nX: y\r\n"] {
            assert_eq!(taken(Part::CHUNKS, unfinished), (unfinished.len(), false), "{unfinished:?}");
        }
    }

    #[test]
    fn nothing_is_taken_of_chunks_from_where_they_break() {
        for (good, bad) in [
            ("", " 3\r\nabc\r\n"),
            ("3 ", "\r\nabc\r\n"),
            ("3\r\nabc\r\n3;", "\r\nabc\r\n"),
            ("3", "\nabc\r\n"),
            ("0\r\nX: y", "\n\r\n"),
            ("0\r\n", "\n"),
            ("0\r\n\r", "\r\n"),
            ("0\r\nGET", " / HTTP/1.1\r\n\r\n"),
            ("0\r\nX: y\r\n", " z\r\n\r\n"),
        ] {
            let mut part = Part::CHUNKS;
            assert_eq!(part.take(format!("{good}{bad}").as_bytes()), good.len(), "{good:?} {bad:?}");
            assert_eq!((part, part.take(b"0\r\n\r\n")), (Part::Broken, 0));
            assert_eq!(taken(Part::CHUNKS, &format!("{good}{bad}")), (good.len(), false));
        }
    }
}
