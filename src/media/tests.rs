//! What is accepted, what is refused, and that nothing panics. Fixtures: `tests/fixtures/make.sh`.

use super::source::{MAX_BOXES, MAX_MOOV_BYTES, MAX_TRACKS};
use super::track::language;
use super::{Package, ReadAt, SourceFacts, Unplayable, read_source};
use crate::domain::{AudioFormat, Track, TrackKind};
use crate::media::SegmentIndex;
use std::io;

pub(super) const H264_AAC: &[u8] = include_bytes!("../../tests/fixtures/h264_aac.mp4");
const MOOV_LAST: &[u8] = include_bytes!("../../tests/fixtures/moov_last.mp4");
const ROTATED: &[u8] = include_bytes!("../../tests/fixtures/rotated.mp4");
pub(super) const FRAGMENTED: &[u8] = include_bytes!("../../tests/fixtures/fragmented.mp4");
const QUICKTIME: &[u8] = include_bytes!("../../tests/fixtures/quicktime.mov");
const ALL: [&[u8]; 5] = [H264_AAC, MOOV_LAST, ROTATED, FRAGMENTED, QUICKTIME];

pub(super) fn video(codec: &str, duration_ms: u64, width: u32, height: u32) -> Track {
    let (width_px, height_px) = (Some(width), Some(height));
    Track { width_px, height_px, ..track(TrackKind::Video, codec, duration_ms) }
}

pub(super) fn audio(codec: &str, duration_ms: u64) -> Track {
    track(TrackKind::Audio, codec, duration_ms)
}

fn track(kind: TrackKind, codec: &str, duration_ms: u64) -> Track {
    let (codec, played) = (codec.to_owned(), Some(true));
    Track { kind, codec, duration_ms, width_px: None, height_px: None, played, language: None }
}

pub(super) fn facts(file: &[u8]) -> SourceFacts {
    read_source(file).expect("the file is playable")
}

pub(super) fn refusal(file: &[u8]) -> Unplayable {
    read_source(file).expect_err("the file is not playable")
}

/// Where the `nth` box of that kind in the index has its kind, counted from 0.
pub(super) fn place(file: &[u8], kind: &str, nth: usize) -> usize {
    let positions = |kind: &str, from: usize| {
        let windows = file.windows(4).enumerate().skip(from);
        windows.filter(|(_, window)| *window == kind.as_bytes()).map(|(at, _)| at).collect::<Vec<_>>()
    };
    let moov = *positions("moov", 0).last().expect("the file has an index");
    *positions(kind, moov).get(nth).expect("the index has such a box")
}

/// `file` with the bytes from `offset` past that box's kind replaced.
pub(super) fn patched(file: &[u8], kind: &str, nth: usize, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    let at = place(&file, kind, nth) + offset;
    file.get_mut(at..at + bytes.len()).expect("the patch lies in the file").copy_from_slice(bytes);
    file
}

pub(super) fn boxed(kind: &str, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).expect("a small box");
    [&size.to_be_bytes(), kind.as_bytes(), body].concat()
}

/// The body of the first box of that kind in the index.
pub(super) fn body<'a>(file: &'a [u8], kind: &str) -> &'a [u8] {
    let at = place(file, kind, 0);
    let size = file.get(at - 4..at).and_then(|size| size.first_chunk()).map(|size| u32::from_be_bytes(*size));
    let end = at - 4 + usize::try_from(size.expect("a size")).expect("a small box");
    file.get(at + 4..end).expect("the box lies in the file")
}

pub(super) fn top_level_ends(file: &[u8]) -> Vec<usize> {
    let mut ends = vec![0];
    while let Some(size) = file.get(ends.last().copied().unwrap_or(0)..).and_then(|rest| rest.first_chunk::<4>()) {
        ends.push(ends.last().expect("never empty") + u32::from_be_bytes(*size) as usize);
    }
    ends
}

