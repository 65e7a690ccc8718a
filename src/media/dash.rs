//! The DASH manifest (ISO/IEC 23009-1) of the same files.
//!
//! Picture and sound lie in the same segments, which the standard allows and Shaka Player plays. dash.js wants them apart;
//! pages that use it should play HLS with hls.js instead.

use super::playlist_text::{on_one_line, push_number, push_seconds, to_micros};
use super::segment_index::{AccessPoint, Segment, SegmentIndex};
use crate::domain::{Captions, Rendition};
use std::fmt::Write;

/// Bits a second of captions, which the manifest must name: the order of size, as nobody chooses by it.
const CAPTIONS_BITS_PER_S: u32 = 1000;
/// Longest list of qualities, in bytes (2 MiB): those that would not fit are left out, beginning with what comes last. Of
/// the longest film one fits, and all of any whose segments last equally long.
const MAX_QUALITIES_BYTES: usize = 2 << 20;
/// Room for one rendition without its runs.
const BYTES_PER_RENDITION: usize = 512;
/// Room for one run of segments that last equally long.
const BYTES_PER_RUN: usize = 32;

/// The manifest of all qualities. Where some have a picture, those without are left out: a player would take them for
/// the sound of the others, which have their own.
pub fn dash_manifest(renditions: &[(&Rendition, &SegmentIndex)], captions: &[Captions]) -> String {
    let has_picture = renditions.iter().any(|(rendition, _)| rendition.video.is_some());
    let listed: Vec<_> = renditions.iter().filter(|(one, _)| one.video.is_some() == has_picture).copied().collect();
    let micros = |time: u64, index: &SegmentIndex| to_micros(time, index.timescale);
    let duration = listed.iter().map(|(_, index)| micros(index.duration(), index)).max().unwrap_or(0);
    let longest = |index: &SegmentIndex| index.segments.iter().map(|one| micros(one.duration.into(), index)).max();
    let longest = listed.iter().filter_map(|(_, index)| longest(index)).max().unwrap_or(0);

    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011\" type=\"static\"",
    );
    // BANDWIDTH is of the most demanding segment: at that speed one segment is enough to begin with.
    for (name, micros) in
        [("mediaPresentationDuration", duration), ("maxSegmentDuration", longest), ("minBufferTime", longest)]
    {
        let _ = write!(text, " {name}=\"PT");
        push_seconds(&mut text, micros);
        text.push_str("S\"");
    }
    text.push_str(">\n<Period id=\"1\" start=\"PT0S\">\n");
    let (content_type, mime_type) = if has_picture { ("video", "video/mp4") } else { ("audio", "audio/mp4") };
    let _ = writeln!(
        text,
        "<AdaptationSet id=\"1\" contentType=\"{content_type}\" mimeType=\"{mime_type}\" segmentAlignment=\"{}\"{}>",
        are_aligned(&listed),
        access_points(&listed)
    );
    for (number, (rendition, index)) in listed.iter().enumerate() {
        let before = text.len();
        push_representation(&mut text, rendition, index);
        // One quality less plays, too.
        if number > 0 && text.len() > MAX_QUALITIES_BYTES {
            text.truncate(before);
        }
    }
    text.push_str("</AdaptationSet>\n");
    for (id, one) in (2..).zip(captions) {
        let (language, label) = (&one.language, escaped(&one.label));
        let _ = writeln!(
            text,
            "<AdaptationSet id=\"{id}\" contentType=\"text\" mimeType=\"text/vtt\" lang=\"{language}\">\
             <Label>{label}</Label><Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"caption\"/>\
             <Representation id=\"captions-{language}\" bandwidth=\"{CAPTIONS_BITS_PER_S}\">\
             <BaseURL>captions/{language}.vtt</BaseURL></Representation></AdaptationSet>"
        );
    }
    text.push_str("</Period>\n</MPD>\n");
    text
}

