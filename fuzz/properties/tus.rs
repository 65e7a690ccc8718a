//! The headers of a resumable upload (tus 1.0), a line each: `Upload-Offset`, `Upload-Checksum`, `Upload-Metadata`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use screener::domain::limits;
use screener::http::tus;

/// What headers begin with.
pub const SEEDS: &[&[u8]] = &[
    b"0\nsha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\nfilename Zmlyc3QubXA0,filetype dmlkZW8vbXA0,visibility cHJpdmF0ZQ==",
    b"18446744073709551615\nsha256 ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=\nis_confidential",
    b"18446744073709551616\nmd5 kAFQmDzST7DWlj99KOF/cg==\ntitle QQ==,title QQ==",
    b"+1\nsha1  \n,",
    b"00\n\ntitle w6Q= , embedId AA",
];

/// Checks the headers of one piece.
pub fn hold(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let [offset, checksum, metadata] = std::array::from_fn(|_| lines.next().unwrap_or_default());
    if let Some(count) = tus::count(offset) {
        let meant = offset.trim_start_matches('0');
        assert_eq!(count.to_string(), if meant.is_empty() { "0" } else { meant }, "{offset:?}");
    }
    if tus::checksum(checksum).is_some() {
        let (algorithm, digest) = checksum.split_once(' ').expect("two words");
        let length = if algorithm == "sha1" { 20 } else { 32 };
        assert!(algorithm == "sha1" || algorithm == "sha256", "{checksum:?}");
        assert_eq!(BASE64_STANDARD.decode(digest).map(|digest| digest.len()), Ok(length), "{checksum:?}");
    }
    let Some(values) = tus::metadata(metadata) else { return };
    assert!(metadata.len() <= limits::UPLOAD_METADATA_BYTES);
    // What was understood, written again in the plainest way, is understood the same.
    let pairs = values.iter().map(|(key, value)| format!("{key} {}", BASE64_STANDARD.encode(value)));
    let written = pairs.collect::<Vec<_>>().join(",");
    assert!(written.len() > limits::UPLOAD_METADATA_BYTES || tus::metadata(&written) == Some(values), "{metadata:?}");
}