#[test]
fn a_plain_mp4_is_read() {
    let tracks = vec![video("avc1", 2000, 96, 64), audio("mp4a", 2000)];
    assert_eq!(facts(H264_AAC), SourceFacts { duration_ms: 2000, tracks });
}

#[test]
fn an_index_at_the_end_and_wide_pixels_are_read() {
    let tracks = vec![video("hvc1", 2000, 192, 64), audio("mp4a", 2000)];
    assert_eq!(facts(MOOV_LAST), SourceFacts { duration_ms: 2000, tracks });
}

#[test]
fn a_video_held_upright_is_higher_than_wide() {
    assert_eq!(facts(ROTATED), SourceFacts { duration_ms: 2000, tracks: vec![video("avc1", 2000, 64, 96)] });
}

#[test]
fn what_stands_behind_the_last_box_is_no_part_of_the_film() {
    let tails: [&[u8]; 5] = [b"\n", b"\r\n", &[0; 4], b"\0\0\0\x04note", b"8db42d694ccc418790edff439fe026bf"];
    for tail in tails {
        let film = [MOOV_LAST, tail].concat();
        assert_eq!(facts(&film), facts(MOOV_LAST), "{tail:?}");
        assert_eq!(packaged(&film), packaged(MOOV_LAST), "{tail:?}");
        // A fragmented one may be cut short there.
        assert!(matches!(refusal(&[FRAGMENTED, tail].concat()), Unplayable::CutShort), "{tail:?}");
    }
    let cut = [MOOV_LAST, &boxed("mdat", &[0; 100])[..20]].concat();
    assert!(matches!(refusal(&cut), Unplayable::CutShort));
}

#[test]
fn a_quicktime_movie_is_read() {
    let tracks = vec![video("avc1", 2000, 96, 64), audio("mp4a", 2000)];
    assert_eq!(facts(QUICKTIME), SourceFacts { duration_ms: 2000, tracks });
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    for file in [H264_AAC, MOOV_LAST, ROTATED, QUICKTIME] {
        for length in 0..file.len() {
            let cut = file.get(..length).expect("shorter than the file");
            assert!(read_source(cut).is_err(), "{length} of {} bytes", file.len());
        }
    }
}

#[test]
fn a_changed_byte_never_panics() {
    for file in ALL {
        // Of the fragmented file everything but pictures and sound is index.
        let moov = place(file, "moov", 0) - 4;
        let end = if file == FRAGMENTED { file.len() } else { moov + body(file, "moov").len() + 8 };
        let mut changed = file.to_vec();
        for at in moov..end {
            let byte = file.get(at).copied().expect("inside the file");
            for value in [0, 1, 0x7f, 0x80, 0xff, byte ^ 1, !byte] {
                *changed.get_mut(at).expect("inside the file") = value;
                let _verdict = read_source(changed.as_slice());
            }
            *changed.get_mut(at).expect("inside the file") = byte;
        }
    }
}

#[test]
fn what_is_no_mp4_is_called_that() {
    let files: [&[u8]; 6] =
        [b"", b"\0\0\0", b"<!doctype html><title>moov</title>", b"PK\x03\x04....", b"\x7fELF\x02\x01\x01\0", &[0; 64]];
    for file in files {
        assert!(matches!(refusal(file), Unplayable::NotMp4), "{file:?}");
    }
}

#[test]
fn a_file_has_exactly_one_index() {
    let without = MOOV_LAST.get(..place(MOOV_LAST, "moov", 0) - 4).expect("inside the file");
    assert!(matches!(refusal(without), Unplayable::NoIndex));
    let twice = [H264_AAC, &boxed("moov", body(H264_AAC, "moov"))].concat();
    assert!(matches!(refusal(&twice), Unplayable::SeveralIndexes));
}

