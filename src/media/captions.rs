//! Reading uploaded captions, `WebVTT` (W3C `WebVTT` §4, §6) or `SubRip`, into the `WebVTT` that is kept and served.
//!
//! Relies on nothing. Takes time linear in the bytes; never reads a file or a clock. What is `WebVTT` already passes
//! through as it is but for its line ends and the comment on its first line: browsers skip what they do not know. Only
//! what would make a viewer's browser ask a third party for something is refused.

#[cfg(test)]
mod tests;

/// Largest file of captions, in bytes: 2 MiB. A film of three hours takes 200 kB, word for word with styles 1 MB; one
/// is held in memory while it is read, and grows five times at most when it is converted.
pub const MAX_CAPTIONS_BYTES: usize = 2 << 20;
/// Most cues of one file: a cue for every 7 seconds of 100 hours. Players hold all of them in memory.
const MAX_CUES: usize = 50_000;
/// Longest language tag, in characters: what its parts come to, and RFC 5646 §4.4.1 asks for no more.
const MAX_LANGUAGE_TAG_CHARS: usize = 35;
/// Most digits of an hour: over a year, and far from overflow.
const MAX_HOUR_DIGITS: usize = 4;
/// What stands between the times of a cue, and may stand nowhere else.
const ARROW: &str = "-->";

/// Why captions cannot be used, in words for whoever uploaded them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptionsError {
    /// Above [`MAX_CAPTIONS_BYTES`].
    #[error("the captions are larger than {} MiB", MAX_CAPTIONS_BYTES >> 20)]
    TooLarge,
    /// A byte order mark of UTF-16.
    #[error("the captions are stored as UTF-16; save the file as UTF-8")]
    Utf16,
    /// Some other encoding, or damage.
    #[error("line {line} of the captions is not valid UTF-8; save the file as UTF-8")]
    NotUtf8 {
        /// Counted from 1.
        line: usize,
    },
    /// U+0000, which no text has.
    #[error("line {line} of the captions contains a NUL character; save the file as UTF-8 text")]
    NulCharacter {
        /// Counted from 1.
        line: usize,
    },
    /// Begins like neither format.
    #[error("these are not captions that can be read; use WebVTT (.vtt) or SubRip (.srt)")]
    NotCaptions,
    /// An arrow, and around it something that is no pair of times.
    #[error(
        "line {line} of the captions does not have the form '00:00:01.000 --> 00:00:02.000' (SubRip: ',' for '.'); \
         '-->' may stand nowhere else"
    )]
    BadTimes {
        /// Counted from 1.
        line: usize,
    },
    /// A cue that would never be shown.
    #[error("the cue at line {line} of the captions ends before it has begun, or at the same time")]
    EndsBeforeStart {
        /// Counted from 1.
        line: usize,
    },
    /// A format, and nothing in it.
    #[error("the captions contain no cue")]
    NoCues,
    /// Above `MAX_CUES`.
    #[error("the captions contain more than {MAX_CUES} cues")]
    TooManyCues,
    /// It would tell a third party who is watching.
    #[error("the STYLE block at line {line} of the captions loads something from elsewhere; remove url(…) and @import")]
    ExternalStyle {
        /// Counted from 1.
        line: usize,
    },
}

/// Reads `WebVTT` or `SubRip`. Gives back `WebVTT` that begins with a line `WEBVTT` and whose lines end with U+000A.
pub fn read_captions(bytes: &[u8]) -> Result<String, CaptionsError> {
    if bytes.len() > MAX_CAPTIONS_BYTES {
        return Err(CaptionsError::TooLarge);
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(CaptionsError::Utf16);
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| CaptionsError::NotUtf8 { line: line_at(bytes, error.valid_up_to()) })?;
    if let Some(at) = text.find('\0') {
        return Err(CaptionsError::NulCharacter { line: line_at(bytes, at) });
    }
    let text = with_plain_line_ends(text.strip_prefix('\u{feff}').unwrap_or(text));
    match text.strip_prefix("WEBVTT") {
        Some(rest) if rest.is_empty() || rest.starts_with([' ', '\t', '\n']) => checked_webvtt(&text),
        _ => converted_subrip(&text),
    }
}

