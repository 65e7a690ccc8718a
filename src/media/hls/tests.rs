//! The playlists' very text, and what another parser reads in them.

use super::*;
use crate::domain::{AudioFormat, MediaFileId, RenditionOrigin, Timestamp, VideoFormat};
use crate::media::AccessPoint;
use crate::media::source::MAX_SEGMENTS;
use m3u8_rs::{AlternativeMediaType, ByteRange, ClosedCaptionGroupId, MasterPlaylist, MediaPlaylist};
use proptest::prelude::*;

fn id(number: u8) -> MediaFileId {
    MediaFileId::from_random([number; 16])
}

fn rendition(number: u8, height: u32) -> Rendition {
    let video = VideoFormat {
        codec: "avc1.64001f".to_owned(),
        width_px: height * 16 / 9,
        height_px: height,
        frames_per_1000_s: 29_970,
    };
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
        keyframe_bits_per_s: u64::from(height) * 100,
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

/// Segments that last `durations` and whose keyframes have these lengths.
fn index(timescale: u32, segments: &[(u32, u32)]) -> SegmentIndex {
    let mut start = 0;
    let segments = segments.iter().map(|&(duration, keyframe_bytes)| {
        let segment =
            Segment { offset: 0, bytes: 5000, start, duration, keyframe_bytes, access_point: AccessPoint::Closed };
        start += u64::from(duration);
        segment
    });
    SegmentIndex { timescale, init_bytes: 800, segments: segments.collect() }
}

fn parsed(text: &str) -> MediaPlaylist {
    m3u8_rs::parse_media_playlist_res(text.as_bytes()).expect("another parser reads it")
}

fn parsed_master(text: &str) -> MasterPlaylist {
    m3u8_rs::parse_master_playlist_res(text.as_bytes()).expect("another parser reads it")
}

/// The durations of a playlist as they are written, in microseconds: the other parser's are of 24 bits.
fn written_micros(text: &str) -> Vec<u64> {
    let durations = text.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.strip_suffix(','));
    let micros = durations.map(|duration| {
        let (seconds, fraction) = duration.split_once('.').unwrap_or((duration, ""));
        seconds.parse::<u64>().unwrap() * 1_000_000 + format!("{fraction:0<6}").parse::<u64>().unwrap()
    });
    micros.collect()
}

#[test]
fn a_master_playlist_lists_qualities_keyframes_and_captions() {
    let playable = Playable {
        renditions: vec![rendition(1, 360), rendition(3, 720)],
        captions: vec![captions("en", "English")],
        ..Playable::default()
    };
    let expected = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"captions\",NAME=\"English\",LANGUAGE=\"en\",AUTOSELECT=YES,DEFAULT=NO,\
        FORCED=NO,URI=\"captions/en.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=720000,AVERAGE-BANDWIDTH=360000,CODECS=\"avc1.64001f,mp4a.40.2\",\
        RESOLUTION=640x360,FRAME-RATE=29.970,STABLE-VARIANT-ID=\"01010101-0101-4101-8101-010101010101\",\
        SUBTITLES=\"captions\",CLOSED-CAPTIONS=NONE\n01010101-0101-4101-8101-010101010101/index.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1440000,AVERAGE-BANDWIDTH=720000,CODECS=\"avc1.64001f,mp4a.40.2\",\
        RESOLUTION=1280x720,FRAME-RATE=29.970,STABLE-VARIANT-ID=\"03030303-0303-4303-8303-030303030303\",\
        SUBTITLES=\"captions\",CLOSED-CAPTIONS=NONE\n03030303-0303-4303-8303-030303030303/index.m3u8\n\
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=36000,CODECS=\"avc1.64001f\",RESOLUTION=640x360,\
        URI=\"01010101-0101-4101-8101-010101010101/iframes.m3u8\"\n\
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=72000,CODECS=\"avc1.64001f\",RESOLUTION=1280x720,\
        URI=\"03030303-0303-4303-8303-030303030303/iframes.m3u8\"\n";
    assert_eq!(master_playlist(&playable), expected);
}

