//! The command lines of ffmpeg: what is made of a source, and how. Pure: numbers in, arguments out.
//!
//! ffmpeg runs in a directory of its own and names its files relative to it; the source is named by its absolute path.

use crate::domain::limits::TRANSCODING_PIECE_BYTES as PIECE_BYTES;
use std::ffi::OsString;
use std::path::Path;

/// The file that a quality is written to.
pub(super) const QUALITY_FILE: &str = "quality.mp4";
/// The file that a poster is written to.
pub(super) const POSTER_FILE: &str = "poster.jpg";
/// Cells side by side, and rows, of a storyboard's sheet.
pub(super) const SHEET_CELLS: u32 = 6;
/// Width of a cell, in pixels.
pub(super) const CELL_WIDTH_PX: u32 = 160;
/// Sheets of a storyboard: a player fetches the one it needs, and a film of two hours gets a picture each 10 s.
pub(super) const SHEETS: u32 = 20;

/// Tallest cell, in pixels: a strip of film would make sheets that no browser decodes.
const CELL_HEIGHT_MAX_PX: u32 = 480;
/// Least time between two cells, in milliseconds.
const CELL_INTERVAL_MIN_MS: u64 = 1_000;
/// From this time between cells on, in milliseconds, only keyframes are decoded: a hundred times faster.
const KEYFRAMES_ONLY_FROM_MS: u64 = 5_000;
/// Shorter side of a poster, in pixels.
const POSTER_SIDE_PX: u32 = 720;
/// Most frames a second; more is for measuring, not for watching.
const FRAMES_PER_S: u32 = 60;
/// Largest picture that is decoded, in pixels (8192×4352): a bigger one takes gigabytes.
const PICTURE_PX: u32 = 8_192 * 4_352;

/// Kilobits a second that the picture of a quality may take, by its shorter side.
const PEAK_KBITS: [(u32, u32); 7] =
    [(240, 400), (360, 800), (480, 1_400), (720, 2_800), (1080, 5_000), (1440, 9_000), (2160, 18_000)];

/// Kilobits a second that the sound of a quality takes.
const SOUND_KBITS: u32 = 128;

/// What the command lines need to know of a source.
#[derive(Clone, Debug)]
pub(super) struct Source<'a> {
    /// The packaged source: it has the very tracks that viewers get, at most one of a kind, and no edit list.
    pub(super) path: &'a Path,
    /// Its length, in milliseconds.
    pub(super) duration_ms: u64,
    /// Length of its picture, in milliseconds: it may end before the sound does.
    pub(super) picture_ms: u64,
    pub(super) has_sound: bool,
    /// Displayed width and height, in pixels.
    pub(super) size_px: (u32, u32),
    /// Frames in 1,000 seconds, on average.
    pub(super) frames_per_1000_s: u32,
    /// Threads to decode and encode with; 0 leaves it to ffmpeg.
    pub(super) threads: u32,
}

/// How a storyboard is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Board {
    pub(super) interval_ms: u64,
    pub(super) cells: u64,
    pub(super) cell_height_px: u32,
}

/// A quality whose picture's shorter side has this many pixels.
pub(super) fn quality(source: &Source<'_>, shorter_side_px: u32) -> Vec<OsString> {
    let (width, height) = scaled(source.size_px, shorter_side_px);
    let peak = PEAK_KBITS.iter().find(|(side, _)| shorter_side_px <= *side).or(PEAK_KBITS.last()).map_or(0, |it| it.1);
    let rate = if source.frames_per_1000_s > (FRAMES_PER_S + 1) * 1_000 {
        format!("fps={FRAMES_PER_S},")
    } else {
        String::new()
    };
    // Times as they are: the sound may begin a moment before the picture, which must not move the picture.
    let mut line = input(source, &words("-copyts"));
    line.extend(words("-map_metadata -1 -map_chapters -1 -sn -dn"));
    line.extend(words("-map 0:v:0"));
    line.extend([OsString::from("-vf"), format!("{rate}scale={width}:{height},setsar=1").into()]);
    let profile = if shorter_side_px < 480 { "main" } else { "high" };
    line.extend(words(&format!(
        "-c:v libx264 -preset fast -profile:v {profile} -pix_fmt yuv420p -crf 23 -maxrate {peak}k -bufsize {}k",
        peak * 2
    )));
    // A keyframe each two seconds of the film, whatever its frame rate, so that all qualities can be cut alike.
    line.extend(words("-g 600 -sc_threshold 0 -flags:v +cgop -forced-idr 1 -force_key_frames expr:gte(t,n_forced*2)"));
    // Frames keep the times they have: without this, those closer than the average are dropped.
    line.extend(words("-fps_mode:v vfr -enc_time_base:v 1:90000 -video_track_timescale 90000"));
    if source.has_sound {
        line.extend(words("-map 0:a:0"));
        line.extend(words("-c:a aac -b:a"));
        line.push(format!("{SOUND_KBITS}k").into());
        line.extend(words("-ac 2 -ar 48000 -af aresample=async=1:first_pts=0"));
    } else {
        line.extend(words("-an"));
    }
    line.extend(threads(source));
    line.extend(words(&format!("-fs {} -f mp4 {QUALITY_FILE}", most_bytes(source.duration_ms, peak))));
    line
}