/// The type of access point, or a lower one, with which every segment of all of them starts; nothing where there is one
/// of which it is not known (ISO/IEC 23009-1 §5.3.7.2).
fn access_points(renditions: &[(&Rendition, &SegmentIndex)]) -> String {
    let segments = renditions.iter().flat_map(|(_, index)| &index.segments);
    let highest = segments.map(|segment| segment.access_point).max();
    let sap_type = highest.and_then(AccessPoint::sap_type);
    sap_type.map(|sap_type| format!(" startWithSAP=\"{sap_type}\"")).unwrap_or_default()
}

/// Whether segments of the same number begin and end at the same time in all of them, to the millisecond: timescales
/// differ.
fn are_aligned(renditions: &[(&Rendition, &SegmentIndex)]) -> bool {
    let starts = |index: &SegmentIndex| -> Vec<u64> {
        index.segments.iter().map(|segment| to_micros(segment.start, index.timescale) / 1000).collect()
    };
    let mut all = renditions.iter().map(|(_, index)| starts(index));
    let Some(first) = all.next() else { return true };
    all.all(|one| one.len() == first.len() && one.iter().zip(&first).all(|(one, first)| one.abs_diff(*first) <= 1))
}

fn push_representation(text: &mut String, rendition: &Rendition, index: &SegmentIndex) {
    let (file, codecs, bandwidth) = (rendition.file, escaped(&rendition.codecs()), rendition.peak_bits_per_s);
    let runs = runs(&index.segments);
    text.reserve(BYTES_PER_RENDITION + runs.len() * BYTES_PER_RUN);
    let _ = write!(text, "<Representation id=\"{file}\" codecs=\"{codecs}\" bandwidth=\"{bandwidth}\"");
    if let Some(video) = &rendition.video {
        let _ = write!(text, " width=\"{}\" height=\"{}\"", video.width_px, video.height_px);
        let frames = video.frames_per_1000_s;
        if frames > 0 {
            let _ = match frames % 1000 {
                0 => write!(text, " frameRate=\"{}\"", frames / 1000),
                _ => write!(text, " frameRate=\"{frames}/1000\""),
            };
        }
    }
    if let Some(audio) = &rendition.audio {
        let _ = write!(text, " audioSamplingRate=\"{}\"", audio.sample_rate_hz);
    }
    let _ = write!(
        text,
        ">\n<SegmentTemplate timescale=\"{}\" startNumber=\"1\" initialization=\"$RepresentationID$/init.mp4\" \
         media=\"$RepresentationID$/$Number$.m4s\">\n<SegmentTimeline>",
        index.timescale
    );
    let mut at = None;
    for run in runs {
        text.push_str("<S");
        // Only where it does not follow from the one before it.
        if at != Some(run.start) {
            text.push_str(" t=\"");
            push_number(text, run.start);
            text.push('"');
        }
        text.push_str(" d=\"");
        push_number(text, run.duration);
        if run.repeats > 0 {
            text.push_str("\" r=\"");
            push_number(text, run.repeats);
        }
        text.push_str("\"/>");
        at = Some(run.end());
    }
    text.push_str("</SegmentTimeline>\n</SegmentTemplate>\n</Representation>\n");
}

/// Segments in a row that last equally long.
struct Run {
    start: u64,
    duration: u64,
    /// How many of them follow the first.
    repeats: u64,
}

impl Run {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.duration.saturating_mul(self.repeats.saturating_add(1)))
    }
}

fn runs(segments: &[Segment]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for segment in segments {
        let duration = u64::from(segment.duration);
        match runs.last_mut() {
            Some(run) if run.duration == duration && run.end() == segment.start => run.repeats += 1,
            _ => runs.push(Run { start: segment.start, duration, repeats: 0 }),
        }
    }
    runs
}

/// `text` as it may stand in XML, between quotes too.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for one in on_one_line(text).chars() {
        match one {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