/// Whether `text` is a language tag as we put it into URLs: well-formed by BCP 47 (RFC 5646 §2.1), and at that 2 to 8
/// letters with up to three parts of 1 to 8 letters or digits behind them. `en`, `de-CH` and `zh-Hant-TW` are.
pub fn is_language_tag(text: &str) -> bool {
    let mut subtags = text.split('-');
    let is_language = subtags.next().is_some_and(|primary| {
        (2..=8).contains(&primary.len()) && primary.bytes().all(|byte| byte.is_ascii_alphabetic())
    });
    let mut others = 0;
    let are_subtags = subtags.all(|subtag| {
        others += 1;
        others <= 3 && (1..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    text.len() <= MAX_LANGUAGE_TAG_CHARS && is_language && are_subtags
}

/// The number of the line, from 1, in which the byte at `at` stands.
fn line_at(bytes: &[u8], at: usize) -> usize {
    let before = String::from_utf8_lossy(bytes.get(..at).unwrap_or(bytes));
    with_plain_line_ends(&before).matches('\n').count().saturating_add(1)
}

fn with_plain_line_ends(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// `WebVTT` as it is, after a look at the lines that matter (W3C `WebVTT` §6.1): wherever a line with an arrow stands,
/// browsers begin a cue, be it in a comment or in another cue's text. An empty line ends whatever came before.
fn checked_webvtt(text: &str) -> Result<String, CaptionsError> {
    let mut kept = String::with_capacity(text.len().saturating_add(1));
    kept.push_str("WEBVTT\n");
    let mut cues = 0;
    let mut is_in_cue = false;
    let mut style: Option<(usize, String)> = None;
    // A comment may follow on the first line, which is left out: it is for whoever edits the file.
    for (line, number) in text.lines().zip(1..).skip(1) {
        let is_times = line.contains(ARROW);
        if is_times || line.is_empty() {
            refuse_requests(style.take())?;
            is_in_cue = is_times;
        }
        if is_times {
            CueTimes::read(line, &['.']).ok_or(CaptionsError::BadTimes { line: number })?.count(number, &mut cues)?;
        } else if let Some((_, css)) = &mut style {
            css.push_str(line);
            css.push('\n');
        } else if !is_in_cue && is_style_line(line) {
            // By the standard a style stands at the head of a block before the first cue. Not all browsers keep to
            // that, so it is looked for wherever there is no cue.
            style = Some((number, String::new()));
        }
        kept.push_str(line);
        kept.push('\n');
    }
    refuse_requests(style)?;
    if cues == 0 {
        return Err(CaptionsError::NoCues);
    }
    Ok(kept)
}

fn is_style_line(line: &str) -> bool {
    line.strip_prefix("STYLE").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_whitespace()))
}

/// Refuses a style by which a browser would fetch something: all that CSS has for it, old or new.
fn refuse_requests(style: Option<(usize, String)>) -> Result<(), CaptionsError> {
    let Some((line, css)) = style else { return Ok(()) };
    let css = without_escapes(&css).to_ascii_lowercase();
    let fetches = ["url(", "src(", "image(", "image-set(", "@import"].iter().any(|name| css.contains(name));
    if fetches { Err(CaptionsError::ExternalStyle { line }) } else { Ok(()) }
}

/// The style with its escapes undone (CSS Syntax §4.3.7): to a browser, `\75 rl(` is `url(`.
fn without_escapes(css: &str) -> String {
    let mut plain = String::with_capacity(css.len());
    let mut chars = css.chars().peekable();
    while let Some(each) = chars.next() {
        if each != '\\' {
            plain.push(each);
            continue;
        }
        let mut code_point = None;
        for _ in 0..6 {
            let Some(digit) = chars.peek().and_then(|next| next.to_digit(16)) else { break };
            // Six digits fit easily.
            code_point = Some(code_point.unwrap_or(0_u32) << 4 | digit);
            chars.next();
        }
        match code_point {
            None => plain.extend(chars.next()),
            Some(code_point) => {
                plain.push(char::from_u32(code_point).unwrap_or(char::REPLACEMENT_CHARACTER));
                chars.next_if(char::is_ascii_whitespace);
            }
        }
    }
    plain
}

/// `SubRip` as `WebVTT`. It has no standard: a cue is a line with times, with a number before it or without, and text
/// up to the next. An empty line inside a cue's text would end the cue in `WebVTT`, and is left out.
fn converted_subrip(text: &str) -> Result<String, CaptionsError> {
    let mut kept = String::from("WEBVTT\n");
    let mut cues = 0;
    // A line of digits is the number of a cue if times follow, and text if not.
    let mut number_or_text = None;
    let mut is_block_start = true;
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.contains(ARROW) {
            if let Some(times) = CueTimes::read(line, &[',', '.']) {
                times.count(number, &mut cues)?;
                times.write(&mut kept);
                number_or_text = None;
                is_block_start = false;
                continue;
            }
            if is_block_start {
                return Err(CaptionsError::BadTimes { line: number });
            }
        }
        if line.is_empty() {
            if !is_block_start {
                write_text(number_or_text.take(), cues, &mut kept)?;
            }
            is_block_start = true;
            continue;
        }
        if number_or_text.is_some() {
            write_text(number_or_text.take(), cues, &mut kept)?;
            is_block_start = false;
        }
        if line.bytes().all(|byte| byte.is_ascii_digit()) {
            number_or_text = Some(line);
        } else {
            write_text(Some(line), cues, &mut kept)?;
            is_block_start = false;
        }
    }
    if cues == 0 {
        return Err(CaptionsError::NoCues);
    }
    write_text(number_or_text, cues, &mut kept)?;
    Ok(kept)
}

/// Writes a line of the text of the cue before it.
fn write_text(line: Option<&str>, cues: usize, kept: &mut String) -> Result<(), CaptionsError> {
    let Some(line) = line else { return Ok(()) };
    if cues == 0 {
        return Err(CaptionsError::NotCaptions);
    }
    let text = cue_text(line);
    let text = text.trim();
    // Tags only: an empty line would end the cue.
    if !text.is_empty() {
        kept.push_str(text);
        kept.push('\n');
    }
    Ok(())
}

/// A line of a `SubRip` cue as `WebVTT` cue text. No `>` is left but in the tags that are kept, so no arrow is.
fn cue_text(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    loop {
        if let Some((tag, after)) = markup(rest) {
            text.push_str(tag);
            rest = after;
            continue;
        }
        let mut chars = rest.chars();
        match chars.next() {
            None => return text,
            Some('&') if !is_character_reference(rest) => text.push_str("&amp;"),
            Some('<') => text.push_str("&lt;"),
            Some('>') => text.push_str("&gt;"),
            Some(other) => text.push(other),
        }
        rest = chars.as_str();
    }
}

/// The markup that `text` begins with: what is kept of it, and what follows it. Looks no further than to the next
/// bracket, so that a line of nothing but brackets takes no longer than another.
fn markup(text: &str) -> Option<(&'static str, &str)> {
    if let Some(inside) = text.strip_prefix("{\\") {
        let (_, after) = inside.split_at_checked(inside.find(['{', '}'])?)?;
        return after.strip_prefix('}').map(|after| ("", after));
    }
    let inside = text.strip_prefix('<')?;
    let (tag, after) = inside.split_at_checked(inside.find(['<', '>'])?)?;
    let after = after.strip_prefix('>')?;
    let (name, is_end) = tag.strip_prefix('/').map_or((tag, false), |name| (name, true));
    let name = name.split(|c: char| c.is_ascii_whitespace()).next()?;
    let tags = [("b", "<b>", "</b>"), ("i", "<i>", "</i>"), ("u", "<u>", "</u>"), ("font", "", "")];
    let (_, start, end) = tags.into_iter().find(|(known, _, _)| name.eq_ignore_ascii_case(known))?;
    Some((if is_end { end } else { start }, after))
}

/// Whether `text` begins with a reference like `&amp;` or `&#39;`, which `SubRip` made from HTML has.
fn is_character_reference(text: &str) -> bool {
    if let Some(code) = text.strip_prefix("&#") {
        let digits = code.bytes().take(8).take_while(u8::is_ascii_alphanumeric).count();
        return digits > 0 && code.as_bytes().get(digits) == Some(&b';');
    }
    ["&amp;", "&lt;", "&gt;", "&nbsp;", "&quot;", "&lrm;", "&rlm;"].iter().any(|known| text.starts_with(known))
}

/// When a cue is shown.
struct CueTimes {
    start_ms: u64,
    end_ms: u64,
}

impl CueTimes {
    /// Reads `[hh:]mm:ss.ttt --> [hh:]mm:ss.ttt` and, after a space, whatever settings: browsers skip unknown ones.
    fn read(line: &str, marks: &[char]) -> Option<Self> {
        let blank = [' ', '\t', '\u{c}'];
        let (start_ms, rest) = timestamp_ms(line.trim_start_matches(blank), marks)?;
        let rest = rest.trim_start_matches(blank).strip_prefix(ARROW)?;
        let (end_ms, settings) = timestamp_ms(rest.trim_start_matches(blank), marks)?;
        let is_end = settings.is_empty() || settings.starts_with(blank);
        // A second arrow would be one in the settings, which the standard forbids.
        (is_end && !settings.contains(ARROW)).then_some(Self { start_ms, end_ms })
    }

    /// Adds the cue whose times stand on `line` to the count.
    fn count(&self, line: usize, cues: &mut usize) -> Result<(), CaptionsError> {
        if self.start_ms >= self.end_ms {
            return Err(CaptionsError::EndsBeforeStart { line });
        }
        *cues = cues.saturating_add(1);
        if *cues > MAX_CUES { Err(CaptionsError::TooManyCues) } else { Ok(()) }
    }

    /// Begins a cue without settings.
    fn write(&self, kept: &mut String) {
        let [start, end] = [self.start_ms, self.end_ms].map(|ms| {
            let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
            format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1000)
        });
        kept.push_str(&format!("\n{start} {ARROW} {end}\n"));
    }
}