#[test]
fn every_way_to_write_a_size_is_understood_or_refused() {
    let to_the_end = [MOOV_LAST, b"\0\0\0\0free....".as_slice()].concat();
    assert_eq!(facts(&to_the_end).duration_ms, 2000);
    let large = |size: u64| [MOOV_LAST, b"\0\0\0\x01free", &size.to_be_bytes(), b"...."].concat();
    assert_eq!(facts(&large(20)).duration_ms, 2000);
    for size in [0, 1, 8, 15, 21, 1 << 63, u64::MAX] {
        assert!(read_source(large(size).as_slice()).is_err(), "{size}");
    }
    assert_eq!(facts(&[MOOV_LAST, b"\0\0\0\x08free"].concat()).duration_ms, 2000);
    for size in [2, 3, 4, 5, 6, 7, 9] {
        assert!(read_source([MOOV_LAST, &[0, 0, 0, size], b"free"].concat().as_slice()).is_err(), "{size}");
    }
    // In the index, a size that reaches to the end has no meaning.
    let at = place(H264_AAC, "mdia", 0);
    let mut inside = H264_AAC.to_vec();
    inside.get_mut(at - 4..at).expect("inside the file").fill(0);
    assert!(matches!(refusal(&inside), Unplayable::Damaged(_)));
}

#[test]
fn tables_that_claim_too_much_are_refused() {
    let most = u32::MAX.to_be_bytes();
    let uniform = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
    assert!(matches!(refusal(&patched(H264_AAC, "stsz", 0, 8, &uniform)), Unplayable::TooManySamples));
    assert!(matches!(refusal(&patched(H264_AAC, "stsz", 0, 12, &most)), Unplayable::TooManySamples));
    let nine_million = 9_000_000_u32.to_be_bytes();
    assert!(matches!(refusal(&patched(H264_AAC, "stsz", 0, 12, &nine_million)), Unplayable::Damaged(_)));
    assert!(matches!(refusal(&patched(H264_AAC, "stts", 0, 12, &most)), Unplayable::TooManySamples));
    for table in ["stts", "stsc", "stco", "stsd"] {
        for count in [u32::MAX, 0x2000_0000, 0x1fff_ffff, 0x1000_0000] {
            let file = patched(H264_AAC, table, 0, 8, &count.to_be_bytes());
            let refused = matches!(read_source(file.as_slice()), Err(Unplayable::Damaged(_)));
            assert!(refused, "{table} × {count}");
        }
    }
}

#[test]
fn boxes_inside_each_other_do_not_exhaust_the_stack() {
    for kind in ["moov", "trak", "mdia", "meta", "stsd", "avc1"] {
        let depth = 20_000_u32;
        let nested: Vec<u8> =
            (1..=depth).rev().flat_map(|level| [&(level * 8).to_be_bytes(), kind.as_bytes()].concat()).collect();
        let file = boxed("moov", &[&boxed("mvhd", body(H264_AAC, "mvhd")), nested.as_slice()].concat());
        assert!(read_source(file.as_slice()).is_err());
    }
}

#[test]
fn too_many_boxes_or_tracks_are_refused() {
    let frees = |count: usize| [MOOV_LAST, &b"\0\0\0\x08free".repeat(count)].concat();
    assert_eq!(facts(&frees(MAX_BOXES - 10)).duration_ms, 2000);
    assert!(matches!(refusal(&frees(MAX_BOXES)), Unplayable::TooManyBoxes));
    // The index comes last in this file, so that a longer one moves nothing.
    let with_tracks = |count: usize| {
        let trak = boxed("trak", body(QUICKTIME, "trak")).repeat(count);
        let moov = boxed("moov", &[&boxed("mvhd", body(QUICKTIME, "mvhd")), trak.as_slice()].concat());
        let media = QUICKTIME.get(..place(QUICKTIME, "moov", 0) - 4).expect("inside the file");
        [media, &moov].concat()
    };
    assert_eq!(facts(&with_tracks(MAX_TRACKS)).tracks.len(), MAX_TRACKS);
    assert!(matches!(refusal(&with_tracks(MAX_TRACKS + 1)), Unplayable::TooManyTracks));
}