#[test]
fn segments_are_called_independent_where_all_of_them_are() {
    let of = |independent: [bool; 2]| {
        let mut renditions = vec![rendition(1, 360), rendition(3, 720)];
        renditions.iter_mut().zip(independent).for_each(|(one, is)| one.independent_segments = is);
        parsed_master(&master_playlist(&Playable { renditions, ..Playable::default() })).independent_segments
    };
    assert_eq!([[true, true], [true, false], [false, true]].map(of), [true, false, false]);
    for (access_point, is_independent) in [
        (AccessPoint::Closed, true),
        (AccessPoint::Reordered, true),
        (AccessPoint::Open, false),
        (AccessPoint::Unknown, false),
    ] {
        let mut index = index(1000, &[(2000, 9), (2000, 9)]);
        index.segments[1].access_point = access_point;
        let text = media_playlist(&index);
        assert_eq!(parsed(&text).independent_segments, is_independent, "{access_point:?}: {text}");
    }
}

#[test]
fn another_parser_reads_in_a_master_playlist_what_was_meant() {
    let playable = Playable {
        renditions: vec![rendition(1, 360), rendition(3, 720)],
        captions: vec![captions("pt-BR", "Português")],
        ..Playable::default()
    };
    let read = parsed_master(&master_playlist(&playable));
    assert_eq!((read.version, read.independent_segments, read.unknown_tags.len()), (Some(6), true, 0));
    assert_eq!(read.variants.iter().map(|one| one.is_i_frame).collect::<Vec<_>>(), [false, false, true, true]);
    for (one, rendition) in read.variants.iter().zip(&playable.renditions) {
        assert_eq!(one.uri, format!("{}/index.m3u8", rendition.file));
        assert_eq!(
            (one.bandwidth, one.average_bandwidth),
            (rendition.peak_bits_per_s, Some(rendition.average_bits_per_s))
        );
        assert_eq!((one.codecs.as_deref(), one.frame_rate), (Some("avc1.64001f,mp4a.40.2"), Some(29.97)));
        let resolution = one.resolution.unwrap();
        let dimensions = rendition.dimensions().map(|(width, height)| (width.into(), height.into()));
        assert_eq!(Some((resolution.width, resolution.height)), dimensions);
        assert_eq!(
            (one.subtitles.as_deref(), &one.closed_captions),
            (Some("captions"), &Some(ClosedCaptionGroupId::None))
        );
        let others = one.other_attributes.as_ref().unwrap();
        assert_eq!(others.get("STABLE-VARIANT-ID").and_then(|id| id.as_quoted()), Some(&*rendition.file.to_string()));
    }
    let [media] = &read.alternatives[..] else { panic!("one language") };
    assert_eq!((media.media_type.clone(), media.name.as_str()), (AlternativeMediaType::Subtitles, "Português"));
    assert_eq!((media.language.as_deref(), media.uri.as_deref()), (Some("pt-BR"), Some("captions/pt-BR.m3u8")));
    assert_eq!((media.autoselect, media.default, media.forced), (true, false, false));
}

#[test]
fn a_quality_without_picture_stands_last_and_has_no_keyframes() {
    let playable = Playable { renditions: vec![rendition(1, 0), rendition(3, 360)], ..Playable::default() };
    let text = master_playlist(&playable);
    let read = parsed_master(&text);
    let uris: Vec<_> = read.variants.iter().map(|one| one.uri.clone()).collect();
    let (sound, picture) = (id(1), id(3));
    assert_eq!(
        uris,
        [format!("{picture}/index.m3u8"), format!("{sound}/index.m3u8"), format!("{picture}/iframes.m3u8")]
    );
    let sound = &read.variants[1];
    assert_eq!((sound.codecs.as_deref(), sound.resolution, sound.frame_rate), (Some("mp4a.40.2"), None, None));
    assert!(!text.contains("SUBTITLES"), "{text}");
}

