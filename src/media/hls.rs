//! HLS playlists (RFC 8216) of packaged renditions. Every URI is relative, so that one grant in the path covers them
//! all; nothing in them depends on who asks.

use super::playlist_text::{on_one_line, push_number, push_seconds, to_micros, to_rounded_seconds};
use super::segment_index::{Segment, SegmentIndex};
use crate::domain::{Captions, Playable, Rendition};
use std::collections::BTreeSet;
use std::fmt::Write;

/// What every playlist begins with. Version 6 is the first in which segments may be fragmented MP4 (`EXT-X-MAP`
/// outside I-frame playlists, RFC 8216 §7); it speaks for the media behind a playlist as well (§4.3.1.2), so it is the
/// same in all of them.
const HEAD: &str = "#EXTM3U\n#EXT-X-VERSION:6\n";
/// That a segment can be decoded without another (RFC 8216 §4.3.5.1).
const INDEPENDENT_SEGMENTS: &str = "#EXT-X-INDEPENDENT-SEGMENTS\n";
/// Name of the one group of captions.
const CAPTIONS_GROUP: &str = "captions";
/// Room for one segment: a duration and a name.
const SEGMENT_BYTES: usize = 32;
/// Room for one keyframe: a byte range as well.
const KEYFRAME_BYTES: usize = 64;
/// Room for the tags before and after the segments.
const BYTES_AROUND_SEGMENTS: usize = 256;

/// The playlist of all qualities.
///
/// Many players start with what stands first: that is the lowest bit rate that has a picture. Sound alone stands last,
/// where only a player that can't keep up with any picture comes to it.
pub fn master_playlist(playable: &Playable) -> String {
    let mut text = HEAD.to_owned();
    // It speaks for every segment of every playlist (RFC 8216 §4.3.5.1).
    if playable.renditions.iter().all(|rendition| rendition.independent_segments) {
        text.push_str(INDEPENDENT_SEGMENTS);
    }
    push_captions(&mut text, &playable.captions);
    let (with_picture, sound_alone): (Vec<_>, Vec<_>) =
        playable.renditions.iter().partition(|rendition| rendition.video.is_some());
    for rendition in with_picture.iter().chain(&sound_alone) {
        push_variant(&mut text, rendition, playable.captions.is_empty());
    }
    for rendition in with_picture {
        push_iframe_variant(&mut text, rendition);
    }
    text
}