#[test]
fn chunks_past_the_end_are_refused() {
    for track in [0, 1] {
        for offset in [u32::MAX, u32::try_from(H264_AAC.len()).expect("small")] {
            let file = patched(H264_AAC, "stco", track, 12, &offset.to_be_bytes());
            assert!(matches!(refusal(&file), Unplayable::IndexPastEnd));
        }
    }
    let large_sample = patched(H264_AAC, "stsz", 0, 16, &[0x7f, 0, 0, 0]);
    assert!(matches!(refusal(&large_sample), Unplayable::IndexPastEnd));
}

#[test]
fn an_index_that_points_at_what_is_no_media_is_refused() {
    let outside = |file: &[u8]| match refusal(file) {
        Unplayable::Damaged(what) => assert_eq!(what, "it points at bytes that are no media"),
        other => panic!("{other}"),
    };
    let mdat = H264_AAC.windows(4).position(|window| window == b"mdat").expect("media") + 4;
    let moov = place(H264_AAC, "moov", 0);
    for track in [0, 1] {
        // The file's beginning, its index, and one byte of the box's own header.
        for offset in [0, moov, mdat - 1] {
            let offset = u32::try_from(offset).expect("small");
            outside(&patched(H264_AAC, "stco", track, 12, &offset.to_be_bytes()));
        }
    }
    // The same bytes under another name.
    let mut unnamed = H264_AAC.to_vec();
    unnamed.get_mut(mdat - 4..mdat).expect("inside the file").copy_from_slice(b"free");
    outside(&unnamed);
    let mut unnamed = FRAGMENTED.to_vec();
    let mdat = FRAGMENTED.windows(4).rposition(|window| window == b"mdat").expect("media");
    unnamed.get_mut(mdat..mdat + 4).expect("inside the file").copy_from_slice(b"free");
    outside(&unnamed);
}

#[test]
fn samples_outside_all_chunks_are_refused() {
    assert!(matches!(refusal(&patched(H264_AAC, "stsc", 0, 12, &[0xff; 4])), Unplayable::Damaged(_)));
}

#[test]
fn encrypted_media_are_refused() {
    assert!(matches!(refusal(&patched(H264_AAC, "avc1", 0, 0, b"encv")), Unplayable::Encrypted));
    assert!(matches!(refusal(&patched(H264_AAC, "mp4a", 0, 0, b"enca")), Unplayable::Encrypted));
    assert!(matches!(refusal(&patched(H264_AAC, "avcC", 0, 0, b"sinf")), Unplayable::Encrypted));
    assert!(matches!(refusal(&patched(H264_AAC, "esds", 0, 0, b"sinf")), Unplayable::Encrypted));
}

#[test]
fn an_unknown_codec_is_named() {
    let message = |file: &[u8]| refusal(file).to_string();
    let expected = "the video codec 'apcn' is not supported; use H.264, H.265, VP9 or AV1";
    assert_eq!(message(&patched(H264_AAC, "avc1", 0, 0, b"apcn")), expected);
    let expected = "the audio codec 'sowt' is not supported; use AAC, MP3, Opus, FLAC or Dolby Digital";
    assert_eq!(message(&patched(H264_AAC, "mp4a", 0, 0, b"sowt")), expected);
    let expected = "the video codec '0x1b5b324a' is not supported; use H.264, H.265, VP9 or AV1";
    assert_eq!(message(&patched(H264_AAC, "avc1", 0, 0, b"\x1b[2J")), expected);
}