#[test]
fn a_record_without_keyframe_rate_names_the_peak_and_without_frame_rate_none() {
    let mut old = rendition(1, 360);
    old.keyframe_bits_per_s = 0;
    old.video.as_mut().unwrap().frames_per_1000_s = 0;
    let text = master_playlist(&Playable { renditions: vec![old], ..Playable::default() });
    assert!(text.contains("#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=720000,") && !text.contains("FRAME-RATE"), "{text}");
}

#[test]
fn hostile_labels_stay_names() {
    let labels = [
        "\",URI=\"https://evil.example/",
        "a\r\n#EXT-X-STREAM-INF:BANDWIDTH=1\r\nhttps://evil.example/",
        "a\u{2028}b\u{85}c\0d",
        "\u{7f}",
        "日本語, \\ \u{202e}",
    ];
    let names = [
        "',URI='https://evil.example/",
        "a  #EXT-X-STREAM-INF:BANDWIDTH=1  https://evil.example/",
        "a b c d",
        "ee",
        "日本語, \\ \u{202e}",
    ];
    let languages = ["aa", "bb", "cc", "ee", "ff"];
    let captions = languages.iter().zip(labels).map(|(language, label)| captions(language, label)).collect();
    let text = master_playlist(&Playable { renditions: vec![rendition(1, 360)], captions, ..Playable::default() });
    assert!(!text.contains(|one: char| one != '\n' && one.is_control()), "{text:?}");
    assert_eq!(text.lines().count(), 3 + names.len() + 3, "{text}");
    let read = parsed_master(&text);
    let found: Vec<_> = read.alternatives.iter().map(|media| media.name.as_str()).collect();
    assert_eq!(found, names);
    for (media, language) in read.alternatives.iter().zip(languages) {
        assert_eq!(media.uri, Some(format!("captions/{language}.m3u8")));
    }
}

#[test]
fn equal_labels_become_different_names() {
    let captions = vec![captions("en", "English"), captions("en-GB", "English (en-IE)"), captions("en-IE", "English")];
    let read = parsed_master(&master_playlist(&Playable { captions, ..Playable::default() }));
    let names: Vec<_> = read.alternatives.iter().map(|media| media.name.as_str()).collect();
    assert_eq!(names, ["English", "English (en-IE)", "English (en-IE) (en-IE)"]);
}

#[test]
fn a_media_playlist_lists_every_segment() {
    let text = media_playlist(&index(30_000, &[(60_060, 900), (60_060, 900), (10_000, 900)]));
    let expected = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n\
        #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init.mp4\"\n\
        #EXTINF:2.002,\n1.m4s\n#EXTINF:2.002,\n2.m4s\n#EXTINF:0.333333,\n3.m4s\n#EXT-X-ENDLIST\n";
    assert_eq!(text, expected);
}

#[test]
fn an_iframe_playlist_lists_keyframes_until_the_next() {
    let text = iframe_playlist(&index(10, &[(5, 0), (20, 900), (20, 0), (20, 800), (5, 0)]));
    let expected = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:5\n#EXT-X-MEDIA-SEQUENCE:1\n\
        #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-I-FRAMES-ONLY\n#EXT-X-MAP:URI=\"init.mp4\"\n\
        #EXTINF:4.5,\n#EXT-X-BYTERANGE:900@0\n2.m4s\n#EXTINF:2.5,\n#EXT-X-BYTERANGE:800@0\n4.m4s\n#EXT-X-ENDLIST\n";
    assert_eq!(text, expected);
    let read = parsed(&text);
    assert!(read.i_frames_only);
    let ranges: Vec<_> = read.segments.iter().map(|segment| segment.byte_range.clone().unwrap()).collect();
    assert_eq!(ranges, [900, 800].map(|length| ByteRange { length, offset: Some(0) }));
}

