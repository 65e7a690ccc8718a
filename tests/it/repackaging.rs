//! A packager that writes other bytes than its predecessor makes everything anew, behind the backs of those who watch.
//! State directories of the predecessor are made by writing into the catalog of a stopped server: another packager's
//! number, and files with a box that no packager of ours writes.

use crate::judges::sources;
use crate::support::{
    FIXTURE, Options, Server, files_below, film, film_head, kill_now, now, packaged, padded, picture_head, wait_for,
};
use reqwest::Method;
use screener::domain::{MediaFile, Rendition, Timestamp, Video, VideoId};
use screener::store::{Catalog, Disk, Watermarks, WriteError};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// What the predecessor's files end with.
const FOREIGN: &[u8] = b"\0\0\0\x08free";

/// What plays in each quality, by its label: its id and its bytes.
type Played = BTreeMap<String, (String, Vec<u8>)>;

fn played(server: &Server, embed: &str) -> Played {
    let answer = server.playback(embed, None).expect(200).json();
    let variants = answer["variants"].as_array().unwrap().iter();
    variants
        .map(|variant| {
            let text = |name: &str| variant[name].as_str().unwrap().to_owned();
            (text("label"), (text("id"), server.get(&text("uri")).expect(200).body))
        })
        .collect()
}

fn ids(server: &Server, video: &str) -> BTreeMap<String, String> {
    let read = server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).expect(200).json();
    assert_eq!(read["status"], "ready");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    read["renditions"].as_array().unwrap().iter().map(|one| (text(&one["label"]), text(&one["id"]))).collect()
}

fn add(server: &Server, video: &str, label: &str, bytes: Vec<u8>) {
    let path = format!("/admin/v1/videos/{video}/renditions/{label}");
    let sent = server.request(Method::PUT, &path).bearer_auth(&server.private_key).body(bytes).send().unwrap();
    assert_eq!(sent.status(), 200);
}

/// Leaves a stopped server's video as its predecessor would have: `bytes_of` makes that one's bytes of ours.
fn age(server: &Server, video: &str, bytes_of: impl Fn(&Rendition, &[u8]) -> Vec<u8> + Send + 'static) {
    let disk = Arc::new(Disk::new(&server.state(), Watermarks::OFF));
    let catalog = Catalog::open(&server.state(), 1 << 20, Duration::from_secs(10), disk).unwrap();
    let (id, media) = (VideoId::parse(video).unwrap(), server.state().join("media"));
    let aged = catalog.write(Timestamp::from_millis(now() * 1000), move |draft| {
        let mut video: Video = draft.find(id.0).unwrap();
        for rendition in &mut video.renditions {
            let path = media.join(rendition.file.to_string());
            let bytes = bytes_of(rendition, &std::fs::read(&path).unwrap());
            std::fs::write(path, &bytes).unwrap();
            (rendition.packager, rendition.size_bytes) = (0, bytes.len() as u64);
            let mut file: MediaFile = draft.find(rendition.file.0).unwrap();
            file.size_bytes = rendition.size_bytes;
            file.sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            draft.put(&file);
        }
        draft.put(&video);
        Ok::<_, WriteError>(())
    });
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(aged).unwrap();
    catalog.close();
}

fn with_foreign_box(_: &Rendition, bytes: &[u8]) -> Vec<u8> {
    [bytes, FOREIGN].concat()
}

/// Starts a stopped server in which nothing can be packaged, for want of room.
fn serve_without_room(server: &mut Server, configured: &str) {
    std::fs::write(server.config(), format!("{configured}\n[media]\nmin_free_mib = 1000000000\n")).unwrap();
    server.serve();
}

fn serve_with_room(server: &mut Server, configured: &str) {
    std::fs::write(server.config(), configured).unwrap();
    server.serve();
}

fn files(server: &Server, directory: &str) -> usize {
    files_below(&server.state().join(directory)).len()
}

#[test]
fn every_quality_is_packaged_anew_under_a_new_name_and_plays_meanwhile() {
    let config = "[transcode]\nenabled = true\n".to_owned();
    let mut server = Server::with(Options { config, ..Options::default() });
    let configured = std::fs::read_to_string(server.config()).unwrap();
    let (video, embed) = server.pending_video("public");
    let source = film(server.scratch(), "320x250", 5, &[]);
    server.upload(&video, source.clone()).expect(200);
    let low = film(server.scratch(), "160x126", 5, &["-g", "75"]);
    add(&server, &video, "low", low.clone());
    wait_for("240p to be made", LIMIT, || {
        let read = server.admin(Method::GET, &format!("/videos/{video}"), &Value::Null).expect(200).json();
        read["transcoding"].is_null() && ids(&server, &video).len() == 3
    });
    let (before, media) = (played(&server, &embed), files(&server, "media"));
    assert_eq!(before.keys().collect::<Vec<_>>(), ["240p", "250p", "low"]);
    assert!(server.stop());
    age(&server, &video, with_foreign_box);

    serve_without_room(&mut server, &configured);
    wait_for("packaging to be put off", LIMIT, || server.log_text().contains("packaging was put off"));
    for (label, (id, bytes)) in played(&server, &embed) {
        assert_eq!(id, before[&label].0);
        assert!(bytes.ends_with(FOREIGN), "{label}");
    }
    assert!(server.stop());

    serve_with_room(&mut server, &configured);
    wait_for("all to be packaged anew", LIMIT, || {
        ids(&server, &video).iter().all(|(label, id)| *id != before[label].0) && files(&server, "media") == media
    });
    let after = played(&server, &embed);
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert!(after["250p"].1 == packaged(&source) && after["low"].1 == packaged(&low));
    assert!(after["240p"].1 == before["240p"].1, "what was made here is what it was");
    assert_eq!(files(&server, "incoming"), 0);
    server.verify();
    // Once.
    assert!(server.stop());
    server.serve();
    let again = played(&server, &embed);
    assert!(again == after);
    server.verify();
}