#[test]
fn sound_that_shares_its_name_with_aac_or_mp3_is_told_apart() {
    let object = |object: u8| patched(H264_AAC, "esds", 0, 21, &[object]);
    for (other, name) in [(0xa9, "mp4a.A9"), (0xdd, "mp4a.DD")] {
        assert!(matches!(refusal(&object(other)), Unplayable::AudioCodec(codec) if codec == name), "{name}");
    }
    // Where its first frame begins: in the first chunk of the second track.
    let stco = place(H264_AAC, "stco", 1);
    let at = H264_AAC.get(stco + 12..).and_then(|rest| rest.first_chunk()).expect("a chunk");
    let at = u32::from_be_bytes(*at) as usize;
    let layer = |word: u8| {
        let mut film = object(0x6b);
        film.get_mut(at..at + 2).expect("inside the file").copy_from_slice(&[0xff, word]);
        Package::plan(film.as_slice(), 2).map(drop)
    };
    assert!(matches!(layer(0xfd), Err(Unplayable::AudioCodec(_))));
    assert!(layer(0xfb).is_ok());
}

#[test]
fn a_picture_that_is_switched_off_refuses_no_sound() {
    let chapters = patched(H264_AAC, "avc1", 0, 0, b"jpeg");
    assert!(matches!(refusal(&chapters), Unplayable::VideoCodec(codec) if codec == "jpeg"));
    let chapters = patched(&chapters, "tkhd", 0, 4, &[0, 0, 0, 2]);
    let played = facts(&chapters).tracks.iter().map(|track| track.played).collect::<Vec<_>>();
    assert_eq!(played, [Some(false), Some(true)]);
    // Of two sounds the one that plays will do, though the other is the one that is on.
    let second = patched(H264_AAC, "tkhd", 1, 4, &[0, 0, 0, 2]);
    assert_eq!(facts(&second), facts(H264_AAC));
    // Where everything is off, nothing is left out.
    let off = patched(&chapters, "tkhd", 1, 4, &[0, 0, 0, 2]);
    assert!(matches!(refusal(&off), Unplayable::VideoCodec(codec) if codec == "jpeg"));
    // Where nothing else plays, it says what there is.
    let nothing = patched(&chapters, "mp4a", 0, 0, b"sowt");
    assert!(matches!(refusal(&nothing), Unplayable::VideoCodec(codec) if codec == "jpeg"));
}

#[test]
fn the_clock_of_a_track_that_is_not_played_may_stand_still() {
    let notes = patched(&patched(H264_AAC, "hdlr", 1, 12, b"meta"), "mdhd", 1, 16, &[0; 4]);
    assert_eq!(facts(&notes).duration_ms, 2000);
}

#[test]
fn an_edit_list_that_shows_nothing_is_not_followed() {
    let silent = patched(H264_AAC, "hdlr", 1, 12, b"meta");
    // One millisecond of what comes before the first picture.
    let hidden = patched(&patched(&silent, "elst", 0, 12, &[0, 0, 0, 1]), "elst", 0, 16, &[0; 4]);
    let duration_ms = |film: &[u8]| Package::plan(film, 2).expect("it can be packaged").facts().duration_ms;
    assert!(duration_ms(&hidden).abs_diff(duration_ms(&silent)) < 100);
}

#[test]
fn a_track_of_something_else_is_listed_and_not_played() {
    // Twelve bytes past the kind, after version, flags and a reserved word, stands the handler.
    let file = patched(H264_AAC, "hdlr", 1, 12, b"tmcd");
    let kinds: Vec<_> = facts(&file).tracks.iter().map(|track| track.kind).collect();
    assert_eq!(kinds, [TrackKind::Video, TrackKind::Other]);
    assert!(matches!(refusal(&patched(&file, "hdlr", 0, 12, b"text")), Unplayable::NoMedia));
}