#[test]
fn captions_are_one_segment() {
    let text = captions_playlist(&captions("pt-BR", "Português"), 61_500);
    let expected = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:62\n#EXT-X-MEDIA-SEQUENCE:1\n\
        #EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:61.5,\npt-BR.vtt\n#EXT-X-ENDLIST\n";
    assert_eq!(text, expected);
    assert_eq!(parsed(&text).segments.len(), 1);
}

#[test]
fn keyframes_ask_for_what_their_neighbours_ask_for_together() {
    // 900 bytes in 2 s; the last one stands for 0.1 s, which alone would be ten times as much.
    assert_eq!(keyframe_bits_per_s(&index(10, &[(20, 900), (20, 1000), (1, 900)])), 1900 * 8 * 10 / 21);
    assert_eq!(keyframe_bits_per_s(&index(10, &[(1, 100)])), 8000);
    assert_eq!(keyframe_bits_per_s(&index(10, &[(20, 0)])), 0);
    assert_eq!(keyframe_bits_per_s(&index(10, &[(0, 100)])), 0);
}

#[test]
fn four_hours_are_listed_without_growing_the_text() {
    let index = index(30_000, &[(60_061, 99_999); 7200]);
    for (text, room) in [(media_playlist(&index), SEGMENT_BYTES), (iframe_playlist(&index), KEYFRAME_BYTES)] {
        assert_eq!(text.capacity(), BYTES_AROUND_SEGMENTS + 7200 * room);
    }
}

proptest! {
    #[test]
    fn durations_add_up_and_other_parsers_read_them(
        timescale in prop_oneof![Just(1_u32), Just(90_000), Just(44_100), 1..=u32::MAX],
        segments in prop::collection::vec((0..400_000_u32, prop_oneof![Just(0_u32), 1..9999_u32]), 1..60),
    ) {
        let index = index(timescale, &segments);
        let total = to_micros(index.duration(), timescale);
        let text = media_playlist(&index);
        let durations = written_micros(&text);
        prop_assert_eq!(durations.iter().sum::<u64>(), total);
        let read = parsed(&text);
        prop_assert!(read.end_list && read.independent_segments && !read.i_frames_only);
        prop_assert_eq!((read.media_sequence, read.unknown_tags.len()), (1, 0));
        for (number, segment) in (1..).zip(&read.segments) {
            prop_assert_eq!(&segment.uri, &format!("{number}.m4s"));
        }
        prop_assert_eq!(read.segments.len(), segments.len());
        prop_assert_eq!(read.segments[0].map.as_ref().map(|map| map.uri.as_str()), Some("init.mp4"));
        for micros in durations {
            prop_assert!(to_rounded_seconds(micros) <= read.target_duration);
        }

        let text = iframe_playlist(&index);
        let with_picture = segments.iter().filter(|(_, bytes)| *bytes > 0).count();
        prop_assert_eq!(parsed(&text).segments.len(), with_picture);
        prop_assert_eq!(written_micros(&text).iter().sum::<u64>(), if with_picture > 0 { total } else { 0 });
    }

    #[test]
    fn no_label_breaks_out_of_its_name(label in any::<Vec<char>>().prop_map(String::from_iter)) {
        let playable = Playable { captions: vec![captions("en", &label)], ..Playable::default() };
        let text = master_playlist(&playable);
        prop_assert_eq!(text.lines().count(), 4);
        prop_assert_eq!(text.matches('"').count(), 8);
    }
}

#[test]
fn no_playlist_is_longer_than_two_mebibytes() {
    // As long as each number in it can be: segments of a minute to the microsecond, keyframes below a gigabyte.
    let longest = index(1_000_000, &vec![(59_999_999, 999_999_999); MAX_SEGMENTS]);
    for text in [media_playlist(&longest), iframe_playlist(&longest)] {
        assert!(text.len() < 2 << 20, "{} bytes", text.len());
    }
}
