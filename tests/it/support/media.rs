//! Sources of any length, and looking for their bytes where they must not be.

/// The small fixture: two seconds of H.264 and AAC, index first.
pub const FIXTURE: &[u8] = include_bytes!("../../fixtures/h264_aac.mp4");

/// The fixture with a `free` box behind it, `length` bytes in all, whose content differs from place to place.
pub fn padded(length: usize) -> Vec<u8> {
    let mut bytes = FIXTURE.to_vec();
    let free = u32::try_from(length - bytes.len()).unwrap();
    bytes.extend_from_slice(&free.to_be_bytes());
    bytes.extend_from_slice(b"free");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let left = length - bytes.len();
        bytes.extend_from_slice(&state.to_le_bytes()[..left.min(8)]);
    }
    bytes
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