#[test]
fn sound_is_told_as_a_decoder_puts_it_out() {
    let sound = |file: &[u8]| Package::plan(file, 2).expect("it can be packaged").facts().audio.clone().expect("sound");
    let told =
        |codec: &str, channels, sample_rate_hz| AudioFormat { codec: codec.to_owned(), channels, sample_rate_hz };
    assert_eq!(sound(H264_AAC), told("mp4a.40.2", 1, 48_000));
    // Its configuration stands 39 bytes from where the kind of its box does.
    let configured = |bytes: &[u8; 5]| patched(H264_AAC, "esds", 0, 39, bytes);
    assert_eq!(sound(&configured(&[0x13, 0x90, 0x56, 0xe5, 0xa0])), told("mp4a.40.5", 2, 44_100));
    assert_eq!(sound(&configured(&[0xeb, 0x09, 0x88, 0x00, 0x00])), told("mp4a.40.29", 2, 48_000));
    // SBR that only the entry knows of, which says 48 kHz and stereo.
    assert_eq!(sound(&configured(&[0x13, 0x08, 0x00, 0x00, 0x00])), told("mp4a.40.2", 2, 48_000));
    // The entry is the source's own.
    let mut packaged = Vec::new();
    let file = configured(&[0x13, 0x90, 0x56, 0xe5, 0xa0]);
    let package = Package::plan(file.as_slice(), 2).expect("it can be packaged");
    let sink = &mut |bytes: &[u8]| {
        packaged.extend_from_slice(bytes);
        Ok(())
    };
    package.write(file.as_slice(), sink).expect("it is written");
    assert_eq!(body(&packaged, "mp4a").get(16..28), body(H264_AAC, "mp4a").get(16..28));
}

pub(super) fn packaged(file: &[u8]) -> (Vec<u8>, SegmentIndex) {
    let package = Package::plan(file, 1).expect("it can be packaged");
    let mut bytes = Vec::new();
    let sink = &mut |step: &[u8]| {
        bytes.extend_from_slice(step);
        Ok(())
    };
    package.write(file, sink).expect("it is written");
    (bytes, package.index().clone())
}

#[test]
fn what_is_packaged_is_a_source_that_packages_into_itself() {
    for file in ALL {
        let (bytes, index) = packaged(file);
        assert_eq!(packaged(&bytes), (bytes, index));
    }
}

#[test]
fn a_shape_without_a_size_stays_one() {
    // The last of the flags; the width and height behind it are no pixels then.
    let shape = patched(H264_AAC, "tkhd", 0, 4, &[0, 0, 0, 0b1011]);
    let shape = patched(&shape, "tkhd", 0, 80, &[0, 16, 0, 0, 0xff, 0xff, 0, 0]);
    let size = |file: &[u8]| facts(file).tracks.iter().find_map(|track| Some((track.width_px?, track.height_px?)));
    assert_eq!(size(&shape), size(H264_AAC));
    assert_eq!(size(&packaged(&shape).0), size(H264_AAC));
}

#[test]
fn a_language_is_a_tag_or_a_packed_code() {
    let elng = |tag: &str| boxed("elng", &[&[0; 4], tag.as_bytes(), &[0]].concat());
    let packed = |code: u16| [&[0; 20][..], &code.to_be_bytes(), &[0; 2]].concat();
    let (english, undetermined, macintosh, unspecified) = (0x15c7, 0x55c4, 0, 0x7fff);
    for (tag, code, expected) in [
        (None, english, Some("eng")),
        (None, undetermined, None),
        (None, macintosh, None),
        (None, unspecified, None),
        (Some("pt-BR"), english, Some("pt-BR")),
        (Some("pt-BR"), undetermined, Some("pt-BR")),
        (Some("und"), english, None),
        (Some("\u{1b}[2J"), english, Some("eng")),
        (Some(""), english, Some("eng")),
    ] {
        let mdia = tag.map(elng).unwrap_or_default();
        assert_eq!(language(&mdia, &packed(code)).as_deref(), expected, "{tag:?} {code:x}");
    }
    assert_eq!(language(&[], &[0; 8]), None);
    // Version 1 has longer times before it.
    let long = [&[1][..], &[0; 31], &0x15c7_u16.to_be_bytes(), &[0; 2]].concat();
    assert_eq!(language(&[], &long).as_deref(), Some("eng"));
}

