//! Films in fragments: what is added up, what of it plays, and what is refused before it is walked over.

use super::read_defaults;
use crate::media::tests::{
    FRAGMENTED, H264_AAC, audio, body, boxed, facts, packaged, patched, refusal, top_level_ends, video,
};
use crate::media::{Package, SourceFacts, Unplayable, read_source};

#[test]
fn fragments_are_added_up() {
    // ffmpeg leaves 6.5 ms between the first samples of the two and says 2.007 s itself.
    let tracks = vec![video("vp09", 2007, 96, 64), audio("Opus", 2007)];
    assert_eq!(facts(FRAGMENTED), SourceFacts { duration_ms: 2007, tracks });
}

/// A fragment with `frames` empty frames of the first track.
fn counted_fragment(frames: u32) -> Vec<u8> {
    let tfhd = boxed("tfhd", &[[0; 4], 1_u32.to_be_bytes()].concat());
    let trun = boxed("trun", &[[0; 4], frames.to_be_bytes()].concat());
    boxed("moof", &boxed("traf", &[tfhd, trun].concat()))
}

#[test]
fn fragments_that_a_movie_does_not_announce_are_no_part_of_it() {
    let film = [H264_AAC, &counted_fragment(400_000)].concat();
    assert_eq!(facts(&film), facts(H264_AAC));
    assert_eq!(packaged(&film).0, packaged(H264_AAC).0);
}

#[test]
fn fragments_of_two_tracks_with_one_number_are_refused() {
    let second = patched(FRAGMENTED, "tkhd", 1, 16, &1_u32.to_be_bytes());
    assert!(refusal(&second).to_string().contains("two of its tracks have the same number"));
    // Without fragments nothing depends on it.
    let second = patched(H264_AAC, "tkhd", 1, 16, &1_u32.to_be_bytes());
    assert_eq!(facts(&second), facts(H264_AAC));
}

#[test]
fn a_fragment_begins_when_it_says_however_long_the_one_before_was_to_last() {
    let moov_end = top_level_ends(FRAGMENTED).get(2).copied().expect("two boxes");
    let mut film = FRAGMENTED.get(..moov_end).expect("inside the file").to_vec();
    let timescale = body(FRAGMENTED, "mdhd").get(12..).and_then(|rest| rest.first_chunk()).expect("a timescale");
    let frame = u32::from_be_bytes(*timescale) / 10;
    // Ten frames of 100 ms each, and the next ten 990 ms later.
    for begins in (0..10).map(|number| number * 990 * frame / 100) {
        let tfhd = boxed("tfhd", &[0x02_0008, 1, frame].map(u32::to_be_bytes).concat());
        let tfdt = boxed("tfdt", &[0, begins].map(u32::to_be_bytes).concat());
        let trun = boxed("trun", &[0, 10].map(u32::to_be_bytes).concat());
        film.extend(boxed("moof", &boxed("traf", &[tfhd, tfdt, trun].concat())));
    }
    assert_eq!(Package::plan(film.as_slice(), 2).expect("it can be packaged").facts().duration_ms, 9_910);
}

#[test]
fn what_is_said_of_other_tracks_crowds_out_no_default() {
    let trex = |id: u32, bytes: u32| boxed("trex", &[0, id, 1, 0, bytes, 0].map(u32::to_be_bytes).concat());
    let mvex = (2..40).chain([1, 1]).zip(0..).map(|(id, bytes)| trex(id, bytes)).collect::<Vec<_>>().concat();
    let defaults = read_defaults(&mvex, &[1]).expect("each can be read");
    assert_eq!(defaults.iter().map(|trex| trex.default_sample_size).collect::<Vec<_>>(), [38]);
}

#[test]
fn a_fragmented_file_cut_short_plays_only_if_it_ends_between_boxes() {
    let ends = top_level_ends(FRAGMENTED);
    for length in 0..FRAGMENTED.len() {
        let cut = FRAGMENTED.get(..length).expect("shorter than the file");
        assert!(read_source(cut).is_err() || ends.contains(&length), "{length} bytes");
    }
}

#[test]
fn a_fragment_that_claims_too_much_is_refused() {
    assert!(matches!(refusal(&patched(FRAGMENTED, "trun", 0, 8, &[0xff; 4])), Unplayable::TooManySamples));
    let nine_million = 9_000_000_u32.to_be_bytes();
    assert!(matches!(refusal(&patched(FRAGMENTED, "trun", 0, 8, &nine_million)), Unplayable::Damaged(_)));
    assert!(matches!(refusal(&patched(FRAGMENTED, "trun", 0, 12, &[0x7f; 4])), Unplayable::IndexPastEnd));
}

/// A film of the fragmented fixture's two tracks, each of which states `frames` frames without a byte in each of two
/// fragments, and of so many bytes that mean nothing.
fn counted(frames: u32, padding_bytes: usize) -> Vec<u8> {
    let moov_end = top_level_ends(FRAGMENTED).get(2).copied().expect("two boxes");
    let mut file = FRAGMENTED.get(..moov_end).expect("inside the file").to_vec();
    file.extend(boxed("free", &vec![0; padding_bytes]));
    for duration in [1_u32, 2] {
        let traf = |track: u32| {
            // Beginning at the fragment; a duration, a size of nothing, and no keyframe for all frames.
            let tfhd = [0x02_0038, track, duration, 0, 0x1_0000].map(u32::to_be_bytes).concat();
            let trun = [0, frames].map(u32::to_be_bytes).concat();
            boxed("traf", &[boxed("tfhd", &tfhd), boxed("trun", &trun)].concat())
        };
        file.extend(boxed("moof", &[traf(1), traf(2)].concat()));
    }
    file
}

#[test]
fn frames_that_are_only_counted_are_refused_unwalked() {
    let message = refusal(&counted(124_750, 1_000)).to_string();
    assert_eq!(message, "the file's index is damaged: it has more frames than the file has bytes");
    // A ready-made quality is planned without having been looked at before.
    let planned = Package::plan(counted(124_750, 1_000).as_slice(), 2).map(drop);
    assert_eq!(planned.unwrap_err().to_string(), message);
    // Some empty ones are what writers leave where nothing changes.
    assert!(Package::plan(counted(100, 1_000).as_slice(), 2).is_ok());
}

#[test]
fn what_would_grow_to_more_than_four_times_its_size_is_refused() {
    let planned = |padding_bytes| {
        let file = counted(100_000, padding_bytes);
        Package::plan(file.as_slice(), 2).map(|package| package.size_bytes() / file.len() as u64)
    };
    assert!(matches!(planned(300_000), Err(Unplayable::Grows)));
    assert!(matches!(planned(900_000), Ok(3)));
    // No keyframe in 600,000 frames.
    assert!(matches!(Package::plan(counted(300_000, 9_000_000).as_slice(), 2), Err(Unplayable::LongSegment)));
}