/// The time that `text` begins with (W3C `WebVTT` §6.3; one digit suffices for the hour), and what follows it.
fn timestamp_ms<'a>(text: &'a str, marks: &[char]) -> Option<(u64, &'a str)> {
    let (first, rest) = digits(text)?;
    let (second, rest) = digits(rest.strip_prefix(':')?)?;
    let (hours, minutes, (seconds, rest)) = match rest.strip_prefix(':') {
        Some(rest) => (first, second, digits(rest)?),
        None => ("0", first, (second, rest)),
    };
    let (thousandths, rest) = digits(rest.strip_prefix(marks)?)?;
    let is_form = hours.len() <= MAX_HOUR_DIGITS && minutes.len() == 2 && seconds.len() == 2 && thousandths.len() == 3;
    if !is_form {
        return None;
    }
    let (minutes, seconds) = (minutes.parse::<u64>().ok()?, seconds.parse::<u64>().ok()?);
    if minutes > 59 || seconds > 59 {
        return None;
    }
    let whole_s = hours.parse::<u64>().ok()?.checked_mul(3600)?.checked_add(minutes * 60 + seconds)?;
    Some((whole_s.checked_mul(1000)?.checked_add(thousandths.parse().ok()?)?, rest))
}

/// The digits that `text` begins with, at least one, and what follows them.
fn digits(text: &str) -> Option<(&str, &str)> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    if count == 0 { None } else { text.split_at_checked(count) }
}