/// Most bytes that a quality takes: what its encoder may write and a fifth, and a MiB for the rest. What is cut off here
/// is shorter than its source, and so refused.
fn most_bytes(duration_ms: u64, peak_kbits: u32) -> u64 {
    // Beside the peak, the encoder may write its buffer, which is two seconds of it.
    let bits = duration_ms.saturating_add(2_000).saturating_mul(u64::from(peak_kbits + SOUND_KBITS));
    (bits / 8).saturating_mul(6) / 5 + (1 << 20)
}

/// A frame that says something, from a tenth of the way on.
pub(super) fn poster(source: &Source<'_>) -> Vec<OsString> {
    let (width, height) = scaled(source.size_px, POSTER_SIDE_PX.min(source.size_px.0.min(source.size_px.1)));
    let at_ms = source.picture_ms.min(source.duration_ms) / 10;
    // From the keyframe before, so that there is a frame even where the last one stands for long.
    let seek = format!("-noaccurate_seek -ss {}.{:03}", at_ms / 1_000, at_ms % 1_000);
    let mut line = input(source, &words(&seek));
    line.extend(words("-map_metadata -1 -an -sn -dn"));
    line.extend(words("-map 0:v:0"));
    // Scaled first: the filter holds all frames that it chooses from.
    line.extend(words(&format!(
        "-vf scale={width}:{height},setsar=1,thumbnail=48 -frames:v 1 -c:v mjpeg -pix_fmt yuvj420p -q:v 3"
    )));
    line.extend(words(&format!("-f image2 -update 1 {POSTER_FILE}")));
    line
}

/// How a storyboard of this length and shape is laid out.
pub(super) fn board(duration_ms: u64, (width, height): (u32, u32)) -> Board {
    let most = u64::from(SHEETS * SHEET_CELLS * SHEET_CELLS);
    let interval_ms = duration_ms.div_ceil(most).max(CELL_INTERVAL_MIN_MS);
    let (_, cell_height_px) = (width, even(ratio(CELL_WIDTH_PX, height, width)).clamp(2, CELL_HEIGHT_MAX_PX));
    Board { interval_ms, cells: duration_ms.div_ceil(interval_ms).max(1), cell_height_px }
}

impl Board {
    /// How many sheets it takes.
    pub(super) fn sheets(&self) -> u64 {
        self.cells.div_ceil(u64::from(SHEET_CELLS * SHEET_CELLS))
    }
}

/// The name of a storyboard's sheet, counted from 1.
pub(super) fn sheet_file(number: u64) -> String {
    format!("sheet-{number}.jpg")
}

/// A storyboard's sheets.
pub(super) fn storyboard(source: &Source<'_>, board: Board) -> Vec<OsString> {
    let only_keyframes = if board.interval_ms >= KEYFRAMES_ONLY_FROM_MS { "-skip_frame nokey" } else { "" };
    let mut line = input(source, &words(only_keyframes));
    line.extend(words("-map_metadata -1 -an -sn -dn"));
    line.extend(words("-map 0:v:0"));
    // The last frame again and again, up to the last sheet: the picture may end before the sound does.
    let filter = format!(
        "fps=fps=1000/{}:start_time=0,scale={CELL_WIDTH_PX}:{},setsar=1,tpad=stop_mode=clone:stop=-1,tile={SHEET_CELLS}x{SHEET_CELLS}",
        board.interval_ms, board.cell_height_px
    );
    line.extend([OsString::from("-vf"), filter.into()]);
    line.extend(words(&format!("-frames:v {} -c:v mjpeg -pix_fmt yuvj420p -q:v 5", board.sheets())));
    line.extend(words("-f image2 -start_number 1 sheet-%d.jpg"));
    line
}

/// Everything up to the source: it may open files alone, is an MP4 whatever it looks like, and asks nobody.
fn input(source: &Source<'_>, options: &[OsString]) -> Vec<OsString> {
    let mut line = words("-nostdin -hide_banner -loglevel error -nostats -progress pipe:1 -y");
    line.extend(threads(source));
    line.extend(options.iter().cloned());
    line.extend(words(&format!(
        "-max_alloc {PIECE_BYTES} -max_pixels {PICTURE_PX} -protocol_whitelist file,pipe -f mov -i"
    )));
    let mut path = OsString::from("file:");
    path.push(source.path);
    line.push(path);
    line
}