#[test]
fn media_in_another_file_are_refused() {
    // QuickTime's own kind of reference, an alias; its flag says "in this file" until it is cleared.
    let alias = patched(QUICKTIME, "url ", 1, 0, b"alis");
    assert_eq!(facts(&alias).duration_ms, 2000);
    assert!(matches!(refusal(&patched(&alias, "alis", 0, 7, &[0])), Unplayable::ExternalMedia));
    let unnamed = patched(H264_AAC, "url ", 0, 7, &[0]);
    assert_eq!(facts(&unnamed).duration_ms, 2000);
    assert!(matches!(refusal(&patched(&unnamed, "url ", 0, 0, b"urn ")), Unplayable::ExternalMedia));
}

#[test]
fn clocks_and_sizes_that_make_no_sense_are_refused() {
    assert!(matches!(refusal(&patched(H264_AAC, "mdhd", 0, 16, &[0; 4])), Unplayable::Damaged(_)));
    assert!(matches!(refusal(&patched(H264_AAC, "mvhd", 0, 16, &[0; 4])), Unplayable::Damaged(_)));
    // Width and height end the track header, 80 bytes past its kind.
    let size = |width: u16, height: u16| {
        let bytes = [width.to_be_bytes(), [0; 2], height.to_be_bytes(), [0; 2]].concat();
        patched(ROTATED, "tkhd", 0, 80, &bytes)
    };
    assert_eq!(facts(&size(640, 480)).tracks, [video("avc1", 2000, 480, 640)]);
    assert_eq!(facts(&size(16_384, 1)).tracks, [video("avc1", 2000, 1, 16_384)]);
    assert!(matches!(refusal(&size(65_535, 65_535)), Unplayable::FrameSize { width: 65_535, .. }));
    let nothing = patched(&size(0, 0), "avc1", 0, 28, &[0; 4]);
    assert!(matches!(refusal(&nothing), Unplayable::FrameSize { width: 0, height: 0 }));
}

#[test]
fn a_duration_is_stated_or_summed_and_bounded() {
    // Without its edit list a track lasts as long as its media header says, or else as its samples do.
    let unedited = patched(ROTATED, "elst", 0, 0, b"free");
    let media = |duration: u32| patched(&unedited, "mdhd", 0, 20, &duration.to_be_bytes());
    let timescale = body(ROTATED, "mdhd").get(12..).and_then(|rest| rest.first_chunk()).expect("a timescale");
    let timescale = u32::from_be_bytes(*timescale);
    assert_eq!(facts(&media(timescale)).duration_ms, 1000);
    assert_eq!(facts(&media(0)).duration_ms, 2000);
    assert_eq!(facts(&media(u32::MAX)).duration_ms, 2000);
    let slow = patched(&media(u32::MAX - 1), "mdhd", 0, 16, &1_u32.to_be_bytes());
    assert!(matches!(refusal(&slow), Unplayable::TooLong));
    let still = patched(&media(0), "stts", 0, 16, &[0; 4]);
    assert_eq!(facts(&still).duration_ms, 2000, "the movie header's word is the last");
    assert!(matches!(refusal(&patched(&still, "mvhd", 0, 20, &[0; 4])), Unplayable::NoDuration));
}

/// A file of which only the beginning is there.
struct Sparse {
    head: Vec<u8>,
    bytes: u64,
}

impl ReadAt for Sparse {
    fn len(&self) -> u64 {
        self.bytes
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        assert!(buffer.len() < 1024, "an index above the limit is not read");
        self.head.as_slice().read_exact_at(buffer, offset)
    }
}

