//! A film that somebody uploads: refused with a reason, or packaged into what its own index says, which can be read in
//! its turn.

use screener::media::{Package, SegmentIndex, iframe_playlist, media_playlist, read_source};

/// What films begin with. Larger ones are made by `run`.
pub const SEEDS: &[&[u8]] = &[
    // Found by fuzzing: its edit list shows two seconds of samples that last for days.
    include_bytes!("../../tests/fixtures/beyond_its_edit.mp4"),
    include_bytes!("../../tests/fixtures/fragmented.mp4"),
    include_bytes!("../../tests/fixtures/h264_aac.mp4"),
    include_bytes!("../../tests/fixtures/moov_last.mp4"),
    include_bytes!("../../tests/fixtures/quicktime.mov"),
    include_bytes!("../../tests/fixtures/rotated.mp4"),
];

/// Length of a segment that packaging aims at, in seconds.
const SEGMENT_S: u32 = 2;
/// What packaging may add to a film, in times its length and in bytes beside: a hostile one must not fill a disk.
const GROWTH: (u64, u64) = (4, 1 << 20);

/// Checks one film.
pub fn hold(film: &[u8]) {
    // It is read the same way twice, by whoever asks first.
    let facts = read_source(film);
    let package = match Package::plan(film, SEGMENT_S) {
        Ok(package) => package,
        Err(reason) => return assert!(!reason.to_string().is_empty()),
    };
    assert!(facts.is_ok(), "packaged, but not read: {:?}", facts.err());
    let limit = (film.len() as u64).saturating_mul(GROWTH.0) + GROWTH.1;
    assert!(package.size_bytes() <= limit, "{} bytes become {}", film.len(), package.size_bytes());

    let mut written = Vec::new();
    let outcome = package.write(film, &mut |bytes| {
        written.extend_from_slice(bytes);
        Ok(())
    });
    outcome.expect("what is planned can be written");
    assert_eq!(written.len() as u64, package.size_bytes());

    let index = package.index();
    let mut end = u64::from(index.init_bytes);
    for segment in &index.segments {
        // Where there is a `sidx`, it stands between the initialization part and the first segment.
        assert!(segment.offset >= end, "a segment begins inside what comes before");
        assert!(u64::from(segment.keyframe_bytes) <= u64::from(segment.bytes));
        end = segment.range().end;
    }
    assert!(end <= written.len() as u64);
    assert_eq!(SegmentIndex::decode(&index.encode()).as_ref(), Some(index));
    assert!(media_playlist(index).ends_with("#EXT-X-ENDLIST\n"));
    assert!(iframe_playlist(index).starts_with("#EXTM3U\n"));
    let again = read_source(written.as_slice());
    assert!(again.is_ok(), "what was written can't be read: {:?}", again.err());
}
