//! kill -9 at any byte, and what the next start makes of what it finds.

use super::{assert_became, assert_plays, begin, begin_piece, file, files, offset, patch, read, tus, wait_for_length};
use crate::support::{Dice, FIXTURE, Server, kill_now, padded, screener, wait_for};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Write;
use std::time::Duration;

const MIB: usize = 1 << 20;
const CYCLES: usize = 12;

#[test]
fn a_kill_at_any_byte_loses_nothing_that_was_answered() {
    let mut dice = Dice::seeded("uploads");
    let mut server = Server::start();
    let film = padded(24 * MIB);
    let upload = begin(&server, film.len(), &[("name", "x"), ("visibility", "public")]);
    let mut answered = 0;
    for cycle in 0..CYCLES {
        let sent = usize::try_from(dice.below(3 * MIB as u64)).unwrap().min(film.len() - answered - 1);
        // Some with a piece that was answered before, some in the middle of one, some of it with a checksum.
        let end = answered + sent;
        let headers = match cycle % 3 {
            0 => format!("Upload-Checksum: sha256 {}\r\n", BASE64_STANDARD.encode(Sha256::digest(&film[answered..]))),
            _ => String::new(),
        };
        if cycle % 3 == 1 {
            patch(&server, &upload, answered, &film[answered..end]).expect(204);
            answered = end;
        } else {
            let mut wire = begin_piece(&server, &upload, answered, film.len() - answered, &headers);
            wire.send_raw(&film[answered..end]).unwrap();
            if cycle % 2 == 0 {
                wait_for_length(&server, &upload, answered + sent / MIB * MIB);
            }
        }
        kill_now(server.pid());
        server.kill();
        server.serve();
        let at = offset(&server, &upload);
        assert!((answered..=end).contains(&at), "{at} is not from {answered} to {end}");
        assert!(!headers.starts_with("Upload-Checksum") || at == answered, "half of a checksum's piece was kept");
        let on_disk = std::fs::read(file(&server, &upload)).unwrap();
        assert!(on_disk.len() >= at && on_disk[..at] == film[..at], "cycle {cycle}: other bytes");
        answered = at;
    }
    patch(&server, &upload, answered, &film[answered..]).expect(204);
    assert_became(&server, &upload, &film);
    assert!(files(&server, "uploads").is_empty());
    server.verify();
}

#[test]
fn an_upload_that_was_whole_is_taken_in_after_a_kill() {
    let mut server = Server::start();
    for _ in 0..6 {
        let upload = begin(&server, FIXTURE.len(), &[("name", "x"), ("visibility", "public")]);
        patch(&server, &upload, 0, FIXTURE).expect(204);
        kill_now(server.pid());
        server.kill();
        server.serve();
        assert_became(&server, &upload, FIXTURE);
        assert_eq!(offset(&server, &upload), FIXTURE.len());
    }
    server.verify();
}

#[test]
fn a_start_brings_files_and_records_in_line() {
    let mut server = Server::start();
    let words = [("name", "x"), ("visibility", "public")];
    let [whole, moved, lost, partial] = [(); 4].map(|()| begin(&server, FIXTURE.len(), &words));
    for upload in [&whole, &moved, &lost, &partial] {
        patch(&server, upload, 0, &FIXTURE[..1000]).expect(204);
    }
    server.kill();
    // As it would be had the last piece come, and been moved, just before the end.
    for upload in [&whole, &moved] {
        File::options().append(true).open(file(&server, upload)).unwrap().write_all(&FIXTURE[1000..]).unwrap();
    }
    std::fs::rename(file(&server, &moved), server.state().join("media").join(&moved.id)).unwrap();
    std::fs::remove_file(file(&server, &lost)).unwrap();
    let uploads = server.state().join("uploads");
    for stray in ["a77b5e0f-7a43-4c5c-8f5e-0d2a1f7a0001", "a77b5e0f-7a43-4c5c-8f5e-0d2a1f7a0001.floor", "stray"] {
        std::fs::write(uploads.join(stray), "12345678").unwrap();
    }
    server.serve();
    assert_became(&server, &whole, FIXTURE);
    assert_became(&server, &moved, FIXTURE);
    assert_eq!(offset(&server, &partial), 1000);
    tus(&server, "HEAD", &lost.path, &[], "").expect(404);
    assert_eq!(files(&server, "uploads"), [partial.id.as_str()]);
    assert!(!server.state().join("orphaned").exists());
    let last = server.all("audit").into_iter().find(|entry| entry["action"] == "upload.delete").unwrap();
    assert_eq!(last["detail"]["reason"], "its file is missing");
    patch(&server, &partial, 1000, &FIXTURE[1000..]).expect(204);
    assert_became(&server, &partial, FIXTURE);
    server.verify();
}

