//! The manifest's very text.

use super::*;
use crate::domain::{AudioFormat, MediaFileId, RenditionOrigin, Timestamp, VideoFormat};
use crate::media::source::MAX_SEGMENTS;
use proptest::prelude::*;

fn id(number: u8) -> MediaFileId {
    MediaFileId::from_random([number; 16])
}

fn rendition(number: u8, height: u32, frames_per_1000_s: u32) -> Rendition {
    let codec = "avc1.64001f".to_owned();
    let video = VideoFormat { codec, width_px: height * 16 / 9, height_px: height, frames_per_1000_s };
    Rendition {
        file: id(number),
        index: id(number + 1),
        stored_at: Timestamp::from_millis(0),
        label: format!("{height}p"),
        origin: RenditionOrigin::Source,
        packager: 1,
        size_bytes: 1_000_000,
        duration_ms: 10_000,
        peak_bits_per_s: u64::from(height) * 2000,
        average_bits_per_s: u64::from(height) * 1000,
        keyframe_bits_per_s: 0,
        independent_segments: true,
        longest_segment_ms: 2002,
        video: (height > 0).then_some(video),
        audio: Some(AudioFormat { codec: "mp4a.40.2".to_owned(), channels: 2, sample_rate_hz: 48_000 }),
    }
}

fn captions(language: &str, label: &str) -> Captions {
    let (language, label) = (language.to_owned(), label.to_owned());
    Captions { language, label, file: id(90), stored_at: Timestamp::from_millis(0) }
}

fn index(timescale: u32, durations: &[u32]) -> SegmentIndex {
    let mut start = 0;
    let segments = durations.iter().map(|&duration| {
        let segment =
            Segment { offset: 0, bytes: 5000, start, duration, keyframe_bytes: 9, access_point: AccessPoint::Closed };
        start += u64::from(duration);
        segment
    });
    SegmentIndex { timescale, init_bytes: 800, segments: segments.collect() }
}

#[test]
fn a_manifest_lists_qualities_and_captions() {
    let (low, high) = (rendition(1, 360, 29_970), rendition(3, 720, 30_000));
    let (low_index, high_index) = (index(30_000, &[60_060, 60_060, 30_000]), index(1000, &[2002, 2002, 1000]));
    let manifest = dash_manifest(&[(&low, &low_index), (&high, &high_index)], &[captions("en", "Tom & \"Jerry\"")]);
    let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011\" type=\"static\" \
        mediaPresentationDuration=\"PT5.004S\" maxSegmentDuration=\"PT2.002S\" minBufferTime=\"PT2.002S\">\n\
        <Period id=\"1\" start=\"PT0S\">\n\
        <AdaptationSet id=\"1\" contentType=\"video\" mimeType=\"video/mp4\" segmentAlignment=\"true\" startWithSAP=\"1\">\n\
        <Representation id=\"01010101-0101-4101-8101-010101010101\" codecs=\"avc1.64001f,mp4a.40.2\" bandwidth=\"720000\" \
        width=\"640\" height=\"360\" frameRate=\"29970/1000\" audioSamplingRate=\"48000\">\n\
        <SegmentTemplate timescale=\"30000\" startNumber=\"1\" initialization=\"$RepresentationID$/init.mp4\" \
        media=\"$RepresentationID$/$Number$.m4s\">\n\
        <SegmentTimeline><S t=\"0\" d=\"60060\" r=\"1\"/><S d=\"30000\"/></SegmentTimeline>\n\
        </SegmentTemplate>\n</Representation>\n\
        <Representation id=\"03030303-0303-4303-8303-030303030303\" codecs=\"avc1.64001f,mp4a.40.2\" bandwidth=\"1440000\" \
        width=\"1280\" height=\"720\" frameRate=\"30\" audioSamplingRate=\"48000\">\n\
        <SegmentTemplate timescale=\"1000\" startNumber=\"1\" initialization=\"$RepresentationID$/init.mp4\" \
        media=\"$RepresentationID$/$Number$.m4s\">\n\
        <SegmentTimeline><S t=\"0\" d=\"2002\" r=\"1\"/><S d=\"1000\"/></SegmentTimeline>\n\
        </SegmentTemplate>\n</Representation>\n\
        </AdaptationSet>\n\
        <AdaptationSet id=\"2\" contentType=\"text\" mimeType=\"text/vtt\" lang=\"en\">\
        <Label>Tom &amp; &quot;Jerry&quot;</Label><Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"caption\"/>\
        <Representation id=\"captions-en\" bandwidth=\"1000\"><BaseURL>captions/en.vtt</BaseURL></Representation>\
        </AdaptationSet>\n</Period>\n</MPD>\n";
    assert_eq!(manifest, expected);
}

#[test]
fn segments_cut_elsewhere_are_told() {
    let (low, high) = (rendition(1, 360, 30_000), rendition(3, 720, 30_000));
    let manifest = dash_manifest(&[(&low, &index(10, &[20, 20])), (&high, &index(10, &[30, 10]))], &[]);
    assert!(manifest.contains("segmentAlignment=\"false\""), "{manifest}");
    let manifest = dash_manifest(&[(&low, &index(10, &[20, 20])), (&high, &index(10, &[20, 20, 20]))], &[]);
    assert!(manifest.contains("segmentAlignment=\"false\""), "{manifest}");
}