#[test]
fn an_index_above_the_limit_is_refused_unread() {
    let size = u32::try_from(MAX_MOOV_BYTES + 9).expect("small");
    let head = [boxed("ftyp", b"isom\0\0\0\0"), size.to_be_bytes().to_vec(), b"moov".to_vec()].concat();
    let sparse = Sparse { bytes: 16 + u64::from(size), head };
    assert!(matches!(read_source(&sparse), Err(Unplayable::IndexTooLarge)));
}

#[test]
fn a_failing_disk_is_not_the_files_fault() {
    let sparse = Sparse { bytes: 1 << 30, head: boxed("ftyp", b"isom\0\0\0\0") };
    assert!(matches!(read_source(&sparse), Err(Unplayable::Read(_))));
}

#[test]
fn frames_that_share_their_bytes_are_refused_before_they_are_walked() {
    // All chunks where the media begin, and all frames a third of it.
    let mut file = patched(H264_AAC, "stsz", 0, 8, &4_000_u32.to_be_bytes());
    for chunk in 0..19 {
        file = patched(&file, "stco", 0, 12 + chunk * 4, &2_292_u32.to_be_bytes());
    }
    assert_eq!(refusal(&file).to_string(), "the file's index is damaged: its frames are together larger than the file");
    assert!(read_source(patched(&file, "stsz", 0, 8, &200_u32.to_be_bytes()).as_slice()).is_ok());
}

/// A file that counts how often it is read.
struct Counted<'a> {
    file: &'a [u8],
    reads: std::cell::Cell<usize>,
}

impl ReadAt for Counted<'_> {
    fn len(&self) -> u64 {
        self.file.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.reads.set(self.reads.get() + 1);
        self.file.read_exact_at(buffer, offset)
    }
}

#[test]
fn what_stands_before_a_picture_costs_one_read_more_and_not_one_each() {
    let reads = |file: &[u8]| {
        let file = Counted { file, reads: std::cell::Cell::new(0) };
        assert!(Package::plan(&file, 2).is_ok());
        file.reads.get()
    };
    let mut wordy = H264_AAC.to_vec();
    // A message of 508 bytes begins the first picture, and 31 of one byte follow it.
    let messages = [508_u32].into_iter().chain([1; 31]);
    let mut at = 2_292;
    for bytes in messages {
        let head = [&bytes.to_be_bytes()[..], &[6]].concat();
        wordy.get_mut(at..at + 5).expect("inside the file").copy_from_slice(&head);
        at += 4 + bytes as usize;
    }
    assert!(reads(&wordy) <= reads(H264_AAC) + 1, "{} and {}", reads(&wordy), reads(H264_AAC));
}

#[test]
fn a_film_of_many_hours_is_cut_into_longer_segments() {
    // A picture of its own each two seconds, for 36 hours: a unit of the track's clock is 1/10,240 of a second.
    let moov_end = top_level_ends(FRAGMENTED).get(2).copied().expect("two boxes");
    let long = |pictures: u32| {
        let tfhd = [0x02_0038, 1, 20_480, 0, 0].map(u32::to_be_bytes).concat();
        let trun = [0, pictures].map(u32::to_be_bytes).concat();
        let traf = boxed("traf", &[boxed("tfhd", &tfhd), boxed("trun", &trun)].concat());
        let media = FRAGMENTED.get(..moov_end).expect("inside the file");
        [media, &boxed("free", &vec![0; 4 << 20]), &boxed("moof", &traf)].concat()
    };
    let segments = |file: &[u8]| Package::plan(file, 2).expect("it can be packaged").index().segments.clone();
    let (hours, day_and_half) = (segments(&long(20_000)), segments(&long(65_000)));
    assert_eq!((hours.len(), hours.first().map(|one| one.duration)), (20_000, Some(20_480)));
    assert_eq!((day_and_half.len(), day_and_half.first().map(|one| one.duration)), (16_250, Some(4 * 20_480)));
}