fn threads(source: &Source<'_>) -> Vec<OsString> {
    if source.threads == 0 { Vec::new() } else { words(&format!("-threads {}", source.threads)) }
}

fn words(text: &str) -> Vec<OsString> {
    text.split_whitespace().map(OsString::from).collect()
}

/// Width and height of a picture whose shorter side is brought to `side`, both even as H.264 4:2:0 wants them.
fn scaled((width, height): (u32, u32), side: u32) -> (u32, u32) {
    let shorter = width.min(height);
    (even(ratio(side, width, shorter)), even(ratio(side, height, shorter)))
}

/// `value` × `by` / `of`, rounded; what does not fit stays as it is.
fn ratio(value: u32, by: u32, of: u32) -> u32 {
    let (value_wide, by, of) = (u64::from(value), u64::from(by), u64::from(of.max(1)));
    u32::try_from((value_wide * by + of / 2) / of).unwrap_or(value)
}

fn even(value: u32) -> u32 {
    (value & !1).max(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source<'static> {
        Source {
            path: Path::new("/a b/%d"),
            duration_ms: 12_345,
            picture_ms: 12_345,
            has_sound: true,
            size_px: (1920, 1080),
            frames_per_1000_s: 25_000,
            threads: 0,
        }
    }

    fn text(line: &[OsString]) -> String {
        line.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn sides_are_even_and_keep_their_ratio() {
        for (size, side, wanted) in [
            ((1920, 1080), 480, (852, 480)),
            ((1080, 1920), 240, (240, 426)),
            ((640, 360), 240, (426, 240)),
            ((4096, 1716), 1080, (2578, 1080)),
            ((721, 405), 404, (718, 404)),
            ((16_384, 2), 2, (16_384, 2)),
            ((1, 1), 1, (2, 2)),
        ] {
            assert_eq!(scaled(size, side), wanted, "{size:?}");
        }
    }

    #[test]
    fn the_tracks_are_the_ones_that_viewers_get_and_the_path_is_one_word() {
        let line = text(&quality(&source(), 480));
        assert!(line.contains("|-i|file:/a b/%d|"), "{line}");
        assert!(line.contains("|-map|0:v:0|") && line.contains("|-map|0:a:0|"), "{line}");
        assert!(line.contains("|scale=852:480,setsar=1|") && line.contains("|-maxrate|1400k|"), "{line}");
        assert!(!line.contains("fps=") && line.ends_with("|-f|mp4|quality.mp4"), "{line}");
        assert!(text(&poster(&source())).contains("|-ss|1.234|"));
    }

    #[test]
    fn no_command_takes_memory_without_bounds() {
        for line in [quality(&source(), 480), poster(&source()), storyboard(&source(), board(12_345, (1920, 1080)))] {
            let line = text(&line);
            let (before, _) = line.split_once("|-i|").unwrap();
            assert!(before.contains("|-max_alloc|268435456|-max_pixels|35651584|"), "{line}");
        }
    }

    #[test]
    fn no_sound_is_asked_of_a_silent_source_and_no_more_than_sixty_frames_of_a_fast_one() {
        let fast = Source { frames_per_1000_s: 240_000, threads: 2, has_sound: false, ..source() };
        let line = text(&quality(&fast, 1078));
        assert!(line.contains("|-an|") && !line.contains("aac"), "{line}");
        assert!(line.contains("|fps=60,scale=") && line.contains("|-maxrate|5000k|"), "{line}");
        assert_eq!(line.matches("|-threads|2|").count(), 2);
    }

    #[test]
    fn what_a_quality_may_take_grows_with_its_length_and_its_rate() {
        // (12.345 s + 2 s) × (1,400 + 128) kbit/s, and a fifth, and a MiB.
        assert!(text(&quality(&source(), 480)).contains("|-fs|4336450|"), "{}", text(&quality(&source(), 480)));
        assert!(most_bytes(u64::MAX, 18_000) > most_bytes(1 << 40, 18_000));
    }

    #[test]
    fn a_storyboard_has_twenty_sheets_at_most_and_a_cell_at_least() {
        for (duration_ms, interval_ms, cells, sheets) in [
            (1, 1_000, 1, 1),
            (2_000, 1_000, 2, 1),
            (36_001, 1_000, 37, 2),
            (720_000, 1_000, 720, 20),
            (7_200_000, 10_000, 720, 20),
            (7_200_001, 10_001, 720, 20),
        ] {
            let board = board(duration_ms, (1920, 1080));
            assert_eq!((board.interval_ms, board.cells, board.sheets()), (interval_ms, cells, sheets), "{duration_ms}");
            assert_eq!(board.cell_height_px, 90);
        }
        assert_eq!(board(1, (2, 16_384)).cell_height_px, CELL_HEIGHT_MAX_PX);
        assert_eq!(board(1, (16_384, 2)).cell_height_px, 2);
    }
}
