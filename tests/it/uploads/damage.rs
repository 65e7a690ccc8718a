//! Uploads whose files were written to by somebody else, or damaged: nothing counts as received that is not known to be
//! right, and each goes on.

use super::{Upload, assert_became, begin, file, offset, patch, tus};
use crate::support::{FIXTURE, Server, wait_for};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What was answered before the kill.
const ANSWERED: usize = 1000;

fn begin_all<const N: usize>(server: &Server) -> [Upload; N] {
    [(); N].map(|()| {
        let upload = begin(server, FIXTURE.len(), &[("name", "x"), ("visibility", "public")]);
        patch(server, &upload, 0, &FIXTURE[..ANSWERED]).expect(204);
        upload
    })
}

fn append(server: &Server, upload: &Upload, bytes: &[u8]) {
    File::options().append(true).open(file(server, upload)).unwrap().write_all(bytes).unwrap();
}

/// Where a piece with a checksum began.
fn floor(server: &Server, upload: &Upload) -> PathBuf {
    file(server, upload).with_extension("floor")
}

/// What a floor's file says of `offset`.
fn floor_of(offset: usize) -> Vec<u8> {
    let offset = u64::try_from(offset).unwrap().to_be_bytes();
    [offset.as_slice(), &crc32c::crc32c(&offset).to_be_bytes()].concat()
}

#[test]
fn bytes_behind_a_floor_count_for_nothing_whatever_has_become_of_the_floor() {
    let mut server = Server::start();
    let whole = floor_of(ANSWERED);
    let flipped = |at: usize| {
        let mut floor = whole.clone();
        floor[at] ^= 0x80;
        floor
    };
    let damages: [(&str, Option<Vec<u8>>); 7] = [
        ("emptied", Some(Vec::new())),
        ("cut", Some(whole[..8].to_vec())),
        ("appended to", Some([whole.as_slice(), b"x"].concat())),
        ("its highest bit flipped", Some(flipped(0))),
        ("its checksum flipped", Some(flipped(11))),
        ("garbage", Some(vec![0xa5; 12])),
        ("a FIFO", None),
    ];
    let [undamaged] = begin_all(&server);
    let uploads: [Upload; 7] = begin_all(&server);
    server.kill();
    // As a kill in the midst of a piece with a checksum leaves it.
    append(&server, &undamaged, b"not found right");
    std::fs::write(floor(&server, &undamaged), &whole).unwrap();
    for (upload, (_, damage)) in uploads.iter().zip(&damages) {
        append(&server, upload, b"not found right");
        match damage {
            Some(bytes) => std::fs::write(floor(&server, upload), bytes).unwrap(),
            None => make_fifo(&floor(&server, upload)),
        }
    }
    server.serve();
    assert_eq!(offset(&server, &undamaged), ANSWERED);
    for (upload, (what, _)) in uploads.iter().zip(&damages) {
        assert_eq!(offset(&server, upload), 0, "{what}");
        patch(&server, upload, ANSWERED, &FIXTURE[ANSWERED..]).expect(409);
        patch(&server, upload, 0, FIXTURE).expect(204);
        assert_became(&server, upload, FIXTURE);
    }
    let words = "which bytes of an upload are right is not known; it begins anew";
    wait_for(words, Duration::from_secs(10), || server.log_text().contains(words));
    patch(&server, &undamaged, ANSWERED, &FIXTURE[ANSWERED..]).expect(204);
    assert_became(&server, &undamaged, FIXTURE);
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn an_upload_whose_file_is_longer_than_was_announced_begins_anew_or_is_deleted() {
    let server = Server::start();
    let [gone_on, deleted, longest] = begin_all(&server);
    let rest = vec![0; FIXTURE.len() - ANSWERED + 1];
    for upload in [&gone_on, &deleted] {
        append(&server, upload, &rest);
        assert_eq!(offset(&server, upload), 0);
    }
    patch(&server, &gone_on, 0, FIXTURE).expect(204);
    assert_became(&server, &gone_on, FIXTURE);
    tus(&server, "DELETE", &deleted.path, &[], "").expect(204);
    tus(&server, "HEAD", &deleted.path, &[], "").expect(404);
    // The twin: as long as was announced is whole.
    append(&server, &longest, &FIXTURE[ANSWERED..]);
    assert_eq!(offset(&server, &longest), FIXTURE.len());
    server.verify();
}