#[test]
fn a_kill_while_it_is_packaged_anew_leaves_something_that_plays() {
    let mut server = Server::start();
    let configured = std::fs::read_to_string(server.config()).unwrap();
    let (video, embed) = server.pending_video("public");
    let sources = [("64p", padded(96 << 20)), ("low", padded(64 << 20))];
    server.upload(&video, sources[0].1.clone()).expect(200);
    add(&server, &video, "low", sources[1].1.clone());
    let before = ids(&server, &video);
    assert!(server.stop());
    age(&server, &video, with_foreign_box);
    let fresh: BTreeMap<&str, Vec<u8>> = sources.iter().map(|(label, source)| (*label, packaged(source))).collect();
    let mut interrupted = 0;
    for _ in 0..4 {
        serve_with_room(&mut server, &configured);
        let incoming = server.state().join("incoming");
        wait_for("something to be under way", LIMIT, || {
            !files_below(&incoming).is_empty() || ids(&server, &video).iter().all(|(label, id)| *id != before[label])
        });
        kill_now(server.pid());
        server.kill();
        interrupted += usize::from(!files_below(&incoming).is_empty());
        serve_without_room(&mut server, &configured);
        for (label, (id, bytes)) in played(&server, &embed) {
            let fresh = &fresh[label.as_str()];
            if id == before[&label] {
                assert!(bytes.strip_suffix(FOREIGN) == Some(fresh), "{label} is neither old nor new");
            } else {
                assert!(bytes == *fresh, "{label} is neither old nor new");
            }
        }
        server.verify();
        assert!(server.stop());
    }
    assert!(interrupted > 0, "no kill came while something was written");
    serve_with_room(&mut server, &configured);
    wait_for("all to be packaged anew", LIMIT, || {
        ids(&server, &video).iter().all(|(label, id)| *id != before[label]) && files(&server, "media") == 5
    });
    assert!(played(&server, &embed).iter().all(|(label, (_, bytes))| *bytes == fresh[label.as_str()]));
    assert_eq!(files(&server, "incoming"), 0);
}

#[test]
fn what_can_not_be_packaged_anew_stays_and_holds_up_nothing_else() {
    let mut server = Server::start();
    let (video, embed) = server.pending_video("public");
    server.upload(&video, FIXTURE).expect(200);
    add(&server, &video, "low", FIXTURE.to_vec());
    add(&server, &video, "other", FIXTURE.to_vec());
    let before = ids(&server, &video);
    assert!(server.stop());
    let spoiled = |rendition: &Rendition, bytes: &[u8]| {
        if rendition.label == "low" { b"not a film".to_vec() } else { with_foreign_box(rendition, bytes) }
    };
    age(&server, &video, spoiled);
    server.serve();
    wait_for("the others to be packaged anew", LIMIT, || {
        let after = ids(&server, &video);
        ["64p", "other"].iter().all(|label| after[*label] != before[*label])
    });
    wait_for("it to be told", LIMIT, || server.log_text().contains("can't be packaged anew; it plays as before"));
    let after = played(&server, &embed);
    assert_eq!((&after["low"].0, after["low"].1.as_slice()), (&before["low"], &b"not a film"[..]));
    assert!(after["64p"].1 == packaged(FIXTURE) && after["other"].1 == packaged(FIXTURE));
}

/// A film of pictures of six bytes, two a second, of which every other one stands alone.
fn many_pictures(count: usize) -> Vec<u8> {
    let mut bytes = film_head(&vec![6; count], 500);
    (0..count).for_each(|number| bytes.extend([&picture_head(number, 6)[..], &[0]].concat()));
    bytes
}

#[test]
fn the_longest_that_is_written_is_read_again() {
    // 50,001 segments.
    let film = many_pictures(200_004);
    let once = packaged(&film);
    assert!(packaged(&once) == once);
    // One segment: only the first picture stands alone.
    let mut film = many_pictures(300_000);
    let table = film.windows(4).position(|name| name == b"stss").unwrap();
    film[table + 8..table + 12].copy_from_slice(&1_u32.to_be_bytes());
    let once = packaged(&film);
    assert!(packaged(&once) == once);
}

#[test]
fn a_packaged_film_of_any_kind_packages_into_itself() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.plays) {
        let once = packaged(&std::fs::read(&source.file).unwrap());
        let twice = packaged(&once);
        if twice == once {
            continue;
        }
        // Where pictures are reordered and last differently long, the end is the edit list's alone to say. Then the
        // movie and its last segment are a moment longer, and the rest is the same.
        let differing = once.iter().zip(&twice).filter(|(one, other)| one != other).count();
        let is_allowed = source.name == "variable frame rate" && twice.len() == once.len() && differing <= 8;
        if !is_allowed || packaged(&twice) != twice {
            wrong.push((&source.name, once.len(), twice.len(), differing));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