/// The segments of one quality.
pub fn media_playlist(index: &SegmentIndex) -> String {
    let ends = |one: &Segment| to_micros(one.start.saturating_add(one.duration.into()), index.timescale);
    let duration = |one: &Segment| ends(one).saturating_sub(to_micros(one.start, index.timescale));
    let longest = index.segments.iter().map(duration).max().unwrap_or(0);
    let mut text = opened(longest, index.segments.len() * SEGMENT_BYTES);
    if index.is_independent() {
        text.push_str(INDEPENDENT_SEGMENTS);
    }
    text.push_str("#EXT-X-MAP:URI=\"init.mp4\"\n");
    for (number, segment) in (1..).zip(&index.segments) {
        push_segment(&mut text, duration(segment), number, None);
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

/// The keyframes of one quality, for players that scrub.
pub fn iframe_playlist(index: &SegmentIndex) -> String {
    let keyframes = keyframes(index);
    let longest = keyframes.iter().map(|keyframe| keyframe.micros).max().unwrap_or(0);
    let mut text = opened(longest, keyframes.len() * KEYFRAME_BYTES);
    text.push_str("#EXT-X-I-FRAMES-ONLY\n#EXT-X-MAP:URI=\"init.mp4\"\n");
    for keyframe in keyframes {
        push_segment(&mut text, keyframe.micros, keyframe.segment_number, Some(keyframe.bytes));
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

/// Captions in one language, as one segment that lasts as long as the video. It carries no `X-TIMESTAMP-MAP`: its times
/// count from the beginning, as ours do (RFC 8216 §3.5).
pub fn captions_playlist(captions: &Captions, duration_ms: u64) -> String {
    let micros = duration_ms.saturating_mul(1000);
    let mut text = opened(micros, SEGMENT_BYTES);
    text.push_str("#EXTINF:");
    push_seconds(&mut text, micros);
    let _ = write!(text, ",\n{}.vtt\n#EXT-X-ENDLIST\n", captions.language);
    text
}

/// Keyframes of a stretch that are added up at most: one that stands for hours must not make every stretch as long.
const MAX_STRETCH: usize = 256;

/// Bits a second of the most demanding stretch of [`iframe_playlist`] (RFC 8216 §4.1: neighbours that last 0.5 to 1.5
/// target durations together); 0 where there is no picture. A video shorter than that is one stretch.
pub fn keyframe_bits_per_s(index: &SegmentIndex) -> u64 {
    let keyframes = keyframes(index);
    let longest = keyframes.iter().map(|keyframe| keyframe.micros).max().unwrap_or(0);
    let half_target = target_duration_s(longest).saturating_mul(500_000);
    let mut peak = None;
    for first in 0..keyframes.len() {
        let (mut bytes, mut micros) = (0_u64, 0_u64);
        for keyframe in keyframes.iter().skip(first).take(MAX_STRETCH) {
            bytes = bytes.saturating_add(keyframe.bytes.into());
            micros = micros.saturating_add(keyframe.micros);
            if micros > half_target.saturating_mul(3) {
                break;
            }
            if micros >= half_target {
                peak = peak.max(bits_per_s(bytes, micros));
            }
        }
    }
    let all = || {
        let bytes = keyframes.iter().map(|keyframe| u64::from(keyframe.bytes)).sum();
        bits_per_s(bytes, keyframes.iter().map(|keyframe| keyframe.micros).sum())
    };
    peak.or_else(all).unwrap_or(0)
}

/// A keyframe, and how long it stands: until the next one, the last one to the end. The first one stands from the
/// beginning, so that what lies before it moves none of the others.
struct Keyframe {
    segment_number: u64,
    bytes: u32,
    micros: u64,
}

fn keyframes(index: &SegmentIndex) -> Vec<Keyframe> {
    let numbered = (1_u64..).zip(&index.segments);
    let mut with_picture = numbered.filter(|(_, segment)| segment.keyframe_bytes > 0).peekable();
    let mut begin = index.segments.first().map_or(0, |first| to_micros(first.start, index.timescale));
    let mut keyframes = Vec::with_capacity(index.segments.len());
    while let Some((segment_number, segment)) = with_picture.next() {
        let end = with_picture.peek().map_or_else(|| index.duration(), |(_, next)| next.start);
        let end = to_micros(end, index.timescale);
        let micros = end.saturating_sub(begin);
        keyframes.push(Keyframe { segment_number, bytes: segment.keyframe_bytes, micros });
        begin = end;
    }
    keyframes
}

fn bits_per_s(bytes: u64, micros: u64) -> Option<u64> {
    bytes.saturating_mul(8_000_000).checked_div(micros)
}

/// The longest duration, rounded (RFC 8216 §4.3.3.1); never 0, which some players take for a live stream at a stand.
fn target_duration_s(longest_micros: u64) -> u64 {
    to_rounded_seconds(longest_micros).max(1)
}

/// A playlist of segments up to where kinds of them begin to differ, with room for them.
fn opened(longest_micros: u64, segment_bytes: usize) -> String {
    let mut text = String::with_capacity(BYTES_AROUND_SEGMENTS + segment_bytes);
    text.push_str(HEAD);
    text.push_str("#EXT-X-TARGETDURATION:");
    push_number(&mut text, target_duration_s(longest_micros));
    text.push_str("\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n");
    text
}

fn push_segment(text: &mut String, micros: u64, number: u64, first_bytes: Option<u32>) {
    text.push_str("#EXTINF:");
    push_seconds(text, micros);
    text.push_str(",\n");
    if let Some(bytes) = first_bytes {
        text.push_str("#EXT-X-BYTERANGE:");
        push_number(text, bytes.into());
        text.push_str("@0\n");
    }
    push_number(text, number);
    text.push_str(".m4s\n");
}

fn push_captions(text: &mut String, captions: &[Captions]) {
    let mut names = BTreeSet::new();
    for one in captions {
        let language = &one.language;
        let mut name = quotable(&one.label).trim().to_owned();
        if name.is_empty() {
            name.clone_from(language);
        }
        // Names differ within a group (RFC 8216 §4.3.4.1.1).
        while names.contains(&name) {
            let _ = write!(name, " ({language})");
        }
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"{CAPTIONS_GROUP}\",NAME=\"{name}\",LANGUAGE=\"{language}\",\
             AUTOSELECT=YES,DEFAULT=NO,FORCED=NO,URI=\"captions/{language}.m3u8\""
        );
        names.insert(name);
    }
}

fn push_variant(text: &mut String, rendition: &Rendition, is_without_captions: bool) {
    let Rendition { file, peak_bits_per_s, average_bits_per_s, .. } = rendition;
    let codecs = quotable(&rendition.codecs());
    let _ = write!(
        text,
        "#EXT-X-STREAM-INF:BANDWIDTH={peak_bits_per_s},AVERAGE-BANDWIDTH={average_bits_per_s},CODECS=\"{codecs}\""
    );
    if let Some(video) = &rendition.video {
        let _ = write!(text, ",RESOLUTION={}x{}", video.width_px, video.height_px);
        if video.frames_per_1000_s > 0 {
            let _ =
                write!(text, ",FRAME-RATE={}.{:03}", video.frames_per_1000_s / 1000, video.frames_per_1000_s % 1000);
        }
    }
    let _ = write!(text, ",STABLE-VARIANT-ID=\"{file}\"");
    if !is_without_captions {
        let _ = write!(text, ",SUBTITLES=\"{CAPTIONS_GROUP}\"");
    }
    let _ = write!(text, ",CLOSED-CAPTIONS=NONE\n{file}/index.m3u8\n");
}

fn push_iframe_variant(text: &mut String, rendition: &Rendition) {
    let Some(video) = &rendition.video else { return };
    // Renditions of the past did not know: no stretch of keyframes asks for more than all of it.
    let known = Some(rendition.keyframe_bits_per_s).filter(|known| *known > 0);
    let bandwidth = known.unwrap_or(rendition.peak_bits_per_s);
    let (codec, file) = (quotable(&video.codec), rendition.file);
    let _ = writeln!(
        text,
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={bandwidth},CODECS=\"{codec}\",RESOLUTION={}x{},URI=\"{file}/iframes.m3u8\"",
        video.width_px, video.height_px
    );
}

/// `text` as it may stand between double quotes (RFC 8216 §4.2).
fn quotable(text: &str) -> String {
    on_one_line(text).replace('"', "'")
}

#[cfg(test)]
mod tests;