#[test]
fn sound_is_listed_where_there_is_no_picture() {
    let (sound, picture) = (rendition(1, 0, 0), rendition(3, 360, 0));
    let index = index(10, &[20]);
    let both = dash_manifest(&[(&sound, &index), (&picture, &index)], &[]);
    assert!(!both.contains(&id(1).to_string()) && both.contains(&id(3).to_string()), "{both}");
    assert!(!both.contains("frameRate"), "{both}");
    let alone = dash_manifest(&[(&sound, &index)], &[]);
    assert!(alone.contains("contentType=\"audio\" mimeType=\"audio/mp4\""), "{alone}");
    assert!(alone.contains("codecs=\"mp4a.40.2\" bandwidth=\"0\" audioSamplingRate"), "{alone}");
}

#[test]
fn four_hours_of_equal_segments_are_one_run() {
    let rendition = rendition(1, 360, 30_000);
    let manifest = dash_manifest(&[(&rendition, &index(30_000, &[60_060; 7200]))], &[]);
    assert!(manifest.contains("<SegmentTimeline><S t=\"0\" d=\"60060\" r=\"7199\"/></SegmentTimeline>"), "{manifest}");
}

proptest! {
    #[test]
    fn runs_give_back_every_segment(durations in prop::collection::vec(0..4_u32, 0..80)) {
        let index = index(10, &durations);
        let mut found = Vec::new();
        for run in runs(&index.segments) {
            found.extend((0..=run.repeats).map(|nth| (run.start + nth * run.duration, run.duration)));
        }
        let meant = index.segments.iter().map(|segment| (segment.start, u64::from(segment.duration)));
        prop_assert_eq!(found, meant.collect::<Vec<_>>());
    }

    #[test]
    fn no_label_breaks_out_of_its_element(label in any::<Vec<char>>().prop_map(String::from_iter)) {
        let manifest = dash_manifest(&[], &[captions("en", &label)]);
        let name = manifest.split_once("<Label>").and_then(|(_, rest)| rest.split_once("</Label>")).unwrap().0;
        prop_assert!(!name.contains(['<', '>', '"', '\'']));
        let is_forbidden = name.contains(|one: char| one.is_control() || matches!(one, '\u{fffe}' | '\u{ffff}'));
        prop_assert!(!is_forbidden);
        let back = ["&lt;<", "&gt;>", "&quot;\"", "&apos;'", "&amp;&"].iter().fold(name.to_owned(), |text, entity| {
            let (entity, meant) = entity.split_at(entity.len() - 1);
            text.replace(entity, meant)
        });
        prop_assert_eq!(back, on_one_line(&label));
    }
}

#[test]
fn a_manifest_names_the_highest_type_of_access_point_that_all_keep() {
    use AccessPoint::{Closed, Open, Reordered, Unknown};
    let one = rendition(1, 360, 25_000);
    for (access_points, said) in [
        ([Closed, Closed], Some("startWithSAP=\"1\"")),
        ([Closed, Reordered], Some("startWithSAP=\"2\"")),
        ([Open, Closed], Some("startWithSAP=\"3\"")),
        ([Open, Unknown], None),
    ] {
        let mut index = index(1000, &[2000, 2000]);
        index.segments.iter_mut().zip(access_points).for_each(|(segment, one)| segment.access_point = one);
        let manifest = dash_manifest(&[(&one, &index)], &[]);
        match said {
            Some(said) => assert!(manifest.contains(said), "{access_points:?}: {manifest}"),
            None => assert!(!manifest.contains("startWithSAP"), "{manifest}"),
        }
    }
}

#[test]
fn a_manifest_leaves_out_what_would_make_it_longer_than_its_limit() {
    // No two segments in a row last equally long, so that each is named.
    let durations: Vec<u32> = (0..MAX_SEGMENTS).map(|number| 4_000_000 + u32::from(number % 2 == 0)).collect();
    let index = index(1_000_000, &durations);
    let renditions: Vec<Rendition> = (1..=12).map(|number| rendition(number * 2, 360, 30_000)).collect();
    let listed: Vec<(&Rendition, &SegmentIndex)> = renditions.iter().map(|one| (one, &index)).collect();
    let manifest = dash_manifest(&listed, &[captions("en", "English")]);
    let count = manifest.matches("<Representation id=").count();
    assert!((3..=5).contains(&count) && manifest.len() < 2 << 20, "{count} of them, {} bytes", manifest.len());
    assert!(manifest.contains(&format!("id=\"{}\"", renditions[0].file)) && manifest.ends_with("</MPD>\n"));
    // All of those that take little room are there.
    let short = SegmentIndex { segments: index.segments[..100].to_vec(), ..index.clone() };
    let listed: Vec<(&Rendition, &SegmentIndex)> = renditions.iter().map(|one| (one, &short)).collect();
    assert_eq!(dash_manifest(&listed, &[]).matches("<Representation id=").count(), 12);
}
