//! Sources of any length, what packaging makes of them, and looking for their bytes where they must not be.

use screener::media::{Package, ReadAt};
use serde_json::Value;

/// The small fixture: two seconds of H.264 and AAC, index first.
pub const FIXTURE: &[u8] = include_bytes!("../../fixtures/h264_aac.mp4");
/// Length aimed at for a segment where nothing else is configured, in seconds.
const SEGMENT_S: u32 = 2;
/// Pictures of a film made here; there are two a second, and every other one stands alone.
const PICTURES: usize = 64;
/// How long each of them lasts, in milliseconds.
const PICTURE_MS: usize = 500;

/// What packaging makes of a source: what its progressive URL must give, byte for byte.
pub fn packaged(source: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let written = packaged_into(source, &mut |piece| bytes.extend_from_slice(piece));
    assert_eq!(bytes.len() as u64, written);
    bytes
}

/// The same, piece by piece; the length of it all.
pub fn packaged_into<S: ReadAt + ?Sized>(source: &S, sink: &mut dyn FnMut(&[u8])) -> u64 {
    let package = Package::plan(source, SEGMENT_S).unwrap_or_else(|reason| panic!("can't be packaged: {reason}"));
    package
        .write(source, &mut |piece: &[u8]| {
            sink(piece);
            Ok(())
        })
        .unwrap();
    package.size_bytes()
}

/// Where a playback answer says that the packaged file is.
#[track_caller]
pub fn progressive_uri(answer: &Value) -> &str {
    let uri = answer["variants"][0]["uri"].as_str().unwrap_or_else(|| panic!("no variant in {answer}"));
    assert!(uri.ends_with(".mp4"), "{uri}");
    uri
}

/// A film of 32 seconds and exactly `length` bytes, whose pictures fill it and differ from place to place. What it is
/// packaged into is no shorter. Nothing could decode it: packaging copies pictures, and looks at their first bytes alone.
pub fn padded(length: usize) -> Vec<u8> {
    let media = length - film_head(&[0; PICTURES], PICTURE_MS).len();
    let mut sizes = [media / PICTURES; PICTURES];
    sizes[PICTURES - 1] += media % PICTURES;
    let mut bytes = film_head(&sizes, PICTURE_MS);
    bytes.reserve(media);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for (number, size) in sizes.into_iter().enumerate() {
        let end = bytes.len() + size;
        bytes.extend_from_slice(&picture_head(number, size));
        while bytes.len() < end {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let left = end - bytes.len();
            bytes.extend_from_slice(&state.to_le_bytes()[..left.min(8)]);
        }
    }
    assert_eq!(bytes.len(), length);
    bytes
}

/// A film like [`padded`] whose packaged file has exactly `length` bytes.
pub fn packs_to(length: usize) -> Vec<u8> {
    let source = padded(2 * length - packaged(&padded(length)).len());
    assert_eq!(packaged(&source).len(), length);
    source
}

/// The first bytes of a picture of `size` bytes: its one NAL unit's length and type (ISO/IEC 14496-10 §7.4.1).
pub fn picture_head(number: usize, size: usize) -> [u8; 5] {
    let [a, b, c, d] = u32::try_from(size - 4).unwrap().to_be_bytes();
    [a, b, c, d, if number.is_multiple_of(2) { 0x65 } else { 0x41 }]
}

/// All of a film before its pictures, which have these sizes and follow at once (ISO/IEC 14496-12 §8) and last so many
/// milliseconds each.
pub fn film_head(sizes: &[usize], picture_ms: usize) -> Vec<u8> {
    let count = sizes.len();
    let duration = word(count * picture_ms);
    let matrix: Vec<u8> = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000].map(word).concat();
    let avcc_at = FIXTURE.windows(4).position(|name| name == b"avcC").unwrap() - 4;
    let avcc_bytes = u32::from_be_bytes(*FIXTURE[avcc_at..].first_chunk().unwrap()) as usize;
    let entry = boxed(
        b"avc1",
        &[
            &[0, 0, 0, 0, 0, 0, 0, 1],
            &[0; 16],
            &word(96 << 16 | 64),
            &word(0x48_0000),
            &word(0x48_0000),
            &[0; 4],
            &[0, 1],
            &[0; 32],
            &[0, 0x18, 0xff, 0xff],
            &FIXTURE[avcc_at..avcc_at + avcc_bytes],
        ],
    );
    let alone: Vec<u8> = (0..count).step_by(2).flat_map(|number| word(number + 1)).collect();
    let all_sizes: Vec<u8> = sizes.iter().flat_map(|size| word(*size)).collect();
    let head_with = |first: usize| {
        let tables = boxed(
            b"stbl",
            &[
                &boxed(b"stsd", &[&word(0), &word(1), &entry]),
                &boxed(b"stts", &[&word(0), &word(1), &word(count), &word(picture_ms)]),
                &boxed(b"stss", &[&word(0), &word(count.div_ceil(2)), &alone]),
                &boxed(b"stsc", &[&word(0), &word(1), &word(1), &word(count), &word(1)]),
                &boxed(b"stsz", &[&word(0), &word(0), &word(count), &all_sizes]),
                &boxed(b"stco", &[&word(0), &word(1), &word(first)]),
            ],
        );
        let reference = boxed(b"dref", &[&word(0), &word(1), &boxed(b"url ", &[&word(1)])]);
        let media = boxed(
            b"mdia",
            &[
                &boxed(b"mdhd", &[&[0; 12], &word(1000), &duration, &[0x55, 0xc4, 0, 0]]),
                &boxed(b"hdlr", &[&[0; 8], b"vide", &[0; 13]]),
                &boxed(b"minf", &[&boxed(b"vmhd", &[&word(1), &[0; 8]]), &boxed(b"dinf", &[&reference]), &tables]),
            ],
        );
        let header =
            [&word(3)[..], &[0; 8], &word(1), &[0; 4], &duration, &[0; 16], &matrix, &word(96 << 16), &word(64 << 16)];
        let movie =
            [&[0; 12][..], &word(1000), &duration, &word(0x1_0000), &[1, 0], &[0; 10], &matrix, &[0; 24], &word(2)];
        let track = boxed(b"trak", &[&boxed(b"tkhd", &header), &media]);
        // The 64-bit form of a box's length (§4.2): media may be long.
        let media_bytes = 16 + sizes.iter().map(|size| *size as u64).sum::<u64>();
        [
            boxed(b"ftyp", &[b"isom", &word(0x200), b"isomiso2avc1mp41"]),
            boxed(b"moov", &[&boxed(b"mvhd", &movie), &track]),
            [&word(1)[..], b"mdat", &media_bytes.to_be_bytes()].concat(),
        ]
        .concat()
    };
    let head = head_with(0);
    head_with(head.len())
}

fn word(value: usize) -> [u8; 4] {
    u32::try_from(value).unwrap().to_be_bytes()
}

fn boxed(name: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&word(8 + body.len())[..], name, &body].concat()
}

/// Asserts that nothing of the fixture stands in an answer.
#[track_caller]
pub fn assert_no_media(answer: &[u8], what: &str) {
    for at in (0..FIXTURE.len() - 16).step_by(256) {
        let piece = &FIXTURE[at..at + 16];
        if piece.iter().all(|byte| *byte == piece[0]) {
            continue;
        }
        let found = answer.windows(16).any(|window| window == piece);
        assert!(!found, "{what}: the source's bytes at {at} came through");
    }
}