#[test]
fn a_half_written_checksummed_piece_is_no_part_of_the_upload_after_a_kill() {
    let mut server = Server::start();
    let film = padded(4 * MIB);
    let upload = begin(&server, film.len(), &[("name", "x"), ("visibility", "public")]);
    patch(&server, &upload, 0, &film[..1000]).expect(204);
    let checksum = BASE64_STANDARD.encode(Sha256::digest(&film[1000..]));
    let headers = format!("Upload-Checksum: sha256 {checksum}\r\n");
    let mut wire = begin_piece(&server, &upload, 1000, film.len() - 1000, &headers);
    wire.send_raw(&film[1000..3 * MIB]).unwrap();
    wait_for_length(&server, &upload, 2 * MIB);
    kill_now(server.pid());
    server.kill();
    server.serve();
    assert_eq!(offset(&server, &upload), 1000);
    // Whoever goes on otherwise gets what they send, and nothing of what was there.
    let reply = patch(&server, &upload, 1000, &film[1000..2000]).expect(204);
    assert_eq!(super::offset_of(&reply), 2000);
    assert_eq!(std::fs::read(file(&server, &upload)).unwrap(), film[..2000]);
    patch(&server, &upload, 2000, &film[2000..]).expect(204);
    assert_became(&server, &upload, &film);
}

#[test]
fn a_backup_has_no_unfinished_uploads() {
    let mut server = Server::start();
    let upload = begin(&server, FIXTURE.len(), &[("name", "open"), ("visibility", "public")]);
    let done = begin(&server, FIXTURE.len(), &[("name", "done"), ("visibility", "public")]);
    patch(&server, &upload, 0, &FIXTURE[..1000]).expect(204);
    patch(&server, &done, 0, FIXTURE).expect(204);
    assert_became(&server, &done, FIXTURE);
    let config = server.config();
    let config = ["--config", config.to_str().unwrap(), "--json"];
    let (backup, into) = (server.scratch().join("backup"), server.scratch().join("restored"));
    screener(&[&["backup", "create", backup.to_str().unwrap()], &config[..]].concat()).unwrap();
    assert!(!backup.join("uploads").exists());
    server.stop();
    let restore = ["backup", "restore", backup.to_str().unwrap(), "--into", into.to_str().unwrap()];
    screener(&[&restore, &config[..]].concat()).unwrap();
    std::fs::copy(server.state().join("master.key"), into.join("master.key")).unwrap();
    std::fs::rename(server.state(), server.scratch().join("before")).unwrap();
    std::fs::rename(&into, server.state()).unwrap();
    server.serve();
    assert!(server.all("uploads").is_empty() && files(&server, "uploads").is_empty());
    assert!(!server.log_text().contains("an open upload has no file"), "its row was restored");
    tus(&server, "HEAD", &upload.path, &[], "").expect(404);
    assert_eq!(read(&server, &upload.video)["status"], "pending_upload");
    assert_plays(&server, &done.video, FIXTURE);
    server.verify();
}

#[test]
fn what_can_not_be_kept_now_is_tried_again() {
    let mut server = Server::start();
    let upload = begin(&server, FIXTURE.len(), &[("name", "x"), ("visibility", "public")]);
    // Nothing can be given this name.
    let in_the_way = server.state().join("media").join(&upload.id);
    std::fs::create_dir(&in_the_way).unwrap();
    patch(&server, &upload, 0, FIXTURE).expect(204);
    wait_for("it to be put off", Duration::from_secs(20), || server.log_text().contains("was put off"));
    assert_eq!(std::fs::read(file(&server, &upload)).unwrap(), FIXTURE);
    assert_eq!(offset(&server, &upload), FIXTURE.len());
    assert_eq!(read(&server, &upload.video)["status"], "processing");
    std::fs::remove_dir(&in_the_way).unwrap();
    server.kill();
    server.serve();
    assert_became(&server, &upload, FIXTURE);
}
